"""Networks of the DREAM challenge: published numbers of parameters, every combination of parts, parts by hand."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from torch import nn

from pdstore.models.prixfixe import (
    CORE,
    FINAL,
    FIRST,
    Architecture,
    Attentive,
    FeedForward,
    InvertedStage,
    SqueezeAndExcite,
    build,
    expected_class,
    named,
)

PUBLISHED = [
    ("dream-cnn", "classes", 6, 150, 1_933_970),
    ("dream-rnn", "classes", 6, 150, 4_130_578),
    ("dream-attn", "classes", 6, 150, 4_539_410),
    ("dream-cnn", "value", 5, 230, 1_945_857),
    ("dream-rnn", "value", 5, 230, 4_203_393),
    ("dream-attn", "value", 5, 230, 4_619_521),
]


@pytest.mark.parametrize(("name", "final", "channels", "positions", "parameters"), PUBLISHED)
def test_the_published_nets_have_the_published_number_of_parameters(
    name: str, final: str, channels: int, positions: int, parameters: int
) -> None:
    with torch.device("meta"):
        network = build(named(name, final), channels, positions)
    assert sum(values.numel() for values in network.parameters()) == parameters
    outputs = network.eval()(torch.empty(3, channels, positions, device="meta"))
    assert outputs.shape == (3, 18 if final == "classes" else 1)


@pytest.mark.parametrize(("first", "core", "final"), list(product(FIRST, CORE, FINAL)))
def test_every_combination_learns(first: str, core: str, final: str) -> None:
    torch.manual_seed(0)
    network = build(Architecture(first, core, final, 16, 16), 4, 40)
    given = torch.randn(8, 4, 40)
    outputs = network(given)
    outputs.square().sum().backward()
    for name, values in network.named_parameters():
        assert values.grad is not None, name
        assert torch.isfinite(values.grad).all(), name
    network.eval()
    with torch.inference_mode():
        together = network(given)
        assert together.std(dim=0).min() > 0
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
