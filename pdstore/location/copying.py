"""Copying a store's files: chunks are held against their checksums, and somebody is told how far it is."""

from typing import Protocol

from pdstore.errors import DamagedDataError
from pdstore.location.keys import is_whole

LARGEST_CHUNK = 2 << 30
"""Bytes."""


class Progress(Protocol):
    """Who is told how far it is."""

    def step(self, what: str) -> None:
        """Something begins."""
        ...

    def copying(self, total: int) -> None:
        """Bytes that are to be copied."""
        ...

    def copied(self, size: int) -> None:
        """Bytes that were copied."""
        ...


def check_chunk(url: str, key: str, content: bytes) -> None:
    """Raise `DamagedDataError` where a chunk is not what its checksum says: every array ends in crc32c."""
    if not is_whole(content):
        raise DamagedDataError(
            f"store {url}: {key} is damaged; get it again from a copy, or drop it with pdstore clear"
        )
