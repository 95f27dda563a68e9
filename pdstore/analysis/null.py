"""How much of a correlation random SNV weights would reach, and the two tests against it.

A model that knows nothing but a person's genotypes still correlates with expression, because the genotypes around a
gene do. The null therefore gives every SNV of the window a random weight and predicts with those (Sasse et al. 2023).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg.lapack import dsytrd, dsytrd_lwork
from scipy.special import stdtr

from pdstore.analysis.correlation import MIN_PEOPLE, RELATIVE_NOISE, pearson_r, unit_deviations

# Where one SNV alone varies every null |R| equals |R|, up to rounding.
TIE_TOLERANCE = 1e-9
# Below this, the null's standard deviation is rounding.
MIN_NULL_SD = 1e-12
# Random weights held at a time: 32 MB.
_BLOCK_VALUES = 4_000_000
_DRAWS_AT_ONCE, _TERMS_AT_ONCE = 50_000, 16


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
    With D the centred dosages, w'D is normal with covariance D'D, whatever the factor of D'D it is drawn from. In a
    basis that begins with the observed expression and in which D'D (or, for fewer SNVs than people, D D', beginning
    with D times expression) is tridiagonal, its Cholesky factor has two diagonals: a draw takes as many steps as there
    are people, or SNVs, which pays once there are more draws than these.
    """
    alleles, target = np.asarray(dosage), np.asarray(observed, dtype=np.float64)
    if target.size < MIN_PEOPLE:
        return np.full(draws, np.nan)
    alleles, target = alleles[_varies(alleles)], unit_deviations(target)
    if not len(alleles) or np.isnan(target).any():
        return np.full(draws, np.nan)
    if draws <= min(alleles.shape):
        deviations = alleles - alleles.mean(axis=1, keepdims=True, dtype=np.float64)
        return np.abs(pearson_r(rng.standard_normal((draws, len(deviations))) @ deviations, target))
    law = _law(alleles, target)
    abs_r = np.empty(draws)
    rows = max(1, _BLOCK_VALUES // law.of_last.size)
    for start in range(0, draws, rows):
        z = rng.standard_normal((min(rows, draws - start), law.of_last.size))
        values = law.of_last * z
        values[:, 1:] += law.of_one_before[1:] * z[:, :-1]
        abs_r[start : start + rows] = law.product * np.abs(z[:, 0]) / np.sqrt(np.vecdot(values, values))
    return np.minimum(abs_r, 1.0)


class _Law(NamedTuple):
    """The law of |R| under the null, by independent standard normal z_0, z_1, …

    |R| is product |z_0| / sqrt(sum of squares of (of_one_before[i] z_(i-1) + of_last[i] z_i)).
    """

    product: float
    of_one_before: NDArray[np.float64]
    of_last: NDArray[np.float64]


def _law(alleles: NDArray[Any], target: NDArray[np.float64]) -> _Law:
    """The law for SNVs that vary, and observed expression's unit deviations."""
    snvs, people = alleles.shape
    mean = alleles.mean(axis=1, dtype=np.float64)
    # Sums of products of whole numbers are exact in single precision, at half the time.
    exact = alleles.dtype.kind in "iub" and snvs * float(np.abs(alleles).max()) ** 2 < 2**24
    values: NDArray[Any] = alleles.astype(np.float32 if exact and people < snvs else np.float64)
    if people < snvs:
        gram = (values.T @ values).astype(np.float64)
        product = mean @ values
        gram -= product[:, None] + product - mean @ mean
        start, length = target, 1.0
    else:
        values -= mean[:, None]
        gram, start = values @ values.T, values @ target
        length = float(np.linalg.norm(start))
        if length == 0:
            start = np.zeros(snvs)
            start[0] = 1.0
    diagonal, below = _bidiagonal(gram, start)
    if people < snvs:
        return _Law(float(diagonal[0]), np.concatenate([[0], below, [0]]), np.concatenate([diagonal, [0]]))
    return _Law(length, np.concatenate([[0], diagonal]), np.concatenate([[0], below, [0]]))


def _bidiagonal(
    gram: NDArray[np.float64], start: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower bidiagonal B with B B' = T, where gram = Q T Q' is tridiagonal in a basis Q whose first vector is `start`.

    Parameters
    ----------
    gram : ndarray of float64, shape (n, n)
        Symmetric, no eigenvalue below 0; overwritten.
    start : ndarray of float64, shape (n,)
        Of any length but 0.

    Returns
    -------
    diagonal : ndarray of float64, shape (n,)
    below : ndarray of float64, shape (n - 1,)
        Not negative: signs of the basis are free.
    """
    size = len(start)
    # A reflection takes `start` to the first axis, which LAPACK's reduction leaves where it is.
    mirror = start / np.linalg.norm(start)
    mirror[0] += np.copysign(1.0, mirror[0])
    mirror /= np.linalg.norm(mirror)
    image = gram @ mirror
    image = 2 * (image - (mirror @ image) * mirror)
    gram -= np.outer(mirror, image) + np.outer(image, mirror)
    work = int(dsytrd_lwork(size, lower=1)[0])
    _, squares, products, _, _ = dsytrd(np.asfortranarray(gram), lower=1, lwork=work, overwrite_a=1)
    diagonal, below = np.zeros(size), np.zeros(max(0, size - 1))
    rest, rounding = squares.copy(), RELATIVE_NOISE * squares.sum()
    for row in range(size):
        # What is left of a direction in which no draw varies is rounding.
        if rest[row] > rounding:
            diagonal[row] = np.sqrt(rest[row])
            if row + 1 < size:
                below[row] = abs(products[row]) / diagonal[row]
                rest[row + 1] -= below[row] ** 2
    return diagonal, below


def _varies(alleles: NDArray[Any]) -> NDArray[np.bool_]:
    varies: NDArray[np.bool_]
    if alleles.dtype.kind in "iub":
        varies = (alleles != alleles[:, :1]).any(axis=1)
        return varies
    deviations = alleles - alleles.mean(axis=1, keepdims=True, dtype=np.float64)
    varies = np.linalg.norm(deviations, axis=1) > RELATIVE_NOISE * np.linalg.norm(alleles, axis=1)
    return varies


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
    alleles, target = np.asarray(dosage), np.asarray(observed, dtype=np.float64)
    if target.size < MIN_PEOPLE or np.isnan(r):
        return np.nan
    alleles, target = alleles[_varies(alleles)], unit_deviations(target)
    if not len(alleles) or np.isnan(target).any():
        return np.nan
    law = _law(alleles, target)
    reaching, drawn = 0, 0
    for total in (draws, max(draws, max_draws)):
        if reaching < min_exceeding:
            reaching += _reaching(law, abs(r) - TIE_TOLERANCE, total - drawn, rng)
            drawn = total
    return (1 + reaching) / (1 + drawn)


def _reaching(law: _Law, r: float, draws: int, rng: np.random.Generator) -> int:
    """How many draws of |R| are at least r.

    The sum of squares only grows: a draw is over once it is too long for its product, long before its last term.
    """
    if r <= 0:
        return draws
    reaching = 0
    for first in range(0, draws, _DRAWS_AT_ONCE):
        before = rng.standard_normal(min(_DRAWS_AT_ONCE, draws - first))
        longest = (law.product * before / r) ** 2
        square = (law.of_last[0] * before) ** 2
        for term in range(1, law.of_last.size, _TERMS_AT_ONCE):
            terms = slice(term, term + _TERMS_AT_ONCE)
            z = rng.standard_normal((len(before), len(law.of_last[terms])))
            values = law.of_last[terms] * z
            values += law.of_one_before[terms] * np.column_stack([before, z[:, :-1]])
            square += np.vecdot(values, values)
            left = square <= longest
            before, longest, square = z[left, -1], longest[left], square[left]
        reaching += len(before)
    return reaching
