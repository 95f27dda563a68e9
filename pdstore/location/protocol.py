"""What every location does, and a whole file of one."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from zarr.abc.store import Store

from pdstore.errors import StoreError


class Location(Protocol):
    """Where a store lies."""

    @property
    def url(self) -> str:
        """As a person would name it."""
        ...

    def zarr_store(self, read_only: bool) -> Store:
        """The files as zarr reads them."""
        ...

    def sizes(self, path: str = "") -> Mapping[str, int]:
        """Key, relative to the root → bytes, of the files below a path; of a web server as its manifest lists them."""
        ...

    def chunks(self, path: str, grid: tuple[int, ...]) -> dict[tuple[int, ...], int]:
        """Grid coordinates of the chunks of an array that are there → bytes.

        `grid` is the number of chunks by dimension.

        Keys are parsed strictly: a kill leaves ``name.<uuid>.partial`` beside chunks, and an empty file is no chunk.
        """
        ...

    def pieces(self, key: str) -> AsyncIterator[bytes]:
        """The bytes of a file, a piece at a time; raises `FileNotFoundError` where it is not there."""
        ...

    def digest(self, key: str) -> str | None:
        """SHA-256 of a file, hexadecimal; of a web server as its manifest says, unread. None where it is not there."""
        ...


async def read_file(location: Location, key: str, most: int) -> bytes:
    """A whole file.

    Raises
    ------
    StoreError
        It is not there, or is longer than `most` bytes.
    """
    read = bytearray()
    try:
        async for piece in location.pieces(key):
            read += piece
            if len(read) > most:
                raise StoreError(f"store {location.url}: {key} is longer than {most:,} bytes: it is not read")
    except FileNotFoundError as error:
        raise StoreError(f"store {location.url}: there is no {key}; is it a published pdstore store?") from error
    return bytes(read)
