"""What may be shown: held against counting by hand, person by person."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pdstore.analysis.disclosure import (
    carriers_and_others,
    few_deviate,
    populations_tell_of_few,
    scatter_counts,
)


@given(
    arrays(np.int8, st.tuples(st.integers(1, 5), st.integers(1, 8), st.integers(1, 2)), elements=st.integers(-2, 3)),
    st.data(),
)
def test_carriers_and_others_are_those_that_one_counts(calls: np.ndarray, data: st.DataObject) -> None:
    allele = np.array(data.draw(st.lists(st.integers(1, 3), min_size=len(calls), max_size=len(calls))))
    carriers, others = carriers_and_others(calls, allele)
    for row, wanted in enumerate(allele.tolist()):
        people = [set(person) for person in calls[row].tolist()]
        assert carriers[row] == sum(wanted in person for person in people)
        # Whoever has a missing call may carry the allele; whoever has no haplotype there has nothing to carry it on.
        knows = [-1 not in person and person != {-2} for person in people]
        assert others[row] == sum(known and wanted not in person for known, person in zip(knows, people, strict=True))


def test_a_scatter_has_the_people_of_each_cell_but_not_of_cells_with_few() -> None:
    rng = np.random.default_rng(0)
    observed, prediction = rng.normal(size=(2, 300))
    observed[:7] = np.nan
    people, observed_edges, prediction_edges = scatter_counts(observed, prediction, 6, 2.0, 5)
    inside = 0
    for row in range(6):
        for column in range(6):
            within = (observed >= observed_edges[row]) & (observed < observed_edges[row + 1])
            within &= (prediction >= prediction_edges[column]) & (prediction < prediction_edges[column + 1])
            assert people[row, column] == (within.sum() if within.sum() >= 5 else 0)
            inside += int(within.sum())
    assert 0 < people.sum() < inside < 293
    assert (people[people > 0] >= 5).all()
    np.testing.assert_allclose(observed_edges[[0, -1]], observed[7:].mean() + np.array([-2, 2]) * observed[7:].std())
    assert not np.isin(observed_edges, observed).any()


def test_no_grid_lies_around_few_people_or_one_value() -> None:
    many, one = np.arange(40.0), np.full(40, 3.0)
    few = np.where(many < 4, many, np.nan)
    for observed, prediction in ((few, many), (many, few), (many, one), (one, many)):
        people, *edges = scatter_counts(observed, prediction, 4, 3.0, 5)
        assert not people.any()
        assert np.isnan(edges).all()


@given(st.integers(0, 30), st.integers(0, 30), st.integers(2, 6))
def test_populations_tell_of_few_where_one_or_a_difference_is_few(first: int, second: int, least: int) -> None:
    people = [np.arange(30) < count for count in (30, first, second)]
    few = {count for count in (first, second, 30 - first, 30 - second, abs(first - second)) if 0 < count < least}
    # Who is in an empty population is told of by no number.
    if first == 0:
        few = {count for count in (second, 30 - second) if 0 < count < least}
    if second == 0:
        few = {count for count in (first, 30 - first) if 0 < count < least}
    assert populations_tell_of_few(people, least) == bool(few and (first or second))


def test_few_deviate_where_the_others_have_one_value() -> None:
    same, rng = np.full(50, 0.3), np.random.default_rng(0)
    assert not few_deviate(same, 5)
    assert not few_deviate(rng.normal(size=50), 5)
    for deviating, few in ((1, True), (4, True), (5, False), (46, False), (50, False)):
        values = same.copy()
        values[:deviating] += rng.normal(size=deviating)
        assert few_deviate(values, 5) == few
    # The last bits of a sum are no deviation.
    noisy = same + rng.normal(size=50) * 1e-12
    noisy[3] = 1.0
    assert few_deviate(noisy, 5)
