import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pdstore.analysis.eqtl import eqtl_slopes
from pdstore.analysis.support import fraction_supported, gene_support_status, support

supports = arrays(np.int8, st.integers(0, 12), elements=st.sampled_from([-1, 0, 1]))


def test_signs_decide_and_zero_or_missing_leaves_it_open():
    ism = [0.2, -0.2, 0.2, -0.2, 0.0, 0.2, np.nan, 0.2, np.nan]
    slope = [3, -3, -3, 3, 1, 0.0, 1, np.nan, np.nan]
    result = support(ism, slope)
    np.testing.assert_array_equal(result, [1, 1, -1, -1, 0, 0, 0, 0, 0])
    assert result.dtype == np.int8


def test_values_too_small_to_multiply_keep_their_sign():
    np.testing.assert_array_equal(support([1e-200, -1e-200], [1e-200, 1e-200]), [1, -1])


@given(st.integers(0, 2**32 - 1))
def test_flipping_expression_flips_support(seed):
    rng = np.random.default_rng(seed)
    dosage, observed, ism = rng.integers(0, 3, size=(10, 30)), rng.standard_normal(30), rng.standard_normal(10)
    slope, *_ = eqtl_slopes(dosage, observed)
    flipped, *_ = eqtl_slopes(dosage, -observed)
    np.testing.assert_array_equal(support(ism, flipped), -support(ism, slope))
    np.testing.assert_array_equal(support(-ism, flipped), support(ism, slope))
    assert support(ism, slope).any()


@pytest.mark.parametrize(
    ("drivers", "fraction", "status"),
    [
        ([1, 1, 0], 1, "supported"),
        ([-1, 0, -1], 0, "unsupported"),
        ([1, -1, -1, 0, -1], 0.25, "mixed"),
        ([0, 0], np.nan, "undetermined"),
        ([], np.nan, "no drivers"),
    ],
)
def test_a_gene_s_fraction_and_status(drivers, fraction, status):
    np.testing.assert_equal(fraction_supported(drivers), fraction)
    assert gene_support_status(drivers) == status


def test_share_weighted_by_increment():
    assert fraction_supported([1, -1, 0], weight=[0.6, 0.2, 0.9]) == pytest.approx(0.75)
    assert np.isnan(fraction_supported([0], weight=[0.6]))


@given(supports)
def test_status_agrees_with_the_fraction(drivers):
    fraction, flipped = fraction_supported(drivers), fraction_supported(-drivers)
    if np.isnan(fraction):
        assert gene_support_status(drivers) in ("undetermined", "no drivers")
        assert not drivers.any()
    else:
        assert fraction + flipped == pytest.approx(1)
        assert gene_support_status(drivers) == {1: "supported", 0: "unsupported"}.get(fraction, "mixed")
        assert fraction_supported(drivers, weight=np.full(len(drivers), 0.3)) == pytest.approx(fraction)


def test_published_drivers_recompute_from_the_published_table(published_table):
    drivers, genes = published_table(2), published_table(1)
    result = support(drivers["ISM"].astype(float), drivers["eQTL"].astype(float))
    assert [(result == value).sum() for value in (1, -1, 0)] == [687, 393, 11]

    r = dict(zip(genes["gene_id"], genes["PearsonRCAGE,adult,brain"].astype(float), strict=True))
    by_gene = {gene: result[drivers["gene_id"] == gene] for gene in np.unique(drivers["gene_id"])}
    correlated = [gene for gene in by_gene if r[gene] > 0.2]
    anticorrelated = [gene for gene in by_gene if r[gene] < -0.2]
    assert (len(by_gene), len(correlated), len(anticorrelated)) == (251, 164, 87)
    assert np.nanmean([fraction_supported(by_gene[gene]) for gene in correlated]) == pytest.approx(0.939, abs=5e-4)
    # As the article counts: undetermined drivers are unsupported.
    article = {gene: fraction_supported(np.where(signs == 0, -1, signs)) for gene, signs in by_gene.items()}
    assert np.mean([article[gene] for gene in correlated]) == pytest.approx(0.928, abs=5e-4)
    assert np.mean([article[gene] for gene in anticorrelated]) == pytest.approx(0.055, abs=5e-4)
