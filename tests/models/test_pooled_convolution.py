"""Means over segments of a rectified convolution, against torch's layers one by one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pdstore.models import pooled_convolution as module
from pdstore.models.pooled_convolution import pooled_convolution


def by_layers(windows: Tensor, weight: Tensor, bias: Tensor, pool: int) -> Tensor:
    convolved = nn.functional.conv1d(windows.transpose(1, 2), weight, bias)
    return nn.functional.avg_pool1d(convolved.relu(), pool)


@settings(deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 4), st.integers(1, 5), st.integers(1, 4)),
    left_over=st.integers(0, 3),
    at_once=st.integers(1, 200),
    seed=st.integers(0, 2**31),
)
def test_values_and_gradients_are_those_of_torchs_layers(
    sizes: tuple[int, int, int, int, int], left_over: int, at_once: int, seed: int
) -> None:
    """However much is computed at once, and with positions left over behind the last segment."""
    batch, kernels, width, pool, segments = sizes
    torch.manual_seed(seed)
    positions = pool * segments + min(left_over, pool - 1) + width - 1
    windows = torch.randn(batch, positions, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(kernels, 4, width, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(kernels, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(batch, kernels, segments, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module._ACTIVATIONS_AT_ONCE, "cpu", at_once)
        found = pooled_convolution(windows, weight, bias, pool)
        of_found = torch.autograd.grad(found, (windows, weight, bias), upstream)
    expected = by_layers(windows, weight, bias, pool)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(of_found, torch.autograd.grad(expected, (windows, weight, bias), upstream))


def test_a_window_has_the_same_bits_in_any_company_where_one_segment_is_computed_at_once() -> None:
    """As of the published sizes: 900 kernels, 900 positions a segment."""
    torch.manual_seed(0)
    windows, weight, bias = torch.rand(3, 3_000, 4), torch.randn(900, 4, 10), torch.randn(900)
    together = pooled_convolution(windows, weight, bias, 900)
    for window, of_window in zip(windows, together, strict=True):
        assert torch.equal(pooled_convolution(window[None], weight, bias, 900)[0], of_window)


def test_neither_values_nor_gradients_hold_the_convolution() -> None:
    """What autograd keeps is the windows and the kernels."""
    kept: list[Tensor] = []
    windows, convolution = torch.rand(2, 40_001, 4), nn.Conv1d(4, 50, 10)
    assert convolution.bias is not None
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        pooled_convolution(windows, convolution.weight, convolution.bias, 900)
    assert sum(tensor.numel() for tensor in kept) == windows.numel() + 50 * 4 * 10 + 50
