"""An Enformer that computes what a window changes of a reference window, and only what the target bins need.

The numbers are those of the plain network but for rounding: sums are taken in another order.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from enformer_pytorch.modeling_enformer import get_positional_embed
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pdstore.models.relative_transformer import Layer, Norm, transformed
from pdstore.models.shared_tower import ReferenceTower, Stage

_Affine = tuple[Tensor, Tensor]
"""Scale and shift of a batch norm that is not trained."""


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
        with torch.inference_mode():
            self._layers = [_layer(block, rows, network.use_tf_gamma) for block in network.transformer]
        self._targets = [int(bin_) + (rows - network.target_length) // 2 for bin_ in bins]
        norm, _, pointwise = network.final_pointwise[1]
        self._last_norm = _affine(norm)
        self._pointwise = (pointwise.weight[:, :, 0], pointwise.bias)
        linear, _ = network._heads[head]
        self._head = (linear.weight[tracks], linear.bias[tracks])
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
        found = np.empty((len(onehot), len(self._targets), len(self._head[1])), dtype=np.float32)
        with torch.inference_mode():
            for window, rows in enumerate(self._tower_of(reference).outputs(onehot)):
                found[window] = self._output(transformed(self._layers, rows, self._targets)).cpu().numpy()
        return found

    def _tower_of(self, reference: NDArray[np.bool_]) -> ReferenceTower:
        if self._tower is None or self._reference is None or not np.array_equal(self._reference, reference):
            # The old one goes first: both would not fit where one does.
            self._tower = None
            self._tower = ReferenceTower(self._stages, reference, self._device)
            self._reference = np.array(reference)
        return self._tower

    def _output(self, rows: Tensor) -> Tensor:
        hidden = functional.linear(_activated(rows, self._last_norm), *self._pointwise)
        return functional.softplus(functional.linear(_gelu(hidden), *self._head))


def _stages(network: Any) -> Sequence[Stage]:
    """The stem and the tower: each ends in what the next stage's convolution takes."""
    blocks = [(network.stem[0], network.stem[1].fn, network.stem[2])]
    blocks += [(block[0][2], block[1].fn, block[2]) for block in network.conv_tower]
    norms = [_affine(block[0][0]) for block in network.conv_tower]
    stages = []
    for (convolution, residual, pool), after in zip(blocks, [*norms, None], strict=True):
        weight = convolution.weight.transpose(1, 2).flatten(1).contiguous()
        compute = partial(
            _convolved_and_pooled,
            convolution=(weight, convolution.bias),
            norm=_affine(residual[0]),
            pointwise=(residual[2].weight[:, :, 0].contiguous(), residual[2].bias),
            pool=pool.to_attn_logits.weight[:, :, 0, 0].contiguous(),
            after=after,
        )
        stages.append(Stage(convolution.kernel_size[0], pool.pool_size, compute))
    return stages


def _convolved_and_pooled(
    seen: Tensor, convolution: _Affine, norm: _Affine, pointwise: _Affine, pool: Tensor, after: _Affine | None
) -> Tensor:
    """A stage's output: shape (rows, channels), of what its convolutions see, shape (rows, 2, kernel x channels)."""
    rows = functional.linear(seen.flatten(0, 1), *convolution)
    rows = rows + functional.linear(_activated(rows, norm), *pointwise)
    first, second = rows[0::2], rows[1::2]
    # A softmax over two is a sigmoid of their difference.
    difference = first - second
    pooled = torch.addcmul(second, torch.sigmoid(functional.linear(difference, pool)), difference)
    return pooled if after is None else _activated(pooled, after)


def _layer(block: Any, rows: int, use_tf_gamma: bool) -> Layer:
    (norm, attention, _), network = block[0].fn, block[1].fn
    heads, features = attention.heads, attention.to_q.in_features

    def by_head(linear: nn.Linear) -> Tensor:
        return linear.weight.view(heads, -1, features)

    positions = get_positional_embed(
        rows,
        attention.num_rel_pos_features,
        attention.to_q.weight.device,
        use_tf_gamma,
        attention.to_rel_k.weight.dtype,
    )
    relative_key = attention.to_rel_k(positions).view(len(positions), heads, -1).permute(1, 2, 0).contiguous()
    return Layer(
        query=by_head(attention.to_q) * attention.scale,
        key=by_head(attention.to_k),
        value=by_head(attention.to_v),
        relative_key=relative_key,
        content_bias=attention.rel_content_bias[0],
        position_bias=attention.rel_pos_bias[0],
        out=(attention.to_out.weight, attention.to_out.bias),
        widen=(network[1].weight, network[1].bias),
        narrow=(network[4].weight, network[4].bias),
        before_attention=Norm(norm.weight, norm.bias, norm.eps),
        before_network=Norm(network[0].weight, network[0].bias, network[0].eps),
    )


def _affine(norm: Any) -> _Affine:
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _activated(rows: Tensor, norm: _Affine) -> Tensor:
    scale, shift = norm
    return _gelu(torch.addcmul(shift, rows, scale))


def _gelu(values: Tensor) -> Tensor:
    """As Enformer has it."""
    return torch.sigmoid(1.702 * values) * values
