"""The means over segments of a rectified convolution, forward and backward, without ever holding the convolution.

Of a long window the convolution is most of what a network computes, and its activations, 36 million numbers of a window
of the published CNN, are read and written several times from memory. Here a segment is convolved, rectified and
averaged while it is in the processor's cache, and once more for the gradient.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_ACTIVATIONS_AT_ONCE = {"cpu": 1_000_000, "cuda": 50_000_000}
"""On a CPU what stays in its cache, 4 MB; on a GPU what keeps it busy."""


def pooled_convolution(windows: Tensor, weight: Tensor, bias: Tensor, pool: int) -> Tensor:
    """Means over segments of the rectified convolution of windows.

    Parameters
    ----------
    windows : Tensor, shape (batch, positions, channels)
        What is convolved.
    weight : Tensor, shape (kernels, channels, width)
        As of `torch.nn.Conv1d`.
    bias : Tensor, shape (kernels,)
        Of the kernels.
    pool : int
        Positions of the convolution that a segment has; what is left behind the last whole one is not read.

    Returns
    -------
    Tensor, shape (batch, kernels, segments)
        What `avg_pool1d(relu(conv1d(windows.transpose(1, 2), weight, bias)), pool)` gives, but for rounding.
    """
    found: Tensor = _PooledConvolution.apply(windows, weight, bias, pool)  # type: ignore[no-untyped-call]
    return found


class _PooledConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, windows: Tensor, weight: Tensor, bias: Tensor, pool: int) -> Tensor:
        ctx.save_for_backward(windows, weight, bias)
        ctx.pool = pool
        kernels = len(weight)
        rows = _Rows(windows, weight, pool)
        found = windows.new_empty(len(windows), rows.segments, kernels)
        for part in rows.parts():
            activations = torch.addmm(bias, rows.of(part), weight.flatten(1).T).relu_()
            found[part] = activations.view(*found[part].shape[:2], pool, kernels).mean(2)
        return found.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_means: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        windows, weight, bias = ctx.saved_tensors
        kernels, channels, width = weight.shape
        rows = _Rows(windows, weight, ctx.pool)
        of_segments = of_means.transpose(1, 2) / ctx.pool
        of_weight, of_bias = torch.zeros_like(weight).flatten(1), torch.zeros_like(bias)
        of_windows = torch.zeros_like(windows) if ctx.needs_input_grad[0] else None
        for part in rows.parts():
            read = rows.of(part)
            # Of the activations the signs alone are needed: that costs less than to keep them.
            passed = torch.addmm(bias, read, weight.flatten(1).T).gt_(0)
            above = of_segments[part]
            passed.view(*above.shape[:2], ctx.pool, kernels).mul_(above[:, :, None])
            of_weight.addmm_(passed.T, read)
            of_bias += passed.sum(0)
            if of_windows is not None:
                whose, segments = part
                of_read = (passed @ weight.flatten(1)).view(above.shape[0], -1, channels, width)
                first = segments.start * ctx.pool
                for place in range(width):
                    begin = first + place
                    of_windows[whose, begin : begin + of_read.shape[1]] += of_read[..., place]
        return of_windows, of_weight.view_as(weight), of_bias, None


class _Rows:
    """What the kernels read at each position, in parts whose activations are computed at once.

    A part is a slice of windows and one of segments: all segments of some windows, or some of one.
    """

    def __init__(self, windows: Tensor, weight: Tensor, pool: int) -> None:
        kernels, _, width = weight.shape
        self.segments = (windows.shape[1] - width + 1) // pool
        self._windows = len(windows)
        read = windows.unfold(1, width, 1)[:, : self.segments * pool]
        # A view: (windows, segments, positions, channels, width).
        self._read = read.unflatten(1, (self.segments, pool))
        at_once = _ACTIVATIONS_AT_ONCE["cpu" if windows.device.type == "cpu" else "cuda"]
        self._at_once = max(1, at_once // (pool * kernels))

    def parts(self) -> Iterator[tuple[slice, slice]]:
        windows, segments = max(1, self._at_once // self.segments), min(self._at_once, self.segments)
        for window in range(0, self._windows, windows):
            for segment in range(0, self.segments, segments):
                yield (
                    slice(window, min(window + windows, self._windows)),
                    slice(segment, min(segment + segments, self.segments)),
                )

    def of(self, part: tuple[slice, slice]) -> Tensor:
        """(rows, channels x width), window by window, position by position."""
        found: Tensor = self._read[part].flatten(0, 2).flatten(1)
        return found
