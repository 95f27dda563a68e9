"""The gradient of Enformer with little memory: that of autograd through enformer-pytorch's own forward."""

import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pdstore.errors import ModelError, UsageError
from pdstore.haplotypes.onehot import one_hot
from pdstore.models import enformer_gradient
from pdstore.models.enformer import SHIFTS, Enformer
from pdstore.models.enformer_gradient import EnformerGradient
from pdstore.models.enformer_network import random_network, save_network
from pdstore.models.enformer_weights import EnformerSizes
from pdstore.models.protocol import ModelOptions, input_gradient

SIZES = EnformerSizes(
    dim=96,
    depth=3,
    heads=4,
    attn_dim_key=16,
    dim_divisible_by=16,
    target_length=8,
    sequence_length=128 * 16,
    output_heads={"human": 5, "mouse": 2},
    use_tf_gamma=False,
)
TRACKS = [3, 0]
# Of the largest value: where terms cancel, more is lost.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def network() -> Any:
    return random_network(SIZES, False, seed=3)


@pytest.fixture(scope="module")
def gradient(network: Any) -> EnformerGradient:
    return EnformerGradient(network, SIZES.rows, torch.tensor(TRACKS), "human")


def random_window(length: int, seed: int = 0, letters: bytes = b"ACGTN") -> NDArray[np.bool_]:
    return one_hot(np.random.default_rng(seed).choice(np.frombuffer(letters, np.uint8), length))


def of_autograd(
    network: Any,
    window: NDArray[np.bool_],
    bins: Sequence[int],
    weights: NDArray[np.float64],
    tracks: Sequence[int] = TRACKS,
    head: str = "human",
) -> NDArray[np.float32]:
    """Backward through the whole network as it comes."""
    onehot = torch.from_numpy(window).float().requires_grad_()
    outputs = network(onehot, head=head)[list(bins)][:, list(tracks)]
    (outputs * torch.from_numpy(weights)).sum().backward()
    assert onehot.grad is not None
    return onehot.grad.numpy()


def assert_close(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    largest = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * largest)


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, SIZES.target_length - 1), min_size=1, max_size=4, unique=True),
    st.sampled_from([b"ACGTN", b"ACGT", b"N", b"AC"]),
)
def test_any_window_bins_and_weights_have_the_gradient_of_autograd(
    network: Any, gradient: EnformerGradient, seed: int, bins: list[int], letters: bytes
) -> None:
    window = random_window(SIZES.sequence_length, seed, letters)
    weights = np.random.default_rng(seed).normal(size=(len(bins), len(TRACKS)))
    expected = of_autograd(network, window, bins, weights)
    assert (expected != 0).mean() > 0.9
    assert_close(gradient(window, bins, weights), expected)


@settings(max_examples=8, deadline=None)
@given(st.integers(2, 10), st.integers(0, 2), st.integers(0, 2**16))
def test_any_length_of_window_and_any_place_of_bins(target_length: int, crop: int, seed: int) -> None:
    sizes = replace(SIZES, sequence_length=128 * (target_length + 2 * crop), target_length=target_length)
    network = random_network(sizes, False, seed)
    window = random_window(sizes.sequence_length, seed)
    weights = np.ones((2, 1))
    bins = [0, sizes.target_length - 1]
    found = EnformerGradient(network, sizes.rows, torch.tensor([1]), "mouse")(window, bins, weights)
    assert_close(found, of_autograd(network, window, bins, weights, [1], "mouse"))


def test_edges_see_zeros_after_the_activation_and_not_before(network: Any, gradient: EnformerGradient) -> None:
    # Bins at both ends, whose gradient is largest where padding is seen.
    window, weights = random_window(SIZES.sequence_length), np.ones((2, 2))
    found = gradient(window, [0, SIZES.target_length - 1], weights)
    expected = of_autograd(network, window, [0, SIZES.target_length - 1], weights)
    for edge in (slice(0, 300), slice(-300, None)):
        assert_close(found[edge], expected[edge])


@pytest.mark.parametrize("rows", [2, 6, 64, 100, 1 << 20])
def test_chunks_of_any_size_give_the_same(
    network: Any, gradient: EnformerGradient, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    sizes = replace(SIZES, sequence_length=128 * 8)
    short = random_network(sizes, False, seed=5)
    window, weights = random_window(sizes.sequence_length), np.ones((1, 2))
    monkeypatch.setitem(enformer_gradient._ROWS_AT_ONCE, "cpu", rows)
    found = EnformerGradient(short, sizes.rows, torch.tensor(TRACKS), "human")(window, [3], weights)
    assert_close(found, of_autograd(short, window, [3], weights))


def test_the_published_window_with_the_positions_of_tensorflow() -> None:
    # Their rows are 1,536 and their features 192: dim / heads. All else is small.
    sizes = EnformerSizes(
        dim=192, depth=2, heads=1, attn_dim_key=64, dim_divisible_by=32, output_heads={"human": 2}, use_tf_gamma=True
    )
    network = random_network(sizes, True, seed=1)
    assert network.use_tf_gamma
    for block in network.transformer:
        # So that positions matter more than bases.
        block[0].fn[1].to_rel_k.weight.mul_(10)
    window, weights, bins = random_window(sizes.sequence_length), np.array([[1.0], [2.0], [-0.5]]), [447, 448, 449]
    found = EnformerGradient(network, sizes.rows, torch.tensor([1]), "human")(window, bins, weights)
    expected = of_autograd(network, window, bins, weights, [1])
    assert_close(found, expected)
    for block in network.transformer:
        block[0].fn[1].use_tf_gamma = False
    other = of_autograd(network, window, bins, weights, [1])
    assert np.abs(other - expected).max() > 0.01 * np.abs(expected).max()


def test_finite_differences_agree(network: Any, gradient: EnformerGradient) -> None:
    window, weights, bins = random_window(SIZES.sequence_length), np.array([[1.0, -2.0], [0.5, 1.0]]), [3, 4]
    double = random_network(SIZES, False, seed=3).double()
    found = gradient(window, bins, weights).astype(np.float64)

    def value(onehot: torch.Tensor) -> float:
        with torch.no_grad():
            outputs = double(onehot, head="human")[bins][:, TRACKS]
            return float((outputs * torch.from_numpy(weights)).sum())

    onehot = torch.from_numpy(window).double()
    rng = np.random.default_rng(0)
    for _ in range(5):
        direction = rng.normal(size=window.shape)
        step = torch.from_numpy(direction) * 1e-5
        difference = (value(onehot + step) - value(onehot - step)) / 2e-5
        expected = float((found * direction).sum())
        assert abs(difference - expected) < 1e-3 * np.sqrt((found**2).sum())


def test_nothing_of_a_gradient_stays(network: Any, gradient: EnformerGradient) -> None:
    window, weights = random_window(SIZES.sequence_length), np.ones((1, 2))
    gradient(window, [3], weights)
    gc.collect()
    before = {id(tensor): weakref.ref(tensor) for tensor in tensors()}
    first = gradient(window, [3], weights).copy()
    gc.collect()
    assert [tensor.shape for tensor in tensors() if id(tensor) not in before] == []
    assert not any(tensor.requires_grad for tensor in network.parameters())
    assert all(tensor.grad is None for tensor in network.parameters())
    assert torch.is_grad_enabled()
    np.testing.assert_array_equal(gradient(window, [3], weights), first)


def tensors() -> list[torch.Tensor]:
    return [found for found in gc.get_objects() if type(found) is torch.Tensor]


# --- As a model ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights_folder(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "enformer"
    save_network(network, SIZES, folder)
    return folder


def test_a_model_gives_the_gradient_at_its_bins_and_tracks_with_either_engine(
    network: Any, weights_folder: Path
) -> None:
    window, weights = random_window(SIZES.sequence_length), np.array([[1.0, 0.5], [2.0, -1.0]])
    expected = of_autograd(network, window, [2, 5], weights, [0, 3])
    for engine in ("plain", "incremental"):
        model = Enformer.load(weights_folder, ModelOptions(tracks="0,3", bins="2,5", engine=engine))  # type: ignore[arg-type]
        assert_close(input_gradient(model, window, weights), expected)
        # Predicting after it, and a gradient after that.
        assert model.predict(window[None]).shape == (1, 2, 2)
        assert_close(input_gradient(model, window, weights), expected)


def test_the_gradient_of_an_ensemble_is_that_of_the_mean_over_its_members(network: Any, weights_folder: Path) -> None:
    model = Enformer.load(weights_folder, ModelOptions(tracks="0,3", bins="2,5", ensemble=True))
    window, weights = random_window(SIZES.sequence_length), np.array([[1.0, 0.5], [2.0, -1.0]])
    onehot = torch.from_numpy(window).float().requires_grad_()
    members = []
    for shift in SHIFTS:
        shifted = torch.zeros_like(onehot)
        if shift > 0:
            shifted[shift:] = onehot[:-shift]
        elif shift < 0:
            shifted[:shift] = onehot[-shift:]
        else:
            shifted = onehot
        forward = network(shifted, head="human")
        # Bins stand in the opposite order for the reverse complement.
        reverse = network(shifted.flip(0, 1), head="human").flip(0)
        members += [forward, reverse]
    outputs = torch.stack(members).mean(0)[[2, 5]][:, [0, 3]]
    np.testing.assert_allclose(outputs.detach(), model.predict(window[None])[0], rtol=1e-4)
    (outputs * torch.from_numpy(weights)).sum().backward()
    assert onehot.grad is not None
    assert_close(input_gradient(model, window, weights), onehot.grad.numpy())


def test_what_is_not_there_is_refused(weights_folder: Path) -> None:
    window, weights = random_window(SIZES.sequence_length), np.ones((3, 1))
    model = Enformer.load(weights_folder, ModelOptions(tracks="0", precision="bf16"))
    with pytest.raises(UsageError, match="gradients have no --precision bf16"):
        input_gradient(model, window, weights)
    model = Enformer.load(weights_folder, ModelOptions(tracks="0"))
    with pytest.raises(ModelError, match=r"windows of shape \(100, 4\)"):
        input_gradient(model, window[:100], weights)


def test_memory_returns(network: Any, gradient: EnformerGradient) -> None:
    window, weights = random_window(SIZES.sequence_length), np.ones((1, 2))
    for _ in range(3):
        gradient(window, [3], weights)
    before = psutil.Process().memory_info().rss
    for _ in range(20):
        gradient(window, [3], weights)
    assert psutil.Process().memory_info().rss - before < 20e6
