"""The network of Xpresso. Apart from `Xpresso` itself, so that asking for its window imports no torch."""

import torch
from torch import nn

HALF_LIFE_FEATURES = 6


class XpressoNetwork(nn.Module):
    """The network of the published weights; dropout is left out, since it only predicts."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1d_1 = nn.Conv1d(4, 128, 6)
        self.conv1d_2 = nn.Conv1d(128, 32, 9, padding=4)
        self.dense_1 = nn.Linear(35 * 32 + HALF_LIFE_FEATURES, 64)
        self.dense_2 = nn.Linear(64, 2)
        self.dense_3 = nn.Linear(2, 1)

    def forward(self, promoter: torch.Tensor) -> torch.Tensor:
        """(batch, 10500, 4) → (batch, 1)."""
        # Keras pads an even kernel with one zero more on the right.
        x = nn.functional.pad(promoter.transpose(1, 2), (2, 3))
        x = torch.max_pool1d(torch.relu(self.conv1d_1(x)), 30)
        x = torch.max_pool1d(torch.relu(self.conv1d_2(x)), 10)
        # Keras flattens positions first, channels last.
        x = x.transpose(1, 2).flatten(1)
        # Standardised mRNA half-life features at zero, their mean, as in Huang et al. 2023.
        x = torch.cat([x, x.new_zeros(len(x), HALF_LIFE_FEATURES)], dim=1)
        x = torch.relu(self.dense_1(x))
        x = torch.relu(self.dense_2(x))
        output: torch.Tensor = self.dense_3(x)
        return output
