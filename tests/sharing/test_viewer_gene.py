"""The viewer in a real browser, over a real web server: a gene is what `pdstore query` prints."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from viewer_page import assert_same, cells, downloaded, expected_drivers, open_gene, open_genes, shown
from viewer_stores import MIN_PEOPLE
from web_server import WebServer

from pdstore.query import query_gene
from pdstore.store import Store, open_store

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_a_gene_is_what_query_says(page: "Page", server: WebServer, store: Store) -> None:
    for name in ("GSTM3", "LPCAT2", "MRPL43"):
        answer = query_gene(store, name)
        open_gene(page, server, "full", name)
        page.get_by_role("heading", name=name, exact=True).wait_for()
        correlation, facts = answer["correlation"], page.locator(".facts").inner_text()
        interval = f"[{shown(correlation['ci_low'])}, {shown(correlation['ci_high'])}]"
        assert f"R = {shown(correlation['pearson_r'])} {interval} over {answer['n_samples']} people" in facts
        assert f"published null FDR {shown(correlation['fdr'])}" in facts
        assert f"empirical FDR {shown(correlation['empirical_fdr'])}" in facts
        assert page.locator(".facts .badge").all_inner_texts() == [correlation["status"], answer["support"]["status"]]
        assert cells(page.locator("#drivers tbody tr")) == expected_drivers(answer)
    assert page.locator("#drivers-heading + p").inner_text() == "none"


def test_downloads_of_a_gene(page: "Page", server: WebServer, store: Store) -> None:
    answer = query_gene(store, "LPCAT2", all_variants=True)
    open_gene(page, server, "full", "LPCAT2")
    for what in ("drivers", "variants"):
        rows = downloaded(page, f"#download-{what}")
        assert len(rows) == len(answer[what])
        for row, expected in zip(rows, answer[what], strict=True):
            assert_same(row, expected)


def test_figures_of_a_full_store(page: "Page", server: WebServer) -> None:
    open_gene(page, server, "full", "LPCAT2")
    assert page.locator("figure h3").all_inner_texts()[-3:] == [
        "Predicted against observed expression",
        "ISM against eQTL slope",
        "ISM along the window",
    ]
    people = page.locator(".dots.people").get_attribute("d") or ""
    assert people.count("M") == 40
    texts = page.locator("figure text.title").all_text_contents()
    assert "observed expression (units of the source)" in texts
    assert "eQTL slope (expression per alternate allele)" in texts
    assert [figure.locator("text.rank").count() for figure in page.locator("#gene figure").all()] == [0, 3, 3]
    assert all(page.locator("#gene svg[role=img]").nth(i).get_attribute("aria-label") for i in range(3))


def test_a_summary_shows_how_many_people_are_where(page: "Page", server: WebServer, site: Path) -> None:
    summary = open_store(site / "summary")
    people = summary.read("scatter/cnn/people")
    withheld = summary.read("statistics/cnn/drivers_withheld")
    row = int(np.argmax((people > 0).sum(axis=(1, 2)) * (withheld > 0)))
    gene = str(summary.read("genes/gene_name", row))
    open_gene(page, server, "summary", gene)
    answer = query_gene(summary, gene)
    assert cells(page.locator("#drivers tbody tr")) == expected_drivers(answer)
    cell_count = np.count_nonzero(people[row])
    assert cell_count > 0
    assert page.locator("#gene .drawing rect.cell").count() == cell_count
    told = f"{people[row].sum()} of them; an empty cell has fewer than {MIN_PEOPLE} people"
    assert told in page.locator("#gene-body").inner_text()
    count = answer["withheld"]["drivers"]
    assert page.locator(".withheld").inner_text().startswith(f"{count} driver")
    # The fullest cell lies where it was counted, within the axes.
    fullest = page.locator("#gene .drawing rect.cell[fill-opacity='1.000']").first
    fullest.hover()
    assert page.locator("#tooltip").inner_text().startswith(f"{people[row].max()} people: observed ")


def test_a_gene_costs_its_chunks(page: "Page", server: WebServer) -> None:
    open_genes(page, server, "full")
    before = len(server.requests)
    page.get_by_role("link", name="IRF5", exact=True).click()
    page.locator("#drivers-heading").wait_for()
    asked = [request.path for request in server.requests[before:]]
    per_gene = [path for path in asked if path.startswith(("/full/attributions", "/full/eqtl"))]
    assert per_gene
    assert all("/c/14/" in path for path in per_gene)
    assert len(asked) < 40
