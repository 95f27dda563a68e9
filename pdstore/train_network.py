"""Networks trained on reference windows of a store's genes and their mean expression, or on a table of sequences."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.correlation import pearson_r
from pdstore.errors import InputError, MissingDataError, UnknownGeneError, UsageError
from pdstore.fill import Observer, selected_genes
from pdstore.haplotypes.onehot import one_hot
from pdstore.haplotypes.window import WindowSpec
from pdstore.models.device import check_device
from pdstore.models.trained import Config, NetworkConfig, Trained, TrainedModel, longer, serialised
from pdstore.sources.measured_sequences import MeasuredSequences
from pdstore.sources.text import check_new_file, existing_file, new_file, read_lines, replacing_file
from pdstore.stages.gene_window import read_reference_around, window_starts
from pdstore.store import Store, open_store

if TYPE_CHECKING:
    from pdstore.models.trainable import TrainableNetwork
    from pdstore.models.training import Task, Training, TrainingSettings

FEWEST_EXAMPLES = 5
"""To train on."""


@dataclass(frozen=True)
class Split:
    """Which genes are kept from the training.

    Attributes
    ----------
    validation_contigs, test_contigs : tuple of str
        All genes of these contigs.
    validation_genes, test_genes : Path or None
        Files of symbols or ids, one a line.
    """

    validation_contigs: tuple[str, ...] = ()
    test_contigs: tuple[str, ...] = ()
    validation_genes: Path | None = None
    test_genes: Path | None = None


@dataclass(frozen=True)
class NetworkReport:
    """What a training made.

    Attributes
    ----------
    training, validation, test : int
        Examples of each part: genes, or sequences.
    not_measured : int
        Genes without expression, which are left out.
    overlapping : int
        Training examples that share bases with a window of the other parts, or are one of the other parts' sequences:
        those are no fair test of them.
    epochs, best_epoch, epochs_before : int
        Epochs that were done, the one whose weights are kept, and those that an interrupted run had done.
    validation_r, test_r : float
        R over examples between prediction and expression; NaN without such examples.
    """

    training: int
    validation: int
    test: int
    not_measured: int
    overlapping: int
    epochs: int
    best_epoch: int
    epochs_before: int
    validation_r: float
    test_r: float


def train_on_genes(
    url: str,
    path: Path,
    observer: Observer,
    model: type[TrainedModel[Config]],
    config: Config,
    split: Split,
    settings: "TrainingSettings",
    shift: int = 0,
    curves: Path | None = None,
) -> NetworkReport:
    """Train a network on the reference windows of a store's genes and their mean expression.

    The weights are those after the epoch with the lowest loss of the validation genes, or of the training genes where
    there are none. The losses of all epochs stand beside them, in ``NAME.epochs.csv``.

    Parameters
    ----------
    url : str
        The store.
    path : Path
        Weights that are made, as `fill --weights` takes them. Until then a checkpoint stands beside, as
        ``.NAME.partial``, from which the same call goes on.
    observer : Observer
        Told how it goes.
    model : type of TrainedModel
        What is trained.
    config : NetworkConfig
        Its window and sizes.
    split : Split
        Genes to choose the epoch by, and to test with.
    settings : TrainingSettings
        How.
    shift : int
        A step's windows lie up to this many bp beside the true ones.
    curves : Path, optional
        A figure of the losses that is made: .png, .svg or .pdf.

    Raises
    ------
    UsageError
        A file exists; the checkpoint is of another training; a gene is in two parts.
    MissingDataError
        Fewer than `FEWEST_EXAMPLES` genes to train on.
    JobError
        The training collapsed.
    """
    made = Made(path, curves)
    check_device(settings.device)
    store = open_store(url)
    store.require_people()
    mean = mean_expression(store)
    measured = ~np.isnan(mean)
    training, validation, test = genes_of_parts(store, split, measured)
    rows = [*training, *validation, *test]
    learnt = len(training) + len(validation)
    to_validate, to_test = np.arange(len(training), learnt), np.arange(learnt, len(rows))
    window = longer(config.window, shift)
    onehot = np.empty((len(rows), window.length, 4), dtype=bool)
    for place, gene in enumerate(rows):
        onehot[place] = read_reference_around(store, window, gene)
    from pdstore.models.window_task import WindowTask

    task = WindowTask(onehot[:learnt], mean[rows[:learnt]], config.window.length, to_validate, shift)
    on: Trained = {"target": "mean expression", "genes": len(training)}
    network, run, before = trained_network(made, model.name, config, task, settings, observer, on)
    trained = model.of(config, network, settings.device, on)
    within = onehot[:, shift : shift + config.window.length]
    return NetworkReport(
        training=len(training),
        validation=len(validation),
        test=len(test),
        not_measured=int((~measured).sum()),
        overlapping=overlapping_windows(store, window, training, [*validation, *test]),
        epochs=len(run.history),
        best_epoch=run.best.number,
        epochs_before=before,
        validation_r=_r(trained, within[to_validate], mean[validation]),
        test_r=_r(trained, within[to_test], mean[test]),
    )


def train_on_sequences(
    sequences: MeasuredSequences,
    path: Path,
    observer: Observer,
    model: type[TrainedModel[Config]],
    config: Config,
    folds: tuple[Sequence[str], Sequence[str]],
    settings: "TrainingSettings",
    curves: Path | None = None,
) -> NetworkReport:
    """Train a network on sequences and their measured expression: otherwise as `train_on_genes`.

    Parameters
    ----------
    sequences : MeasuredSequences
        As `read_measured_sequences` reads them, of the length of the config's window.
    folds : (sequence of str, sequence of str)
        Folds to choose the epoch by, and to test with.

    Raises
    ------
    UsageError
        Also a fold that there is not.
    """
    made = Made(path, curves)
    check_device(settings.device)
    parts = [_in_folds(sequences, names, option) for names, option in zip(folds, ("validation", "test"), strict=True)]
    if (parts[0] & parts[1]).any():
        both = ", ".join(sorted(set(folds[0]) & set(folds[1])))
        raise UsageError(f"fold {both} is in both parts, validation and test: name it in one")
    validation, test = (np.flatnonzero(part) for part in parts)
    training = np.flatnonzero(~parts[0] & ~parts[1])
    _require_examples(len(training), "sequences")
    rows = np.concatenate([training, validation])
    from pdstore.models.window_task import WindowTask

    letters, expression = sequences.letters, sequences.expression
    task = WindowTask(
        one_hot(letters[rows]),
        expression[rows],
        config.window.length,
        np.arange(len(training), len(rows)),
        centred=getattr(config, "final", "value") == "value",
    )
    on: Trained = {"target": "sequences", "sequences": len(training)}
    network, run, before = trained_network(made, model.name, config, task, settings, observer, on)
    trained = model.of(config, network, settings.device, on)
    held_out = {letters[row].tobytes() for row in (*validation, *test)}
    return NetworkReport(
        training=len(training),
        validation=len(validation),
        test=len(test),
        not_measured=0,
        overlapping=sum(letters[row].tobytes() in held_out for row in training),
        epochs=len(run.history),
        best_epoch=run.best.number,
        epochs_before=before,
        validation_r=_r(trained, one_hot(letters[validation]), expression[validation]),
        test_r=_r(trained, one_hot(letters[test]), expression[test]),
    )


class Made:
    """Files that a training makes; raises `UsageError` where one cannot be made."""

    def __init__(self, path: Path, curves: Path | None) -> None:
        check_new_file(path)
        self.path, self.curves = path, curves
        self.losses = path.with_name(f"{path.name}.epochs.csv")
        self.checkpoint = path.with_name(f".{path.name}.partial")
        if not self.checkpoint.exists():
            # A training that goes on may have been stopped behind it.
            check_new_file(self.losses)
        if curves is not None and curves.absolute() in (path.absolute(), self.losses.absolute()):
            raise UsageError(f"{curves} cannot be both the figure and another file that is made: name another")
        if curves is not None:
            check_new_file(curves)
            # Now, rather than after hours of training.
            from pdstore.figures.style import check_ending

            check_ending(curves)


def trained_network(
    made: Made,
    model: str,
    config: NetworkConfig,
    task: "Task",
    settings: "TrainingSettings",
    observer: Observer,
    trained: Trained,
    start: "TrainableNetwork | None" = None,
) -> "tuple[TrainableNetwork, Training, int]":
    """Train from the beginning or from a checkpoint, and write files.

    Parameters
    ----------
    model : str
        Its name, for the figure.
    trained : mapping
        What it is trained on, as the weights file says.
    start : TrainableNetwork, optional
        Whose weights the training begins with, rather than with those of chance.

    Returns
    -------
    (TrainableNetwork, Training, int)
        Also how many epochs had been done.
    """
    from pdstore.models.training import Training

    run = Training(config, task, settings, start)
    if made.checkpoint.exists():
        run.restore(made.checkpoint)
    before = len(run.history)
    todo = max(0, settings.epochs - before)
    observer.step_begins("epochs", "epochs", todo, todo, before)
    while not run.ended:
        run.epoch()
        run.save(made.checkpoint)
        observer.block_done(1, True)
    observer.step_ends()
    network = run.trained(best=True)
    # Another training may have made it meanwhile: its losses stay.
    check_new_file(made.path)
    with replacing_file(made.losses) as unfinished, unfinished.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["epoch", "training_loss", "validation_loss"])
        for epoch in run.history:
            of = epoch.validation_loss
            writer.writerow([epoch.number, epoch.training_loss, "" if np.isnan(of) else of])
    with new_file(made.path) as unfinished:
        unfinished.write_bytes(serialised(config, network, trained))
    if made.curves is not None:
        from pdstore.figures.training import draw_losses

        draw_losses(run.history, run.best.number, model, made.curves)
    made.checkpoint.unlink()
    return network, run, before


def _require_examples(found: int, what: str, fewest: int = FEWEST_EXAMPLES) -> None:
    if found < fewest:
        raise MissingDataError(f"{found} {what} are left to train on: at least {fewest} are needed")


def _in_folds(sequences: MeasuredSequences, names: Sequence[str], option: str) -> NDArray[np.bool_]:
    """Which sequences are in some folds: shape (sequences,)."""
    if not names:
        return np.zeros(len(sequences.expression), dtype=bool)
    if sequences.fold is None:
        raise UsageError(f"--{option}-folds {names[0]}: the sequences have no third column, which names the fold")
    there = set(sequences.fold.tolist())
    for name in names:
        if name not in there:
            raise UsageError(
                f"--{option}-folds {name}: no sequence is there; the folds are {', '.join(sorted(there))[:200]}"
            )
    return np.isin(sequences.fold.astype(str), list(names))


def mean_expression(store: Store) -> NDArray[np.float64]:
    """The mean over people of each gene, NaN where it is measured in nobody: shape (genes,)."""
    observed = store.read("expression/observed").astype(np.float64)
    measured = ~np.isnan(observed).all(axis=1)
    mean = np.full(len(observed), np.nan)
    mean[measured] = np.nanmean(observed[measured], axis=1)
    return mean


def genes_of_parts(
    store: Store, split: Split, usable: NDArray[np.bool_], fewest: int = FEWEST_EXAMPLES
) -> tuple[list[int], list[int], list[int]]:
    """Rows of the genes to train on, to choose the epoch by, and to test with.

    Parameters
    ----------
    store : Store
        The store.
    split : Split
        What is held out.
    usable : ndarray of bool, shape (genes,)
        Which genes can be in a part.
    fewest : int
        To train on.

    Raises
    ------
    UsageError
        A gene is in two parts, or a contig has none.
    MissingDataError
        Fewer than that are left to train on.
    """
    of_validation, of_test = _parts(store, split)
    both = sorted(of_validation & of_test)
    if both:
        raise UsageError(
            f"gene {store.read('genes/gene_name', both[0])} is in both parts, validation and test, of {len(both):,}: "
            "name it in one"
        )
    kept = set(np.flatnonzero(usable).tolist())
    training = sorted(kept - of_validation - of_test)
    _require_examples(len(training), "genes with expression", fewest)
    return training, sorted(kept & of_validation), sorted(kept & of_test)


def _parts(store: Store, split: Split) -> tuple[set[int], set[int]]:
    """Rows of the genes to validate and to test with."""
    contigs = store.read("genes/gene_contig").tolist()
    parts = []
    for option, names, file in (
        ("validation", split.validation_contigs, split.validation_genes),
        ("test", split.test_contigs, split.test_genes),
    ):
        for name in names:
            if name not in contigs:
                raise UsageError(
                    f"--{option}-contigs {name}: no gene of the store is there; its contigs are "
                    f"{', '.join(sorted(set(contigs)))}"
                )
        rows = {row for row, contig in enumerate(contigs) if contig in names}
        parts.append(rows if file is None else rows | _genes_of(store, file, option))
    return parts[0], parts[1]


def _genes_of(store: Store, path: Path, option: str) -> set[int]:
    rows = set()
    for number, line in read_lines(existing_file(path, f"--{option}-genes")):
        if line.strip():
            try:
                rows.update(selected_genes(store, [line.strip()]))
            except UnknownGeneError as error:
                raise InputError(f"--{option}-genes {path}, line {number}: {error}") from error
    return rows


def overlapping_windows(store: Store, window: WindowSpec, training: list[int], others: list[int]) -> int:
    """Training genes whose windows share bases with a window of the others."""
    contig, starts = store.read("genes/gene_contig"), window_starts(store, window)
    found = 0
    for name in set(contig[others].tolist()):
        of_others = np.sort(starts[[gene for gene in others if contig[gene] == name]])
        of_training = starts[[gene for gene in training if contig[gene] == name]]
        after = np.searchsorted(of_others, of_training)
        nearest = np.minimum(
            np.abs(of_training - of_others[np.minimum(after, len(of_others) - 1)]),
            np.abs(of_training - of_others[np.maximum(after - 1, 0)]),
        )
        found += int((nearest < window.length).sum())
    return found


def _r(model: TrainedModel[Config], windows: NDArray[np.bool_], expression: NDArray[np.float64]) -> float:
    """Pearson's R over windows between prediction and expression."""
    if len(windows) < 2:
        return np.nan
    parts = [model.predict(windows[at : at + model.batch_size]) for at in range(0, len(windows), model.batch_size)]
    return float(pearson_r(np.concatenate(parts)[:, 0, 0], expression))
