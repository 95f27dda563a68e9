"""What `pdstore status` says, against what was done."""

import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pdstore.fill import STAGES, steps
from pdstore.lease import held_lease
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
    for array, state in (("expression", "partly filled"), ("tracks", "empty")):
        shutil.rmtree(path / "predictions" / "cnn" / array / "c")
        group = group_of(store_status(open_store(path)), "predictions")
        assert (group["filled"], group["state"]) == (0, state)


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


# --- Gene by gene, and who writes ---------------------------------------------------------------------------------


def states_of(path: Path, gene: str) -> dict[str, tuple[str, int | None, int | None]]:
    """Parent of each group → state, blocks and blocks done of a gene."""
    (found,) = store_status(open_store(path), [gene])["by_gene"]
    assert found["gene"] == gene
    return {
        group.split("/")[0]: (of["state"], of["blocks"], of["blocks_done"]) for group, of in found["groups"].items()
    }


def test_genes_are_shown_only_where_they_are_asked_for(filled: Path) -> None:
    store = open_store(filled)
    assert "by_gene" not in store_status(store)
    everything = store_status(store, [])
    assert [gene["gene"] for gene in everything["by_gene"]] == store.read("genes/gene_name").tolist()
    assert [gene["id"] for gene in everything["by_gene"]] == store.read("genes/gene_id").tolist()
    assert {of["state"] for gene in everything["by_gene"] for of in gene["groups"].values()} == {"filled"}
    # In the order in which they were asked for.
    assert [gene["gene"] for gene in store_status(store, ["irf5", "GSTM3"])["by_gene"]] == ["IRF5", "GSTM3"]


def test_blocks_of_a_gene_are_those_of_its_haplotypes_and_variants(filled: Path) -> None:
    store = open_store(filled)
    window = store.members("windows")[0]
    haplotypes, variants = (store.read(f"windows/{window}/{of}_count").tolist() for of in ("haplotype", "variant"))
    for row, name in enumerate(store.read("genes/gene_name").tolist()):
        states = states_of(filled, name)
        for parent, rows in (("predictions", haplotypes[row]), ("attributions", variants[row])):
            blocks = max(1, -(-rows // 64))
            assert states[parent] == ("filled", blocks, blocks)
        assert {states[parent] for parent in ("windows", "eqtl", "statistics")} == {("filled", None, None)}


@pytest.fixture
def in_small_blocks(
    unfilled: Path, cnn: ModelReference, tmp_path: Path, fill_now: Callable, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A store of which genes 3 and 4 are filled, in blocks of eight haplotypes or variants."""
    path = Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))
    described = replace(cnn.describe(), windows_per_block=8)
    monkeypatch.setattr(ModelReference, "describe", lambda self: described)
    fill_now(open_store(path, "r+"), cnn, [3, 4])
    return path


def test_a_partly_filled_gene_counts_its_blocks(in_small_blocks: Path) -> None:
    path = in_small_blocks
    name, other = (str(open_store(path).read("genes/gene_name", gene)) for gene in (3, 4))
    window = open_store(path).members("windows")[0]
    blocks = -(-int(open_store(path).read(f"windows/{window}/haplotype_count", 3)) // 8)
    assert blocks > 1
    assert states_of(path, name)["predictions"] == ("filled", blocks, blocks)
    # As a kill leaves it, before its last block.
    shutil.rmtree(path / "predictions" / "cnn" / "tracks" / "c" / "3" / str(blocks - 1))
    shutil.rmtree(path / "predictions" / "cnn" / "expression" / "c" / "3")
    assert states_of(path, name)["predictions"] == ("partly filled", blocks, blocks - 1)
    assert states_of(path, name)["attributions"][0] == "filled"
    assert states_of(path, other)["predictions"][0] == "filled"
    assert group_of(store_status(open_store(path)), "predictions")["filled"] == 1
    shutil.rmtree(path / "predictions" / "cnn" / "tracks" / "c" / "3")
    assert states_of(path, name)["predictions"] == ("missing", blocks, 0)


def test_a_gene_that_is_not_filled_is_missing(
    unfilled: Path, cnn: ModelReference, tmp_path: Path, fill_now: Callable
) -> None:
    path = Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))
    assert store_status(open_store(path), ["GSTM3"])["by_gene"][0]["groups"] == {}
    names = open_store(path).read("genes/gene_name").tolist()
    fill_now(open_store(path, "r+"), cnn, [3])
    assert {state for state, *_ in states_of(path, names[3]).values()} == {"filled"}
    states = states_of(path, names[4])
    assert {state for state, *_ in states.values()} == {"missing"}
    # How many haplotypes it has is not known before its windows are filled; its variants are.
    assert states["predictions"] == ("missing", None, None)
    assert states["attributions"][2] == 0


def test_genes_of_stale_groups_are_stale_where_they_are_filled(
    unfilled: Path, cnn: ModelReference, tmp_path: Path, fill_now: Callable
) -> None:
    path = Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))
    fill_now(open_store(path, "r+"), cnn, [3])
    names = open_store(path).read("genes/gene_name").tolist()
    open_store(path, "r+").set_attribute("attributions/cnn", "weights_sha256", "another")
    states = {parent: state for parent, (state, *_) in states_of(path, names[3]).items()}
    assert states == dict.fromkeys(FILLED, "filled") | {"attributions": "stale", "statistics": "stale"}
    assert {state for state, *_ in states_of(path, names[4]).values()} == {"missing"}


@pytest.mark.parametrize("damaged", ["predictions/cnn/expression/zarr.json", "predictions/cnn/tracks/zarr.json"])
def test_genes_of_a_damaged_group_are_damaged_and_of_the_others_what_they_are(
    filled: Path, tmp_path: Path, damaged: str
) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "store.zarr"))
    (path / damaged).write_text("{")
    states = {parent: state for parent, (state, *_) in states_of(path, "GSTM3").items()}
    assert states == dict.fromkeys(FILLED, "filled") | {"predictions": "damaged"}


@pytest.mark.parametrize("damaged", ["zarr.json", "c/0"])
def test_where_windows_are_damaged_genes_of_the_other_groups_are_still_shown(
    filled: Path, tmp_path: Path, damaged: str
) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "store.zarr"))
    (window,) = open_store(path).members("windows")
    (path / "windows" / window / "haplotype_count" / damaged).write_text("{")
    assert group_of(store_status(open_store(path)), "windows")["state"] == "damaged"
    states = {parent: state for parent, (state, *_) in states_of(path, "GSTM3").items()}
    assert states == dict.fromkeys(FILLED, "filled") | {"windows": "damaged"}


def test_the_program_prints_genes_in_every_format(in_small_blocks: Path, pdstore: Callable) -> None:
    path, gene, other = in_small_blocks, 3, 4
    store = open_store(path)
    names, ids = (store.read(f"genes/gene_{what}").tolist() for what in ("name", "id"))
    blocks = states_of(path, names[gene])["predictions"][1]
    assert blocks is not None
    shutil.rmtree(path / "predictions" / "cnn" / "tracks" / "c" / str(gene) / "0")
    shutil.rmtree(path / "predictions" / "cnn" / "expression" / "c" / str(gene))
    genes = f"{names[gene]}, {ids[other]}"
    table = pdstore("status", "-s", path, "--genes", genes)
    assert table.returncode == 0, table.stderr
    rows = {line.split()[0]: " ".join(line.split()) for line in table.stdout.splitlines() if line.strip()}
    partly = f"partly filled, {blocks - 1} of {blocks} blocks"
    assert rows[names[gene]].split(" ", 1)[1] == f"filled {partly} filled filled filled"
    assert rows[names[other]].split(" ", 1)[1] == " ".join(["filled"] * 5)
    assert not (set(names) - {names[gene], names[other]}) & rows.keys()
    as_json = json.loads(pdstore("status", "-s", path, "--genes", genes, "--format", "json").stdout)
    assert as_json == store_status(store, [names[gene], names[other]])
    done = pdstore("status", "-s", path, "--by-gene", "--format", "csv")
    found = {(row["group"], row["what"]): row["value"] for row in csv.DictReader(io.StringIO(done.stdout))}
    of_genes = {key: state for key, state in found.items() if key[1].startswith("state of ")}
    assert len(of_genes) == 24 * 5
    begun = ("predictions/cnn", f"state of {ids[gene]}")
    assert [key for key, state in of_genes.items() if state == "partly filled"] == [begun]
    assert sum(state == "filled" for state in of_genes.values()) == 2 * 5 - 1
    assert sum(state == "missing" for state in of_genes.values()) == 22 * 5


def test_a_gene_that_is_not_there_is_one_line(filled: Path, pdstore: Callable) -> None:
    done = pdstore("status", "-s", filled, "--genes", "GSTM3,GSTM33")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "no gene 'GSTM33'" in done.stderr


def test_the_writer_is_who_holds_the_store(filled: Path, tmp_path: Path, pdstore: Callable) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "store.zarr"))
    assert store_status(open_store(path))["writer"] is None
    with held_lease(str(path), "clear"):
        status = store_status(open_store(path))
        assert status["writer"].startswith(f"pdstore clear of process {os.getpid()} on ")
        shown = pdstore("status", "-s", path)
        assert f"in use by: {status['writer']}" in shown.stdout.splitlines()
    assert store_status(open_store(path))["writer"] is None
    assert "in use by" not in pdstore("status", "-s", path).stdout
