"""pdstore diff: which genes' values differ between two stores."""

import csv
import json
import sys
from math import isnan
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pdstore.words import counted, number, plain

from .output import CacheOption, Format, note

if TYPE_CHECKING:
    from pdstore.diff import Difference

_SHOWN = 10
_DIFFERENT = 1
"""Exit status that no trouble may end in."""


def command(
    first: Annotated[str, typer.Argument(metavar="A", help="A store.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The other.")],
    tolerance: Annotated[
        float,
        typer.Option("--tolerance", min=0, help="Relative difference up to which numbers are the same: 0 is exactly."),
    ] = 0.0,
    genes: Annotated[
        str | None, typer.Option("--genes", help="Only these genes: symbols or ids, separated by commas.")
    ] = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="How to print it.")] = Format.table,
    cache: CacheOption = None,
) -> None:
    """Tell which genes' values differ between two stores: genes by identifier, people by name, variants by position and
    alleles. Exits 0 where none does, 1 where some do, 2 in trouble. JSON and CSV have every gene.

    Example:
    pdstore diff cohort.zarr copy.zarr --tolerance 1e-6
    """
    from pdstore.diff import diff
    from pdstore.errors import PdstoreError, StoreError, UsageError
    from pdstore.store import open_store

    if genes is not None and not genes.strip(" ,"):
        raise UsageError("--genes names no gene; leave it out for all")
    wanted = [name for name in (genes or "").split(",") if name.strip()]
    try:
        found = diff(open_store(first, cache=cache), open_store(second, cache=cache), tolerance, wanted)
    except PdstoreError as error:
        if error.exit_status == _DIFFERENT:
            raise StoreError(str(error)) from error
        raise
    except OSError as error:
        raise StoreError(f"{error.strerror or error}: {error.filename or 'no file is named'}") from error
    for remark in found.notes:
        note(remark)
    if format is Format.json:
        json.dump(_as_object(found), sys.stdout, indent=2, allow_nan=False)
        sys.stdout.write("\n")
    elif format is Format.csv:
        writer = csv.DictWriter(sys.stdout, ["gene", "id", "array", "kind", "relative_difference"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(_rows(found))
    else:
        _print(found)
    raise typer.Exit(0 if found.is_empty else _DIFFERENT)


def _rows(found: "Difference") -> list[dict[str, Any]]:
    """One object a gene, array and what is said of it, and a gene that one store has."""
    from pdstore.compared_arrays import DIFFERS, KINDS

    rows = [
        {
            "gene": found.gene[gene],
            "id": found.id[gene],
            "array": array.path,
            "kind": said,
            "relative_difference": float(array.relative[gene])
            if kind == DIFFERS and not isnan(array.relative[gene])
            else None,
        }
        for gene in found.genes_where(sum(KINDS)).tolist()
        for array in found.arrays
        for kind, said in KINDS.items()
        if array.kind[gene] & kind
    ]
    for which, only in zip(("first", "second"), found.genes_only, strict=True):
        rows += [
            {"gene": name, "id": gene, "array": None, "kind": f"only in the {which}", "relative_difference": None}
            for name, gene in only
        ]
    return rows


def _counts(found: "Difference") -> list[dict[str, Any]]:
    from pdstore.compared_arrays import DIFFERS, MISSING_FIRST, MISSING_SECOND

    kinds = {"differ": DIFFERS, "missing_in_first": MISSING_FIRST, "missing_in_second": MISSING_SECOND}
    return [
        {
            "array": array.path,
            **{name: int((array.kind & kind > 0).sum()) for name, kind in kinds.items()},
            "largest_relative_difference": array.largest,
        }
        for array in found.arrays
    ]


def _as_object(found: "Difference") -> dict[str, Any]:
    only: dict[str, list[Any]] = {
        "genes": [[{"gene": name, "id": gene} for name, gene in side] for side in found.genes_only],
        "groups": list(found.groups_only),
        "people": list(found.people_only),
    }
    return {
        "first": found.stores[0],
        "second": found.stores[1],
        "same": found.is_empty,
        "genes_in_both": len(found.id),
        "only_in_first": {name: sides[0] for name, sides in only.items()},
        "only_in_second": {name: sides[1] for name, sides in only.items()},
        "not_comparable": found.not_comparable,
        "notes": found.notes,
        "arrays": _counts(found),
        "genes": [row for row in _rows(found) if row["array"] is not None],
    }


def _print(found: "Difference") -> None:
    from rich.console import Console
    from rich.table import Table

    from pdstore.compared_arrays import DIFFERS, KINDS, MISSING_FIRST, MISSING_SECOND

    console = Console(highlight=False, soft_wrap=True, width=1_000, markup=False, emoji=False)
    counts = [count for count in _counts(found) if any(list(count.values())[1:4])]
    if counts:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("array")
        for heading in ("genes that differ", "missing in A", "missing in B", "largest relative difference"):
            table.add_column(heading, justify="right")
        for array, *numbers, largest in (count.values() for count in counts):
            table.add_row(plain(array), *(f"{genes:,}" if genes else "" for genes in numbers), number(largest))
        console.print(table)
    for path, why in found.not_comparable.items():
        console.print(plain(f"not comparable: {path}: {why}"))
    for which, groups, people in zip("AB", found.groups_only, found.people_only, strict=True):
        if groups:
            console.print(plain(f"only in {which}: {', '.join(groups)}"))
        if people:
            console.print(f"only in {which}: {people:,} {'person' if people == 1 else 'people'}")
    for which, genes in zip("AB", found.genes_only, strict=True):
        if genes:
            console.print(f"only in {which}: {counted(len(genes), 'gene')}: {_some([name for name, _ in genes])}")
    both = counted(len(found.id), "gene")
    if not len(found.genes_where(sum(KINDS))):
        console.print(f"{both} in both: the same")
        return
    for kind, said in (
        (DIFFERS, "differ"),
        (MISSING_FIRST, "have values that A lacks"),
        (MISSING_SECOND, "have values that B lacks"),
    ):
        names = [found.gene[gene] for gene in found.genes_where(kind).tolist()]
        if names or kind == DIFFERS:
            console.print(f"{len(names):,} of {both} {said}" + (f": {_some(names)}" if names else ""))


def _some(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _SHOWN
    return plain(", ".join(names[:_SHOWN])) + (f" and {more:,} more" if more > 0 else "")
