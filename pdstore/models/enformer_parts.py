"""Parts of an Enformer, for those who compute it in another order: nothing is trained, so batch norms are affine."""

from dataclasses import dataclass
from typing import Any

import torch
from enformer_pytorch.modeling_enformer import get_positional_embed
from torch import Tensor
from torch.nn import functional

from pdstore.models.relative_transformer import Layer, Norm

Affine = tuple[Tensor, Tensor]
"""Scale and shift of a batch norm that is not trained; or weight and bias."""


@dataclass(frozen=True)
class TargetHead:
    """What follows the transformer, for some tracks.

    Attributes
    ----------
    norm : (Tensor, Tensor)
        Scale and shift of the last batch norm.
    pointwise, linear : (Tensor, Tensor)
        Weight and bias of the pointwise convolution, and of the head at the tracks.
    """

    norm: Affine
    pointwise: Affine
    linear: Affine

    def __call__(self, rows: Tensor) -> Tensor:
        """Outputs, shape (rows, tracks), for rows of the transformer's output, shape (rows, features)."""
        hidden = functional.linear(activated(rows, self.norm), *self.pointwise)
        return functional.softplus(functional.linear(gelu(hidden), *self.linear))


def head_of(network: Any, tracks: Tensor, head: str) -> TargetHead:
    """What follows a network's transformer, for some tracks of a head."""
    norm, _, pointwise = network.final_pointwise[1]
    linear, _ = network._heads[head]
    return TargetHead(
        affine(norm), (pointwise.weight[:, :, 0], pointwise.bias), (linear.weight[tracks], linear.bias[tracks])
    )


def blocks_of(network: Any) -> list[tuple[Any, Any, Any, Affine | None]]:
    """Convolution, residual part, pool and the batch norm before the convolution, of the stem and each tower stage."""
    tower = [(block[0][2], block[1].fn, block[2], affine(block[0][0])) for block in network.conv_tower]
    return [(network.stem[0], network.stem[1].fn, network.stem[2], None), *tower]


def layers_of(network: Any, rows: int) -> list[Layer]:
    """The layers of a network's transformer, for inputs of so many rows."""
    # Not in inference mode: such tensors have no gradients.
    with torch.no_grad():
        return [_layer(block, rows, network.use_tf_gamma) for block in network.transformer]


def affine(norm: Any) -> Affine:
    """Scale and shift of a batch norm."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def activated(rows: Tensor, norm: Affine) -> Tensor:
    """Batch norm and activation: shape (rows, channels), as given."""
    scale, shift = norm
    return gelu(torch.addcmul(shift, rows, scale))


def gelu(values: Tensor) -> Tensor:
    """As Enformer has it."""
    return torch.sigmoid(1.702 * values) * values


def _layer(block: Any, rows: int, use_tf_gamma: bool) -> Layer:
    (norm, attention, _), network = block[0].fn, block[1].fn
    heads = attention.heads
    positions = get_positional_embed(
        rows,
        attention.num_rel_pos_features,
        attention.to_q.weight.device,
        use_tf_gamma,
        attention.to_rel_k.weight.dtype,
    )
    relative_key = attention.to_rel_k(positions).view(len(positions), heads, -1).permute(1, 2, 0).contiguous()
    return Layer(
        projections=torch.cat([attention.to_q.weight * attention.scale, attention.to_k.weight, attention.to_v.weight]),
        heads=heads,
        key_features=attention.to_q.out_features // heads,
        relative_key=relative_key,
        content_bias=attention.rel_content_bias[0],
        position_bias=attention.rel_pos_bias[0],
        out=(attention.to_out.weight, attention.to_out.bias),
        widen=(network[1].weight, network[1].bias),
        narrow=(network[4].weight, network[4].bias),
        before_attention=Norm(norm.weight, norm.bias, norm.eps),
        before_network=Norm(network[0].weight, network[0].bias, network[0].eps),
    )
