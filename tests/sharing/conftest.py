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
