"""Chunks of stores that go into a new store as the files that they are."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from zarr.core.sync import sync

from pdstore.errors import MissingDataError
from pdstore.location.copying import LARGEST_CHUNK, Progress, check_chunk
from pdstore.location.local import Folder
from pdstore.location.protocol import read_file
from pdstore.store import Store

Chunk = tuple[int, ...]

Wanted = tuple[Chunk, Sequence[tuple[Store, Chunk]]]
"""Grid coordinates of a chunk in the new store, and the stores that have it with its coordinates there."""

_AT_ONCE, _BATCH = 8, 16
"""Threads, which wait for disks and servers rather than compute; and chunks that one takes before it says so."""


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
        self._out = out.url
        self._progress = progress
        self._link = link

    def take(self, path: str, wanted: Sequence[Wanted]) -> dict[Chunk, list[int]]:
        """Take chunks of an array, each from the first store that has it.

        Parameters
        ----------
        path : str
            Path of the array, in all stores.
        wanted : sequence of Wanted
            The chunks.

        Returns
        -------
        dict
            Of chunks of which not all stores have the same bytes: chunk of the new store → which stores, by their
            place among those that have it, have others than the first. In the order of `wanted`.

        Raises
        ------
        DamagedDataError
            A checksum differs.
        """
        os.makedirs(f"{self._out}/{path}/c", exist_ok=True)
        batches = [wanted[first : first + _BATCH] for first in range(0, len(wanted), _BATCH)]
        differing: dict[Chunk, list[int]] = {}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for size, found in pool.map(partial(self._take_some, path), batches):
                self._progress.copied(size)
                differing |= found
        return differing

    def take_all(self, path: str, store: Store, chunks: Iterable[Chunk]) -> None:
        """Take chunks of an array from one store, where they have the same coordinates; raises as `take` does."""
        self.take(path, [(chunk, [(store, chunk)]) for chunk in chunks])

    def _take_some(self, path: str, wanted: Sequence[Wanted]) -> tuple[int, dict[Chunk, list[int]]]:
        """Take chunks, one after the other; gives the bytes read, too."""
        size, differing = 0, {}
        before: Chunk = ()
        for chunk, held in wanted:
            self._make_folders(path, chunk, before)
            before = chunk
            read, others = self._take(_key(path, chunk), [(store, _key(path, of_store)) for store, of_store in held])
            size += read
            if others:
                differing[chunk] = others
        return size, differing

    def _make_folders(self, path: str, chunk: Chunk, before: Chunk) -> None:
        """The folders of a chunk, of which those of the chunk before it are there."""
        folder = f"{self._out}/{path}/c"
        for depth, part in enumerate(chunk[:-1], 1):
            folder = f"{folder}/{part}"
            if chunk[:depth] != before[:depth]:
                with suppress(FileExistsError):
                    os.mkdir(folder)

    def _take(self, key: str, held: Sequence[tuple[Store, str]]) -> tuple[int, list[int]]:
        target, file = f"{self._out}/{key}", _file(*held[0])
        others = [number for number in range(1, len(held)) if not _is_same_file(file, _file(*held[number]))]
        if self._link and file is not None and not others:
            # Another file system, or one without links: copied then.
            with suppress(OSError):
                os.link(file, target)
                return os.stat(target).st_size, []
        content = _read(*held[0])
        with open(target, "xb") as new:
            new.write(content)
        size, differing = len(content), []
        for number in others:
            of_other = _read(*held[number])
            size += len(of_other)
            if of_other != content:
                differing.append(number)
        return size, differing


def _read(store: Store, key: str) -> bytes:
    file = _file(store, key)
    content = None if file is None else _small_file(file)
    if content is None:
        content = sync(read_file(store.location, key, LARGEST_CHUNK))
    check_chunk(store.url, key, content)
    return content


def _small_file(path: str) -> bytes | None:
    """A file's bytes without Zarr's event loop, which takes longer than reading it; None where it is absurdly large."""
    with open(path, "rb", buffering=0) as file:
        return file.readall() if os.fstat(file.fileno()).st_size <= LARGEST_CHUNK else None


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


def _file(store: Store, key: str) -> str | None:
    return f"{store.location.path}/{key}" if isinstance(store.location, Folder) else None


def _is_same_file(first: str | None, second: str | None) -> bool:
    return first is not None and second is not None and os.path.samefile(first, second)
