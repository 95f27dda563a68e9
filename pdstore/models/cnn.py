"""The simple CNN of Sasse et al. 2023: one convolution over a window, one number of expression; trainable here.

Trained on the reference windows of genes and their mean expression in a population, as in the article, it knows of
variants only what the differences between genes teach it. Its window and its sizes are parameters, stored with the
weights in one safetensors file.

References
----------
Sasse et al. 2023, Nature Genetics 55:2060.
"""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from pdstore.errors import ModelError
from pdstore.haplotypes.window import WindowSpec
from pdstore.models.protocol import NO_OPTIONS, About, ModelDescription, ModelOptions
from pdstore.models.weights import existing_weights, weights_sha256

if TYPE_CHECKING:
    from torch import nn


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

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the network's tensors, by name."""
        return {
            "convolution.weight": (self.kernels, 4, self.kernel_width),
            "convolution.bias": (self.kernels,),
            "hidden.weight": (self.hidden, self.kernels * self.segments),
            "hidden.bias": (self.hidden,),
            "output.weight": (1, self.hidden),
            "output.bias": (1,),
        }

    def training_window(self, shift: int = 10) -> WindowSpec:
        """Give the window to train from: `shift` bp longer on either side, for `train_cnn` to move the real one in."""
        return WindowSpec(self.window_length + 2 * shift, self.tss_offset + shift, self.strand)


class Cnn:
    """A trained CNN as a sequence model: one-hot windows in, one bin of one track out.

    Made by `Cnn.load` or `train_cnn`. `weights_digest` is the SHA-256 of the weights file, whether it is read or yet to
    be saved; the options of its description are the sizes.
    """

    name: ClassVar[str] = "cnn"
    about: ClassVar[About] = About(
        reads="a window that its weights name; 40,001 bp as published",
        gives="expression, in the unit that it was trained on",
        weights="trained on a store",
        licence="pdstore: Apache 2.0",
        reference="Sasse et al. 2023, Nature Genetics 55:2060",
    )
    takes: ClassVar[frozenset[str]] = frozenset()
    batch_size = 64

    def __init__(self, config: CnnConfig, network: "nn.Sequential", device: str, weights_digest: str) -> None:
        self.config = config
        self.description = _description(config)
        self.weights_digest = weights_digest
        self._network = network.to(device).eval()
        self._device = device

    @classmethod
    def describe(
        cls, weights: Path | None, options: ModelOptions = NO_OPTIONS, device: str = "cpu"
    ) -> ModelDescription:
        """One bin of one track; the weights are held against the file's own config."""
        path, config = _read_config(weights)
        with safe_open(path, framework="np") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        for name in sorted(found.keys() | config.shapes.keys()):
            has, needs = found.get(name, "absent"), config.shapes.get(name, "absent")
            if has != needs:
                raise ModelError(f"{path}: tensor {name!r} is {has}, expected {needs} by the file's own config")
        return _description(config)

    @classmethod
    def digest(cls, weights: Path | None) -> str:
        """SHA-256 of the file."""
        return weights_sha256(existing_weights(weights, cls.name))

    @classmethod
    def load(cls, weights: Path | None, options: ModelOptions = NO_OPTIONS, device: str = "cpu") -> Self:
        """Read a CNN from its safetensors file."""
        path, config = _read_config(weights)
        from pdstore.models.cnn_network import read_network

        network = read_network(path, config)
        return cls(config, network, device, weights_sha256(path))

    @classmethod
    def window_of(cls, weights: Path | None) -> WindowSpec:
        """Give the window that a weights file was trained for, from its metadata alone."""
        return _read_config(weights)[1].window

    def save(self, path: Path) -> None:
        """Write weights and config as one safetensors file, whole or not at all."""
        from pdstore.models.cnn_network import serialise

        partial = path.with_name(f"{path.name}.partial")
        partial.write_bytes(serialise(self.config, self._network))
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
        import torch

        from pdstore.models.cnn_network import channels_first

        with torch.inference_mode():
            expression: NDArray[np.float32] = self._network(channels_first(onehot).to(self._device)).cpu().numpy()
        return expression[:, :, np.newaxis]

    def gradient(self, onehot: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """Gradient of the weighted output of a window with respect to its one-hot bases.

        Parameters
        ----------
        onehot : ndarray of bool, shape (positions, 4)
            A window; channels A, C, G, T, and N all zeros.
        weights : ndarray of float64, shape (1, 1)
            Weight of the output.

        Returns
        -------
        ndarray of float32, shape (positions, 4)
        """
        if onehot.shape != (self.config.window_length, 4):
            raise ModelError(f"cnn: window of shape {onehot.shape}, expected ({self.config.window_length}, 4)")
        from pdstore.models.autograd import weighted_gradient

        return weighted_gradient(
            lambda windows: self._network(windows.transpose(1, 2))[:, :, None], onehot, weights, self._device
        )


def _description(config: CnnConfig) -> ModelDescription:
    return ModelDescription(config.window, 1, ("expression",), "sum", asdict(config))


def _read_config(weights: Path | None) -> tuple[Path, CnnConfig]:
    """Read a weights file's config without its tensors."""
    if weights is None:
        raise ModelError("cnn: --weights is needed, because a CNN's window is stored in its weights")
    weights = existing_weights(weights, Cnn.name)
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
