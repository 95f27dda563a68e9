"""What of a cohort may be shown without showing anybody: statistical disclosure control by a least number of people."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray


def carriers_and_others(
    calls: NDArray[np.int8], allele: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many people carry each allele, and how many are known not to.

    Parameters
    ----------
    calls : ndarray of int8, shape (alleles, people, ploidy)
        Calls of each allele's record: 0 reference, 1 the first alternate allele ..., -1 missing, -2 no such haplotype.
    allele : ndarray of integer, shape (alleles,)
        Which alternate allele of its record, from 1.

    Returns
    -------
    carriers, others : ndarray of int64, shape (alleles,)
        People. Who has a missing call and no copy is neither.
    """
    carried = (calls == allele[:, np.newaxis, np.newaxis]).any(axis=2)
    known = (calls != -1).all(axis=2) & (calls >= 0).any(axis=2)
    return carried.sum(axis=1), (known & ~carried).sum(axis=1)


def scatter_counts(
    observed: NDArray[np.float64],
    prediction: NDArray[np.float64],
    bins: int,
    standard_deviations: float,
    min_people: int,
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
    """People by observed and predicted expression on a coarse grid, cells of few people emptied.

    The grid lies around the means: an edge at the smallest value would show it.

    Parameters
    ----------
    observed, prediction : ndarray of float64, shape (people,)
        NaN where missing; only people with both count.
    bins : int
        Cells along each axis.
    standard_deviations : float
        How far the grid reaches from the mean, to both sides; people beyond are left out.
    min_people : int
        Cells with fewer are given as 0, and all of them where so few people have both values.

    Returns
    -------
    people : ndarray of int32, shape (bins, bins)
        By observed expression (rows, rising) and prediction (columns, rising).
    observed_edges, prediction_edges : ndarray of float64, shape (bins + 1,)
        NaN where no grid is given: too few people, or no variance.
    """
    both = ~(np.isnan(observed) | np.isnan(prediction))
    observed, prediction = observed[both], prediction[both]
    nowhere = np.full(bins + 1, np.nan)
    if both.sum() < min_people or not (observed.std() > 0 and prediction.std() > 0):
        return np.zeros((bins, bins), dtype=np.int32), nowhere, nowhere
    reach = np.linspace(-standard_deviations, standard_deviations, bins + 1)
    edges = [values.mean() + reach * values.std() for values in (observed, prediction)]
    people = np.histogram2d(observed, prediction, bins=edges)[0].astype(np.int32)
    return np.where(people < min_people, 0, people).astype(np.int32), edges[0], edges[1]


def populations_tell_of_few(populations: Sequence[NDArray[np.bool_]], min_people: int) -> bool:
    """Whether numbers over some populations tell of few people: over one alone, or by the difference of two.

    Parameters
    ----------
    populations : sequence of ndarray of bool, shape (people,)
        Who is in each; empty ones tell of nobody.
    min_people : int
        Fewer people than that are few.
    """
    present = [people for people in populations if people.any()]
    differences = [int((first ^ second).sum()) for first, second in combinations(present, 2)]
    return any(0 < count < min_people for count in [*(int(people.sum()) for people in present), *differences])


def few_deviate(values: NDArray[np.float64], min_people: int) -> bool:
    """Whether all but few people have the same value, so that mean and sd, or an R, are those few people's.

    Parameters
    ----------
    values : ndarray of float64, shape (people,)
        Without NaN. Values count as the same where they differ by less than a millionth of their range.
    min_people : int
        Fewer people than that are few.
    """
    if not values.size or not np.ptp(values) > 0:
        return False
    # A step of a millionth may cut between two equal values: a second grid, half a step on, does not cut there, too.
    steps = (values - values.min()) / np.ptp(values) * 1e6
    commonest = max(int(np.unique(np.floor(steps + shift), return_counts=True)[1].max()) for shift in (0.0, 0.5))
    return values.size - commonest < min_people
