"""eQTL effect size of every SNV of a window: the slope of expression on the alternate allele's dosage."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pdstore.analysis.correlation import MIN_PEOPLE, RELATIVE_NOISE, pearson_p


class EqtlSlopes(NamedTuple):
    """Marginal regressions, one an SNV.

    Attributes
    ----------
    slope : array, shape=(snvs,), float64, expression units per alternate allele
    pearson_r : array, shape=(snvs,), float64
        Between dosage and expression.
    p_value : array, shape=(snvs,), float64
        Two-sided.
    """

    slope: NDArray[np.float64]
    pearson_r: NDArray[np.float64]
    p_value: NDArray[np.float64]


def eqtl_slopes(dosage: ArrayLike, observed: ArrayLike) -> EqtlSlopes:
    """Least-squares regression of observed expression on dosage, SNV by SNV.

    Parameters
    ----------
    dosage : array, shape=(snvs, people), any real dtype, alternate alleles (0, 1, 2)
        Of the alternate allele even where that is the major one, or the sign disagrees with ISM's.
    observed : array, shape=(people,), any real dtype, any unit
        Observed expression of the same people, no NaN.

    Returns
    -------
    slope, pearson_r, p_value : array, shape=(snvs,), float64
        NaN where dosage or expression has no variance, or for fewer than 3 people. A slope that is 0 but for rounding
        is 0: its sign would be chance.
    """
    x, y = np.array(dosage, dtype=np.float64), np.array(observed, dtype=np.float64)
    if y.size < MIN_PEOPLE:
        return EqtlSlopes(*np.full((3, len(x)), np.nan))
    size = np.vecdot(y, y)
    sxx, syy = _centre(x), _centre(y)
    sxy = x @ y
    sxy[np.abs(sxy) <= RELATIVE_NOISE * np.sqrt(sxx * size)] = 0
    r = np.clip(sxy / np.sqrt(sxx * syy), -1.0, 1.0)
    return EqtlSlopes(np.where(np.isnan(r), np.nan, sxy / sxx), r, pearson_p(r, y.size))


def _centre(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Subtract the mean in place (new memory is most of the time here); the sum of squares left, NaN if rounding."""
    size = np.vecdot(values, values)
    values -= values.mean(axis=-1, keepdims=True)
    squares = np.vecdot(values, values)
    return np.where(squares > RELATIVE_NOISE**2 * size, squares, np.nan)
