"""Tests of sharing import web_server.py by its name, whatever pytest is started with."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).parent))

from quiet import Quiet

from pdstore.import_tables import import_tables
from pdstore.sharing.publish import publish


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
def summary(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The filled store as a published summary, in a folder: not to be written to."""
    path = tmp_path_factory.mktemp("summary") / "summary"
    publish(str(filled), str(path), "summary", Quiet())
    return path


@pytest.fixture(scope="session")
def full(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The filled store published whole, in a folder: not to be written to."""
    path = tmp_path_factory.mktemp("full") / "full"
    publish(str(filled), str(path), "full", Quiet(), individual_level=True)
    return path


@pytest.fixture(scope="session")
def sasse2023(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published tables as a store, published: not to be written to."""
    path = tmp_path_factory.mktemp("sasse2023")
    import_tables(path / "sasse.zarr", "sasse2023", shared_data / "sasse2023")
    publish(str(path / "sasse.zarr"), str(path / "published"), "summary", Quiet())
    return path / "published"
