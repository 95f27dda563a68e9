"""A transformer computed on differences from a reference, in products of bfloat16.

What is asked of a haplotype is its effect: the difference of its outputs from the reference's, a thousandth of them or
less. So differences are what is rounded, to 8 bits, not the values: norms, softmax and activations are taken in float32
at reference + difference, and every product has a difference for one of its sides. The last layer is in float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from pdstore.models.relative_transformer import QUERIES_AT_ONCE, Layer, by_head, by_row, offsets_of


class _Operands:
    """A layer's weights, as operands of products."""

    def __init__(self, layer: Layer) -> None:
        self.projections = operand(layer.projections)
        self.relative_key = operand(layer.relative_key)
        self.out = operand(layer.out[0])
        self.widen, self.narrow = operand(layer.widen[0]), operand(layer.narrow[0])


@dataclass(frozen=True)
class _Kept:
    """What a layer keeps of the reference.

    Attributes
    ----------
    given, middle : Tensor, shape (rows, features)
        The layer's input; and after the attention was added.
    normed, middle_normed : Tensor, shape (rows, features)
        Both, after their layer norms.
    key, value : Tensor, shape (rows, heads x features of a key or value)
        Keys and values.
    query : Tensor, shape (heads, rows, features of a key)
        Queries with the content bias, an operand.
    weights : Tensor, shape (heads, rows, rows)
        Of the attention, an operand.
    widened : Tensor, shape (rows, widened features)
        In the network, before it is cut off at zero.
    """

    given: Tensor
    normed: Tensor
    middle: Tensor
    middle_normed: Tensor
    key: Tensor
    value: Tensor
    query: Tensor
    weights: Tensor
    widened: Tensor


class DifferenceTransformer:
    """The transformer's output for rows that are nearly a reference's.

    Parameters
    ----------
    layers : sequence of Layer
        The transformer.
    targets : sequence of int
        The rows of the output that are wanted.
    """

    def __init__(self, layers: Sequence[Layer], targets: Sequence[int]) -> None:
        self._layers, self._targets = layers, targets
        self._operands = [_Operands(layer) for layer in layers[:-1]]
        self._kept: list[_Kept] = []
        self._last: Tensor | None = None

    def keep(self, rows: Tensor) -> None:
        """Take other rows as the reference: float32, shape (rows, features)."""
        self.forget()
        for layer in self._layers[:-1]:
            kept, rows = _keep(layer, rows)
            self._kept.append(kept)
        self._last = rows

    def forget(self) -> None:
        """Let the reference go."""
        self._kept.clear()
        self._last = None

    def outputs(self, rows: Tensor, changed: Tensor) -> Tensor:
        """The transformer's output at the target rows.

        Parameters
        ----------
        rows : Tensor of float32, shape (rows, features)
            Its input.
        changed : Tensor of int64
            Which of these rows differ from the reference's.

        Returns
        -------
        Tensor of float32, shape (targets, features)
            Without a change, bit for bit what the reference has.
        """
        if self._last is None:
            raise RuntimeError("keep a reference first")
        difference = rows - (self._kept[0].given if self._kept else self._last)
        for number, (layer, operands, kept) in enumerate(zip(self._layers, self._operands, self._kept, strict=False)):
            # Before the first attention, rows that are the reference's have no difference.
            some = changed if number == 0 else slice(None)
            normed = layer.before_attention(kept.given[some] + difference[some]) - kept.normed[some]
            projected = difference.new_zeros(len(difference), len(layer.projections))
            projected[some] = _linear(normed, operands.projections)
            attended = _difference_of_attention(layer, operands, kept, projected)
            difference = difference + _linear(attended, operands.out)
            middle_normed = layer.before_network(kept.middle + difference) - kept.middle_normed
            widened = kept.widened + _linear(middle_normed, operands.widen)
            cut_off = torch.relu_(widened).sub_(torch.relu(kept.widened))
            difference = difference + _linear(cut_off, operands.narrow)
        return self._layers[-1].target_rows(self._last + difference, self._targets)


@cache
def multiplies_bfloat16(device: str) -> bool:
    """Whether a device has instructions for products of bfloat16."""
    is_cuda = device.startswith("cuda")
    supported: bool = torch.cuda.is_bf16_supported(False) if is_cuda else torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return supported


def operand(values: Tensor) -> Tensor:
    """Values rounded to bfloat16: in that type, or as float32 where products of it would be emulated, slower yet."""
    rounded = values.to(torch.bfloat16)
    return rounded if multiplies_bfloat16(str(values.device)) else rounded.float()


def _linear(values: Tensor, weights: Tensor) -> Tensor:
    return functional.linear(operand(values), weights).float()


def _difference_of_attention(layer: Layer, operands: _Operands, kept: _Kept, projected: Tensor) -> Tensor:
    """Difference of the averages of values: shape (rows, heads x features of a value)."""
    count, heads = len(projected), layer.heads
    query, key, value = projected.split(layer.projected_sizes, dim=1)
    # (q + dq)(k + dk) - qk = dq (k + dk) + q dk, and the same of weights and values: one product of twice the length.
    changed_query = by_head(operand(query), heads)
    queries = torch.cat([changed_query, kept.query], 2)
    keys = torch.cat([by_head(operand(kept.key + key), heads), by_head(operand(key), heads)], 2).transpose(1, 2)
    values = torch.cat([by_head(operand(kept.value + value), heads), by_head(operand(value), heads)], 1)
    attended = queries.new_empty(count, heads, values.shape[-1])
    for start in range(0, count, QUERIES_AT_ONCE):
        stop = min(start + QUERIES_AT_ONCE, count)
        relative = torch.bmm(changed_query[:, start:stop], offsets_of(operands.relative_key, start, stop))
        logits = torch.baddbmm(by_row(relative, count), queries[:, start:stop], keys).float()
        weights = kept.weights[:, start:stop]
        changed_weights = operand(_difference_of_softmax(weights.float(), logits))
        attended[start:stop] = torch.bmm(torch.cat([changed_weights, weights], 2), values).transpose(0, 1)
    return attended.flatten(1)


def _difference_of_softmax(weights: Tensor, logits: Tensor) -> Tensor:
    """Difference of softmax weights, of the weights and the difference of logits: p (e - s) / (1 + s).

    With e = exp(difference) - 1, and s = the sum of p e.
    """
    grown = torch.expm1(logits)
    total = (weights * grown).sum(-1, keepdim=True)
    return weights * (grown - total) / (1 + total)


def _keep(layer: Layer, rows: Tensor) -> tuple[_Kept, Tensor]:
    """What is kept of the reference, and the layer's output for it."""
    normed = layer.before_attention(rows)
    projected = functional.linear(normed, layer.projections)
    query, key, value = projected.split(layer.projected_sizes, dim=1)
    weights: list[Tensor] = []
    attended = layer.attention(projected, weights.append)
    middle = rows + functional.linear(attended, *layer.out)
    middle_normed = layer.before_network(middle)
    widened = functional.linear(middle_normed, *layer.widen)
    kept = _Kept(
        given=rows,
        normed=normed,
        middle=middle,
        middle_normed=middle_normed,
        key=key.clone(),
        value=value.clone(),
        query=operand(by_head(query, layer.heads) + layer.content_bias),
        weights=torch.cat([operand(of_queries) for of_queries in weights], 1),
        widened=widened,
    )
    return kept, middle + functional.linear(torch.relu(widened), *layer.narrow)
