"""Which rows of an array are the same bytes in two stores: what need not be decoded to be compared."""

import json
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from zarr.core.metadata import ArrayV3Metadata

from pdstore.location.same import same_chunks
from pdstore.store import Store


def same_rows(stores: Sequence[Store], path: str, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows of an array of two stores whose chunks are the same, in the same layout.

    Parameters
    ----------
    stores : sequence of Store
        Two stores that have the array.
    path : str
        Of the array.
    rows : ndarray of int64, shape (2, rows)
        Row of each gene, or variant, in the first store and in the second, 0-based.

    Returns
    -------
    ndarray of bool, shape (rows,)
        True where the values are the same; where it is False, they may be.
    """
    same = np.zeros(rows.shape[1], dtype=bool)
    first, second = (_metadata(store, path) for store in stores)
    if _layout(first) != _layout(second):
        return same
    lengths = first.chunk_grid.chunk_shape  # type: ignore[attr-defined]
    part, place = np.divmod(rows, lengths[0])
    # A chunk of several rows says something of two genes only where both stand at the same place in theirs.
    alike = np.flatnonzero(place[0] == place[1])
    # A pair of chunks as one number.
    chunks = int(part[1].max(initial=0)) + 1
    pairs, pair_of = np.unique(part[0, alike] * chunks + part[1, alike], return_inverse=True)
    grid = [-(-size // length) for size, length in zip(first.shape[1:], lengths[1:], strict=True)]
    others = list(product(*map(range, grid)))
    keys = [
        (f"{path}/{first.encode_chunk_key((one, *rest))}", f"{path}/{second.encode_chunk_key((other, *rest))}")
        for one, other in (divmod(pair, chunks) for pair in pairs.tolist())
        for rest in others
    ]
    found = same_chunks(stores[0].location, stores[1].location, keys)
    is_same = np.array(found.reshape(len(pairs), len(others)).all(axis=1))
    same[alike] = is_same[pair_of]
    return same


def is_same_array(stores: Sequence[Store], path: str) -> bool:
    """Whether an array of two stores has the same shape, and the same chunks."""
    shapes = [store.array(path).shape for store in stores]
    return shapes[0] == shapes[1] and bool(same_rows(stores, path, np.tile(np.arange(shapes[0][0]), (2, 1))).all())


def _metadata(store: Store, path: str) -> ArrayV3Metadata:
    metadata = store.array(path).metadata
    # Stores are opened as Zarr of format 3.
    assert isinstance(metadata, ArrayV3Metadata)
    return metadata


def _layout(metadata: ArrayV3Metadata) -> str:
    """What says how a chunk is read, as text: all metadata but the number of rows, and what is said in words."""
    described = metadata.to_dict() | {"shape": metadata.shape[1:], "attributes": {}}
    return json.dumps(described, sort_keys=True, default=str)
