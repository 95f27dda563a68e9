"""Differences in bfloat16: the effects of windows, held against those in float32."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pdstore.errors import PrecisionError
from pdstore.haplotypes.onehot import one_hot
from pdstore.models import difference_transformer, enformer_engine
from pdstore.models.difference_transformer import DifferenceTransformer, operand
from pdstore.models.enformer import Enformer
from pdstore.models.enformer_engine import EnformerEngine
from pdstore.models.enformer_network import random_network, save_network
from pdstore.models.enformer_weights import EnformerSizes
from pdstore.models.protocol import ModelOptions, predict_in_batches
from pdstore.models.shared_tower import SharedTower

SIZES = EnformerSizes(
    dim=96,
    depth=4,
    heads=4,
    attn_dim_key=16,
    dim_divisible_by=16,
    target_length=8,
    sequence_length=128 * 40,
    output_heads={"human": 5},
    use_tf_gamma=False,
)
BINS, TRACKS = torch.tensor([3, 4]), torch.tensor([0, 3])


def reference() -> NDArray[np.bool_]:
    return one_hot(np.random.default_rng(0).choice(np.frombuffer(b"ACGT", np.uint8), SIZES.sequence_length))


def windows(number: int, changes: int) -> NDArray[np.bool_]:
    """The reference with other bases at random places."""
    rng = np.random.default_rng(1)
    found = np.repeat(reference()[None], number, axis=0)
    for window in found:
        for position in rng.choice(len(window), changes, replace=False):
            window[position] = np.roll(window[position], rng.integers(1, 4))
    return found


@pytest.fixture(scope="module")
def network() -> Any:
    return random_network(SIZES, False, seed=3)


def made(network: Any, differences: bool) -> EnformerEngine:
    return EnformerEngine(network, SIZES.rows, BINS, TRACKS, "human", differences)


@pytest.mark.parametrize("changes", [1, 40])
def test_effects_are_those_in_float32(network: Any, changes: int) -> None:
    asked = np.concatenate([windows(24, changes), reference()[None]])
    exact, found = (made(network, differences).predict(reference(), asked) for differences in (False, True))
    effects, expected = (of[:-1].astype(np.float64) - of[-1] for of in (found, exact))
    np.testing.assert_allclose(found[-1], exact[-1], rtol=1e-5, err_msg="the reference is in float32")
    assert np.linalg.norm(effects - expected) < 0.02 * np.linalg.norm(expected)
    assert np.corrcoef(effects.ravel(), expected.ravel())[0, 1] > 0.999
    assert not np.array_equal(found[:-1], exact[:-1]), "the same numbers: were differences rounded at all?"


def test_without_rounding_differences_are_exact(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difference_transformer, "operand", lambda values: values)
    asked = windows(4, 60)
    exact, found = (made(network, differences).predict(reference(), asked) for differences in (False, True))
    np.testing.assert_allclose(found, exact, rtol=2e-5)


def test_a_window_without_a_change_has_bit_for_bit_the_outputs_of_the_reference(network: Any) -> None:
    layers = made(network, False)._layers
    rows = torch.randn(SIZES.rows, layers[0].projections.shape[1], generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        transformer = DifferenceTransformer(layers, [3])
        transformer.keep(rows)
        nothing = torch.empty(0, dtype=torch.int64)
        kept = layers[-1].target_rows(transformer._last, [3])  # type: ignore[arg-type]
        assert torch.equal(transformer.outputs(rows, nothing), kept)


def test_effects_that_are_further_off_than_allowed_are_refused(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difference_transformer, "operand", lambda values: operand(values) * 1.5)
    with pytest.raises(PrecisionError, match=r"misses the effect of a window by \d+\.\d%, more than the 2%"):
        made(network, True).predict(reference(), windows(3, 20))


def test_what_is_no_number_is_refused(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, calls = DifferenceTransformer.outputs, iter(range(100))
    monkeypatch.setattr(
        DifferenceTransformer, "outputs", lambda *given: outputs(*given) * (np.nan if next(calls) == 2 else 1)
    )
    with pytest.raises(PrecisionError):
        made(network, True).predict(reference(), windows(5, 3))


def test_the_largest_effects_are_checked(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = made(network, True)
    checked: list[NDArray[np.bool_]] = []
    numbered = SharedTower.numbered

    def seen(self: SharedTower, onehot: NDArray[np.bool_]) -> Iterator[Any]:
        checked.append(onehot)
        return numbered(self, onehot)

    monkeypatch.setattr(SharedTower, "numbered", seen)
    monkeypatch.setattr(enformer_engine, "_WINDOWS_A_CHECK", 4)
    asked = windows(9, 3)
    found = engine.predict(reference(), asked)
    effects = np.abs(found - engine.predict(reference(), reference()[None])).mean(axis=(1, 2))
    np.testing.assert_array_equal(checked[1], asked[np.argsort(-effects)[:2]])


def test_a_model_computes_with_differences_where_that_is_asked_for(network: Any, tmp_path: Path) -> None:
    save_network(network, SIZES, tmp_path / "enformer")
    exact, model = (
        Enformer.load(tmp_path / "enformer", ModelOptions(tracks="all", precision=precision))
        for precision in ("float32", "delta-bf16")
    )
    assert model.description.options["precision"] == "delta-bf16"
    asked = windows(3, 5)
    found, expected = (predict_in_batches(of, asked, reference()) for of in (model, exact))
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert not np.array_equal(found, expected)
