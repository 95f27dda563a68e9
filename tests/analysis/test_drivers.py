import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pdstore.analysis.drivers import backward_drivers, forward_drivers, linear_approximation

seeds = st.integers(0, 2**32 - 1)
# Dosages of two SNVs of equal frequency that are independent over these nine people.
INDEPENDENT = np.array([[0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 1, 2, 0, 1, 2, 0, 1, 2]])


@pytest.fixture(scope="module")
def with_gaps(simulate_gene):
    """Simulated cohorts of which some SNVs have no ISM and some people no prediction."""

    def simulate(seed):
        gene = simulate_gene(seed)
        rng = np.random.default_rng([seed, 1])
        ism = np.where(rng.uniform(size=len(gene.ism)) < 0.1, np.nan, gene.ism)
        prediction = np.where(rng.uniform(size=150) < 0.1, np.nan, gene.prediction)
        # Some predictions oppose the terms, so that nothing is selected.
        return ism, gene.dosage, prediction * rng.choice([1, 1, 1, -1]), gene.position

    return simulate


def brute_force_drivers(ism, dosage, prediction, position, min_increment=0.05, alpha=0.01):
    """The definition, SNV by SNV: {snv: increment} and {driver: rank}, or None where nothing can be selected."""
    people = [i for i in range(len(prediction)) if not np.isnan(prediction[i])]
    y = prediction[people]
    snvs = sorted((i for i in range(len(ism)) if not np.isnan(ism[i])), key=lambda i: (-abs(ism[i]), position[i]))
    total = sum(ism[i] * dosage[i, people] for i in snvs)
    if np.ptp(total) < 1e-9 or (p_all := stats.pearsonr(total, y).statistic) <= 0:
        return None
    partial, before, increments, drivers = np.zeros(len(people)), 0.0, {}, []
    for i in snvs:
        term = ism[i] * dosage[i, people]
        partial = partial + term
        now = before if np.ptp(partial) < 1e-9 else stats.pearsonr(partial, y).statistic / p_all
        increments[i], before = now - before, now
        if increments[i] > min_increment and np.ptp(term) > 0:
            own = stats.pearsonr(term, y)
            if own.statistic > 0 and own.pvalue < alpha / len(snvs):
                drivers.append(i)
    drivers.sort(key=lambda i: -increments[i])
    return increments, {snv: rank for rank, snv in enumerate(drivers, start=1)}


@given(seeds)
def test_selection_equals_the_definition(with_gaps, seed):
    ism, dosage, prediction, position = with_gaps(seed)
    result = forward_drivers(ism, dosage, prediction, position)
    expected = brute_force_drivers(ism, dosage, prediction, position)
    assert result.selected == (expected is not None)
    if expected is not None:
        increments, ranks = expected
        np.testing.assert_allclose(result.increment, [increments.get(i, np.nan) for i in range(len(ism))], atol=1e-9)
        assert {i: rank for i, rank in enumerate(result.rank) if rank} == ranks


def test_the_simulated_genes_have_drivers_and_genes_without(with_gaps):
    results = [brute_force_drivers(*with_gaps(seed)) for seed in range(40)]
    assert sum(result is None for result in results) > 3
    assert sum(result is not None and len(result[1]) > 1 for result in results) > 10


def test_a_tiny_exact_selection():
    result = forward_drivers([3, np.nan, 4], INDEPENDENT[[0, 0, 1]], [3, 4] @ INDEPENDENT + 7, [10, 20, 30], alpha=1)
    assert result.linear_approximation_r == pytest.approx(1)
    np.testing.assert_allclose(result.increment, [0.2, np.nan, 0.8], atol=1e-12)
    np.testing.assert_allclose(result.pearson_r_with_prediction, [0.6, np.nan, 0.8], atol=1e-12)
    np.testing.assert_array_equal(result.rank, [2, 0, 1])
    assert result.rank.dtype == np.int32
    assert result.selected


def test_main_driver_has_the_largest_increment_and_not_the_largest_ism():
    rare, common = np.zeros(100), np.tile([0, 1, 2, 1], 25)
    rare[:5] = 1
    result = forward_drivers([1.5, 1.2], [rare, common], 1.5 * rare + 1.2 * common, [1, 2])
    np.testing.assert_array_equal(result.rank, [2, 1])
    assert 0.05 < result.increment[0] < result.increment[1]


def test_a_term_must_correlate_positively_and_significantly():
    dosage = np.tile(INDEPENDENT, 4)
    prediction = 3 * dosage[0] + 4 * dosage[1]
    # p of R = 0.6 over 36 people, two SNVs.
    threshold = 2 * stats.pearsonr(dosage[0], prediction).pvalue
    assert forward_drivers([3, 4], dosage, prediction, [1, 2], alpha=threshold * 1.01).rank.tolist() == [2, 1]
    assert forward_drivers([3, 4], dosage, prediction, [1, 2], alpha=threshold * 0.99).rank.tolist() == [0, 1]
    # A row without ISM is no SNV to correct for.
    indel = forward_drivers([3, np.nan, 4], dosage[[0, 0, 1]], prediction, [1, 2, 3], alpha=threshold * 1.01)
    assert indel.rank.tolist() == [2, 0, 1]
    # The second SNV's term opposes the prediction, though it raises F from below zero.
    opposed = forward_drivers([-4, 3], dosage[[0, 1]], 2 * dosage[0] + 9 * dosage[1], [1, 2], min_increment=-9, alpha=1)
    assert opposed.pearson_r_with_prediction[0] < 0
    assert opposed.rank.tolist() == [0, 1]


def test_an_increment_at_the_threshold_is_no_driver():
    result = forward_drivers([3, 4], INDEPENDENT, [3, 4] @ INDEPENDENT, [1, 2], min_increment=0.5, alpha=1)
    assert result.rank.tolist() == [0, 1]
    # F takes exactly the value 1.
    one = forward_drivers([2.0], INDEPENDENT[:1], INDEPENDENT[0], [1], min_increment=1.0, alpha=1)
    assert one.increment[0] == pytest.approx(1)
    assert not one.rank.any()


def test_tied_ism_is_ordered_by_position():
    first, second = INDEPENDENT
    for position, expected in (([5, 9], [np.sqrt(0.5), 1 - np.sqrt(0.5)]), ([9, 5], [1 - np.sqrt(0.5), np.sqrt(0.5)])):
        result = forward_drivers([1, 1], [first, second], first + second, position)
        np.testing.assert_allclose(result.increment, expected, atol=1e-12)


def test_a_partial_sum_without_variance_keeps_the_previous_fraction():
    first, second = INDEPENDENT
    # The first two SNVs are in perfect linkage and cancel; what is left of 0.3 - 0.2 - 0.1 is rounding.
    result = forward_drivers([0.3, -0.2, -0.1, 0.05], [first, first, first, second], second - 0.1 * first, range(4))
    fractions = np.cumsum(result.increment)
    assert fractions[2] == pytest.approx(fractions[1], abs=1e-12)
    assert fractions[1] == pytest.approx(fractions[0], abs=1e-12)
    assert fractions[3] == pytest.approx(1)
    # An SNV that nobody varies at comes first and adds nothing to F_0 = 0.
    result = forward_drivers([9, 1], [np.full(9, 2), first], first, [1, 2])
    np.testing.assert_allclose(result.increment, [0, 1], atol=1e-12)


@pytest.mark.parametrize(
    ("ism", "prediction"),
    [
        ([-3, -4], [3, 4] @ INDEPENDENT),
        ([3, 4], np.full(9, 0.1)),
        ([0, 0], INDEPENDENT[0]),
        ([np.nan, np.nan], INDEPENDENT[0]),
        ([3, 4], np.full(9, np.nan)),
        ([3, 4], [1, 2] + [np.nan] * 7),
    ],
    ids=["P_all < 0", "constant prediction", "ISM zero", "no ISM", "no prediction", "two predictions"],
)
def test_without_a_positive_full_correlation_drivers_are_null(ism, prediction):
    result = forward_drivers(ism, INDEPENDENT, prediction, [1, 2])
    assert not result.selected
    assert not result.rank.any()
    assert np.isnan(result.increment).all()
    assert not result.linear_approximation_r > 0


def test_terms_that_cancel_have_no_linear_approximation():
    dosage = np.tile(INDEPENDENT[0], (3, 1))
    assert np.isnan(linear_approximation([0.3, -0.2, -0.1], dosage, INDEPENDENT[0]))
    assert not forward_drivers([0.3, -0.2, -0.1], dosage, INDEPENDENT[0], range(3)).selected


def test_no_snv_is_no_selection():
    result = forward_drivers([], np.empty((0, 9)), np.arange(9.0), [])
    assert not result.selected
    assert result.rank.shape == (0,)


@given(seeds)
def test_linear_approximation_equals_scipy(with_gaps, seed):
    ism, dosage, prediction, position = with_gaps(seed)
    snvs, people = ~np.isnan(ism), ~np.isnan(prediction)
    expected = stats.pearsonr(ism[snvs] @ dosage[snvs][:, people], prediction[people]).statistic
    assert linear_approximation(ism, dosage, prediction) == pytest.approx(expected, abs=1e-12)
    assert forward_drivers(ism, dosage, prediction, position).linear_approximation_r == pytest.approx(expected)


@given(seeds, st.floats(1e-3, 1e3), st.floats(-10, 10))
def test_order_of_people_and_units_change_nothing(with_gaps, seed, scale, shift):
    ism, dosage, prediction, position = with_gaps(seed)
    rng = np.random.default_rng(seed)
    people, snvs = rng.permutation(len(prediction)), rng.permutation(len(ism))
    expected = forward_drivers(ism, dosage, prediction, position)
    result = forward_drivers(
        scale * ism[snvs], dosage[snvs][:, people], scale * prediction[people] + shift * scale, position[snvs]
    )
    assert result.selected == expected.selected
    np.testing.assert_array_equal(result.rank, expected.rank[snvs])
    np.testing.assert_allclose(result.increment, expected.increment[snvs], atol=1e-8)
    np.testing.assert_allclose(result.pearson_r_with_prediction, expected.pearson_r_with_prediction[snvs], atol=1e-8)


def brute_force_backward(ism, dosage, prediction, alpha=0.01):
    """The definition, every sum anew: SNVs in the order of their removal; position follows the row."""
    people = [i for i in range(len(prediction)) if not np.isnan(prediction[i])]
    y = prediction[people]
    rest = [i for i in range(len(ism)) if not np.isnan(ism[i])]
    alpha /= len(rest)
    removed = []

    def r_and_p(snvs):
        total = sum((ism[i] * dosage[i, people] for i in snvs), np.zeros(len(people)))
        return (-np.inf, 1.0) if np.ptp(total) < 1e-9 else stats.pearsonr(total, y)

    while rest:
        r, p = r_and_p(rest)
        if not (r > 0 and p < alpha):
            break
        without = [r_and_p([i for i in rest if i != snv])[0] for snv in rest]
        removed.append(rest.pop(int(np.argmin(np.round(without, 12)))))
    return removed


@given(seeds)
def test_backward_selection_equals_the_definition(with_gaps, seed):
    ism, dosage, prediction, position = with_gaps(seed)
    rank = backward_drivers(ism, dosage, prediction, position)
    found = [int(snv) for snv in np.argsort(rank, kind="stable") if rank[snv]]
    expected = brute_force_backward(ism, dosage, prediction)
    # Twins in perfect linkage with the same ISM leave the same rest.
    twin = lambda snv: (round(abs(ism[snv]), 12), dosage[snv].tobytes())  # noqa: E731
    assert [twin(snv) for snv in found] == [twin(snv) for snv in expected]
    assert rank.dtype == np.int32


def test_backward_selection_takes_out_drivers_and_stops():
    dosage = np.tile(INDEPENDENT, 6)
    noise = np.random.default_rng(0).normal(size=54)
    rank = backward_drivers([0.001, 3, 2], [dosage[1][::-1], *dosage], [3, 2] @ dosage + noise, [1, 2, 3])
    assert rank.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("ism", "prediction"),
    [
        ([-3, -4], [3, 4] @ INDEPENDENT),
        ([3, 4], np.full(9, 0.1)),
        ([0, 0], INDEPENDENT[0]),
        ([np.nan, np.nan], INDEPENDENT[0]),
        ([3, 4], np.full(9, np.nan)),
    ],
)
def test_nothing_is_taken_out_where_the_sum_does_not_predict(ism, prediction):
    assert not backward_drivers(ism, INDEPENDENT, prediction, [1, 2]).any()


def test_one_driver_that_explains_all_is_taken_out():
    assert backward_drivers([2.0, 0.0], INDEPENDENT, INDEPENDENT[0], [1, 2]).tolist() == [1, 0]
