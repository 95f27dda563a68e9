"""The viewer's tables: ranks of drivers, what a summary withholds, what a p of 0 is, which test decides, width."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr
from viewer_page import assert_same, cells, downloaded, open_gene, open_genes, shown
from viewer_stores import MIN_PEOPLE, make_tables, published
from web_server import WebServer

from pdstore.gene_table import gene_columns, rows_of
from pdstore.query import FdrKind, query_gene
from pdstore.schema import schema_of
from pdstore.store import Store, open_store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROUNDED = 8


def make_rounded(root: zarr.Group) -> None:
    """Published tables with a p of 0; and with a model of which they have the prediction for the reference alone."""
    make_tables(root)
    for name in ("p_value", "null_p", "fdr"):
        root[f"statistics/cnn/{name}"][ROUNDED] = 0.0
    genes = root["genes/gene_id"].shape[0]
    store = open_store(root.store.root, "r+")
    attributes, absent = {"model": "reference", "order": 2}, schema_of("predictions/reference").arrays.keys()
    store.create_group("predictions/reference", {}, attributes, without=absent)
    others = set(schema_of("statistics/reference").arrays) - {"reference_prediction"}
    store.create_group("statistics/reference", {"genes": genes}, {"model": "reference"}, without=others)
    store.write("statistics/reference/reference_prediction", ..., np.linspace(-1, 1, genes))


@pytest.fixture(scope="module")
def rounded(site: Path, filled: Path) -> Store:
    """Such tables, published."""
    return open_store(published(site / "rounded", filled, make_rounded))


@pytest.fixture(scope="module")
def phone(chromium: "Browser") -> "Iterator[Page]":
    """A page as narrow as a telephone."""
    context = chromium.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


def columns_of(page: "Page", table: str) -> dict[str, list[str]]:
    """Heading → texts of a table's column."""
    headings = page.locator(f"{table} thead th").all_inner_texts()
    rows = cells(page.locator(f"{table} tbody tr"))
    return dict(zip(headings, zip(*rows, strict=True), strict=True))


def test_drivers_are_ranked_in_their_table_and_figures(page: "Page", server: WebServer, site: Path) -> None:
    # The summary withholds the driver of a rank.
    summary = open_store(site / "summary")
    withheld = summary.read("statistics/cnn/drivers_withheld") * (summary.read("statistics/cnn/driver_count") > 0)
    answers = [query_gene(summary, str(gene)) for gene in summary.read("genes/gene_name")[withheld > 0]]
    answer = next(answer for answer in answers if answer["drivers"][-1]["driver_rank"] > len(answer["drivers"]))
    open_gene(page, server, "summary", answer["gene"]["name"])
    ranks = [str(driver["driver_rank"]) for driver in answer["drivers"]]
    table = columns_of(page, "#drivers")
    assert list(table["rank"]) == ranks
    assert list(table["variant"]) == [each["variant"] + ("main" if each["main"] else "") for each in answer["drivers"]]
    with_slope = [str(driver["driver_rank"]) for driver in answer["drivers"] if driver["eqtl_slope"] is not None]
    assert page.locator("#gene figure").nth(1).locator("text.rank").all_text_contents() == with_slope
    assert page.locator("#gene figure").nth(2).locator("text.rank").all_text_contents() == ranks


def test_what_a_summary_withholds_is_counted(page: "Page", server: WebServer, site: Path) -> None:
    summary = open_store(site / "summary")
    count, withheld = (summary.read(f"statistics/cnn/{name}") for name in ("driver_count", "drivers_withheld"))
    names = summary.read("genes/gene_name").tolist()
    open_genes(page, server, "summary")
    table = columns_of(page, "#genes")
    assert dict(zip(table["gene"], table["withheld"], strict=True)) == dict(zip(names, map(str, withheld), strict=True))
    rows, columns = downloaded(page, "#download-genes"), gene_columns(summary)
    assert {row["gene"]: row["drivers_withheld"] for row in rows} == dict(zip(names, map(str, withheld), strict=True))
    assert list(rows[0]) == list(columns)
    expected = {row["id"]: row for row in rows_of(columns)}
    for row in rows:
        assert_same(row, expected[row["id"]])
    none_shown = names[int(np.flatnonzero((count == 0) & (withheld == 1))[0])]
    open_gene(page, server, "summary", none_shown)
    assert page.locator(".facts").inner_text().endswith("support\nno drivers that may be shown")
    assert page.locator("#drivers-heading + p").inner_text() == "none that may be shown"
    told = f"1 driver of this gene is not shown: carried, or not carried, by fewer than {MIN_PEOPLE} people."
    assert page.locator(".withheld").inner_text() == told
    about = f"A stem a variant that at least {MIN_PEOPLE} people carry and {MIN_PEOPLE} do not"
    assert about in page.locator("#gene-body").inner_text()


def test_a_p_of_zero_is_said_to_be_one(page: "Page", server: WebServer, rounded: Store) -> None:
    gene = str(rounded.read("genes/gene_name", ROUNDED))
    open_genes(page, server, "rounded")
    table = columns_of(page, "#genes")
    at = table["gene"].index(gene)
    assert (table["p"][at], table["FDR"][at]) == ("0", "0")
    legend = page.locator("#genes-legend").inner_text()
    assert legend.endswith("; a p of 0: as published; an FDR of 0: too small to be stored")
    page.get_by_label("Text").fill(str(rounded.read("genes/gene_name", ROUNDED + 1)))
    assert page.locator("#genes-body tr").count() == 1
    assert "of 0:" not in page.locator("#genes-legend").inner_text()
    page.get_by_role("button", name="Clear").click()
    open_gene(page, server, "rounded", gene)
    facts = page.locator(".facts").inner_text()
    assert ", p = 0 (as published): " in facts
    assert "published null FDR 0 (p = 0, too small to be stored)" in facts


def test_the_page_of_a_gene_says_which_test_decides(page: "Page", server: WebServer, store: Store) -> None:
    names = gene_columns(store)["gene"].tolist()
    kinds: tuple[FdrKind, FdrKind] = ("published", "empirical")
    by = {kind: dict(zip(names, gene_columns(store, fdr_kind=kind)["status"], strict=True)) for kind in kinds}
    differing = next(name for name in names if by["published"][name] != by["empirical"][name])
    same = next(name for name in names if by["published"][name] == by["empirical"][name])
    open_genes(page, server, "full")
    for kind, other in (kinds, kinds[::-1]):
        page.get_by_label("FDR", exact=True).select_option(kind)
        page.get_by_text(f"at FDR 0.05 of the {kind} null").wait_for()
        assert page.locator("#genes-legend").inner_text().endswith(f"correlation: by the FDR of the {kind} null")
        for name in (differing, same):
            page.get_by_role("link", name=name, exact=True).click()
            page.get_by_role("heading", name=name, exact=True).wait_for()
            page.locator("#drivers-heading").wait_for()
            says = f"; the {kind} null decides, at FDR 0.05"
            otherwise = f"; by the {other} null it is {by[other][name]}" if name == differing else ""
            significance = page.locator(".facts dd").nth(1).inner_text()
            assert significance.endswith(says + otherwise)
            assert page.locator(".facts .badge").first.inner_text() == by[kind][name]
            page.go_back()
            page.locator("#genes-body tr").first.wait_for()


def test_columns_are_those_that_the_store_has_values_of(page: "Page", server: WebServer, rounded: Store) -> None:
    open_genes(page, server, "rounded")
    page.get_by_label("Support").select_option("supported")
    page.get_by_label("Model").select_option("reference")
    page.get_by_text("No gene has R").wait_for()
    table = columns_of(page, "#genes")
    assert list(table) == ["gene", "prediction", "TSS", "identifier"]
    expected = rounded.read("statistics/reference/reference_prediction")
    assert list(table["prediction"]) == list(map(shown, expected))
    assert page.locator("#summary").inner_text() == "No gene has R of this model."
    assert not page.locator("#fdr-kind").is_visible()
    # A filter of what is not there is none.
    assert page.locator("#filters label:visible").all_inner_texts() == ["Text"]
    page.goto(f"{server.url}rounded/#model=baseline")
    page.get_by_text("24 genes with R, none with a false discovery rate.").wait_for()
    assert page.locator("#genes-head th").all_inner_texts() == ["gene", "R", "TSS", "identifier"]


def test_a_table_that_goes_on_says_so(phone: "Page", page: "Page", server: WebServer, site: Path) -> None:
    for address, scroller in (("#LPCAT2", "#gene .scroller"), ("", "#genes-scroller")):
        phone.goto("about:blank")
        phone.goto(f"{server.url}full/{address}")
        phone.locator(f"{scroller} tbody tr").first.wait_for()
        cue = phone.get_by_text("The table goes on: scroll it sideways.").locator("visible=true")
        cue.wait_for()
        box = phone.locator(scroller).locator("xpath=..")
        assert (box.get_attribute("class") or "").split() == ["scroll-box", "more-after"]
        assert phone.locator(scroller).get_attribute("tabindex") == "0"
        phone.locator(scroller).evaluate("(node) => node.scrollTo(9999, 0)")
        phone.wait_for_function("(box) => !box.classList.contains('more-after')", arg=box.element_handle())
        assert (box.get_attribute("class") or "").split() == ["scroll-box", "more-before"]
        # The gene, or the variant, stays in sight.
        left = phone.locator(f"{scroller} tbody .pinned").first.bounding_box()
        assert left is not None
        assert left["x"] >= 0
    # Whoever has no mouse and no keyboard is told of neither.
    assert phone.locator("#volcano-keys").inner_text().strip() == "Pinch to zoom, drag to move, tap for the gene."
    open_gene(page, server, "full", "LPCAT2")
    assert not page.get_by_text("The table goes on").first.is_visible()
    assert page.locator("#gene .scroller").get_attribute("tabindex") is None
    table = page.locator("#drivers").bounding_box()
    assert table is not None
    assert table["width"] < 900


def test_ticks_of_an_axis_differ_and_fit(page: "Page", server: WebServer) -> None:
    page.goto(f"{server.url}full/")
    script = """async (values) => {
        const { tickLabels } = await import("./viewer/charts.js");
        return values.map(tickLabels);
    }"""
    ticks = {
        (0, 0.5, 1): ["0.0", "0.5", "1.0"],
        (-0.02, 0, 0.02): ["−0.02", "0.00", "0.02"],
        (-0.08912, -0.0891, -0.08908): ["−0.08912", "−0.08910", "−0.08908"],
        (-1e-4, -5e-5, 0): ["−1.0e−4", "−5e−5", "0"],
        (5_000_000, 5_020_000): ["5.00e6", "5.02e6"],
        (0, 2000, 4000): ["0", "2,000", "4,000"],
    }
    assert page.evaluate(script, [list(values) for values in ticks]) == list(ticks.values())
    # Numbers of an axis stand beside its title.
    open_gene(page, server, "full", "LPCAT2")
    for figure in page.locator("#gene figure").all():
        title = figure.locator("text.title").last.bounding_box()
        numbers = [text.bounding_box() for text in figure.locator(".axes text[text-anchor=end]").all()]
        assert title is not None
        assert numbers
        assert all(box is not None and box["x"] >= title["x"] + title["width"] - 3 for box in numbers)


def test_words_stand_out_from_what_is_behind_them(page: "Page", server: WebServer) -> None:
    open_genes(page, server, "full")
    script = """(selectors) => selectors.map((selector) => {
        const style = (node) => getComputedStyle(node);
        return [style(document.querySelector(selector)).color, style(document.body).backgroundColor];
    })"""
    selectors = [f"#genes td.{word}" for word in ("correlated", "anticorrelated", "supported", "unsupported")]
    selectors += ["#genes-body a", "#genes-legend"]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for selector, colours in zip(selectors, page.evaluate(script, selectors), strict=True):
            darker, lighter = sorted(map(luminance, colours))
            # WCAG 2.2, 1.4.3, for text of ordinary size.
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (scheme, selector)
    page.emulate_media(color_scheme=None)


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2, of a colour as browsers write it."""
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
