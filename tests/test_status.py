"""What `pdstore status` says, against what was done."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pdstore.fill import STAGES, steps
from pdstore.models.registry import ModelReference
from pdstore.sources.variants import DELETION, SNV
from pdstore.status import FILLED, store_status
from pdstore.store import open_store


def group_of(status: dict, parent: str) -> dict:
    (group,) = [group for group in status["groups"] if group["group"].startswith(f"{parent}/")]
    return group


def test_every_stage_of_a_fill_has_its_place() -> None:
    assert tuple(STAGES) == FILLED


def test_a_store_as_init_makes_it_says_what_init_took(unfilled: Path) -> None:
    status = store_status(open_store(unfilled))
    assert status["groups"] == []
    assert (status["people"], status["genes"]) == (40, 24)
    assert status["sources"]["taken"]["people with genotypes and expression"] == 40
    assert status["bytes"] == sum(path.stat().st_size for path in unfilled.rglob("*") if path.is_file())


def test_a_filled_store_is_filled_and_counts_its_alleles(filled: Path) -> None:
    store = open_store(filled)
    status = store_status(store)
    assert [group["group"].split("/")[0] for group in status["groups"]] == list(FILLED)
    assert {group["state"] for group in status["groups"]} == {"filled"}
    assert {group["filled"] for group in status["groups"]} == {24}
    windows = group_of(status, "windows")
    first, count = (store.read(f"{windows['group']}/variant_{name}") for name in ("start", "count"))
    kinds = np.concatenate([store.read("variants/kind", slice(a, a + n)) for a, n in zip(first, count, strict=True)])
    assert windows["counts"]["SNV alleles, applied where carried"] == (kinds == SNV).sum() > 0
    assert windows["counts"]["deletion alleles, skipped"] == (kinds == DELETION).sum() > 0


def test_genes_that_are_missing_are_seen(unfilled: Path, cnn: ModelReference, tmp_path: Path, fill_now) -> None:
    path = Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))
    fill_now(open_store(path, "r+"), cnn, [3, 5])
    status = store_status(open_store(path))
    assert {(group["filled"], group["state"]) for group in status["groups"]} == {(2, "partly filled")}
    shutil.rmtree(path / "predictions" / "cnn" / "expression" / "c")
    status = store_status(open_store(path))
    assert (group_of(status, "predictions")["filled"], group_of(status, "predictions")["state"]) == (0, "empty")


def test_what_no_longer_follows_from_the_rest_is_stale_and_says_why(filled: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "store.zarr"))
    open_store(path, "r+").set_attribute("attributions/cnn", "weights_sha256", "another")
    status = store_status(open_store(path))
    # What comes before is not to blame.
    states = {parent: group_of(status, parent)["state"] for parent in FILLED}
    assert states == dict.fromkeys(FILLED, "filled") | {"attributions": "stale", "statistics": "stale"}
    for parent in ("attributions", "statistics"):
        assert "weights_sha256" in group_of(status, parent)["reason"]
    window = open_store(path).members("windows")[0]
    shutil.rmtree(path / "windows" / window)
    status = store_status(open_store(path))
    assert group_of(status, "eqtl")["state"] == "stale"
    assert group_of(status, "eqtl")["reason"] == f"its windows, {window}, are not in the store"


def test_the_program_prints_it_as_a_table_as_json_and_as_csv(filled: Path, pdstore: Callable) -> None:
    window = open_store(filled).members("windows")[0]
    counts = store_status(open_store(filled))["groups"][0]["counts"]
    table = pdstore("status", "-s", filled)
    assert table.returncode == 0, table.stderr
    assert f"windows/{window}" in table.stdout
    lines = [" ".join(line.split()) for line in table.stdout.splitlines()]
    for what, count in counts.items():
        assert f"{count:,} {what}" in lines
    as_json = json.loads(pdstore("status", "-s", filled, "--format", "json").stdout)
    assert as_json == store_status(open_store(filled))
    rows = list(csv.DictReader(io.StringIO(pdstore("status", "-s", filled, "--format", "csv").stdout)))
    found = {row["what"]: row["value"] for row in rows if row["group"] == f"windows/{window}"}
    assert found["state"] == "filled"
    assert {what: int(found[what]) for what in counts} == counts


def test_a_fill_that_was_not_gathered_is_not_filled(unfilled: Path, cnn: ModelReference, tmp_path: Path) -> None:
    store = open_store(shutil.copytree(unfilled, tmp_path / "store.zarr"), "r+")
    (stage,) = steps(cnn, "windows")
    stage.prepare(store)
    stage.run(store, (0,))
    assert group_of(store_status(store), "windows")["filled"] == 0
    stage.gather(store)
    assert group_of(store_status(store), "windows")["filled"] == 1


def test_a_damaged_group_is_named_beside_the_others(filled: Path, tmp_path: Path, pdstore: Callable) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "store.zarr"))
    (path / "predictions" / "cnn" / "expression" / "zarr.json").write_text("{")
    open_store(path, "r+").set_attribute("eqtl/" + open_store(path).members("eqtl")[0], "counts", ["nonsense"])
    done = pdstore("status", "-s", path)
    assert done.returncode == 0, done.stderr
    assert "predictions/cnn is damaged: " in done.stdout
    assert "the metadata of predictions/cnn/expression are damaged" in done.stdout
    states = {group["group"].split("/")[0]: group["state"] for group in store_status(open_store(path))["groups"]}
    assert states == dict.fromkeys(FILLED, "filled") | {"predictions": "damaged"}


@pytest.mark.parametrize("damage", ["no store", "no store's folder"])
def test_what_is_no_store_ends_in_one_line(tmp_path: Path, pdstore: Callable, damage: str) -> None:
    if damage == "no store":
        (tmp_path / "store.zarr").mkdir()
    done = pdstore("status", "-s", tmp_path / "store.zarr")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
