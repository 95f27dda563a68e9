"""A model of another package: that of docs/add-a-model.md, built, installed, listed and filled with."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pdstore.store import open_store

PAGE = Path(__file__).parents[2] / "docs" / "add-a-model.md"
Program = Callable[..., subprocess.CompletedProcess[str]]
Run = Callable[..., subprocess.CompletedProcess[str]]

BROKEN = """
[project]
name = "pdstore-broken"
version = "0.1"

[project.entry-points."pdstore.models"]
broken = "pdstore_broken:Broken"
odd = "pdstore_odd:Odd"
none = "pdstore_odd:NOTHING"

[tool.setuptools]
py-modules = ["pdstore_broken", "pdstore_odd"]
"""
ODD = """
class Odd:
    name = "odd"

    @classmethod
    def window_of(cls, weights):
        raise TypeError("weights?")

NOTHING = None
"""


def install(package: Path, folder: Path) -> None:
    """What `pip install` does, into a folder of its own: without the network, and with what is there."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(folder), str(package)], check=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's package, and one that cannot be imported."""
    scratch = tmp_path_factory.mktemp("plugins")
    files = re.findall(r"```(?:toml|python)\n# (\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert [name for name, _ in files] == ["pyproject.toml", "pdstore_motif.py"]
    (scratch / "motif").mkdir()
    for name, text in files:
        (scratch / "motif" / name).write_text(text)
    (scratch / "broken").mkdir()
    (scratch / "broken" / "pyproject.toml").write_text(BROKEN)
    (scratch / "broken" / "pdstore_broken.py").write_text("import a_package_that_is_not_there\n")
    (scratch / "broken" / "pdstore_odd.py").write_text(ODD)
    for package in ("motif", "broken"):
        install(scratch / package, scratch / "site")
    return scratch / "site"


@pytest.fixture
def run(installed: Path) -> Run:
    """The program, where the packages are installed."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "COLUMNS": "120"}
    environment.pop("PDSTORE_STORE", None)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", "from pdstore_cli.main import run; run()", *map(str, arguments)]
        return subprocess.run(program, capture_output=True, text=True, env=environment, check=False)

    return run


def test_models_of_other_packages_are_listed_and_the_broken_one_says_why(run: Run, unfilled: Path) -> None:
    listed = run("models", "--format", "json")
    assert listed.returncode == 0, listed.stderr
    models = {model["model"]: model for model in json.loads(listed.stdout)}
    assert models["motif"]["package"] == "pdstore-motif 0.1"
    assert models["motif"]["window"] == "1000bp_tss500_gene_snv"
    assert models["motif"]["licence"] == "mine"
    assert models["enformer"]["problem"] is None
    reason = "ModuleNotFoundError: No module named 'a_package_that_is_not_there'"
    assert models["broken"]["problem"] == (
        f"model 'broken', of pdstore-broken, cannot be imported: {reason}; repair or uninstall it"
    )
    assert "cannot be asked what it is: TypeError: weights?" in models["odd"]["problem"]
    assert "AttributeError" in models["none"]["problem"]
    shown = run("models")
    assert shown.returncode == 0
    assert reason in shown.stdout
    refused = run("fill", "-s", unfilled, "--model", "broken")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert reason in refused.stderr


def test_a_store_is_filled_with_it(run: Run, unfilled: Path, tmp_path: Path) -> None:
    store_path = Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))
    weights = tmp_path / "motif.npy"
    np.save(weights, np.array([[2.0, -1, -1, -1], [-1, -1, 2, -1], [-1, -1, 2, -1]]))
    told = run("models", "motif", "--weights", weights)
    assert told.returncode == 0, told.stderr
    assert "sha256" in told.stdout
    store = open_store(store_path)
    name = store.read("genes/gene_name").tolist()[0]
    of_model = ["-s", store_path, "--model", "motif", "--weights", weights, "--workers", 1, "--genes", name]
    for stages in ([], ["gradient"]):
        filled = run("fill", *stages, *of_model)
        assert filled.returncode == 0, filled.stderr
    tracks = store.read_if_filled("predictions/motif/tracks", 0)
    assert np.isfinite(tracks[0]).all()
    assert store.read("attributions/motif/gradient", 0).any()
    answer = json.loads(run("query", name, "-s", store_path, "--model", "motif", "--format", "json").stdout)
    assert answer["model"] == "motif"
    assert run("validate", "-s", store_path).returncode == 0
    np.save(weights, np.zeros((3, 5)))
    refused = run("fill", "-s", store_path, "--model", "motif", "--weights", weights)
    assert refused.returncode == 2
    assert "shape (3, 5), expected (width, 4)" in refused.stderr
