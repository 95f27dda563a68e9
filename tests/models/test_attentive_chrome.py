"""AttentiveChrome: its published size, its layers by hand, a planted signal, what it refuses."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.metrics import roc_auc_score

from pdstore.errors import InputError, ModelError, UsageError
from pdstore.models.attentive_chrome import (
    MARKS,
    WEIGHTS,
    AttentiveChromeConfig,
    attention,
    marks_gradient,
    pick_marks,
    read_attentive_chrome,
    read_out_marks,
)
from pdstore.models.trained import serialised
from pdstore.models.training import Training, TrainingSettings
from pdstore.models.window_task import WindowTask

NAMES = tuple(f"CHIP:{mark}:cells" for mark in MARKS)
TRACKS = ["CAGE:cells", *NAMES[::-1]]
"""Of a store: the marks in another order, behind a track that is none."""
BINS = 7


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small networks wait for threads longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = AttentiveChromeConfig(NAMES, BINS)
    network = config.network()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(8)
    (tmp_path / "chrome.safetensors").write_bytes(serialised(config, network))
    return tmp_path / "chrome.safetensors"


def coverage(windows: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).gamma(2, 2, size=(windows, BINS, len(TRACKS))).astype(np.float32)


def test_the_published_size_has_the_published_number_of_parameters() -> None:
    network = AttentiveChromeConfig(NAMES, 100).network()
    assert sum(values.numel() for values in network.parameters()) == 55_681
    for values in network.parameters():
        assert values.abs().max() <= 0.1


def by_hand(path: Path, marks: NDArray[np.float64]) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """The published layers, from the file: (bins, marks) → log odds, shares of marks and of bins."""
    state = {name: values.double().numpy() for name, values in safetensors.torch.load_file(path).items()}

    def recurrent(prefix: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        found = []
        for ending, order in (("", slice(None)), ("_reverse", slice(None, None, -1))):
            of_input, of_hidden = (state[f"{prefix}.recurrent.weight_{which}h_l0{ending}"] for which in "ih")
            bias = state[f"{prefix}.recurrent.bias_ih_l0{ending}"] + state[f"{prefix}.recurrent.bias_hh_l0{ending}"]
            hidden, cell, outputs = np.zeros(of_hidden.shape[1]), np.zeros(of_hidden.shape[1]), []
            for place in x[order]:
                into, forget, candidate, out = np.split(of_input @ place + of_hidden @ hidden + bias, 4)
                cell = expit(forget) * cell + expit(into) * np.tanh(candidate)
                hidden = expit(out) * np.tanh(cell)
                outputs.append(hidden)
            found.append(np.array(outputs)[order])
        return np.concatenate(found, axis=1)

    def attended(prefix: str, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        hidden = recurrent(prefix, x)
        share = softmax(hidden @ state[f"{prefix}.context.weight"][0])
        return share @ hidden, share

    of_marks = [attended(f"bins.{mark}", marks[:, mark, None]) for mark in range(len(MARKS))]
    last, share = attended("marks", np.array([values for values, _ in of_marks]))
    odds = float(state["output.weight"][0] @ last + state["output.bias"][0])
    return odds, share, np.array([of_bins for _, of_bins in of_marks])


def test_outputs_and_attention_equal_the_published_layers_by_hand(weights: Path) -> None:
    read = read_attentive_chrome(weights, TRACKS, BINS)
    assert read.shape == (WEIGHTS,)
    tracks = coverage(3)
    odds = read_out_marks(tracks, read)
    for window in range(3):
        found = attention(tracks[window], read)
        # The marks in their order, which is the opposite of the store's.
        expected = by_hand(weights, tracks[window, :, :0:-1].astype(float))
        assert odds[window] == pytest.approx(expected[0], rel=1e-9)
        np.testing.assert_allclose(found.marks, expected[1], rtol=1e-9)
        np.testing.assert_allclose(found.bins, expected[2], rtol=1e-9)
        slope = marks_gradient(tracks[window], read)
        np.testing.assert_allclose(found.gradient_x_input, (slope * tracks[window])[:, :0:-1].T)
        np.testing.assert_allclose(found.marks.sum(), 1)
        np.testing.assert_allclose(found.bins.sum(axis=1), 1)
        assert found.marks.std() > 0.01
    # Any dimensions before bins and tracks.
    np.testing.assert_allclose(read_out_marks(tracks.reshape(1, 3, BINS, -1), read), odds[None], rtol=1e-12)
    np.testing.assert_allclose(read_out_marks(tracks[0], read), odds[0], rtol=1e-12)


def test_the_gradient_is_a_finite_difference(weights: Path) -> None:
    read = read_attentive_chrome(weights, TRACKS, BINS)
    tracks = coverage(1)[0].astype(np.float64)
    gradient = marks_gradient(tracks, read)
    assert gradient.shape == tracks.shape
    assert not gradient[:, 0].any(), "of the track that is none of the marks"
    rng, step = np.random.default_rng(1), 1e-5
    for _ in range(4):
        direction = rng.normal(size=tracks.shape)
        up, down = (read_out_marks(tracks + sign * step * direction, read) for sign in (1, -1))
        assert (gradient * direction).sum() == pytest.approx(float(up - down) / (2 * step), rel=1e-6)


def test_a_planted_signal_is_learnt_and_its_mark_and_bin_are_found(tmp_path: Path) -> None:
    """Highly expressed genes have more of one mark in one bin, another one in each gene; all else is noise."""
    mark, genes, bins = MARKS.index("H3K4me3"), 400, 20
    rng = np.random.default_rng(0)
    windows = rng.gamma(2, 0.5, size=(genes, bins, 5)).astype(np.float32)
    high, place = np.arange(genes) % 2, rng.integers(bins, size=genes)
    windows[np.arange(genes), place, mark] += 6 * high.astype(np.float32)
    task = WindowTask(windows[:300], high[:300].astype(float), bins, np.arange(200, 300), centred=False)
    config = AttentiveChromeConfig(NAMES, bins)
    training = Training(config, task, TrainingSettings(epochs=14, learning_rate=0.005, batch_size=16, seed=1))
    while not training.ended:
        training.epoch()
    (tmp_path / "chrome.safetensors").write_bytes(serialised(config, training.trained(best=True)))
    read = read_attentive_chrome(tmp_path / "chrome.safetensors", NAMES, bins)
    assert roc_auc_score(high[300:], read_out_marks(windows[300:], read)) > 0.95
    found = [attention(windows[gene], read) for gene in range(300, genes) if high[gene]]
    assert np.mean([of.marks for of in found], axis=0).argmax() == mark
    largest = [np.unravel_index(of.gradient_x_input.argmax(), (5, bins)) for of in found]
    planted = [(mark, place[gene]) for gene in range(300, genes) if high[gene]]
    assert np.mean([one == other for one, other in zip(largest, planted, strict=True)]) > 0.8


def test_marks_are_picked_by_description() -> None:
    names = ["CHIP:H3K4me3:K562", "CHIP:H3K4me3:GM12878", "CHIP:H3K4me3:GM12878", *(f"x {m} gm12878" for m in MARKS)]
    expected = [f"x {mark} gm12878" for mark in MARKS]
    expected[MARKS.index("H3K4me3")] = "CHIP:H3K4me3:GM12878"
    assert pick_marks("GM12878", names) == tuple(expected)
    with pytest.raises(UsageError, match="no track is of H3K27me3 in K562; of H3K27me3 there are 'x H3K27me3 gm12878'"):
        pick_marks("K562", names)


def test_weights_that_do_not_fit_the_store_are_refused(weights: Path) -> None:
    with pytest.raises(InputError, match="trained on 7 bins, but the store holds 3"):
        read_attentive_chrome(weights, TRACKS, 3)
    with pytest.raises(InputError, match="trained on the track 'CHIP:H3K27me3:cells', which the store does not hold"):
        read_attentive_chrome(weights, TRACKS[:-1], BINS)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model": "cnn"}, "weights of the model 'cnn', expected 'attentive-chrome'"),
        ({"marks": ["a", "b"]}, "2 different tracks, expected 5"),
        ({"marks": "abcde"}, "marks is 'abcde'"),
        ({"bins": 1}, "bins is 1"),
    ],
)
def test_other_files_are_refused(weights: Path, config: dict[str, Any], message: str) -> None:
    tensors = safetensors.torch.load_file(weights)
    whole = {"model": "attentive-chrome", "marks": list(NAMES), "bins": BINS, **config}
    safetensors.torch.save_file(tensors, weights, {"config": json.dumps(whole)})
    with pytest.raises(ModelError, match=message):
        read_attentive_chrome(weights, TRACKS, BINS)


def test_the_first_tensor_that_differs_is_named(weights: Path) -> None:
    tensors = safetensors.torch.load_file(weights)
    tensors["marks.context.weight"] = torch.zeros(1, 31)
    config = {"model": "attentive-chrome", "marks": list(NAMES), "bins": BINS}
    safetensors.torch.save_file(tensors, weights, {"config": json.dumps(config)})
    with pytest.raises(ModelError, match=r"'marks.context.weight' is F32 \(1, 31\), expected F32 \(1, 32\)"):
        read_attentive_chrome(weights, TRACKS, BINS)
