"""Chunks of stores that go into a new store as the files that they are."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from zarr.core.sync import sync

from pdstore.errors import MissingDataError
from pdstore.location.copying import LARGEST_CHUNK, Progress, check_chunk
from pdstore.location.local import Folder
from pdstore.location.protocol import read_file
from pdstore.store import Store

Chunk = tuple[int, ...]


class ChunkFiles:
    """Files of a store that is being made.

    Parameters
    ----------
    out : Store
        The new store, in a folder.
    progress : Progress
        Told of every byte that is read.
    link : bool
        Whether the new store may share files with a store in a folder, which is not read then. Zarr never changes a
        file in place: it writes another and renames it.
    """

    def __init__(self, out: Store, progress: Progress, link: bool = False) -> None:
        self._out = Path(out.url)
        self._progress = progress
        self._link = link
        self._folders: set[Path] = set()

    def take(self, path: str, chunk: Chunk, held: Sequence[tuple[Store, Chunk]]) -> list[int]:
        """Take a chunk from the first store that has it.

        Parameters
        ----------
        path : str
            Path of the array, in all stores.
        chunk : Chunk
            Its grid coordinates in the new store.
        held : sequence of (Store, Chunk)
            The stores that have it, and its coordinates there.

        Returns
        -------
        list of int
            Which of `held` have other bytes than the first.

        Raises
        ------
        DamagedDataError
            A checksum differs.
        """
        target = self._out / _key(path, chunk)
        if target.parent not in self._folders:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(target.parent)
        file = _file(held[0], path)
        others = [number for number, one in enumerate(held) if number and not _is_same_file(file, _file(one, path))]
        if self._link and file is not None and not others:
            # Another file system, or one without links: copied then.
            with suppress(OSError):
                os.link(file, target)
                self._progress.copied(target.stat().st_size)
                return []
        content = self._read(*held[0], path)
        target.write_bytes(content)
        return [number for number in others if self._read(*held[number], path) != content]

    def _read(self, store: Store, chunk: Chunk, path: str) -> bytes:
        key = _key(path, chunk)
        file = _file((store, chunk), path)
        # Without Zarr's event loop, which takes longer than reading a small file.
        if file is not None and file.stat().st_size <= LARGEST_CHUNK:
            content = file.read_bytes()
        else:
            content = sync(read_file(store.location, key, LARGEST_CHUNK))
        check_chunk(store.url, key, content)
        self._progress.copied(len(content))
        return content


def all_chunks(store: Store, path: str) -> list[Chunk]:
    """Coordinates of every chunk of an array, sorted; raises `MissingDataError` where one is lost."""
    array = store.array(path)
    found = store.chunks_written(path)
    if len(found) < array.nchunks:
        raise MissingDataError(
            f"store {store.url}: {path} lacks {array.nchunks - len(found):,} of its {array.nchunks:,} chunks; get the "
            "store again from a copy"
        )
    return sorted(found)


def region(store: Store, path: str, chunk: Chunk) -> tuple[slice, ...]:
    """What a chunk of an array holds."""
    array = store.array(path)
    return tuple(
        slice(part * length, min((part + 1) * length, size))
        for part, length, size in zip(chunk, array.chunks, array.shape, strict=True)
    )


def _key(path: str, chunk: Chunk) -> str:
    return "/".join((path, "c", *map(str, chunk)))


def _file(held: tuple[Store, Chunk], path: str) -> Path | None:
    store, chunk = held
    return store.location.path / _key(path, chunk) if isinstance(store.location, Folder) else None


def _is_same_file(first: Path | None, second: Path | None) -> bool:
    return first is not None and second is not None and os.path.samefile(first, second)
