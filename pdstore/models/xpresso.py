"""Xpresso (Agarwal & Shendure 2020): a promoter of 10,500 bp to one value, from the published Keras weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from pdstore.errors import ModelError
from pdstore.haplotypes.window import WindowSpec
from pdstore.models.protocol import NO_OPTIONS, About, ModelDescription, ModelOptions
from pdstore.models.weights import existing_weights, weights_sha256

if TYPE_CHECKING:
    from pdstore.models.xpresso_network import XpressoNetwork

WINDOW = WindowSpec(length=10_500, tss_offset=6_999, strand="gene")

# Layer → shapes of kernel and bias as Keras stores them: (width, in, out) and (in, out).
KERAS_SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "conv1d_1": ((6, 4, 128), (128,)),
    "conv1d_2": ((9, 128, 32), (32,)),
    "dense_1": ((35 * 32 + 6, 64), (64,)),
    "dense_2": ((64, 2), (2,)),
    "dense_3": ((2, 1), (1,)),
}


class Xpresso:
    """Xpresso as a `SequenceModel`: one bin, one track, the log expression of a promoter."""

    name: ClassVar[str] = "xpresso"
    about: ClassVar[About] = About(
        reads="10,500 bp: 7,000 before the TSS",
        gives="log expression of a promoter",
        weights="the published Keras HDF5 files",
        licence="code and weights: MIT",
        reference="Agarwal & Shendure 2020, Cell Reports 31:107663",
    )
    # Half-life features at zero, as here.
    protocols: ClassVar[Mapping[str, Mapping[str, Any]]] = {"huang2023": {}}
    takes: ClassVar[frozenset[str]] = frozenset()
    # Some seconds on a CPU, beside which opening and writing a block are nothing.
    description = ModelDescription(
        WINDOW, 1, ("expression",), "sum", {"half_life_features": "zero"}, windows_per_block=256
    )
    batch_size = 32

    def __init__(self, network: "XpressoNetwork", weights_digest: str, device: str) -> None:
        self._network = network.eval().to(device)
        self._device = device
        self.weights_digest = weights_digest

    @classmethod
    def window_of(cls, weights: Path | None) -> WindowSpec:
        """10,500 bp: TSS-6,999 to TSS+3,500 in the gene's direction."""
        return WINDOW

    @classmethod
    def describe(
        cls, weights: Path | None, options: ModelOptions = NO_OPTIONS, device: str = "cpu"
    ) -> ModelDescription:
        """One bin of one track; the weights are read, which takes milliseconds."""
        _read_keras_weights(existing_weights(weights, cls.name))
        return cls.description

    @classmethod
    def digest(cls, weights: Path | None) -> str:
        """SHA-256 of the file."""
        return weights_sha256(existing_weights(weights, cls.name))

    @classmethod
    def load(cls, weights: Path | None, options: ModelOptions = NO_OPTIONS, device: str = "cpu") -> Self:
        """Load the published Keras HDF5.

        Raises
        ------
        ModelError
            No file, not HDF5, or a layer is missing or has another shape.
        """
        path = existing_weights(weights, cls.name)
        import torch

        from pdstore.models.xpresso_network import XpressoNetwork

        state = {name: torch.from_numpy(values) for name, values in _read_keras_weights(path).items()}
        network = XpressoNetwork()
        network.load_state_dict(state)
        return cls(network, weights_sha256(path), device)

    def predict(self, onehot: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Outputs for promoters: (batch, 10500, 4) bool → (batch, 1, 1) float32."""
        if onehot.shape[1:] != (WINDOW.length, 4):
            raise ModelError(f"xpresso: windows of shape {onehot.shape}, expected (batch, {WINDOW.length}, 4)")
        import torch

        with torch.inference_mode():
            promoter = torch.from_numpy(np.ascontiguousarray(onehot)).to(self._device, torch.float32)
            output: NDArray[np.float32] = self._network(promoter)[:, :, None].cpu().numpy()
            return output

    def gradient(self, onehot: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """Gradient of the weighted output of a promoter: (10500, 4) bool, (1, 1) float64 → (10500, 4) float32."""
        from pdstore.models.autograd import weighted_gradient

        return weighted_gradient(lambda promoter: self._network(promoter)[:, :, None], onehot, weights, self._device)


def _read_keras_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """State dict of `XpressoNetwork` from Keras layers named as in it."""
    state: dict[str, NDArray[np.float32]] = {}
    try:
        with h5py.File(path) as file:
            layers = file.get("model_weights", file)
            for layer, (kernel_shape, bias_shape) in KERAS_SHAPES.items():
                kernel = _read_dataset(layers, f"{layer}/{layer}/kernel:0", kernel_shape, path)
                bias = _read_dataset(layers, f"{layer}/{layer}/bias:0", bias_shape, path)
                # Keras: (width, in, out) and (in, out); torch: (out, in, width) and (out, in).
                state[f"{layer}.weight"] = np.ascontiguousarray(kernel.T)
                state[f"{layer}.bias"] = bias
    except OSError as error:
        raise ModelError(f"weights {path}: not a Keras HDF5 file, which model xpresso needs") from error
    return state


def _read_dataset(layers: h5py.Group, name: str, shape: tuple[int, ...], path: Path) -> NDArray[np.float32]:
    dataset = layers.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise ModelError(f"weights {path}: no {name}, which every Xpresso has; are these another model's weights?")
    if dataset.shape != shape:
        raise ModelError(f"weights {path}: {name} has shape {dataset.shape}, but Xpresso's has {shape}")
    values: NDArray[np.float32] = dataset[...].astype(np.float32)
    return values
