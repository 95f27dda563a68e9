"""One gene's answer as a person reads it."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .output import number, plain

NOT_FILLED = "not filled: run pdstore fill statistics"

_COLOURS = {
    "correlated": "green",
    "anticorrelated": "red",
    "supported": "green",
    "unsupported": "red",
    "mixed": "yellow",
}


def print_gene(answer: dict[str, Any], missing: str = NOT_FILLED) -> None:
    """Print one answer of `pdstore.query.query_gene`, whole or in part; `missing` is why something is not there."""
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
        _print_correlation(console, answer["correlation"], answer["n_samples"], missing)
    if "expression" in answer:
        _print_expression(console, answer["expression"])
    if "drivers" in answer:
        _print_drivers(console, answer["drivers"], answer["n_samples"], missing)
    if "support" in answer:
        _print_support(console, answer["support"])
    if answer.get("lead_eqtl"):
        lead = answer["lead_eqtl"]
        console.print(
            f"  lead eQTL     R = {number(lead['pearson_r'])} (p = {number(lead['p_value'])}), "
            f"{number(lead['distance'], 0)} bp from the TSS"
        )
    console.print()


def _print_correlation(console: Console, correlation: dict[str, Any], n_samples: int | None, missing: str) -> None:
    if correlation["pearson_r"] is None:
        if n_samples is None:
            console.print(f"  correlation   {missing}")
            return
        reason = (
            "expression was not measured"
            if n_samples == 0
            else "that is too few"
            if n_samples < 3
            else "the prediction or the expression does not vary"
        )
        console.print(f"  correlation   none over {n_samples} people: {reason}")
        return
    interval = f" [{number(correlation['ci_low'])}, {number(correlation['ci_high'])}]"
    if correlation["ci_low"] is None:
        interval = ""
    people = "" if n_samples is None else f" over {n_samples} people"
    status = correlation["status"] or "significance unknown"
    console.print(
        Text.assemble(
            f"  correlation   R = {number(correlation['pearson_r'])}{interval}{people}  ",
            (status, _COLOURS.get(status, "")),
        )
    )
    tests = []
    if correlation["null_p"] is not None:
        test = f"t = {number(correlation['null_t'], 2)}, p = {number(correlation['null_p'])}"
        tests.append(f"published null FDR {number(correlation['fdr'])} ({test})")
    if correlation["empirical_p"] is not None:
        test = f"p = {number(correlation['empirical_p'])}"
        tests.append(f"empirical FDR {number(correlation['empirical_fdr'])} ({test})")
    console.print(f"  significance  {', '.join(tests) or 'no null'}")


def _print_expression(console: Console, expression: dict[str, Any]) -> None:
    """Levels of what was measured and predicted, as far as they are known."""
    parts = []
    for what in ("observed", "prediction"):
        if expression[f"{what}_mean"] is not None:
            parts.append(f"{what} {number(expression[f'{what}_mean'])} (sd {number(expression[f'{what}_sd'])})")
    if expression["reference_prediction"] is not None:
        parts.append(f"for the reference {number(expression['reference_prediction'])}")
    if parts:
        console.print(f"  expression    {', '.join(parts)}")


def _print_drivers(console: Console, drivers: list[dict[str, Any]] | None, n_samples: int | None, missing: str) -> None:
    if drivers is None and n_samples is None:
        console.print(f"  drivers       {missing}")
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
