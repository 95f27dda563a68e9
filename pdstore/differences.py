"""Two arrays value by value: what differs of what both hold, and what one of them lacks."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class RowDifferences(NamedTuple):
    """What is said of each row of two arrays.

    Attributes
    ----------
    differs : ndarray of bool, shape (rows,)
        Whether values that both hold differ by more than the tolerance.
    largest : ndarray of float64, shape (rows,)
        Largest relative difference of them, |a - b| / max(|a|, |b|); NaN where there is none.
    missing : ndarray of bool, shape (2, rows)
        Whether the first lacks a value that the second has, and the second one that the first has.
    """

    differs: NDArray[np.bool_]
    largest: NDArray[np.float64]
    missing: NDArray[np.bool_]


def row_differences(
    first: NDArray[Any], second: NDArray[Any], tolerance: float = 0.0, fill_value: Any = math.nan
) -> RowDifferences:
    """Compare two arrays row by row.

    Parameters
    ----------
    first, second : ndarray of numbers, bool or str, shape (rows, ...)
    tolerance : float
        Relative difference up to which numbers are the same.
    fill_value : Any
        What a missing value reads as, of numbers: NaN, or -1. No other value means that there is none.
    """
    rows, size = len(first), math.prod(first.shape[1:])
    absent = [_is_missing(values, fill_value) for values in (first, second)]
    of_each = np.array([absent[0] & ~absent[1], absent[1] & ~absent[0]]).reshape(2, rows, size)
    missing = np.array(of_each.any(axis=2))
    differs = np.not_equal(first, second).astype(bool) & ~(absent[0] | absent[1])
    largest = np.full(rows, np.nan)
    if first.dtype.kind in "iuf" and second.dtype.kind in "iuf":
        a, b = first.astype(np.float64), second.astype(np.float64)
        with np.errstate(all="ignore"):
            relative = np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))
        # Whole numbers may differ by less than a float tells apart.
        differs &= ~((relative <= tolerance) & (tolerance > 0))
        known = np.where(differs & np.isfinite(relative), relative, -1.0).reshape(rows, size).max(axis=1, initial=-1.0)
        largest = np.where(known < 0, np.nan, known)
    return RowDifferences(differs.reshape(rows, size).any(axis=1), largest, missing)


def _is_missing(values: NDArray[Any], fill_value: Any) -> NDArray[np.bool_]:
    if values.dtype.kind == "f":
        return np.asarray(np.isnan(values))
    if values.dtype.kind == "i" and fill_value == -1:
        return np.asarray(values == -1)
    return np.zeros(values.shape, dtype=bool)
