"""Parts of networks that combine freely: first layers, core and final layers of the DREAM challenge's teams.

DREAM-CNN, DREAM-RNN and DREAM-Attn are combinations of them. Sequences go in as (batch, channels, positions); parts
hand on (batch, features, positions), and the final layers give one row a sequence.

References
----------
Rafi et al. 2024, Nature Biotechnology, doi:10.1038/s41587-024-02414-w.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from pdstore.models.dream import CLASSES

_STAGES = (128, 128, 64, 64, 64)
"""Channels of the stages of the convolutional core but the last one, which has as many as it hands on."""


class TwoWidths(nn.Module):
    """Convolutions of 9 and 15 positions beside each other, each with half of the channels."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv1d(before, after // 2, width, padding="same") for width in (9, 15))
        self.dropout = nn.Dropout(0.2)

    def forward(self, given: Tensor) -> Tensor:
        """(batch, before, positions) → (batch, after, positions)."""
        return torch.cat([self.dropout(torch.relu(convolution(given))) for convolution in self.convolutions], dim=1)


def convolution_norm_activation(before: int, after: int, width: int, groups: int = 1) -> nn.Sequential:
    """A convolution without bias, a batch norm and SiLU."""
    return nn.Sequential(
        nn.Conv1d(before, after, width, padding="same", groups=groups, bias=False), nn.BatchNorm1d(after), nn.SiLU()
    )


class SqueezeAndExcite(nn.Module):
    """Channels weighted by what the mean over positions says."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.weights = nn.Sequential(
            nn.Linear(channels, squeezed), nn.SiLU(), nn.Linear(squeezed, channels), nn.Sigmoid()
        )

    def forward(self, given: Tensor) -> Tensor:
        """(batch, channels, positions) → the same."""
        weights: Tensor = self.weights(given.mean(dim=2))
        return given * weights[:, :, None]


class InvertedStage(nn.Module):
    """An inverted residual block, beside its input; then a convolution of both."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        widened = 4 * after
        self.block = nn.Sequential(
            convolution_norm_activation(before, widened, 1),
            convolution_norm_activation(widened, widened, 7, groups=widened // 2),
            SqueezeAndExcite(widened, before // 4),
            convolution_norm_activation(widened, before, 1),
        )
        self.resize = convolution_norm_activation(2 * before, after, 7)

    def forward(self, given: Tensor) -> Tensor:
        """(batch, before, positions) → (batch, after, positions)."""
        found: Tensor = self.resize(torch.cat([given, self.block(given)], dim=1))
        return found


def convolutional(before: int, after: int, positions: int) -> nn.Sequential:
    """Six stages of inverted residual blocks, with their published first weights."""
    sizes = (before, *_STAGES, after)
    core = nn.Sequential(*(InvertedStage(*pair) for pair in pairwise(sizes)))
    for module in core.modules():
        if isinstance(module, nn.Conv1d):
            nn.init.normal_(module.weight, 0, (2 / (module.kernel_size[0] * module.out_channels)) ** 0.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.001)
            nn.init.zeros_(module.bias)
    return core


class Recurrent(nn.Module):
    """A bidirectional LSTM, then convolutions of two widths."""

    def __init__(self, before: int, after: int, positions: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(before, after, bidirectional=True, batch_first=True)
        self.convolutions = TwoWidths(2 * after, after)
        self.dropout = nn.Dropout(0.5)

    def forward(self, given: Tensor) -> Tensor:
        """(batch, before, positions) → (batch, after, positions)."""
        hidden, _ = self.recurrent(given.transpose(1, 2))
        found: Tensor = self.dropout(self.convolutions(hidden.transpose(1, 2)))
        return found


class FeedForward(nn.Module):
    """A layer norm and two linear layers with a gate between them."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features, eps=1e-6)
        self.widen = nn.Linear(features, 4 * features, bias=False)
        self.narrow = nn.Linear(2 * features, features, bias=False)
        self.dropout = nn.Dropout(0.1)

    def forward(self, given: Tensor) -> Tensor:
        """(batch, positions, features) → the same."""
        values, gate = self.widen(self.norm(given)).chunk(2, dim=-1)
        found: Tensor = self.dropout(self.narrow(self.dropout(values * functional.silu(gate))))
        return found


class Conformer(nn.Module):
    """Feed forward, a local convolution, attention of four heads, feed forward."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.before, self.behind = FeedForward(features), FeedForward(features)
        self.norm_of_local = nn.LayerNorm(features, eps=1e-6)
        self.local = nn.Sequential(
            nn.Conv1d(features, features, 15, padding="same", groups=features, bias=False),
            nn.Conv1d(features, features, 1),
            nn.ReLU(),
            nn.Dropout(0.1),
        )
        self.norm_of_attention = nn.LayerNorm(features, eps=1e-6)
        self.attention = nn.MultiheadAttention(features, 4, dropout=0.1, batch_first=True)

    def forward(self, given: Tensor) -> Tensor:
        """(batch, positions, features) → the same."""
        hidden = given + 0.5 * self.before(given)
        local = self.norm_of_local(hidden)
        hidden = hidden + local + self.local(local.transpose(1, 2)).transpose(1, 2)
        hidden = self.norm_of_attention(hidden)
        hidden = hidden + self.attention(hidden, hidden, hidden, need_weights=False)[0]
        found: Tensor = hidden + 0.5 * self.behind(hidden)
        return found


class Attentive(nn.Module):
    """A learned value for each position, and four conformer layers."""

    def __init__(self, before: int, after: int, positions: int) -> None:
        super().__init__()
        if before != after:
            raise ValueError(f"the attentive core hands on as many features as it is given: {before}, not {after}")
        self.positions = nn.Parameter(torch.randn(positions, after))
        self.layers = nn.Sequential(*(Conformer(after) for _ in range(4)))

    def forward(self, given: Tensor) -> Tensor:
        """(batch, before, positions) → (batch, after, positions)."""
        found: Tensor = self.layers(given.transpose(1, 2) + self.positions)
        return found.transpose(1, 2)


class Classes(nn.Module):
    """Logits of expression classes: a convolution of one position, and the mean over positions."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.mapper = nn.Conv1d(features, CLASSES, 1)

    def forward(self, given: Tensor) -> Tensor:
        """(batch, features, positions) → (batch, 18)."""
        found: Tensor = self.mapper(given).mean(dim=2)
        return found


class Value(nn.Module):
    """One number: a convolution of one position, the mean over positions, and a linear layer."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.mapper, self.linear = nn.Conv1d(features, 256, 1), nn.Linear(256, 1)

    def forward(self, given: Tensor) -> Tensor:
        """(batch, features, positions) → (batch, 1)."""
        found: Tensor = self.linear(self.mapper(given).mean(dim=2))
        return found


def expected_class(logits: Tensor) -> Tensor:
    """Expression of logits of classes, the mean class by its probability: (batch, 18) → (batch,)."""
    classes = torch.arange(logits.shape[-1], dtype=logits.dtype, device=logits.device)
    return torch.softmax(logits, dim=-1) @ classes


def _narrow(before: int, after: int) -> nn.Module:
    return convolution_norm_activation(before, after, 7)


FIRST: dict[str, Callable[[int, int], nn.Module]] = {"wide": TwoWidths, "narrow": _narrow}
"""First layers: two convolutions with ReLU, or one with a norm and SiLU."""
CORE: dict[str, Callable[[int, int, int], nn.Module]] = {
    "convolutional": convolutional,
    "recurrent": Recurrent,
    "attentive": Attentive,
}
"""Cores."""
FINAL: dict[str, Callable[[int], nn.Module]] = {"classes": Classes, "value": Value}
"""Final layers: logits of the yeast's 18 classes, or one value."""
