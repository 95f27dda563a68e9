import numpy as np
import pytest
from sklearn.linear_model import ElasticNetCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pdstore.analysis.elastic_net import common_alleles, fit_elastic_net, nested_elastic_nets


def simulate(seed, people=60, alleles=20, effects=(0.8, -0.5)):
    rng = np.random.default_rng(seed)
    dosage = rng.binomial(2, rng.uniform(0.1, 0.5, alleles), size=(people, alleles)).astype(float)
    return dosage, dosage[:, : len(effects)] @ np.array(effects) + rng.normal(size=people)


def test_a_fit_is_scikit_learns_on_standardised_features():
    dosage, expression = simulate(0)
    dosage[:, 7] = 2  # everybody's
    found = fit_elastic_net(dosage, expression, seed=3, folds=5)
    net = ElasticNetCV(l1_ratio=0.5, alphas=100, eps=0.01, tol=1e-3, cv=KFold(5, shuffle=True, random_state=3))
    expected = make_pipeline(StandardScaler(), net).fit(dosage, expression).predict(dosage)
    np.testing.assert_allclose(dosage @ found.weight + found.intercept, expected, atol=1e-8)
    assert found.weight[7] == 0
    assert found.converged
    assert np.count_nonzero(found.weight) > 0


def test_effects_are_found():
    dosage, expression = simulate(1, people=2_000)
    found = fit_elastic_net(dosage, expression, seed=0)
    np.testing.assert_allclose(found.weight[:2], [0.8, -0.5], atol=0.1)


@pytest.mark.parametrize("constant", ["features", "target"])
def test_what_does_not_vary_gets_no_weight(constant):
    dosage, expression = simulate(2)
    if constant == "features":
        dosage[:] = 1
    else:
        expression[:] = 4
    found = fit_elastic_net(dosage, expression, seed=0)
    assert not found.weight.any()
    assert found.intercept == pytest.approx(expression.mean())


def test_nobody_is_predicted_by_a_model_that_saw_them():
    dosage, expression = simulate(3)
    fold = np.arange(60) % 4 + 1
    before = nested_elastic_nets(dosage, expression, fold, seed=0)
    changed = np.where(fold == 2, -7.0 * expression, expression)
    after = nested_elastic_nets(dosage, changed, fold, seed=0)
    np.testing.assert_array_equal(after.weight[2], before.weight[2])
    np.testing.assert_array_equal(after.out_of_fold[fold == 2], before.out_of_fold[fold == 2])
    assert (after.weight[0] != before.weight[0]).any()


def test_each_folds_model_is_a_fit_of_the_others():
    dosage, expression = simulate(4)
    expression[::7] = np.nan
    fold = np.arange(60) % 3 + 1
    found = nested_elastic_nets(dosage, expression, fold, seed=5)
    for left_out in (1, 2, 3):
        training = (fold != left_out) & ~np.isnan(expression)
        alone = fit_elastic_net(dosage[training], expression[training], seed=5)
        np.testing.assert_array_equal(found.weight[left_out], alone.weight)
        predicted = (dosage - found.mean[left_out]) @ found.weight[left_out]
        assert predicted[training].mean() == pytest.approx(0, abs=1e-12)
        mine = (fold == left_out) & ~np.isnan(expression)
        np.testing.assert_allclose(found.out_of_fold[mine], predicted[mine])
    assert np.isnan(found.out_of_fold[::7]).all()


def test_a_model_that_knows_nothing_does_not_seem_anticorrelated():
    r = []
    for seed in range(20):
        dosage, _ = simulate(seed, alleles=3)
        noise = np.random.default_rng(1_000 + seed).normal(size=60)
        fold = np.random.default_rng(seed).permutation(np.arange(60) % 5) + 1
        out_of_fold = nested_elastic_nets(dosage, noise, fold, seed).out_of_fold
        r.append(np.corrcoef(out_of_fold, noise)[0, 1] if np.ptp(out_of_fold) else 0.0)
    # Their training means alone would give about -0.25.
    assert abs(np.mean(r)) < 0.1


def test_common_alleles():
    dosage = np.zeros((4, 200))
    dosage[0, :4] = 1  # 4 of 400: a frequency of 0.01
    dosage[1, :5] = 1
    dosage[2] = 2
    dosage[3, :198] = 2
    assert common_alleles(dosage).tolist() == [False, True, False, False]


def test_groups_stay_together_so_that_what_is_alike_does_not_choose_the_penalty() -> None:
    """Of groups whose relation differs at random, nothing holds for another group."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(12), 30)
    x = rng.normal(size=(len(group), 30))
    y = np.vecdot(x, rng.normal(size=(12, 30))[group])
    apart = np.abs(fit_elastic_net(x, y, 0).weight).sum()
    together = np.abs(fit_elastic_net(x, y, 0, groups=group).weight).sum()
    assert together < 0.5 * apart
