"""The viewer in a real browser, over a real web server: what it shows is what `pdstore` prints."""

import csv
import io
import json
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from numcodecs import Zstd
from quiet import Quiet
from web_server import WebServer, nginx

from pdstore import words
from pdstore.gene_table import Columns, Filter, gene_columns, rows_of, select
from pdstore.query import query_gene
from pdstore.schema import schema_of
from pdstore.sharing.publish import Level, publish
from pdstore.store import Store, open_store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Locator, Page, Request

VIEWER = Path(__file__).parents[2] / "pdstore" / "sharing" / "viewer"
HOSTILE = '<img src=x onerror="window.harmed=1">'
MODEL = '<svg onload=alert(1)> & "q" \'%2e?#'
MIN_PEOPLE = 5
UNKNOWN = "\N{EN DASH}"


def published(folder: Path, store: Path, change: Callable[[zarr.Group], None] | None = None) -> Path:
    """A store published, after a change of what it holds."""
    source = store
    if change is not None:
        source = folder.with_name(f"{folder.name}.zarr")
        shutil.copytree(store, source)
        change(zarr.open_group(str(source), mode="r+", zarr_format=3))
    level: Level = "summary" if open_store(source).is_summary else "full"
    publish(str(source), str(folder), level, Quiet(), individual_level=level == "full")
    return folder


def make_tables(root: zarr.Group) -> None:
    """What published tables have: no people, no alleles, some statistics of some genes, and lead eQTLs."""
    window = root["predictions/cnn"].attrs["window"]
    of_people = ["expression", "genotypes", "reference", "predictions/cnn/expression", "predictions/cnn/tracks"]
    for path in (*of_people, f"windows/{window}/haplotype_index", f"windows/{window}/haplotype_onehot"):
        del root[path]
    root.attrs["level"] = "summary"
    unknown = list(root["genes/gene_name"]).index("MRPL43")
    absent = ["r_ci_low", "r_ci_high", "empirical_p", "empirical_fdr", "n_samples", "null_t", "reference_prediction"]
    paths = [f"eqtl/{window}/p_value", "statistics/cnn/gene_values", "statistics/cnn/statistic_name"]
    paths += [f"variants/{name}" for name in ("ref", "alt", "allele_frequency")]
    for path in [*paths, *(f"statistics/cnn/{name}" for name in absent)]:
        del root[path]
    for name, array in root["statistics/cnn"].arrays():
        if array.shape == root["genes/gene_id"].shape:
            array[unknown] = -1 if name == "driver_count" else np.nan
    root[f"windows/{window}/variant_count"][unknown] = 0
    for path in (f"eqtl/{window}/slope", "attributions/cnn/ism", "statistics/cnn/driver_rank"):
        shutil.rmtree(Path(root.store.root, path, "c", str(unknown)))
    lead = {"distance": 1200.0, "minor_allele_frequency": 0.2, "pearson_r": 0.5, "p_value": 1e-9}
    genes = root["genes/gene_id"].shape[0]
    store = open_store(root.store.root, "r+")
    store.create_group("lead_eqtl", {"genes": genes}, {})
    for name, value in lead.items():
        values = np.full(genes, value)
        values[unknown] = np.nan
        store.write(f"lead_eqtl/{name}", ..., values)
    predictions = {"model": "baseline", "order": 1, "window": window}
    store.create_group("predictions/baseline", {}, predictions, without=schema_of("predictions/baseline").arrays.keys())
    others = set(schema_of("statistics/baseline").arrays) - {"pearson_r"}
    store.create_group("statistics/baseline", {"genes": genes}, {"model": "baseline"}, without=others)
    store.write("statistics/baseline/pearson_r", ..., np.linspace(-0.5, 0.5, genes))


def make_hostile(root: zarr.Group) -> None:
    """Names that want to be markup, formulas, or to steer a terminal; and a second model."""
    names = np.asarray(root["genes/gene_name"]).astype(object)
    names[1:5] = [HOSTILE, "\x1b[31mred\x07", "evil\u202egnp.exe", '=HYPERLINK("http://example.org")']
    root["genes/gene_name"][...] = names
    folder = Path(root.store.root)
    for group in ("predictions", "attributions", "statistics"):
        shutil.copytree(folder / group / "cnn", folder / group / MODEL)
    root[f"predictions/{MODEL}"].attrs["order"] = 1
    root.attrs["genome_build"] = HOSTILE


def damage(folder: Path) -> None:
    """Chunks that are missing, flipped, or of another size than their metadata say."""
    (folder / "attributions/cnn/ism/c/6/0").unlink()
    (folder / "statistics/cnn/driver_rank/c/8/0").unlink()
    flipped = folder / "attributions/cnn/ism/c/10/0"
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(bytes(content))
    bomb = Zstd(3).encode(np.zeros(2**24))
    (folder / "attributions/cnn/ism/c/16/0").write_bytes(bomb + crc32c(bomb))


def crc32c(content: bytes) -> bytes:
    import google_crc32c

    return int(google_crc32c.value(content)).to_bytes(4, "little")


def rewrite_metadata(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the root's zarr.json, consolidated metadata included."""
    path = folder / "zarr.json"
    metadata = json.loads(path.read_text())
    change(metadata)
    path.write_text(json.dumps(metadata))


def with_metadata(site: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """The full store once more, with other metadata."""
    (site / name).mkdir()
    for path in (site / "full").iterdir():
        if path.name != "zarr.json":
            (site / name / path.name).symlink_to(path)
    shutil.copy(site / "full" / "zarr.json", site / name)
    rewrite_metadata(site / name, change)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, filled: Path) -> Path:
    """A folder of published stores."""
    folder = tmp_path_factory.mktemp("site")
    published(folder / "full", filled)
    publish(str(filled), str(folder / "summary"), "summary", Quiet(), min_carriers=MIN_PEOPLE)
    published(folder / "hostile", filled, make_hostile)
    published(folder / "tables", filled, make_tables)
    damage(published(folder / "damaged", filled))
    return folder


@pytest.fixture(scope="module")
def server(site: Path, nginx_installed: None) -> Iterator[WebServer]:
    with nginx(site) as running:
        yield running


@dataclass
class Watched:
    """A tab of the browser, what it says to its console, and whom it asks beside the server."""

    page: "Page"
    said: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def tab(chromium: "Browser", server: WebServer) -> Iterator[Watched]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(10_000)
    watched = Watched(context.new_page())

    def requested(request: "Request") -> None:
        if not request.url.startswith((server.url, "data:", "blob:")):
            watched.strangers.append(request.url)

    def opened(dialog: "Dialog") -> None:
        watched.said.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    watched.page.on("console", lambda message: watched.said.append(f"{message.type}: {message.text}"))
    watched.page.on("pageerror", lambda error: watched.said.append(f"error: {error}"))
    watched.page.on("dialog", opened)
    watched.page.on("request", requested)
    yield watched
    context.close()


@pytest.fixture
def page(tab: Watched, request: pytest.FixtureRequest) -> "Iterator[Page]":
    """A page that must ask nobody else, say nothing to the console, and open no dialog."""
    tab.page.goto("about:blank")
    tab.said.clear()
    tab.strangers.clear()
    yield tab.page
    # Chromium itself tells the console of every 404, and of what cannot be reached.
    expected = "Failed to load resource" if request.node.get_closest_marker("missing_chunks") else "\0"
    assert [line for line in tab.said if expected not in line] == []
    assert tab.strangers == []
    assert tab.page.evaluate("window.harmed") is None


def shown(value: float | None) -> str:
    """A number as the page has it: as `pdstore` prints it, with a minus sign, and a longer dash for none."""
    return UNKNOWN if value is None else words.number(value).replace("-", "−")


def cells(rows: "Locator") -> list[list[str]]:
    return [row.locator("th, td").all_inner_texts() for row in rows.all()]


def expected_drivers(answer: dict[str, Any]) -> list[list[str]]:
    fields = ("allele_frequency", "ism", "eqtl_slope", "eqtl_p", "pearson_r_with_prediction")
    return [
        [
            driver["variant"] + ("main" if driver["main"] else ""),
            f"{driver['distance_to_tss']:+,}".replace("-", "−"),
            *(shown(driver[field]) for field in fields),
            driver["support"],
        ]
        for driver in answer["drivers"]
    ]


def downloaded(page: "Page", button: str) -> list[dict[str, str]]:
    with page.expect_download() as download:
        page.locator(button).click()
    text = Path(download.value.path()).read_text()
    return list(csv.DictReader(io.StringIO(text)))


def assert_same(row: dict[str, str], expected: dict[str, Any]) -> None:
    """A row of a CSV file against values of Python."""
    for name, text in row.items():
        value = expected[name]
        if value is None or (isinstance(value, float) and math.isnan(value)):
            assert text == "", name
        elif isinstance(value, bool):
            assert text == str(value).lower(), name
        elif isinstance(value, int | float):
            assert float(text) == value, name
        else:
            assert text == value, name


def open_genes(page: "Page", server: WebServer, store: str) -> None:
    page.goto(f"{server.url}{store}/")
    page.locator("#genes-body tr").first.wait_for()


def open_gene(page: "Page", server: WebServer, store: str, name: str) -> None:
    page.goto(f"{server.url}{store}/#{name}")
    page.locator("#drivers-heading").wait_for()


def view(page: "Page") -> dict[str, list[float]]:
    found: dict[str, list[float]] = json.loads(page.locator("#volcano-drawing").get_attribute("data-view") or "null")
    return found


@pytest.fixture(scope="module")
def store(filled: Path) -> Store:
    return open_store(filled)


@pytest.fixture(scope="module")
def columns(store: Store) -> Columns:
    return gene_columns(store)


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
    assert page.locator("figure text.rank").count() == 3
    assert all(page.locator("#gene svg[role=img]").nth(i).get_attribute("aria-label") for i in range(3))


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


def test_the_volcano_zooms_and_opens_genes(page: "Page", server: WebServer, columns: Columns) -> None:
    open_genes(page, server, "full")
    whole = view(page)
    drawing = page.locator("#volcano-drawing")
    box = drawing.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 150)
    page.mouse.wheel(0, -300)
    page.wait_for_function("!document.getElementById('zoom-reset').disabled")
    assert np.ptp(view(page)["x"]) < np.ptp(whole["x"])
    page.get_by_role("button", name="Reset").click()
    assert view(page) == whole
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 200, steps=3)
    page.mouse.up()
    by_drag = view(page)
    assert np.ptp(by_drag["x"]) < np.ptp(whole["x"]) / 3
    drawing.focus()
    page.keyboard.press("Shift+ArrowRight")
    assert view(page)["x"][0] > by_drag["x"][0]
    page.keyboard.press("0")
    assert view(page) == whole
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Zoom out").click()
    assert view(page)["x"] == pytest.approx(whole["x"])
    # A gene is where its R and FDR are.
    gene = columns["gene"].tolist().index("GSTM3")
    r, height = columns["pearson_r"][gene], -np.log10(columns["fdr"][gene])
    axis = page.locator("#volcano-overlay .axes .axis").first.get_attribute("d")
    left, top, bottom, right = (
        float(number) for number in axis.replace("M", "").replace("V", " ").replace("H", " ").split()
    )
    share = [(value - low) / (high - low) for value, (low, high) in zip((r, height), whole.values(), strict=True)]
    at = (box["x"] + left + share[0] * (right - left), box["y"] + bottom - share[1] * (bottom - top))
    page.mouse.move(*at)
    assert page.locator("#tooltip").inner_text().startswith(f"GSTM3: R {shown(r)}, FDR ")
    page.mouse.click(*at)
    page.locator("#drivers-heading").wait_for()
    assert page.locator("#gene-heading").inner_text() == "GSTM3"


def test_the_volcano_by_keyboard(page: "Page", server: WebServer) -> None:
    open_genes(page, server, "full")
    page.locator("#volcano-drawing").focus()
    page.keyboard.press("ArrowUp")
    first = page.locator("#volcano-said").inner_text()
    page.keyboard.press("ArrowRight")
    said = page.locator("#volcano-said").inner_text()
    assert said != first
    page.keyboard.press("Enter")
    page.locator("#drivers-heading").wait_for()
    assert page.locator("#gene-heading").inner_text() == said.split(":")[0]


def test_an_fdr_of_zero_lies_at_the_top(page: "Page", server: WebServer, site: Path, filled: Path) -> None:
    def zero(root: zarr.Group) -> None:
        root["statistics/cnn/fdr"][8] = 0.0

    published(site / "zero", filled, zero)
    open_genes(page, server, "zero")
    assert "or 0: at the top (1)" in page.locator("#volcano-legend").inner_text()
    assert all(map(math.isfinite, view(page)["y"]))
    assert page.locator("#genes-body th").first.inner_text() == "UTS2"


def test_the_empirical_fdr_decides_where_it_is_chosen(page: "Page", server: WebServer, store: Store) -> None:
    open_genes(page, server, "full")
    page.get_by_label("FDR", exact=True).select_option("empirical")
    page.get_by_text("have R and empirical FDR").wait_for()
    rows = {row["gene"]: row["status"] for row in downloaded(page, "#download-genes")}
    expected = gene_columns(store, fdr_kind="empirical")
    assert rows == dict(zip(expected["gene"], expected["status"], strict=True))


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


def test_a_phone_scrolls_down_only(chromium: "Browser", server: WebServer) -> None:
    context = chromium.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    phone = context.new_page()
    for address, waits in {
        "full/": "#genes-body tr",
        "full/#LPCAT2": "#drivers",
        "hostile/#ZNF266": "#gene-heading",
    }.items():
        phone.goto(f"{server.url}{address}")
        phone.locator(waits).first.wait_for()
        assert phone.evaluate("document.documentElement.scrollWidth") == 360, address
    context.close()


def test_two_fingers_zoom_and_one_scrolls(chromium: "Browser", server: WebServer) -> None:
    context = chromium.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    phone = context.new_page()
    open_genes(phone, server, "full")
    phone.locator("#volcano-drawing").scroll_into_view_if_needed()
    box, whole, session = phone.locator("#volcano-drawing").bounding_box(), view(phone), context.new_cdp_session(phone)
    assert box is not None
    x, y = box["x"] + 180, box["y"] + 200

    def touch(kind: str, *points: tuple[float, float]) -> None:
        fingers = [{"x": at[0], "y": at[1], "id": finger} for finger, at in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    touch("touchStart", (x, y))
    for moved in range(5, 150, 10):
        touch("touchMove", (x, y - moved))
    touch("touchEnd")
    phone.wait_for_function("scrollY > 0")
    assert view(phone) == whole
    phone.evaluate("scrollTo(0, 0)")
    touch("touchStart", (x - 20, y))
    touch("touchStart", (x - 20, y), (x + 20, y))
    for moved in range(25, 100, 10):
        touch("touchMove", (x - moved, y), (x + moved, y))
    touch("touchEnd")
    phone.wait_for_function("!document.getElementById('zoom-reset').disabled")
    assert np.ptp(view(phone)["x"]) < np.ptp(whole["x"]) / 2
    context.close()


@pytest.mark.missing_chunks
def test_what_is_missing_is_unknown_and_no_number(page: "Page", server: WebServer, store: Store) -> None:
    open_gene(page, server, "damaged", "GSTM3")
    page.locator(".warning").wait_for()
    assert "attributions/cnn/ism" in page.locator(".warning").inner_text()
    rows = cells(page.locator("#drivers tbody tr"))
    assert [(row[3], row[7]) for row in rows] == [(UNKNOWN, "undetermined")] * 2
    assert [row[4] for row in rows] == [row[4] for row in expected_drivers(query_gene(store, "GSTM3"))]
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
