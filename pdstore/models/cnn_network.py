"""The network of the simple CNN, and its weights file: apart from `Cnn`, whose window is asked for without torch."""

import json
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pdstore.errors import ModelError
from pdstore.models.cnn import Cnn, CnnConfig


def build_network(config: CnnConfig) -> nn.Sequential:
    """Build the untrained network, float32 (batch, 4, positions) to (batch, 1), from torch's global generator."""
    return nn.Sequential(
        OrderedDict(
            convolution=nn.Conv1d(4, config.kernels, config.kernel_width),
            convolution_relu=nn.ReLU(),
            pool=nn.AvgPool1d(config.pool),
            flatten=nn.Flatten(),
            hidden=nn.Linear(config.kernels * config.segments, config.hidden),
            hidden_relu=nn.ReLU(),
            output=nn.Linear(config.hidden, 1),
        )
    )


def read_network(path: Path, config: CnnConfig) -> nn.Sequential:
    """Read a network's weights; raises `ModelError` where a tensor is not what the file's config makes it."""
    with torch.random.fork_rng(devices=[]):
        network = build_network(config)
    found, expected = safetensors.torch.load_file(path), network.state_dict()
    for name in sorted(found.keys() | expected.keys()):
        has, needs = _describe(found.get(name)), _describe(expected.get(name))
        if has != needs:
            raise ModelError(f"{path}: tensor {name!r} is {has}, expected {needs} by the file's own config")
    network.load_state_dict(found)
    return network


def serialise(config: CnnConfig, network: nn.Sequential) -> bytes:
    """The weights file: tensors and config. Equal weights are equal bytes."""
    # One metadata key: safetensors writes several in any order.
    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    return safetensors.torch.save(tensors, {"config": json.dumps({"model": Cnn.name, **asdict(config)})})


def channels_first(onehot: NDArray[np.bool_]) -> Tensor:
    """Copy windows into a float32 tensor, shape (batch, 4, positions)."""
    return torch.from_numpy(onehot.swapaxes(1, 2).astype(np.float32, order="C"))


def _describe(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
