"""A transformer with relative positions, computed for the rows that are asked for alone.

What depends on no input (projections of relative positions) is made once. Attention goes by blocks of queries, each of
which needs a stretch of the relative offsets; shifting them into place is a view. Of the last layer, only the queries
of the target rows are computed, and its keys and values are never formed: their projections are applied to the few
queries, and to the few averages, instead of to every row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_QUERIES_AT_ONCE = 192


@dataclass(frozen=True)
class Norm:
    """A layer norm: shapes (features,)."""

    weight: Tensor
    bias: Tensor
    epsilon: float

    def __call__(self, rows: Tensor) -> Tensor:
        return functional.layer_norm(rows, self.weight.shape, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True)
class Layer:
    """Attention with relative positions, then a network of two layers; each is added to what it is given.

    Attributes
    ----------
    query, key, value : Tensor, shape (heads, features of a key or value, features)
        Projections; the query's is scaled.
    relative_key : Tensor, shape (heads, features of a key, 2 rows - 1)
        Keys of relative positions, from 1 - rows to rows - 1.
    content_bias, position_bias : Tensor, shape (heads, 1, features of a key)
        Added to queries of keys, and of relative keys.
    out, widen, narrow : (Tensor, Tensor)
        Weight and bias of linear layers: of the attention's output, and of the network.
    before_attention, before_network : Norm
        Layer norms.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    relative_key: Tensor
    content_bias: Tensor
    position_bias: Tensor
    out: tuple[Tensor, Tensor]
    widen: tuple[Tensor, Tensor]
    narrow: tuple[Tensor, Tensor]
    before_attention: Norm
    before_network: Norm

    def __post_init__(self) -> None:
        projections = torch.cat([part.flatten(0, 1) for part in (self.query, self.key, self.value)])
        object.__setattr__(self, "_projections", projections)

    def every_row(self, rows: Tensor) -> Tensor:
        """The layer's output for all rows: shape (rows, features), as given."""
        projected = functional.linear(self.before_attention(rows), self._projections)  # type: ignore[attr-defined]
        rows = rows + functional.linear(self._attention(projected), *self.out)
        return self._network(rows)

    def target_rows(self, rows: Tensor, targets: Sequence[int]) -> Tensor:
        """The layer's output for some rows: shape (targets, features)."""
        heads, _, features = self.key.shape
        normed = self.before_attention(rows)
        chosen = rows[list(targets)]
        query = torch.einsum("tf,hkf->htk", normed[list(targets)], self.query)
        of_rows = torch.bmm(query + self.content_bias, self.key).flatten(0, 1) @ normed.T
        relative = torch.bmm(query + self.position_bias, self.relative_key)
        count = len(rows)
        shifted = [relative[:, i, count - 1 - row : 2 * count - 1 - row] for i, row in enumerate(targets)]
        weights = torch.softmax(of_rows.view(heads, len(targets), count) + torch.stack(shifted, 1), -1)
        average = (weights.flatten(0, 1) @ normed).view(heads, len(targets), features)
        attended = torch.einsum("htf,hvf->thv", average, self.value).flatten(1)
        return self._network(chosen + functional.linear(attended, *self.out))

    def _attention(self, projected: Tensor) -> Tensor:
        """Averages of values: shape (rows, heads x features of a value)."""
        count, heads = len(projected), len(self.query)
        sizes = [part.shape[0] * part.shape[1] for part in (self.query, self.key, self.value)]
        query, key, value = (part.view(count, heads, -1).transpose(0, 1) for part in projected.split(sizes, dim=1))
        of_content, of_position = query + self.content_bias, query + self.position_bias
        key = key.transpose(1, 2)
        attended = projected.new_empty(count, heads, value.shape[-1])
        for start in range(0, count, _QUERIES_AT_ONCE):
            stop = min(start + _QUERIES_AT_ONCE, count)
            queries = stop - start
            # Offsets of the block's last query to the first row, up to those of its first query to the last row.
            width = count + queries - 1
            relative = torch.bmm(
                of_position[:, start:stop], self.relative_key[:, :, count - stop : count - stop + width]
            )
            # A query's offsets begin one before those of the query above it.
            shifted = relative.as_strided((heads, queries, count), (queries * width, width - 1, 1), queries - 1)
            logits = torch.baddbmm(shifted, of_content[:, start:stop], key)
            attended[start:stop] = torch.bmm(torch.softmax(logits, -1), value).transpose(0, 1)
        return attended.flatten(1)

    def _network(self, rows: Tensor) -> Tensor:
        widened = torch.relu_(functional.linear(self.before_network(rows), *self.widen))
        return rows + functional.linear(widened, *self.narrow)


def transformed(layers: Sequence[Layer], rows: Tensor, targets: Sequence[int]) -> Tensor:
    """Output of a transformer at some rows.

    Parameters
    ----------
    layers : sequence of Layer
        The transformer.
    rows : Tensor, shape (rows, features)
        Its input.
    targets : sequence of int
        The rows that are wanted.

    Returns
    -------
    Tensor, shape (targets, features)
    """
    for layer in layers[:-1]:
        rows = layer.every_row(rows)
    return layers[-1].target_rows(rows, targets)
