"""The demo keeps its promise: what it shows comes out of the training."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from pdstore.query import query_gene
from pdstore.schema import deviations
from pdstore.sources.simulate import SIGN_TURNED
from pdstore.store import open_store

Program = Callable[..., subprocess.CompletedProcess[str]]


def test_one_gene_is_predicted_well_and_one_with_the_wrong_sign(demo: tuple[Path, str]) -> None:
    store = open_store(demo[0] / "demo.zarr")
    well, wrong = query_gene(store, "DDX11"), query_gene(store, "GSTM3")
    assert (well["correlation"]["status"], well["support"]["status"]) == ("correlated", "supported")
    assert (wrong["correlation"]["status"], wrong["support"]["status"]) == ("anticorrelated", "unsupported")
    assert well["correlation"]["pearson_r"] > 0.5
    assert wrong["correlation"]["pearson_r"] < -0.4


def test_the_sign_is_wrong_in_the_sign_turned_genes_and_right_in_the_others(demo: tuple[Path, str]) -> None:
    store = open_store(demo[0] / "demo.zarr")
    names = store.read("genes/gene_name").tolist()
    r_of = {name: query_gene(store, name)["correlation"]["pearson_r"] for name in names}
    assert all(r_of[name] < 0 for name in SIGN_TURNED)
    assert sum(r_of[name] > 0.3 for name in names if name not in SIGN_TURNED) >= 17


def test_the_demo_says_that_it_is_simulated_and_shows_both_genes(demo: tuple[Path, str]) -> None:
    assert "simulated" in demo[1]
    assert "DDX11" in demo[1]
    assert "GSTM3" in demo[1]
    assert deviations(open_store(demo[0] / "demo.zarr").root) == []


def test_a_folder_in_the_way_is_refused(pdstore: Program, demo: tuple[Path, str]) -> None:
    again = pdstore("demo", demo[0])
    assert again.returncode == 2
    assert "is there already" in again.stderr
