"""A CNN trained on a store: reference windows of its genes, and their mean expression over its people."""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.correlation import pearson_r
from pdstore.errors import InputError, MissingDataError, UnknownGeneError, UsageError
from pdstore.fill import Observer, selected_genes
from pdstore.models.cnn import Cnn, CnnConfig
from pdstore.models.device import check_device
from pdstore.sources.text import check_new_file, existing_file, new_file, read_lines, replacing_file
from pdstore.stages.gene_window import read_reference_around
from pdstore.store import Store, open_store

if TYPE_CHECKING:
    from pdstore.models.cnn_training import CnnTraining

FEWEST_GENES = 5
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
class CnnSettings:
    """How a CNN is trained.

    Attributes
    ----------
    config : CnnConfig
        Window and sizes.
    epochs : int
        Passes over the training genes, at most.
    patience : int
        The training ends after so many epochs without a lower loss of the validation genes.
    learning_rate : float
        Adam's.
    batch_size : int
        Genes a step.
    shift : int
        A step's windows lie up to this many bp beside the true ones.
    seed : int
        Of first weights, order and shifts.
    device : str
        Torch device.
    """

    config: CnnConfig = field(default_factory=CnnConfig)
    epochs: int = 100
    patience: int = 10
    learning_rate: float = 0.001
    batch_size: int = 25
    shift: int = 10
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class CnnReport:
    """What a training made.

    Attributes
    ----------
    training, validation, test : int
        Genes of each part.
    not_measured : int
        Genes without expression, which are left out.
    overlapping : int
        Training genes that share bases with a window of the other parts: those are no fair test of them.
    epochs, best_epoch, epochs_before : int
        Epochs that were done, the one whose weights are kept, and those that an interrupted run had done.
    validation_r, test_r : float
        R over genes between prediction and mean expression; NaN without such genes.
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


def train_cnn_on(
    url: str, path: Path, observer: Observer, split: Split, settings: CnnSettings, curves: Path | None = None
) -> CnnReport:
    """Train a CNN on the reference windows of a store's genes and their mean expression.

    The weights are those after the epoch with the lowest loss of the validation genes, or of the training genes where
    there are none. The losses of all epochs stand beside them, in ``NAME.epochs.csv``.

    Parameters
    ----------
    url : str
        The store.
    path : Path
        Weights that are made, as `fill --model cnn --weights` takes them. Until then a checkpoint stands beside, as
        ``.NAME.partial``, from which the same call goes on.
    observer : Observer
        Told how it goes.
    split : Split
        Genes to choose the epoch by, and to test with.
    settings : CnnSettings
        Sizes and the like.
    curves : Path, optional
        A figure of the losses that is made: .png, .svg or .pdf.

    Raises
    ------
    UsageError
        A file exists; the checkpoint is of another training; a gene is in two parts.
    MissingDataError
        Fewer than `FEWEST_GENES` genes to train on.
    JobError
        The training collapsed.
    """
    if settings.epochs < 1 or settings.patience < 1:
        raise UsageError(f"--epochs {settings.epochs}, --patience {settings.patience}: expected 1 or more")
    losses = path.with_name(f"{path.name}.epochs.csv")
    for made in (path, *([] if curves is None else [curves])):
        check_new_file(made)
    check_device(settings.device)
    store = open_store(url)
    store.require_people()
    measured, mean = _mean_expression(store)
    of_validation, of_test = _parts(store, split)
    both = sorted(of_validation & of_test)
    if both:
        raise UsageError(
            f"gene {store.read('genes/gene_name', both[0])} is in both parts, validation and test, of {len(both):,}: "
            "name it in one"
        )
    window = settings.config.training_window(settings.shift)
    kept = set(np.flatnonzero(measured).tolist())
    training = sorted(kept - of_validation - of_test)
    if len(training) < FEWEST_GENES:
        raise MissingDataError(
            f"{len(training)} genes with expression are left to train on: at least {FEWEST_GENES} are needed"
        )
    validation, test = sorted(kept & of_validation), sorted(kept & of_test)
    rows = [*training, *validation]
    onehot = np.empty((len(rows), window.length, 4), dtype=bool)
    for place, gene in enumerate(rows):
        onehot[place] = read_reference_around(store, window, gene)
    run = _training(onehot, mean[rows], len(training), settings)
    checkpoint = path.with_name(f".{path.name}.partial")
    if checkpoint.exists():
        run.restore(checkpoint)
    before = len(run.history)
    _run(run, observer, settings, checkpoint)
    cnn = run.trained(best=True)
    with replacing_file(losses) as unfinished, unfinished.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["epoch", "training_loss", "validation_loss"])
        for epoch in run.history:
            of = epoch.validation_loss
            writer.writerow([epoch.number, epoch.training_loss, "" if np.isnan(of) else of])
    if curves is not None:
        from pdstore.figures.training import draw_losses

        draw_losses(run.history, run.best.number, curves)
    with new_file(path) as unfinished:
        cnn.save(unfinished)
    checkpoint.unlink()
    return CnnReport(
        training=len(training),
        validation=len(validation),
        test=len(test),
        not_measured=int((~measured).sum()),
        overlapping=_overlapping(store, window.length, training, [*validation, *test]),
        epochs=len(run.history),
        best_epoch=run.best.number,
        epochs_before=before,
        validation_r=_r(store, cnn, validation, mean),
        test_r=_r(store, cnn, test, mean),
    )


def _training(
    onehot: NDArray[np.bool_], expression: NDArray[np.float64], training: int, settings: CnnSettings
) -> "CnnTraining":
    from pdstore.models.cnn_training import CnnTraining

    return CnnTraining(
        onehot,
        expression,
        settings.config,
        seed=settings.seed,
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        validation=np.arange(training, len(expression)),
        shift=settings.shift,
        device=settings.device,
    )


def _run(run: "CnnTraining", observer: Observer, settings: CnnSettings, checkpoint: Path) -> None:
    """Epoch by epoch, with a checkpoint behind each, until the last one or until nothing gets better."""
    todo = settings.epochs - len(run.history)
    observer.step_begins("epochs", "epochs", todo, todo, len(run.history))
    while len(run.history) < settings.epochs:
        if run.history and len(run.history) - run.best.number >= settings.patience:
            break
        run.epoch()
        run.save(checkpoint)
        observer.block_done(1, True)
    observer.step_ends()


def _mean_expression(store: Store) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which genes are measured in anybody, and the mean over people of each that is: shapes (genes,)."""
    observed = store.read("expression/observed").astype(np.float64)
    measured = np.array(~np.isnan(observed).all(axis=1))
    mean = np.full(len(observed), np.nan)
    mean[measured] = np.nanmean(observed[measured], axis=1)
    return measured, mean


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


def _overlapping(store: Store, length: int, training: list[int], others: list[int]) -> int:
    """Training genes whose windows share bases with a window of the others."""
    contig, tss = store.read("genes/gene_contig"), store.read("genes/gene_tss").astype(np.int64)
    found = 0
    for name in set(contig[others].tolist()):
        of_others = np.sort(tss[[gene for gene in others if contig[gene] == name]])
        of_training = tss[[gene for gene in training if contig[gene] == name]]
        after = np.searchsorted(of_others, of_training)
        nearest = np.minimum(
            np.abs(of_training - of_others[np.minimum(after, len(of_others) - 1)]),
            np.abs(of_training - of_others[np.maximum(after - 1, 0)]),
        )
        found += int((nearest < length).sum())
    return found


def _r(store: Store, cnn: Cnn, genes: list[int], mean: NDArray[np.float64]) -> float:
    """Pearson's R over genes between prediction and mean expression."""
    window = cnn.config.window
    predicted = [float(cnn.predict(read_reference_around(store, window, gene)[None])[0, 0, 0]) for gene in genes]
    return float(pearson_r(np.array(predicted), mean[genes])) if len(genes) > 1 else np.nan
