import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

from pdstore.analysis.residuals import expression_pcs, residuals

seeds = st.integers(0, 2**32 - 1)


def simulate(seed, genes=6, people=30, covariates=3):
    """Expression with gaps in some genes, and covariates of very different units."""
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(people, covariates)) * 10.0 ** np.arange(covariates)
    observed = 5 + rng.normal(size=(genes, covariates)) @ design.T + rng.normal(size=(genes, people))
    observed[1::2][rng.random(observed[1::2].shape) < 0.2] = np.nan
    return observed, design


@given(seeds)
def test_residuals_equal_scikit_learns_over_the_people_measured(seed):
    observed, design = simulate(seed)
    left = residuals(observed, design)
    for gene, values in enumerate(observed):
        people = ~np.isnan(values)
        model = LinearRegression().fit(design[people], values[people])
        expected = values[people] - model.predict(design[people])
        np.testing.assert_allclose(left[gene, people], expected, atol=1e-8)
        assert np.isnan(left[gene, ~people]).all()


@given(seeds, st.floats(-1e3, 1e3))
def test_a_shift_of_a_batch_changes_nothing(seed, shift):
    observed, design = simulate(seed)
    batch = np.arange(30) % 2
    design = np.column_stack([design, batch])
    np.testing.assert_allclose(
        residuals(observed + shift * batch, design), residuals(observed, design), atol=1e-6, equal_nan=True
    )


def test_dependent_and_constant_columns_change_nothing():
    observed, design = simulate(0)
    more = np.column_stack([design, design[:, 0] * 3 - design[:, 1], np.ones(30), np.zeros(30)])
    np.testing.assert_allclose(residuals(observed, more), residuals(observed, design), atol=1e-8)


def test_without_covariates_the_mean_is_taken_out():
    observed, _ = simulate(1)
    left = residuals(observed, np.empty((30, 0)))
    np.testing.assert_allclose(left, observed - np.nanmean(observed, axis=1, keepdims=True), atol=1e-12)


def test_a_gene_measured_in_too_few_people_has_none():
    observed, design = simulate(2)
    observed[0, 5:] = np.nan
    observed[2] = np.nan
    left = residuals(observed, design)
    # Five people, three covariates and the intercept: one degree of freedom.
    assert np.isnan(left[[0, 2]]).all()
    assert not np.isnan(left[4]).any()


@given(seeds)
def test_components_equal_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    observed = rng.normal(size=(20, 12)) * rng.uniform(1, 50, size=(20, 1)) + 100
    observed[3, 4] = np.nan
    observed[5] = 7.0
    found = expression_pcs(observed, 3)
    kept = np.delete(observed, [3, 5], axis=0)
    standard = (kept - kept.mean(axis=1, keepdims=True)) / kept.std(axis=1, keepdims=True)
    scores = PCA(3).fit(standard.T).transform(standard.T)
    expected = scores / np.linalg.norm(scores, axis=0)
    np.testing.assert_allclose(np.abs(found.T @ expected), np.eye(3), atol=1e-6)
    np.testing.assert_allclose(found.T @ found, np.eye(3), atol=1e-9)
    assert (found[np.argmax(np.abs(found), axis=0), range(3)] > 0).all()


def test_more_components_than_there_can_be_are_refused():
    with pytest.raises(ValueError, match="3 components, but 2 genes and 10 people"):
        expression_pcs(np.random.default_rng(0).normal(size=(2, 10)), 3)
