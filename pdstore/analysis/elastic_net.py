"""Elastic nets (Zou & Hastie 2005): expression from dosages, as PrediXcan does, and from a model's tracks."""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pdstore.analysis.correlation import MIN_PEOPLE, pearson_p, pearson_r

L1_RATIO = 0.5
INNER_FOLDS = 10
MIN_MINOR_ALLELE_FREQUENCY = 0.01
_PENALTIES = 100
# Of the largest penalty; the path of glmnet ends there, too, where there are more features than samples.
_SMALLEST_PENALTY = 0.01
_TOLERANCE = 1e-3


class ElasticNet(NamedTuple):
    """A linear model.

    Attributes
    ----------
    weight : array, shape=(features,), float64, target units per feature unit
    intercept : float
    converged : bool
        Whether coordinate descent reached its tolerance at every penalty.
    """

    weight: NDArray[np.float64]
    intercept: float
    converged: bool


class NestedFit(NamedTuple):
    """A model of everybody, and of everybody but each fold's people.

    Attributes
    ----------
    weight : array, shape=(folds + 1, features), float64
        The first row is the model of everybody.
    mean : array, shape=(folds + 1, features), float64
        Mean features of those a row was trained on: its predictions are weight @ (features - mean).
    target_mean : array, shape=(1 + folds,), float64
        Mean target of those a row was trained on, which its predictions leave out.
    out_of_fold : array, shape=(samples,), float64
        Each sample's prediction by the model that was trained without its fold; NaN where it was not measured.
    pearson_r, p_value : float
        Between `out_of_fold` and the target, over samples; NaN where either has no variance.
    converged : bool
    """

    weight: NDArray[np.float64]
    mean: NDArray[np.float64]
    target_mean: NDArray[np.float64]
    out_of_fold: NDArray[np.float64]
    pearson_r: float
    p_value: float
    converged: bool


def fit_elastic_net(
    features: ArrayLike, target: ArrayLike, seed: int, folds: int = INNER_FOLDS, groups: ArrayLike | None = None
) -> ElasticNet:
    """Elastic net, half of its penalty on absolute and half on squared weights; cross-validation chooses how much.

    Parameters
    ----------
    features : array, shape=(samples, features), any real dtype
        Standardised before the fit; the weights are of features as they are given. One without variance gets 0.
    target : array, shape=(samples,), any real dtype
    seed : int
        Of the folds.
    folds : int, default=10
        Of the cross-validation that chooses among 100 penalties, down to a hundredth of the smallest that leaves no
        feature.
    groups : array, shape=(samples,), int, optional
        Samples that one fold has together: of samples that are alike, others of a group tell too much.

    Returns
    -------
    ElasticNet
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import ElasticNetCV
    from sklearn.model_selection import GroupKFold, KFold

    x, y = np.asarray(features, dtype=np.float64), np.asarray(target, dtype=np.float64)
    mean, sd = x.mean(axis=0), x.std(axis=0)
    varies = sd > 1e-9 * np.maximum(1.0, np.abs(mean))
    weight = np.zeros(x.shape[1])
    if not varies.any() or np.ptp(y) == 0:
        return ElasticNet(weight, float(y.mean()), True)
    together = None if groups is None else np.asarray(groups)
    if together is None or len(np.unique(together)) < 2:
        splits = list(KFold(min(folds, len(y)), shuffle=True, random_state=seed).split(x))
    else:
        splits = list(GroupKFold(min(folds, len(np.unique(together)))).split(x, y, together))
    net = ElasticNetCV(
        l1_ratio=L1_RATIO,
        alphas=_PENALTIES,
        eps=_SMALLEST_PENALTY,
        tol=_TOLERANCE,
        cv=splits,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        net.fit((x[:, varies] - mean[varies]) / sd[varies], y)
    weight[varies] = net.coef_ / sd[varies]
    converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    return ElasticNet(weight, float(net.intercept_ - weight @ mean), converged)


def nested_elastic_nets(
    features: ArrayLike, target: ArrayLike, fold: ArrayLike, seed: int, groups: ArrayLike | None = None
) -> NestedFit:
    """An elastic net of all samples, and for each fold one of the others, its penalty chosen among those alone.

    Parameters
    ----------
    features : array, shape=(samples, features), any real dtype
    target : array, shape=(samples,), float64
        NaN where not measured.
    fold : array, shape=(samples,), int
        Fold of each sample, from 1.
    seed : int
        Of the inner folds.
    groups : array, shape=(samples,), int, optional
        Samples that an inner fold has together.

    Returns
    -------
    NestedFit
        Weights of 0, and no R, where there is no feature, or where a fold leaves fewer than 3 measured samples or there
        are fewer than two a fold.

    Notes
    -----
    A model that was trained without a fold knows nothing of it but the others' mean, which is low where the fold is
    high: predictions are differences from the mean of those a model was trained on, or a model that knows nothing would
    seem to be anticorrelated.
    """
    x, y, of = np.asarray(features, dtype=np.float64), np.asarray(target, dtype=np.float64), np.asarray(fold)
    measured = ~np.isnan(y)
    folds = int(of.max())
    weight, mean = np.zeros((2, folds + 1, x.shape[1]))
    target_mean = np.full(folds + 1, np.nan)
    in_fold = np.bincount(of[measured], minlength=folds + 1)
    if in_fold.sum() < fewest_samples(int(in_fold.max()), folds) or not x.shape[1]:
        return NestedFit(weight, mean, target_mean, np.full(len(y), np.nan), np.nan, np.nan, True)
    converged = True
    for left_out in range(folds + 1):
        training = measured & (of != left_out)
        of_groups = None if groups is None else np.asarray(groups)[training]
        net = fit_elastic_net(x[training], y[training], seed, groups=of_groups)
        weight[left_out] = net.weight
        mean[left_out], target_mean[left_out] = x[training].mean(axis=0), y[training].mean()
        converged &= net.converged
    out_of_fold = np.where(measured, np.vecdot(weight[of], x - mean[of]), np.nan)
    r = float(pearson_r(out_of_fold[measured], y[measured]))
    return NestedFit(weight, mean, target_mean, out_of_fold, r, float(pearson_p(r, in_fold.sum())), converged)


def fewest_samples(largest_fold: int, folds: int) -> int:
    """Fewest samples that nested nets are fitted to: two a fold, and three beside the largest fold."""
    return max(2 * folds, MIN_PEOPLE + largest_fold)


def common_alleles(dosage: ArrayLike, minimum: float = MIN_MINOR_ALLELE_FREQUENCY) -> NDArray[np.bool_]:
    """Which alleles are neither too rare nor too common: a minor allele frequency above `minimum`.

    Parameters
    ----------
    dosage : array, shape=(alleles, people), any real dtype, copies of two
    minimum : float, default=0.01

    Returns
    -------
    common : array, shape=(alleles,), bool
    """
    copies = np.asarray(dosage, dtype=np.float64)
    alternate, all_copies = copies.sum(axis=1), 2 * copies.shape[1]
    common: NDArray[np.bool_] = np.minimum(alternate, all_copies - alternate) > minimum * all_copies
    return common
