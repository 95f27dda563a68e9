"""The viewer where not all is there: genes that are not filled, lost chunks, a model that fails; and the way back."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from quiet import Quiet
from viewer_page import open_gene, open_genes
from web_server import WebServer

from pdstore.fill import steps
from pdstore.models.registry import ModelReference
from pdstore.sharing.publish import publish
from pdstore.store import open_store

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

FILLED, WITHOUT_STATISTICS, UNFILLED = 6, 10, 16


@pytest.fixture(scope="module")
def half(
    site: Path,
    unfilled: Path,
    cnn: ModelReference,
    fill_now: Callable[..., None],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[str]:
    """A published store with a gene that is filled, one up to its attributions, and others not at all; their names."""
    path = tmp_path_factory.mktemp("half") / "half.zarr"
    shutil.copytree(unfilled, path)
    store = open_store(path, "r+")
    fill_now(store, cnn, [FILLED])
    for name in ("windows", "predictions", "attributions"):
        for step in steps(cnn, name):
            for block in step.pending(store, [WITHOUT_STATISTICS]).todo:
                step.run(store, block)
            step.gather(store)
    publish(str(path), str(site / "half"), "full", Quiet(), individual_level=True)
    names: list[str] = store.read("genes/gene_name").tolist()
    return names


@pytest.fixture(scope="module")
def lost(site: Path) -> list[str]:
    """A published summary that lost chunks: of a statistic, and of the people of a gene; the names of its genes."""
    shutil.copytree(site / "summary", site / "lost-chunks")
    (site / "lost-chunks/statistics/cnn/empirical_fdr/c/0").unlink()
    (site / f"lost-chunks/scatter/cnn/people/c/{FILLED}/0/0").unlink()
    names: list[str] = open_store(site / "summary").read("genes/gene_name").tolist()
    return names


@pytest.mark.missing_chunks
def test_what_is_not_filled_is_not_called_lost(page: "Page", server: WebServer, half: list[str]) -> None:
    open_genes(page, server, "half")
    said = page.locator("#summary").inner_text()
    assert said.startswith("1 gene with R: ")
    assert said.endswith(" Not filled: 23 of 24 genes.")
    assert page.locator("#volcano-about").inner_text() == "1 of 24 genes has R and published FDR."
    for row, figures in ((WITHOUT_STATISTICS, 2), (UNFILLED, 0), (FILLED, 3)):
        open_gene(page, server, "half", half[row])
        page.get_by_role("heading", name=half[row], exact=True).wait_for()
        page.locator("#drivers-heading").wait_for()
        assert page.locator("#gene figure").count() == figures
        assert page.locator(".warning:visible").count() == 0
        if row != FILLED:
            assert page.locator(".facts").inner_text() == "correlation\nnot filled"
            assert page.locator("#drivers-heading + p").inner_text() == "not filled"


@pytest.mark.missing_chunks
def test_lost_chunks_of_statistics_and_people_are_named(page: "Page", server: WebServer, lost: list[str]) -> None:
    open_genes(page, server, "lost-chunks")
    told = "Missing from the store, and shown as unknown: chunks of statistics/cnn/empirical_fdr."
    assert page.locator("#genes-damage").inner_text() == told
    open_gene(page, server, "lost-chunks", lost[FILLED])
    told = "the chunk of this gene in statistics/cnn/empirical_fdr, scatter/cnn/people."
    assert page.locator("#gene .warning").inner_text().endswith(told)
    open_gene(page, server, "lost-chunks", lost[FILLED + 1])
    page.get_by_role("heading", name=lost[FILLED + 1], exact=True).wait_for()
    page.locator("#drivers-heading").wait_for()
    assert (
        page.locator("#gene .warning").inner_text().endswith("the chunk of this gene in statistics/cnn/empirical_fdr.")
    )


@pytest.mark.missing_chunks
def test_of_a_model_that_fails_nothing_of_another_is_shown(page: "Page", server: WebServer) -> None:
    open_genes(page, server, "tables")
    assert page.locator("#volcano-figure").is_visible()
    page.route("**/statistics/baseline/**", lambda route: route.abort())
    page.get_by_label("Model").select_option("baseline")
    page.get_by_text("The store cannot be reached").wait_for()
    assert page.locator("#summary").inner_text() == ""
    assert not page.locator("#volcano-figure").is_visible()
    assert not page.locator("#genes").is_visible()
    page.unroute("**/statistics/baseline/**")
    page.get_by_role("button", name="Retry").click()
    page.get_by_text("24 genes with R").wait_for()
    assert page.locator("#genes-body tr").count() == 24


def test_the_way_back_leads_to_the_gene(page: "Page", server: WebServer) -> None:
    def in_tens(route: "Route") -> None:
        whole = route.fetch()
        text = whole.text()
        assert "const ROWS_A_PAGE = 50;" in text
        route.fulfill(response=whole, body=text.replace("const ROWS_A_PAGE = 50;", "const ROWS_A_PAGE = 10;"))

    # The store has 24 genes.
    page.route("**/viewer/table.js", in_tens)
    open_genes(page, server, "full")
    page.unroute("**/viewer/table.js")
    first, last = page.get_by_role("button", name="First"), page.get_by_role("button", name="Last")
    last.focus()
    page.keyboard.press("Enter")
    shown = page.locator("#genes-shown").inner_text()
    assert shown == "24 genes of 24, 21 to 24 shown"
    # What was pressed can do nothing more.
    assert last.is_disabled()
    assert page.evaluate("document.activeElement.id") == "page-previous"
    gene = page.locator("#genes-body a").nth(3)
    name = gene.inner_text()
    gene.focus()
    page.keyboard.press("Enter")
    page.locator("#drivers-heading").wait_for()
    assert page.evaluate("document.activeElement.id") == "gene-heading"
    page.go_back()
    page.locator("#genes-body tr").first.wait_for()
    page.wait_for_function("document.activeElement.closest('#genes-body') !== null")
    assert page.evaluate("document.activeElement.textContent") == name
    assert page.locator("#genes-shown").inner_text() == shown
    first.click()
    assert page.locator("#genes-shown").inner_text() == "24 genes of 24, 1 to 10 shown"


def test_escape_closes_the_list_then_empties_the_box(page: "Page", server: WebServer) -> None:
    open_genes(page, server, "full")
    box = page.get_by_role("combobox", name="Gene", exact=True)
    box.press_sequentially("gst")
    page.locator("#suggestions").wait_for()
    page.keyboard.press("Escape")
    assert not page.locator("#suggestions").is_visible()
    assert box.input_value() == "gst"
    page.keyboard.press("Escape")
    assert box.input_value() == ""
    # What was looked for in vain is gone with the page on which it was.
    box.press_sequentially("nothing")
    page.get_by_text("No gene has a name like this.").wait_for()
    page.get_by_role("link", name="GSTM3", exact=True).click()
    page.locator("#drivers-heading").wait_for()
    assert (box.input_value(), page.locator("#search-said").inner_text()) == ("", "")
