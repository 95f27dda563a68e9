"""What pdstore asks of a model; nothing else in pdstore knows which model it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import ModelError
from pdstore.haplotypes.window import WindowSpec


class SequenceModel(Protocol):
    """A model from sequence windows to tracks.

    Attributes
    ----------
    name : str
        Name in the registry.
    window : WindowSpec
        The window it reads.
    bins : int
        Target bins of an output.
    track_names : sequence of str
        Names of the output tracks.
    readout : str
        How its tracks become one number: a name in `pdstore.analysis.readout.READOUTS`.
    batch_size : int
        Windows that `predict` is given at once.
    weights_digest : str
        SHA-256 of the weights, hexadecimal.
    options : mapping
        What else changes its outputs; recorded in the store.
    """

    name: str
    readout: str
    batch_size: int

    @property
    def window(self) -> WindowSpec: ...

    @property
    def bins(self) -> int: ...

    @property
    def track_names(self) -> Sequence[str]: ...

    @property
    def weights_digest(self) -> str: ...

    @property
    def options(self) -> Mapping[str, str | int | float]: ...

    @classmethod
    def load(cls, weights: Path | None, device: str = "cpu") -> Self:
        """Load the model; raises `ModelError` where the weights are missing or not this model's."""
        ...

    @classmethod
    def window_of(cls, weights: Path | None) -> WindowSpec:
        """The window that the model reads, without loading it."""
        ...

    def predict(self, onehot: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Outputs for windows.

        Parameters
        ----------
        onehot : ndarray of bool, shape (batch, positions, 4)
            A, C, G, T; N is all zeros.

        Returns
        -------
        ndarray of float32, shape (batch, bins, tracks)
        """
        ...


def predict_in_batches(model: SequenceModel, windows: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Outputs for any number of windows, in batches of the one size `model.batch_size`.

    The last batch is filled up with windows of zeros: matrix products of other sizes differ in the last bits, and a
    block's result must depend on the block alone.

    Parameters
    ----------
    model : SequenceModel
        The model.
    windows : ndarray of bool, shape (windows, positions, 4)
        A, C, G, T; N is all zeros.

    Returns
    -------
    ndarray of float32, shape (windows, bins, tracks)
    """
    outputs = np.empty((len(windows), model.bins, len(model.track_names)), dtype=np.float32)
    for start in range(0, len(windows), model.batch_size):
        batch = windows[start : start + model.batch_size]
        padding = model.batch_size - len(batch)
        padded = np.concatenate([batch, np.zeros((padding, *batch.shape[1:]), dtype=bool)]) if padding else batch
        predicted = model.predict(padded)
        if predicted.shape != (model.batch_size, *outputs.shape[1:]):
            raise ModelError(
                f"model {model.name} gave outputs of shape {predicted.shape} for {model.batch_size} windows, but "
                f"declares {outputs.shape[1:]} bins and tracks"
            )
        outputs[start : start + len(batch)] = predicted[: len(batch)]
    return outputs
