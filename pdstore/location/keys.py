"""Keys of a store's files: which stay within it, and which chunk one is of."""

import re
from collections.abc import Mapping

import google_crc32c

_CHECKSUM = 4
"""Bytes at the end of a chunk."""
_SEGMENT = re.compile(r"[^/\\\x00-\x1f\x7f]+")


def is_safe_key(key: str) -> bool:
    """Whether a key, or a path in a store, stays within it: no empty, "." or ".." part, no control character."""
    return all(_SEGMENT.fullmatch(part) and part not in (".", "..") for part in key.split("/"))


def is_whole(chunk: bytes) -> bool:
    """Whether a chunk is what its checksum says: every array ends in crc32c."""
    stored = int.from_bytes(chunk[-_CHECKSUM:], "little")
    return len(chunk) > _CHECKSUM and google_crc32c.value(chunk[:-_CHECKSUM]) == stored


def below(sizes: Mapping[str, int], path: str) -> Mapping[str, int]:
    """Of sizes by key those below a path; an empty path is the root."""
    prefix = f"{path}/" if path else ""
    return {key: size for key, size in sizes.items() if key.startswith(prefix)}


def chunks_of(sizes: Mapping[str, int], path: str, grid: tuple[int, ...]) -> dict[tuple[int, ...], int]:
    """The chunks of an array among the keys below it, with their sizes."""
    found = {}
    for key, size in sizes.items():
        chunk = parse_chunk(key.removeprefix(f"{path}/c/").split("/"), grid)
        if chunk is not None and size > 0:
            found[chunk] = size
    return found


def parse_chunk(parts: list[str], grid: tuple[int, ...]) -> tuple[int, ...] | None:
    """Grid coordinates that the parts of a key spell; None where they spell none of this grid."""
    if len(parts) != len(grid) or not all(re.fullmatch("0|[1-9][0-9]{0,17}", part) for part in parts):
        return None
    chunk = tuple(map(int, parts))
    return chunk if all(part < number for part, number in zip(chunk, grid, strict=True)) else None
