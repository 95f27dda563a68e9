"""An Enformer that computes what a window changes of a reference window, and only what the target bins need.

The numbers are those of the plain network but for rounding: sums are taken in another order.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pdstore.models.enformer_parts import Affine, activated, affine, blocks_of, head_of, layers_of
from pdstore.models.relative_transformer import transformed
from pdstore.models.shared_tower import ReferenceTower, Stage


class EnformerEngine:
    """The same function as `outputs_at` of the plain network, for windows that are nearly a reference window.

    Keeps the stages of the last reference (0.65 GB of the published network), and must be called from one thread.

    Parameters
    ----------
    network : enformer_pytorch.Enformer
        The network, on its device.
    rows : int
        Rows of its transformer.
    bins, tracks : Tensor of int64
        Which bins of the cropped output, and which tracks of the head.
    head : str
        Which head.
    """

    def __init__(self, network: Any, rows: int, bins: Tensor, tracks: Tensor, head: str) -> None:
        self._device = str(bins.device)
        self._stages = _stages(network)
        self._layers = layers_of(network, rows)
        self._targets = [int(bin_) + (rows - network.target_length) // 2 for bin_ in bins]
        self._head = head_of(network, tracks, head)
        self._number_of_tracks = len(tracks)
        self._reference: NDArray[np.bool_] | None = None
        self._tower: ReferenceTower | None = None

    @property
    def rows_computed(self) -> int:
        """Rows of the transformer's input that were computed for windows of the last reference, beside its own."""
        return 0 if self._tower is None else self._tower.rows_computed

    def predict(self, reference: NDArray[np.bool_], onehot: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Outputs for windows.

        Parameters
        ----------
        reference : ndarray of bool, shape (positions, 4)
            The reference window; A, C, G, T, and N all zeros.
        onehot : ndarray of bool, shape (windows, positions, 4)
            Windows; the fewer bases differ from the reference at the same position, the faster.

        Returns
        -------
        ndarray of float32, shape (windows, bins, tracks)
        """
        found = np.empty((len(onehot), len(self._targets), self._number_of_tracks), dtype=np.float32)
        with torch.inference_mode():
            for window, rows in enumerate(self._tower_of(reference).outputs(onehot)):
                found[window] = self._head(transformed(self._layers, rows, self._targets)).cpu().numpy()
        return found

    def _tower_of(self, reference: NDArray[np.bool_]) -> ReferenceTower:
        if self._tower is None or self._reference is None or not np.array_equal(self._reference, reference):
            # The old one goes first: both would not fit where one does.
            self._tower = None
            self._tower = ReferenceTower(self._stages, reference, self._device)
            self._reference = np.array(reference)
        return self._tower


def _stages(network: Any) -> Sequence[Stage]:
    """The stem and the tower: each ends in what the next stage's convolution takes."""
    blocks = blocks_of(network)
    norms = [before for *_, before in blocks[1:]]
    stages = []
    for (convolution, residual, pool, _), after in zip(blocks, [*norms, None], strict=True):
        weight = convolution.weight.transpose(1, 2).flatten(1).contiguous()
        compute = partial(
            _convolved_and_pooled,
            convolution=(weight, convolution.bias),
            norm=affine(residual[0]),
            pointwise=(residual[2].weight[:, :, 0].contiguous(), residual[2].bias),
            pool=pool.to_attn_logits.weight[:, :, 0, 0].contiguous(),
            after=after,
        )
        stages.append(Stage(convolution.kernel_size[0], pool.pool_size, compute))
    return stages


def _convolved_and_pooled(
    seen: Tensor, convolution: Affine, norm: Affine, pointwise: Affine, pool: Tensor, after: Affine | None
) -> Tensor:
    """A stage's output: shape (rows, channels), of what its convolutions see, shape (rows, 2, kernel x channels)."""
    rows = functional.linear(seen.flatten(0, 1), *convolution)
    rows = rows + functional.linear(activated(rows, norm), *pointwise)
    first, second = rows[0::2], rows[1::2]
    # A softmax over two is a sigmoid of their difference.
    difference = first - second
    pooled = torch.addcmul(second, torch.sigmoid(functional.linear(difference, pool)), difference)
    return pooled if after is None else activated(pooled, after)
