"""The network of the simple CNN: apart from `Cnn`, whose window is asked for without torch."""

from torch import Tensor, nn

from pdstore.models.cnn import CnnConfig
from pdstore.models.trainable import TrainableNetwork, channels_first


class CnnNetwork(TrainableNetwork):
    """One convolution, the mean over segments, a hidden layer."""

    def __init__(self, config: CnnConfig) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(4, config.kernels, config.kernel_width)
        self.pool = nn.AvgPool1d(config.pool)
        self.hidden = nn.Linear(config.kernels * config.segments, config.hidden)
        self.output = nn.Linear(config.hidden, 1)

    def forward(self, windows: Tensor) -> Tensor:
        """(batch, positions, 4) → (batch,)."""
        segments = self.pool(self.convolution(channels_first(windows)).relu())
        expression: Tensor = self.output(self.hidden(segments.flatten(1)).relu())
        return expression[:, 0]

    @property
    def offset(self) -> Tensor:
        """The bias of the output."""
        return self.output.bias
