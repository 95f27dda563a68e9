"""Networks of the DREAM challenge: published numbers of parameters, every combination of parts, parts by hand."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax, softmax
from scipy.stats import norm
from torch import Tensor, nn

from pdstore.errors import ModelError
from pdstore.models.dream import NAMED, Core, Dream, DreamConfig, DreamRnn, Final, First
from pdstore.models.dream_network import soft_labels
from pdstore.models.dream_parts import (
    CORE,
    FINAL,
    FIRST,
    Attentive,
    FeedForward,
    InvertedStage,
    SqueezeAndExcite,
    expected_class,
)
from pdstore.models.trainable import Examples

PUBLISHED: list[tuple[str, Final, int, int]] = [
    ("dream-cnn", "classes", 150, 1_933_970),
    ("dream-rnn", "classes", 150, 4_130_578),
    ("dream-attn", "classes", 150, 4_539_410),
    ("dream-cnn", "value", 230, 1_945_857),
    ("dream-rnn", "value", 230, 4_203_393),
    ("dream-attn", "value", 230, 4_619_521),
]


def small(first: First = "wide", core: Core = "recurrent", final: Final = "value") -> DreamConfig:
    return DreamConfig(40, 20, "gene", first, core, final, 16, 16)


def random_windows(number: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.eye(4, dtype=np.float32)[np.random.default_rng(seed).integers(4, size=(number, 40))])


@pytest.mark.parametrize(("name", "final", "positions", "parameters"), PUBLISHED)
def test_the_published_nets_have_the_published_number_of_parameters(
    name: str, final: Final, positions: int, parameters: int
) -> None:
    first, core, channels, features = NAMED[name]
    with torch.device("meta"):
        network = DreamConfig(positions, 0, "gene", first, core, final, channels, features).network()
        outputs, _ = network.eval().outputs(torch.empty(3, positions, 4), torch.empty(3))
    assert sum(values.numel() for values in network.parameters()) == parameters
    assert outputs.shape == (3, 18 if final == "classes" else 1)


def test_the_config_knows_the_parts_by_name() -> None:
    for kind, parts in ((First, FIRST), (Core, CORE), (Final, FINAL)):
        assert get_args(kind) == tuple(parts)


@pytest.mark.parametrize(("first", "core", "final"), list(product(FIRST, CORE, FINAL)))
def test_every_combination_learns(first: First, core: Core, final: Final) -> None:
    torch.manual_seed(0)
    network = small(first, core, final).network()
    given = random_windows(8)
    network.loss(Examples(given, torch.linspace(0, 17, 8))).backward()  # type: ignore[no-untyped-call]
    for name, values in network.named_parameters():
        assert values.grad is not None, name
        assert torch.isfinite(values.grad).all(), name
    network.eval()
    with torch.inference_mode():
        together = network(given)
        assert together.std() > 0
        alone = torch.cat([network(one[None]) for one in given])
    np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-6)


def test_the_attentive_core_keeps_the_number_of_features() -> None:
    with pytest.raises(ValueError, match="as many features as it is given: 16, not 8"):
        Attentive(16, 8, 10)


def test_squeeze_and_excite_by_hand() -> None:
    torch.manual_seed(0)
    part = SqueezeAndExcite(6, 3)
    given = torch.randn(2, 6, 5)
    state = {name: values.numpy() for name, values in part.state_dict().items()}
    mean = given.numpy().mean(axis=2)
    squeezed = mean @ state["weights.0.weight"].T + state["weights.0.bias"]
    squeezed = squeezed * expit(squeezed)
    weights = expit(squeezed @ state["weights.2.weight"].T + state["weights.2.bias"])
    np.testing.assert_allclose(part(given).detach(), given.numpy() * weights[:, :, None], rtol=1e-5)


def test_the_feed_forward_part_by_hand() -> None:
    torch.manual_seed(0)
    part = FeedForward(8).eval()
    given = torch.randn(2, 5, 8)
    x = given.numpy().astype(float)
    x = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)
    widened = x @ part.widen.weight.detach().numpy().T
    gated = widened[..., :16] * widened[..., 16:] * expit(widened[..., 16:])
    np.testing.assert_allclose(
        part(given).detach(), gated @ part.narrow.weight.detach().numpy().T, rtol=1e-4, atol=1e-6
    )


def test_a_stage_sees_its_input_before_what_it_makes_of_it() -> None:
    stage = InvertedStage(8, 4).eval()
    convolution = stage.resize[0]
    assert isinstance(convolution, nn.Conv1d)
    given = torch.randn(1, 8, 20)
    with torch.no_grad():
        convolution.weight[:, 8:] = 0
        expected = stage.resize[1:](nn.functional.conv1d(given, convolution.weight[:, :8], padding="same"))
        np.testing.assert_allclose(stage(given), expected, rtol=1e-4, atol=1e-6)


def test_expression_is_the_mean_class() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 18))
    expected = softmax(logits, axis=1) @ np.arange(18)
    np.testing.assert_allclose(expected_class(torch.from_numpy(logits)), expected)
    certain = torch.full((1, 18), -100.0)
    certain[0, 11] = 100
    assert expected_class(certain).item() == pytest.approx(11)


def test_a_soft_label_is_the_mass_around_the_measurement() -> None:
    measured = np.array([11.0, 0.0, 3.7, 17.0])
    labels = soft_labels(torch.from_numpy(measured)).numpy()
    # As published for a measurement of 11.
    np.testing.assert_allclose(labels[0, 9:14], [0.0013, 0.1573, 0.6827, 0.1573, 0.0013], atol=5e-5)
    assert labels[0] @ np.arange(18) == pytest.approx(11)
    for label, value in zip(labels, measured, strict=True):
        edges = np.array([-np.inf, *range(1, 18), np.inf])
        np.testing.assert_allclose(label, np.diff(norm.cdf(edges, value + 0.5, 0.5)), atol=1e-12)


def test_channels_are_the_bases_in_the_order_of_the_challenge_then_strand_then_singleton() -> None:
    network = small(final="classes").network()
    seen: list[Tensor] = []
    network.first.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    windows = torch.zeros(1, 40, 4)
    for place, base in enumerate("ACGT"):
        windows[0, place, "ACGT".index(base)] = 1
    network.outputs(windows, torch.ones(1))
    forward, reverse = (of[0].numpy() for of in seen)
    # A, G, C, T; what is N has no base.
    assert ["AGCT"[channel] for channel in forward[:4, :4].argmax(axis=0)] == list("ACGT")
    assert ["AGCT"[channel] for channel in reverse[:4, -4:].argmax(axis=0)] == list("ACGT")
    assert not forward[:4, 4:].any()
    assert not reverse[:4, :-4].any()
    assert (forward[4].max(), reverse[4].min(), forward[5].min(), reverse[5].min()) == (0, 1, 1, 1)


@pytest.mark.parametrize("final", ["classes", "value"])
def test_a_prediction_is_the_mean_over_both_strands_of_many_cells(final: Final) -> None:
    torch.manual_seed(0)
    network = small(final=final).network().eval()
    windows = random_windows(3)
    with torch.inference_mode():
        outputs = network.outputs(windows, torch.zeros(3))
        found = network(windows).numpy()
    if final == "classes":
        expected = np.mean([softmax(of.numpy(), axis=1) @ np.arange(18) for of in outputs], axis=0)
    else:
        expected = np.mean([of.numpy()[:, 0] for of in outputs], axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_loss_of_classes_is_the_divergence_from_the_soft_label() -> None:
    torch.manual_seed(0)
    network = small(final="classes").network().eval()
    windows, measured = random_windows(3), np.array([4.0, 9.3, 16.9], np.float32)
    with torch.inference_mode():
        loss = network.loss(Examples(windows, torch.from_numpy(measured))).item()
        outputs = network.outputs(windows, torch.tensor([1.0, 0.0, 0.0]))
    edges = np.array([-np.inf, *range(1, 18), np.inf])
    labels = np.array([np.diff(norm.cdf(edges, value + 0.5, 0.5)) for value in measured])
    of_strands = [(labels * (np.log(labels + 1e-300) - log_softmax(of.numpy(), axis=1))).sum(axis=1) for of in outputs]
    assert loss == pytest.approx(np.mean(of_strands), rel=1e-4)


def test_weights_of_other_parts_are_refused_by_a_named_network(tmp_path: Path) -> None:
    path = tmp_path / "dream.safetensors"
    config = small()
    Dream.of(config, config.network(), "cpu").save(path)
    assert Dream.load(path).config == config
    with pytest.raises(
        ModelError, match=r"wide first layers \(16 channels\) and a recurrent core \(16 features\), but dream-rnn is"
    ):
        DreamRnn.load(path)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"first": "tall"}, "first is 'tall', expected one of wide, narrow"),
        ({"core": "attentive", "channels": 20}, "20 channels and 16 features, expected the same number"),
        ({"channels": 15}, "15 channels, expected an even number"),
        ({"features": 0}, "features is 0, expected a whole number"),
        ({"tss_offset": 40}, "tss_offset is 40, expected 0 to 39"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        replace(small(), **parts)
