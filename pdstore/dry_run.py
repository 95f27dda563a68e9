"""What a fill would cost: blocks, bytes, and time at the rate of a short probe, for this store and a published one."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from pdstore.fill import (
    Observer,
    check_usable,
    selected_genes,
    selected_stages,
    worker_clients,
)
from pdstore.jobs.cluster import Cluster, worker_number
from pdstore.jobs.run import on_every_worker
from pdstore.location.locate import absolute, require_no_url
from pdstore.models.device import use_resources
from pdstore.models.protocol import predict_in_batches
from pdstore.models.registry import ModelReference
from pdstore.plan import StagePlan, WindowSizes, plan_stages, window_sizes
from pdstore.stages.gene_window import read_reference_around
from pdstore.stages.model_group import GROUPS_OF_A_MODEL
from pdstore.stages.optional import OPTIONAL_STAGES
from pdstore.stages.predictions import Predictions
from pdstore.store import open_store

PUBLISHED_PEOPLE, PUBLISHED_GENES = 839, 6_825
"""The cohort of Sasse et al. 2023."""

PROBE_SECONDS = 5.0


@dataclass(frozen=True)
class Cost:
    """What a fill would cost.

    Attributes
    ----------
    people, genes, genes_counted : int
        People of the store, genes to fill, and those of them whose distinct haplotypes were counted or known: those of
        the others are taken for the mean of these.
    workers : int
        Workers that were probed.
    windows_per_second : float or None
        Of all of them together; None where the model has nothing to do.
    stages : list of StagePlan
        What there is to do.
    published : list of StagePlan
        The same for a store of 839 people and 6,825 genes of which nothing is filled, if genes were like these and
        larger cohorts shared haplotypes no more than this one.
    """

    people: int
    genes: int
    genes_counted: int
    workers: int
    windows_per_second: float | None
    stages: list[StagePlan]
    published: list[StagePlan]

    def seconds(self, plan: StagePlan) -> float | None:
        """Time that the model takes for a stage; None where it is not known."""
        if not plan.model_windows:
            return 0.0 if plan.stage in (*GROUPS_OF_A_MODEL, *OPTIONAL_STAGES) else None
        return None if not self.windows_per_second else plan.model_windows / self.windows_per_second

    def as_json(self) -> dict[str, Any]:
        """Plain values, with the seconds of each stage."""
        found = asdict(self)
        for name in ("stages", "published"):
            found[name] = [asdict(plan) | {"model_seconds": self.seconds(plan)} for plan in getattr(self, name)]
        return found


def dry_run(
    url: str,
    model: ModelReference,
    observer: Observer,
    stages: Sequence[str] = (),
    genes: Sequence[str] = (),
    cluster: Cluster | None = None,
) -> Cost:
    """Say what a fill would cost; nothing is written. The arguments are those of `pdstore.fill.fill`."""
    cluster = cluster or Cluster()
    selected = selected_stages(stages)
    require_no_url(url)
    url = absolute(url)
    store = open_store(url)
    store.require_people()
    rows = selected_genes(store, genes)
    check_usable(store, model, selected, cluster)
    sizes = window_sizes(store, model, rows)
    plans = plan_stages(store, model, selected, rows, sizes)
    rates: list[float] = []
    if any(plan.model_windows for plan in plans):
        observer.waiting("a short probe of the model")
        with worker_clients(cluster, model, observer) as client_of:
            client, cores = client_of(Predictions(model))
            rates = list(on_every_worker(client, partial(_probe, url, model, cores, rows[0])))
    people = store.array("expression/observed").shape[1]
    published = WindowSizes(
        np.resize(sizes.haplotypes * PUBLISHED_PEOPLE // people, PUBLISHED_GENES),
        np.resize(sizes.variants, PUBLISHED_GENES),
        sizes.scored,
        sizes.counted,
    )
    genes_again = np.resize(rows, PUBLISHED_GENES).tolist()
    return Cost(
        people=people,
        genes=len(rows),
        genes_counted=sizes.counted,
        workers=len(rates),
        windows_per_second=sum(rates) if rates else None,
        stages=plans,
        published=plan_stages(store, model, selected, genes_again, published, PUBLISHED_PEOPLE),
    )


def _probe(url: str, model: ModelReference, cores: int | None, gene: int) -> float:
    """Windows a second that the model takes in this worker: whole batches, after a first that is not timed."""
    use_resources(model.device, worker_number(), cores)
    loaded = model.load()
    window = read_reference_around(open_store(url), model.window, gene)
    batch = np.repeat(window[np.newaxis], loaded.batch_size, axis=0)
    # As many bases as a haplotype changes are N: about one in a thousand.
    batch[:, ::1_000] = False
    predict_in_batches(loaded, batch, window)
    began, windows = time.perf_counter(), 0
    while (seconds := time.perf_counter() - began) < PROBE_SECONDS:
        predict_in_batches(loaded, batch, window)
        windows += len(batch)
    return windows / seconds
