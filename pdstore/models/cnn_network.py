"""The network of the simple CNN: apart from `Cnn`, whose window is asked for without torch."""

from torch import Tensor, nn

from pdstore.models.cnn import CnnConfig
from pdstore.models.pooled_convolution import pooled_convolution
from pdstore.models.trainable import TrainableNetwork


class CnnNetwork(TrainableNetwork):
    """One convolution, the mean over segments, a hidden layer."""

    def __init__(self, config: CnnConfig) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(4, config.kernels, config.kernel_width)
        self.pool = config.pool
        self.hidden = nn.Linear(config.kernels * config.segments, config.hidden)
        self.output = nn.Linear(config.hidden, 1)

    def forward(self, windows: Tensor) -> Tensor:
        """(batch, positions, 4) → (batch,)."""
        assert self.convolution.bias is not None
        segments = pooled_convolution(windows, self.convolution.weight, self.convolution.bias, self.pool)
        expression: Tensor = self.output(self.hidden(segments.flatten(1)).relu())
        return expression[:, 0]

    @property
    def offset(self) -> Tensor:
        """The bias of the output."""
        return self.output.bias
