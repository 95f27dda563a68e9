"""The viewer's volcano in a real browser, by mouse, keyboard and two fingers."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr
from viewer_page import open_genes, shown, view
from viewer_stores import published
from web_server import WebServer

from pdstore.gene_table import Columns

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


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
