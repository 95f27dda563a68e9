"""What a dry run says: a table, JSON or CSV."""

import csv
import json
import sys
from collections.abc import Sequence
from typing import Any

from pdstore.dry_run import PUBLISHED_GENES, PUBLISHED_PEOPLE, Cost, dry_run
from pdstore.jobs.cluster import Cluster
from pdstore.models.registry import ModelReference
from pdstore.plan import StagePlan

from .output import Format, size
from .progress import FillProgress, duration

_FIELDS = ("stage", "unit", "blocks", "done", "units", "model_windows", "bytes", "model_seconds")


def print_plan(
    store: str, model: ModelReference, stages: Sequence[str], genes: Sequence[str], cluster: Cluster, format: Format
) -> None:
    """Probe, and print what a fill would do."""
    with FillProgress() as progress:
        cost = dry_run(store, model, progress, stages, genes, cluster)
    if format is Format.json:
        json.dump(cost.as_json(), sys.stdout, indent=2, allow_nan=False)
        sys.stdout.write("\n")
    elif format is Format.csv:
        writer = csv.DictWriter(sys.stdout, ("size", *_FIELDS), lineterminator="\n")
        writer.writeheader()
        for name in ("stages", "published"):
            writer.writerows({"size": name, **plan} for plan in cost.as_json()[name])
    else:
        _print(cost)


def _print(cost: Cost) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, width=1_000, markup=False, emoji=False)
    counted = "counted" if cost.genes_counted == cost.genes else f"counted in {cost.genes_counted:,} of the genes"
    console.print(f"to do for {cost.genes:,} genes and {cost.people:,} people (distinct haplotypes {counted})")
    console.print(_table(cost, cost.stages))
    if cost.windows_per_second:
        workers = "1 worker" if cost.workers == 1 else f"{cost.workers} workers"
        console.print(
            f"model time at {cost.windows_per_second:.3g} windows/s, probed on {workers}; other work not timed"
        )
    console.print(
        f"\nthe same for {PUBLISHED_GENES:,} genes like these and {PUBLISHED_PEOPLE} people, from nothing: extrapolated"
    )
    console.print(_table(cost, cost.published))


def _table(cost: Cost, plans: Sequence[StagePlan]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage")
    for column in ("blocks", "done before", "to do", "model runs", "model time", "stored"):
        table.add_column(column, justify="right")
    for plan in plans:
        seconds = cost.seconds(plan)
        table.add_row(
            plan.stage,
            f"{plan.blocks:,}",
            f"{plan.done:,}",
            f"{plan.units:,} {plan.unit}",
            f"{plan.model_windows:,}" if plan.model_windows else "-",
            "-" if seconds is None or not plan.model_windows else duration(seconds),
            size(plan.bytes),
        )
    runs, stored = sum(plan.model_windows for plan in plans), sum(plan.bytes for plan in plans)
    total = runs / cost.windows_per_second if cost.windows_per_second else None
    table.add_row("total", "", "", "", f"{runs:,}", "-" if total is None else duration(total), size(stored))
    return table
