"""Published stores, a web server, and a page in a browser; helpers are imported by name, whatever starts pytest."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page, Request

sys.path.insert(0, str(Path(__file__).parent))

from once import Once
from quiet import Quiet
from viewer_page import Watched
from viewer_stores import MIN_PEOPLE, damage, make_hostile, make_tables, published
from web_server import WebServer, nginx

from pdstore.gene_table import Columns, gene_columns
from pdstore.import_tables import import_tables
from pdstore.sharing.publish import publish
from pdstore.store import Store, open_store


def _need(present: bool, what: str) -> None:
    """Skip where something is not installed; on CI, where it has to be, fail."""
    if not present and os.environ.get("CI") == "true":
        pytest.fail(f"CI needs {what}")
    if not present:
        pytest.skip(f"needs {what}")


@pytest.fixture(scope="session")
def nginx_installed() -> None:
    """Skip without nginx."""
    _need(shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None, "nginx")


@pytest.fixture(scope="session")
def chromium() -> "Iterator[Browser]":
    """A headless Chromium."""
    _need(importlib.util.find_spec("playwright") is not None, "playwright")
    program = shutil.which("chromium")
    _need(program is not None, "chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def summary(filled: Path, once: Once, own_copy: Callable[[Path], Path]) -> Path:
    """The filled store as a published summary, in a folder: not to be written to."""

    def share(folder: Path) -> Path:
        publish(str(filled), str(folder / "summary"), "summary", Quiet())
        return folder / "summary"

    return own_copy(once("summary", share))


@pytest.fixture(scope="session")
def full(filled: Path, once: Once, own_copy: Callable[[Path], Path]) -> Path:
    """The filled store published whole, in a folder: not to be written to."""

    def share(folder: Path) -> Path:
        publish(str(filled), str(folder / "full"), "full", Quiet(), individual_level=True)
        return folder / "full"

    return own_copy(once("full", share))


@pytest.fixture(scope="session")
def sasse2023(shared_data: Path, once: Once) -> Path:
    """The published tables as a store, published: not to be written to."""

    def share(folder: Path) -> Path:
        import_tables(folder / "sasse.zarr", "sasse2023", shared_data / "sasse2023")
        publish(str(folder / "sasse.zarr"), str(folder / "published"), "summary", Quiet())
        return folder / "published"

    return once("sasse2023", share)


@pytest.fixture(scope="session")
def site(filled: Path, once: Once) -> Path:
    """A folder of published stores, to which a test may add others."""

    def share(folder: Path) -> Path:
        published(folder / "full", filled)
        publish(str(filled), str(folder / "summary"), "summary", Quiet(), min_carriers=MIN_PEOPLE)
        published(folder / "hostile", filled, make_hostile)
        published(folder / "tables", filled, make_tables)
        damage(published(folder / "damaged", filled))
        return folder

    return once("site", share)


@pytest.fixture(scope="session")
def server(site: Path, nginx_installed: None) -> Iterator[WebServer]:
    """A web server over that folder."""
    with nginx(site) as running:
        yield running


@pytest.fixture(scope="session")
def tab(chromium: "Browser", server: WebServer) -> Iterator[Watched]:
    """A tab of the browser, watched."""
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


@pytest.fixture(scope="session")
def store(filled: Path) -> Store:
    """The filled store, opened."""
    return open_store(filled)


@pytest.fixture(scope="session")
def columns(store: Store) -> Columns:
    """Its table of genes."""
    return gene_columns(store)
