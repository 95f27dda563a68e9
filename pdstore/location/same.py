"""Which files of two stores are the same, byte for byte."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from pdstore.location.keys import is_whole
from pdstore.location.local import Folder, Zip
from pdstore.location.protocol import Location

_THREADS = 8
"""While a disk is waited for; files that are in memory already are read no faster by several."""
_AT_ONCE = 64
"""Files that a thread takes."""


def same_chunks(first: Location, second: Location, keys: Sequence[tuple[str, str]]) -> NDArray[np.bool_]:
    """Whether chunks of two stores are the same.

    Stores on this machine are read, and a chunk that is not what its checksum says is the same as none. Of a store on a
    web server or in S3, which cannot be compared without copying it, the digests of its manifest are believed:
    `pdstore.sharing.verify` is what holds its bytes against them.

    Parameters
    ----------
    first, second : Location
        Where the stores lie.
    keys : sequence of (str, str)
        Key of a chunk in the first store, and in the second.

    Returns
    -------
    ndarray of bool, shape (keys,)
        True where both have the same bytes, or neither has the chunk.
    """

    def same(part: Sequence[tuple[str, str]]) -> list[bool]:
        if isinstance(first, Folder | Zip) and isinstance(second, Folder | Zip):
            return [_is_same(first.content(key), second.content(other)) for key, other in part]
        return [first.digest(key) == second.digest(other) for key, other in part]

    with ThreadPoolExecutor(_THREADS) as pool:
        parts = pool.map(same, (keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE)))
        return np.fromiter((is_same for part in parts for is_same in part), dtype=bool, count=len(keys))


def _is_same(content: bytes | None, other: bytes | None) -> bool:
    return content == other and (content is None or is_whole(content))
