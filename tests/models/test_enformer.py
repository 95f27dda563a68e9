"""Enformer: equal to enformer-pytorch as it comes, whichever way its weights come in, and what is refused."""

import itertools
import json
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from enformer_pytorch import Enformer as Network
from enformer_pytorch.config_enformer import EnformerConfig
from numpy.typing import NDArray

from pdstore.errors import ModelError, UsageError
from pdstore.haplotypes.onehot import one_hot
from pdstore.haplotypes.window import WindowSpec
from pdstore.models.enformer import Enformer, shift_window
from pdstore.models.enformer_network import random_network, save_network
from pdstore.models.enformer_weights import EnformerSizes, read_sizes
from pdstore.models.protocol import ModelOptions, predict_in_batches
from pdstore.models.registry import ModelReference

SMALL = EnformerSizes(
    dim=96,
    depth=2,
    heads=4,
    attn_dim_key=16,
    dim_divisible_by=8,
    target_length=8,
    sequence_length=2_048,
    output_heads={"human": 6, "mouse": 3},
    use_tf_gamma=False,
)
# The smallest of the published window and bins whose other sizes can be seen in shapes: channels are in steps of 128,
# positions in 6 parts.
PUBLISHED_WINDOW = EnformerSizes(dim=384, depth=1, heads=2, attn_dim_key=8, output_heads={"human": 4, "mouse": 2})
# The precomputed positions of TensorFlow are 1,536 rows of 192 features: dim / heads.
TF_GAMMA = replace(PUBLISHED_WINDOW, dim=192, heads=1, dim_divisible_by=32)
OPTIONS = ModelOptions(tracks="all")
CLOSE: dict[str, Any] = {"rtol": 2e-5, "atol": 1e-6}


def random_windows(number: int, length: int, seed: int = 0) -> NDArray[np.bool_]:
    return one_hot(np.random.default_rng(seed).choice(np.frombuffer(b"ACGT", np.uint8), (number, length)))


def stock(state_dict: Path, sizes: EnformerSizes, use_tf_gamma: bool = False) -> Any:
    """What torch.save wrote of a state dict, loaded as enformer-pytorch's users do."""
    config = {name: value for name, value in asdict(sizes).items() if name not in ("sequence_length", "use_tf_gamma")}
    network = Network(EnformerConfig(**config, use_tf_gamma=use_tf_gamma))
    network.load_state_dict(torch.load(state_dict, weights_only=True))
    return network.eval()


def stock_outputs(network: Any, windows: NDArray[np.bool_], head: str = "human") -> NDArray[np.float32]:
    """All bins and tracks of a head, (batch, bins, tracks)."""
    with torch.no_grad():
        outputs: NDArray[np.float32] = network(torch.from_numpy(windows.astype(np.float32)), head=head).numpy()
    return outputs


@pytest.fixture(scope="module")
def network() -> Any:
    return random_network(SMALL, False, seed=1)


@pytest.fixture(scope="module")
def state_dict(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "state.pt"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def expected(state_dict: Path) -> Any:
    """The stock network of the small weights."""
    return stock(state_dict, SMALL)


@pytest.fixture(scope="module")
def shared_folder(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small weights as a folder: not to be written to."""
    folder = tmp_path_factory.mktemp("weights") / "enformer"
    save_network(network, SMALL, folder)
    return folder


@pytest.fixture
def folder(network: Any, tmp_path: Path) -> Path:
    """The small weights as a folder of the test's own."""
    save_network(network, SMALL, tmp_path / "enformer")
    return tmp_path / "enformer"


@pytest.fixture(scope="module")
def model(shared_folder: Path) -> Enformer:
    return Enformer.load(shared_folder, OPTIONS)


# --- Outputs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "bins", "tracks", "chosen_bins", "chosen_tracks"),
    [
        ("human", None, "all", [3, 4, 5], [0, 1, 2, 3, 4, 5]),
        ("human", "0,6-7", "1,4-5", [0, 6, 7], [1, 4, 5]),
        ("human", "7", "5", [7], [5]),
        ("mouse", "0-7", "2", [0, 1, 2, 3, 4, 5, 6, 7], [2]),
        ("mouse", None, "all", [3, 4, 5], [0, 1, 2]),
    ],
)
def test_outputs_are_those_of_enformer_pytorch_at_the_chosen_bins_and_tracks(
    shared_folder: Path,
    expected: Any,
    head: str,
    bins: str | None,
    tracks: str,
    chosen_bins: list[int],
    chosen_tracks: list[int],
) -> None:
    model = Enformer.load(shared_folder, ModelOptions(head=head, bins=bins, tracks=tracks))
    windows = random_windows(3, SMALL.sequence_length)
    windows[1, 500:700] = False
    predicted = model.predict(windows)
    of_head = stock_outputs(expected, windows, head)
    assert of_head.shape == (3, SMALL.target_length, SMALL.output_heads[head])
    assert predicted.dtype == np.float32
    assert predicted.shape == (3, len(chosen_bins), len(chosen_tracks))
    np.testing.assert_allclose(predicted, of_head[:, chosen_bins][:, :, chosen_tracks], **CLOSE)
    assert model.description.bins == len(chosen_bins)
    assert model.description.track_names == tuple(f"{head}:{track}" for track in chosen_tracks)


def test_random_network_has_outputs_that_differ_between_windows_bins_and_tracks(model: Enformer) -> None:
    outputs = model.predict(random_windows(8, SMALL.sequence_length))
    assert np.isfinite(outputs).all()
    assert (outputs > 0).all()
    # The tests that compare outputs compare something: differences far above their tolerance along every axis.
    for axis in range(3):
        assert (outputs.std(axis=axis) / outputs.mean(axis=axis) > 1e-2).mean() > 0.9


def test_random_network_has_batch_norms_that_do_something(network: Any, expected: Any) -> None:
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    # Stem; two of each of the tower's layers; the final pointwise.
    assert len(norms) == 1 + 2 * (SMALL.num_downsamples - 1) + 1
    for norm in norms:
        for values, trivial in ((norm.running_mean, 0), (norm.running_var, 1), (norm.weight, 1), (norm.bias, 0)):
            assert ((values - trivial).abs() > 1e-3).float().mean() > 0.9
    windows = random_windows(1, SMALL.sequence_length)
    statistics = {name: buffer.clone() for name, buffer in expected.named_buffers()}
    with_statistics = stock_outputs(expected, windows)
    for norm in (module for module in expected.modules() if isinstance(module, torch.nn.BatchNorm1d)):
        norm.reset_running_stats()
    without = stock_outputs(expected, windows)
    for name, buffer in expected.named_buffers():
        buffer.copy_(statistics[name])
    assert abs(without / with_statistics - 1).max() > 0.1


def test_random_network_is_its_seed_and_leaves_the_global_random_state(network: Any) -> None:
    before = torch.random.get_rng_state()
    again, other = (random_network(SMALL, False, seed).state_dict() for seed in (1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    state = network.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in state.items())
    assert not torch.equal(state["stem.0.weight"], other["stem.0.weight"])


def test_attention_carries_a_distant_base_to_the_bins(network: Any, model: Enformer) -> None:
    # Row r of the transformer sees 128 r - 259 to 128 r + 386, and bins 3 to 5 are rows 7 to 9: base 5 is seen by
    # rows 0 to 2 alone.
    window = random_windows(1, SMALL.sequence_length)
    changed = window.copy()
    changed[0, 5] = np.roll(changed[0, 5], 1)
    effect = model.predict(changed) - model.predict(window)
    assert (effect != 0).mean() > 0.9
    assert abs(effect).max() > 1e-3
    silent = random_network(SMALL, False, seed=1)
    for name, parameter in silent.named_parameters():
        if ".to_out." in name:
            parameter.zero_()
    np.testing.assert_array_equal(
        stock_outputs(silent, changed)[:, 3:6], stock_outputs(silent, window)[:, 3:6], strict=True
    )


def test_prediction_takes_read_only_and_reversed_views(model: Enformer) -> None:
    windows = random_windows(2, SMALL.sequence_length)
    windows.flags.writeable = False
    reverse = windows[:, ::-1, ::-1]
    np.testing.assert_array_equal(model.predict(reverse), model.predict(reverse.copy()))
    assert not np.array_equal(model.predict(reverse), model.predict(windows))


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_window_predicts_the_same_in_any_company(shared_folder: Path, expected: Any, batch_size: int) -> None:
    model = Enformer.load(shared_folder, replace(OPTIONS, batch_size=batch_size, engine="plain"))
    assert model.batch_size == batch_size
    windows = random_windows(10, SMALL.sequence_length)
    together = predict_in_batches(model, windows, windows[0])
    # Bit for bit in its place of a batch: among others, and as the last window, behind which a batch is filled up.
    others = random_windows(10, SMALL.sequence_length, seed=1)
    others[::2] = windows[::2]
    np.testing.assert_array_equal(predict_in_batches(model, others, windows[0])[::2], together[::2], strict=True)
    for number in (1, 5, 8):
        np.testing.assert_array_equal(
            predict_in_batches(model, windows[:number], windows[0]), together[:number], strict=True
        )
    # In another place the last bits may differ.
    order = np.random.default_rng(0).permutation(10)
    np.testing.assert_allclose(predict_in_batches(model, windows[order], windows[0]), together[order], **CLOSE)
    np.testing.assert_allclose(together, stock_outputs(expected, windows)[:, 3:6], **CLOSE)


def test_windows_in_the_network_at_once_are_as_many_as_fit(model: Enformer, shared_folder: Path) -> None:
    assert model.batch_size == 8
    assert Enformer.load(shared_folder, replace(OPTIONS, batch_size=2)).batch_size == 2


def test_ensemble_is_the_mean_over_seven_shifts_and_both_strands(shared_folder: Path, expected: Any) -> None:
    bins, target_length = [1, 4, 5], SMALL.target_length
    model = Enformer.load(shared_folder, ModelOptions(tracks="1,3", bins="1,4-5", ensemble=True))
    letters = "".join(np.random.default_rng(5).choice(list("ACGTN"), SMALL.sequence_length, p=[0.24] * 4 + [0.04]))
    rows = {"A": [1, 0, 0, 0], "C": [0, 1, 0, 0], "G": [0, 0, 1, 0], "T": [0, 0, 0, 1], "N": [0, 0, 0, 0]}

    def encoded(text: str) -> NDArray[np.bool_]:
        return np.array([[rows[letter] for letter in text]], dtype=bool)

    members = []
    for shift in (-3, -2, -1, 0, 1, 2, 3):
        shifted = "N" * shift + letters[: len(letters) - shift] if shift >= 0 else letters[-shift:] + "N" * -shift
        assert len(shifted) == len(letters)
        other_strand = shifted[::-1].translate(str.maketrans("ACGT", "TGCA"))
        members.append(stock_outputs(expected, encoded(shifted))[0][bins][:, [1, 3]])
        flipped = [target_length - 1 - bin_ for bin_ in bins]
        members.append(stock_outputs(expected, encoded(other_strand))[0][flipped][:, [1, 3]])
    predicted = model.predict(encoded(letters))
    np.testing.assert_allclose(predicted[0], np.mean(members, axis=0, dtype=np.float64), **CLOSE)
    alone = Enformer.load(shared_folder, ModelOptions(tracks="1,3", bins="1,4-5"))
    # Members differ by far more than the tolerance.
    assert abs(predicted / alone.predict(encoded(letters)) - 1).max() > 1e-3
    assert np.std(members, axis=0).min() > 1e-3 * np.mean(members)
    assert model.description.options["ensemble"] != alone.description.options["ensemble"] == "none"
    assert ModelReference("enformer", shared_folder, options=ModelOptions(ensemble=True)).label == "enformer-ensemble"


@pytest.mark.parametrize(("shift", "moved"), [(0, "ACGTA"), (2, "NNACG"), (-2, "GTANN"), (4, "NNNNA"), (-4, "ANNNN")])
def test_a_shifted_window_has_n_where_it_is_left(shift: int, moved: str) -> None:
    window, wanted = (one_hot(np.frombuffer(text.encode(), np.uint8))[None] for text in ("ACGTA", moved))
    np.testing.assert_array_equal(shift_window(window, shift), wanted)


# --- Window and description ------------------------------------------------------------------------------------------


def test_window_has_the_tss_as_the_last_base_of_its_first_half(shared_folder: Path) -> None:
    assert Enformer.window_of(None) == WindowSpec(length=196_608, tss_offset=98_303, strand="forward")
    assert Enformer.window_of(shared_folder) == WindowSpec(length=2_048, tss_offset=1_023, strand="forward")


@pytest.mark.parametrize(
    "options",
    [
        OPTIONS,
        ModelOptions(tracks="0,2-3", bins="0-2,7", batch_size=3),
        ModelOptions(tracks="0", head="mouse", precision="bf16", ensemble=True, use_tf_gamma=False),
    ],
)
def test_description_before_loading_is_that_of_the_loaded_model(shared_folder: Path, options: ModelOptions) -> None:
    described = Enformer.describe(shared_folder, options)
    assert described == Enformer.load(shared_folder, options).description
    reference = ModelReference("enformer", shared_folder, options=options)
    assert reference.describe() == described
    assert reference.load().description == described
    assert reference.window == described.window == Enformer.window_of(shared_folder)


def test_description_records_what_changes_outputs(shared_folder: Path) -> None:
    given = ModelOptions(tracks="3,0-1", bins="7,0", head="human", precision="bf16", batch_size=2)
    described = Enformer.describe(shared_folder, given)
    assert described.readout == "sum"
    assert described.options == {
        "head": "human",
        "tracks": "0-1,3",
        "bins": "0,7",
        "bins_of_output": 8,
        "use_tf_gamma": False,
        "precision": "bf16",
        "ensemble": "none",
    }
    every = [
        replace(OPTIONS, **other)
        for other in (
            {},
            {"head": "mouse"},
            {"tracks": "1"},
            {"bins": "0"},
            {"precision": "bf16"},
            {"ensemble": True},
        )
    ]
    recorded = [json.dumps(dict(Enformer.describe(shared_folder, options).options)) for options in every]
    assert len(set(recorded)) == len(every)


def test_targets_name_the_tracks_and_find_them(shared_folder: Path, tmp_path: Path) -> None:
    names = ["DNASE:liver", "CAGE:brain, adult,", "CAGE:Brain, fetal", "CHIP:x", "CAGE:liver", "RNA"]
    targets = tmp_path / "targets.txt"
    targets.write_text("index\tdescription\n" + "".join(f"{row}\t{name}\n" for row, name in enumerate(names)))
    described = Enformer.describe(shared_folder, ModelOptions(targets=targets, tracks="cage:brain*"))
    assert described.track_names == ("CAGE:brain, adult,", "CAGE:Brain, fetal")
    assert described.options["tracks"] == "1-2"
    with pytest.raises(UsageError, match=r"6 tracks, but the head mouse of these weights has 3"):
        Enformer.describe(shared_folder, ModelOptions(targets=targets, tracks="all", head="mouse"))


def write_sparse_safetensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> int:
    """A safetensors file that is all header and hole; gives the size of the hole."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return end


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def bytes_read() -> int:
    return int(dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())["rchar"])


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_published_sizes_are_read_from_shapes_and_no_tensor_is(tmp_path: Path) -> None:
    with torch.device("meta"):
        published = Network(EnformerConfig()).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in published.items() if not name.startswith("_trunk.")}
    weights = tmp_path / "published.safetensors"
    size = write_sparse_safetensors(weights, shapes)
    assert size > 900e6
    before = resident_bytes()
    described = Enformer.describe(weights, ModelOptions(use_tf_gamma=True))
    assert resident_bytes() - before < size / 3
    assert read_sizes(weights) == EnformerSizes()
    # Sasse et al. 2023: the three central bins of "CAGE:brain, adult,".
    assert described.track_names == ("human:4980",)
    assert (described.options["tracks"], described.options["bins"]) == ("4980", "447-449")
    assert described.options["use_tf_gamma"] is True
    assert described.window == Enformer.window_of(None)


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="needs /proc")
def test_description_reads_no_tensor_of_what_torch_save_wrote(network: Any, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    weights = folder / "pytorch_model.bin"
    torch.save(network.state_dict(), weights)
    Enformer.describe(folder, OPTIONS)
    before = bytes_read()
    Enformer.describe(folder, OPTIONS)
    assert bytes_read() - before < weights.stat().st_size / 2
    before = bytes_read()
    weights.read_bytes()
    # The measure sees what is read.
    assert bytes_read() - before >= weights.stat().st_size


# --- Ways in ---------------------------------------------------------------------------------------------------------


def as_bin(folder: Path, state: dict[str, torch.Tensor]) -> Path:
    """Replace a folder's model.safetensors by pytorch_model.bin."""
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    return folder


def test_pytorch_model_bin_with_every_tensor_twice_is_the_same_model(
    network: Any, folder: Path, model: Enformer
) -> None:
    state = network.state_dict()
    assert sum(name.startswith("_trunk.") for name in state) > 100
    loaded = Enformer.load(as_bin(folder, state), OPTIONS)
    windows = random_windows(2, SMALL.sequence_length)
    np.testing.assert_array_equal(loaded.predict(windows), model.predict(windows), strict=True)
    assert loaded.description == model.description


def test_where_the_two_names_of_a_tensor_differ_the_one_that_enformer_pytorch_takes_wins(
    network: Any, folder: Path, model: Enformer, tmp_path: Path
) -> None:
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for name in (
        "stem.0.bias",
        "conv_tower.0.0.2.bias",
        "transformer.1.0.fn.1.to_out.bias",
        "final_pointwise.1.2.bias",
    ):
        state[name] += 1
    _trunk_1 = state["_trunk.1.0.bias"]
    _trunk_1 += 0.5
    torch.save(state, tmp_path / "differing.pt")
    windows = random_windows(2, SMALL.sequence_length)
    predicted = Enformer.load(as_bin(folder, state), OPTIONS).predict(windows)
    np.testing.assert_allclose(
        predicted, stock_outputs(stock(tmp_path / "differing.pt", SMALL), windows)[:, 3:6], **CLOSE
    )
    assert abs(predicted / model.predict(windows) - 1).max() > 1e-3


def test_weights_in_other_precisions_are_the_model_that_enformer_pytorch_loads(
    network: Any, folder: Path, tmp_path: Path
) -> None:
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in network.state_dict().items()
    }
    torch.save(state, tmp_path / "half.pt")
    windows = random_windows(2, SMALL.sequence_length)
    predicted = Enformer.load(as_bin(folder, state), OPTIONS).predict(windows)
    np.testing.assert_allclose(predicted, stock_outputs(stock(tmp_path / "half.pt", SMALL), windows)[:, 3:6], **CLOSE)


def test_weights_without_the_counters_of_batch_norms_are_the_same_model(
    network: Any, folder: Path, model: Enformer
) -> None:
    state = network.state_dict()
    kept = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    assert len(kept) < len(state)
    loaded = Enformer.load(as_bin(folder, kept), OPTIONS)
    windows = random_windows(2, SMALL.sequence_length)
    np.testing.assert_array_equal(loaded.predict(windows), model.predict(windows), strict=True)


def test_a_state_dict_alone_is_the_same_model_as_a_folder(tmp_path: Path) -> None:
    network = random_network(PUBLISHED_WINDOW, False, seed=2)
    folder, pickled, safe = tmp_path / "folder", tmp_path / "alone.bin", tmp_path / "alone.safetensors"
    save_network(network, PUBLISHED_WINDOW, folder)
    torch.save(network.state_dict(), pickled)
    safe.write_bytes((folder / "model.safetensors").read_bytes())
    options = ModelOptions(tracks="1,3", use_tf_gamma=False)
    models = [Enformer.load(weights, options) for weights in (folder, safe, pickled)]
    for weights, model in zip((folder, safe, pickled), models, strict=True):
        assert read_sizes(weights) == PUBLISHED_WINDOW
        assert model.description == models[0].description
        assert model.weights_digest == Enformer.digest(weights)
        assert (model.batch_size, model.description.options["bins"]) == (1, "447-449")
        state = model.network.state_dict()
        assert state.keys() == network.state_dict().keys()
        for name, tensor in network.state_dict().items():
            assert torch.equal(state[name], tensor), name
    assert models[0].weights_digest == models[1].weights_digest != models[2].weights_digest
    # The published window takes long: a shorter one, of 4 bins, goes through all layers too.
    short = torch.from_numpy(random_windows(1, 1_024).astype(np.float32))
    with torch.no_grad():
        wanted = stock(pickled, PUBLISHED_WINDOW)(short, head="human", target_length=4)
        for model in models:
            assert torch.equal(model.network(short, head="human", target_length=4), wanted)


FROM_THE_HUB = """
import json, sys
from pathlib import Path
import numpy as np
from pdstore.errors import ModelError
from pdstore.models.enformer import Enformer
from pdstore.models.protocol import ModelOptions

windows = np.load(sys.argv[1])
model = Enformer.load(Path("lab/small"), ModelOptions(tracks="all"))
found = {"outputs": model.predict(windows).tolist(), "digest": model.weights_digest, "refused": {}}
official = Enformer.describe(Path("EleutherAI/enformer-official-rough"), ModelOptions(tracks="all"))
found["official"] = official.options["use_tf_gamma"]
for name in ("lab/absent", "lab/no-weights", "absent"):
    try:
        Enformer.describe(Path(name), ModelOptions(tracks="all"))
    except ModelError as error:
        found["refused"][name] = str(error)
print(json.dumps(found))
"""


def add_to_hub_cache(cache: Path, name: str, files: dict[str, bytes]) -> None:
    """Files of a model as huggingface_hub keeps what it downloaded."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    model = cache / f"models--{name.replace('/', '--')}"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(commit)
    (model / "snapshots" / commit).mkdir(parents=True)
    for file, content in files.items():
        (model / "snapshots" / commit / file).write_bytes(content)


def test_a_name_on_the_hub_is_found_in_the_local_cache(shared_folder: Path, model: Enformer, tmp_path: Path) -> None:
    cache = tmp_path / "home" / "hub"
    files = {path.name: path.read_bytes() for path in shared_folder.iterdir()}
    add_to_hub_cache(cache, "lab/small", files)
    add_to_hub_cache(cache, "lab/no-weights", {"config.json": files["config.json"]})
    save_network(random_network(TF_GAMMA, True, seed=3), TF_GAMMA, tmp_path / "tf")
    add_to_hub_cache(
        cache,
        "EleutherAI/enformer-official-rough",
        {path.name: path.read_bytes() for path in (tmp_path / "tf").iterdir()},
    )
    assert "use_tf_gamma" not in json.loads((tmp_path / "tf" / "config.json").read_text())
    windows = random_windows(8, SMALL.sequence_length)
    np.save(tmp_path / "windows.npy", windows)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    environment.pop("HF_HUB_CACHE", None)
    run = subprocess.run(
        [sys.executable, "-c", FROM_THE_HUB, str(tmp_path / "windows.npy")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    # Another process may sum with another number of threads.
    np.testing.assert_allclose(np.array(found["outputs"], np.float32), model.predict(windows), **CLOSE)
    assert found["digest"] == model.weights_digest == Enformer.digest(shared_folder)
    # The official weights, by their name alone, are known to be TensorFlow's.
    assert found["official"] is True
    refused = found["refused"]
    assert refused.keys() == {"lab/absent", "lab/no-weights", "absent"}
    for name, message in refused.items():
        assert "\n" not in message
        # Of what was found, the folder in the cache is named.
        assert name in message or name.replace("/", "--") in message
    assert "neither model.safetensors nor pytorch_model.bin" in refused["lab/no-weights"]
    assert "no such file or folder, and the hub does not give a model of this name" in refused["lab/absent"]
    assert "hub" not in refused["absent"]


# --- Positions of TensorFlow -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gamma_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights whose positions may be TensorFlow's: their config does not say."""
    folder = tmp_path_factory.mktemp("gamma") / "enformer"
    network = random_network(TF_GAMMA, True, seed=3)
    for name, parameter in network.named_parameters():
        if ".to_rel_k." in name:
            # Positions decide where attention looks.
            parameter.mul_(10)
    save_network(network, TF_GAMMA, folder)
    torch.save(network.state_dict(), folder / "state.pt")
    return folder


def set_config(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))


def test_positions_of_tensorflow_are_asked_for_where_nothing_says_so(gamma_folder: Path) -> None:
    for ask in (Enformer.describe, Enformer.load):
        with pytest.raises(UsageError, match=r"give --use-tf-gamma if .* or --no-use-tf-gamma if ") as error:
            ask(gamma_folder, OPTIONS)
        assert "\n" not in str(error.value)


def test_positions_of_tensorflow_change_outputs_as_in_enformer_pytorch(gamma_folder: Path) -> None:
    models = {use: Enformer.load(gamma_folder, replace(OPTIONS, use_tf_gamma=use)) for use in (True, False)}
    window = random_windows(1, TF_GAMMA.sequence_length)
    predicted = {use: model.predict(window) for use, model in models.items()}
    assert {use: model.description.options["use_tf_gamma"] for use, model in models.items()} == {
        True: True,
        False: False,
    }
    wanted = stock_outputs(stock(gamma_folder / "state.pt", TF_GAMMA, use_tf_gamma=True), window)[:, 447:450]
    np.testing.assert_allclose(predicted[True], wanted, **CLOSE)
    assert abs(predicted[False] / predicted[True] - 1).max() > 1e-3


@pytest.mark.parametrize("use", [True, False])
def test_positions_of_tensorflow_are_read_from_the_config_and_the_option_wins(tmp_path: Path, use: bool) -> None:
    sizes = replace(TF_GAMMA, use_tf_gamma=use)
    save_network(random_network(sizes, use, seed=3), sizes, tmp_path / "enformer")
    assert read_sizes(tmp_path / "enformer").use_tf_gamma is use
    assert Enformer.describe(tmp_path / "enformer", OPTIONS).options["use_tf_gamma"] is use
    other = Enformer.describe(tmp_path / "enformer", replace(OPTIONS, use_tf_gamma=not use))
    assert other.options["use_tf_gamma"] is not use


def test_positions_of_tensorflow_are_refused_for_other_windows(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"windows of 1,536 bins .* 192 features, but these weights have 16 and 24"):
        Enformer.describe(folder, replace(OPTIONS, use_tf_gamma=True))
    set_config(folder, use_tf_gamma=True)
    with pytest.raises(UsageError, match=r"windows of 1,536 bins .* 192 features, but these weights have 16 and 24"):
        Enformer.load(folder, OPTIONS)


def test_positions_of_tensorflow_are_refused_where_attention_has_not_their_features(tmp_path: Path) -> None:
    # 96 / 2 = 48 features, where the precomputed positions have 192.
    sizes = replace(TF_GAMMA, dim=96, heads=2, dim_divisible_by=8)
    save_network(random_network(sizes, False, seed=3), sizes, tmp_path / "enformer")
    with pytest.raises((UsageError, ModelError), match="192"):
        Enformer.describe(tmp_path / "enformer", replace(OPTIONS, use_tf_gamma=True))


# --- Precision -------------------------------------------------------------------------------------------------------


def test_tf32_is_refused_on_a_cpu(shared_folder: Path) -> None:
    for ask in (Enformer.describe, Enformer.load):
        with pytest.raises(UsageError, match=r"--precision tf32 is arithmetic of NVIDIA GPUs: the device is cpu"):
            ask(shared_folder, replace(OPTIONS, precision="tf32"), "cpu")


def test_bf16_on_a_cpu_is_near_float32_and_leaves_the_weights_alone(shared_folder: Path, model: Enformer) -> None:
    windows = random_windows(4, SMALL.sequence_length)
    rough = Enformer.load(shared_folder, replace(OPTIONS, precision="bf16"))
    exact, rounded = model.predict(windows), rough.predict(windows)
    assert rounded.dtype == np.float32
    # 8 bits of mantissa: an error, and one of some percent.
    assert 1e-3 < np.median(abs(rounded / exact - 1)) < 0.1
    assert np.corrcoef(np.log(rounded).ravel(), np.log(exact).ravel())[0, 1] > 0.99
    assert rough.description.options["precision"] == "bf16"
    assert model.description.options["precision"] == "float32"
    assert {tensor.dtype for tensor in rough.network.parameters()} == {torch.float32}
    np.testing.assert_array_equal(model.predict(windows), exact)


# --- Refused ---------------------------------------------------------------------------------------------------------


def refused(weights: Path | None, *words: str, options: ModelOptions = OPTIONS) -> None:
    """Both ways to open weights refuse them in one line, which names them."""
    for ask in (Enformer.describe, Enformer.load):
        with pytest.raises(ModelError) as error:
            ask(weights, options)
        message = str(error.value)
        assert "\n" not in message
        for word in (str(weights) if weights else "weights", *words):
            assert word in message


def test_no_weights_are_refused() -> None:
    refused(None, "--weights", "EleutherAI/enformer-official-rough")
    with pytest.raises(ModelError, match="--weights"):
        Enformer.digest(None)


def test_what_is_not_there_is_refused(tmp_path: Path, folder: Path) -> None:
    refused(tmp_path / "absent", "no such file or folder")
    refused(tmp_path / "absent" / "model.safetensors", "no such file or folder")
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(empty, "config.json")
    (folder / "model.safetensors").unlink()
    refused(folder, "neither model.safetensors nor pytorch_model.bin")
    with pytest.raises(ModelError, match="neither model"):
        Enformer.digest(folder)


def test_a_folder_without_config_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    refused(folder, "no config.json")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'"enformer"', "not a JSON object"),
        (b'{"model_type": "borzoi", "dim": 96}', "'borzoi'"),
        (b'{"model_type": ["enformer"]}', "enformer"),
    ],
)
def test_a_config_that_is_not_an_enformers_is_refused(folder: Path, content: bytes, word: str) -> None:
    (folder / "config.json").write_bytes(content)
    refused(folder, "config.json", word)
    with pytest.raises(ModelError, match=r"config\.json"):
        Enformer.window_of(folder)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dim": 0}, ["dim is 0"]),
        ({"dim": "96"}, ["dim is '96'"]),
        ({"depth": 2.0}, ["depth is 2.0"]),
        ({"heads": None}, ["heads is None"]),
        ({"heads": True}, ["heads is True"]),
        ({"num_downsamples": -7}, ["num_downsamples is -7"]),
        ({"num_downsamples": 2}, ["sizes"]),
        ({"output_heads": {}}, ["output_heads is {}"]),
        ({"output_heads": {"human": 0}}, ["output_heads"]),
        ({"output_heads": ["human"]}, ["output_heads"]),
        ({"output_heads": {"hu.man": 6}}, ["hu.man"]),
        ({"use_tf_gamma": "no"}, ["use_tf_gamma is 'no'"]),
        ({"sequence_length": 2_049}, ["2049", "128 bp"]),
        ({"sequence_length": 512}, ["512", "8 bins of 128 bp"]),
        ({"target_length": 7}, ["7 bins", "middle of 16"]),
        ({"target_length": 18}, ["18 bins"]),
        ({"dim": 192}, ["tensor", "sizes"]),
        ({"depth": 3}, ["transformer.2", "absent"]),
        ({"depth": 1}, ["transformer.1", "absent"]),
        ({"heads": 2}, ["tensor"]),
        ({"output_heads": {"human": 6}}, ["_heads.mouse.0.bias", "absent"]),
        ({"output_heads": {"human": 5, "mouse": 3}}, ["_heads.human.0.bias", "(6,)", "(5,)"]),
    ],
)
def test_sizes_that_are_not_the_weights_are_refused(folder: Path, fields: dict[str, object], words: list[str]) -> None:
    set_config(folder, **fields)
    refused(folder, *words)


def test_sizes_whose_positions_do_not_divide_are_refused_before_anything_is_predicted(tmp_path: Path) -> None:
    # 96 / 3 = 32 features of a position, which enformer-pytorch can only compute in sixths.
    save_network(random_network(SMALL, False, seed=1), SMALL, tmp_path / "enformer")
    set_config(tmp_path / "enformer", heads=3)
    refused(tmp_path / "enformer", "heads is 3")


@pytest.mark.parametrize("content", [b"", b"no weights at all\n" * 100, bytes(1000), b"PK\x03\x04" + bytes(100)])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("alone", [True, False])
def test_other_files_are_refused(folder: Path, content: bytes, name: str, alone: bool) -> None:
    (folder / "model.safetensors").unlink()
    weights = folder / name
    weights.write_bytes(content)
    refused(weights if alone else folder, "not a")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_truncated_files_are_refused(folder: Path, network: Any, name: str) -> None:
    weights = folder / name
    if name.endswith(".bin"):
        as_bin(folder, network.state_dict())
    weights.write_bytes(weights.read_bytes()[:-1000])
    refused(folder, "not a")
    refused(weights, "not a")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ([1, 2], "state dict"),
        (torch.zeros(3), "state dict"),
        ({"step": 1}, "state dict"),
        ({"state_dict": {"stem.0.weight": torch.zeros(3)}}, "state dict"),
        ({"stem.0.weight": torch.zeros(3), "step": 1}, "state dict"),
        ({}, "stem.0."),
        ({1: torch.zeros(3)}, "state dict"),
        ({"stem.0.weight": torch.zeros(3)}, "stem.0."),
    ],
)
def test_what_torch_saved_of_anything_but_an_enformer_is_refused(folder: Path, content: object, word: str) -> None:
    as_bin(folder, {})
    torch.save(content, folder / "pytorch_model.bin")
    refused(folder)
    refused(folder / "pytorch_model.bin", word)


class Malicious:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, int]]:
        return os.mkdir, (self.path, 0o777)


def test_a_pickle_that_would_run_code_is_refused_and_does_not(folder: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    # It would.
    pickle.loads(pickle.dumps(Malicious(made)))
    assert made.exists()
    made.rmdir()
    as_bin(folder, {})
    weights = folder / "pytorch_model.bin"
    for protocol in (torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))):
        protocol({"stem.0.weight": Malicious(made)}, weights)
        for ask, path in itertools.product((Enformer.describe, Enformer.load), (folder, weights)):
            with pytest.raises(ModelError, match=r"is not a state dict that torch\.save wrote"):
                ask(path, OPTIONS)
            assert not made.exists()


def test_tensors_that_are_not_the_sizes_are_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    shape = str(tuple(tensors["stem.0.bias"].shape))

    def saved(**changed: torch.Tensor) -> None:
        safetensors.torch.save_file(tensors | {name.replace("__", "."): value for name, value in changed.items()}, file)

    saved(stem__0__bias=torch.zeros(7))
    refused(folder, "'stem.0.bias' is (7,)", shape)
    saved(extra=torch.zeros(1))
    refused(folder, "'extra' is (1,)", "absent")
    del tensors["stem.0.bias"]
    saved()
    refused(folder, "'stem.0.bias' is absent", shape)


def test_another_models_weights_are_refused(folder: Path, cnn: ModelReference) -> None:
    assert cnn.weights is not None
    refused(cnn.weights, "another model's weights")
    (folder / "model.safetensors").write_bytes(cnn.weights.read_bytes())
    refused(folder, "tensor")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ModelOptions(tracks="all", head="rat"), ["no head 'rat'", "human, mouse"]),
        (ModelOptions(tracks="all", bins="8"), ["bin 8 does not exist", "0 to 7"]),
        (ModelOptions(tracks="all", bins="5-3"), ["5 is above 3"]),
        (ModelOptions(tracks="all", bins="centre"), ["'centre'"]),
        (ModelOptions(tracks="6"), ["track 6 does not exist", "0 to 5"]),
        (ModelOptions(tracks="3", head="mouse"), ["track 3 does not exist", "0 to 2"]),
        (ModelOptions(tracks="*brain*"), ["'*brain*'", "--targets"]),
        (ModelOptions(), ["which of the 6 tracks", "human", "--tracks"]),
    ],
)
def test_bins_tracks_and_heads_that_do_not_exist_are_refused(
    shared_folder: Path, options: ModelOptions, words: list[str]
) -> None:
    for ask in (Enformer.describe, Enformer.load):
        with pytest.raises(UsageError) as error:
            ask(shared_folder, options)
        message = str(error.value)
        assert "\n" not in message
        assert all(word in message for word in words)


def test_batches_without_a_window_and_unknown_precisions_are_refused() -> None:
    for size in (0, -1):
        with pytest.raises(UsageError, match=f"batch size {size}"):
            ModelOptions(batch_size=size)
    with pytest.raises(UsageError, match=r"'float16' is none of float32, tf32, bf16"):
        ModelOptions(precision="float16")  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(2, 2_047, 4), (2, 2_048, 5), (2_048, 4)])
def test_windows_of_another_shape_are_refused(model: Enformer, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"expected \(2048, 4\)"):
        model.predict(np.zeros(shape, bool))
