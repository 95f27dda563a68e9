"""Borzoi: equal to borzoi-pytorch as it comes, its squashing undone, both strands, and what is refused."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from borzoi_files import SMALL, borzoi_weights
from numpy.typing import NDArray

from pdstore.errors import ModelError, UsageError
from pdstore.models import borzoi
from pdstore.models.borzoi import HEADS, Borzoi, BorzoiSizes, package_folder, read_track_table, select
from pdstore.models.protocol import ModelOptions, predict_in_batches
from pdstore.models.registry import ModelReference, model_names
from pdstore.store import open_store

pytest.importorskip(
    "borzoi_pytorch", reason="needs borzoi-pytorch, which has an environment of its own: see the extra borzoi"
)

import pandas as pd
from borzoi_pytorch import AnnotatedBorzoi
from borzoi_pytorch import Borzoi as Network
from borzoi_pytorch.config_borzoi import BorzoiConfig
from borzoi_pytorch.pytorch_borzoi_transformer import Attention, get_positional_embed

from pdstore.models.borzoi_network import build_network, coverage

ALL = ModelOptions(tracks="all", bins="0-23")
SOME = [0, 1, 870, 871, 1300, 5500, 6112, 6113, 6120, 7531]
"""Of CAGE, ATAC, ChIP and RNA: every way in which coverage is squashed."""
CLOSE: dict[str, Any] = {"rtol": 2e-5, "atol": 1e-5}
LENGTH = SMALL.sequence_length


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Of layers as small as these, several threads mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return borzoi_weights(tmp_path_factory.mktemp("borzoi"), 0)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_table(package_folder() / "precomputed" / "targets.txt", index_col=0)


def windows(number: int, seed: int = 0) -> NDArray[np.bool_]:
    found = np.eye(4, dtype=bool)[np.random.default_rng(seed).integers(4, size=(number, LENGTH))]
    found[0, 100:130] = False
    return found


def squashed(network: Any, given: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What the package gives: (batch, positions, 4) → (batch, bins, tracks)."""
    with torch.no_grad():
        outputs = network(torch.from_numpy(given).transpose(1, 2).float())
    return np.asarray(outputs.transpose(1, 2).numpy(), dtype=np.float64)


def unsquashed(outputs: NDArray[np.float64], table: pd.DataFrame) -> NDArray[np.float64]:
    """What undoes the squashing of these tracks, in numpy."""
    clip = table["clip_soft"].to_numpy()
    clipped = outputs / table["scale"].to_numpy()
    unclipped = np.where(clipped > clip, (clipped - clip) ** 2 + clip, clipped)
    return np.asarray(unclipped ** np.where(table["sum_stat"] == "sum_sqrt", 4 / 3, 1))


def test_the_published_sizes_have_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = build_network(BorzoiSizes(enable_mouse_head=True))
    heads = {name: sum(p.numel() for p in getattr(network, f"{name}_head").parameters()) for name in HEADS}
    assert heads == {"human": 14_620_731, "mouse": 2_608 * 1_921}
    assert sum(p.numel() for p in network.parameters()) - sum(heads.values()) == 171_271_968
    assert (
        BorzoiConfig().to_dict().items()
        >= {
            name: getattr(BorzoiSizes(), name) for name in ("dim", "depth", "heads", "attn_dim_key", "bins_to_return")
        }.items()
    )


def test_outputs_equal_the_packages_in_coverage(weights: Path, table: pd.DataFrame) -> None:
    given = windows(2)
    outputs = squashed(Network.from_pretrained(weights).eval(), given)
    clipped = outputs / table["scale"].to_numpy() > table["clip_soft"].to_numpy()
    assert 0 < clipped.mean() < 1
    expected = unsquashed(outputs, table)
    found = Borzoi.load(weights, ALL).predict(given)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, **CLOSE)
    some = Borzoi.load(weights, ModelOptions(tracks=",".join(map(str, SOME)), bins="5,9-12,23"))
    np.testing.assert_allclose(some.predict(given), expected[:, [5, 9, 10, 11, 12, 23]][:, :, SOME], **CLOSE)
    one = Borzoi.load(weights, ModelOptions(tracks="871", bins="7"))
    assert one.predict(given).shape == (2, 1, 1)
    np.testing.assert_allclose(one.predict(given), expected[:, [7]][:, :, [871]], **CLOSE)


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_an_ensemble_is_what_the_package_averages_over_strands(weights: Path, table: pd.DataFrame) -> None:
    network = AnnotatedBorzoi(BorzoiConfig.from_pretrained(weights)).eval()
    network.load_state_dict(safetensors.torch.load_file(weights / "model.safetensors"), strict=False)
    given, bins = windows(1, seed=3), torch.tensor([3, 4, 20])
    with torch.no_grad():
        counts = network.predict_gene_count(
            torch.from_numpy(given).transpose(1, 2).float(), [bins], log1p=False, average_strands=True
        )
    # It gives tracks of the + strand and of both.
    sense = network.sense_tracks.tolist()
    kept = [sense.index(track) for track in SOME if track in sense]
    assert len(kept) == 7
    found = Borzoi.load(weights, ModelOptions(tracks=",".join(map(str, SOME)), bins="3-4,20", ensemble=True))
    sums = found.predict(given).sum(axis=1)
    np.testing.assert_allclose(sums[0, [track in sense for track in SOME]], counts.flatten()[kept], **CLOSE)


def test_an_ensemble_flips_bins_and_swaps_strands(weights: Path, table: pd.DataFrame) -> None:
    network = Network.from_pretrained(weights).eval()
    given = windows(2, seed=4)
    forward, reverse = squashed(network, given), squashed(network, given[:, ::-1, ::-1].copy())
    mate = [table["strand_pair"][track] for track in SOME]
    mean = (forward[:, :, SOME] + reverse[:, ::-1][:, :, mate]) / 2
    ensemble = Borzoi.load(weights, ModelOptions(tracks=",".join(map(str, SOME)), bins="0-23", ensemble=True))
    np.testing.assert_allclose(ensemble.predict(given), unsquashed(mean, table.iloc[SOME]), **CLOSE)
    # Of the reverse complement everything stands on the other strand, from the other end.
    pair = Borzoi.load(weights, ModelOptions(tracks="870-871", bins="0-23", ensemble=True))
    np.testing.assert_allclose(pair.predict(given[:, ::-1, ::-1]), pair.predict(given)[:, ::-1, ::-1], **CLOSE)


def test_the_gradient_is_a_finite_difference(weights: Path, table: pd.DataFrame) -> None:
    tracks, bins = [870, 6113, 6120, 7531], [10, 11, 20]
    mates = table["strand_pair"][tracks].tolist()
    # Without N: of equal neighbours in a pool the maximum has no derivative.
    window = windows(2, seed=5)[1]
    rng, step = np.random.default_rng(1), 1e-6
    of_outputs, direction = rng.normal(size=(3, 4)), rng.normal(size=window.shape)

    network = Network.from_pretrained(weights).eval().double()
    for module in network.modules():
        if isinstance(module, Attention):
            module.positions = get_positional_embed(LENGTH // 128, 4_096, 32, "cpu").double()
    moved = [window + sign * step * direction for sign in (1, -1)]
    moved += [each[::-1, ::-1] for each in moved]
    with torch.no_grad():
        # In float64; the package's own forward takes its last layer to float32.
        hidden = network.get_embs_after_crop(torch.from_numpy(np.stack(moved)).mT)
        head = torch.nn.functional.softplus(network.human_head(network.final_joined_convs(hidden)))
    outputs = head.mT.numpy()
    forward, reverse = outputs[:2][:, bins][:, :, tracks], outputs[2:][:, ::-1][:, bins][:, :, mates]
    for ensemble, mean in ((False, forward), (True, (forward + reverse) / 2)):
        up, down = (unsquashed(mean, table.iloc[tracks]) * of_outputs).sum(axis=(1, 2))
        options = ModelOptions(tracks="870,6113,6120,7531", bins="10-11,20", ensemble=ensemble)
        model = Borzoi.load(weights, options)
        gradient = model.gradient(window, of_outputs)
        assert (gradient * direction).sum() == pytest.approx((up - down) / (2 * step), rel=2e-3)
        # What the first window leaves behind changes no later one.
        model.predict(window[None])
        np.testing.assert_array_equal(model.gradient(window, of_outputs), gradient)


def test_what_was_squashed_for_training_is_undone(table: pd.DataFrame) -> None:
    # As the weights' authors squash it: the sum of a bin to the power of 3/4, square root of the excess, scale.
    tracks = read_track_table(package_folder() / "precomputed" / "targets.txt")
    assert len(tracks) == len(table) == HEADS["human"]
    given = np.random.default_rng(0).gamma(0.3, 2_000, size=(50, len(table)))
    squashing = given ** np.where(table["sum_stat"] == "sum_sqrt", 0.75, 1)
    clip = table["clip_soft"].to_numpy()
    above = squashing > clip
    assert 0.1 < above.mean() < 0.9
    squashing = np.where(above, clip + np.sqrt(np.where(above, squashing - clip, 0)), squashing)
    squashing *= table["scale"].to_numpy()
    columns = [
        torch.tensor([getattr(track, name) for track in tracks], dtype=torch.float64)
        for name in ("scale", "clip", "power")
    ]
    np.testing.assert_allclose(coverage(torch.from_numpy(squashing), *columns), given, rtol=1e-6)


def test_the_defaults_are_cage_of_gm12878_around_the_tss() -> None:
    window = Borzoi.window_of(None)
    assert (window.length, window.tss_offset, window.strand) == (524_288, 262_143, "forward")
    selection = select(BorzoiSizes(), ModelOptions())
    assert selection.bins == list(range(3_052, 3_092))
    name = "CAGE:B lymphoblastoid cell line: GM12878 ENCODE, biol_"
    assert selection.track_names == (f"{name} (+)", f"{name} (-)")
    # The TSS is the last base before the middle of them.
    first = (window.length // 32 - 6_144) // 2 + selection.bins[0]
    assert window.tss_offset + 1 - 32 * first == 32 * len(selection.bins) // 2
    by_name = select(BorzoiSizes(), ModelOptions(tracks="RNA:GM12878"))
    assert by_name.tracks[:10] == list(range(6_112, 6_122))
    assert by_name.track_names[:10] == ("RNA:GM12878 (+)", "RNA:GM12878 (-)") * 4 + ("RNA:GM12878",) * 2


def test_the_same_windows_have_the_same_outputs_in_any_company(weights: Path) -> None:
    model = Borzoi.load(weights, replace(ALL, tracks="870,7531"))
    given = windows(5)
    given[1] = given[2]
    given[1, LENGTH // 2] = np.roll(given[2, LENGTH // 2], 1)
    given[3] = False
    together = predict_in_batches(model, given, given[0])
    assert np.isfinite(together).all(), "N, too"
    assert len(np.unique(together[:, 12, 0])) == len(given)
    for some in ([4, 1, 0], [3]):
        found = predict_in_batches(model, given[some], given[0])
        np.testing.assert_allclose(found, together[some], rtol=1e-5, atol=1e-6)
    with pytest.raises(ModelError, match=r"windows of shape \(1023, 4\), expected \(1024, 4\)"):
        model.predict(given[:, :-1])
    with pytest.raises(ModelError, match=r"windows of shape \(1023, 4\), expected \(1024, 4\)"):
        model.gradient(given[0, :-1], np.ones((24, 2)))


def test_half_precision_is_read_as_float32(weights: Path, tmp_path: Path) -> None:
    network = Network.from_pretrained(weights).eval().half()
    network.save_pretrained(tmp_path / "half")
    given = windows(1)
    options = ModelOptions(tracks="870-871")
    found = Borzoi.load(tmp_path / "half", options).predict(given)
    expected = squashed(network.float(), given)[:, :, 870:872]
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_the_mouse_head_needs_a_table(tmp_path: Path, table: pd.DataFrame) -> None:
    sizes = replace(SMALL, enable_human_head=False, enable_mouse_head=True)
    mouse = borzoi_weights(tmp_path, 1, sizes)
    with pytest.raises(UsageError, match=r"no table of the mouse's tracks.*targets_mouse\.txt with --targets"):
        Borzoi.describe(mouse, ModelOptions(tracks="0"))
    with pytest.raises(UsageError, match="these weights have no head 'human': the heads are mouse"):
        Borzoi.describe(mouse, ModelOptions(head="human"))
    targets = tmp_path / "targets_mouse.txt"
    of_mouse = table.iloc[-2_608:].copy()
    of_mouse["strand_pair"] = range(2_608)
    of_mouse.reset_index(drop=True).to_csv(targets, sep="\t")
    with pytest.raises(UsageError, match=r"which of the 2,608 tracks of the head mouse of Borzoi\? Give --tracks"):
        Borzoi.describe(mouse, ModelOptions(targets=targets))
    given = windows(1)
    found = Borzoi.load(mouse, ModelOptions(targets=targets, tracks="5,2607", bins="0-23")).predict(given)
    with torch.no_grad():
        network = Network.from_pretrained(mouse).eval()
        outputs = network(torch.from_numpy(given).transpose(1, 2).float(), is_human=False)
    expected = unsquashed(outputs.mT.double().numpy()[:, :, [5, 2_607]], of_mouse.iloc[[5, 2_607]])
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_another_table_is_recorded(weights: Path, tmp_path: Path, table: pd.DataFrame) -> None:
    table = table.copy()
    table.loc[870:871, "scale"] = 0.5
    table.to_csv(tmp_path / "targets.txt", sep="\t")
    given = windows(1)
    options = ModelOptions(targets=tmp_path / "targets.txt")
    other, usual = Borzoi.load(weights, options), Borzoi.load(weights)
    np.testing.assert_allclose(other.predict(given), 2 * usual.predict(given), rtol=1e-5)
    assert usual.description.options["scale"] == "coverage"
    assert other.description.options["scale_digest"] != usual.description.options["scale_digest"]


@pytest.fixture
def bad(weights: Path, tmp_path: Path) -> Callable[..., Path]:
    """A folder like the weights', whose config and tensors differ; tensors are of one byte an element."""

    def make(config: dict[str, Any] | str, tensors: dict[str, tuple[int, ...] | None]) -> Path:
        folder = tmp_path / "bad"
        folder.mkdir()
        known = json.loads((weights / "config.json").read_text())
        (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(known | config))
        with torch.device("meta"):
            network = build_network(SMALL)
        shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} | tensors
        state = {name: torch.zeros(shape, dtype=torch.uint8) for name, shape in shapes.items() if shape is not None}
        safetensors.torch.save_file(state, folder / "model.safetensors")
        return folder

    return make


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"human_head.weight": (7611, 1920)}, r"'human_head\.weight' is \(7611, 1920\), but .* has \(7611, 1920, 1\)"),
        ({"separable0.conv_layer.1.bias": None}, r"'separable0\.conv_layer\.1\.bias' is absent, but .* has \(24,\)"),
        ({"mouse_head.bias": (2608,)}, r"'mouse_head\.bias' is \(2608,\), but a Borzoi of these sizes has absent"),
        # The first by name.
        ({"unet1.1.norm.bias": (3,), "res_tower.4.norm.bias": (4,)}, r"'res_tower\.4\.norm\.bias' is \(4,\)"),
    ],
)
def test_the_first_tensor_that_differs_is_named(
    bad: Callable[..., Path], tensors: dict[str, tuple[int, ...] | None], message: str
) -> None:
    folder = bad({}, tensors)
    for ask in (Borzoi.describe, Borzoi.load):
        with pytest.raises(ModelError, match=message) as refused:
            ask(folder)
        assert str(folder) in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"flashed": True}, r"says flashed: a Flashzoi, .* not supported; give a Borzoi's, such as johahi/"),
        ({"model_type": "prime"}, "of a model 'prime', expected 'borzoi'"),
        ({"dim": "24"}, "dim is '24', expected a whole number"),
        ({"heads": 0}, "heads is 0, expected a number above 0"),
        ({"enable_mouse_head": 1}, "enable_mouse_head is 1, expected true or false"),
        ({"enable_human_head": False}, "neither enable_human_head nor enable_mouse_head"),
        ({"bins_to_return": 33}, "33 bins of 32 bp cannot be cut from the middle of a window of 1,024 bp"),
        ({"sequence_length": 1_056}, "cannot be cut from the middle of a window of 1,056 bp in steps of 128"),
        ({"return_center_bins_only": False}, "16,352 bins of 32 bp cannot be cut"),
        ({"dim": 28}, r"tensor 'final_joined_convs\.0\.conv_layer\.weight' is \(1920, 24, 1\), but"),
        ("{", "config.json is not JSON"),
        ("[]", "config.json is not a JSON object"),
    ],
)
def test_configs_of_other_models_are_refused(
    bad: Callable[..., Path], config: dict[str, Any] | str, message: str
) -> None:
    folder = bad(config, {})
    with pytest.raises(ModelError, match=message) as refused:
        Borzoi.describe(folder)
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_weights_that_are_not_there_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="borzoi needs weights: give a folder, or johahi/borzoi-replicate-0"):
        Borzoi.describe(None)
    with pytest.raises(ModelError, match=r"is a file, but a Borzoi's weights are a folder with config\.json"):
        Borzoi.load(weights / "model.safetensors")
    with pytest.raises(ModelError, match="no such file or folder"):
        Borzoi.load(tmp_path / "none" / "of" / "these")
    with pytest.raises(ModelError, match=r"the folder has no config\.json"):
        Borzoi.load(tmp_path)
    shutil.copy(weights / "config.json", tmp_path)
    with pytest.raises(ModelError, match=r"the folder has neither model\.safetensors nor pytorch_model\.bin"):
        Borzoi.describe(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="not a safetensors file"):
        Borzoi.load(tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("strand_pair", 871, "tracks 870 and 871, its strand_pair, must name each other and have the same scale"),
        ("strand_pair", 9_999, "tracks 870 and 871, its strand_pair, must name each other"),
        ("strand_pair", "x", r"line 873: invalid literal for int\(\)"),
        ("scale", 0, r"line 873: scale 0\.0, clip_soft 384\.0 and strand_pair 870: expected two above 0"),
        ("scale", 0.5, "tracks 870 and 871, its strand_pair, .* the same scale"),
        ("sum_stat", "max", "line 873: sum_stat 'max' is none of sum, mean, sum_sqrt"),
        ("scale", None, "no column scale, which Borzoi's table has"),
    ],
)
def test_tables_that_do_not_say_how_coverage_is_scaled_are_refused(
    table: pd.DataFrame, tmp_path: Path, column: str, value: Any, message: str
) -> None:
    table = table.drop(columns=column) if value is None else table.astype({column: object})
    if value is not None:
        table.loc[871, column] = value
    table.to_csv(tmp_path / "targets.txt", sep="\t")
    with pytest.raises(UsageError, match=message) as refused:
        select(SMALL, ModelOptions(targets=tmp_path / "targets.txt"))
    assert str(tmp_path / "targets.txt") in str(refused.value)


def test_tracks_bins_and_options_that_there_are_not_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="track 7611 does not exist: there are 7611"):
        Borzoi.describe(weights, ModelOptions(tracks="7611"))
    with pytest.raises(UsageError, match="bin 24 does not exist: there are 24"):
        Borzoi.describe(weights, ModelOptions(bins="24"))
    with pytest.raises(UsageError, match="these weights have no head 'mouse': the heads are human"):
        Borzoi.describe(weights, ModelOptions(head="mouse"))
    (tmp_path / "targets.txt").write_text("index\tdescription\n0\tCAGE:a\n")
    with pytest.raises(UsageError, match="1 tracks, but the head human of Borzoi has 7,611"):
        Borzoi.describe(weights, ModelOptions(targets=tmp_path / "targets.txt"))


def test_without_the_package_one_line_says_how_to_get_it(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(borzoi, "find_spec", lambda name: None)
    for ask in (Borzoi.describe, Borzoi.load):
        with pytest.raises(ModelError, match=r"of its own, pip install -c constraints\.txt '\.\[borzoi\]'$") as refused:
            ask(weights)
        assert "\n" not in str(refused.value)
    # What needs no network needs no package.
    assert Borzoi.window_of(weights).length == LENGTH
    assert len(Borzoi.digest(weights)) == 64


def test_asking_for_its_window_imports_no_torch() -> None:
    program = (
        "import sys; from pdstore.models.borzoi import Borzoi; Borzoi.window_of(None); "
        "assert not {'torch', 'borzoi_pytorch'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_store_is_filled_with_it(
    weights: Path, unfilled: Path, tmp_path: Path, fill_now: Callable[..., None]
) -> None:
    assert "borzoi" in model_names()
    store = open_store(Path(shutil.copytree(unfilled, tmp_path / "store.zarr")), "r+")
    fill_now(store, ModelReference("borzoi", weights), [0])
    tracks = store.read_if_filled("predictions/borzoi/tracks", 0)
    haplotypes = np.isfinite(tracks).all(axis=(1, 2))
    assert tracks.shape[1:] == (24, 2)
    assert haplotypes.sum() > 1
    assert len(np.unique(tracks[haplotypes].sum(axis=(1, 2)))) == haplotypes.sum()
    assert store.read("predictions/borzoi/track_name").tolist()[0].endswith("(+)")
