"""pdstore genes: the table of all genes."""

import csv
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pdstore.words import number, plain

from .output import DEFAULT_STORE, CacheOption, Format, StoreOption, note

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SHOWN = 50
_COLUMNS = {
    "gene": "gene",
    "place": "TSS",
    "pearson_r": "R",
    "fdr": "FDR",
    "empirical_fdr": "emp. FDR",
    "status": "correlation",
    "driver_count": "drivers",
    "drivers_withheld": "withheld",
    "fraction_supported": "supported",
    "support": "support",
}
_TEXTS = ("gene", "place", "status", "support")
_GAP = 2
_COUNTS = ("driver_count", "drivers_withheld")
_DISPENSABLE = ("empirical_fdr", "place", "fraction_supported", "drivers_withheld", "driver_count", "fdr", "support")
"""What a narrow terminal does not show, in this order."""
_COLOURS = {"correlated": "green", "anticorrelated": "red", "supported": "green", "unsupported": "red"}


def command(
    store: StoreOption = DEFAULT_STORE,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="One of the filled models.", show_default="the first filled")
    ] = None,
    status: Annotated[
        Literal["correlated", "anticorrelated", "not significant"] | None,
        typer.Option("--status", help="Only genes of this correlation status."),
    ] = None,
    support: Annotated[
        Literal["supported", "unsupported", "mixed", "undetermined", "no drivers"] | None,
        typer.Option("--support", help="Only genes whose drivers eQTL slopes support like this."),
    ] = None,
    min_abs_r: Annotated[
        float | None, typer.Option("--min-abs-r", min=0, max=1, help="Only genes with |R| of at least so much.")
    ] = None,
    fdr: Annotated[
        float | None, typer.Option("--fdr", min=0, max=1, help="Only genes with a false discovery rate of at most so.")
    ] = None,
    sort: Annotated[
        Literal[
            "pearson_r", "abs_r", "fdr", "empirical_fdr", "p_value", "fraction_supported", "drivers", "gene", "place"
        ],
        typer.Option("--sort", help="place: in the order of the store; R from the lowest, |R| from the highest."),
    ] = "abs_r",
    top: Annotated[int | None, typer.Option("--top", min=1, help="Only the first so many.")] = None,
    alpha: Annotated[float, typer.Option("--alpha", help="False discovery rate that is called significant.")] = 0.05,
    fdr_kind: Annotated[
        Literal["published", "empirical"], typer.Option("--fdr-kind", help="Which false discovery rate decides.")
    ] = "published",
    format: Annotated[Format, typer.Option("--format", "-f", help="How to print it.")] = Format.table,
    cache: CacheOption = None,
) -> None:
    """Show all genes: correlation, significance, drivers and their support, filtered and sorted; and what they come to.

    Example:
    pdstore genes -s cohort.zarr --status anticorrelated --top 10
    """
    from pdstore.gene_table import Filter, gene_columns, has_levels, rows_of, select, summarise
    from pdstore.query import filled_models
    from pdstore.store import open_store

    opened = open_store(store, cache=cache)
    models = filled_models(opened)
    if model is None and len(models) > 1:
        note(f"this is model {models[0]}; the store also holds {', '.join(models[1:])} (--model)")
    columns = gene_columns(opened, model, alpha, fdr_kind)
    levels = has_levels(opened, model or models[0])
    wanted = Filter(status, support, min_abs_r, fdr, fdr_kind)
    found = select(columns, wanted, None if sort == "place" else sort)
    matching = len(found["id"])
    found = {name: values[:top] for name, values in found.items()}
    summary = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in asdict(summarise(columns, levels)).items()
    }
    if format is Format.json:
        json.dump({"summary": summary, "genes": rows_of(found)}, sys.stdout, indent=2, allow_nan=False)
        sys.stdout.write("\n")
    elif format is Format.csv:
        writer = csv.DictWriter(sys.stdout, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows_of(found))
    else:
        unfilled = 0 if opened.is_summary else sum(map(math.isnan, columns["n_samples"].tolist()))
        _print(found, matching, summary, len(columns["id"]), explicit=top is not None)
        if unfilled:
            note(f"not filled: {unfilled:,} of {len(columns['id']):,} genes; run pdstore fill statistics")


def _print(
    columns: "Mapping[str, NDArray[Any]]", matching: int, summary: dict[str, Any], genes: int, *, explicit: bool
) -> None:
    """Print a table, and what all genes come to.

    Not as a table of rich's, which takes seconds for all genes; into a pipe without rich, a tenth of the time.
    """
    count = len(columns["id"])
    shown = count if explicit or not sys.stdout.isatty() else min(count, _SHOWN)
    # Only a summary of people withholds drivers.
    held = {"place", *columns}
    cells = {name: [heading, *_cells(name, columns, shown)] for name, heading in _COLUMNS.items() if name in held}
    left = f", {shown:,} shown" if shown < matching else ""
    more = "" if explicit or shown == count else " (--top N for more)"
    totals = [f"{matching:,} of {genes:,} genes{left}{more}", _in_words(summary)]
    if not sys.stdout.isatty():
        lines = [line.rstrip() for line in _lines(cells)] if shown else []
        sys.stdout.write("\n".join([*lines, *totals]) + "\n")
        return
    from rich.text import Text

    from .gene_answer import answer_console

    console = answer_console()
    left_out = []
    for name in _DISPENSABLE:
        if sum(max(map(len, column)) + _GAP for column in cells.values()) - _GAP <= console.width:
            break
        if cells.pop(name, None) is None:
            continue
        left_out.append(_COLUMNS[name])
    for index, line in enumerate(_lines(cells) if shown else ()):
        text = Text(line.rstrip(), style="" if index else "bold")
        for word, colour in _COLOURS.items() if index else ():
            text.highlight_regex(rf"(?<= {{{_GAP}}}){word}\b", colour)
        console.print(text, no_wrap=True)
    console.print(totals[0])
    if left_out:
        console.print(f"columns that this terminal is too narrow for: {', '.join(left_out)}")
    console.print(totals[1])


def _lines(cells: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Rows of padded cells."""
    widths = {name: max(map(len, column)) for name, column in cells.items()}
    layout = (" " * _GAP).join(f"{{:{'<' if name in _TEXTS else '>'}{width}}}" for name, width in widths.items())
    return (layout.format(*row) for row in zip(*cells.values(), strict=True))


def _cells(name: str, columns: "Mapping[str, NDArray[Any]]", shown: int) -> list[str]:
    """Texts of a column's first values; a dash where there is none."""
    if name == "place":
        places = zip(*(columns[part][:shown].tolist() for part in ("contig", "tss", "strand")), strict=True)
        return [plain(f"{contig}:{tss:,} ({strand})") for contig, tss, strand in places]
    values = columns[name][:shown].tolist()
    if name in _TEXTS:
        return [plain(value) or "-" for value in values]
    digits = 0 if name in _COUNTS else 3
    return ["-" if math.isnan(value) else number(value, digits) for value in values]


def _in_words(summary: dict[str, Any]) -> str:
    """The summary in a line."""
    parts = [f"all genes: {summary['genes']:,} with R, mean {number(summary['mean_r'])}"]
    significant, anticorrelated = summary["significant"], summary["anticorrelated"]
    share = f" ({anticorrelated / significant:.0%})" if significant else ""
    parts.append(f"{significant:,} significant, {anticorrelated:,} of them{share} anticorrelated")
    if summary["population_average_r"] is not None:
        predicted = summary["population_average_of"]
        parts.append(f"R over genes {number(summary['population_average_r'])} ({predicted}, mean expression)")
    positive, negative = summary["supported_correlated"], summary["supported_anticorrelated"]
    if positive is not None or negative is not None:
        parts.append(f"drivers supported {number(positive)} where R > 0, {number(negative)} where R < 0")
    return "; ".join(parts)
