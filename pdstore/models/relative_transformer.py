"""A transformer with relative positions, computed for the rows that are asked for alone.

What depends on no input (projections of relative positions) is made once. Attention goes by blocks of queries, each of
which needs a stretch of the relative offsets; shifting them into place is a view. Of the last layer, only the queries
of the target rows are computed, and its keys and values are never formed: their projections are applied to the few
queries, and to the few averages, instead of to every row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

QUERIES_AT_ONCE = 96
"""Queries whose attention is computed together."""


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
    projections : Tensor, shape (heads x features of queries, keys and values, features)
        Of queries, which are scaled, then of keys, then of values; each head by head.
    heads, key_features : int
        Heads, and features of a query or key of one.
    relative_key : Tensor, shape (heads, features of a key, 2 rows - 1)
        Keys of relative positions, from 1 - rows to rows - 1.
    content_bias, position_bias : Tensor, shape (heads, 1, features of a key)
        Added to queries of keys, and of relative keys.
    out, widen, narrow : (Tensor, Tensor)
        Weight and bias of linear layers: of the attention's output, and of the network.
    before_attention, before_network : Norm
        Layer norms.
    """

    projections: Tensor
    heads: int
    key_features: int
    relative_key: Tensor
    content_bias: Tensor
    position_bias: Tensor
    out: tuple[Tensor, Tensor]
    widen: tuple[Tensor, Tensor]
    narrow: tuple[Tensor, Tensor]
    before_attention: Norm
    before_network: Norm

    @property
    def projected_sizes(self) -> list[int]:
        """How many of the projected features are queries, keys and values."""
        of_keys = self.heads * self.key_features
        return [of_keys, of_keys, len(self.projections) - 2 * of_keys]

    def project(self, rows: Tensor) -> Tensor:
        """Queries, keys and values of rows, in one: shape (rows, heads x features of all three)."""
        return functional.linear(self.before_attention(rows), self.projections)

    def every_row(self, rows: Tensor, projected: Tensor | None = None) -> Tensor:
        """The layer's output for all rows: shape (rows, features), as given.

        Parameters
        ----------
        rows : Tensor, shape (rows, features)
            Its input.
        projected : Tensor, optional
            What `project` makes of them, where that is known.
        """
        attended = self.attention(self.project(rows) if projected is None else projected)
        return self._network(rows + functional.linear(attended, *self.out))

    def target_rows(self, rows: Tensor, targets: Sequence[int]) -> Tensor:
        """The layer's output for some rows: shape (targets, features)."""
        count, features = rows.shape
        heads = self.heads
        of_query, of_key, of_value = (
            part.view(heads, -1, features) for part in self.projections.split(self.projected_sizes)
        )
        normed = self.before_attention(rows)
        chosen = rows[list(targets)]
        query = torch.einsum("tf,hkf->htk", normed[list(targets)], of_query)
        of_rows = torch.bmm(query + self.content_bias, of_key).flatten(0, 1) @ normed.T
        relative = torch.bmm(query + self.position_bias, self.relative_key)
        shifted = [relative[:, i, count - 1 - row : 2 * count - 1 - row] for i, row in enumerate(targets)]
        weights = torch.softmax(of_rows.view(heads, len(targets), count) + torch.stack(shifted, 1), -1)
        average = (weights.flatten(0, 1) @ normed).view(heads, len(targets), features)
        attended = torch.einsum("htf,hvf->thv", average, of_value).flatten(1)
        return self._network(chosen + functional.linear(attended, *self.out))

    def attention(self, projected: Tensor, tell: Callable[[Tensor], None] | None = None) -> Tensor:
        """Averages of values: shape (rows, heads x features of a value).

        Parameters
        ----------
        projected : Tensor, shape (rows, heads x features of queries, keys and values)
            What `project` makes of all rows.
        tell : callable, optional
            Told the weights of each block of queries: shape (heads, queries, rows).
        """
        count, heads = len(projected), self.heads
        query, key, value = (by_head(part, heads) for part in projected.split(self.projected_sizes, dim=1))
        of_content, of_position = query + self.content_bias, query + self.position_bias
        key = key.transpose(1, 2)
        attended = projected.new_empty(count, heads, value.shape[-1])
        for start in range(0, count, QUERIES_AT_ONCE):
            stop = min(start + QUERIES_AT_ONCE, count)
            relative = torch.bmm(of_position[:, start:stop], offsets_of(self.relative_key, start, stop))
            logits = torch.baddbmm(by_row(relative, count), of_content[:, start:stop], key)
            weights = torch.softmax(logits, -1)
            if tell is not None:
                tell(weights)
            attended[start:stop] = torch.bmm(weights, value).transpose(0, 1)
        return attended.flatten(1)

    def _network(self, rows: Tensor) -> Tensor:
        widened = torch.relu_(functional.linear(self.before_network(rows), *self.widen))
        return rows + functional.linear(widened, *self.narrow)


def by_head(rows: Tensor, heads: int) -> Tensor:
    """Features of each head apart: shape (rows, heads x features) → (heads, rows, features)."""
    return rows.view(len(rows), heads, -1).transpose(0, 1)


def offsets_of(relative_key: Tensor, start: int, stop: int) -> Tensor:
    """Of the keys of relative positions, those that a block of queries needs: a view.

    From the offset of its last query to the first row, up to that of its first query to the last row.
    """
    count = (relative_key.shape[-1] + 1) // 2
    return relative_key[:, :, count - stop : 2 * count - start - 1]


def by_row(relative: Tensor, count: int) -> Tensor:
    """Products with `offsets_of` a block of queries, by row: shape (heads, queries, rows), a view."""
    heads, queries, width = relative.shape
    # A query's offsets begin one before those of the query above it.
    return relative.as_strided((heads, queries, count), (queries * width, width - 1, 1), queries - 1)


def transformed(
    layers: Sequence[Layer], rows: Tensor, targets: Sequence[int], projected: Tensor | None = None
) -> Tensor:
    """Output of a transformer at some rows.

    Parameters
    ----------
    layers : sequence of Layer
        The transformer.
    rows : Tensor, shape (rows, features)
        Its input.
    targets : sequence of int
        The rows that are wanted.
    projected : Tensor, optional
        What `project` of the first layer makes of its input, where that is known.

    Returns
    -------
    Tensor, shape (targets, features)
    """
    for layer in layers[:-1]:
        rows, projected = layer.every_row(rows, projected), None
    return layers[-1].target_rows(rows, targets)
