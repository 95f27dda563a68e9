"""One gene's answer as a person reads it."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .output import number, plain

_COLOURS = {
    "correlated": "green",
    "anticorrelated": "red",
    "supported": "green",
    "unsupported": "red",
    "mixed": "yellow",
}


def print_gene(answer: dict[str, Any]) -> None:
    """Print one answer of `pdstore.query.query_gene`, whole or in part."""
    # So wide that no number is cut: a narrow terminal wraps the line.
    console = Console(highlight=False, soft_wrap=True, width=1_000, markup=False, emoji=False)
    gene = answer["gene"]
    console.print(
        Text.assemble(
            (plain(gene["name"]), "bold"),
            plain(f"  {gene['id']}  {gene['contig']}:{gene['tss']:,} ({gene['strand']})  model {answer['model']}"),
        )
    )
    if "correlation" in answer:
        _print_correlation(console, answer["correlation"], answer["n_samples"])
    if "drivers" in answer:
        _print_drivers(console, answer["drivers"], answer["n_samples"])
    if "support" in answer:
        _print_support(console, answer["support"])
    console.print()


def _print_correlation(console: Console, correlation: dict[str, Any], n_samples: int | None) -> None:
    if n_samples is None:
        console.print("  correlation   not filled: run pdstore fill statistics")
        return
    if correlation["pearson_r"] is None:
        reason = (
            "expression was not measured"
            if n_samples == 0
            else "that is too few"
            if n_samples < 3
            else "the prediction or the expression does not vary"
        )
        console.print(f"  correlation   none over {n_samples} people: {reason}")
        return
    status = correlation["status"] or "significance unknown"
    console.print(
        Text.assemble(
            f"  correlation   R = {number(correlation['pearson_r'])}",
            f" [{number(correlation['ci_low'])}, {number(correlation['ci_high'])}] over {n_samples} people  ",
            (status, _COLOURS.get(status, "")),
        )
    )
    console.print(
        f"  significance  published null FDR {number(correlation['fdr'])} (t = {number(correlation['null_t'], 2)}, "
        f"p = {number(correlation['null_p'])}), empirical FDR {number(correlation['empirical_fdr'])} "
        f"(p = {number(correlation['empirical_p'])})"
    )


def _print_drivers(console: Console, drivers: list[dict[str, Any]] | None, n_samples: int | None) -> None:
    if drivers is None and n_samples is None:
        console.print("  drivers       not filled: run pdstore fill statistics")
        return
    if drivers is None:
        console.print(
            "  drivers       undefined: ISM does not add up to the prediction, no allele varies, or under 3 people"
        )
        return
    if not drivers:
        console.print("  drivers       none")
        return
    console.print("  drivers")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2), collapse_padding=True)
    for heading in ("variant", "to TSS", "AF", "ISM", "slope", "slope p", "R"):
        table.add_column(heading, justify="left" if heading == "variant" else "right", no_wrap=True)
    table.add_column("support", no_wrap=True)
    for driver in drivers:
        table.add_row(
            ("* " if driver["main"] else "  ") + plain(driver["variant"]),
            f"{driver['distance_to_tss']:+,}",
            number(driver["allele_frequency"]),
            number(driver["ism"]),
            number(driver["eqtl_slope"]),
            number(driver["eqtl_p"]),
            number(driver["pearson_r_with_prediction"]),
            Text(driver["support"], style=_COLOURS.get(driver["support"], "")),
        )
    console.print(table, no_wrap=True, overflow="ignore", crop=False)
    console.print("  * main driver; slope: eQTL effect per alternate allele; R: of its own term with the prediction")


def _print_support(console: Console, support: dict[str, Any]) -> None:
    status = support["status"]
    if status is None:
        return
    console.print(
        Text.assemble(
            "  support       ",
            (status, _COLOURS.get(status, "")),
            f": {support['supported']} supported, {support['unsupported']} unsupported"
            if status != "no drivers"
            else "",
        )
    )
