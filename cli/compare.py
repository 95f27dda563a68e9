"""pdstore compare: two models or two stores, gene by gene."""

import csv
import json
import sys
from typing import Annotated, Any, Literal

import typer

from pdstore.words import counted, number, plain

from .output import DEFAULT_STORE, CacheOption, Format, StoreOption


def command(
    first: Annotated[str, typer.Argument(metavar="A", help="A model of the store, or another STORE, or STORE#MODEL.")],
    second: Annotated[str, typer.Argument(metavar="B", help="What it is compared with.")],
    store: StoreOption = DEFAULT_STORE,
    top: Annotated[int, typer.Option("--top", min=0, help="Show so many genes, those that differ most.")] = 10,
    alpha: Annotated[float, typer.Option("--alpha", help="False discovery rate that is called significant.")] = 0.05,
    fdr_kind: Annotated[
        Literal["published", "empirical"], typer.Option("--fdr-kind", help="Which false discovery rate decides.")
    ] = "published",
    format: Annotated[Format, typer.Option("--format", "-f", help="How to print it.")] = Format.table,
    cache: CacheOption = None,
) -> None:
    """Compare two models, or two stores, gene by gene: R against R over people, whose is higher, where the sign
    changes. JSON and CSV have every gene.

    MODEL@READOUT reads its predictions out anew from the stored tracks: enformer@sum against enformer@log2_sum.

    Example:
    pdstore compare enformer predixcan -s sasse.zarr
    """
    import numpy as np

    from pdstore.compare import compare, summarise_comparison

    found = compare(store, first, second, alpha, fdr_kind, cache)
    summary = summarise_comparison(found)
    better = [None if side < 0 else found.names[side] for side in found.better.tolist()]
    rows = [
        {
            "gene": found.gene[row],
            "id": found.id[row],
            "r_first": found.r[0, row].item(),
            "r_second": found.r[1, row].item(),
            "status_first": found.status[0, row] or None,
            "status_second": found.status[1, row] or None,
            "higher": better[row],
            "changes_sign": bool(found.changes_sign[row]),
        }
        for row in range(len(found.id))
    ]
    if format is Format.json:
        names = {"first": found.names[0], "second": found.names[1]}
        json.dump({**names, "summary": summary, "genes": rows}, sys.stdout, indent=2, allow_nan=False)
        sys.stdout.write("\n")
    elif format is Format.csv:
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        order = np.argsort(-np.abs(found.r[0] - found.r[1]), kind="stable")[:top].tolist()
        _print([rows[row] for row in order], found.names, summary, found.left_out)


def _print(
    rows: list[dict[str, Any]], names: tuple[str, str], summary: dict[str, Any], left_out: tuple[int, int]
) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True, width=1_000, markup=False, emoji=False)
    first, second = map(plain, names)
    if rows:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("gene")
        for name in (first, second):
            table.add_column(f"R, {name}", justify="right")
        table.add_column("sign")
        for row in rows:
            sign = "changes" if row["changes_sign"] else ""
            table.add_row(plain(row["gene"]), number(row["r_first"]), number(row["r_second"]), sign)
        console.print(table)
        console.print(f"shown: {len(rows):,} of {counted(summary['genes'], 'gene')}, by the difference of R")
    left = f"left out: {counted(left_out[0], 'gene')} of {first}, {left_out[1]:,} of {second}"
    console.print(f"{counted(summary['genes'], 'gene')} with R in both ({left})")
    console.print(
        f"mean R          {first} {number(summary['mean_r_first'])}, {second} {number(summary['mean_r_second'])}"
    )
    p = "" if summary["wilcoxon_p"] is None else f" (Wilcoxon p = {number(summary['wilcoxon_p'])})"
    higher = f"{first} in {counted(summary['first_higher'], 'gene')}, {second} in {summary['second_higher']:,}"
    console.print(f"higher R        {higher}{p}")
    significant = summary["sign_changes_significant"]
    of_them = "" if significant is None else f" ({significant:,} of them significant in both)"
    console.print(f"sign changes    in {counted(summary['sign_changes'], 'gene')}{of_them}")
    console.print(f"R against R     {number(summary['r_of_r'])} over genes")
