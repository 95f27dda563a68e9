"""What a dry run says, against what a fill then does."""

import csv
import dataclasses
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pdstore_cli.output import Format
from pdstore_cli.plan_table import print_plan

import pdstore.plan
import pdstore.stages.attributions
import pdstore.stages.predictions
from pdstore.dry_run import PUBLISHED_GENES, PUBLISHED_PEOPLE, dry_run
from pdstore.fill import STAGES, steps
from pdstore.jobs.cluster import Cluster
from pdstore.models.protocol import predict_in_batches
from pdstore.models.registry import ModelReference
from pdstore.plan import StagePlan, plan_stages, window_sizes
from pdstore.stages.readouts import set_readout
from pdstore.stages.stage import Pending
from pdstore.store import Store, open_store

Program = Callable[..., subprocess.CompletedProcess[str]]
Fill = Callable[..., None]

ROWS = list(range(6))
UNITS = dict.fromkeys(STAGES, "genes") | {"predictions": "haplotypes", "attributions": "variants"}


class Silent:
    """An observer that nothing is told."""

    def waiting(self, what: str) -> None: ...

    def step_begins(self, name: str, unit: str, blocks: int, units: int, done: int) -> None: ...

    def block_done(self, units: int, worked: bool) -> None: ...

    def step_ends(self) -> None: ...


def plans_of(path: Path, model: ModelReference, rows: list[int]) -> dict[str, StagePlan]:
    store = open_store(path)
    plans = plan_stages(store, model, list(STAGES), rows, window_sizes(store, model, rows))
    return {plan.stage: plan for plan in plans}


def fill_counting(
    store: Store, model: ModelReference, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, Pending], dict[str, int]]:
    """Fill; what each stage's first step had to do, and how many windows its model was run for."""
    found: dict[str, Pending] = {}
    run_for = dict.fromkeys(STAGES, 0)
    with monkeypatch.context() as patched:
        for name in ("predictions", "attributions"):

            def counted(model: Any, windows: Any, reference: Any, name: str = name) -> Any:
                run_for[name] += len(windows)
                return predict_in_batches(model, windows, reference)

            patched.setattr(getattr(pdstore.stages, name), "predict_in_batches", counted)
        for name in STAGES:
            for step in steps(model, name):
                step.prepare(store)
                if step.runs_model:
                    set_readout(store, step.group, None)
                pending = step.pending(store, rows)
                found.setdefault(name, pending)
                for block in pending.todo:
                    step.run(store, block)
                step.gather(store)
    return found, run_for


def chunk_bytes(path: Path) -> int:
    """Bytes of an array's chunks, or of all arrays of a group: what is not metadata."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and file.name != "zarr.json")


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything below a folder, hidden or not: when it was written, and its size."""
    stats = {str(path): path.lstat() for path in [folder, *folder.rglob("*")]}
    return {name: (stat.st_mtime_ns, stat.st_size) for name, stat in stats.items()}


@pytest.fixture
def path(unfilled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))


@pytest.fixture(scope="module")
def geuvadis_unfilled(geuvadis: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real cohort, of which nothing is filled: not to be written to."""
    path = Path(shutil.copytree(geuvadis, tmp_path_factory.mktemp("unfilled") / "geuvadis.zarr"))
    for stage in STAGES:
        shutil.rmtree(path / stage)
    return path


# --- Counts -------------------------------------------------------------------------------------------------------


def test_haplotypes_are_those_that_a_fill_makes(unfilled: Path, filled: Path, cnn: ModelReference) -> None:
    rows = list(range(24))
    sizes = window_sizes(open_store(unfilled), cnn, rows)
    made = open_store(filled).read(f"windows/{cnn.window.name}/haplotype_count")
    assert sizes.counted == 24
    np.testing.assert_array_equal(sizes.haplotypes, made)
    np.testing.assert_array_equal(sizes.variants, open_store(filled).read(f"windows/{cnn.window.name}/variant_count"))
    # And where they are known.
    np.testing.assert_array_equal(window_sizes(open_store(filled), cnn, rows[::-1]).haplotypes, made[::-1])


def test_haplotypes_of_real_people_are_those_that_a_fill_makes(
    geuvadis: Path, geuvadis_unfilled: Path, xpresso: ModelReference
) -> None:
    made = open_store(geuvadis).read(f"windows/{xpresso.window.name}/haplotype_count")
    sizes = window_sizes(open_store(geuvadis_unfilled), xpresso, list(range(len(made))))
    np.testing.assert_array_equal(sizes.haplotypes, made)


def assert_as_planned(
    plans: dict[str, StagePlan], done: dict[str, Pending], run_for: dict[str, int], rows: list[int]
) -> None:
    assert list(plans) == list(STAGES)
    for name, pending in done.items():
        plan = plans[name]
        assert (plan.blocks, plan.units, plan.done) == (len(pending.todo), sum(pending.sizes), pending.done), name
        assert plan.unit == UNITS[name]
        assert plan.model_windows == run_for[name], name


def test_blocks_units_and_model_runs_are_those_of_the_fill_of_an_unfilled_store(
    path: Path, cnn: ModelReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = plans_of(path, cnn, ROWS)
    done, run_for = fill_counting(open_store(path, "r+"), cnn, ROWS, monkeypatch)
    assert run_for["predictions"] > len(ROWS) < run_for["attributions"]
    assert_as_planned(plans, done, run_for, ROWS)


def test_blocks_units_and_model_runs_are_those_of_the_fill_of_a_half_filled_store(
    path: Path, cnn: ModelReference, fill_now: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In blocks of eight, so that a gene has several.
    described = dataclasses.replace(cnn.describe(), windows_per_block=8)
    monkeypatch.setattr(ModelReference, "describe", lambda self: described)
    fill_now(open_store(path, "r+"), cnn, ROWS[:3])
    # Of a gene with several blocks one is missing, and not the first.
    blocks = sorted(chunk[:2] for chunk in open_store(path).chunks_written("predictions/cnn/tracks"))
    gene, part = next(block for block in blocks if block[1] > 0)
    shutil.rmtree(path / "predictions" / "cnn" / "tracks" / "c" / str(gene) / str(part))
    plans = plans_of(path, cnn, ROWS)
    assert plans["windows"].blocks == plans["windows"].done == 3
    done, run_for = fill_counting(open_store(path, "r+"), cnn, ROWS, monkeypatch)
    # The share of alleles that are applied is that of the genes that were counted.
    assert run_for["attributions"] == pytest.approx(plans["attributions"].model_windows, rel=0.05)
    run_for["attributions"] = plans["attributions"].model_windows
    assert_as_planned(plans, done, run_for, ROWS)


def test_model_runs_are_the_same_where_the_windows_are_filled(
    filled: Path, unfilled: Path, cnn: ModelReference
) -> None:
    rows = list(range(24))
    from_genotypes = window_sizes(open_store(unfilled), cnn, rows)
    from_windows = window_sizes(open_store(filled), cnn, rows)
    expected, found = (
        plan_stages(open_store(unfilled), cnn, ["attributions"], rows, sizes)[0].model_windows
        for sizes in (from_genotypes, from_windows)
    )
    assert found == pytest.approx(expected, rel=0.02)


def test_of_a_filled_store_nothing_is_to_do(filled: Path, cnn: ModelReference) -> None:
    for plan in plans_of(filled, cnn, list(range(24))).values():
        assert (plan.blocks, plan.units, plan.model_windows, plan.bytes) == (0, 0, 0, 0), plan
        assert plan.done >= 24


# --- Bytes --------------------------------------------------------------------------------------------------------


def assert_bytes_as_planned(plans: dict[str, StagePlan], path: Path, model: ModelReference) -> None:
    windows = chunk_bytes(path / "windows" / model.window.name)
    assert windows / 2 < plans["windows"].bytes < 2 * windows
    # What is derived of tracks, 8 bytes a person and gene in the plan, compresses well where people share haplotypes.
    genes, people = open_store(path).array("expression/observed").shape
    planned = plans["predictions"].bytes - 8 * people * genes
    predictions = path / "predictions" / model.label
    tracks = sum(chunk_bytes(predictions / name) for name in ("tracks", "reference_tracks"))
    assert tracks / 2 < planned < 2 * tracks


def test_bytes_are_about_those_on_disk(unfilled: Path, filled: Path, cnn: ModelReference) -> None:
    assert_bytes_as_planned(plans_of(unfilled, cnn, list(range(24))), filled, cnn)


def test_bytes_of_real_people_are_about_those_on_disk(
    geuvadis: Path, geuvadis_unfilled: Path, xpresso: ModelReference
) -> None:
    genes = open_store(geuvadis).array("genes/gene_tss").shape[0]
    assert_bytes_as_planned(plans_of(geuvadis_unfilled, xpresso, list(range(genes))), geuvadis, xpresso)


# --- Extrapolated -------------------------------------------------------------------------------------------------


def test_the_published_size_has_its_genes_and_haplotypes_in_proportion(filled: Path, cnn: ModelReference) -> None:
    cost = dry_run(str(filled), cnn, Silent())
    assert (cost.people, cost.genes, cost.genes_counted, cost.workers) == (40, 24, 24, 0)
    assert cost.windows_per_second is None
    assert {plan.blocks for plan in cost.stages} == {0}
    published = {plan.stage: plan for plan in cost.published}
    made = open_store(filled).read(f"windows/{cnn.window.name}/haplotype_count").astype(int)
    haplotypes = sum(int(made[gene % 24]) * PUBLISHED_PEOPLE // 40 for gene in range(PUBLISHED_GENES))
    assert published["predictions"].units == haplotypes
    assert published["predictions"].model_windows == haplotypes + PUBLISHED_GENES
    assert haplotypes / PUBLISHED_GENES == pytest.approx(made.mean() * 839 / 40, rel=0.03)
    for stage in ("windows", "eqtl", "statistics"):
        assert published[stage].blocks == published[stage].units == 6_825
    variants = open_store(filled).read(f"windows/{cnn.window.name}/variant_count")
    assert published["attributions"].units == int(np.resize(variants, 6_825).sum())
    assert {plan.done for plan in cost.published} == {0}
    assert all(plan.bytes > 0 for plan in cost.published)


def test_what_is_extrapolated_does_not_depend_on_what_is_filled(
    unfilled: Path, filled: Path, cnn: ModelReference
) -> None:
    stages = ["windows", "eqtl"]
    before, after = (dry_run(str(store), cnn, Silent(), stages).published for store in (unfilled, filled))
    assert before == after


def test_only_asked_genes_and_stages_are_planned(filled: Path, unfilled: Path, cnn: ModelReference) -> None:
    cost = dry_run(str(unfilled), cnn, Silent(), ["eqtl", "windows"], ["GSTM3", "ddx11"])
    assert [(plan.stage, plan.blocks) for plan in cost.stages] == [("windows", 2), ("eqtl", 2)]
    assert cost.genes == 2


# --- Sampled ------------------------------------------------------------------------------------------------------


def test_of_many_genes_some_are_counted_and_the_others_taken_for_their_mean(
    unfilled: Path,
    filled: Path,
    cnn: ModelReference,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(pdstore.plan, "SAMPLED_GENES", 5)
    sizes = window_sizes(open_store(unfilled), cnn, list(range(24)))
    made = open_store(filled).read(f"windows/{cnn.window.name}/haplotype_count")
    assert sizes.counted == 5
    counted = np.unique(np.linspace(0, 23, 5).astype(int))
    np.testing.assert_array_equal(sizes.haplotypes[counted], made[counted])
    others = np.delete(sizes.haplotypes, counted)
    assert set(others.tolist()) == {round(made[counted].mean())}
    assert sizes.haplotypes.sum() == pytest.approx(made.sum(), rel=0.25)
    print_plan(str(unfilled), cnn, ["windows"], [], Cluster(), Format.table)
    assert "(distinct haplotypes counted in 5 of the genes)" in capsys.readouterr().out


def test_genes_whose_windows_are_filled_are_known_beside_those_that_are_sampled(
    path: Path, filled: Path, cnn: ModelReference, fill_now: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_now(open_store(path, "r+"), cnn, [3, 4])
    monkeypatch.setattr(pdstore.plan, "SAMPLED_GENES", 2)
    sizes = window_sizes(open_store(path), cnn, list(range(24)))
    made = open_store(filled).read(f"windows/{cnn.window.name}/haplotype_count")
    assert sizes.counted == 4
    np.testing.assert_array_equal(sizes.haplotypes[[0, 3, 4, 23]], made[[0, 3, 4, 23]])


# --- The program --------------------------------------------------------------------------------------------------


def test_the_program_probes_the_model_and_writes_nothing(
    path: Path, cnn: ModelReference, pdstore: Program, tmp_path: Path
) -> None:
    before = state_of(tmp_path)
    done = pdstore(
        "fill", "-s", path, "--model", "cnn", "--weights", cnn.weights, "--dry-run", "--format", "json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert state_of(tmp_path) == before
    found = json.loads(done.stdout)
    assert (found["people"], found["genes"], found["genes_counted"], found["workers"]) == (40, 24, 24, 1)
    assert found["windows_per_second"] > 0
    plans = plans_of(path, cnn, list(range(24)))
    for said in found["stages"]:
        plan = plans[said["stage"]]
        assert {name: said[name] for name in vars(plan)} == vars(plan)
        seconds = plan.model_windows / found["windows_per_second"] if plan.model_windows else None
        assert said["model_seconds"] == (pytest.approx(seconds) if seconds else None)
    assert [said["stage"] for said in found["published"]] == list(STAGES)
    assert next(said["units"] for said in found["published"] if said["stage"] == "windows") == 6_825


def test_csv_has_a_row_a_stage_of_both_sizes_and_a_filled_store_is_not_written(
    filled: Path, cnn: ModelReference, pdstore: Program, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "store.zarr"))
    before = state_of(tmp_path)
    arguments = ("fill", "-s", path, "--model", "cnn", "--weights", cnn.weights, "--dry-run", "--format")
    done = pdstore(*arguments, "csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["size"], row["stage"]) for row in rows] == [
        (size, stage) for size in ("stages", "published") for stage in STAGES
    ]
    assert {row["blocks"] for row in rows if row["size"] == "stages"} == {"0"}
    cost = dry_run(str(path), cnn, Silent())
    for row, plan in zip(rows, [*cost.stages, *cost.published], strict=True):
        assert {name: row[name] for name in vars(plan)} == {name: str(value) for name, value in vars(plan).items()}
    table = pdstore(*arguments, "table", cwd=tmp_path)
    assert table.returncode == 0, table.stderr
    assert "to do for 24 genes and 40 people (distinct haplotypes counted)" in table.stdout
    assert "6,825 genes like these and 839 people" in table.stdout
    assert state_of(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "there is no stage 'nonsense'"),
        (["--genes", "GSTM33"], "no gene 'GSTM33'"),
        (["--device", "abacus"], "device 'abacus' cannot be used"),
    ],
)
def test_bad_usage_is_one_line(
    unfilled: Path, cnn: ModelReference, pdstore: Program, arguments: list[str], message: str
) -> None:
    before = state_of(unfilled.parent)
    done = pdstore("fill", "-s", unfilled, "--model", "cnn", "--weights", cnn.weights, "--dry-run", *arguments)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if "error" in line]
    assert len(errors) == 1
    assert message in errors[0]
    assert done.stdout == ""
    assert state_of(unfilled.parent) == before
