"""Stages run by jobs: what is not in the store yet is computed, in the order in which data flows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pdstore.errors import JobError, UsageError
from pdstore.jobs.cluster import (
    Cluster,
    cluster_client,
    local_client,
    told_when_empty,
    usable_cores,
    worker_number,
)
from pdstore.jobs.run import run_tasks
from pdstore.lease import check_lease, held_lease
from pdstore.location.locate import absolute, require_no_url
from pdstore.models.device import check_device, use_resources, visible_gpus
from pdstore.models.registry import ModelReference
from pdstore.plan import check_disk, plan_stages, window_sizes
from pdstore.query import find_gene
from pdstore.stages.attention import require_attentive_chrome
from pdstore.stages.attributions import Attributions, IsmEffects
from pdstore.stages.dosage import DosageEffects, DosagePredictions, WindowsInPlace
from pdstore.stages.eqtl import Eqtl
from pdstore.stages.model_group import GROUPS_OF_A_MODEL, arrays_of_stages, check_model
from pdstore.stages.optional import OPTIONAL_STAGES
from pdstore.stages.predictions import PersonPredictions, Predictions
from pdstore.stages.readouts import chosen_readout, differs, set_readout
from pdstore.stages.stage import Block, Stage
from pdstore.stages.statistics import Statistics
from pdstore.stages.windows import Windows, total_counts, windows_outside_contig
from pdstore.store import Store, genes_written, open_store

if TYPE_CHECKING:
    from pdstore.jobs.run import Client

Steps = tuple[Callable[[ModelReference], Stage], ...]

STAGES: dict[str, Steps] = {
    "windows": (lambda model: Windows(model.window),),
    "predictions": (Predictions, PersonPredictions),
    "attributions": (Attributions, IsmEffects),
    "eqtl": (lambda model: Eqtl(model.window),),
    "statistics": (Statistics,),
}
"""Steps of each stage by its name, in the order in which they are filled."""

ALL_STAGES: dict[str, Steps] = STAGES | {name: (make_step,) for name, make_step in OPTIONAL_STAGES.items()}
"""The same with those that are filled only where they are named."""

DOSAGE_STAGES: dict[str, Steps] = STAGES | {
    "windows": (lambda model: WindowsInPlace(model.window),),
    "predictions": (DosagePredictions,),
    "attributions": (DosageEffects,),
}
"""The same for models that take dosages."""


class Observer(Protocol):
    """Is told how a fill goes."""

    def waiting(self, what: str) -> None:
        """Nothing goes on until something comes: workers of a cluster."""

    def step_begins(self, name: str, unit: str, blocks: int, units: int, done: int) -> None:
        """A step begins: so many blocks to do, so many units (haplotypes, …) in them, so many blocks done before."""

    def block_done(self, units: int, worked: bool) -> None:
        """A block of the step, with so many units in it, is done, or failed for good."""

    def step_ends(self) -> None:
        """The step is done."""


@dataclass
class FillReport:
    """What a fill did.

    Attributes
    ----------
    computed : dict
        Step → blocks computed now.
    done_before : dict
        Step → blocks that were in the store already.
    failures : list of str
        Blocks that failed at every attempt: which, and the error.
    readouts_changed : list of str
        Groups whose derived values were read out anew from their tracks, in another way than before.
    dropped : list of str
        Arrays that were emptied since they were of another readout, and keep no tracks.
    genes_outside_contig : int
        Genes whose window leaves the contig; the bases beyond are N.
    genes_without_r : int
        Genes with statistics but without a correlation: not measured, no variance, or fewer than three people.
    weights : dict
        Of a model of dosages: what became of its weights, over the filled genes.
    genes_without_prediction : int
        Genes for which a model of dosages knows no allele of the store.
    genes_without_selection : int
        Genes whose drivers are undefined: the sum of ISM x dosage does not correlate positively with the prediction,
        no allele varies, or there are fewer than three people.
    """

    computed: dict[str, int] = field(default_factory=dict)
    done_before: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    readouts_changed: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    genes_outside_contig: int = 0
    genes_without_r: int = 0
    weights: dict[str, int] = field(default_factory=dict)
    genes_without_prediction: int = 0
    genes_without_selection: int = 0


class FillError(JobError):
    """Blocks failed at every attempt; the others are in the store.

    Attributes
    ----------
    report : FillReport
        What was done, and every failure.
    """

    def __init__(self, report: FillReport) -> None:
        failed = len(report.failures)
        blocks = "1 block" if failed == 1 else f"{failed:,} blocks"
        super().__init__(
            f"{blocks} failed at each of three attempts, first {report.failures[0]}; the rest is filled, fill again "
            "to try these again"
        )
        self.report = report


def fill(
    url: str,
    model: ModelReference,
    observer: Observer,
    stages: Sequence[str] = (),
    genes: Sequence[str] = (),
    cluster: Cluster | None = None,
    readout: str | None = None,
    readout_weights: Path | None = None,
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
        Names of stages; none means all but those that are filled only where they are named. They are filled in the
        order in which data flows.
    genes : sequence of str
        Symbols or ids; none means all.
    cluster : Cluster, optional
        Where it runs; this machine where not given.
    readout : str, optional
        How a haplotype's tracks become one number; the store's, or the model's for a new set, where not given. Where
        the store has another, it is derived anew from the stored tracks.
    readout_weights : Path, optional
        CSV of the elastic net's weights.

    Returns
    -------
    FillReport

    Raises
    ------
    UsageError
        A stage, a readout or an option of the model that does not exist.
    LeaseError
        Another fill, or a clear, writes to the store.
    DiskFullError
        There is no room for what would be, or is, written.
    FillError
        Blocks failed three times each; the others are in the store.
    """
    selected = selected_stages(stages)
    # Workers of a cluster may have been started elsewhere.
    require_no_url(url)
    url = absolute(url)
    if readout is not None and "predictions" not in selected:
        raise UsageError("--readout is how predictions are read out: fill predictions with it, or name no stage")
    store = open_store(url)
    store.require_people()
    rows = selected_genes(store, genes)
    check_usable(store, model, selected, cluster or Cluster())
    chosen = chosen_readout(store, model, readout, readout_weights)
    if chosen is not None and genes and differs(store, f"predictions/{model.label}", chosen):
        raise UsageError(f"--readout {readout} changes what the store derived for every gene: leave --genes out")
    with held_lease(url, "fill") as lease, ExitStack() as stack:
        store = open_store(url, "r+", lease)
        store.remove_leftovers()
        check_disk(store, plan_stages(store, model, selected, rows, window_sizes(store, model, rows)))
        clients = stack.enter_context(worker_clients(cluster or Cluster(), model, observer))
        report = FillReport()
        for name in selected:
            for step in steps(model, name):
                step.prepare(store)
                filled = [path for path in arrays_of_stages(store, step.group) if store.chunks_written(path)]
                if step.runs_model and set_readout(store, step.group, chosen):
                    report.readouts_changed.append(step.group)
                    report.dropped += filled
                run_block = partial(_run_block, step, store.url, lease, model.device)
                rows = _fill_step(store, step, rows, run_block, clients, observer, report)
        _count(store, model, report)
    if report.failures:
        raise FillError(report)
    return report


def selected_stages(stages: Sequence[str]) -> list[str]:
    """Names of stages in the order in which data flows; `UsageError` for one there is not.

    Where none is named, all but those that are filled only where they are named.
    """
    for name in stages:
        if name not in ALL_STAGES:
            raise UsageError(f"there is no stage {name!r}: the stages are {', '.join(ALL_STAGES)}")
    return [name for name in ALL_STAGES if name in (stages or STAGES)]


def selected_genes(store: Store, genes: Sequence[str]) -> list[int]:
    """Rows of genes by symbol or id, all where none is named."""
    return sorted({find_gene(store, gene) for gene in genes}) or list(range(store.array("genes/gene_tss").shape[0]))


def steps(model: ModelReference, stage: str) -> list[Stage]:
    """The steps of a stage."""
    return [make_step(model) for make_step in (DOSAGE_STAGES if model.takes_dosages else ALL_STAGES)[stage]]


def check_usable(store: Store, model: ModelReference, selected: Sequence[str], cluster: Cluster) -> None:
    """Hold device, weights and options of a model against this machine and the store, before hours go into windows."""
    for name in selected:
        if model.takes_dosages and name in OPTIONAL_STAGES:
            raise UsageError(f"model {model.name} reads no sequence: it has no stage {name}")
    cluster.check()
    if cluster.is_local:
        check_device(model.device)
    if "gradient" in selected:
        model.require_gradient()
    if "attention" in selected and "predictions" not in selected:
        require_attentive_chrome(store, model)
    given = model.weights is not None or model.options.given()
    if {*GROUPS_OF_A_MODEL, *OPTIONAL_STAGES} & set(selected) or ("statistics" in selected and given):
        check_model(store, model)


@contextmanager
def worker_clients(
    cluster: Cluster, model: ModelReference, observer: Observer
) -> "Iterator[Callable[[Stage], tuple[Client, int | None]]]":
    """A client of workers for a stage, and the cores that the model may use in each; None where that is theirs to know.

    Workers are started when the first stage has something to do. On this machine, stages that run the model have their
    own: one a GPU, or one that takes all cores, with two blocks in each, so that one is read or written while the other
    is in the model.
    """
    with ExitStack() as stack:
        running: dict[tuple[int, int], Client] = {}

        def client_of(stage: Stage) -> "tuple[Client, int | None]":
            if not cluster.is_local:
                if not running:
                    running[0, 0] = stack.enter_context(cluster_client(cluster))
                    stack.enter_context(told_when_empty(running[0, 0], observer.waiting))
                return running[0, 0], None
            workers = cluster.local_workers(stage.runs_model, visible_gpus(model.device))
            size = (workers, 2 if stage.runs_model else 1)
            if size not in running:
                running[size] = stack.enter_context(local_client(*size, keep_memory=stage.runs_model))
            return running[size], max(1, usable_cores() // workers)

        yield client_of


def _fill_step(
    store: Store,
    step: Stage,
    rows: Sequence[int],
    run_block: Callable[[int | None, Block], None],
    client_of: "Callable[[Stage], tuple[Client, int | None]]",
    observer: Observer,
    report: FillReport,
) -> list[int]:
    """Fill one step; gives the genes that the next can go on with: those of which no block failed."""
    pending = step.pending(store, rows)
    size_of = dict(zip(pending.todo, pending.sizes, strict=True))
    observer.step_begins(step.name, step.unit, len(pending.todo), sum(pending.sizes), pending.done)
    failed_genes: set[int] = set()
    if pending.todo:
        client, cores = client_of(step)
        failures = run_tasks(
            client,
            partial(run_block, cores),
            pending.todo,
            lambda block, worked: observer.block_done(size_of[block], worked),
        )
        failed_genes = {failure.task[0] for failure in failures}
        report.failures += [f"{step.describe(store, failure.task)}: {failure.error}" for failure in failures]
        report.computed[step.name] = len(pending.todo) - len(failures)
    else:
        report.computed[step.name] = 0
    step.gather(store)
    observer.step_ends()
    report.done_before[step.name] = pending.done
    return [row for row in rows if row not in failed_genes]


def _count(store: Store, model: ModelReference, report: FillReport) -> None:
    if "windows" in report.computed and not model.takes_dosages:
        report.genes_outside_contig = windows_outside_contig(store, model.window)
    if model.takes_dosages and DosagePredictions.name in report.computed:
        predictions = DosagePredictions(model)
        done_genes = sorted(genes_written(store, f"{predictions.group}/expression"))
        report.weights = total_counts(store, predictions.group, done_genes)
        report.genes_without_prediction = predictions.without_prediction(store, done_genes)
    if "statistics" in report.computed:
        statistics = f"statistics/{model.label}"
        done = store.read_if_filled(f"{statistics}/n_samples") >= 0
        without_r = np.isnan(store.read_if_filled(f"{statistics}/pearson_r"))
        report.genes_without_r = int((done & without_r).sum())
        report.genes_without_selection = int((done & (store.read_if_filled(f"{statistics}/driver_count") < 0)).sum())


def _run_block(step: Stage, url: str, lease: str, device: str, cores: int | None, block: Block) -> None:
    """Compute a block in a worker."""
    # Before hours go into a block that must not be written.
    check_lease(url, lease)
    if step.runs_model:
        use_resources(device, worker_number(), cores)
    step.run(_store_of_worker(url, lease), block)


@lru_cache(maxsize=1)
def _store_of_worker(url: str, lease: str | None) -> Store:
    return open_store(url, "r+", lease)
