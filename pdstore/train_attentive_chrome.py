"""AttentiveChrome trained on a store: tracks predicted for the reference, and which genes are highly expressed."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import MissingDataError, UsageError
from pdstore.fill import Observer
from pdstore.models.attentive_chrome import AttentiveChromeConfig, pick_marks
from pdstore.models.device import check_device
from pdstore.models.trained import Trained
from pdstore.query import chosen_model
from pdstore.store import genes_written, open_store
from pdstore.train_network import Made, trained_network
from pdstore.training_genes import Split, genes_of_parts, mean_expression

if TYPE_CHECKING:
    from pdstore.models.trainable import TrainableNetwork
    from pdstore.models.training import TrainingSettings


@dataclass(frozen=True)
class ChromeReport:
    """What a training made.

    Attributes
    ----------
    marks : tuple of str
        The tracks that it reads.
    training, validation, test : int
        Genes of each part.
    not_usable : int
        Genes without expression or without predictions of these tracks, which are left out.
    epochs, best_epoch, epochs_before : int
        Epochs that were done, the one whose weights are kept, and those that an interrupted run had done.
    validation_auroc, test_auroc : float
        Area under the ROC curve of whether expression is above the median; NaN where genes of one kind are missing.
    """

    marks: tuple[str, ...]
    training: int
    validation: int
    test: int
    not_usable: int
    epochs: int
    best_epoch: int
    epochs_before: int
    validation_auroc: float
    test_auroc: float


def train_attentive_chrome(
    url: str,
    path: Path,
    observer: Observer,
    cell_type: str,
    split: Split,
    settings: "TrainingSettings",
    model: str | None = None,
    curves: Path | None = None,
) -> ChromeReport:
    """Train AttentiveChrome on the tracks of a store's genes, predicted for the reference.

    What it learns is whether a gene's mean expression over people is above the median of the genes. The weights are
    those after the epoch with the lowest loss of the validation genes.

    Parameters
    ----------
    url : str
        The store.
    path : Path
        Weights that are made, as `fill --readout attentive_chrome --readout-weights` takes them.
    observer : Observer
        Told how it goes.
    cell_type : str
        Part of the descriptions of the histone marks' tracks.
    split : Split
        Genes to choose the epoch by, and to test with.
    settings : TrainingSettings
        How.
    model : str, optional
        Name of a set of predictions; the first filled where not given.
    curves : Path, optional
        A figure of the losses that is made.

    Raises
    ------
    UsageError
        The store lacks a mark's track, or a file exists, or a checkpoint is of another training.
    MissingDataError
        Too few genes have predictions and expression, or there is one bin.
    """
    made = Made(path, curves)
    check_device(settings.device)
    store = open_store(url)
    store.require_people()
    label = chosen_model(store, model)
    group = f"predictions/{label}"
    if f"{group}/reference_tracks" not in store:
        raise UsageError(f"{label} has no tracks for AttentiveChrome to read")
    names = store.read(f"{group}/track_name").tolist()
    marks = pick_marks(cell_type, names)
    bins = store.array(f"{group}/reference_tracks").shape[1]
    if bins < 2:
        raise MissingDataError(f"{label} has {bins} bin: fill with more, --bins, for AttentiveChrome to read")
    rows = [names.index(mark) for mark in marks]
    mean = mean_expression(store)
    usable = ~np.isnan(mean) & np.isin(np.arange(len(mean)), sorted(genes_written(store, f"{group}/reference_tracks")))
    training, validation, test = genes_of_parts(store, split, usable)
    genes = [*training, *validation, *test]
    windows = np.stack([store.read(f"{group}/reference_tracks", gene)[:, rows] for gene in genes])
    high = (mean[genes] > np.median(mean[usable])).astype(np.float64)
    from pdstore.models.window_task import WindowTask

    learnt = len(training) + len(validation)
    to_validate, to_test = np.arange(len(training), learnt), np.arange(learnt, len(genes))
    config = AttentiveChromeConfig(marks, bins)
    task = WindowTask(windows[:learnt], high[:learnt], bins, to_validate, centred=False)
    on: Trained = {"target": "expression above the median", "genes": len(training)}
    network, run, before = trained_network(made, config.model, config, task, settings, observer, on)
    return ChromeReport(
        marks=marks,
        training=len(training),
        validation=len(validation),
        test=len(test),
        not_usable=int((~usable).sum()),
        epochs=len(run.history),
        best_epoch=run.best.number,
        epochs_before=before,
        validation_auroc=_auroc(network, windows[to_validate], high[to_validate], settings.device),
        test_auroc=_auroc(network, windows[to_test], high[to_test], settings.device),
    )


def _auroc(network: "TrainableNetwork", windows: NDArray[np.float32], high: NDArray[np.float64], device: str) -> float:
    if len(np.unique(high)) < 2:
        return np.nan
    import torch
    from sklearn.metrics import roc_auc_score

    with torch.inference_mode():
        found = network(torch.from_numpy(windows).to(device)).cpu().numpy()
    return float(roc_auc_score(high, found))
