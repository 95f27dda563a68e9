"""One gene's answer as a person reads it, in the width of the terminal."""

import shlex
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pdstore.words import counted, number, plain

if TYPE_CHECKING:
    from pdstore.store import Store

NOT_FILLED = "not filled: run pdstore fill statistics"

_LEGEND = "to TSS: along the contig; slope: eQTL effect per alternate allele; R: of its term with prediction"
_LABEL = 14
"""Width of what stands before a value, behind two spaces."""
_SHOWN_OF_PERSON = 5
"""Of the variants of a haplotype, those of the largest |ISM|."""

_Parts = str | Text | tuple[str, str]
_COLOURS = {
    "correlated": "green",
    "anticorrelated": "red",
    "supported": "green",
    "unsupported": "red",
    "mixed": "yellow",
}


IN_NO_SUMMARY = "not in this summary: not filled, or too few people are behind it"


def why_missing(store: "Store", answer: dict[str, Any]) -> str:
    """Why a gene has no statistics, and what would fill them."""
    from pdstore.query import window_of
    from pdstore.schema import filled_array
    from pdstore.store import genes_written

    if store.is_summary:
        return "not in the published tables" if answer["withheld"] is None else IN_NO_SUMMARY
    if answer["n_samples"] is not None:
        return NOT_FILLED
    if "published" in store.attributes:
        return "not filled when this store was published"
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
    options = ["--model", model] + ([] if model == label else ["--as", label])
    options += ["--weights", "FILE", "--genes", answer["gene"]["id"], "-s", store.url]
    # It is there to be copied into a shell, and names come from the store.
    return f"not filled: run pdstore fill {shlex.join(map(plain, map(str, [*(missing or ['statistics']), *options])))}"


def answer_console() -> Console:
    """Where answers go: as wide as the terminal; into a pipe or a file without any limit, so that no line is broken."""
    width = None if sys.stdout.isatty() else 1_000
    return Console(highlight=False, markup=False, emoji=False, width=width)


def print_gene(console: Console, answer: dict[str, Any], missing: str = NOT_FILLED) -> None:
    """Print one answer of `pdstore.query.query_gene`, whole or in part; `missing` is why something is not there."""
    _print_name(console, answer["gene"], answer["model"])
    if "correlation" in answer:
        _print_correlation(console, answer["correlation"], answer["n_samples"], missing)
    if "expression" in answer:
        _print_expression(console, answer["expression"])
    if answer.get("variants") is not None:
        _print_line(console, "variants", f"{len(answer['variants']):,} in the window")
        if answer["variants"]:
            _print_variants(console, answer["variants"], mark_drivers=True)
    elif "drivers" in answer:
        # What would fill them stands above already.
        _print_drivers(
            console, answer["drivers"], answer["n_samples"], "not filled" if "correlation" in answer else missing
        )
    if answer.get("withheld") and answer["withheld"]["drivers"]:
        few = f"carried, or not carried, by fewer than {answer['withheld']['min_people']} people"
        _print_line(console, "withheld", f"{counted(answer['withheld']['drivers'], 'driver')}, {few}")
    if "support" in answer:
        _print_support(console, answer["support"])
    if answer.get("lead_eqtl"):
        lead = answer["lead_eqtl"]
        _print_line(
            console,
            "lead eQTL",
            f"R = {number(lead['pearson_r'])} (p = {number(lead['p_value'])}), "
            f"{number(lead['distance'], 0)} bp from the TSS",
        )
    if answer.get("attention"):
        _print_attention(console, answer["attention"])
    console.print()


def print_models(console: Console, answers: list[dict[str, Any]]) -> None:
    """Print the answers of several models for one gene, side by side."""
    _print_name(console, answers[0]["gene"])
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    for answer in answers:
        table.add_column(plain(answer["model"]), overflow="fold")
    rows: dict[str, list[str | Text]] = {}
    for answer in answers:
        for what, cell in _cells(answer).items():
            rows.setdefault(what, []).append(cell)
    for what, cells in rows.items():
        table.add_row(what, *cells)
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
    console.print()


def _print_attention(console: Console, attention: list[dict[str, Any]]) -> None:
    """Histone marks by their share, each with the bin that changes the answer most."""
    shown = []
    for mark in sorted(attention, key=lambda mark: -mark["share"]):
        effects = [effect or 0.0 for effect in mark["gradient_x_input"]]
        largest = max(range(len(effects)), key=lambda place: abs(effects[place]))
        where = f"bin {mark['bin_index'][largest]}: {number(effects[largest])}"
        shown.append(f"{plain(mark['mark'])} {number(mark['share'])} ({where})")
    _print_line(console, "attention", ", ".join(shown))


def print_person(console: Console, answer: dict[str, Any]) -> None:
    """Print one answer of `pdstore.person.query_person`."""
    _print_name(console, answer["gene"], answer["model"])
    _print_line(console, "person", plain(answer["person"]))
    for what in ("observed", "prediction"):
        value, percentile = answer[what]["value"], answer[what]["percentile"]
        among = "" if percentile is None else f"  (above {percentile:.0f}% of the others)"
        _print_line(console, what, f"{number(value)}{among}")
    for haplotype in answer["haplotypes"]:
        variants = haplotype["variants"]
        predicted = "" if haplotype["prediction"] is None else f", prediction {number(haplotype['prediction'])}"
        _print_line(console, f"haplotype {haplotype['haplotype']}", f"{counted(len(variants), 'variant')}{predicted}")
        effects = [variant for variant in variants if variant["ism"]]
        shown = sorted(effects, key=lambda variant: -abs(variant["ism"]))[:_SHOWN_OF_PERSON]
        if shown:
            _print_variants(console, shown)
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


def _print_line(console: Console, label: str, *parts: _Parts) -> None:
    """A label and what it is of, which goes on below itself where the terminal is narrow."""
    _print_hanging(console, f"  {label:<{_LABEL}}", _LABEL + 2, *parts)


def _print_hanging(console: Console, before: str, indent: int, *parts: _Parts) -> None:
    lines = Text.assemble(*parts).wrap(console, max(console.width - indent, 16))
    for index, line in enumerate(lines):
        line.rstrip()
        console.print(Text.assemble(" " * indent if index else before, line), soft_wrap=True)


def _print_name(console: Console, gene: dict[str, Any], model: str | None = None) -> None:
    of_model = "" if model is None else f"  model {plain(model)}"
    where = f"  {gene['id']}  {gene['contig']}:{gene['tss']:,} ({gene['strand']})"
    _print_hanging(console, "", 2, (plain(gene["name"]), "bold"), plain(where), of_model)


def _print_correlation(console: Console, correlation: dict[str, Any], n_samples: int | None, missing: str) -> None:
    if correlation["pearson_r"] is None:
        if n_samples is None:
            _print_line(console, "correlation", missing)
            if correlation["null_p"] is not None:
                _print_significance(console, correlation)
            return
        reason = (
            "expression was not measured"
            if n_samples == 0
            else "that is too few"
            if n_samples < 3
            else "the prediction or the expression does not vary"
        )
        _print_line(console, "correlation", f"none over {n_samples} people: {reason}")
        return
    interval = f" [{number(correlation['ci_low'])}, {number(correlation['ci_high'])}]"
    if correlation["ci_low"] is None:
        interval = ""
    people = "" if n_samples is None else f" over {n_samples} people"
    status = correlation["status"] or "significance unknown"
    r = f"R = {number(correlation['pearson_r'])}{interval}{people}: "
    _print_line(console, "correlation", r, (status, _COLOURS.get(status, "")))
    _print_significance(console, correlation)


def _print_significance(console: Console, correlation: dict[str, Any]) -> None:
    tests = []
    if correlation["null_p"] is not None:
        test = f"t = {number(correlation['null_t'], 2)}, p = {number(correlation['null_p'])}"
        tests.append(f"published null FDR {number(correlation['fdr'])} ({test})")
    if correlation["empirical_p"] is not None:
        test = f"p = {number(correlation['empirical_p'])}"
        tests.append(f"empirical FDR {number(correlation['empirical_fdr'])} ({test})")
    _print_line(console, "significance", ", ".join(tests) or "no null")


def _print_expression(console: Console, expression: dict[str, Any]) -> None:
    """Levels of what was measured and predicted, as far as they are known."""
    parts = []
    for what in ("observed", "prediction"):
        if expression[f"{what}_mean"] is not None:
            parts.append(f"{what} {number(expression[f'{what}_mean'])} (sd {number(expression[f'{what}_sd'])})")
    if expression["reference_prediction"] is not None:
        parts.append(f"for the reference {number(expression['reference_prediction'])}")
    if parts:
        _print_line(console, "expression", ", ".join(parts))


def _print_drivers(console: Console, drivers: list[dict[str, Any]] | None, n_samples: int | None, missing: str) -> None:
    if drivers:
        _print_line(console, "drivers", f"{len(drivers):,}")
        _print_variants(console, drivers)
        return
    undefined = "undefined: no prediction, ISM does not add up to it, no allele varies, or under 3 people"
    _print_line(console, "drivers", "none" if drivers is not None else missing if n_samples is None else undefined)


def _print_variants(console: Console, variants: list[dict[str, Any]], mark_drivers: bool = False) -> None:
    """A table of variants; where the terminal is too narrow for it, two lines each."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("variant", "to TSS", "AF", "ISM", "slope", "slope p", "R"):
        is_name = heading == "variant"
        table.add_column(f"  {heading}" if is_name else heading, justify="left" if is_name else "right", no_wrap=True)
    table.add_column("support", no_wrap=True)
    for variant in variants:
        table.add_row(
            _marked(variant, mark_drivers),
            f"{variant['distance_to_tss']:+,}",
            *(number(variant[field]) for field in _NUMBERS),
            _coloured(variant["support"]),
        )
    if fits(console, table, indent=2):
        console.print(Padding(table, (0, 0, 0, 2), expand=False))
    else:
        for variant in variants:
            frequency, ism, slope, p, r = (number(variant[field]) for field in _NUMBERS)
            where = (
                f"{_marked(variant, mark_drivers)}, {variant['distance_to_tss']:+,} bp from the TSS, AF {frequency}: "
            )
            _print_hanging(console, "  ", 4, where, _coloured(variant["support"]))
            _print_hanging(console, " " * 6, 6, f"ISM {ism}, slope {slope} (p {p}), R {r}")
    marks = ["* main driver"] if any(variant["main"] for variant in variants) else []
    if mark_drivers and any((variant["driver_rank"] or 0) > 1 for variant in variants):
        marks.append("+ driver")
    _print_hanging(console, "    ", 4, "; ".join([*marks, _LEGEND]))


def fits(console: Console, table: Table, indent: int = 0) -> bool:
    """Whether a table is shown whole in the width of the terminal."""
    unlimited = console.options.update(width=10_000)
    return Measurement.get(console, unlimited, table).maximum + indent <= console.width


_NUMBERS = ("allele_frequency", "ism", "eqtl_slope", "eqtl_p", "pearson_r_with_prediction")


def _marked(variant: dict[str, Any], mark_drivers: bool) -> str:
    mark = "*" if variant["main"] else "+" if mark_drivers and variant["driver_rank"] is not None else " "
    return f"{mark} {plain(variant['variant'])}"


def _print_support(console: Console, support: dict[str, Any]) -> None:
    status = support["status"]
    if status is None:
        return
    counts = f": {support['supported']} of the drivers supported, {support['unsupported']} unsupported"
    _print_line(console, "support", (status, _COLOURS.get(status, "")), "" if status == "no drivers" else counts)
