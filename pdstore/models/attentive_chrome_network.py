"""The network of AttentiveChrome. Apart from what asks for it without torch."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pdstore.models.attentive_chrome import MARKS, AttentiveChromeConfig
from pdstore.models.trainable import Examples, TrainableNetwork, check_tensors, read_tensors

_OF_BINS, _OF_MARKS = 32, 16
"""Units of the recurrent layers over bins and over marks, in each direction."""
_FIRST = 0.1
"""First weights lie between minus this and this."""


class Attended(nn.Module):
    """A recurrent layer in both directions, and the mean over its places, each weighted by what it holds."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(features, units, bidirectional=True, batch_first=True)
        self.context = nn.Linear(2 * units, 1, bias=False)

    def forward(self, given: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, places, features) → (batch, 2 x units), and the weight of each place, (batch, places)."""
        hidden, _ = self.recurrent(given)
        weights = torch.softmax(self.context(hidden)[..., 0], dim=1)
        return (weights[:, :, None] * hidden).sum(dim=1), weights


class AttentiveChromeNetwork(TrainableNetwork):
    """Bins of each mark, then marks, each level attended; first weights are the published ones."""

    longest_step = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.bins = nn.ModuleList(Attended(1, _OF_BINS) for _ in MARKS)
        self.marks = Attended(2 * _OF_BINS, _OF_MARKS)
        self.output = nn.Linear(2 * _OF_MARKS, 1)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -_FIRST, _FIRST)

    def forward(self, windows: Tensor) -> Tensor:
        """Log odds: (batch, bins, marks) → (batch,)."""
        return self.outputs(windows)[0]

    def outputs(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same, and the weights of marks, (batch, marks), and of bins, (batch, marks, bins)."""
        found = [attended(windows[:, :, mark, None]) for mark, attended in enumerate(self.bins)]
        of_marks, weights = self.marks(torch.stack([values for values, _ in found], dim=1))
        return self.output(of_marks)[:, 0], weights, torch.stack([of_bins for _, of_bins in found], dim=1)

    def loss(self, examples: Examples) -> Tensor:
        """Cross entropy of whether a gene is highly expressed: 1, or 0."""
        return functional.binary_cross_entropy_with_logits(self(examples.windows), examples.expression)


def read_parameters(path: Path, config: AttentiveChromeConfig) -> NDArray[np.float64]:
    """All parameters of a file in the order of the state dict; raises `ModelError` where a tensor is another."""
    network = config.network()
    check_tensors(path, network)
    found = read_tensors(path)
    return np.concatenate([found[name].double().numpy().ravel() for name in network.state_dict()])


def network_of(parameters: NDArray[np.float64]) -> AttentiveChromeNetwork:
    """The network of parameters in the order of the state dict, in float64."""
    with torch.random.fork_rng(devices=[]):
        network = AttentiveChromeNetwork().double()
    torch.nn.utils.vector_to_parameters(torch.from_numpy(parameters.copy()), network.parameters())
    return network.eval().requires_grad_(False)
