"""What a network must have to be trained here, and the file that keeps it: tensors and config in one safetensors."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import Tensor, nn

from pdstore.errors import ModelError


class Examples(NamedTuple):
    """Windows and what is known of them.

    Attributes
    ----------
    windows : Tensor of float32, shape (batch, positions, 4)
        A, C, G, T; N is all zeros.
    expression : Tensor of float32, shape (batch,)
        What is to be learnt.
    """

    windows: Tensor
    expression: Tensor


class TrainableNetwork(nn.Module, ABC):
    """A network from windows to one number each, whose training is known.

    Attributes
    ----------
    longest_step : float or None
        A gradient that is longer is made this long.
    """

    longest_step: float | None = None

    @abstractmethod
    def forward(self, windows: Tensor) -> Tensor:
        """Expression: float32, shape (batch, positions, 4), in the order A, C, G, T → (batch,)."""

    def loss(self, examples: Examples) -> Tensor:
        """What training makes small: the mean over examples, by default of the squared error."""
        return nn.functional.mse_loss(self(examples.windows), examples.expression)

    def optimizer(
        self, learning_rate: float, steps: int
    ) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler | None]:
        """The optimizer, and how its learning rate changes over so many steps; Adam's stays by default."""
        return torch.optim.Adam(self.parameters(), lr=learning_rate), None

    @property
    def offset(self) -> Tensor | None:
        """The parameter that is added to every output, shape (1,), if there is one."""
        return None


def serialise(config: Mapping[str, Any], network: nn.Module) -> bytes:
    """The weights file. Equal weights are equal bytes."""
    # One metadata key: safetensors writes several in any order.
    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    return safetensors.torch.save(tensors, {"config": json.dumps(config)})


def check_tensors(path: Path, network: nn.Module) -> None:
    """Raise `ModelError` for the first tensor of a file that is not as a network's, by name, number type and shape."""
    names = {str(dtype): name for name, dtype in _DTYPES.items()}
    expected = {
        name: f"{names[str(tensor.dtype)]} {tuple(tensor.shape)}" for name, tensor in network.state_dict().items()
    }
    with safetensors.safe_open(path, framework="pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        found = {name: f"{of.get_dtype()} {tuple(of.get_shape())}" for name, of in slices.items()}
    for name in sorted(found.keys() | expected.keys()):
        has, needs = found.get(name, "absent"), expected.get(name, "absent")
        if has != needs:
            raise ModelError(f"{path}: tensor {name!r} is {has}, expected {needs} by the file's own config")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file; raises `ModelError` where a number is none."""
    tensors = safetensors.torch.load_file(path)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{path}: not all values of {name} are finite numbers")
    return tensors


_DTYPES = {"F32": torch.float32, "I64": torch.int64}
"""Number types of networks, as safetensors calls them."""
