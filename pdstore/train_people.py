"""Networks trained on differences between a store's people: their haplotypes, and expression beside its mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import MissingDataError, UsageError
from pdstore.fill import Observer
from pdstore.models.device import check_device
from pdstore.models.trained import Config, Trained, TrainedModel, longer
from pdstore.personal import people_of_file
from pdstore.store import Store, open_store
from pdstore.train_network import Made, trained_network
from pdstore.training_genes import Split, genes_of_parts, overlapping_windows

if TYPE_CHECKING:
    from pdstore.models.training import TrainingSettings

FEWEST_PEOPLE = 10
"""In whom a gene is measured, for differences between them to be of use."""


@dataclass(frozen=True)
class PeopleReport:
    """What a training on differences between people made.

    Attributes
    ----------
    training, validation, test : int
        Genes of each part.
    not_measured : int
        Genes measured in fewer than `FEWEST_PEOPLE` of the people to train on, which are left out.
    overlapping : int
        Training genes that share bases with a window of the other parts: those are no fair test of them.
    people, people_left_out : int
        Who was trained on, and who was not.
    epochs, best_epoch, epochs_before : int
        Epochs that were done, the one whose weights are kept, and those that an interrupted run had done.
    left_out_r : float
        Mean over training genes of R over the people who were left out; NaN without any.
    test_r : float
        Mean over test genes of R over all people; NaN without any.
    """

    training: int
    validation: int
    test: int
    not_measured: int
    overlapping: int
    people: int
    people_left_out: int
    epochs: int
    best_epoch: int
    epochs_before: int
    left_out_r: float
    test_r: float


def train_on_people(
    url: str,
    path: Path,
    observer: Observer,
    model: type[TrainedModel[Config]],
    config: Config,
    split: Split,
    settings: "TrainingSettings",
    shift: int = 0,
    curves: Path | None = None,
    *,
    people: Path | None = None,
    people_at_once: int = 16,
    start: TrainedModel[Config] | None = None,
) -> PeopleReport:
    """Train a network on differences between people: otherwise as `pdstore.train_network.train_on_genes`.

    Parameters
    ----------
    people : Path, optional
        Names of the people to train on, one a line; everybody where not given.
    people_at_once : int
        People of a gene in a step.
    start : TrainedModel, optional
        Whose weights to begin with; chance where not given.

    Raises
    ------
    MissingDataError
        Also no gene that is measured in `FEWEST_PEOPLE` of the people.
    """
    made = Made(path, curves)
    check_device(settings.device)
    if people_at_once < 2:
        raise UsageError(f"--people-at-once {people_at_once}: expected 2 or more, or nobody differs")
    store = open_store(url)
    store.require_people()
    names = store.read("genotypes/sample_id").tolist()
    chosen = np.arange(len(names)) if people is None else people_of_file(people, names)
    observed = store.read("expression/observed")
    usable = (~np.isnan(observed[:, chosen])).sum(axis=1) >= FEWEST_PEOPLE
    if not usable.any():
        raise MissingDataError(
            f"no gene is measured in {FEWEST_PEOPLE} of the people to train on, who are {len(chosen):,}: name more"
        )
    training, validation, test = genes_of_parts(store, split, usable, 1)
    from pdstore.people_task import PeopleTask

    genes = [*training, *validation]
    to_validate = np.arange(len(training), len(genes))
    task = PeopleTask(store, config, genes, to_validate, chosen, people_at_once, shift)
    if not task.differ:
        raise MissingDataError(
            f"in windows of {config.window.length:,} bp nobody's haplotype of a training gene differs from another's: "
            "nothing can be learnt from differences"
        )
    begun = None if start is None else start.network
    on: Trained = {"target": "differences between people", "genes": len(training), "people": len(chosen)}
    network, run, before = trained_network(made, model.name, config, task, settings, observer, on, begun)
    trained = model.of(config, network, settings.device, on)
    left_out = np.setdiff1d(np.arange(len(names)), chosen)
    return PeopleReport(
        training=len(training),
        validation=len(validation),
        test=len(test),
        not_measured=int((~usable).sum()),
        overlapping=overlapping_windows(store, longer(config.window, shift), training, [*validation, *test]),
        people=len(chosen),
        people_left_out=len(left_out),
        epochs=len(run.history),
        best_epoch=run.best.number,
        epochs_before=before,
        left_out_r=_mean_r(trained, store, training, left_out),
        test_r=_mean_r(trained, store, test, np.arange(len(names))),
    )


def _mean_r(model: TrainedModel[Config], store: Store, genes: Sequence[int], people: NDArray[np.int64]) -> float:
    """Mean over genes of R over people; NaN where there is none."""
    from pdstore.people_task import r_over_people

    r = np.array([r_over_people(model, store, gene, people) for gene in genes]) if len(people) else np.zeros(0)
    return float(np.nanmean(r)) if len(r) and not np.isnan(r).all() else np.nan
