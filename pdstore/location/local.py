"""A store in a folder, or in a zip file."""

import hashlib
import os
import stat
import struct
import zipfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore, WrapperStore, ZipStore

from pdstore.errors import DamagedDataError, StoreError
from pdstore.location.keys import below, chunks_of, is_safe_key

_NO_ZIP = (zipfile.BadZipFile, NotImplementedError, EOFError, UnicodeDecodeError, struct.error)
"""What zipfile says of a file that is none, or is damaged."""

_PIECE = 1 << 20
"""Bytes that are read at once."""


class Folder:
    """A store in a folder: the only one that is written to."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def url(self) -> str:
        return str(self.path)

    def zarr_store(self, read_only: bool) -> Store:
        return LocalStore(self.path, read_only=read_only)

    def sizes(self, path: str = "") -> Mapping[str, int]:
        sizes = {}
        prefix = len(os.path.join(self.path, ""))
        # Of strings: a store of published size has hundreds of thousands of folders, and paths take ten times as long.
        for parent, _, names in os.walk(os.path.join(self.path, path)):
            for name in names:
                file = os.path.join(parent, name)
                # A writer beside us may rename its partial file meanwhile.
                with suppress(FileNotFoundError):
                    sizes[file[prefix:].replace(os.sep, "/")] = os.stat(file).st_size
        return sizes

    def refuse_links(self) -> None:
        """Raise `StoreError` where a link is in the store: what it points to may be anything."""
        for parent, folders, names in os.walk(self.path):
            for name in (*folders, *names):
                path = os.path.join(parent, name)
                if os.path.islink(path):
                    where = os.path.relpath(path, self.path)
                    raise StoreError(
                        f"store {self.path}: {where} is a symbolic link, which is not followed; put the file there"
                    )

    def chunks(self, path: str, grid: tuple[int, ...]) -> dict[tuple[int, ...], int]:
        # Folders of the last dimensions hold one entry each, which is asked for by its name: a store of published size
        # has a hundred thousand of them, and listing them through Zarr takes ten times as long.
        listed = max((dim + 1 for dim, number in enumerate(grid) if number > 1), default=1)
        return dict(_chunks_below(f"{self.path}/{path}/c", (), listed, len(grid)))

    async def pieces(self, key: str) -> AsyncIterator[bytes]:
        with (self.path / key).open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    def content(self, key: str) -> bytes | None:
        """All bytes of a file at once; None where it is not there."""
        try:
            # Many small files: a Path for each takes as long as reading it.
            with open(f"{self.path}/{key}", "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def digest(self, key: str) -> str | None:
        return _sha256(self.content(key))


class Zip:
    """A store in a zip file whose entries are stored as they are, as `pdstore publish` writes it."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            self._file = zipfile.ZipFile(self.path)
        except _NO_ZIP as error:
            raise StoreError(f"store {self.path}: is no zip file, or is cut off ({error}); get it again") from error
        entries = [entry for entry in self._file.infolist() if not entry.is_dir()]
        for entry in entries:
            # Else a small file could become a huge one, and chunks are compressed already.
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise StoreError(
                    f"store {self.path}: {entry.filename!r} is compressed or encrypted in it, but a store's files are "
                    "stored as they are; make it with pdstore publish, or with zip -0"
                )
            if not is_safe_key(entry.filename):
                raise StoreError(f"store {self.path}: it names {entry.filename!r}, which lies outside the store")
        self._sizes = {entry.filename: entry.file_size for entry in entries}

    @property
    def url(self) -> str:
        return str(self.path)

    def zarr_store(self, read_only: bool) -> Store:
        return _ZipEntries(ZipStore(self.path, mode="r"), self.url)

    def sizes(self, path: str = "") -> Mapping[str, int]:
        return below(self._sizes, path)

    def chunks(self, path: str, grid: tuple[int, ...]) -> dict[tuple[int, ...], int]:
        return chunks_of(self.sizes(f"{path}/c"), path, grid)

    async def pieces(self, key: str) -> AsyncIterator[bytes]:
        if key not in self._sizes:
            raise FileNotFoundError(key)
        try:
            with self._file.open(key) as entry:
                while piece := entry.read(_PIECE):
                    yield piece
        except _NO_ZIP as error:
            raise self._damaged(key) from error

    def content(self, key: str) -> bytes | None:
        """All bytes of a file at once; None where it is not there."""
        if key not in self._sizes:
            return None
        try:
            return self._file.read(key)
        except _NO_ZIP as error:
            raise self._damaged(key) from error

    def digest(self, key: str) -> str | None:
        return _sha256(self.content(key))

    def _damaged(self, key: str) -> DamagedDataError:
        return DamagedDataError(f"store {self.url}: {key} differs from its checksum in the zip file")


class _ZipEntries(WrapperStore[Store]):
    """A zip file whose entries are held against its own checksums."""

    def __init__(self, store: Store, url: str) -> None:
        super().__init__(store)
        self._url = url

    def _with_store(self, store: Store) -> "_ZipEntries":
        return _ZipEntries(store, self._url)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        try:
            return await self._store.get(key, prototype, byte_range)
        except _NO_ZIP as error:
            # What pdstore.store names by its array.
            raise ValueError(str(error)) from error


def _sha256(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


def _chunks_below(folder: str, chunk: tuple[int, ...], listed: int, ndim: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """Chunks below a folder of keys, and their bytes.

    The first `listed` dimensions are listed, of the others only chunk 0 is there.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return
    rest = ("0",) * (ndim - listed)
    for name in names:
        # As written: 07, or a digit of another script, is no coordinate.
        if not (name.isascii() and name.isdigit() and str(int(name)) == name):
            continue
        path, coordinates = f"{folder}/{name}", (*chunk, int(name))
        if len(coordinates) < listed:
            yield from _chunks_below(path, coordinates, listed, ndim)
            continue
        with suppress(FileNotFoundError, NotADirectoryError):
            found = os.stat("/".join((path, *rest)))
            if stat.S_ISREG(found.st_mode) and found.st_size > 0:
                yield (*coordinates, *map(int, rest)), found.st_size
