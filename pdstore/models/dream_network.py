"""A network of the DREAM challenge's parts: what it reads of a window, what it learns, and how."""

import torch
from torch import Tensor
from torch.nn import functional

from pdstore.models.dream import CLASSES, DreamConfig
from pdstore.models.dream_parts import CORE, FINAL, FIRST, Value, expected_class
from pdstore.models.trainable import Examples, TrainableNetwork

_BASES = [0, 2, 1, 3]
"""A, G, C, T: the order that the challenge's networks read."""
_WEIGHT_DECAY = 0.01
_LABEL_DEVIATION = 0.5
"""Standard deviation of a soft label, classes."""


class DreamNetwork(TrainableNetwork):
    """First layers, core, final layers.

    Channels are the bases, whether the sequence is the reverse complement, and, of the yeast's classes alone, whether
    the measurement is of one cell.
    """

    def __init__(self, config: DreamConfig) -> None:
        super().__init__()
        self._classes = config.final == "classes"
        self.first = FIRST[config.first](6 if self._classes else 5, config.channels)
        self.core = CORE[config.core](config.channels, config.features, config.window_length)
        self.final = FINAL[config.final](config.features)

    def forward(self, windows: Tensor) -> Tensor:
        """The mean over both strands, as of many cells: (batch, positions, 4) → (batch,)."""
        forward, reverse = self.outputs(windows, windows.new_zeros(len(windows)))
        return (self._expression(forward) + self._expression(reverse)) / 2

    def loss(self, examples: Examples) -> Tensor:
        """The mean over both strands.

        Of a value the squared error; of classes the divergence of their probabilities from the soft label.
        """
        singleton = (examples.expression == examples.expression.round()).to(examples.windows.dtype)
        outputs = torch.cat(self.outputs(examples.windows, singleton))
        expression = examples.expression.repeat(2)
        if self._classes:
            return functional.kl_div(outputs.log_softmax(dim=1), soft_labels(expression), reduction="batchmean")
        return functional.mse_loss(outputs[:, 0], expression)

    def optimizer(
        self, learning_rate: float, steps: int
    ) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        """AdamW, whose learning rate rises to the one that is given and falls again: one cycle."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=learning_rate, weight_decay=_WEIGHT_DECAY)
        return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=learning_rate, total_steps=steps)

    @property
    def offset(self) -> Tensor | None:
        """The bias of a value."""
        return self.final.linear.bias if isinstance(self.final, Value) else None

    def outputs(self, windows: Tensor, singleton: Tensor) -> tuple[Tensor, Tensor]:
        """What the final layers give for windows and for their reverse complements: (batch, 18 or 1) each."""
        return self._outputs(windows, singleton, 0.0), self._outputs(windows.flip(1, 2), singleton, 1.0)

    def _outputs(self, windows: Tensor, singleton: Tensor, reverse: float) -> Tensor:
        batch, positions, _ = windows.shape
        given = [windows.transpose(1, 2)[:, _BASES], windows.new_full((batch, 1, positions), reverse)]
        if self._classes:
            given.append(singleton[:, None, None].expand(-1, 1, positions))
        found: Tensor = self.final(self.core(self.first(torch.cat(given, dim=1))))
        return found

    def _expression(self, outputs: Tensor) -> Tensor:
        return expected_class(outputs) if self._classes else outputs[:, 0]


def soft_labels(expression: Tensor) -> Tensor:
    """Probabilities of the classes 0 to 17, from measured expression: (batch,) → (batch, 18).

    That of class k is the mass of a normal distribution around the measurement plus a half between k and k + 1; the
    first and the last class have what lies beyond, too.
    """
    edges = torch.arange(1, CLASSES, dtype=expression.dtype, device=expression.device)
    below = torch.special.ndtr((edges - expression[:, None] - 0.5) / _LABEL_DEVIATION)
    return torch.diff(below, dim=1, prepend=torch.zeros_like(below[:, :1]), append=torch.ones_like(below[:, :1]))
