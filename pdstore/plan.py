"""What a fill has to do, and how big it gets, before it is begun: nothing is written."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import DiskFullError
from pdstore.haplotypes.build import distinct_haplotypes, haplotype_windows
from pdstore.haplotypes.overlaps import first_wins
from pdstore.haplotypes.window import WindowSpec
from pdstore.models.protocol import ModelDescription
from pdstore.models.registry import ModelReference
from pdstore.schema import encoded_size, filled_array, schema_of
from pdstore.stages.gene_window import reaches, read_calls, read_gene_window, window_path
from pdstore.stages.model_group import GROUPS_OF_A_MODEL
from pdstore.stages.optional import OPTIONAL_STAGES
from pdstore.stages.stage import pending_runs, runs_of
from pdstore.stages.statistics import GENE_STATISTICS
from pdstore.store import Store, genes_written

SAMPLED_GENES = 50
"""Of more genes whose windows are not filled, the haplotypes of so many are counted, evenly spread over the others."""

_SAMPLED_HAPLOTYPES = 64


@dataclass(frozen=True)
class WindowSizes:
    """How much the windows of some genes hold.

    Attributes
    ----------
    haplotypes : ndarray of int64, shape (genes,)
        Distinct haplotypes; for genes that were not counted, the mean of those that were.
    variants : ndarray of int64, shape (genes,)
        Rows of variants/ in reach: the columns of arrays per variant.
    scored : float
        Share of these that attributions run the model for.
    counted : int
        Genes whose haplotypes were counted, or are known.
    """

    haplotypes: NDArray[np.int64]
    variants: NDArray[np.int64]
    scored: float
    counted: int


@dataclass(frozen=True)
class StagePlan:
    """What a stage has to do.

    Attributes
    ----------
    stage : str
        Name of the stage.
    unit : str
        "genes", "haplotypes", "variants", "drivers" or "bases".
    blocks, done : int
        Blocks to do, and blocks that are in the store.
    units : int
        Units in the blocks to do.
    model_windows : int
        Windows that the model is run for; a gradient counts as those that take as long.
    bytes : int
        What will be stored, about.
    """

    stage: str
    unit: str
    blocks: int
    done: int
    units: int
    model_windows: int
    bytes: int


def window_sizes(store: Store, model: ModelReference, genes: Sequence[int]) -> WindowSizes:
    """Count what the windows of genes hold: from the filled windows, and from genotypes where there are none.

    Of a model that takes dosages the variants alone are counted.

    Parameters
    ----------
    store : Store
        The store.
    model : ModelReference
        The model whose windows they are.
    genes : sequence of int
        Rows of genes/.
    """
    window = model.window
    known = np.full(len(genes), -1, dtype=np.int64)
    path = window_path(window)
    if window.name in store.members("windows") and f"{path}/haplotype_count" in store:
        known = store.read_if_filled(f"{path}/haplotype_count")[list(genes)].astype(np.int64)
    found = reaches(store, window, genes)
    variants = np.array([reach.alleles.stop - reach.alleles.start for reach in found], dtype=np.int64)
    if model.takes_dosages:
        return WindowSizes(np.zeros(len(genes), dtype=np.int64), variants, 1.0, len(genes))
    unknown = np.flatnonzero(known < 0)
    sampled = _evenly(unknown, SAMPLED_GENES)
    for index in sampled:
        gene_window = read_gene_window(store, window, genes[index], found[index])
        calls = read_calls(store, gene_window)
        distinct = distinct_haplotypes(first_wins(calls.carried, gene_window.footprints), calls.absent)
        known[index] = len(distinct.applied)
    scored = in_reach = 0
    for index in _evenly(np.arange(len(genes)), SAMPLED_GENES // 5):
        gene_window = read_gene_window(store, window, genes[index], found[index])
        scored += len(gene_window.scored_columns)
        in_reach += len(gene_window.position)
    counted = int((known >= 0).sum())
    haplotypes = np.where(known < 0, round(known[known >= 0].mean()) if counted else 0, known)
    return WindowSizes(haplotypes, variants, scored / in_reach if in_reach else 1.0, counted)


def _evenly(values: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """So many of the values, or all, evenly spread over them."""
    spread: NDArray[np.int64] = values[np.unique(np.linspace(0, len(values) - 1, min(len(values), number)).astype(int))]
    return spread


def plan_stages(
    store: Store,
    model: ModelReference,
    stages: Sequence[str],
    genes: Sequence[int],
    sizes: WindowSizes,
    supposed_people: int | None = None,
) -> list[StagePlan]:
    """What stages have to do for some genes.

    Parameters
    ----------
    store : Store
        The store.
    model : ModelReference
        The model.
    stages : sequence of str
        Names of stages.
    genes : sequence of int
        Rows of genes/.
    sizes : WindowSizes
        Of the same genes.
    supposed_people : int, optional
        Suppose a store of so many people, of which nothing is filled.
    """
    people = supposed_people or store.array("expression/observed").shape[1]
    widest = int(sizes.variants.max(initial=1))
    plans = []
    for stage in stages:
        if stage in OPTIONAL_STAGES:
            step = OPTIONAL_STAGES[stage](model)
            plans.append(StagePlan(stage, step.unit, *step.work(store, genes, supposed_people is not None)))
            continue
        if stage in GROUPS_OF_A_MODEL and not model.takes_dosages:
            derived = 8 * (people if stage == "predictions" else widest)
            plans.append(_plan_of_model(store, model, stage, genes, sizes, derived, supposed_people is not None))
            continue
        group = f"{stage}/{model.window.name if stage in ('windows', 'eqtl') else model.label}"
        mark = filled_array(group)
        written = genes_written(store, mark) if supposed_people is None and mark in store else set()
        if stage == "windows" and model.takes_dosages:
            # It needs none.
            written = set(genes)
        todo = np.array([gene not in written for gene in genes], dtype=bool)
        if stage == "windows":
            size = _windows_size(store, model.window, genes, sizes.haplotypes[todo])
        else:
            of_a_gene = {
                "predictions": 8 * people,
                "attributions": 8 * widest,
                "eqtl": 24 * widest,
                "statistics": 24 * widest + 8 * len(GENE_STATISTICS),
            }
            size = int(todo.sum()) * of_a_gene[stage]
        plans.append(StagePlan(stage, "genes", int(todo.sum()), len(genes) - int(todo.sum()), int(todo.sum()), 0, size))
    return plans


def check_disk(store: Store, plans: Sequence[StagePlan]) -> None:
    """Raise `DiskFullError` where a fill is bigger than what is free; a file takes whole blocks, and folders for it."""
    disk = os.statvfs(store.url)
    needed = sum(plan.bytes + 2 * disk.f_frsize * plan.blocks for plan in plans)
    free = disk.f_bavail * disk.f_frsize
    if needed > free:
        raise DiskFullError(
            f"this fill would store about {needed / 1e9:,.1f} GB, but {free / 1e9:,.1f} GB are free at {store.url}: "
            "make room, or fill fewer genes (--genes) or tracks (--tracks)"
        )


def _plan_of_model(
    store: Store,
    model: ModelReference,
    stage: str,
    genes: Sequence[int],
    sizes: WindowSizes,
    derived: int,
    from_nothing: bool,
) -> StagePlan:
    """`derived`: bytes a gene that are read out of the tracks; `from_nothing`: as if the store held none of it."""
    described = model.describe()
    lengths = (sizes.haplotypes if stage == "predictions" else sizes.variants).tolist()
    array = f"{stage}/{model.label}/{'tracks' if stage == 'predictions' else 'alternate_tracks'}"
    if array in store and not from_nothing:
        pending = pending_runs(store, array, genes, lengths)
        blocks, done, units = len(pending.todo), pending.done, sum(pending.sizes)
        begun = sum(part == 0 for _, part in pending.todo)
    else:
        run = described.windows_per_block
        blocks = sum(len(runs_of(gene, length, run)) for gene, length in zip(genes, lengths, strict=True))
        done, units, begun = 0, sum(lengths), len(lengths)
    # The reference of each gene, too.
    run_for = begun + (units if stage == "predictions" else round(units * sizes.scored))
    size = (units + begun) * _bytes_of_outputs(described) + begun * derived
    unit = "haplotypes" if stage == "predictions" else "variants"
    return StagePlan(stage, unit, blocks, done, units, run_for, size)


def _bytes_of_outputs(described: ModelDescription) -> int:
    return 4 * described.bins * len(described.track_names)


def _windows_size(store: Store, window: WindowSpec, genes: Sequence[int], haplotypes: NDArray[np.int64]) -> int:
    """Bytes of windows: a copy of the reference a chunk, and what each haplotype adds, of one gene as it is stored."""
    if not len(haplotypes):
        return 0
    schema = schema_of(window_path(window)).arrays["haplotype_onehot"]
    gene = genes[len(genes) // 2]
    (reach,) = reaches(store, window, [gene])
    of = read_gene_window(store, window, gene, reach)
    calls = read_calls(store, of)
    applied = distinct_haplotypes(first_wins(calls.carried, of.footprints), calls.absent).applied[:_SAMPLED_HAPLOTYPES]
    alone, together = (
        encoded_size(schema, haplotype_windows(window, of.stretch, of.alleles, rows)[np.newaxis])
        for rows in (applied[:1], applied)
    )
    each = (together - alone) / max(1, len(applied) - 1)
    chunk = schema.chunks[1]
    assert isinstance(chunk, int)
    chunks = -(-haplotypes // chunk)
    return int(((chunks + 1) * alone + haplotypes * each).sum())
