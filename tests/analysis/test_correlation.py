import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from pdstore.analysis.correlation import bootstrap_interval, pearson_p, pearson_r

people = st.shared(st.integers(3, 40), key="people")
values = arrays(np.float64, people, elements=st.floats(-100, 100, allow_subnormal=False))


@given(values, values)
def test_r_and_p_equal_scipy(x, y):
    assume(x.std() > 1e-4 and y.std() > 1e-4)
    expected = stats.pearsonr(x, y)
    r = pearson_r(x, y)
    assert r == pytest.approx(expected.statistic, abs=1e-9)
    # Next to |R| = 1 the p-value amplifies R's last digit.
    if abs(r) < 1 - 1e-6:
        assert pearson_p(r, len(x)) == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("n", [3, 4, 50, 839])
def test_p_equals_scipy_from_no_to_perfect_correlation(n):
    rng = np.random.default_rng(n)
    y = rng.standard_normal(n)
    for noise in (1e3, 3, 1, 0.3, 1e-2):
        x = y + noise * rng.standard_normal(n)
        expected = stats.pearsonr(x, y)
        np.testing.assert_allclose(pearson_p(pearson_r(x, y), n), expected.pvalue, rtol=1e-8)
    np.testing.assert_array_equal(pearson_p([1.0, -1.0, 0.0], n), [0, 0, 1])


def test_a_tiny_exact_correlation():
    assert pearson_r([1, 2, 3, 4], [2, 1, 4, 3]) == pytest.approx(0.6, abs=1e-15)


@given(values, values, st.randoms(use_true_random=False))
def test_permuting_people_changes_nothing(x, y, random):
    assume(x.std() > 1e-4 and y.std() > 1e-4)
    order = np.array(random.sample(range(len(x)), len(x)))
    assert pearson_r(x[order], y[order]) == pytest.approx(float(pearson_r(x, y)), abs=1e-9)


@given(values, values, st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_unit_and_origin_do_not_matter_and_sign_flips(x, y, scale, shift):
    assume(x.std() > 1e-2 and y.std() > 1e-2)
    r = float(pearson_r(x, y))
    assert pearson_r(scale * x + shift, y) == pytest.approx(r, abs=1e-6)
    assert pearson_r(-x, y) == pytest.approx(-r, abs=1e-12)


@given(values, values)
def test_a_person_at_both_means_changes_the_number_of_people_alone(x, y):
    assume(x.std() > 1e-2 and y.std() > 1e-2)
    r = float(pearson_r(x, y))
    more = pearson_r(np.append(x, x.mean()), np.append(y, y.mean()))
    assert more == pytest.approx(r, abs=1e-9)
    assert pearson_p(r, len(x) + 1) <= pearson_p(r, len(x)) + 1e-12


def test_rows_broadcast_against_one_vector():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 5, 30)), rng.standard_normal(30)
    r = pearson_r(x, y)
    assert r.shape == (2, 5)
    assert r[1, 3] == pytest.approx(stats.pearsonr(x[1, 3], y).statistic, abs=1e-14)


def test_people_who_do_not_match_are_refused():
    with pytest.raises(ValueError, match="mismatch"):
        pearson_r(np.arange(5.0), np.arange(4.0))


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e8, 1e-8])
def test_no_variance_beyond_rounding_has_no_r(constant):
    y = np.random.default_rng(2).standard_normal(50)
    x = np.full(50, constant)
    assert np.isnan(pearson_r(x, y))
    x[::3] = np.nextafter(constant, 2 * constant)
    assert np.isnan(pearson_r(x, y))
    assert np.isnan(pearson_r(y, x))


def test_a_small_real_variance_on_a_large_mean_has_an_r():
    y = np.random.default_rng(3).standard_normal(50)
    assert pearson_r(1e6 + 1e-3 * y, y) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_fewer_than_three_people_have_no_r_and_no_p(n):
    assert np.isnan(pearson_r(np.arange(n), np.arange(n)))
    assert pearson_r(np.zeros((4, n)), np.zeros(n)).shape == (4,)
    assert np.isnan(pearson_p(0.5, n))


def test_nan_passes_through():
    np.testing.assert_array_equal(np.isnan(pearson_r([[1, 2, np.nan], [1, 2, 4]], [1, 3, 2])), [True, False])
    np.testing.assert_array_equal(np.isnan(pearson_p([np.nan, 0.1], 9)), [True, False])


def test_float32_is_computed_in_float64():
    x = np.random.default_rng(4).standard_normal((2, 200)).astype(np.float32)
    assert pearson_r(*x).dtype == np.float64
    assert pearson_r(*x) == pytest.approx(stats.pearsonr(*x.astype(float)).statistic, abs=1e-14)


def test_bootstrap_interval_agrees_with_scipy():
    rng = np.random.default_rng(5)
    x = rng.standard_normal(300)
    y = 0.5 * x + rng.standard_normal(300)
    expected = stats.bootstrap(
        (x, y), lambda x, y, axis: pearson_r(x, y), paired=True, n_resamples=20_000, method="percentile", rng=rng
    ).confidence_interval
    low, high = bootstrap_interval(x, y, np.random.default_rng(6), resamples=20_000)
    assert low == pytest.approx(expected.low, abs=5e-3)
    assert high == pytest.approx(expected.high, abs=5e-3)
    narrow = bootstrap_interval(x, y, np.random.default_rng(6), resamples=20_000, level=0.5)
    assert low < narrow[0] < pearson_r(x, y) < narrow[1] < high


def test_bootstrap_covers_the_true_correlation():
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(300):
        x = rng.standard_normal(200)
        low, high = bootstrap_interval(x, 0.5 * x + np.sqrt(0.75) * rng.standard_normal(200), rng, resamples=400)
        covered += low < 0.5 < high
    assert 0.91 <= covered / 300 <= 0.98


def test_bootstrap_is_set_by_its_seed_and_not_by_units():
    rng = np.random.default_rng(8)
    x, y = rng.standard_normal((2, 40))
    interval = bootstrap_interval(x, y, np.random.default_rng(9))
    assert interval == bootstrap_interval(x, y, np.random.default_rng(9))
    assert interval != bootstrap_interval(x, y, np.random.default_rng(10))
    assert interval == pytest.approx(bootstrap_interval(1e-6 * x + 5, y, np.random.default_rng(9)), abs=1e-6)
    assert interval == pytest.approx(tuple(-end for end in bootstrap_interval(-x, y, np.random.default_rng(9))[::-1]))


def test_resamples_without_the_only_carrier_are_left_out():
    x = np.zeros(20)
    x[3] = 0.1
    y = np.arange(20.0)
    y[3] = 40
    low, high = bootstrap_interval(x, y, np.random.default_rng(11), resamples=5000)
    # Whoever draws the carrier sees a positive R; the 36% of resamples without would count as no correlation or NaN.
    assert 0.5 < low < pearson_r(x, y) < high <= 1


def test_no_r_no_interval():
    assert np.isnan(bootstrap_interval(np.ones(10), np.arange(10), np.random.default_rng(0))).all()
    assert np.isnan(bootstrap_interval([1, 2], [1, 2], np.random.default_rng(0))).all()
