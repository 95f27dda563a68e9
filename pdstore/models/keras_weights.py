"""Weights that Keras wrote as HDF5: which layers there are, in the order in which they were made."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from pdstore.errors import ModelError


class KerasTensor(NamedTuple):
    """A tensor of a file that is expected.

    Attributes
    ----------
    kind : str
        Kind of its layer: "conv1d".
    number : int
        Which of the layers of that kind, from 0, in the order in which they were made.
    name : str
        Name in the layer: "kernel".
    shape : tuple of int
        As Keras keeps it: (width, in, out) of a convolution, (in, out) of a dense layer.
    """

    kind: str
    number: int
    name: str
    shape: tuple[int, ...]


def read_keras(path: Path, expected: Sequence[KerasTensor], model: str, values: bool) -> list[NDArray[np.float32]]:
    """Tensors of a weights file, in the order in which they are expected.

    Layers are known by their kind and by the number that Keras puts behind it, whatever that begins with: a second
    model that is made in a process counts on.

    Parameters
    ----------
    path : Path
        The file.
    expected : sequence of KerasTensor
        All tensors of the model.
    model : str
        Its name.
    values : bool
        Whether to read values; otherwise arrays are empty, and shapes alone were looked at.

    Raises
    ------
    ModelError
        No HDF5 file; or the first tensor that is missing or of another shape, with both shapes; or layers too many.
    """
    try:
        with h5py.File(path) as file:
            layers = _layers(file.get("model_weights", file))
            kinds = {
                tensor.kind: 1 + max(of.number for of in expected if of.kind == tensor.kind) for tensor in expected
            }
            for kind, number in kinds.items():
                held = len(layers.get(kind, []))
                if held != number:
                    raise ModelError(
                        f"weights {path}: {held} layers {kind}, but {model} has {number}; are these another model's "
                        "weights?"
                    )
            found = []
            for tensor in expected:
                layer, tensors = layers[tensor.kind][tensor.number]
                name = f"{layer}/{tensor.name}"
                dataset = tensors.get(tensor.name)
                if dataset is None:
                    raise ModelError(f"weights {path}: no {name}, which {model} has")
                if dataset.shape != tensor.shape:
                    raise ModelError(
                        f"weights {path}: {name} has shape {dataset.shape}, but {model}'s has {tensor.shape}"
                    )
                found.append(dataset[...].astype(np.float32) if values else np.empty(0, np.float32))
            return found
    except OSError as error:
        raise ModelError(f"weights {path}: not a Keras HDF5 file, which model {model} needs") from error


def _layers(root: h5py.Group) -> dict[str, list[tuple[str, dict[str, h5py.Dataset]]]]:
    """Kind of layer → its layers in order: name, and tensors by name."""
    tensors: dict[str, dict[str, h5py.Dataset]] = {}

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        parts = name.split("/")
        if isinstance(item, h5py.Dataset) and len(parts) > 1:
            tensors.setdefault(parts[-2], {})[parts[-1].removesuffix(":0")] = item

    root.visititems(visit)
    layers: dict[str, list[tuple[int, str, dict[str, h5py.Dataset]]]] = {}
    for layer, of_layer in tensors.items():
        kind, number = re.fullmatch(r"(.*?)(?:_(\d{1,9}))?", layer).groups()  # type: ignore[union-attr]
        layers.setdefault(kind, []).append((int(number or 0), layer, of_layer))
    return {kind: [found[1:] for found in sorted(of, key=lambda one: one[0])] for kind, of in layers.items()}
