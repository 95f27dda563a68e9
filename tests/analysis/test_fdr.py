import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from pdstore.analysis.fdr import benjamini_hochberg

p_values = arrays(np.float64, st.integers(0, 30), elements=st.floats(0, 1) | st.just(np.nan))


@given(p_values)
def test_equals_the_definition_and_nan_counts_for_nothing(p):
    fdr = benjamini_hochberg(p)
    tested = p[~np.isnan(p)]
    np.testing.assert_array_equal(np.isnan(fdr), np.isnan(p))
    # The smallest level at which the gene is rejected: min over p' >= p of p' * tests / #{p'' <= p'}.
    expected = [
        min([1.0] + [other * len(tested) / np.count_nonzero(tested <= other) for other in tested if other >= own])
        for own in tested
    ]
    np.testing.assert_allclose(fdr[~np.isnan(p)], expected, rtol=1e-12)


def test_a_known_case():
    np.testing.assert_allclose(
        benjamini_hochberg([0.01, np.nan, 0.04, 0.03, 0.5]), [0.04, np.nan, 0.16 / 3, 0.16 / 3, 0.5]
    )


def test_published_counts_from_the_published_p(published_table):
    table = published_table(1)
    r = table["PearsonRCAGE,adult,brain"].astype(float)
    p = 10 ** -table["Log10PvalueTstatCAGE,adult,brain"].astype(float)
    published = 10 ** -table["Log10BHPvalueTstatCAGE,adult,brain"].astype(float)
    fdr = benjamini_hochberg(p)
    significant = fdr < 0.05
    assert significant.sum() == 599
    assert (significant & (r < 0)).sum() == 195
    np.testing.assert_array_equal(significant, published < 0.05)
    # The table counts the 13 genes without a p-value as tests with p = 1.
    np.testing.assert_allclose(fdr[~np.isnan(p)] * len(p) / (~np.isnan(p)).sum(), published[~np.isnan(p)], rtol=4e-3)


def test_uniform_p_values_give_few_discoveries():
    p = np.random.default_rng(0).uniform(size=5000)
    assert (benjamini_hochberg(p) < 0.05).sum() <= 1
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p))


def test_what_is_no_p_value_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        benjamini_hochberg([0.1, 1.1])
