"""The gradient of an Enformer's outputs with respect to its one-hot input: as autograd's, in half the memory.

Reverse mode by hand where the activations are big, in the stem and the tower; by autograd in the transformer. Of a
stage is kept what its derivatives need and what would cost a matrix product to make again. It goes by chunks of
positions, rows rather than channels first, so that what lives between two matrix products stays in the cache.

Of a stage, with x its convolution, z = a(x) a batch norm and f the activation:

    h = x + W f(z) + b         of each pair (h0, h1): d = h0 - h1, p = sigmoid(V d), y = h1 + p d

y is the softmax pool of two. Given g, the derivative by y, and s, the scale of the batch norm, the derivatives are:

    by h0: g p + Vᵀ(g d p (1 - p))      by h1: g - that by h0      by x: that by h + s f'(z) Wᵀ that by h
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pdstore.models.enformer_parts import Affine, affine, blocks_of, head_of, layers_of
from pdstore.models.relative_transformer import transformed

_STEEPNESS = 1.702
"""Enformer's activation is torch's, x sigmoid(x), of 1.702 x, divided by 1.702: scales and weights take both in."""

_ROWS_AT_ONCE = {"cpu": 1_024, "cuda": 32_768}
"""Positions of a chunk, by kind of device; even."""


class _Kept(NamedTuple):
    """What a stage's gradient needs; d and p as above.

    Attributes
    ----------
    given : Tensor, shape (positions, channels of its input)
        Its input.
    convolved : Tensor, shape (positions, channels), or None
        Its convolution; None of the stem, where it is computed again, from bases, in no time.
    difference, share : Tensor, shape (positions / 2, channels)
        d and p.
    """

    given: Tensor
    convolved: Tensor | None
    difference: Tensor
    share: Tensor


@dataclass(frozen=True)
class _TowerStage:
    """A stage of the tower.

    Attributes
    ----------
    before : (Tensor, Tensor) or None
        Batch norm before the convolution; the stem has none, and no activation.
    taps : Tensor, shape (kernel, channels of its input, channels)
        The convolution.
    bias : Tensor, shape (channels,)
        The convolution's.
    norm : (Tensor, Tensor)
        Batch norm of the residual part.
    pointwise : (Tensor, Tensor)
        W and b.
    pool : Tensor, shape (channels, channels)
        V.
    """

    before: Affine | None
    taps: Tensor
    bias: Tensor
    norm: Affine
    pointwise: Affine
    pool: Tensor

    @property
    def _around(self) -> int:
        return len(self.taps) // 2

    def output(self, given: Tensor) -> tuple[Tensor, _Kept]:
        """The stage's output, shape (positions / 2, channels), and what its gradient needs."""
        positions, channels = len(given), len(self.bias)
        kept = _Kept(
            given,
            None if self.before is None else given.new_empty(positions, channels),
            given.new_empty(positions // 2, channels),
            given.new_empty(positions // 2, channels),
        )
        pooled = given.new_empty(positions // 2, channels)
        weight, bias = self.pointwise
        for start, stop in _chunks(given):
            pairs = slice(start // 2, stop // 2)
            rows = self._convolved(given, start, stop)
            if kept.convolved is not None:
                kept.convolved[start:stop] = rows
            hidden = torch.addmm(rows, functional.silu(_normed(rows, self.norm), inplace=True), weight.T)
            second = hidden[1::2]
            difference = torch.sub(hidden[0::2], second, out=kept.difference[pairs])
            share = torch.sigmoid(difference @ self.pool.T, out=kept.share[pairs])
            # The bias is none of a difference.
            torch.addcmul(second, share, difference, out=pooled[pairs]).add_(bias)
        return pooled, kept

    def gradient(self, kept: _Kept, gradient: Tensor) -> Tensor:
        """Gradient with respect to the stage's input, of that with respect to its output; shapes as of these."""
        positions, channels = kept.given.shape
        # The convolution's input with the zeros beyond its ends.
        padded = kept.given.new_zeros(positions + 2 * self._around, channels)
        for start, stop in _chunks(kept.given):
            of_rows = self._gradient_of_convolved(kept, gradient, start, stop)
            for tap, weight in enumerate(self.taps):
                padded[start + tap : stop + tap].addmm_(of_rows, weight.T)
        found = padded[self._around : self._around + positions]
        if self.before is not None:
            for start, stop in _chunks(kept.given):
                normed = _normed(kept.given[start:stop], self.before)
                chunk = found[start:stop]
                torch.mul(torch.ops.aten.silu_backward(chunk, normed), self.before[0], out=chunk)
        return found

    def _gradient_of_convolved(self, kept: _Kept, gradient: Tensor, start: int, stop: int) -> Tensor:
        pairs = slice(start // 2, stop // 2)
        of_pooled, difference, share = gradient[pairs], kept.difference[pairs], kept.share[pairs]
        of_logits = torch.ops.aten.sigmoid_backward(of_pooled * difference, share)
        of_first = (of_pooled * share).addmm_(of_logits, self.pool)
        of_hidden = torch.stack((of_first, of_pooled - of_first), 1).flatten(0, 1)
        rows = self._convolved(kept.given, start, stop) if kept.convolved is None else kept.convolved[start:stop]
        normed = _normed(rows, self.norm)
        through = torch.ops.aten.silu_backward(of_hidden @ self.pointwise[0], normed)
        return of_hidden.addcmul_(through, self.norm[0])

    def _convolved(self, given: Tensor, start: int, stop: int) -> Tensor:
        """The convolution at some positions: shape (positions, channels)."""
        seen = self._seen(given, start, stop)
        rows = torch.addmm(self.bias, seen[: stop - start], self.taps[0])
        for tap in range(1, len(self.taps)):
            rows.addmm_(seen[tap : tap + stop - start], self.taps[tap])
        return rows

    def _seen(self, given: Tensor, start: int, stop: int) -> Tensor:
        """What the convolution sees of its input, with zeros beyond its ends: these come after the activation."""
        first, last = start - self._around, stop + self._around
        seen = given[max(first, 0) : last]
        if self.before is not None:
            seen = functional.silu(_normed(seen, self.before), inplace=True)
        missing = (max(-first, 0), max(last - len(given), 0))
        return functional.pad(seen, (0, 0, *missing)) if any(missing) else seen


class EnformerGradient:
    """Gradients of an Enformer's outputs: a vector-Jacobian product, for one window at a time.

    Holds copies of the convolutions' weights and of the relative keys (0.4 GB of the published network) and, while it
    computes, about 2.5 times the activations of the tower (2.7 GB) and those of the transformer (1.7 GB).

    Parameters
    ----------
    network : enformer_pytorch.Enformer
        The network, on its device, float32.
    rows : int
        Rows of its transformer.
    tracks : Tensor of int64, shape (tracks,)
        Which tracks of the head.
    head : str
        Which head.
    """

    def __init__(self, network: Any, rows: int, tracks: Tensor, head: str) -> None:
        self._device = tracks.device
        self._crop = (rows - network.target_length) // 2
        with torch.no_grad():
            self._stages = _stages(network)
            self._kernel = network.stem[0].kernel_size[0]
            self._head = head_of(network, tracks, head)
        self._layers = layers_of(network, rows)

    def __call__(
        self, onehot: NDArray[np.bool_], bins: Sequence[int], weights: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Gradient of the weighted sum of outputs at some bins.

        Parameters
        ----------
        onehot : ndarray of bool, shape (positions, 4)
            The window; A, C, G, T, and N all zeros.
        bins : sequence of int
            Bins of the cropped output, 0-based.
        weights : ndarray of float64, shape (bins, tracks)
            Weight of each output.

        Returns
        -------
        ndarray of float32, shape (positions, 4)
            Of all four bases at each position, whichever of them the window has.
        """
        with torch.no_grad():
            rows = self._unfolded(torch.from_numpy(np.array(onehot, order="C")).to(self._device).float())
            kept = []
            for stage in self._stages:
                rows, of_stage = stage.output(rows)
                kept.append(of_stage)
            gradient = self._gradient_of_rows(rows, bins, torch.from_numpy(weights).to(self._device).float())
            del rows, of_stage
            for stage in reversed(self._stages):
                gradient = stage.gradient(kept.pop(), gradient)
            found: NDArray[np.float32] = self._folded(gradient).cpu().numpy()
        return found

    def _gradient_of_rows(self, rows: Tensor, bins: Sequence[int], weights: Tensor) -> Tensor:
        """The same with respect to the transformer's input, shape (rows, features)."""
        targets = [self._crop + bin_ for bin_ in bins]
        with torch.enable_grad():
            rows = rows.detach().requires_grad_()
            outputs = self._head(transformed(self._layers, rows, targets))
            (gradient,) = torch.autograd.grad(outputs, rows, weights)
        return gradient

    def _unfolded(self, onehot: Tensor) -> Tensor:
        """What the stem's convolution sees at each position: shape (positions, kernel x 4), position before base."""
        around = self._kernel // 2
        windows = functional.pad(onehot, (0, 0, around, around)).unfold(0, self._kernel, 1)
        return windows.transpose(1, 2).flatten(1)

    def _folded(self, gradient: Tensor) -> Tensor:
        """The gradient of bases, shape (positions, 4), of that of what the stem's convolution sees."""
        positions, around = len(gradient), self._kernel // 2
        padded = gradient.new_zeros(positions + 2 * around, 4)
        for tap, of_tap in enumerate(gradient.view(positions, self._kernel, 4).unbind(1)):
            padded[tap : tap + positions] += of_tap
        return padded[around : around + positions]


def _stages(network: Any) -> list[_TowerStage]:
    stages = []
    for convolution, residual, pool, before in blocks_of(network):
        taps = convolution.weight.permute(2, 1, 0)
        # Few channels are no work for a matrix product: the stem sees its whole kernel as channels.
        taps = taps.flatten(0, 1)[None] if before is None else taps / _STEEPNESS
        stages.append(
            _TowerStage(
                before=None if before is None else _steeper(before),
                taps=taps.contiguous(),
                bias=convolution.bias,
                norm=_steeper(affine(residual[0])),
                pointwise=(residual[2].weight[:, :, 0] / _STEEPNESS, residual[2].bias),
                pool=pool.to_attn_logits.weight[:, :, 0, 0],
            )
        )
    return stages


def _chunks(rows: Tensor) -> Iterator[tuple[int, int]]:
    """First and last position, exclusive, of each chunk."""
    at_once = _ROWS_AT_ONCE["cpu" if rows.device.type == "cpu" else "cuda"]
    return ((start, min(start + at_once, len(rows))) for start in range(0, len(rows), at_once))


def _normed(rows: Tensor, norm: Affine) -> Tensor:
    scale, shift = norm
    return torch.addcmul(shift, rows, scale)


def _steeper(norm: Affine) -> Affine:
    scale, shift = norm
    return scale * _STEEPNESS, shift * _STEEPNESS
