import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pdstore.analysis.eqtl import eqtl_slopes

seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_slopes_and_p_equal_linregress(simulate_gene, seed):
    gene = simulate_gene(seed, snvs=12)
    slope, r, p_value = eqtl_slopes(gene.dosage, gene.observed)
    for row, dosage in enumerate(gene.dosage):
        if np.ptp(dosage) == 0:
            assert np.isnan([slope[row], r[row], p_value[row]]).all()
        else:
            expected = stats.linregress(dosage, gene.observed)
            assert slope[row] == pytest.approx(expected.slope, rel=1e-9, abs=1e-12)
            assert r[row] == pytest.approx(expected.rvalue, rel=1e-9, abs=1e-12)
            assert p_value[row] == pytest.approx(expected.pvalue, rel=1e-7)


def test_slope_is_expression_per_alternate_allele():
    slope, r, p_value = eqtl_slopes([[0, 1, 2, 1], [2, 1, 0, 1]], [10.0, 10.5, 11.0, 10.5])
    np.testing.assert_allclose(slope, [0.5, -0.5])
    np.testing.assert_allclose(r, [1, -1])
    np.testing.assert_allclose(p_value, 0, atol=1e-12)


@given(seeds)
def test_permuting_people_changes_nothing(simulate_gene, seed):
    gene = simulate_gene(seed)
    order = np.random.default_rng(seed).permutation(150)
    np.testing.assert_allclose(
        eqtl_slopes(gene.dosage[:, order], gene.observed[order]),
        eqtl_slopes(gene.dosage, gene.observed),
        rtol=1e-7,
        atol=1e-12,
    )


@given(seeds, st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_units_scale_slopes_and_no_p(simulate_gene, seed, scale, shift):
    gene = simulate_gene(seed)
    slope, r, p_value = eqtl_slopes(gene.dosage, gene.observed)
    scaled_slope, scaled_r, scaled_p = eqtl_slopes(gene.dosage, -scale * gene.observed + shift)
    np.testing.assert_allclose(scaled_slope, -scale * slope, rtol=1e-5, atol=1e-9 * scale)
    np.testing.assert_allclose(scaled_r, -r, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(scaled_p, p_value, rtol=1e-5)


@given(seeds)
def test_a_person_at_both_means_changes_no_slope(simulate_gene, seed):
    gene = simulate_gene(seed)
    mean = gene.dosage.mean(axis=1, keepdims=True)
    more = eqtl_slopes(np.hstack([gene.dosage, mean]), np.append(gene.observed, gene.observed.mean()))
    found = eqtl_slopes(gene.dosage, gene.observed)
    np.testing.assert_allclose(more.slope, found.slope, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(more.pearson_r, found.pearson_r, rtol=1e-7, atol=1e-12)


def test_inputs_are_left_alone_and_float32_is_computed_in_float64(simulate_gene):
    gene = simulate_gene(3)
    dosage, observed = gene.dosage.astype(np.float64), gene.observed.copy()
    double = eqtl_slopes(dosage, observed)
    np.testing.assert_array_equal(dosage, gene.dosage)
    np.testing.assert_array_equal(observed, gene.observed)
    np.testing.assert_array_equal(eqtl_slopes(dosage.astype(np.float32), observed), double)


@pytest.mark.parametrize(
    ("dosage", "observed"),
    [
        ([[1, 1, 1, 1]], [1, 2, 3, 4]),
        ([[0.3, 0.1 + 0.2, 0.3, 0.3]], [1, 2, 3, 4]),
        ([[0, 1, 2, 1]], [0.3, 0.1 + 0.2, 0.3, 0.3]),
        ([[0, 1]], [1, 2]),
        ([[]], []),
    ],
    ids=["constant dosage", "dosage that is rounding", "expression that is rounding", "two people", "nobody"],
)
def test_no_variance_or_too_few_people_give_nan(dosage, observed):
    assert np.isnan(eqtl_slopes(dosage, observed)).all()


def test_no_snv_gives_no_row():
    assert [len(values) for values in eqtl_slopes(np.empty((0, 10)), np.arange(10))] == [0, 0, 0]


@pytest.mark.parametrize("shift", [0.0, 0.1, 1e6])
def test_a_slope_that_is_zero_but_for_rounding_is_zero(shift: float) -> None:
    # Carriers have the mean of the others: 0.1 + 0.2 is not 0.3 in floating point.
    dosage = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 0, 0, 0, 0]])
    observed = np.array([0.1, 0.2, 0.3, 0.3, 0.2, 0.1]) + shift
    slope, r, p = eqtl_slopes(dosage, observed)
    np.testing.assert_array_equal(slope[:2], [0, 0])
    np.testing.assert_array_equal(r[:2], [0, 0])
    np.testing.assert_array_equal(p[:2], [1, 1])
    assert slope[2] < 0
