"""Another readout of a filled store: read out anew from the stored tracks, as if it had been filled with it."""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

from pdstore.errors import InputError, ProvenanceError, UsageError
from pdstore.fill import STAGES, steps
from pdstore.models.enformer_network import random_network, save_network
from pdstore.models.enformer_weights import EnformerSizes
from pdstore.models.protocol import ModelOptions
from pdstore.models.registry import ModelReference
from pdstore.schema import deviations
from pdstore.stages.model_group import derived_from
from pdstore.stages.readouts import Readout, chosen_readout, set_readout, stored_readout
from pdstore.store import Store, open_store

GENES = [0, 1]
TRACKS = ["CAGE:brain, adult,", "CAGE:liver", "DNASE:brain"]
SIZES = EnformerSizes(
    dim=48,
    depth=1,
    heads=2,
    attn_dim_key=8,
    dim_divisible_by=8,
    target_length=8,
    sequence_length=2_048,
    output_heads={"human": len(TRACKS)},
    use_tf_gamma=False,
)
PREDICTIONS, ATTRIBUTIONS, STATISTICS = "predictions/enformer", "attributions/enformer", "statistics/enformer"
STORED = ModelReference("enformer", None)
"""The model, where all that is asked of it is in the store."""


class KilledError(Exception):
    """Stands for a kill between two changes of the disk: nothing catches it."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelReference:
    folder = tmp_path_factory.mktemp("enformer")
    save_network(random_network(SIZES, False, seed=1), SIZES, folder / "weights")
    targets = folder / "targets.txt"
    targets.write_text("index\tdescription\n" + "".join(f"{row}\t{name}\n" for row, name in enumerate(TRACKS)))
    return ModelReference("enformer", folder / "weights", options=ModelOptions(targets=targets, tracks="all"))


def elastic_net(path: Path, *weights: float) -> Path:
    """A file of weights in the published layout."""
    names = [name.replace(",", ";") for name in TRACKS[: len(weights) - 1]]
    rows = zip([*names, "offset"], weights, strict=True)
    path.write_text("tracks,weights\n" + "".join(f"{name},{weight}\n" for name, weight in rows))
    return path


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of an elastic net over all tracks."""
    return elastic_net(tmp_path_factory.mktemp("net") / "weights.csv", 0.5, -2.0, 0.25, 3.0)


def switch(store: Store, readout: str | None, weights: Path | None = None) -> list[bool]:
    """What a fill does with the readout: attributions follow the predictions."""
    chosen = chosen_readout(store, STORED, readout, weights)
    return [set_readout(store, PREDICTIONS, chosen), set_readout(store, ATTRIBUTIONS, chosen)]


def fill_with(path: Path, model: ModelReference, readout: str | None, weights: Path | None = None) -> list[str]:
    """Every stage in this process, with a readout; gives the steps that had something to do."""
    store, computed = open_store(path, "r+"), []
    store.remove_leftovers()
    chosen = chosen_readout(store, model, readout, weights)
    for step in [step for name in STAGES for step in steps(model, name)]:
        step.prepare(store)
        if step.runs_model:
            set_readout(store, step.group, chosen)
        todo = step.pending(store, GENES).todo
        for block in todo:
            step.run(store, block)
        if todo:
            computed.append(step.name)
        step.gather(store)
    return computed


@pytest.fixture(scope="module")
def straight(
    unfilled: Path, model: ModelReference, net: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """A store that was filled with a readout from the start: not to be written to."""
    folder, filled = tmp_path_factory.mktemp("straight"), {}

    def of(readout: str) -> Path:
        if readout not in filled:
            filled[readout] = Path(shutil.copytree(unfilled, folder / f"{readout}.zarr"))
            fill_with(filled[readout], model, readout, net if readout == "elastic_net" else None)
        return filled[readout]

    return of


@pytest.fixture
def path(straight: Callable[[str], Path], tmp_path: Path) -> Path:
    """A store of the test's own, filled with the readout "sum"."""
    return Path(shutil.copytree(straight("sum"), tmp_path / "store.zarr"))


def arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    root = zarr.open_group(str(path), mode="r")
    return {name: node[...] for name, node in root.members(max_depth=None) if isinstance(node, zarr.Array)}


def differing(left: Path, right: Path) -> set[str]:
    """Names of the arrays that are not equal bit for bit, or that one store lacks."""
    found, expected = arrays(left), arrays(right)
    return found.keys() ^ expected.keys() | {
        name
        for name in found.keys() & expected.keys()
        if found[name].dtype != expected[name].dtype
        or not (
            found[name].tobytes() == expected[name].tobytes()
            if found[name].dtype.kind in "biuf"
            else np.array_equal(found[name], expected[name])
        )
    }


def files(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def model_outputs(path: Path) -> dict[str, tuple[int, int]]:
    """Every file that a model's outputs lie in: which file, and when it was written."""
    folders = [path / PREDICTIONS / name for name in ("tracks", "reference_tracks")]
    folders += [path / ATTRIBUTIONS / name for name in ("alternate_tracks", "reference_tracks")]
    found = {str(file): file.stat() for folder in folders for file in folder.rglob("*") if file.is_file()}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


# --- A change of the readout -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("readout", ["sum_log", "log2_sum", "elastic_net"])
def test_a_store_read_out_anew_equals_one_filled_with_the_readout_from_the_start(
    path: Path, straight: Callable[[str], Path], model: ModelReference, net: Path, readout: str
) -> None:
    before = model_outputs(path)
    assert len(before) > 8
    # All that is derived is another.
    derived = {
        f"{PREDICTIONS}/expression",
        f"{ATTRIBUTIONS}/ism",
        f"{STATISTICS}/pearson_r",
        f"{STATISTICS}/gene_values",
    }
    assert derived <= differing(path, straight(readout))
    computed = fill_with(path, model, readout, net if readout == "elastic_net" else None)
    assert computed == ["predictions of people", "effects of variants", "statistics"]
    assert differing(path, straight(readout)) == set()
    assert model_outputs(path) == before
    root = open_store(path)
    for group in (PREDICTIONS, ATTRIBUTIONS, STATISTICS):
        assert root.group(group).attrs["readout"] == readout
        assert root.group(group).attrs.asdict() == open_store(straight(readout)).group(group).attrs.asdict()
    assert deviations(root.root) == []
    # As it is, it stays: with the same readout, and with none.
    assert fill_with(path, model, readout, None) == []
    assert fill_with(path, model, None) == []


def test_a_readout_that_is_taken_back_leaves_no_trace_in_what_is_derived(
    path: Path, straight: Callable[[str], Path], model: ModelReference, net: Path
) -> None:
    fill_with(path, model, "elastic_net", net)
    fill_with(path, model, "sum")
    # The weights stay, for the next time.
    weights = {f"{group}/readout_weight" for group in (PREDICTIONS, ATTRIBUTIONS)}
    assert differing(path, straight("sum")) == weights
    fill_with(path, model, "elastic_net")
    assert differing(path, straight("elastic_net")) == set()


def test_other_weights_of_an_elastic_net_are_another_readout(
    path: Path, straight: Callable[[str], Path], model: ModelReference, net: Path, tmp_path: Path
) -> None:
    fill_with(path, model, "elastic_net", elastic_net(tmp_path / "other.csv", 1, 0, 0, 0))
    assert f"{PREDICTIONS}/expression" in differing(path, straight("elastic_net"))
    assert fill_with(path, model, "elastic_net", net) == ["predictions of people", "effects of variants", "statistics"]
    assert differing(path, straight("elastic_net")) == set()


def test_the_network_is_not_read_to_read_out_anew(
    straight: Callable[[str], Path], path: Path, model: ModelReference, tmp_path: Path
) -> None:
    store = open_store(path, "r+")
    # Its sizes alone are left, which say how long a window is.
    gone = ModelReference("enformer", tmp_path / "gone", options=model.options)
    shutil.copytree(model.weights or "", tmp_path / "gone", ignore=shutil.ignore_patterns("*.safetensors"))
    derive = [step for name in STAGES for step in steps(gone, name) if not step.runs_model]
    assert switch(store, "log2_sum") == [True, True]
    for step in derive:
        if step.name not in ("windows", "eqtl"):
            step.prepare(store)
            assert step.pending(store, GENES).todo == [(0,), (1,)]
            for block in step.pending(store, GENES).todo:
                step.run(store, block)
            step.gather(store)
    assert differing(path, straight("log2_sum")) == set()


def test_the_same_readout_changes_no_file(path: Path, model: ModelReference) -> None:
    before = files(path)
    for readout in ("sum", None):
        assert switch(open_store(path, "r+"), readout) == [False, False]
    assert files(path) == before


def test_statistics_and_what_is_derived_are_gone_before_they_are_derived_anew(path: Path) -> None:
    store = open_store(path, "r+")
    outputs = model_outputs(path)
    assert set_readout(store, PREDICTIONS, Readout("sum_log"))
    assert STATISTICS not in store
    assert store.chunks_written(f"{PREDICTIONS}/expression") == set()
    assert store.chunks_written(f"{ATTRIBUTIONS}/ism")
    assert model_outputs(path) == outputs
    # Attributions follow the predictions, whatever is asked.
    assert set_readout(store, ATTRIBUTIONS, None)
    assert store.chunks_written(f"{ATTRIBUTIONS}/ism") == set()
    assert derived_from(store, "enformer")["readout"] == "sum_log"


def test_tracks_are_read_out_as_the_group_says(path: Path, net: Path) -> None:
    store = open_store(path, "r+")
    tracks = np.array([[[1, 2, 1], [2, 4, 1], [1, 2, 2]], [[1, 1, 1], [1, 1, 1], [2, 2, 2]]], np.float32)
    np.testing.assert_allclose(stored_readout(store, PREDICTIONS).of(tracks), [(4 + 8 + 4) / 3, 4])
    switch(store, "log2_sum")
    np.testing.assert_allclose(stored_readout(store, PREDICTIONS).of(tracks), [(2 + 3 + 2) / 3, 2])
    switch(store, "elastic_net", net)
    expected = [0.5 * 2 - 2 * 3 + 0.25 * 2 + 3, 0.5 * 2 - 2 * 2 + 0.25 * 2 + 3]
    for group in (PREDICTIONS, ATTRIBUTIONS):
        np.testing.assert_allclose(stored_readout(store, group).of(tracks), expected)


# --- Interrupted -----------------------------------------------------------------------------------------------------


@pytest.fixture
def kill_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int | None], int]]:
    """Lets so many more changes of the disk happen, all for None; gives how many happened since the last call."""
    write_file, rename, remove = LocalStore.set, os.rename, shutil.rmtree
    left: int | None = None
    happened = 0

    def count() -> None:
        nonlocal left, happened
        if left == 0:
            raise KilledError
        left = None if left is None else left - 1
        happened += 1

    async def counted_write(self: LocalStore, key: str, value: Buffer, **options: object) -> None:
        count()
        await write_file(self, key, value, **options)

    def counted_rename(*arguments: Path) -> None:
        count()
        rename(*arguments)

    def counted_remove(folder: Path) -> None:
        # Killed in the middle of it, too: one file is gone, the others are not.
        next(file for file in Path(folder).rglob("*") if file.is_file()).unlink()
        count()
        remove(folder)

    monkeypatch.setattr(LocalStore, "set", counted_write)
    monkeypatch.setattr("pdstore.store.os.rename", counted_rename)
    monkeypatch.setattr("pdstore.store.shutil.rmtree", counted_remove)

    def allow(number: int | None) -> int:
        nonlocal left, happened
        left, before, happened = number, happened, 0
        return before

    yield allow
    allow(None)


@pytest.mark.parametrize("readout", ["log2_sum", "elastic_net"])
def test_a_change_killed_between_any_two_changes_of_the_disk_ends_the_same(
    path: Path, net: Path, tmp_path: Path, kill_after: Callable[[int | None], int], readout: str
) -> None:
    weights = net if readout == "elastic_net" else None
    whole = Path(shutil.copytree(path, tmp_path / "whole.zarr"))
    kill_after(None)
    assert switch(open_store(whole, "r+"), readout, weights) == [True, True]
    number = kill_after(None)
    # Statistics, expression and ism are renamed and removed, two attributes written; of an elastic net weights, too.
    assert number >= (12 if weights else 8)
    expected = files(whole)
    assert expected != files(path)
    broken = {}
    for killed_after in range(number):
        copy = Path(shutil.copytree(path, tmp_path / "killed.zarr"))
        kill_after(killed_after)
        with pytest.raises(KilledError):
            switch(open_store(copy, "r+"), readout, weights)
        kill_after(None)
        try:
            store = open_store(copy, "r+")
            store.remove_leftovers()
            switch(store, readout, weights)
            if files(copy) != expected:
                broken[killed_after] = "other files"
        except Exception as error:  # noqa: BLE001 - all of them are shown together
            broken[killed_after] = f"{type(error).__name__}: {error}"
        assert not list(tmp_path.glob(".killed.zarr.*"))
        shutil.rmtree(copy)
    assert broken == {}


def test_a_change_that_is_killed_and_not_asked_for_again_leaves_one_readout(
    path: Path,
    straight: Callable[[str], Path],
    model: ModelReference,
    tmp_path: Path,
    kill_after: Callable[[int | None], int],
) -> None:
    whole = [straight("sum"), straight("log2_sum")]
    ended: list[int] = []
    seen: list[dict[str, bytes]] = []
    for killed_after in itertools.count():
        copy = Path(shutil.copytree(path, tmp_path / "killed.zarr"))
        kill_after(killed_after)
        try:
            switch(open_store(copy, "r+"), "log2_sum")
        except KilledError:
            kill_after(None)
        else:
            break
        store = open_store(copy, "r+")
        store.remove_leftovers()
        switch(store, None)
        if files(copy) not in seen:
            seen.append(files(copy))
            fill_with(copy, model, None)
            ended.append([differing(copy, filled) for filled in whole].index(set()))
        shutil.rmtree(copy)
    # The old one until the attribute of the predictions is written, the new one from then on.
    assert ended == sorted(ended)
    assert set(ended) == {0, 1}


def test_weights_that_were_being_changed_are_not_taken_for_the_old_ones(path: Path, net: Path, tmp_path: Path) -> None:
    store = open_store(path, "r+")
    switch(store, "elastic_net", net)
    # As if killed between the weights and the attribute that says whose they are.
    store.write(f"{PREDICTIONS}/readout_weight", 0, 7.0)
    with pytest.raises(ProvenanceError, match="were being changed when a fill was stopped"):
        stored_readout(store, PREDICTIONS)
    other = elastic_net(tmp_path / "other.csv", 7.0, -2.0, 0.25, 3.0)
    assert switch(store, "elastic_net", other) == [True, True]
    assert stored_readout(store, PREDICTIONS).weights is not None


# --- Refused ---------------------------------------------------------------------------------------------------------


def test_an_elastic_net_needs_weights(path: Path) -> None:
    before = files(path)
    with pytest.raises(UsageError, match=r"readout elastic_net needs weights: give them with --readout-weights"):
        chosen_readout(open_store(path, "r+"), STORED, "elastic_net", None)
    assert files(path) == before


def test_an_elastic_net_needs_all_tracks_in_their_order(path: Path, tmp_path: Path) -> None:
    before = files(path)
    for weights, words in (
        (elastic_net(tmp_path / "two.csv", 1, 2, 3), "2 tracks and an intercept, but the store holds 3 tracks"),
        (tmp_path / "absent.csv", "no such file"),
    ):
        with pytest.raises(InputError, match=words):
            chosen_readout(open_store(path, "r+"), STORED, "elastic_net", weights)
    other_order = tmp_path / "order.csv"
    other_order.write_text("tracks,weights\nCAGE:liver,1\nCAGE:brain; adult;,1\nDNASE:brain,1\noffset,0\n")
    with pytest.raises(InputError, match=r"line 2: track 'CAGE:liver', but track 0 of the store is"):
        chosen_readout(open_store(path, "r+"), STORED, "elastic_net", other_order)
    assert files(path) == before


def test_an_elastic_net_of_some_tracks_is_refused(
    unfilled: Path, model: ModelReference, net: Path, tmp_path: Path
) -> None:
    options = ModelOptions(targets=model.options.targets, tracks="0,2")
    some = ModelReference("enformer", model.weights, options=options)
    path = Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))
    with pytest.raises(InputError, match=r"3 tracks and an intercept, but the store holds 2 tracks.*the same --tracks"):
        fill_with(path, some, "elastic_net", net)


def test_readouts_that_do_not_exist_and_weights_of_others_are_refused(path: Path, net: Path) -> None:
    store = open_store(path)
    assert chosen_readout(store, STORED, None, None) is None
    with pytest.raises(UsageError, match=r"no readout 'mean': choose one of sum, sum_log, log2_sum, elastic_net"):
        chosen_readout(store, STORED, "mean", None)
    for readout in (None, "sum"):
        with pytest.raises(UsageError, match=r"--readout-weights are those of --readout elastic_net"):
            chosen_readout(store, STORED, readout, net)
