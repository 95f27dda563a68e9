"""A fill that stops anywhere goes on and ends as if it had never stopped."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

from pdstore.fill import STAGES, steps
from pdstore.models.registry import ModelReference
from pdstore.schema import deviations
from pdstore.stages.statistics import Statistics
from pdstore.stages.windows import Windows
from pdstore.store import open_store

GENES = [0, 1]


class KilledError(Exception):
    """Stands for a kill between two files: nothing catches it."""


def all_arrays(path: Path) -> dict[str, np.ndarray]:
    root = zarr.open_group(str(path), mode="r")
    return {name: node[...] for name, node in root.members(max_depth=None) if isinstance(node, zarr.Array)}


def assert_equal_stores(left: Path, right: Path) -> None:
    expected, found = all_arrays(left), all_arrays(right)
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        assert values.dtype == found[name].dtype
        # Bit for bit: NaN where NaN is, and no tolerance.
        assert (
            values.tobytes() == found[name].tobytes() if values.dtype.kind in "biuf" else (values == found[name]).all()
        ), name


@pytest.fixture(scope="module")
def straight(
    unfilled: Path, cnn: ModelReference, fill_now: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = Path(shutil.copytree(unfilled, tmp_path_factory.mktemp("straight") / "store.zarr"))
    fill_now(open_store(path, "r+"), cnn, GENES)
    return path


def test_a_fill_killed_again_and_again_between_files_goes_on_to_equal_arrays(
    unfilled: Path,
    cnn: ModelReference,
    fill_now: Callable[..., None],
    straight: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_file, files_left = LocalStore.set, 0

    async def counted(self: LocalStore, key: str, value: Buffer, **options: object) -> None:
        nonlocal files_left
        if files_left == 0:
            raise KilledError
        files_left -= 1
        await write_file(self, key, value, **options)

    monkeypatch.setattr(LocalStore, "set", counted)
    # The same store, killed at the first file, then at the second of the next run, and so on until a run gets through.
    path = Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))
    runs = 0
    while True:
        files_left = runs
        runs += 1
        try:
            fill_now(open_store(path, "r+"), cnn, GENES)
            break
        except KilledError:
            assert runs < 200
    assert runs > 12
    assert_equal_stores(straight, path)
    assert deviations(open_store(path).root) == []


def test_leftovers_of_kills_change_nothing(
    unfilled: Path, cnn: ModelReference, fill_now: Callable[..., None], straight: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))
    store = open_store(path, "r+")
    Windows(cnn.window).prepare(store)
    (window,) = store.members("windows")
    # An empty file where the mark of gene 0 would be, and half a chunk beside it.
    chunk = path / "windows" / window / "haplotype_onehot" / "c" / "0" / "0" / "0"
    chunk.mkdir(parents=True)
    (chunk / "0").touch()
    (chunk / "0.77aa.partial").write_bytes(b"half a chunk")
    fill_now(store, cnn, GENES)
    assert_equal_stores(straight, path)


def test_genes_filled_one_after_the_other_equal_genes_filled_together(
    unfilled: Path, cnn: ModelReference, fill_now: Callable[..., None], straight: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))
    for gene in reversed(GENES):
        fill_now(open_store(path, "r+"), cnn, [gene])
    assert_equal_stores(straight, path)


def test_what_is_filled_is_not_computed_again(straight: Path, cnn: ModelReference) -> None:
    store = open_store(straight, "r+")
    for step in [step for name in STAGES for step in steps(cnn, name)]:
        pending = step.pending(store, GENES)
        assert pending.todo == []
        assert pending.done > 0


def test_window_places_that_a_kill_cut_short_are_placed_again(
    straight: Path, cnn: ModelReference, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(straight, tmp_path / "store.zarr"))
    store = open_store(path, "r+")
    # As if the chunk of these genes had not been written: no window of theirs has a place.
    store.write(f"windows/{cnn.window.name}/variant_count", slice(0, 2), -1)
    Windows(cnn.window).prepare(store)
    assert_equal_stores(straight, path)


def test_false_discovery_rates_of_fewer_genes_are_corrected(
    straight: Path, cnn: ModelReference, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(straight, tmp_path / "store.zarr"))
    store = open_store(path, "r+")
    store.write("statistics/cnn/fdr", 0, 0.123)
    Statistics(cnn).gather(store)
    assert_equal_stores(straight, path)
