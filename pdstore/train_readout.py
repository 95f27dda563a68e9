"""Readouts trained on a store: an elastic net over tracks, of genes' means or of differences between people."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.correlation import pearson_r
from pdstore.analysis.elastic_net import INNER_FOLDS, NestedFit, fewest_samples, nested_elastic_nets
from pdstore.analysis.readout import READOUTS, person_prediction
from pdstore.errors import MissingDataError, UsageError
from pdstore.personal import people_of_file
from pdstore.query import chosen_model
from pdstore.sources.text import check_new_file, new_file
from pdstore.stages.expression import read_expression
from pdstore.stages.stage import read_rows
from pdstore.store import Store, genes_written, open_store

Target = Literal["mean", "differential"]

_MOST_VALUES = 200_000_000
"""Of the features that a training reads into memory: 1.6 GB."""


@dataclass(frozen=True)
class ReadoutReport:
    """What a training of a readout made.

    Attributes
    ----------
    genes, tracks, tracks_used : int
        Genes it was trained on, tracks, and tracks with a weight.
    held_out_r : float
        Of genes that a model was trained without: R over genes between mean expression and prediction; of differences
        the mean over genes of R over people. NaN where no track has a weight.
    people, people_left_out : int
        Of differences: who was trained on, at most so many of them at each gene; and who was not.
    left_out_r : float
        Of differences: mean over genes of R over the people who were left out; NaN without any.
    """

    genes: int
    tracks: int
    tracks_used: int
    held_out_r: float
    people: int = 0
    people_left_out: int = 0
    left_out_r: float = np.nan


def train_readout(
    url: str,
    path: Path,
    model: str | None = None,
    folds: int = INNER_FOLDS,
    seed: int = 0,
    target: Target = "mean",
    people: Path | None = None,
) -> ReadoutReport:
    """Train an elastic net over tracks.

    What it learns is mean expression of genes, of their predictions for the reference; or differences between people,
    of differences between their predictions: both are taken from the mean over people of each gene.

    Parameters
    ----------
    url : str
        The store; it holds predictions of every track that the readout may use.
    path : Path
        CSV that is made, as `fill --readout elastic_net --readout-weights` takes it.
    model : str, optional
        Name of a set of predictions; the first filled where not given.
    folds : int
        Of genes, for the R of those that a model was not trained on.
    seed : int
        Of all folds.
    target : {"mean", "differential"}
        What is learnt.
    people : Path, optional
        Of differences: names of the people to train on, one a line; everybody where not given.

    Raises
    ------
    UsageError
        The file exists, or the model has no tracks, or people are named for a mean.
    MissingDataError
        Fewer genes than two a fold have predictions and expression.
    """
    if not 2 <= folds <= 100:
        raise UsageError(f"--folds {folds}: expected 2 to 100")
    if people is not None and target == "mean":
        raise UsageError("--people is for --target differential: add it, or leave it out")
    check_new_file(path)
    store = open_store(url)
    store.require_people()
    label = chosen_model(store, model)
    group = f"predictions/{label}"
    if f"{group}/reference_tracks" not in store:
        raise UsageError(f"{label} has no tracks, so a readout of them cannot be trained")
    names = store.read("genotypes/sample_id").tolist()
    everybody = np.arange(len(names))
    chosen = everybody if people is None else people_of_file(people, names)
    if target == "mean":
        samples = _means(store, group)
    else:
        samples = _differences(store, group, chosen, np.random.default_rng(seed))
    found = len(np.unique(samples.gene))
    needed = fewest_samples(-(-found // folds), folds)
    if found < needed:
        raise MissingDataError(
            f"{found} genes have predictions of {label} and expression: at least {needed} are needed for {folds} folds"
        )
    number = np.unique(samples.gene, return_inverse=True)[1]
    of_genes = np.random.default_rng(seed).permutation(np.arange(found) % folds) + 1
    fold = of_genes[number]
    groups = samples.gene if target == "differential" else None
    fit = nested_elastic_nets(samples.features, samples.target, fold, seed, groups)
    tracks = store.read(f"{group}/track_name").tolist()
    _write(path, tracks, fit.weight[0], samples.level - fit.weight[0] @ samples.centre)
    used = int(np.count_nonzero(fit.weight[0]))
    if target == "mean":
        held_out = fit.target_mean[fold] + fit.out_of_fold
        # Means of the other genes alone would be low where a gene is high.
        r = float(pearson_r(held_out, samples.target)) if used else np.nan
        return ReadoutReport(found, len(tracks), used, r)
    left_out = np.setdiff1d(everybody, chosen)
    return ReadoutReport(
        genes=found,
        tracks=len(tracks),
        tracks_used=used,
        held_out_r=_mean_r(fit.out_of_fold, samples) if used else np.nan,
        people=len(chosen),
        people_left_out=len(left_out),
        left_out_r=_r_of_people(store, group, np.unique(samples.gene), left_out, fit),
    )


class _Samples(NamedTuple):
    """What a readout learns of.

    Attributes
    ----------
    gene : ndarray of int64, shape (samples,)
        Row of genes/.
    features : ndarray of float64, shape (samples, tracks)
        log2 of each track's sum over bins, or its difference from the mean over people.
    target : ndarray of float64, shape (samples,)
        Expression, or its difference.
    centre, level : ndarray of float64, shape (tracks,), and float
        Features and expression, the mean over genes, that the readout's level goes by.
    """

    gene: NDArray[np.int64]
    features: NDArray[np.float64]
    target: NDArray[np.float64]
    centre: NDArray[np.float64]
    level: float


def _means(store: Store, group: str) -> _Samples:
    """Of each gene the prediction for the reference, and mean measured expression."""
    genes, features, target = [], [], []
    for gene in sorted(genes_written(store, f"{group}/reference_tracks")):
        observed = store.read("expression/observed", gene).astype(np.float64)
        values = _log2_sums(store.read(f"{group}/reference_tracks", gene))
        if not np.isnan(observed).all() and not np.isnan(values).any():
            genes.append(gene)
            features.append(values)
            target.append(float(np.nanmean(observed)))
    number = len(store.read(f"{group}/track_name"))
    stacked = np.array(features).reshape(-1, number)
    of_genes = np.array(target)
    return _Samples(np.array(genes), stacked, of_genes, _mean(stacked), float(_mean(of_genes)))


def _differences(store: Store, group: str, people: NDArray[np.int64], rng: np.random.Generator) -> _Samples:
    """Of each gene and person the prediction, and expression, beside the mean over people."""
    genes = sorted(genes_written(store, f"{group}/expression"))
    number = len(store.read(f"{group}/track_name"))
    at_once = max(2, _MOST_VALUES // max(1, number * len(genes)))
    rows, features, target, centres, levels = [], [], [], [], []
    for gene in genes:
        values, observed = _of_people(store, group, gene, people)
        measured = np.flatnonzero(~np.isnan(observed) & ~np.isnan(values).any(axis=1))
        if len(measured) > at_once:
            measured = np.sort(rng.choice(measured, at_once, replace=False))
        if len(measured) < 2:
            continue
        centre, level = values[measured].mean(axis=0), float(observed[measured].mean())
        rows += [gene] * len(measured)
        features.append(values[measured] - centre)
        target.append(observed[measured] - level)
        centres.append(centre)
        levels.append(level)
    return _Samples(
        np.array(rows),
        np.concatenate([np.zeros((0, number)), *features]),
        np.concatenate([np.zeros(0), *target]),
        _mean(np.array(centres).reshape(-1, number)),
        float(_mean(np.array(levels))),
    )


def _of_people(
    store: Store, group: str, gene: int, people: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of people the mean over haplotypes of each track's readout, (people, tracks); and expression, (people,)."""
    window = str(store.group(group).attrs["window"])
    index = store.read(f"windows/{window}/haplotype_index", gene)[people]
    haplotypes = int(store.read(f"windows/{window}/haplotype_count", gene))
    runs = read_rows(store, f"{group}/tracks", gene, haplotypes)
    of_haplotypes = np.concatenate([_log2_sums(tracks) for tracks in runs])
    values = np.column_stack([person_prediction(track, index) for track in of_haplotypes.T])
    return values, read_expression(store, gene)[people]


def _log2_sums(tracks: NDArray[np.float32]) -> NDArray[np.float64]:
    return READOUTS["log2_sum"](tracks.astype(np.float64))


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the first axis; NaN of nothing."""
    return values.mean(axis=0) if len(values) else np.full(values.shape[1:], np.nan)


def _mean_r(predicted: NDArray[np.float64], samples: _Samples) -> float:
    """Mean over genes of R over people."""
    of_genes = [samples.gene == gene for gene in np.unique(samples.gene)]
    return _nanmean([float(pearson_r(predicted[of], samples.target[of])) for of in of_genes])


def _r_of_people(
    store: Store, group: str, genes: NDArray[np.int64], people: NDArray[np.int64], fit: NestedFit
) -> float:
    """Mean over genes of R over people, of the model of all genes."""
    found = []
    for gene in genes.tolist() if len(people) else []:
        values, observed = _of_people(store, group, gene, people)
        measured = ~np.isnan(observed) & ~np.isnan(values).any(axis=1)
        found.append(float(pearson_r(values[measured] @ fit.weight[0], observed[measured])))
    return _nanmean(found)


def _nanmean(values: list[float]) -> float:
    return float(np.nanmean(values)) if not np.isnan(values).all() else np.nan


def _write(path: Path, tracks: list[str], weight: NDArray[np.float64], intercept: float) -> None:
    with new_file(path) as unfinished, unfinished.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["track", "weight"])
        writer.writerows(zip(tracks, weight.tolist(), strict=True))
        writer.writerow(["intercept", intercept])
