"""The simple CNN of Sasse et al. 2023: one convolution over a window, one number of expression; trainable here.

Trained on the reference windows of genes and their mean expression in a population, as in the article, it knows of
variants only what the differences between genes teach it. Its window and its sizes are parameters, stored with the
weights in one safetensors file.

References
----------
Sasse et al. 2023, Nature Genetics 55:2060.
"""

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, Self

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pdstore.errors import JobError, ModelError
from pdstore.haplotypes.window import WindowSpec


@dataclass(frozen=True)
class CnnConfig:
    """The CNN's window and sizes; the defaults are the published ones.

    Attributes
    ----------
    window_length : int
        Length of the window in bp.
    tss_offset : int
        0-based offset of the TSS in the window, in the window's reading direction.
    strand : {"forward", "gene"}
        Whether windows are read on the forward strand or on the gene's.
    kernels, kernel_width : int
        Number of convolution kernels, and their width in bp.
    pool : int
        Positions that are averaged into one segment; what is left after the last whole segment is not read.
    hidden : int
        Units of the hidden layer.
    """

    window_length: int = 40001
    tss_offset: int = 20000
    strand: Literal["forward", "gene"] = "forward"
    kernels: int = 900
    kernel_width: int = 10
    pool: int = 900
    hidden: int = 200

    def __post_init__(self) -> None:
        for name, size in asdict(self).items():
            if name not in ("strand", "tss_offset") and not (type(size) is int and size > 0):
                raise ModelError(f"cnn: {name} is {size!r}, expected a whole number above 0")
        if self.strand not in ("forward", "gene"):
            raise ModelError(f"cnn: strand is {self.strand!r}, expected 'forward' or 'gene'")
        if not (type(self.tss_offset) is int and 0 <= self.tss_offset < self.window_length):
            raise ModelError(f"cnn: tss_offset is {self.tss_offset!r}, expected 0 to {self.window_length - 1}")
        if self.segments < 1:
            raise ModelError(
                f"cnn: a window of {self.window_length} bp is too short for kernels of width {self.kernel_width} "
                f"and a pool of {self.pool}"
            )

    @property
    def segments(self) -> int:
        """Number of segments after pooling; 44 at the published sizes."""
        return (self.window_length - self.kernel_width + 1) // self.pool

    @property
    def window(self) -> WindowSpec:
        """The window to predict from."""
        return self.training_window(shift=0)

    def training_window(self, shift: int = 10) -> WindowSpec:
        """Give the window to train from: `shift` bp longer on either side, for `train_cnn` to move the real one in."""
        return WindowSpec(self.window_length + 2 * shift, self.tss_offset + shift, self.strand)


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


class Cnn:
    """A trained CNN as a sequence model: one-hot windows in, one bin of one track out.

    Made by `Cnn.load` or `train_cnn`. `weights_digest` is the SHA-256 of the weights file, whether it is read or yet to
    be saved; `options` are the sizes.
    """

    name = "cnn"
    bins = 1
    track_names = ("expression",)
    readout = "sum"
    batch_size = 64

    def __init__(self, config: CnnConfig, network: nn.Sequential, device: str, weights_digest: str) -> None:
        self.config = config
        self.window = config.window
        self.options: dict[str, str | int | float] = asdict(config)
        self.weights_digest = weights_digest
        self._network = network.to(device).eval()
        self._device = device

    @classmethod
    def load(cls, weights: Path | None, device: str = "cpu") -> Self:
        """Read a CNN from its safetensors file."""
        path, config = _read_config(weights)
        with torch.random.fork_rng(devices=[]):
            network = build_network(config)
        found, expected = safetensors.torch.load_file(path), network.state_dict()
        for name in sorted(found.keys() | expected.keys()):
            has, needs = _describe(found.get(name)), _describe(expected.get(name))
            if has != needs:
                raise ModelError(f"{path}: tensor {name!r} is {has}, expected {needs} by the file's own config")
        network.load_state_dict(found)
        with path.open("rb") as file:
            return cls(config, network, device, hashlib.file_digest(file, "sha256").hexdigest())

    @classmethod
    def window_of(cls, weights: Path | None) -> WindowSpec:
        """Give the window that a weights file was trained for, from its metadata alone."""
        return _read_config(weights)[1].window

    def save(self, path: Path) -> None:
        """Write weights and config as one safetensors file, whole or not at all."""
        partial = path.with_name(f"{path.name}.partial")
        partial.write_bytes(_serialise(self.config, self._network))
        os.replace(partial, path)

    def predict(self, onehot: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Predict expression from windows.

        Parameters
        ----------
        onehot : ndarray of bool, shape (batch, positions, 4)
            Windows as `window` asks for; channels A, C, G, T, and N all zeros.

        Returns
        -------
        ndarray of float32, shape (batch, 1, 1)
            Expression in the unit that the CNN was trained on: one bin of one track.
        """
        if onehot.shape[1:] != (self.config.window_length, 4):
            raise ModelError(f"cnn: windows of shape {onehot.shape}, expected (batch, {self.config.window_length}, 4)")
        with torch.inference_mode():
            expression: NDArray[np.float32] = self._network(_channels_first(onehot).to(self._device)).cpu().numpy()
        return expression[:, :, np.newaxis]


def train_cnn(
    onehot: NDArray[np.bool_],
    expression: NDArray[np.floating],
    config: CnnConfig,
    *,
    seed: int,
    epochs: int = 100,
    learning_rate: float = 0.001,
    batch_size: int = 25,
    validation: NDArray[np.integer] | None = None,
    shift: int = 10,
    progress: Callable[[int, float], None] | None = None,
    device: str = "cpu",
) -> Cnn:
    """Train a CNN on the reference windows of genes: mean squared error, Adam, windows shifted at random.

    The same arguments give the same weights on the same machine, and torch's global random state stays as it was. A
    hidden layer much smaller than the published 200 may die in the first epochs, all its units at zero for every gene.

    Parameters
    ----------
    onehot : ndarray of bool, shape (genes, window_length + 2 * shift, 4)
        The genes' windows, `shift` bp longer on either side than the CNN's: see `CnnConfig.training_window`.
    expression : ndarray of float, shape (genes,)
        Mean expression of each gene; predictions will be in its unit.
    config : CnnConfig
        Window and sizes.
    seed : int
        Seed of the first weights, of the order of the genes and of the shifts.
    epochs, batch_size : int
        Passes over the genes, and genes a step.
    learning_rate : float, default 0.001
        Adam's, as published.
    validation : ndarray of int, optional
        Indices of genes to hold out. Nothing is chosen by them, so they are a fair test.
    shift : int, default 10
        A step's windows lie up to this many bp beside the true ones.
    progress : callable, optional
        Called after every epoch with its number, from 1, and the mean squared error: that of the held-out genes where
        there are any, else the mean over the epoch's steps.
    device : str, default "cpu"
        Torch's name of the device to train on, and to predict on afterwards.

    Raises
    ------
    JobError
        If the trained network predicts the same for every gene, or no number.
    """
    expected = (len(expression), config.window_length + 2 * shift, 4)
    if onehot.shape != expected:
        raise ModelError(f"cnn: training windows of shape {onehot.shape}, expected {expected}")
    held_out = np.zeros(0, np.int64) if validation is None else np.asarray(validation, np.int64)
    training = np.setdiff1d(np.arange(len(expression)), held_out)
    # Centred, or the first epochs go into finding the mean; the output's bias gets it back at the end.
    mean = expression[training].mean()
    targets = torch.from_numpy((expression - mean).astype(np.float32)).to(device)
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(config).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)

    def predict(genes: NDArray[np.int64], start: int) -> Tensor:
        windows = _channels_first(onehot[genes, start : start + config.window_length]).to(device)
        prediction: Tensor = network(windows)[:, 0]
        return prediction

    def predict_unshifted(genes: NDArray[np.int64]) -> Tensor:
        with torch.no_grad():
            return torch.cat([predict(genes[i : i + batch_size], shift) for i in range(0, len(genes), batch_size)])

    for epoch in range(1, epochs + 1):
        losses = []
        order = rng.permutation(training)
        for batch in (order[i : i + batch_size] for i in range(0, len(order), batch_size)):
            loss = nn.functional.mse_loss(predict(batch, int(rng.integers(2 * shift + 1))), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if progress is not None and len(held_out):
            progress(epoch, nn.functional.mse_loss(predict_unshifted(held_out), targets[held_out]).item())
        elif progress is not None:
            progress(epoch, float(np.mean(losses)))
    if not predict_unshifted(training).std() > 0:  # also where it is NaN
        raise JobError("cnn: training collapsed, every gene is predicted the same: try a lower learning rate")
    with torch.no_grad():
        network.get_parameter("output.bias").add_(float(mean))
    return Cnn(config, network, device, hashlib.sha256(_serialise(config, network)).hexdigest())


def _channels_first(onehot: NDArray[np.bool_]) -> Tensor:
    """Copy windows into a float32 tensor, shape (batch, 4, positions)."""
    return torch.from_numpy(onehot.swapaxes(1, 2).astype(np.float32, order="C"))


def _serialise(config: CnnConfig, network: nn.Sequential) -> bytes:
    # One metadata key: safetensors writes several in any order, and equal weights should be equal files.
    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    return safetensors.torch.save(tensors, {"config": json.dumps({"model": Cnn.name, **asdict(config)})})


def _read_config(weights: Path | None) -> tuple[Path, CnnConfig]:
    """Read a weights file's config without its tensors."""
    if weights is None:
        raise ModelError("cnn: --weights is needed, because a CNN's window is stored in its weights")
    try:
        with safe_open(weights, framework="np") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{weights}: not a safetensors file ({error}), expected the weights of a cnn") from error
    if "config" not in metadata:
        raise ModelError(f"{weights}: no config in its metadata, expected the weights of a cnn made by pdstore")
    try:
        config = json.loads(metadata["config"])
    except json.JSONDecodeError as error:
        raise ModelError(f"{weights}: its config is not JSON ({error})") from error
    model = config.pop("model", None) if isinstance(config, dict) else None
    if model != Cnn.name:
        raise ModelError(f"{weights}: weights of the model {model!r}, expected {Cnn.name!r}")
    names = {field.name for field in fields(CnnConfig)}
    if config.keys() != names:
        raise ModelError(f"{weights}: its config has {', '.join(sorted(config))}, expected {', '.join(sorted(names))}")
    try:
        return weights, CnnConfig(**config)
    except ModelError as error:
        raise ModelError(f"{weights}: {error}") from error


def _describe(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
