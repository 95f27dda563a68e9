"""Stages run by jobs: what is not in the store yet is computed, in the order in which data flows."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Protocol

import numpy as np

from pdstore.errors import JobError, UsageError
from pdstore.jobs.run import Failure, local_client, run_tasks, usable_cores
from pdstore.models.device import check_device
from pdstore.models.registry import ModelReference
from pdstore.models.weights import existing_weights
from pdstore.query import find_gene
from pdstore.stages.attributions import Attributions
from pdstore.stages.eqtl import Eqtl
from pdstore.stages.model_group import check_model
from pdstore.stages.predictions import Predictions
from pdstore.stages.stage import Block, Stage
from pdstore.stages.statistics import Statistics
from pdstore.stages.windows import Windows, windows_outside_contig
from pdstore.store import Store, open_store

STAGES: dict[str, Callable[[ModelReference], Stage]] = {
    "windows": lambda model: Windows(model.window),
    "predictions": Predictions,
    "attributions": Attributions,
    "eqtl": lambda model: Eqtl(model.window),
    "statistics": Statistics,
}
"""Stage by name, in the order in which they are filled."""


class Observer(Protocol):
    """Is told how a fill goes."""

    def stage_begins(self, name: str, todo: int, done: int) -> None:
        """A stage begins, with so many blocks to do and so many done before."""

    def block_done(self) -> None:
        """A block of the stage is done."""

    def stage_ends(self) -> None:
        """The stage is done."""


@dataclass
class FillReport:
    """What a fill did.

    Attributes
    ----------
    computed : dict
        Stage → blocks computed now.
    done_before : dict
        Stage → blocks that were in the store already.
    genes_outside_contig : int
        Genes whose window leaves the contig; the bases beyond are N.
    genes_without_r : int
        Genes with statistics but without a correlation: not measured, no variance, or fewer than three people.
    genes_without_selection : int
        Genes whose drivers are undefined: the sum of ISM x dosage does not correlate positively with the prediction,
        no allele varies, or there are fewer than three people.
    """

    computed: dict[str, int] = field(default_factory=dict)
    done_before: dict[str, int] = field(default_factory=dict)
    genes_outside_contig: int = 0
    genes_without_r: int = 0
    genes_without_selection: int = 0


def fill(
    url: str,
    model: ModelReference,
    observer: Observer,
    stages: Sequence[str] = (),
    genes: Sequence[str] = (),
    workers: int | None = None,
) -> FillReport:
    """Fill a store: compute every block that is missing.

    Parameters
    ----------
    url : str
        The store.
    model : ModelReference
        The model.
    observer : Observer
        Told how it goes.
    stages : sequence of str
        Names of stages; none means all. They are filled in the order in which data flows.
    genes : sequence of str
        Symbols or ids; none means all.
    workers : int, optional
        Worker processes; as many as there are cores where not given.

    Returns
    -------
    FillReport

    Raises
    ------
    UsageError
        A stage that does not exist.
    JobError
        Blocks failed three times each; the others are in the store.
    """
    for name in stages:
        if name not in STAGES:
            raise UsageError(f"there is no stage {name!r}: the stages are {', '.join(STAGES)}")
    store = open_store(url, mode="r+")
    rows = sorted({find_gene(store, gene) for gene in genes}) or list(range(store.array("genes/gene_tss").shape[0]))
    selected = [name for name in STAGES if not stages or name in stages]
    check_device(model.device)
    if model.weights is not None:
        existing_weights(model.weights, model.name)
    if {"predictions", "attributions"} & set(selected) or ("statistics" in selected and model.weights):
        # Before hours go into windows.
        check_model(store, model)
    report = FillReport()
    failures: list[str] = []
    with ExitStack() as stack:
        client = None
        for name in selected:
            stage = STAGES[name](model)
            stage.prepare(store)
            pending = stage.pending(store, rows)
            observer.stage_begins(name, len(pending.todo), pending.done)
            failed: list[Failure[Block]] = []
            if pending.todo:
                if client is None:
                    client = stack.enter_context(local_client(workers or usable_cores()))
                failed = run_tasks(client, partial(_run_block, stage, url), pending.todo, observer.block_done)
            stage.gather(store)
            observer.stage_ends()
            report.computed[name] = len(pending.todo) - len(failed)
            report.done_before[name] = pending.done
            if failed:
                failures = [f"{stage.describe(store, failure.task)}: {failure.error}" for failure in failed]
                break
        if "windows" in report.computed:
            report.genes_outside_contig = windows_outside_contig(store, model.window)
        if "statistics" in report.computed:
            statistics = f"statistics/{model.name}"
            done = store.read_if_filled(f"{statistics}/n_samples") >= 0
            without_r = np.isnan(store.read_if_filled(f"{statistics}/pearson_r"))
            report.genes_without_r = int((done & without_r).sum())
            report.genes_without_selection = int(
                (done & (store.read_if_filled(f"{statistics}/driver_count") < 0)).sum()
            )
    if failures:
        more = f" (and {len(failures) - 1} more blocks)" if len(failures) > 1 else ""
        raise JobError(f"{failures[0]}{more}; what was computed is kept, fill again to go on")
    return report


def _run_block(stage: Stage, url: str, block: Block) -> None:
    stage.run(_store_of_worker(url), block)


@lru_cache(maxsize=1)
def _store_of_worker(url: str) -> Store:
    return open_store(url, mode="r+")
