"""Basenji2: the published sizes, the Keras file and its orientation, the layers in numpy, ensembles."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from keras_files import basenji2_weights
from numpy.typing import NDArray

from pdstore.errors import ModelError, UsageError
from pdstore.models.basenji2 import Basenji2, Basenji2Sizes
from pdstore.models.basenji2_network import Basenji2Network
from pdstore.models.protocol import ModelOptions

SMALL = Basenji2Sizes(
    window_length=1_024, stem=6, tower=(7, 8, 9), dilations=(1, 2, 5), narrow=5, last=10, crop=8, tracks=4
)
ALL = ModelOptions(tracks="all", bins="0-47")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Basenji2, "sizes", SMALL)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return basenji2_weights(tmp_path, 0, SMALL)


def windows(number: int, seed: int = 0) -> NDArray[np.bool_]:
    found = np.eye(4, dtype=bool)[np.random.default_rng(seed).integers(4, size=(number, SMALL.window_length))]
    found[0, 100:130] = False
    return found


def test_the_published_sizes_have_the_published_number_of_parameters() -> None:
    sizes = Basenji2Sizes()
    assert (sizes.bins, len(sizes.convolutions)) == (896, 30)
    with torch.device("meta"):
        network = Basenji2Network(sizes, range(sizes.tracks))
    assert sum(values.numel() for values in network.parameters()) == 30_088_228
    trained = [of for of in sizes.tensors if not of.name.startswith("moving")]
    assert sum(int(np.prod(of.shape)) for of in trained) == 30_088_228
    assert network(torch.empty(1, 131_072, 4, device="meta")).shape == (1, 896, 5_313)


def in_numpy(path: Path, window: NDArray[np.float64]) -> NDArray[np.float64]:
    """The published layers, from the file, one after the other: (positions, 4) → (bins, tracks)."""

    def gelu(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(x / (1 + np.exp(-1.702 * x)))

    with h5py.File(path) as file:
        root = file["model_weights"]

        def convolved(x: NDArray[np.float64], number: int, dilation: int = 1) -> NDArray[np.float64]:
            ending = f"_{number}" if number else ""
            kernel = root[f"conv1d{ending}/conv1d{ending}/kernel:0"][...].astype(float)
            norm = root[f"batch_normalization{ending}/batch_normalization{ending}"]
            reach = len(kernel) // 2 * dilation
            padded = np.pad(gelu(x), ((reach, reach), (0, 0)))
            y = sum(padded[at * dilation : at * dilation + len(x)] @ kernel[at] for at in range(len(kernel)))
            scale = norm["gamma:0"][...] / np.sqrt(norm["moving_variance:0"][...] + 1e-3)
            return np.asarray((y - norm["moving_mean:0"][...]) * scale + norm["beta:0"][...])

        x = window
        for number in range(4):
            x = convolved(x, number)
            x = x.reshape(len(x) // 2, 2, -1).max(axis=1)
        for block, dilation in enumerate(SMALL.dilations):
            x = x + convolved(convolved(x, 4 + 2 * block, dilation), 5 + 2 * block)
        x = gelu(convolved(x[SMALL.crop : -SMALL.crop], 10))
        dense = root["dense/dense"]
        return np.asarray(np.logaddexp(0, x @ dense["kernel:0"][...] + dense["bias:0"][...]))


def test_outputs_equal_the_published_layers_in_numpy(weights: Path) -> None:
    given = windows(2)
    expected = np.stack([in_numpy(weights, window.astype(float)) for window in given])
    assert expected.shape == (2, 48, 4)
    np.testing.assert_allclose(Basenji2.load(weights, ALL).predict(given), expected, rtol=2e-5)
    some = Basenji2.load(weights, ModelOptions(tracks="1,3", bins="5,40"))
    np.testing.assert_allclose(some.predict(given), expected[:, [5, 40]][:, :, [1, 3]], rtol=2e-5)


def test_an_ensemble_is_the_mean_over_shifts_and_strands(weights: Path) -> None:
    (window,) = windows(1, seed=3)
    expected = []
    for shift in (1, 0, -1):
        shifted = np.full(window.shape, 0.25)
        shifted[max(shift, 0) : len(window) + min(shift, 0)] = window[max(-shift, 0) : len(window) - max(shift, 0)]
        expected += [in_numpy(weights, shifted), in_numpy(weights, shifted[::-1, ::-1])[::-1]]
    ensemble = Basenji2.load(weights, ModelOptions(tracks="all", bins="0-47", ensemble=True))
    np.testing.assert_allclose(ensemble.predict(window[None])[0], np.mean(expected, axis=0), rtol=2e-5)


def test_the_gradient_is_a_finite_difference(weights: Path) -> None:
    model = Basenji2.load(weights, ALL)
    # Without N: of equal neighbours in a pool the maximum has no derivative.
    window = windows(2, seed=4)[1]
    of_outputs = np.random.default_rng(0).normal(size=(48, 4))
    gradient = model.gradient(window, of_outputs)
    rng, step = np.random.default_rng(1), 1e-6
    for _ in range(5):
        direction = rng.normal(size=window.shape)
        up, down = (in_numpy(weights, window + sign * step * direction) for sign in (1, -1))
        assert (gradient * direction).sum() == pytest.approx(((up - down) * of_outputs).sum() / (2 * step), rel=1e-3)


def test_the_defaults_are_those_of_huang_2023(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Basenji2, "sizes", Basenji2Sizes())
    assert Basenji2._select(ModelOptions()) == (list(range(443, 453)), [5110], ("human:5110",))
    window = Basenji2.window_of(None)
    assert (window.length, window.tss_offset, window.strand) == (131_072, 65_535, "forward")


def changed(weights: Path, name: str, values: NDArray[np.float32] | None) -> None:
    with h5py.File(weights, "a") as file:
        layer = name.partition("/")[0]
        del file[f"model_weights/{layer}/{name}"]
        if values is not None:
            file[f"model_weights/{layer}/{name}"] = values


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (
            "conv1d_2/kernel:0",
            np.zeros((8, 7, 5)),
            r"conv1d_2/kernel has shape \(8, 7, 5\), but basenji2's has \(5, 7, 8\)",
        ),
        ("dense/kernel:0", np.zeros((4, 10)), r"dense/kernel has shape \(4, 10\), but basenji2's has \(10, 4\)"),
        ("batch_normalization_3/gamma:0", None, "no batch_normalization_3/gamma, which basenji2 has"),
        ("conv1d_10/kernel:0", None, "10 layers conv1d, but basenji2 has 11; are these another model's"),
    ],
)
def test_the_first_tensor_that_differs_is_named(weights: Path, name: str, values: Any, message: str) -> None:
    changed(weights, name, values)
    with pytest.raises(ModelError, match=message):
        Basenji2.describe(weights)
    with pytest.raises(ModelError, match=message):
        Basenji2.load(weights)


def test_layers_may_be_numbered_from_anywhere(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    later = basenji2_weights(tmp_path / "b", 0, SMALL, first=30)
    given = windows(1)
    np.testing.assert_array_equal(Basenji2.load(later, ALL).predict(given), Basenji2.load(weights, ALL).predict(given))


def test_tracks_and_bins_that_there_are_not_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="4"):
        Basenji2.describe(weights, ModelOptions(tracks="4"))
    with pytest.raises(UsageError, match="48"):
        Basenji2.describe(weights, ModelOptions(tracks="all", bins="48"))
    targets = tmp_path / "targets.txt"
    targets.write_text("index\tdescription\n0\tCAGE:a\n")
    with pytest.raises(UsageError, match="1 tracks, but basenji2 has 4"):
        Basenji2.describe(weights, ModelOptions(targets=targets))
