"""How much of a correlation random SNV weights would reach, and the two tests against it.

A model that knows nothing but a person's genotypes still correlates with expression, because the genotypes around a
gene do. The null therefore gives every SNV of the window a random weight and predicts with those (Sasse et al. 2023).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

from pdstore.analysis.correlation import MIN_PEOPLE, RELATIVE_NOISE, pearson_r, unit_deviations

# Where one SNV alone varies every null |R| equals |R|, up to rounding.
TIE_TOLERANCE = 1e-9
# Below this, the null's standard deviation is rounding.
MIN_NULL_SD = 1e-12
# Random weights held at a time: 32 MB.
_BLOCK_VALUES = 4_000_000


def null_correlations(
    dosage: ArrayLike, observed: ArrayLike, draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """|R| between observed expression and predictions by random SNV weights, w ~ N(0, 1).

    Parameters
    ----------
    dosage : array, shape=(snvs, people), any real dtype, alternate alleles
    observed : array, shape=(people,), any real dtype, any unit
        Observed expression of the same people, no NaN.
    draws : int
    rng : numpy.random.Generator

    Returns
    -------
    abs_r : array, shape=(draws,), float64
        All NaN where no SNV varies, observed expression does not, or for fewer than 3 people.

    Notes
    -----
    With D the centred dosages, w'D is normal with covariance D'D, whatever the factor of D'D it is drawn from. In the
    eigenbasis of the smaller Gram matrix the prediction's length and its product with the observed expression need no
    matrix product over SNVs or people, which pays once there are more draws than that matrix has rows.
    """
    alleles, target = np.asarray(dosage, dtype=np.float64), np.asarray(observed, dtype=np.float64)
    if target.size < MIN_PEOPLE:
        return np.full(draws, np.nan)
    target = unit_deviations(target)
    deviations = alleles - alleles.mean(axis=1, keepdims=True)
    varies = np.linalg.norm(deviations, axis=1) > RELATIVE_NOISE * np.linalg.norm(alleles, axis=1)
    if not varies.any() or np.isnan(target).any():
        return np.full(draws, np.nan)
    deviations = deviations[varies]
    if draws <= min(deviations.shape):
        return np.abs(pearson_r(rng.standard_normal((draws, len(deviations))) @ deviations, target))

    if deviations.shape[0] <= deviations.shape[1]:
        eigenvalues, basis = np.linalg.eigh(deviations @ deviations.T)
        products = basis.T @ (deviations @ target)
    else:
        eigenvalues, basis = np.linalg.eigh(deviations.T @ deviations)
        products = np.sqrt(np.maximum(eigenvalues, 0)) * (basis.T @ target)
    # SNVs in perfect linkage leave eigenvalues that are rounding: no draw may vary along them.
    kept = eigenvalues > RELATIVE_NOISE * eigenvalues[-1]
    eigenvalues, products = eigenvalues[kept], products[kept]
    abs_r = np.empty(draws)
    rows = max(1, _BLOCK_VALUES // eigenvalues.size)
    for start in range(0, draws, rows):
        weights = rng.standard_normal((min(rows, draws - start), eigenvalues.size))
        product = np.abs(weights @ products)
        weights *= weights
        abs_r[start : start + rows] = product / np.sqrt(weights @ eigenvalues)
    return np.minimum(abs_r, 1.0)


def published_test(
    abs_r: ArrayLike, null_mean: ArrayLike, null_sd: ArrayLike, draws: int = 50
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The published test of |R| against the null.

    Parameters
    ----------
    abs_r : array, shape=(genes,), float64
        |R| between prediction and observed expression.
    null_mean, null_sd : array, shape=(genes,), float64
        Mean and population standard deviation of the null's |R|.
    draws : int, default=50
        Number of null draws behind them.

    Returns
    -------
    t, p : array, shape=(genes,), float64
        t = (|R| - null_mean) / sqrt(null_sd / draws), and its one-sided p from Student's t with draws - 1 degrees of
        freedom, 1 where t < 0. NaN where any input is NaN or null_sd < 1e-12.

    Notes
    -----
    sqrt(sd / n), not sd / sqrt(n): so it was published, and so the published table recomputes. It tests a mean and
    not a gene's R; `empirical_p` is the honest one.
    """
    abs_r, null_mean, null_sd = np.broadcast_arrays(abs_r, null_mean, null_sd)
    usable_sd = np.where(null_sd < MIN_NULL_SD, np.nan, null_sd)
    t = (abs_r - null_mean) / np.sqrt(usable_sd / draws)
    return t, np.where(t < 0, 1.0, stdtr(draws - 1, -t))


def empirical_p(
    r: float,
    dosage: ArrayLike,
    observed: ArrayLike,
    rng: np.random.Generator,
    draws: int = 1000,
    max_draws: int = 100_000,
    min_exceeding: int = 10,
) -> float:
    """Share of null draws whose |R| reaches a gene's: (1 + reaching) / (1 + draws).

    Parameters
    ----------
    r : float
        Pearson's R between prediction and observed expression.
    dosage : array, shape=(snvs, people), any real dtype, alternate alleles
    observed : array, shape=(people,), any real dtype, any unit
        Observed expression of the same people, no NaN.
    rng : numpy.random.Generator
    draws : int, default=1000
        Drawn for every gene.
    max_draws : int, default=100,000
        Drawn in total, the first ones included, where fewer than `min_exceeding` of the first reach |R|.
    min_exceeding : int, default=10

    Returns
    -------
    p : float
        NaN where R is NaN or there is no null (`null_correlations`).
    """
    reaching, drawn = 0, 0
    for total in (draws, max(draws, max_draws)):
        if reaching < min_exceeding:
            null = null_correlations(dosage, observed, total - drawn, rng)
            if np.isnan(r) or np.isnan(null).any():
                return np.nan
            reaching += int(np.count_nonzero(null >= abs(r) - TIE_TOLERANCE))
            drawn = total
    return (1 + reaching) / (1 + drawn)
