"""The CNN: its sizes, its weights file, its predictions and its training."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray

from pdstore.errors import JobError, ModelError
from pdstore.haplotypes.onehot import one_hot
from pdstore.haplotypes.window import WindowSpec
from pdstore.models.cnn import Cnn, CnnConfig
from pdstore.models.protocol import input_gradient
from pdstore.models.trained import longer
from pdstore.models.training import Epoch, TrainingSettings, train
from pdstore.models.window_task import WindowTask

TINY = CnnConfig(window_length=29, tss_offset=14, strand="gene", kernels=8, kernel_width=4, pool=13, hidden=16)
SHIFT = 2


def random_windows(number: int, length: int, seed: int = 0) -> NDArray[np.bool_]:
    return one_hot(np.random.default_rng(seed).choice(np.frombuffer(b"ACGT", np.uint8), (number, length)))


def toy(genes: int = 96) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Windows with flanks, and an expression of 7 plus the share of G, which shifting hardly changes."""
    onehot = random_windows(genes, TINY.window_length + 2 * SHIFT)
    return onehot, 7 + 10 * onehot[:, :, 2].mean(axis=1)


def train_toy(seed: int = 3, epochs: int = 3, **options: object) -> Cnn:
    settings = TrainingSettings(epochs=epochs, seed=seed, **options)  # type: ignore[arg-type]
    return train_on(*toy(), settings)


def train_on(
    onehot: NDArray[np.bool_],
    expression: NDArray[np.float64],
    settings: TrainingSettings,
    config: CnnConfig = TINY,
    validation: NDArray[np.int64] | None = None,
    shift: int = SHIFT,
    progress: Callable[[Epoch], None] | None = None,
) -> Cnn:
    task = WindowTask(onehot, expression, config.window_length, validation, shift)
    return Cnn.of(config, train(config, task, settings, progress), "cpu")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks wait for threads longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(one_thread: None) -> Cnn:
    return train_toy()


@pytest.fixture
def weights(trained: Cnn, tmp_path: Path) -> Path:
    trained.save(tmp_path / "cnn.safetensors")
    return tmp_path / "cnn.safetensors"


def test_published_sizes_give_44_segments() -> None:
    config = CnnConfig()
    assert config.segments == 44
    assert config.window == WindowSpec(length=40001, tss_offset=20000, strand="forward")
    with torch.device("meta"):
        network = config.network()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes["convolution.weight"] == (900, 4, 10)
    assert shapes["hidden.weight"] == (200, 900 * 44)
    assert shapes["output.weight"] == (1, 200)
    assert network(torch.empty(2, 40001, 4, device="meta")).shape == (2,)


def test_prediction_equals_the_published_layers_in_numpy(trained: Cnn, weights: Path) -> None:
    tensors = {name: tensor.double().numpy() for name, tensor in safetensors.torch.load_file(weights).items()}
    window = random_windows(1, TINY.window_length)
    patches = np.lib.stride_tricks.sliding_window_view(window[0].T.astype(float), TINY.kernel_width, axis=1)
    convolved = np.einsum("cpw,kcw->kp", patches, tensors["convolution.weight"]) + tensors["convolution.bias"][:, None]
    pooled = np.maximum(convolved, 0).reshape(TINY.kernels, TINY.segments, TINY.pool).mean(axis=2).ravel()
    hidden = np.maximum(tensors["hidden.weight"] @ pooled + tensors["hidden.bias"], 0)
    expected = tensors["output.weight"] @ hidden + tensors["output.bias"]
    assert trained.predict(window)[0, 0, 0] == pytest.approx(expected[0], rel=1e-5)


def test_is_a_sequence_model_of_one_bin_and_track(trained: Cnn) -> None:
    described = trained.description
    assert (trained.name, described.bins, described.track_names, described.readout) == (
        "cnn",
        1,
        ("expression",),
        "sum",
    )
    assert described.window == WindowSpec(length=29, tss_offset=14, strand="gene")
    assert described.options["pool"] == 13
    predicted = trained.predict(random_windows(5, TINY.window_length))
    assert predicted.shape == (5, 1, 1)
    assert predicted.dtype == np.float32


@pytest.mark.parametrize("batch_size", [1, 8, 64])
def test_prediction_does_not_depend_on_the_batch(trained: Cnn, batch_size: int) -> None:
    windows = random_windows(64, TINY.window_length)
    batches = [trained.predict(windows[start : start + batch_size]) for start in range(0, 64, batch_size)]
    np.testing.assert_allclose(np.concatenate(batches), trained.predict(windows), rtol=1e-5)


def test_prediction_takes_read_only_and_reversed_views(trained: Cnn) -> None:
    windows = random_windows(3, TINY.window_length)
    windows.flags.writeable = False
    reverse = windows[:, ::-1, ::-1]
    np.testing.assert_array_equal(trained.predict(reverse), trained.predict(reverse.copy()))


def test_n_is_read_as_nothing(trained: Cnn) -> None:
    assert np.isfinite(trained.predict(np.zeros((1, TINY.window_length, 4), bool))).all()


def test_save_and_load_give_equal_predictions_bit_for_bit(trained: Cnn, weights: Path) -> None:
    loaded = Cnn.load(weights)
    windows = random_windows(20, TINY.window_length)
    np.testing.assert_array_equal(loaded.predict(windows), trained.predict(windows))
    assert loaded.config == TINY
    assert loaded.description == trained.description == Cnn.describe(weights)
    assert Cnn.digest(weights) == trained.weights_digest
    assert loaded.weights_digest == trained.weights_digest == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert [path.name for path in weights.parent.iterdir()] == [weights.name]


def test_equal_weights_are_equal_files(trained: Cnn, tmp_path: Path) -> None:
    for number in range(8):
        trained.save(tmp_path / str(number))
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_window_of_reads_the_config_alone(weights: Path) -> None:
    assert Cnn.window_of(weights) == TINY.window


def metadata_and_tensors(weights: Path) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
    with safetensors.safe_open(weights, framework="pt") as file:
        return json.loads(file.metadata()["config"]), safetensors.torch.load_file(weights)


def refused(path: Path, *words: str) -> None:
    with pytest.raises(ModelError) as error:
        Cnn.load(path)
    message = str(error.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message


def test_no_weights_are_refused() -> None:
    for ask in (Cnn.load, Cnn.window_of):
        with pytest.raises(ModelError, match="--weights is needed"):
            ask(None)


@pytest.mark.parametrize("content", [b"", b"no safetensors file", bytes(100)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.h5"
    path.write_bytes(content)
    refused(path, "not a safetensors file")
    refused(tmp_path / "absent.safetensors", "no such file")
    refused(tmp_path, "is a folder, not a file")


def test_a_truncated_file_is_refused(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-100])
    refused(weights, "not a safetensors file")


def test_weights_without_or_with_a_broken_config_are_refused(weights: Path) -> None:
    config, tensors = metadata_and_tensors(weights)
    safetensors.torch.save_file(tensors, weights)
    refused(weights, "no config")
    for broken, words in (
        ("{", ["not JSON"]),
        ("[]", ["None", "'cnn'"]),
        (f'{{"model": {"1" * 5000}}}', ["not JSON"]),
        (json.dumps(config | {"model": "dream"}), ["'dream'", "'cnn'"]),
        (json.dumps({"model": "cnn", "pool": 3}), ["has pool", "window_length"]),
        (json.dumps(config | {"pool": 0}), ["pool is 0", "above 0"]),
        (json.dumps(config | {"pool": "13"}), ["pool is '13'"]),
        (json.dumps(config | {"window_length": 14}), ["tss_offset is 14", "0 to 13"]),
        (json.dumps(config | {"window_length": 15}), ["15 bp", "pool of 13"]),
        (json.dumps(config | {"trained": {"on": [1]}}), ["trained on is", "expected a few names"]),
        (json.dumps(config | {"trained": "x"}), ["trained on is 'x'"]),
        (json.dumps(config | {"strand": "both"}), ["'both'", "'gene'"]),
        (json.dumps(config | {"strand": ["gene"]}), ["['gene']", "'gene'"]),
        (json.dumps(config | {"window_length": 10**20}), ["window_length is 100000", "100,000,000"]),
        (json.dumps(config | {"hidden": 10**40}), ["no network of its sizes"]),
        (json.dumps(config | {"hidden": 10**18}), ["no network of its sizes"]),
    ):
        safetensors.torch.save_file(tensors, weights, {"config": broken})
        refused(weights, *words)


def test_weights_that_are_no_numbers_are_refused(weights: Path) -> None:
    config, tensors = metadata_and_tensors(weights)
    tensors["output.bias"] = torch.tensor([float("nan")])
    safetensors.torch.save_file(tensors, weights, {"config": json.dumps(config)})
    refused(weights, "not all values of output.bias are finite")


def test_tensors_that_are_not_the_configs_are_refused(weights: Path) -> None:
    config, tensors = metadata_and_tensors(weights)
    metadata = {"config": json.dumps(config)}
    safetensors.torch.save_file(tensors, weights, {"config": json.dumps(config | {"hidden": 17})})
    refused(weights, "'hidden.bias'", "(16,)", "(17,)")
    safetensors.torch.save_file(tensors | {"extra": torch.zeros(1)}, weights, metadata)
    refused(weights, "'extra'", "absent")
    safetensors.torch.save_file({"output.bias": tensors["output.bias"]}, weights, metadata)
    refused(weights, "'convolution.bias'", "absent")
    safetensors.torch.save_file(tensors | {"output.bias": torch.zeros(1, dtype=torch.int32)}, weights, metadata)
    refused(weights, "'output.bias'", "I32", "F32")


def test_the_gradient_is_that_of_the_published_layers_by_hand(trained: Cnn) -> None:
    (window,) = random_windows(1, TINY.window_length, seed=4)
    window[3] = False
    layers = {name: tensor.numpy().astype(np.float64) for name, tensor in trained.network.state_dict().items()}
    kernels = layers["convolution.weight"]
    places = TINY.segments * TINY.pool
    seen = np.stack([window[place : place + TINY.kernel_width].T for place in range(places)]).astype(np.float64)
    convolved = np.einsum("pcw,kcw->kp", seen, kernels) + layers["convolution.bias"][:, None]
    pooled = np.maximum(convolved, 0).reshape(TINY.kernels, TINY.segments, TINY.pool).mean(2)
    hidden = layers["hidden.weight"] @ pooled.ravel() + layers["hidden.bias"]
    of_pooled = (layers["output.weight"][0] * (hidden > 0)) @ layers["hidden.weight"]
    of_convolved = np.repeat(of_pooled.reshape(TINY.kernels, TINY.segments) / TINY.pool, TINY.pool, axis=1)
    of_convolved *= convolved > 0
    expected = np.zeros(window.shape)
    for place in range(places):
        expected[place : place + TINY.kernel_width] += np.einsum("k,kcw->wc", of_convolved[:, place], kernels)
    assert np.abs(expected).max() > 0
    found = input_gradient(trained, window, np.array([[-3.0]]))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, -3 * expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())
    # A reversed view, as windows of the other strand are.
    np.testing.assert_array_equal(
        input_gradient(trained, window[::-1, ::-1], np.ones((1, 1))),
        input_gradient(trained, window[::-1, ::-1].copy(), np.ones((1, 1))),
    )
    with pytest.raises(ModelError, match=r"cnn: window of shape \(28, 4\), expected \(29, 4\)"):
        input_gradient(trained, window[1:], np.ones((1, 1)))


def test_windows_of_another_length_are_refused(trained: Cnn) -> None:
    with pytest.raises(ModelError, match=r"shape \(2, 30, 4\), expected \(batch, 29, 4\)"):
        trained.predict(random_windows(2, 30))
    with pytest.raises(ModelError, match=r"expected \(96, 29\)"):
        train_on(*toy(), TrainingSettings(epochs=1), shift=0)


def test_training_learns_a_linear_toy_in_units_of_expression() -> None:
    losses: list[float] = []
    model = train_on(
        *toy(),
        TrainingSettings(epochs=60, learning_rate=0.01, seed=3),
        progress=lambda epoch: losses.append(epoch.loss),
    )
    onehot, expression = toy()
    predicted = model.predict(onehot[:, SHIFT:-SHIFT])[:, 0, 0]
    assert losses[-1] < 0.5 * losses[0]
    assert np.corrcoef(predicted, expression)[0, 1] > 0.8
    assert predicted.mean() == pytest.approx(expression.mean(), abs=0.3)


def test_training_is_reproducible_and_leaves_the_global_random_state() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    digests = [train_toy(seed=seed).weights_digest for seed in (3, 3, 4)]
    assert digests[0] == digests[1] != digests[2]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_held_out_genes_do_not_train_and_are_what_progress_reports() -> None:
    held_out = np.arange(0, 96, 4)
    onehot, expression = toy()
    other = expression.copy()
    other[held_out] += 100
    reported: list[tuple[int, float]] = []
    model = train_on(
        onehot,
        expression,
        TrainingSettings(epochs=2),
        validation=held_out,
        progress=lambda epoch: reported.append((epoch.number, epoch.loss)),
    )
    again = train_on(onehot, other, TrainingSettings(epochs=2), validation=held_out)
    assert model.weights_digest == again.weights_digest
    predicted = model.predict(onehot[held_out, SHIFT:-SHIFT])[:, 0, 0]
    assert [epoch for epoch, _ in reported] == [1, 2]
    assert reported[-1][1] == pytest.approx(np.mean((predicted - expression[held_out]) ** 2), rel=1e-3)


def test_training_that_collapses_is_an_error() -> None:
    onehot, expression = toy()
    with pytest.raises(JobError, match=r"loss of epoch 1 is no number: try a lower learning rate than 1e\+20"):
        train_on(onehot, expression, TrainingSettings(epochs=5, learning_rate=1e20))
    with pytest.raises(JobError, match="collapsed"):
        train_on(onehot, expression, TrainingSettings(epochs=5, learning_rate=50.0), replace(TINY, hidden=1))


def test_training_window_has_a_flank_for_the_shift() -> None:
    assert longer(TINY.window, SHIFT) == WindowSpec(length=33, tss_offset=16, strand="gene")
