"""The viewer in a real browser: what is hostile, damaged or missing harms nobody, and is named."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from viewer_page import UNKNOWN, cells, downloaded, expected_drivers, open_gene, open_genes
from viewer_stores import HOSTILE, MODEL, published, rewrite_metadata, with_metadata
from web_server import WebServer

from pdstore.gene_table import Columns
from pdstore.query import query_gene
from pdstore.store import Store, open_store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def test_names_of_a_hostile_store_stay_text(page: "Page", server: WebServer, columns: Columns) -> None:
    open_genes(page, server, "hostile")
    names = page.locator("#genes-body th").all_inner_texts()
    assert any(name.startswith("<img src=x onerror=") for name in names)
    assert {"[31mred", "evil gnp.exe"} <= {name.strip() for name in names}
    assert HOSTILE in page.locator("#store-facts").inner_text()
    assert page.locator("#model option").all_inner_texts() == ["cnn", MODEL]
    page.get_by_label("Model").select_option(MODEL)
    page.wait_for_function("location.hash.includes('model=')")
    rows = downloaded(page, "#download-genes")
    assert {'\'=HYPERLINK("http://example.org")', HOSTILE} <= {row["gene"] for row in rows}
    assert {row["strand"] for row in rows} == {"+", "-"}
    page.get_by_label("Gene", exact=True).fill("<img")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator("#drivers-heading").wait_for()
    assert page.locator("#gene-heading").inner_text() == HOSTILE
    assert page.locator("main img, main script, header img").count() == 0
    assert f"model {MODEL}" in page.locator(".place").inner_text()


@pytest.mark.missing_chunks
def test_what_is_missing_is_unknown_and_no_number(page: "Page", server: WebServer, store: Store) -> None:
    open_gene(page, server, "damaged", "GSTM3")
    page.locator(".warning").wait_for()
    assert "attributions/cnn/ism" in page.locator(".warning").inner_text()
    rows = cells(page.locator("#drivers tbody tr"))
    assert [(row[4], row[8]) for row in rows] == [(UNKNOWN, "undetermined")] * 2
    assert [row[5] for row in rows] == [row[5] for row in expected_drivers(query_gene(store, "GSTM3"))]
    page.goto(f"{server.url}damaged/#UTS2")
    page.get_by_role("heading", name="UTS2").wait_for()
    page.locator("#drivers-heading").wait_for()
    assert page.locator("#drivers-heading + p").inner_text() == "unknown"


@pytest.mark.missing_chunks
def test_a_lost_window_hides_no_drivers(page: "Page", server: WebServer, site: Path, filled: Path) -> None:
    lost = published(site / "lost", filled)
    Path(lost, f"windows/{open_store(lost).members('windows')[0]}/variant_start/c/0").unlink()
    open_gene(page, server, "lost", "GSTM3")
    assert "variant_start" in page.locator(".warning").inner_text()
    assert page.locator("#drivers-heading + p").inner_text() == "unknown"


@pytest.mark.parametrize(
    ("gene", "says"),
    [
        ("PEX6", "A chunk of attributions/cnn/ism does not match its checksum"),
        ("XRRA1", "A chunk of attributions/cnn/ism has another size than its metadata say"),
    ],
)
def test_a_damaged_chunk_is_named(page: "Page", server: WebServer, gene: str, says: str) -> None:
    page.goto(f"{server.url}damaged/#{gene}")
    page.locator(".error").wait_for()
    assert says in page.locator("#message").inner_text()


@pytest.mark.parametrize(
    ("array", "values", "says"),
    [
        ("genes/gene_id", {"shape": [2**40]}, "too many for this page"),
        ("statistics/cnn/fdr", {"shape": [2**33]}, "statistics/cnn/fdr is too large for this page"),
        ("genes/gene_tss", {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**40]}}}, "too large"),
        ("genes/gene_tss", {"shape": [-1]}, "genes/gene_tss has a layout that this page does not read"),
        ("genes/gene_tss", {"codecs": [{"name": "blosc"}]}, "a layout that this page does not read"),
    ],
)
def test_absurd_metadata_are_refused(
    page: "Page", server: WebServer, site: Path, array: str, values: dict[str, Any], says: str
) -> None:
    name = f"absurd-{len(list(site.iterdir()))}"
    with_metadata(site, name, lambda root: root["consolidated_metadata"]["metadata"][array].update(values))
    page.goto(f"{server.url}{name}/")
    page.locator(".error").wait_for()
    assert says in page.locator("#message").inner_text()


def test_no_name_of_a_group_leads_out_of_the_store(page: "Page", server: WebServer, site: Path) -> None:
    def add_models(root: dict[str, Any]) -> None:
        nodes = root["consolidated_metadata"]["metadata"]
        for name in ("..", "../../full", "a/../b", ".", "x\\y"):
            nodes[f"predictions/{name}"] = {**nodes["predictions/cnn"], "attributes": {"order": -1}}

    with_metadata(site, "outside", add_models)
    open_genes(page, server, "outside")
    assert page.locator("#model option").all_inner_texts() == ["cnn"]
    page.goto(f"{server.url}outside/#gene=UTS2&model=../../full")
    page.get_by_text("The store holds no predictions of model ../../full; it holds cnn.").wait_for()


@pytest.mark.missing_chunks
def test_what_is_no_store_is_said(page: "Page", server: WebServer, site: Path) -> None:
    for name in ("empty", "newer", "unpublished"):
        (site / name).mkdir()
        shutil.copytree(site / "full" / "viewer", site / name / "viewer")
        shutil.copy(site / "full" / "index.html", site / name)
    for name in ("newer", "unpublished"):
        shutil.copy(site / "full" / "zarr.json", site / name)
    rewrite_metadata(site / "newer", lambda root: root["attributes"].update(pdstore_format=99))
    rewrite_metadata(site / "unpublished", lambda root: root.pop("consolidated_metadata"))
    said = {
        "empty": "it has no zarr.json",
        "newer": "The store has format 99, newer than this page knows (4): publish it again.",
        "unpublished": "run pdstore publish",
    }
    for name, text in said.items():
        page.goto(f"{server.url}{name}/")
        page.locator(".error").wait_for()
        assert text in page.locator("#message").inner_text()


@pytest.mark.missing_chunks
def test_a_lost_network_can_be_tried_again(page: "Page", server: WebServer) -> None:
    page.route("**/genes/**", lambda route: route.abort())
    page.goto(f"{server.url}full/")
    page.get_by_text("The store cannot be reached").wait_for()
    page.unroute("**/genes/**")
    page.get_by_role("button", name="Retry").click()
    page.locator("#genes-body tr").first.wait_for()
    assert page.locator("#message").inner_text() == ""


def test_a_page_opened_as_a_file_says_what_to_do(chromium: "Browser", site: Path) -> None:
    context = chromium.new_context()
    opened = context.new_page()
    opened.goto((site / "full" / "index.html").as_uri())
    opened.get_by_text("pdstore view FOLDER").wait_for(timeout=5_000)
    context.close()
