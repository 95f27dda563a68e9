"""The viewer in a real browser: the search and the table of genes are what `pdstore` prints."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from viewer_page import assert_same, cells, downloaded, expected_drivers, open_gene, open_genes, shown
from web_server import WebServer

from pdstore.gene_table import Columns, Filter, gene_columns, rows_of, select
from pdstore.query import query_gene
from pdstore.store import Store, open_store

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.mark.parametrize("name", ["gstm3", "SIMG00000000015", "simg00000000015"])
def test_search_and_enter_open_a_gene(page: "Page", server: WebServer, name: str) -> None:
    open_genes(page, server, "full")
    page.get_by_label("Gene", exact=True).fill(name)
    page.keyboard.press("Enter")
    page.locator("#drivers-heading").wait_for()
    assert page.locator("#gene-heading").inner_text() == "GSTM3"
    assert page.url.endswith("#gene=GSTM3")


def test_suggestions_by_keyboard(page: "Page", server: WebServer) -> None:
    open_genes(page, server, "full")
    box = page.get_by_role("combobox", name="Gene", exact=True)
    box.press_sequentially("p")
    options = page.get_by_role("option").locator("strong")
    assert options.all_inner_texts()[:3] == ["PAX8", "PEX6", "POMZP3"]
    assert box.get_attribute("aria-expanded") == "true"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.locator(f"#{box.get_attribute('aria-activedescendant')} strong").inner_text() == "PEX6"
    page.keyboard.press("Enter")
    page.locator("#drivers-heading").wait_for()
    assert page.locator("#gene-heading").inner_text() == "PEX6"


def test_an_unknown_gene_is_named_with_what_is_close(page: "Page", server: WebServer) -> None:
    open_genes(page, server, "full")
    page.get_by_label("Gene", exact=True).fill("GSTM99")
    page.keyboard.press("Enter")
    assert page.locator("#search-said").inner_text() == "No gene GSTM99 in the store."
    page.goto(f"{server.url}full/#GSTM99")
    page.get_by_role("heading", name="No gene GSTM99 in the store").wait_for()
    page.get_by_role("link", name="GSTM3").click()
    page.locator("#drivers-heading").wait_for()


def test_links_and_the_back_button(page: "Page", server: WebServer) -> None:
    open_gene(page, server, "full", "gene=UTS2&model=cnn")
    assert page.locator("#gene-heading").inner_text() == "UTS2"
    assert page.title() == "UTS2: full"
    page.get_by_role("link", name="All genes").click()
    page.get_by_role("link", name="DDX11", exact=True).click()
    page.locator("#drivers-heading").wait_for()
    assert page.locator("#gene-heading").inner_text() == "DDX11"
    page.go_back()
    page.locator("#overview").wait_for()
    page.go_back()
    page.locator("#drivers-heading").wait_for()
    assert page.locator("#gene-heading").inner_text() == "UTS2"
    page.go_forward()
    page.locator("#overview").wait_for()


def test_the_table_of_genes_downloads_as_gene_columns_has_it(page: "Page", server: WebServer, columns: Columns) -> None:
    open_genes(page, server, "full")
    rows = downloaded(page, "#download-genes")
    assert list(rows[0]) == list(columns)
    expected = {row["id"]: row for row in rows_of(columns)}
    assert len(rows) == len(expected)
    for row in rows:
        assert_same(row, expected[row["id"]])


def test_sorting_and_filters(page: "Page", server: WebServer, columns: Columns) -> None:
    open_genes(page, server, "full")

    def names() -> list[str]:
        return page.locator("#genes-body th").all_inner_texts()

    assert names() == select(columns, Filter(), "fdr")["gene"].tolist()
    heading = page.locator("#genes-head th", has=page.get_by_role("button", name="R", exact=True))
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert names() == select(columns, Filter(), "pearson_r")["gene"].tolist()[::-1]
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert names() == select(columns, Filter(), "pearson_r")["gene"].tolist()
    page.get_by_label("Correlation").select_option("anticorrelated")
    assert names() == select(columns, Filter(status="anticorrelated"), "pearson_r")["gene"].tolist()
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Support").select_option("mixed")
    page.get_by_label("|R| at least").fill("0.21")
    assert names() == select(columns, Filter(support="mixed", min_abs_r=0.21), "pearson_r")["gene"].tolist()
    rows = downloaded(page, "#download-genes")
    assert [row["gene"] for row in rows] == names()
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("FDR at most").fill("0.4")
    page.get_by_label("Text").fill("p")
    expected = select(columns, Filter(max_fdr=0.4), "pearson_r")["gene"].tolist()
    assert names() == [name for name in expected if "P" in name]
    page.get_by_label("Text").fill("no such gene")
    assert page.locator("#genes-shown").inner_text() == "0 genes of 24"


def test_the_empirical_fdr_decides_where_it_is_chosen(page: "Page", server: WebServer, store: Store) -> None:
    open_genes(page, server, "full")
    page.get_by_label("FDR", exact=True).select_option("empirical")
    page.get_by_text("have R and empirical FDR").wait_for()
    rows = {row["gene"]: row["status"] for row in downloaded(page, "#download-genes")}
    expected = gene_columns(store, fdr_kind="empirical")
    assert rows == dict(zip(expected["gene"], expected["status"], strict=True))


def test_numbers_read_as_in_the_terminal(page: "Page", server: WebServer) -> None:
    page.goto(f"{server.url}full/")
    rng = np.random.default_rng(0)
    values = [0.0, 0.0625, -0.0625, 0.1875, 0.0005, 0.00049, 1e-300, 12345.678, -2.5e-9, 1 / 3, 0.9995, 2.0005]
    values += (rng.normal(size=300) * 10.0 ** rng.integers(-12, 4, size=300)).tolist()
    script = """async (values) => {
        const { number } = await import("./viewer/words.js");
        return values.map((value) => number(value));
    }"""
    assert page.evaluate(script, values) == [shown(value) for value in values]


def test_a_store_of_published_tables(page: "Page", server: WebServer, site: Path) -> None:
    open_genes(page, server, "tables")
    tables = open_store(site / "tables")
    expected = gene_columns(tables)
    known = np.isfinite(expected["pearson_r"]).sum()
    assert f"{known} genes with R" in page.locator("#summary").inner_text()
    headings = page.locator("#genes-head th").all_inner_texts()
    assert headings == ["gene", "R", "p", "FDR", "correlation", "drivers", "supported", "support", "TSS", "identifier"]
    rows = {row["id"]: row for row in rows_of(expected)}
    for row in downloaded(page, "#download-genes"):
        assert_same(row, rows[row["id"]])
    open_gene(page, server, "tables", "LPCAT2")
    answer = query_gene(tables, "LPCAT2", all_variants=True)
    assert cells(page.locator("#drivers tbody tr")) == expected_drivers(answer)
    assert (
        f"lead eQTL\nR = {shown(0.5)} (p = {shown(1e-9)}), 1200 bp from the TSS" in page.locator(".facts").inner_text()
    )
    assert page.locator("#gene figure").count() == 2
    page.goto(f"{server.url}tables/#MRPL43")
    page.get_by_role("heading", name="MRPL43").wait_for()
    page.locator("#drivers-heading").wait_for()
    assert page.locator(".facts").inner_text() == "correlation\nnot in the published tables"
    assert page.locator("#drivers-heading + p").inner_text() == "not in the published tables"
    page.get_by_label("Model").select_option("baseline")
    page.get_by_role("link", name="All genes").click()
    page.get_by_text("The store has no published FDR of this model").wait_for()
    assert page.locator("#genes-body tr").count() == 24
