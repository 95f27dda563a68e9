"""Measured expression without what covariates explain: the difference from what is expected of a person."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pdstore.analysis.correlation import RELATIVE_NOISE

MIN_FREEDOM = 2
"""Degrees of freedom that a regression has to leave: a gene measured in fewer people has no residuals."""


def expression_pcs(observed: ArrayLike, components: int) -> NDArray[np.float64]:
    """The first principal components of expression over people.

    Parameters
    ----------
    observed : array, shape=(genes, people), any real dtype, any unit
        Genes with a NaN, or without variance, are left out; the others are standardised.
    components : int
        How many.

    Returns
    -------
    pcs : array, shape=(people, components), float64
        Of length 1 each, the first explaining most; of each, the largest element is positive.

    Raises
    ------
    ValueError
        If there are fewer genes, or people less one, than components.
    """
    values = np.asarray(observed, dtype=np.float64)
    values = values[~np.isnan(values).any(axis=1)]
    deviations = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(deviations, axis=1)
    varies = length > RELATIVE_NOISE * np.linalg.norm(values, axis=1)
    standard = deviations[varies] / length[varies, None]
    largest = min(len(standard), values.shape[1] - 1)
    if components > largest:
        raise ValueError(f"{components} components, but {len(standard)} genes and {values.shape[1]} people")
    # The Gram matrix over people is the smaller one: a hundred people, ten thousand genes.
    _, vectors = np.linalg.eigh(standard.T @ standard)
    pcs: NDArray[np.float64] = vectors[:, ::-1][:, :components]
    signs = np.sign(pcs[np.argmax(np.abs(pcs), axis=0), np.arange(components)])
    oriented: NDArray[np.float64] = pcs * signs
    return oriented


def residuals(observed: ArrayLike, covariates: ArrayLike) -> NDArray[np.float64]:
    """What a least-squares regression on covariates leaves of each gene's expression, over the people measured.

    Parameters
    ----------
    observed : array, shape=(genes, people), any real dtype, any unit
        NaN where not measured.
    covariates : array, shape=(people, covariates), any real dtype, any unit
        No NaN. An intercept is added; columns that depend on others change nothing.

    Returns
    -------
    left : array, shape=(genes, people), float64, unit of `observed`
        Of mean 0 in each gene; NaN where not measured, and for genes that are measured in fewer people than the
        covariates and the intercept take, and two.
    """
    values = np.asarray(observed, dtype=np.float64)
    design = np.column_stack([np.ones(values.shape[1]), np.asarray(covariates, dtype=np.float64)])
    left = np.full(values.shape, np.nan)
    measured = ~np.isnan(values)
    # Most genes are measured in everybody: one basis for all that share their people.
    patterns, pattern_of = np.unique(measured, axis=0, return_inverse=True)
    for number, people in enumerate(patterns):
        basis = _basis(design[people])
        genes = np.flatnonzero(pattern_of.ravel() == number)
        if people.sum() - basis.shape[1] < MIN_FREEDOM:
            continue
        of_people = values[np.ix_(genes, np.flatnonzero(people))]
        left[np.ix_(genes, np.flatnonzero(people))] = of_people - (of_people @ basis) @ basis.T
    return left


def _basis(design: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal columns that span those of a design, whatever their units."""
    if not len(design):
        return design
    length = np.linalg.norm(design, axis=0)
    scaled = design[:, length > 0] / length[length > 0]
    vectors, sizes, _ = np.linalg.svd(scaled, full_matrices=False)
    return vectors[:, sizes > 1e-10 * sizes[0]]
