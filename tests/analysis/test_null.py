import numpy as np
import pytest
from scipy import stats

from pdstore.analysis.correlation import pearson_r
from pdstore.analysis.null import empirical_p, null_correlations, published_test


def brute_force_null(dosage, observed, draws, rng):
    predictions = rng.standard_normal((draws, len(dosage))) @ dosage
    return np.array([abs(np.corrcoef(prediction, observed)[0, 1]) for prediction in predictions])


def orthonormal_window(snvs, people=50):
    """SNVs as directions at right angles, so that the null's R^2 is Beta(1/2, (snvs - 1) / 2) for observed in them."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((people, snvs))
    directions, _ = np.linalg.qr(values - values.mean(axis=0))
    return directions.T, directions @ rng.standard_normal(snvs)


@pytest.mark.parametrize(("snvs", "people"), [(40, 150), (200, 50)], ids=["people outnumber", "SNVs outnumber"])
def test_draws_are_distributed_as_the_plain_product(simulate_gene, snvs, people):
    gene = simulate_gene(1, snvs, people)
    rng = np.random.default_rng(2)
    expected = brute_force_null(gene.dosage, gene.observed, 20_000, rng)
    many = null_correlations(gene.dosage, gene.observed, 20_000, rng)
    few = np.concatenate([null_correlations(gene.dosage, gene.observed, 20, rng) for _ in range(500)])
    assert stats.ks_2samp(expected, many).pvalue > 0.01
    assert stats.ks_2samp(expected, few).pvalue > 0.01
    # The test can tell: the same draws against other people's expression are distributed otherwise.
    other = null_correlations(gene.dosage, np.roll(gene.observed, 1), 20_000, rng)
    assert stats.ks_2samp(expected, other).pvalue < 1e-6


def test_draws_follow_the_exact_law():
    dosage, observed = orthonormal_window(snvs=6)
    null = null_correlations(dosage, observed, 50_000, np.random.default_rng(3))
    assert stats.kstest(null**2, stats.beta(0.5, 2.5).cdf).pvalue > 0.01


def test_many_draws_come_in_blocks_that_change_nothing(simulate_gene, monkeypatch):
    gene = simulate_gene(4)
    whole = null_correlations(gene.dosage, gene.observed, 1000, np.random.default_rng(5))
    monkeypatch.setattr("pdstore.analysis.null._BLOCK_VALUES", 700)
    blocks = null_correlations(gene.dosage, gene.observed, 1000, np.random.default_rng(5))
    np.testing.assert_allclose(blocks, whole, atol=1e-12)


@pytest.mark.parametrize("draws", [20, 1000])
def test_snvs_that_do_not_vary_and_units_contribute_nothing(simulate_gene, draws):
    gene = simulate_gene(6)
    varying = gene.dosage[np.ptp(gene.dosage, axis=1) > 0]
    assert len(varying) < len(gene.dosage)
    padded = np.vstack([np.full((3, 150), 2), varying, np.zeros((2, 150))])
    expected = null_correlations(varying, gene.observed, draws, np.random.default_rng(7))
    got = null_correlations(padded.astype(np.float32), -1e4 * gene.observed + 7, draws, np.random.default_rng(7))
    np.testing.assert_allclose(got, expected, atol=1e-10)


@pytest.mark.parametrize("copies", [1, 4, 90], ids=["alone", "in perfect linkage", "in perfect linkage, many"])
@pytest.mark.parametrize("draws", [1, 50, 1000])
def test_one_varying_snv_gives_every_draw_its_own_r(copies, draws):
    rng = np.random.default_rng(8)
    alternate = rng.binomial(2, 0.3, size=60)
    dosage = np.zeros((100, 60))
    dosage[5 : 5 + copies] = alternate
    observed = rng.standard_normal(60)
    r = float(pearson_r(0.28 + 0.013 * alternate, observed))
    null = null_correlations(dosage, observed, draws, rng)
    np.testing.assert_allclose(null, abs(r), atol=1e-10)
    assert np.isnan(published_test(abs(r), null.mean(), null.std())).all()
    assert empirical_p(r, dosage, observed, rng) == 1


@pytest.mark.parametrize(
    ("dosage", "observed"),
    [
        (np.ones((4, 30)), np.arange(30)),
        (np.empty((0, 30)), np.arange(30)),
        (np.eye(4, 30), np.full(30, 0.1)),
        (np.eye(4, 2), np.arange(2)),
        (np.empty((4, 0)), np.empty(0)),
    ],
    ids=["no variance", "no SNV", "constant expression", "two people", "nobody"],
)
def test_no_null_means_nan(dosage, observed):
    rng = np.random.default_rng(9)
    for draws in (2, 200):
        null = null_correlations(dosage, observed, draws, rng)
        assert null.shape == (draws,)
        assert np.isnan(null).all()
    assert np.isnan(empirical_p(0.3, dosage, observed, rng))


def test_published_t_and_p_of_a_known_case():
    # 0.3 - 0.1 over sqrt(0.08 / 50) is 5.
    t, p = published_test([0.3, 0.05, 0.3, np.nan], [0.1, 0.1, 0.1, 0.1], [0.08, 0.08, 1e-17, 0.08])
    np.testing.assert_allclose(t[:2], [5, -1.25])
    np.testing.assert_allclose(p[:2], [stats.t.sf(5, 49), 1])
    assert np.isnan(t[2:]).all()
    assert np.isnan(p[2:]).all()
    assert published_test(0.3, 0.1, 0.08, draws=200)[0] == pytest.approx(10)


def test_published_t_and_p_recompute_from_the_published_table(published_table):
    table = published_table(1)
    r, mean, sd, t, log10_p = (
        table[name].astype(float)
        for name in (
            "PearsonRCAGE,adult,brain",
            "RmeanRandom",
            "Rstdrandom",
            "TstatCAGE,adult,brain",
            "Log10PvalueTstatCAGE,adult,brain",
        )
    )
    our_t, our_p = published_test(np.abs(r), mean, sd)
    with_r = ~np.isnan(r)
    assert with_r.sum() == 6808
    assert (with_r & np.isnan(our_t)).sum() == 2
    np.testing.assert_array_equal(np.isnan(our_t)[with_r], np.isnan(t)[with_r])
    both = with_r & ~np.isnan(t)
    # The table is rounded to three digits after the point.
    np.testing.assert_allclose(our_t[both], t[both], rtol=0, atol=6e-4)
    np.testing.assert_allclose(-np.log10(our_p[both]), log10_p[both], rtol=0, atol=6e-4)


def test_empirical_p_is_the_null_s_tail():
    dosage, observed = orthonormal_window(snvs=6)
    law = stats.beta(0.5, 2.5)
    for tail, error in ((0.3, 0.05), (0.001, 0.0004)):
        r = np.sqrt(law.isf(tail))
        p = empirical_p(r, dosage, observed, np.random.default_rng(10))
        assert p == pytest.approx(tail, abs=error)
        assert empirical_p(-r, dosage, observed, np.random.default_rng(10)) == p


def test_more_is_drawn_only_where_too_few_draws_reach_r():
    dosage, observed = orthonormal_window(snvs=6)
    r = np.sqrt(stats.beta(0.5, 2.5).isf(0.02))
    few = {"draws": 1000, "max_draws": 4000}
    for seed in range(20):
        enough = empirical_p(r, dosage, observed, np.random.default_rng(seed), **few, min_exceeding=1)
        more = empirical_p(r, dosage, observed, np.random.default_rng(seed), **few, min_exceeding=1000)
        reaching, reaching_of_more = round(enough * 1001 - 1), round(more * 4001 - 1)
        assert enough == (1 + reaching) / 1001
        assert more == (1 + reaching_of_more) / 4001
        assert reaching_of_more >= reaching
        assert 40 <= reaching_of_more <= 130


def test_draws_that_are_given_up_early_are_those_that_do_not_reach_r(simulate_gene):
    gene = simulate_gene(15)
    for seed, dosage in enumerate((gene.dosage, gene.dosage[:30])):
        null = null_correlations(dosage, gene.observed, 100_000, np.random.default_rng(seed))
        for share in (0.5, 0.1, 0.001):
            r = np.quantile(null, 1 - share)
            p = empirical_p(r, dosage, gene.observed, np.random.default_rng(seed + 50), 100_000)
            assert p == pytest.approx(share, rel=5 / np.sqrt(share * 100_000))


def test_empirical_p_is_uniform_under_the_null(simulate_gene):
    gene = simulate_gene(12)
    rng = np.random.default_rng(13)
    null = null_correlations(gene.dosage, gene.observed, 200, rng)
    p = [empirical_p(r, gene.dosage, gene.observed, rng, max_draws=1000) for r in null]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_no_r_no_empirical_p(simulate_gene):
    gene = simulate_gene(14)
    assert np.isnan(empirical_p(np.nan, gene.dosage, gene.observed, np.random.default_rng(0)))
