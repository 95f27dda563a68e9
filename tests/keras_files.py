"""Random weights as Keras writes them."""

from pathlib import Path

import h5py
import numpy as np

from pdstore.models.basenji2 import Basenji2Sizes
from pdstore.models.xpresso import KERAS_SHAPES


def basenji2_weights(folder: Path, seed: int, sizes: Basenji2Sizes, first: int = 0) -> Path:
    """A Basenji2's, of random values everywhere; its layers are numbered from `first`."""
    rng = np.random.default_rng(seed)
    with h5py.File(folder / "model_human.h5", "w") as file:
        for tensor in sizes.tensors:
            layer = f"{tensor.kind}_{first + tensor.number}" if first + tensor.number else tensor.kind
            values = rng.normal(size=tensor.shape)
            if tensor.name == "kernel":
                values *= 1.5 / np.sqrt(np.prod(tensor.shape[:-1]))
            if tensor.name in ("gamma", "moving_variance"):
                values = np.exp(0.3 * values)
            file[f"model_weights/{layer}/{layer}/{tensor.name}:0"] = values.astype(np.float32)
    return folder / "model_human.h5"


def xpresso_weights(folder: Path, seed: int) -> Path:
    """An Xpresso's."""
    rng = np.random.default_rng(seed)
    with h5py.File(folder / "xpresso.h5", "w") as file:
        for layer, shapes in KERAS_SHAPES.items():
            for name, shape in zip(("kernel", "bias"), shapes, strict=True):
                values = rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))
                file[f"model_weights/{layer}/{layer}/{name}:0"] = values.astype(np.float32)
    return folder / "xpresso.h5"
