"""Pearson's R over people, its p-value and its bootstrap interval.

The definitions are those of Sasse et al. 2023 (Nature Genetics 55:2060): R between the predicted and the observed
expression of one gene, over people.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

# Deviations this small beside the values themselves are rounding, not variance.
RELATIVE_NOISE = 1e-12
MIN_PEOPLE = 3


def unit_deviations(x: ArrayLike) -> NDArray[np.float64]:
    """Deviations from the mean, of Euclidean length 1 along the last axis; NaN where `x` has no variance."""
    values = np.asarray(x, dtype=np.float64)
    deviations = values - values.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(deviations, axis=-1, keepdims=True)
    varies = length > RELATIVE_NOISE * np.linalg.norm(values, axis=-1, keepdims=True)
    unit: NDArray[np.float64] = deviations / np.where(varies, length, np.nan)
    return unit


def pearson_r(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Pearson's R over the last axis, the other axes broadcast.

    Parameters
    ----------
    x, y : array, shape=(..., people), any real dtype, any unit
        Computed in float64. NaN in a row makes that row's R NaN: leave people without both values out.

    Returns
    -------
    r : array, shape=(...), float64
        NaN where either side has no variance beyond rounding (relative to its own size), or for fewer than 3 people.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.
    """
    x, y = np.asarray(x), np.asarray(y)
    if min(x.shape[-1], y.shape[-1]) < MIN_PEOPLE:
        return np.full(np.broadcast_shapes(x.shape, y.shape)[:-1], np.nan)
    r: NDArray[np.float64] = np.vecdot(unit_deviations(x), unit_deviations(y))
    return np.clip(r, -1.0, 1.0)


def pearson_p(r: ArrayLike, n: ArrayLike) -> NDArray[np.float64]:
    """Two-sided p-value of Pearson's R under no correlation: Student's t with n - 2 degrees of freedom.

    Parameters
    ----------
    r : array, shape=(...), float64
        Pearson's R, -1 to 1.
    n : array, shape=(...), int
        Number of people behind each R.

    Returns
    -------
    p : array, shape=(...), float64
        NaN where R is NaN or for fewer than 3 people.

    Notes
    -----
    t = r sqrt((n - 2) / (1 - r^2)).
    """
    r, n = np.asarray(r, dtype=np.float64), np.asarray(n)
    freedom = np.where(n < MIN_PEOPLE, np.nan, n - 2.0)
    with np.errstate(divide="ignore"):
        t = np.abs(r) * np.sqrt(freedom / ((1 - r) * (1 + r)))
    p: NDArray[np.float64] = 2 * stdtr(freedom, -t)
    return p


def bootstrap_interval(
    prediction: ArrayLike, observed: ArrayLike, rng: np.random.Generator, resamples: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of Pearson's R, people being resampled.

    Parameters
    ----------
    prediction, observed : array, shape=(people,), any real dtype, any unit
        The people with both values, no NaN.
    rng : numpy.random.Generator
        Its seed is the caller's to record.
    resamples : int, default=1000
    level : float, default=0.95
        Probability mass between the two ends.

    Returns
    -------
    low, high : float
        NaN where R itself does not exist. Resamples in which one side has no variance have no R and are left out.
    """
    if np.isnan(pearson_r(prediction, observed)):
        return np.nan, np.nan
    x, y = unit_deviations(prediction), unit_deviations(observed)
    people = x.size
    # A resample is how often each person was drawn, so that all its moments are one row of a matrix product.
    drawn = rng.integers(people, size=(resamples, people)) + people * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * people).reshape(resamples, people)
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = (counts @ np.array([x, y, x * x, y * y, x * y]).T / people).T
    variance_x, variance_y = mean_xx - mean_x**2, mean_yy - mean_y**2
    varies = (variance_x > RELATIVE_NOISE * mean_xx) & (variance_y > RELATIVE_NOISE * mean_yy)
    if not varies.any():
        return np.nan, np.nan
    r = (mean_xy - mean_x * mean_y)[varies] / np.sqrt(variance_x[varies] * variance_y[varies])
    low, high = np.quantile(np.clip(r, -1.0, 1.0), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
