"""Rows of arrays of which only some chunks are there: of so many that only those can be looked at."""

import numpy as np
from numpy.typing import NDArray

from pdstore.store import Store


def columns_written(store: Store, path: str) -> dict[int, NDArray[np.int64]]:
    """What is there of each row of an array of one row a chunk.

    Parameters
    ----------
    store : Store
        The store.
    path : str
        Path of the array, whose chunks are whole along all dimensions behind the second.

    Returns
    -------
    dict of int to ndarray of int64, shape (columns written,)
        Row → indices along the second dimension, rising; rows without a chunk are not named.
    """
    array = store.array(path)
    columns, length = array.shape[1], array.chunks[1]
    found: dict[int, list[NDArray[np.int64]]] = {}
    for row, part, *_ in sorted(store.chunks_written(path)):
        found.setdefault(row, []).append(np.arange(part * length, min((part + 1) * length, columns)))
    return {row: np.concatenate(parts) for row, parts in found.items()}


def read_columns(
    store: Store, path: str, row: int, columns: NDArray[np.int64], written: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Some columns of a row: NaN where they are not among those that are written; shape (columns, ...)."""
    values = np.full((len(columns), *store.array(path).shape[2:]), np.nan, dtype=np.float32)
    there = np.flatnonzero(np.isin(columns, written))
    for run in np.split(there, np.flatnonzero(np.diff(columns[there]) != 1) + 1):
        if len(run):
            values[run] = store.read(path, (row, slice(int(columns[run[0]]), int(columns[run[-1]]) + 1)))
    return values
