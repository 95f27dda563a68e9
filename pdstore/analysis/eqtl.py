"""eQTL effect size of every SNV of a window: the slope of expression on the alternate allele's dosage."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pdstore.analysis.correlation import MIN_PEOPLE, pearson_p, pearson_r


class EqtlSlopes(NamedTuple):
    """Marginal regressions, one an SNV.

    Attributes
    ----------
    slope : array, shape=(snvs,), float64, expression units per alternate allele
    p_value : array, shape=(snvs,), float64
        Two-sided.
    """

    slope: NDArray[np.float64]
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
    slope, p_value : array, shape=(snvs,), float64
        NaN where dosage or expression has no variance, or for fewer than 3 people.
    """
    dosage, observed = np.asarray(dosage, dtype=np.float64), np.asarray(observed, dtype=np.float64)
    people = observed.shape[-1]
    r = pearson_r(dosage, observed)
    if not dosage.shape[0] or people < MIN_PEOPLE:
        return EqtlSlopes(np.full(len(r), np.nan), np.full(len(r), np.nan))
    # slope = R sd(observed) / sd(dosage); where dosage does not vary R is NaN already, and so is the slope.
    spread = dosage.std(axis=-1)
    slope = np.divide(r * observed.std(), spread, out=np.full(len(r), np.nan), where=spread > 0)
    return EqtlSlopes(slope, pearson_p(r, people))
    x, y = np.asarray(dosage, dtype=np.float64), np.asarray(observed, dtype=np.float64)
    if y.size < MIN_PEOPLE:
        return EqtlSlopes(np.full(len(x), np.nan), np.full(len(x), np.nan))
    squares = np.vecdot(x, x), np.vecdot(y, y)
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean()
    # Sums of squared deviations, NaN where they are only rounding.
    sxx, syy = (
        np.where(s > RELATIVE_NOISE**2 * q, s, np.nan) for s, q in zip((np.vecdot(x, x), np.vecdot(y, y)), squares)
    )
    sxy = x @ y
    return EqtlSlopes(sxy / sxx, pearson_p(np.clip(sxy / np.sqrt(sxx * syy), -1, 1), y.size))
