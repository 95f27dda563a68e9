"""Derivatives of readouts: of finite differences, of torch, of the definition."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pdstore.analysis.gradient import gradient_x_input
from pdstore.analysis.readout import ELASTIC_NET, READOUT_NAMES, read_out, readout_gradient
from pdstore.errors import UsageError

TRACKS = arrays(
    np.float64, st.tuples(st.integers(1, 4), st.integers(1, 3), st.just(3)), elements=st.floats(0.0625, 100)
)


def weights_of(readout: str) -> list[float] | None:
    return [0.5, -2.0, 0.25, 3.0] if readout == ELASTIC_NET else None


@pytest.mark.parametrize("readout", READOUT_NAMES)
@given(tracks=TRACKS)
def test_finite_differences(readout: str, tracks: NDArray[np.float64]) -> None:
    weights = weights_of(readout)
    found = readout_gradient(tracks, readout, weights)
    assert found.shape == tracks.shape
    assert found.dtype == np.float64
    for bin_, track in np.ndindex(tracks.shape[1:]):
        step = np.zeros_like(tracks)
        step[:, bin_, track] = 1e-4 * tracks[:, bin_, track]
        up, down = (read_out(tracks + sign * step, readout, weights) for sign in (1, -1))
        slope = (up - down) / (2 * step[:, bin_, track])
        np.testing.assert_allclose(found[:, bin_, track], slope, rtol=1e-6)


@pytest.mark.parametrize("readout", READOUT_NAMES)
@given(tracks=TRACKS)
def test_torch(readout: str, tracks: NDArray[np.float64]) -> None:
    x = torch.from_numpy(tracks).requires_grad_()
    log2_sum = torch.log2(x.sum(-2))
    value = {
        "sum": x.sum(-2).mean(-1),
        "sum_log": torch.log(x).sum(-2).mean(-1),
        "log2_sum": log2_sum.mean(-1),
        ELASTIC_NET: (log2_sum * torch.tensor([0.5, -2.0, 0.25])).sum(-1) + 3.0,
    }[readout]
    weights = weights_of(readout)
    np.testing.assert_allclose(read_out(tracks, readout, weights), value.detach(), rtol=1e-9, atol=1e-12)
    value.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(readout_gradient(tracks, readout, weights), x.grad, rtol=1e-12)


def test_a_tiny_case() -> None:
    tracks = np.array([[1, 2], [3, 6]], dtype=np.float32)
    np.testing.assert_array_equal(readout_gradient(tracks, "sum"), [[0.5, 0.5], [0.5, 0.5]])
    np.testing.assert_allclose(readout_gradient(tracks, "sum_log"), [[1 / 2, 1 / 4], [1 / 6, 1 / 12]])
    by_track = np.array([1 / 8, 1 / 16]) / np.log(2)
    np.testing.assert_allclose(readout_gradient(tracks, "log2_sum"), [by_track, by_track])
    net = np.array([3 / 4, -1 / 8]) / np.log(2)
    np.testing.assert_allclose(readout_gradient(tracks, ELASTIC_NET, [3, -1, 7]), [net, net])


def test_where_there_is_no_logarithm_there_is_no_slope() -> None:
    tracks = [[1.0, 2.0], [0.0, 2.0]]
    assert not np.isnan(readout_gradient(tracks, "sum")).any()
    np.testing.assert_array_equal(np.isnan(readout_gradient(tracks, "sum_log")), [[False, False], [True, False]])
    assert not np.isnan(readout_gradient(tracks, "log2_sum")).any()
    for readout in ("log2_sum", ELASTIC_NET):
        weights = [1, 0, 0] if readout == ELASTIC_NET else None
        found = readout_gradient([[1.0, 0.0], [1.0, 0.0]], readout, weights)
        np.testing.assert_array_equal(np.isnan(found), [[False, True], [False, True]])


def test_what_read_out_refuses() -> None:
    with pytest.raises(UsageError, match="unknown readout 'mean'"):
        readout_gradient([[1.0]], "mean")
    with pytest.raises(UsageError, match="readout elastic_net needs weights"):
        readout_gradient([[1.0]], ELASTIC_NET)
    with pytest.raises(UsageError, match="2 weights of tracks, but there are 1 tracks"):
        readout_gradient([[1.0]], ELASTIC_NET, [1, 1, 0])


def test_gradient_x_input_is_that_of_the_alternate_base_minus_that_of_the_reference() -> None:
    gradient = np.arange(12, dtype=np.float32).reshape(3, 4) ** 2
    base = np.eye(4, dtype=bool)
    unknown = np.zeros(4, dtype=bool)
    found = gradient_x_input(gradient, [2, 0, 1], [base[0], base[3], unknown], [base[2], base[1], base[1]])
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [10**2 - 8**2, 1 - 3**2, 5**2])
    assert gradient_x_input(gradient, np.zeros(0, int), np.zeros((0, 4)), np.zeros((0, 4))).shape == (0,)
