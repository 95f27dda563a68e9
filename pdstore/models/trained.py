"""Models that are trained here: a config, and a network of one number a window, in one safetensors file."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import ModelError
from pdstore.haplotypes.window import WindowSpec
from pdstore.models.protocol import NO_OPTIONS, ModelDescription, ModelOptions
from pdstore.models.weights import existing_weights, weights_sha256

if TYPE_CHECKING:
    from torch import Tensor

    from pdstore.models.trainable import TrainableNetwork


class NetworkConfig(Protocol):
    """What makes a network: a frozen dataclass of plain values, which its weights file keeps.

    Attributes
    ----------
    model : str
        Name of the model in files.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    model: ClassVar[str]

    @property
    def windows_at_once(self) -> int:
        """Windows in the network at once in training, where more would not fit in memory."""
        ...

    def network(self) -> "TrainableNetwork":
        """The untrained network, from torch's global generator."""
        ...


class WindowConfig(NetworkConfig, Protocol):
    """The same of a network that reads sequence."""

    @property
    def window(self) -> WindowSpec:
        """The window to predict from."""
        ...


_LONGEST_WINDOW = 100_000_000
"""bp: no contig of a mammal is three times as long."""

_MOST_TRAINED = 20

Trained = Mapping[str, str | int]
NOTHING: Trained = MappingProxyType({})
"""Nothing is known of what a network was trained on."""

AnyConfig = TypeVar("AnyConfig", bound=NetworkConfig)
Config = TypeVar("Config", bound=WindowConfig)


def longer(window: WindowSpec, shift: int) -> WindowSpec:
    """The window to train from: `shift` bp longer on either side, to move the real one in."""
    return WindowSpec(window.length + 2 * shift, window.tss_offset + shift, window.strand)


class TrainedModel(Generic[Config]):
    """A network that was trained here as a `SequenceModel`: one bin of one track.

    The options of its description are the config, and what it was trained on, as ``trained_…``.

    Attributes
    ----------
    config : NetworkConfig
        Window and sizes.
    network : TrainableNetwork
        The network.
    trained : mapping
        What it was trained on, as its weights file says.
    weights_digest : str
        SHA-256 of the weights file, whether it is read or yet to be saved.
    """

    name: ClassVar[str]
    takes: ClassVar[frozenset[str]] = frozenset()
    config_class: ClassVar[type[Any]]
    largest_batch: ClassVar[int] = 64

    def __init__(
        self, config: Config, network: "TrainableNetwork", device: str, weights_digest: str, trained: Trained
    ) -> None:
        self.config, self.trained = config, trained
        self.description = _description(config, trained)
        self.weights_digest = weights_digest
        # What fits in memory with gradients fits without.
        self.batch_size = min(self.largest_batch, config.windows_at_once)
        self.network = network.to(device).eval()
        self._device = device

    @classmethod
    def describe(
        cls, weights: Path | None, options: ModelOptions = NO_OPTIONS, device: str = "cpu"
    ) -> ModelDescription:
        """One bin of one track; shapes of all tensors are held against the file's own config."""
        path, config, trained = cls._read(weights)
        import torch

        from pdstore.models.trainable import check_tensors

        try:
            with torch.device("meta"):
                network = config.network()
        except (RuntimeError, OverflowError, TypeError) as error:
            raise ModelError(
                f"{path}: there is no network of its sizes ({str(error).splitlines()[0][:100]})"
            ) from error
        check_tensors(path, network)
        return _description(config, trained)

    @classmethod
    def digest(cls, weights: Path | None) -> str:
        """SHA-256 of the file."""
        return weights_sha256(existing_weights(weights, cls.name))

    @classmethod
    def load(cls, weights: Path | None, options: ModelOptions = NO_OPTIONS, device: str = "cpu") -> Self:
        """Read it from its safetensors file."""
        cls.describe(weights, options, device)
        path, config, trained = cls._read(weights)
        import torch

        from pdstore.models.trainable import read_tensors

        with torch.random.fork_rng(devices=[]):
            network = config.network()
        network.load_state_dict(read_tensors(path))
        return cls(config, network, device, weights_sha256(path), trained)

    @classmethod
    def of(cls, config: Config, network: "TrainableNetwork", device: str, trained: Trained = NOTHING) -> Self:
        """The model of a network that is trained."""
        digest = hashlib.sha256(serialised(config, network, trained)).hexdigest()
        return cls(config, network, device, digest, trained)

    @classmethod
    def window_of(cls, weights: Path | None) -> WindowSpec:
        """Give the window that a weights file was trained for, from its metadata alone."""
        return cls._read(weights)[1].window

    @classmethod
    def _read(cls, weights: Path | None) -> tuple[Path, Config, Trained]:
        """A weights file, its config and what it was trained on, without its tensors."""
        if weights is None:
            raise ModelError(f"{cls.name}: --weights is needed, because its window is stored in its weights")
        path = existing_weights(weights, cls.name)
        config, trained = read_config(path, cls.config_class, cls.name)
        return path, cls.checked(path, config), trained

    @classmethod
    def checked(cls, path: Path, config: Config) -> Config:
        """The config of a file; raises `ModelError` where it is not this model's."""
        return config

    def save(self, path: Path) -> None:
        """Write weights and config as one safetensors file, whole or not at all."""
        partial = path.with_name(f"{path.name}.partial")
        partial.write_bytes(serialised(self.config, self.network, self.trained))
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
            Expression in the unit that it was trained on: one bin of one track.
        """
        expected = (self.config.window.length, 4)
        if onehot.shape[1:] != expected:
            raise ModelError(f"{self.name}: windows of shape {onehot.shape}, expected (batch, {expected[0]}, 4)")
        import torch

        with torch.inference_mode():
            windows = torch.from_numpy(np.array(onehot, order="C")).to(self._device).to(torch.float32)
            expression: NDArray[np.float32] = self.network(windows).cpu().numpy()
        return expression[:, np.newaxis, np.newaxis]

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
        expected = (self.config.window.length, 4)
        if onehot.shape != expected:
            raise ModelError(f"{self.name}: window of shape {onehot.shape}, expected {expected}")
        from pdstore.models.autograd import weighted_gradient

        def outputs(windows: "Tensor") -> "Tensor":
            expression: Tensor = self.network(windows)
            return expression[:, None, None]

        return weighted_gradient(outputs, onehot, weights, self._device)


def read_config(path: Path, kind: type[AnyConfig], model: str) -> tuple[AnyConfig, Trained]:
    """The config of a weights file, and what it was trained on; no tensor is read.

    Raises
    ------
    ModelError
        It has none, or another model's.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: not a safetensors file ({error}), expected the weights of a {model}") from error
    if "config" not in metadata:
        raise ModelError(f"{path}: no config in its metadata, expected the weights of a {model} made by pdstore")
    try:
        found = json.loads(metadata["config"])
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: its config is not JSON ({str(error)[:100]})") from error
    of = found.pop("model", None) if isinstance(found, dict) else None
    expected = str(kind.model)
    if of != expected:
        raise ModelError(f"{path}: weights of the model {repr(of)[:100]}, expected {expected!r}")
    trained = found.pop("trained", {})
    if not (
        isinstance(trained, dict)
        and len(trained) <= _MOST_TRAINED
        and all(name.isidentifier() and type(of) in (str, int) and len(str(of)) < 100 for name, of in trained.items())
    ):
        raise ModelError(f"{path}: what it was trained on is {repr(trained)[:100]}, expected a few names and values")
    names = {field.name for field in fields(kind)}
    if found.keys() != names:
        has = ", ".join(sorted(found))[:200]
        raise ModelError(f"{path}: its config has {has}, expected {', '.join(sorted(names))}")
    try:
        return kind(**found), trained
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def check_window(config: NetworkConfig, length: Any, tss_offset: Any, strand: Any) -> None:
    """Raise `ModelError` where a config, which may come from a file, has no window."""
    if not (type(length) is int and 0 < length <= _LONGEST_WINDOW):
        raise ModelError(
            f"{config.model}: window_length is {str(length)[:50]}, expected a whole number from 1 to "
            f"{_LONGEST_WINDOW:,}"
        )
    if strand not in ("forward", "gene"):
        raise ModelError(f"{config.model}: strand is {strand!r}, expected 'forward' or 'gene'")
    if not (type(tss_offset) is int and 0 <= tss_offset < length):
        raise ModelError(f"{config.model}: tss_offset is {tss_offset!r}, expected 0 to {length - 1}")


def serialised(config: NetworkConfig, network: "TrainableNetwork", trained: Trained = NOTHING) -> bytes:
    """The weights file of a network."""
    from pdstore.models.trainable import serialise

    return serialise({"model": config.model, **asdict(config), "trained": dict(trained)}, network)


def _description(config: WindowConfig, trained: Trained) -> ModelDescription:
    options = {**asdict(config), **{f"trained_{name}": value for name, value in trained.items()}}
    return ModelDescription(config.window, 1, ("expression",), "sum", options)
