"""Which SNVs make a model's prediction differ between people: selections over ISM (Sasse et al. 2023)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pdstore.analysis.correlation import MIN_PEOPLE, RELATIVE_NOISE, pearson_p, pearson_r, unit_deviations


class Drivers(NamedTuple):
    """Drivers of one gene.

    Attributes
    ----------
    rank : array, shape=(snvs,), int32
        0 not a driver, 1 the main driver (the largest increment), then by descending increment.
    increment : array, shape=(snvs,), float64
        F_i - F_(i-1), fraction of the full sum's R that the SNV adds; NaN without ISM, and where nothing was selected.
    pearson_r_with_prediction : array, shape=(snvs,), float64
        Pearson's R between the SNV's own term, ism x dosage, and the prediction; NaN without ISM or variance.
    linear_approximation_r : float
        P_all, Pearson's R between the sum of all terms and the prediction.
    selected : bool
        Whether there was a selection: False where P_all is not positive or does not exist, and the gene's drivers are
        null rather than none.
    """

    rank: NDArray[np.int32]
    increment: NDArray[np.float64]
    pearson_r_with_prediction: NDArray[np.float64]
    linear_approximation_r: float
    selected: bool


def linear_approximation(ism: ArrayLike, dosage: ArrayLike, prediction: ArrayLike) -> float:
    """Pearson's R between the sum of ism x dosage and the model's prediction, over people.

    Parameters
    ----------
    ism : array, shape=(snvs,), any real dtype, readout units per alternate allele
        NaN where there is none; such SNVs are left out.
    dosage : array, shape=(snvs, people), any real dtype, alternate alleles
    prediction : array, shape=(people,), any real dtype, readout units
        NaN where there is none; such people are left out.

    Returns
    -------
    r : float
        NaN where the sum or the prediction has no variance, or for fewer than 3 people.
    """
    ism, prediction = np.asarray(ism, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    snvs, people = np.flatnonzero(~np.isnan(ism)), np.flatnonzero(~np.isnan(prediction))
    alleles = np.asarray(dosage)[np.ix_(snvs, people)].astype(np.float64)
    size = np.abs(ism[snvs]) @ np.linalg.norm(alleles, axis=1)
    return float(_r_of_sums(ism[snvs] @ alleles, size, prediction[people]))


def forward_drivers(
    ism: ArrayLike,
    dosage: ArrayLike,
    prediction: ArrayLike,
    position: ArrayLike,
    min_increment: float = 0.05,
    alpha: float = 0.01,
) -> Drivers:
    """Drivers of one gene by forward selection, SNVs being added in order of descending |ism|.

    P_i is Pearson's R between the sum of the first i terms ism x dosage and the prediction, P_all the full sum's,
    F_i = P_i / P_all and F_0 = 0. A partial sum without variance keeps the previous F. SNV i is a driver if
    F_i - F_(i-1) > `min_increment` and its own term correlates positively with the prediction, with a two-sided
    p < `alpha` / number of SNVs with ISM.

    Parameters
    ----------
    ism : array, shape=(snvs,), any real dtype, readout units per alternate allele
        NaN where there is none (not an SNV, not computed); such rows are left out and not counted as SNVs.
    dosage : array, shape=(snvs, people), any real dtype, alternate alleles
    prediction : array, shape=(people,), any real dtype, readout units
        NaN where there is none; such people are left out.
    position : array, shape=(snvs,), int, bp
        Breaks ties of |ism|, the smaller first.
    min_increment : float, default=0.05
    alpha : float, default=0.01

    Returns
    -------
    Drivers
    """
    ism, prediction = np.asarray(ism, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    order = np.lexsort((np.asarray(position), -np.abs(ism)))
    order, people = order[~np.isnan(ism[order])], np.flatnonzero(~np.isnan(prediction))
    rank, increment, r = np.zeros(ism.size, np.int32), np.full(ism.size, np.nan), np.full(ism.size, np.nan)
    if people.size < MIN_PEOPLE or not order.size:
        return Drivers(rank, increment, r, np.nan, selected=False)
    # One array of all terms, changed in place: passes over it are most of the time.
    terms = ism[order, None] * np.asarray(dosage)[np.ix_(order, people)]
    sizes = np.sqrt(np.vecdot(terms, terms))
    terms -= terms.mean(axis=1, keepdims=True)
    products = terms @ unit_deviations(prediction[people])
    own_r = _r_of_deviations(products, np.vecdot(terms, terms), sizes)
    r[order] = own_r
    np.cumsum(terms, axis=0, out=terms)
    p = _r_of_deviations(np.cumsum(products), np.vecdot(terms, terms), np.cumsum(sizes))
    p_all = float(p[-1])
    if not p_all > 0:
        return Drivers(rank, increment, r, p_all, selected=False)

    fraction = np.concatenate([[0.0], p / p_all])
    last_defined = np.maximum.accumulate(np.where(np.isnan(fraction), 0, np.arange(fraction.size)))
    steps = np.diff(fraction[last_defined])
    significant = (own_r > 0) & (pearson_p(own_r, people.size) < alpha / order.size)
    drivers = np.flatnonzero((steps > min_increment) & significant)
    drivers = drivers[np.argsort(-steps[drivers], kind="stable")]
    increment[order] = steps
    rank[order[drivers]] = np.arange(1, drivers.size + 1)
    return Drivers(rank, increment, r, p_all, selected=True)


def backward_drivers(
    ism: ArrayLike, dosage: ArrayLike, prediction: ArrayLike, position: ArrayLike, alpha: float = 0.01
) -> NDArray[np.int32]:
    """Drivers of one gene by backward selection, SNVs being taken out of the sum of all terms.

    Again and again the SNV is removed without which R between the sum of ism x dosage and the prediction is lowest,
    until R of the rest is no longer significant: not positive, without variance, or with a two-sided p of at least
    `alpha` / number of SNVs with ISM.

    Parameters
    ----------
    ism : array, shape=(snvs,), any real dtype, readout units per alternate allele
        NaN where there is none; such rows are left out and not counted as SNVs.
    dosage : array, shape=(snvs, people), any real dtype, alternate alleles
    prediction : array, shape=(people,), any real dtype, readout units
        NaN where there is none; such people are left out.
    position : array, shape=(snvs,), int, bp
        Breaks ties, the smaller first.
    alpha : float, default=0.01

    Returns
    -------
    rank : array, shape=(snvs,), int32
        The order of removal, from 1; 0 for what is not removed. All 0 where R of all is not significant.

    Notes
    -----
    With T the centred terms, y the prediction's unit deviations and S the rest, R = sum_S (T y) / sqrt(sum_SS (T T')):
    without SNV i the first sum loses one element and the second a row and a column of the Gram matrix T T', of which
    the columns of removed SNVs alone are needed.
    """
    ism, prediction = np.asarray(ism, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    rank = np.zeros(ism.size, np.int32)
    order = np.argsort(np.asarray(position), kind="stable")
    order, people = order[~np.isnan(ism[order])], np.flatnonzero(~np.isnan(prediction))
    if people.size < MIN_PEOPLE:
        return rank
    terms = ism[order, None] * np.asarray(dosage)[np.ix_(order, people)]
    size = np.linalg.norm(terms, axis=1).sum()
    terms -= terms.mean(axis=1, keepdims=True)
    products = terms @ unit_deviations(prediction[people])
    total = terms.sum(axis=0)
    with_rest, own = terms @ total, np.vecdot(terms, terms)
    in_rest = np.ones(order.size, dtype=np.bool_)
    product, square = products.sum(), total @ total
    while in_rest.any() and _significant(product, square, size, people.size, alpha / order.size):
        without = square - 2 * with_rest + own
        varies = in_rest & (without > (RELATIVE_NOISE * size) ** 2)
        # What leaves a rest without variance lowers R most of all.
        r = np.where(varies, (product - products) / np.sqrt(np.where(varies, without, 1.0)), -np.inf)
        removed = int(np.argmin(np.where(in_rest, r, np.inf)))
        in_rest[removed] = False
        rank[order[removed]] = in_rest.size - in_rest.sum()
        # Summed anew: differences of large sums would keep their rounding.
        product, total = products[in_rest].sum(), total - terms[removed]
        square, with_rest = total @ total, with_rest - terms @ terms[removed]
    return rank


def _significant(product: float, square: float, size: float, people: int, alpha: float) -> bool:
    """Whether R = product / sqrt(square) is positive with p < alpha; of terms of total length `size`."""
    if not (product > 0 and square > (RELATIVE_NOISE * size) ** 2):
        return False
    return bool(pearson_p(min(product / np.sqrt(square), 1.0), people) < alpha)


def _r_of_deviations(
    product: NDArray[np.float64], square: NDArray[np.float64], size: NDArray[np.float64]
) -> NDArray[np.float64]:
    """R of sums of centred terms from products with unit deviations and squares; NaN where a square is rounding."""
    varies = square > (RELATIVE_NOISE * size) ** 2
    return np.where(varies, np.clip(product / np.sqrt(np.where(varies, square, 1.0)), -1.0, 1.0), np.nan)


def _r_of_sums(sums: NDArray[np.float64], size: ArrayLike, prediction: NDArray[np.float64]) -> NDArray[np.float64]:
    """R of sums of terms with the prediction; NaN also where terms of total length `size` cancel up to rounding."""
    r = pearson_r(sums, prediction)
    left = np.sqrt(sums.shape[-1]) * np.std(sums, axis=-1) if prediction.size else np.zeros(r.shape)
    return np.where(left > RELATIVE_NOISE * np.asarray(size), r, np.nan)
