"""Networks trained on reference windows of a store's genes and their mean expression, or on a table of sequences."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.correlation import pearson_r
from pdstore.errors import UsageError
from pdstore.fill import Observer
from pdstore.haplotypes.onehot import one_hot
from pdstore.models.device import check_device
from pdstore.models.trained import Config, NetworkConfig, Trained, TrainedModel, longer, serialised
from pdstore.sources.measured_sequences import MeasuredSequences
from pdstore.sources.text import check_new_file, new_file, replacing_file
from pdstore.stages.gene_window import read_reference_around
from pdstore.store import open_store
from pdstore.training_genes import (
    Split,
    genes_of_parts,
    mean_expression,
    overlapping_windows,
    require_examples,
)

if TYPE_CHECKING:
    from pdstore.models.trainable import TrainableNetwork
    from pdstore.models.training import Task, Training, TrainingSettings


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
    require_examples(len(training), "sequences")
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


def _r(model: TrainedModel[Config], windows: NDArray[np.bool_], expression: NDArray[np.float64]) -> float:
    """Pearson's R over windows between prediction and expression."""
    if len(windows) < 2:
        return np.nan
    parts = [model.predict(windows[at : at + model.batch_size]) for at in range(0, len(windows), model.batch_size)]
    return float(pearson_r(np.concatenate(parts)[:, 0, 0], expression))
