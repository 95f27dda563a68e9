"""pdstore status: what is filled, missing, stale; and what was counted."""

import csv
import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pdstore.words import plain

from .output import DEFAULT_STORE, CacheOption, Format, StoreOption, size

_COLOURS = {"filled": "green", "stale": "red", "damaged": "red"}
_UNFINISHED = "yellow"


def command(
    store: StoreOption = DEFAULT_STORE,
    by_gene: Annotated[bool, typer.Option("--by-gene", help="Show each gene's state, too.")] = False,
    genes: Annotated[
        str | None, typer.Option("--genes", help="Only these genes, one by one: symbols or ids, separated by commas.")
    ] = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="How to print it.")] = Format.table,
    cache: CacheOption = None,
) -> None:
    """Show what a store holds, what is filled, missing or stale, sizes on disk, and all that was counted: what init
    left out, and which variants windows applied, skipped and resolved. Also while it is being filled.

    Example:
    pdstore status -s cohort.zarr
    """
    from pdstore.errors import UsageError
    from pdstore.status import store_status
    from pdstore.store import open_store

    if genes is not None and not genes.strip(" ,"):
        raise UsageError("--genes names no gene; leave it out, or say --by-gene for all")
    wanted = [name for name in (genes or "").split(",") if name.strip()]
    status = store_status(open_store(store, cache=cache), wanted if by_gene or wanted else None)
    if format is Format.json:
        json.dump(status, sys.stdout, indent=2, allow_nan=False)
        sys.stdout.write("\n")
    elif format is Format.csv:
        _print_csv(status)
    else:
        _print(status)


def _print(status: Mapping[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    from .gene_answer import answer_console

    console = answer_console()
    build = f"  {status['genome_build']}" if status["genome_build"] else ""
    people = "" if status["level"] == "summary" else f"  {status['people']:,} people"
    console.print(
        Text.assemble(
            (plain(status["store"]), "bold"),
            plain(
                f"{build}{people}  {status['genes']:,} genes  {status['variants']:,} variants  {size(status['bytes'])}"
            ),
        )
    )
    sources = status["sources"] or {}
    for title, counted in (("taken", sources.get("taken")), ("left out", sources.get("left_out"))):
        if counted:
            console.print(title)
            _print_counts(console, counted)
    for remark in sources.get("notes") or []:
        console.print(plain(f"  {remark}"))
    if status["writer"]:
        console.print(plain(f"in use by: {status['writer']}"))
    if not status["groups"]:
        console.print("nothing is filled: run pdstore fill")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("group")
    for column in ("genes filled", "size"):
        table.add_column(column, justify="right")
    table.add_column("state")
    for group in status["groups"]:
        state = Text(group["state"], _COLOURS.get(group["state"], _UNFINISHED))
        table.add_row(plain(group["group"]), f"{group['filled']:,} of {group['genes']:,}", size(group["bytes"]), state)
        for of in status["optional"]:
            if of["group"] == group["group"]:
                state = Text(of["state"], _COLOURS.get(of["state"], _UNFINISHED))
                table.add_row(plain(of["array"]), f"{of['filled']:,} of {of['genes']:,}", size(of["bytes"]), state)
    console.print(table)
    for group in status["groups"]:
        if group["reason"]:
            console.print(plain(f"{group['group']} is {group['state']}: {group['reason']}"))
    if "by_gene" in status:
        console.print(_gene_table(status))
    for group in status["groups"]:
        if group["counts"]:
            console.print(
                plain(f"{group['group']}, over its filled genes (a variant, and a person, counts once a gene)")
            )
            _print_counts(console, group["counts"])


def _gene_table(status: Mapping[str, Any]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("gene")
    for group in status["groups"]:
        table.add_column(plain(group["group"]))
    for gene in status["by_gene"]:
        cells: list[str | Text] = [plain(gene["gene"] or gene["id"])]
        for of in gene["groups"].values():
            begun = of["state"] == "partly filled" and of["blocks"]
            blocks = f", {of['blocks_done']:,} of {of['blocks']:,} blocks" if begun else ""
            cells.append(Text(f"{of['state']}{blocks}", _COLOURS.get(of["state"], _UNFINISHED)))
        table.add_row(*cells)
    return table


def _print_counts(console: Any, counts: Mapping[str, int]) -> None:
    for what, count in counts.items():
        console.print(plain(f"{count:>11,}  {what}"))


def _print_csv(status: Mapping[str, Any]) -> None:
    """One row a number: group, what, count."""
    rows = [("store", name, status[name]) for name in ("people", "genes", "variants", "bytes")]
    sources = status["sources"] or {}
    rows += [(part, what, count) for part in ("taken", "left_out") for what, count in sources.get(part, {}).items()]
    for group in status["groups"]:
        rows += [(group["group"], name, group[name]) for name in ("state", "filled", "genes", "bytes")]
        rows += [(group["group"], what, count) for what, count in (group["counts"] or {}).items()]
    for of in status["optional"]:
        rows += [(of["array"], name, of[name]) for name in ("state", "filled", "genes", "bytes")]
    for gene in status.get("by_gene", []):
        rows += [(group, f"state of {gene['id']}", of["state"]) for group, of in gene["groups"].items()]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("group", "what", "value"))
    writer.writerows(rows)
