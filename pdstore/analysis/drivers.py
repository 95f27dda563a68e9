"""Which SNVs make a model's prediction differ between people: forward selection over ISM (Sasse et al. 2023)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pdstore.analysis.correlation import RELATIVE_NOISE, pearson_p, pearson_r


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
    terms = ism[order, None] * np.asarray(dosage)[np.ix_(order, people)]
    prediction_of_people = prediction[people]
    own_r = pearson_r(terms, prediction_of_people)
    rank, increment, r = np.zeros(ism.size, np.int32), np.full(ism.size, np.nan), np.full(ism.size, np.nan)
    r[order] = own_r
    p_all = linear_approximation(ism, dosage, prediction)
    if not p_all > 0:
        return Drivers(rank, increment, r, p_all, selected=False)

    sizes = np.cumsum(np.linalg.norm(terms, axis=1))
    p = _r_of_sums(np.cumsum(terms, axis=0), sizes, prediction_of_people)
    fraction = np.concatenate([[0.0], p / p_all])
    last_defined = np.maximum.accumulate(np.where(np.isnan(fraction), 0, np.arange(fraction.size)))
    steps = np.diff(fraction[last_defined])
    significant = (own_r > 0) & (pearson_p(own_r, people.size) < alpha / order.size)
    drivers = np.flatnonzero((steps > min_increment) & significant)
    drivers = drivers[np.argsort(-steps[drivers], kind="stable")]
    increment[order] = steps
    rank[order[drivers]] = np.arange(1, drivers.size + 1)
    return Drivers(rank, increment, r, p_all, selected=True)


def _r_of_sums(sums: NDArray[np.float64], size: ArrayLike, prediction: NDArray[np.float64]) -> NDArray[np.float64]:
    """R of sums of terms with the prediction; NaN also where terms of total length `size` cancel up to rounding."""
    r = pearson_r(sums, prediction)
    left = np.sqrt(sums.shape[-1]) * np.std(sums, axis=-1) if prediction.size else np.zeros(r.shape)
    return np.where(left > RELATIVE_NOISE * np.asarray(size), r, np.nan)
