"""What is cleared is gone, with all that follows from it; what is filled anew is what it was."""

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from builders import listing
from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

from pdstore.analysis.fdr import benjamini_hochberg
from pdstore.clear import clear, plan_clearing
from pdstore.errors import LeaseError, MissingDataError, UnknownGeneError, UsageError
from pdstore.fill import STAGES
from pdstore.gene_table import gene_columns
from pdstore.lease import held_lease
from pdstore.models.registry import ModelReference
from pdstore.query import query_gene
from pdstore.schema import deviations
from pdstore.stages.statistics import FDR_OF
from pdstore.status import store_status
from pdstore.store import open_store

Program = Callable[..., subprocess.CompletedProcess[str]]
Fill = Callable[..., None]

GENES = [0, 1]


class KilledError(Exception):
    """Stands for a kill between two file operations: nothing catches it."""


def contents(path: Path) -> dict[str, tuple[str, bytes]]:
    """Every array's data type and bytes, and what windows counted."""
    found: dict[str, tuple[str, bytes]] = {}
    for name, node in zarr.open_group(str(path), mode="r").members(max_depth=None):
        if name.split("/")[0] not in STAGES:
            continue
        if isinstance(node, zarr.Array):
            values: Any = node[...]
            numbers = values.dtype.kind in "biuf"
            found[name] = (str(values.dtype), values.tobytes() if numbers else json.dumps(values.tolist()).encode())
        elif name.startswith("windows/"):
            found[name] = ("counts", json.dumps(node.attrs["counts"], sort_keys=True).encode())
    return found


def assert_equal_stores(left: Path, right: Path) -> None:
    expected, found = contents(left), contents(right)
    assert expected.keys() == found.keys()
    assert [name for name in expected if expected[name] != found[name]] == []


def leftovers(path: Path) -> list[Path]:
    return list(path.parent.glob(f".{path.name}.removed-*"))


def clear_now(path: Path, label: str | None = None, stages: tuple[str, ...] = (), genes: tuple[str, ...] = ()) -> None:
    clear(str(path), plan_clearing(open_store(path), label, stages, genes))


def name_of(path: Path, gene: int) -> str:
    return str(open_store(path).read("genes/gene_name", gene))


@pytest.fixture(scope="module")
def small(unfilled: Path, cnn: ModelReference, fill_now: Fill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of which two genes are filled: not to be written to."""
    path = Path(shutil.copytree(unfilled, tmp_path_factory.mktemp("small") / "store.zarr"))
    fill_now(open_store(path, "r+"), cnn, GENES)
    return path


@pytest.fixture(scope="module")
def two_sets(
    small: Path, cnn: ModelReference, fill_now: Fill, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ModelReference]:
    """The same with a second set of predictions beside the first, of the same windows: not to be written to."""
    path = Path(shutil.copytree(small, tmp_path_factory.mktemp("two") / "store.zarr"))
    second = replace(cnn, label="second")
    fill_now(open_store(path, "r+"), second, GENES)
    return path, second


@pytest.fixture
def path(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "store.zarr"))


# --- Cleared and filled again -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stages", [(), *((stage,) for stage in STAGES)])
@pytest.mark.parametrize("of_genes", [False, True])
def test_what_is_cleared_and_filled_again_is_the_same_bit_for_bit(
    small: Path, path: Path, cnn: ModelReference, fill_now: Fill, stages: tuple[str, ...], of_genes: bool
) -> None:
    clear_now(path, "cnn", stages, (name_of(path, 1),) if of_genes else ())
    assert contents(path) != contents(small)
    assert leftovers(path) == []
    fill_now(open_store(path, "r+"), cnn, GENES)
    assert_equal_stores(small, path)
    assert deviations(open_store(path).root) == []


def test_the_program_clears_a_gene_and_fills_it_again(
    filled: Path, cnn: ModelReference, pdstore: Program, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "store.zarr"))
    done = pdstore("clear", "windows", "-s", path, "--model", "cnn", "--genes", "GSTM3, ddx11", "--yes")
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert len(said) == len(STAGES)
    assert all(line.startswith("pdstore: to be dropped: 2 genes of ") for line in said)
    status = store_status(open_store(path), [])
    assert {(group["filled"], group["state"]) for group in status["groups"]} == {(22, "partly filled")}
    for gene in status["by_gene"]:
        expected = "missing" if gene["gene"] in ("GSTM3", "DDX11") else "filled"
        assert {of["state"] for of in gene["groups"].values()} == {expected}
    # What a kill would have left of a clear.
    shutil.copytree(path / "windows", tmp_path / ".store.zarr.removed-abc")
    again = pdstore("fill", "-s", path, "--model", "cnn", "--weights", cnn.weights, "--genes", "GSTM3,DDX11")
    assert again.returncode == 0, again.stderr
    assert "windows: 2 blocks computed" in again.stdout
    assert leftovers(path) == []
    assert_equal_stores(filled, path)


# --- What follows -------------------------------------------------------------------------------------------------

FOLLOWS = {
    "windows": {"windows", "predictions", "attributions", "eqtl", "statistics"},
    "predictions": {"predictions", "statistics"},
    "attributions": {"attributions", "statistics"},
    "eqtl": {"eqtl", "statistics"},
    "statistics": {"statistics"},
}


@pytest.mark.parametrize("stage", STAGES)
def test_what_follows_from_a_stage_is_cleared_too(small: Path, cnn: ModelReference, stage: str) -> None:
    named = {f"{of}/{cnn.window.name if of in ('windows', 'eqtl') else 'cnn'}" for of in FOLLOWS[stage]}
    for label in ("cnn", None):
        assert set(plan_clearing(open_store(small), label, (stage,)).groups) == named


def test_several_stages_are_cleared_with_what_follows_from_any(small: Path, cnn: ModelReference) -> None:
    found = plan_clearing(open_store(small), "cnn", ("attributions", "eqtl"))
    assert set(found.groups) == {"attributions/cnn", f"eqtl/{cnn.window.name}", "statistics/cnn"}


def test_what_is_derived_is_dropped_before_what_it_is_derived_from(two_sets: tuple[Path, ModelReference]) -> None:
    order = [group.split("/")[0] for group in plan_clearing(open_store(two_sets[0]), None, ("windows",)).groups]
    rank = ["statistics", "eqtl", "attributions", "predictions", "windows"]
    assert order == sorted(order, key=rank.index)
    assert len(order) == 8


@pytest.mark.parametrize("stages", [(), ("predictions",), ("attributions",), ("statistics",)])
def test_of_two_sets_only_the_named_one_is_cleared(
    two_sets: tuple[Path, ModelReference], fill_now: Fill, tmp_path: Path, stages: tuple[str, ...]
) -> None:
    both, second = two_sets
    path = Path(shutil.copytree(both, tmp_path / "store.zarr"))
    before = contents(path)
    clear_now(path, "second", stages)
    after = contents(path)
    assert after == {name: value for name, value in before.items() if name in after}
    gone = {"/".join(name.split("/")[:2]) for name in before.keys() - after.keys()}
    assert gone == {f"{stage}/second" for stage in (*stages, "statistics")} if stages else len(gone) == 3
    assert {group.split("/")[1] for group in gone} == {"second"}
    fill_now(open_store(path, "r+"), second, GENES)
    assert_equal_stores(both, path)


def test_what_two_sets_share_takes_both_along(two_sets: tuple[Path, ModelReference]) -> None:
    store, window = open_store(two_sets[0]), two_sets[1].window.name
    statistics = {"statistics/cnn", "statistics/second"}
    assert set(plan_clearing(store, "second", ("eqtl",)).groups) == statistics | {f"eqtl/{window}"}
    all_of_it = {f"{stage}/{label}" for stage in ("predictions", "attributions") for label in ("cnn", "second")}
    assert set(plan_clearing(store, "second", ("windows",)).groups) == statistics | all_of_it | {
        f"eqtl/{window}",
        f"windows/{window}",
    }


@pytest.mark.parametrize("stage", ["predictions", "attributions", "statistics"])
def test_where_two_are_filled_it_asks_of_which(two_sets: tuple[Path, ModelReference], stage: str) -> None:
    with pytest.raises(UsageError, match=r"clear of which model. Give --model: the store holds cnn, second"):
        plan_clearing(open_store(two_sets[0]), None, (stage,))


def test_windows_of_other_variants_stay(
    path: Path, small: Path, cnn: ModelReference, fill_now: Fill, tmp_path: Path
) -> None:
    fill_now(open_store(path, "r+"), replace(cnn, variants="all", label="indels"), GENES)
    assert len(open_store(path).members("windows")) == 2
    clear_now(path, "indels", ("windows",))
    assert_equal_stores(small, path)


# --- What is seen meanwhile ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stages", [(), *((stage,) for stage in STAGES)])
def test_a_query_after_a_gene_is_cleared_gives_nulls_and_of_others_what_it_gave(
    small: Path, path: Path, stages: tuple[str, ...]
) -> None:
    gone, stays = (name_of(path, gene) for gene in (1, 0))
    assert query_gene(open_store(small), gone)["correlation"]["pearson_r"] is not None
    clear_now(path, "cnn", stages, (gone,))
    answer = query_gene(open_store(path), gone)
    assert answer["n_samples"] is None
    assert set(answer["correlation"].values()) == {None}
    assert answer["drivers"] is None
    assert set(answer["support"].values()) == {None}
    of_others, before = (query_gene(open_store(of), stays) for of in (path, small))
    # False discovery rates are over the genes that are left.
    columns = gene_columns(open_store(path), "cnn")
    for field, p in FDR_OF.items():
        np.testing.assert_array_equal(columns[field], benjamini_hochberg(columns[p]))
        assert of_others["correlation"].pop(field) == columns[field][0]
        before["correlation"].pop(field)
    assert of_others["correlation"].pop("status") in ("not significant", before["correlation"].pop("status"))
    assert of_others == before


def test_a_query_after_a_model_is_cleared_says_that_nothing_is_filled(path: Path) -> None:
    clear_now(path, "cnn")
    with pytest.raises(MissingDataError, match="holds no predictions yet"):
        query_gene(open_store(path), name_of(path, 0))
    assert {group["group"].split("/")[0] for group in store_status(open_store(path))["groups"]} == {"windows", "eqtl"}


def test_counts_of_windows_are_those_of_the_genes_that_stay(
    unfilled: Path, path: Path, cnn: ModelReference, fill_now: Fill, tmp_path: Path
) -> None:
    alone = Path(shutil.copytree(unfilled, tmp_path / "alone.zarr"))
    fill_now(open_store(alone, "r+"), cnn, [0])
    group = f"windows/{cnn.window.name}"
    before = open_store(path).group(group).attrs["counts"]
    clear_now(path, None, ("windows",), (name_of(path, 1),))
    counts = open_store(path).group(group).attrs["counts"]
    assert counts == open_store(alone).group(group).attrs["counts"] != before
    clear_now(path, None, ("windows",), (name_of(path, 0),))
    assert set(open_store(path).group(group).attrs["counts"].values()) == {0}


def test_a_gene_that_is_not_filled_can_be_cleared_and_filled(
    unfilled: Path, small: Path, path: Path, cnn: ModelReference, fill_now: Fill, tmp_path: Path
) -> None:
    clear_now(path, "cnn", ("windows",), (name_of(path, 5),))
    fill_now(open_store(path, "r+"), cnn, GENES)
    assert_equal_stores(small, path)


# --- Killed -------------------------------------------------------------------------------------------------------


class Disk:
    """Lets so many file operations of this process pass, and stands for a kill at the next."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.operations_left: int | None = None
        for where, name in ((os, "rename"), (shutil, "rmtree")):
            monkeypatch.setattr(where, name, self._counted(getattr(where, name)))
        write = LocalStore.set
        disk = self

        async def counted(self: LocalStore, key: str, value: Buffer, **options: object) -> None:
            disk.count()
            await write(self, key, value, **options)

        monkeypatch.setattr(LocalStore, "set", counted)

    def count(self) -> None:
        if self.operations_left is not None:
            if self.operations_left == 0:
                raise KilledError
            self.operations_left -= 1

    def _counted(self, operation: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **options: object) -> object:
            self.count()
            return operation(*arguments, **options)

        return run

    def killed_at(self, number: int, run: Callable[[], None]) -> bool:
        """Whether `run` was killed at its operation of this number."""
        self.operations_left = number
        try:
            run()
        except KilledError:
            return True
        finally:
            self.operations_left = None
        return False


# What is cleared: of which model, which stages, whether of one gene only; and which operations a kill comes before. The
# many that follow each other alike are not all tried.
CLEARED = {
    "all of a model": ("cnn", (), False, 2),
    "the windows": (None, ("windows",), False, 3),
    "a gene of the statistics": ("cnn", ("statistics",), True, 4),
    "a gene of the windows": (None, ("windows",), True, 7),
}


@pytest.mark.parametrize("what", CLEARED)
@pytest.mark.parametrize("cleared_again", [True, False])
def test_a_clear_killed_between_any_two_operations_ends_in_the_same_arrays(
    small: Path,
    path: Path,
    cnn: ModelReference,
    fill_now: Fill,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    cleared_again: bool,
) -> None:
    label, stages, of_genes, stride = CLEARED[what]
    genes = (name_of(path, 1),) if of_genes else ()
    answer = query_gene(open_store(small), name_of(path, 1))
    disk = Disk(monkeypatch)
    stride *= 4 if cleared_again else 1
    kills, expected, wrong = 0, contents(small), {}
    while disk.killed_at(kills, lambda: clear_now(path, label, stages, genes)):
        # What still claims to be filled is what it was.
        with suppress(MissingDataError):
            seen = query_gene(open_store(path), name_of(path, 1))
            if seen["n_samples"] is not None and seen != answer:
                wrong[kills, "query"] = str(seen)
        if cleared_again:
            # Where nothing is left but what is to be removed, there is nothing to clear.
            with suppress(MissingDataError):
                clear_now(path, label, stages, genes)
                assert leftovers(path) == []
        fill_now(open_store(path, "r+"), cnn, GENES)
        found = contents(path)
        if found != expected:
            wrong[kills, "arrays"] = str([name for name in expected if found.get(name) != expected[name]])
            shutil.rmtree(path)
            shutil.copytree(small, path)
        kills += stride
        assert kills < 200
    assert kills >= 6
    assert wrong == {}


def test_leftovers_of_a_kill_are_removed_by_the_next_clear(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    other = path.with_name(".store.zarr2.removed-abc")
    other.mkdir()
    # Renamed, and not removed yet.
    assert disk.killed_at(1, lambda: clear_now(path, "cnn", ("predictions",)))
    assert len(leftovers(path)) == 1
    clear_now(path, "cnn", ("predictions",))
    assert leftovers(path) == []
    assert other.exists(), "it is of another store"


# --- Refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predicitons", "--model", "cnn", "--yes"], "there is no stage 'predicitons': the stages are windows"),
        (["--model", "enformer", "--yes"], "holds nothing of 'enformer'; it holds cnn"),
        (["--model", "cnn", "--genes", "GSTM33", "--yes"], "no gene 'GSTM33'"),
        (["--model", "cnn", "--genes", "", "--yes"], "--genes names no gene"),
        (["--model", "cnn", "--genes", " , ", "--yes"], "--genes names no gene"),
        (["--yes"], "clear what? Name a model with --model, or stages"),
        (["--genes", "GSTM3", "--yes"], "clear what? Name a model with --model, or stages"),
    ],
)
def test_bad_usage_is_one_line_and_changes_nothing(
    path: Path, pdstore: Program, arguments: list[str], message: str
) -> None:
    before = listing(path.parent)
    done = pdstore("clear", "-s", path, *arguments)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert done.stdout == ""
    assert listing(path.parent) == before


@pytest.mark.parametrize(("label", "stages"), [("cnn", ()), (None, ("windows",)), (None, ("eqtl",))])
def test_where_nothing_is_filled_there_is_nothing_to_clear(
    unfilled: Path, label: str | None, stages: tuple[str, ...]
) -> None:
    with pytest.raises(MissingDataError, match=r"holds nothing of") as caught:
        plan_clearing(open_store(unfilled), label, stages)
    assert caught.value.exit_status == 2
    with pytest.raises(UsageError, match="the store holds no predictions"):
        plan_clearing(open_store(unfilled), None, ("predictions",))


def test_one_gene_that_is_unknown_spares_the_others(small: Path) -> None:
    with pytest.raises(UnknownGeneError, match="no gene 'NONE'"):
        plan_clearing(open_store(small), "cnn", (), (name_of(small, 0), "NONE"))


def test_without_a_terminal_it_wants_yes(path: Path, pdstore: Program) -> None:
    before = listing(path.parent)
    done = pdstore("clear", "-s", path, "--model", "cnn", stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if "error" in line] == [
        "pdstore: error: clear asks before it drops anything; say --yes where nobody can answer"
    ]
    assert done.stdout == ""
    assert listing(path.parent) == before


@pytest.mark.parametrize("answer", ["n", "y"])
def test_at_a_terminal_it_asks(path: Path, answer: str) -> None:
    before = listing(path.parent)
    ours, theirs = pty.openpty()
    program = [sys.executable, "-c", "from pdstore_cli.main import run; run()"]
    os.write(ours, f"{answer}\n".encode())
    done = subprocess.run(
        [*program, "clear", "-s", str(path), "--model", "cnn"],
        stdin=theirs,
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    assert "Drop it?" in done.stderr
    assert "Traceback" not in done.stderr
    if answer == "y":
        assert done.returncode == 0, done.stderr
        assert open_store(path).members("predictions") == []
        assert done.stdout.strip() == "dropped statistics/cnn, attributions/cnn, predictions/cnn"
    else:
        assert done.returncode != 0
        assert listing(path.parent) == before


def test_while_somebody_fills_it_waits_for_nobody_and_changes_nothing(path: Path) -> None:
    with held_lease(str(path), "fill"):
        before = listing(path.parent)
        with pytest.raises(LeaseError, match="is in use by pdstore fill"):
            clear_now(path, "cnn")
        assert listing(path.parent) == before


def test_false_discovery_rates_of_the_others_wait_for_the_next_fill(
    small: Path, path: Path, cnn: ModelReference, fill_now: Fill
) -> None:
    clear_now(path, "cnn", ("statistics",), (name_of(path, 1),))
    fdr = open_store(path).read("statistics/cnn/fdr")
    assert np.isnan(fdr[1])
    fill_now(open_store(path, "r+"), cnn, [0])
    # Of one gene alone, what is corrected is the p-value itself.
    store = open_store(path)
    assert store.read("statistics/cnn/fdr", 0) == store.read("statistics/cnn/null_p", 0)
