"""What the viewer's tests do with a page, and what it has to show."""

import csv
import io
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from web_server import WebServer

from pdstore import words

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

UNKNOWN = "\N{EN DASH}"


@dataclass
class Watched:
    """A tab of the browser, what it says to its console, and whom it asks beside the server."""

    page: "Page"
    said: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)


def shown(value: float | None) -> str:
    """A number as the page has it: as `pdstore` prints it, with a minus sign, and a longer dash for none."""
    return UNKNOWN if value is None else words.number(value).replace("-", "−")


def cells(rows: "Locator") -> list[list[str]]:
    return [row.locator("th, td").all_inner_texts() for row in rows.all()]


def expected_drivers(answer: dict[str, Any]) -> list[list[str]]:
    fields = ("allele_frequency", "ism", "eqtl_slope", "eqtl_p", "pearson_r_with_prediction")
    return [
        [
            str(driver["driver_rank"]),
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
