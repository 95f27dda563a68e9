"""One gene's answer as a person reads it."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .output import number, plain

if TYPE_CHECKING:
    from pdstore.store import Store

NOT_FILLED = "not filled: run pdstore fill statistics"

_LEGEND = "  * main driver; slope: eQTL effect per alternate allele; R: of its own term with the prediction"
_SHOWN_OF_PERSON = 5
"""Of the variants of a haplotype, those of the largest |ISM|."""

_COLOURS = {
    "correlated": "green",
    "anticorrelated": "red",
    "supported": "green",
    "unsupported": "red",
    "mixed": "yellow",
}


def why_missing(store: "Store", answer: dict[str, Any]) -> str:
    """Why a gene has no statistics, and what would fill them."""
    from pdstore.query import window_of
    from pdstore.schema import filled_array
    from pdstore.store import genes_written

    if store.is_summary:
        return "not in the published tables"
    if answer["n_samples"] is not None:
        return NOT_FILLED
    from pdstore.query import find_gene

    row, label = find_gene(store, answer["gene"]["id"]), answer["model"]
    window = window_of(store, label)
    name_of = {"windows": window, "predictions": label, "attributions": label, "eqtl": window, "statistics": label}
    arrays = {stage: filled_array(f"{stage}/{name}") for stage, name in name_of.items()}
    tracks = f"predictions/{label}/tracks" in store
    missing = [
        stage
        for stage, array in arrays.items()
        if (array not in store or row not in genes_written(store, array)) and (stage != "windows" or tracks)
    ]
    model = store.group(f"predictions/{label}").attrs.get("model")
    named = f"--model {model}" + ("" if model == label else f" --as {label}")
    stages = " ".join(missing or ["statistics"])
    of_gene = f"--genes {answer['gene']['name']} -s {store.url}"
    return f"not filled: run pdstore fill {stages} {named} --weights FILE {of_gene}"


def print_models(answers: list[dict[str, Any]]) -> None:
    """Print the answers of several models for one gene, side by side."""
    console = _console()
    _print_name(console, answers[0]["gene"])
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2), collapse_padding=True, header_style="bold")
    table.add_column("")
    for answer in answers:
        table.add_column(plain(answer["model"]), no_wrap=True)
    rows: dict[str, list[str | Text]] = {}
    for answer in answers:
        for what, cell in _cells(answer).items():
            rows.setdefault(what, []).append(cell)
    for what, cells in rows.items():
        table.add_row(what, *cells)
    console.print(table, no_wrap=True, overflow="ignore", crop=False)
    console.print()


def _cells(answer: dict[str, Any]) -> dict[str, str | Text]:
    cells: dict[str, str | Text] = {}
    if "correlation" in answer:
        of = answer["correlation"]
        interval = "" if of["ci_low"] is None else f" [{number(of['ci_low'])}, {number(of['ci_high'])}]"
        cells["R"] = number(of["pearson_r"]) + interval
        cells["people"] = number(answer["n_samples"])
        cells["correlation"] = _coloured(of["status"])
        cells["published FDR"] = number(of["fdr"])
        cells["empirical FDR"] = number(of["empirical_fdr"])
    if "drivers" in answer:
        drivers = answer["drivers"]
        cells["drivers"] = "-" if drivers is None else str(len(drivers))
        main = next((driver for driver in drivers or [] if driver["main"]), None)
        cells["main driver"] = "-" if main is None else plain(main["variant"])
        cells["its support"] = _coloured(None if main is None else main["support"])
    if "support" in answer:
        cells["support"] = _coloured(answer["support"]["status"])
    return cells


def _coloured(word: str | None) -> Text:
    return Text(word or "-", style=_COLOURS.get(word or "", ""))


def print_person(answer: dict[str, Any]) -> None:
    """Print one answer of `pdstore.person.query_person`."""
    console = _console()
    _print_name(console, answer["gene"], answer["model"])
    console.print(f"  person        {plain(answer['person'])}")
    for what in ("observed", "prediction"):
        value, percentile = answer[what]["value"], answer[what]["percentile"]
        among = "" if percentile is None else f"  (above {percentile:.0f}% of the others)"
        console.print(f"  {what:<14}{number(value)}{among}")
    for haplotype in answer["haplotypes"]:
        variants = haplotype["variants"]
        predicted = "" if haplotype["prediction"] is None else f", prediction {number(haplotype['prediction'])}"
        console.print(f"  haplotype {haplotype['haplotype']}   {len(variants):,} variants{predicted}")
        effects = [variant for variant in variants if variant["ism"]]
        shown = sorted(effects, key=lambda variant: -abs(variant["ism"]))[:_SHOWN_OF_PERSON]
        if shown:
            _print_variants(console, shown)
    console.print()


def _console() -> Console:
    # So wide that no number is cut: a narrow terminal wraps the line.
    return Console(highlight=False, soft_wrap=True, width=1_000, markup=False, emoji=False)


def _print_name(console: Console, gene: dict[str, Any], model: str | None = None) -> None:
    of_model = "" if model is None else f"  model {model}"
    console.print(
        Text.assemble(
            (plain(gene["name"]), "bold"),
            plain(f"  {gene['id']}  {gene['contig']}:{gene['tss']:,} ({gene['strand']}){of_model}"),
        )
    )


def print_gene(answer: dict[str, Any], missing: str = NOT_FILLED) -> None:
    """Print one answer of `pdstore.query.query_gene`, whole or in part; `missing` is why something is not there."""
    console = _console()
    _print_name(console, answer["gene"], answer["model"])
    if "correlation" in answer:
        _print_correlation(console, answer["correlation"], answer["n_samples"], missing)
    if "expression" in answer:
        _print_expression(console, answer["expression"])
    if answer.get("variants") is not None:
        console.print(f"  variants      {len(answer['variants']):,} in the window")
        if answer["variants"]:
            _print_variants(console, answer["variants"])
            console.print(_LEGEND)
    elif "drivers" in answer:
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
            "  drivers       undefined: no prediction, ISM does not add up to it, no allele varies, or under 3 people"
        )
        return
    if not drivers:
        console.print("  drivers       none")
        return
    console.print("  drivers")
    _print_variants(console, drivers)
    console.print(_LEGEND)


def _print_variants(console: Console, drivers: list[dict[str, Any]]) -> None:
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
