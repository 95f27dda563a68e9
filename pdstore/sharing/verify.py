"""A published store against its manifest, byte by byte."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from zarr.core.sync import sync

from pdstore.errors import DamagedDataError, RemoteError, StoreError
from pdstore.location.local import Folder
from pdstore.location.locate import locate
from pdstore.location.manifest import LARGEST_MANIFEST, MANIFEST, FileRecord, Manifest, parse_manifest
from pdstore.location.protocol import Location, read_file
from pdstore.schema import schema_of
from pdstore.store import Store, open_store

_AT_ONCE = 16


@dataclass(frozen=True)
class Finding:
    """A file that is not as the manifest says.

    Attributes
    ----------
    key : str
        The file, relative to the store's root.
    what : str
        What is wrong, in a person's words.
    array : str or None
        Path of the array that it is a part of.
    genes : tuple of str
        Names of the genes whose values it holds, where it holds those of some.
    """

    key: str
    what: str
    array: str | None = None
    genes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes
    ----------
    digest : str
        SHA-256 of the manifest.
    files, bytes : int
        That the manifest lists.
    findings : list of Finding
        Files that are damaged, missing, or in no manifest, in the order of their keys.
    """

    digest: str
    files: int
    bytes: int
    findings: list[Finding]


def verify(
    url: str | Path,
    digest: str | None = None,
    begins: Callable[[int], None] = lambda total: None,
    read: Callable[[int], None] = lambda size: None,
) -> Verification:
    """Hold every byte of a published store against its manifest.

    Parameters
    ----------
    url : str or Path
        A folder, ``.zarr.zip``, ``https://…`` or ``s3://…``.
    digest : str, optional
        SHA-256 that the manifest has to have, as `publish` gave it: who changes a store can change its manifest, too.
    begins, read : callable
        Told how many bytes there are, and how many of them were read.

    Raises
    ------
    StoreError
        There is no manifest.
    DamagedDataError
        The manifest is none, or is not the one that was published.
    """
    location = locate(url)
    if isinstance(location, Folder):
        location.refuse_links()
    content = sync(read_file(location, MANIFEST, LARGEST_MANIFEST))
    found = hashlib.sha256(content).hexdigest()
    if digest is not None and digest.lower() != found:
        raise DamagedDataError(
            f"store {location.url}: {MANIFEST} has SHA-256 {found}, but {digest.lower()} is expected: it is another "
            "one, or was changed"
        )
    manifest = parse_manifest(content, location.url)
    begins(sum(record.size for record in manifest.files.values()))
    wrong = sync(_wrong_files(location, manifest, read))
    listed = location.sizes()
    wrong |= {key: "is not in the manifest" for key in listed if key not in manifest.files and key != MANIFEST}
    places = _Places(url) if wrong else None
    findings = [Finding(key, what, *(places.of(key) if places else ())) for key, what in sorted(wrong.items())]
    return Verification(found, len(manifest.files), sum(of.size for of in manifest.files.values()), findings)


async def _wrong_files(location: Location, manifest: Manifest, read: Callable[[int], None]) -> dict[str, str]:
    """Key → what is wrong, of the files that are not as they should be."""
    wrong: dict[str, str] = {}
    waiting = iter(manifest.files.items())

    async def work(items: Iterator[tuple[str, FileRecord]]) -> None:
        for key, record in items:
            what = await _deviation(location, key, record, read)
            if what is not None:
                wrong[key] = what

    # All take from the same iterator.
    await asyncio.gather(*(work(waiting) for _ in range(_AT_ONCE)))
    return wrong


async def _deviation(location: Location, key: str, record: FileRecord, read: Callable[[int], None]) -> str | None:
    digest, size = hashlib.sha256(), 0
    try:
        async for piece in location.pieces(key):
            digest.update(piece)
            size += len(piece)
            read(len(piece))
            if size > record.size:
                return f"has more than the {record.size:,} bytes of the manifest"
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    except IsADirectoryError:
        return "is a folder"
    except (DamagedDataError, RemoteError) as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if size < record.size:
        return f"has {size:,} bytes, but {record.size:,} in the manifest"
    return None if digest.hexdigest() == record.sha256 else "differs from its SHA-256 in the manifest"


class _Places:
    """Which array and which genes a key is of; nothing of a store that cannot be opened."""

    def __init__(self, url: str | Path) -> None:
        self._store: Store | None = None
        self._names: list[str] = []
        try:
            self._store = open_store(url)
            self._names = [str(name) for name in self._store.read("genes/gene_name")]
        except StoreError:
            # Damage that is told of anyway.
            return

    def of(self, key: str) -> tuple[str | None, tuple[str, ...]]:
        path, _, chunk = key.partition("/c/")
        if not chunk:
            path = key.removesuffix("/zarr.json")
        group, _, name = path.rpartition("/")
        try:
            array = schema_of(group).arrays.get(name)
        except StoreError:
            return None, ()
        if array is None or not chunk or array.dims[0] != "genes" or not chunk.split("/")[0].isdecimal():
            return (None if array is None else path), ()
        run = array.chunks[0]
        first, number = int(chunk.split("/")[0]), run if isinstance(run, int) else len(self._names)
        return path, tuple(self._names[first * number : (first + 1) * number])
