"""The network of Basenji2. Apart from `Basenji2` itself, so that asking for its window imports no torch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from pdstore.models.basenji2 import Basenji2Sizes

_EPSILON = 1e-3
"""Of batch norms, as Keras has it."""


class Basenji2Network(nn.Module):
    """Activation, convolution, norm, and a pool or an addition, all the way; dropout is left out, since it predicts.

    Parameters
    ----------
    sizes : Basenji2Sizes
        Sizes.
    tracks : sequence of int
        The tracks that are computed.
    """

    def __init__(self, sizes: "Basenji2Sizes", tracks: Sequence[int]) -> None:
        super().__init__()
        self._sizes = sizes
        self.convolutions = nn.ModuleList()
        dilations = [1] * (1 + len(sizes.tower)) + [each for of in sizes.dilations for each in (of, 1)] + [1]
        for (width, before, after), dilation in zip(sizes.convolutions, dilations, strict=True):
            convolution = nn.Conv1d(before, after, width, padding="same", dilation=dilation, bias=False)
            self.convolutions.append(nn.Sequential(convolution, nn.BatchNorm1d(after, eps=_EPSILON)))
        self.dense = nn.Linear(sizes.last, len(tracks))

    def take(self, tensors: Sequence[NDArray[np.float32]], tracks: Sequence[int]) -> None:
        """Take weights, as `Basenji2Sizes.tensors` orders them."""
        *of_convolutions, kernel, bias = (torch.from_numpy(values) for values in tensors)
        with torch.no_grad():
            for number, of_number in enumerate(self.convolutions):
                convolution, norm = cast(tuple[nn.Conv1d, nn.BatchNorm1d], of_number)
                weight, *of_norm = of_convolutions[5 * number : 5 * number + 5]
                # Keras: (width, in, out); torch: (out, in, width).
                convolution.weight.copy_(weight.permute(2, 1, 0))
                names = ("weight", "bias", "running_mean", "running_var")
                norm.load_state_dict(dict(zip(names, of_norm, strict=True)), strict=False)
            self.dense.weight.copy_(kernel.T[list(tracks)])
            self.dense.bias.copy_(bias[list(tracks)])

    def forward(self, onehot: Tensor) -> Tensor:
        """(batch, positions, 4) → (batch, bins, tracks)."""
        *down, last = self.convolutions
        hidden = onehot.transpose(1, 2)
        for convolved in down[: 1 + len(self._sizes.tower)]:
            # The first one, too: the one-hot window is activated.
            hidden = functional.max_pool1d(convolved(_gelu(hidden)), 2)
        residual = down[1 + len(self._sizes.tower) :]
        for dilated, pointwise in zip(residual[::2], residual[1::2], strict=True):
            hidden = hidden + pointwise(_gelu(dilated(_gelu(hidden))))
        hidden = hidden[:, :, self._sizes.crop : hidden.shape[2] - self._sizes.crop]
        hidden = _gelu(last(_gelu(hidden)))
        return functional.softplus(self.dense(hidden.transpose(1, 2)))

    def mean_outputs(self, onehot: Tensor, bins: Sequence[int], shifts: Sequence[int]) -> Tensor:
        """Outputs at some bins, (batch, bins, tracks): the mean over shifts and both strands, if shifts are given."""
        if not shifts:
            found: Tensor = self(onehot)[:, list(bins)]
            return found
        reversed_bins = [self._sizes.bins - 1 - bin_ for bin_ in bins]
        total = onehot.new_zeros(())
        for shift in shifts:
            shifted = _shifted(onehot, shift)
            # The reverse complement is read from the other end.
            total = total + self(shifted)[:, list(bins)] + self(shifted.flip(1, 2))[:, reversed_bins]
        return total / (2 * len(shifts))


def _gelu(values: Tensor) -> Tensor:
    # As the weights of 2020 were trained; later versions of the code have another.
    return torch.sigmoid(1.702 * values) * values


def _shifted(onehot: Tensor, shift: int) -> Tensor:
    """Windows moved by `shift` bp, to the right where positive; 0.25 of each base takes the places that are left."""
    if shift == 0:
        return onehot
    padding = torch.full_like(onehot[:, : abs(shift)], 0.25)
    return torch.cat([padding, onehot[:, :-shift]] if shift > 0 else [onehot[:, -shift:], padding], dim=1)
