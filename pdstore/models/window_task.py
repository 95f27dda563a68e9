"""What a network learns from windows and one number each: genes and their expression, or sequences of an assay."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pdstore.errors import ModelError
from pdstore.models.trainable import Examples, TrainableNetwork


class WindowTask:
    """A `Task`: the expression of a window.

    Parameters
    ----------
    windows : ndarray of bool or float32, shape (examples, positions + 2 * shift, channels)
        Windows, `shift` bp longer on either side than the network's: see `pdstore.models.trained.longer`.
    expression : ndarray of float, shape (examples,)
        What is learnt; predictions will be in its unit.
    positions : int
        Length of the network's window.
    validation : ndarray of int, optional
        Numbers of examples to hold out.
    shift : int
        A step's windows lie up to this many bp beside the true ones.
    centred : bool
        Whether the mean of the training examples is taken off: or the first epochs go into finding it.
    """

    windows = 1

    def __init__(
        self,
        windows: NDArray[np.bool_] | NDArray[np.float32],
        expression: NDArray[np.floating],
        positions: int,
        validation: NDArray[np.integer] | None = None,
        shift: int = 0,
        centred: bool = True,
    ) -> None:
        expected = (len(expression), positions + 2 * shift)
        if windows.shape[:2] != expected:
            raise ModelError(f"training windows of shape {windows.shape[:2]}, expected {expected}")
        self._examples, self._expression, self._positions, self._shift = windows, expression, positions, shift
        self.validation = np.zeros(0, np.int64) if validation is None else np.asarray(validation, np.int64)
        self.training = np.setdiff1d(np.arange(len(expression)), self.validation)
        self.centre = float(expression[self.training].mean()) if centred else 0.0
        self._targets = torch.from_numpy((expression - self.centre).astype(np.float32))

    @cached_property
    def settings(self) -> Mapping[str, str]:
        """Validation examples, windows, expression and shift."""
        data: dict[str, NDArray[Any]] = {
            "validation examples": self.validation,
            "genes, folds or windows": self._examples,
            "expression": self._expression.astype(np.float64),
        }
        digests = {name: hashlib.sha256(np.ascontiguousarray(of).data).hexdigest() for name, of in data.items()}
        return {"shift": str(self._shift), **digests}

    def drawn(self, rng: np.random.Generator) -> int:
        """Where a step's windows begin."""
        return int(rng.integers(2 * self._shift + 1))

    def loss(self, network: TrainableNetwork, examples: NDArray[np.int64], drawn: int | None, device: str) -> Tensor:
        """The mean loss of some examples, unshifted where nothing is drawn."""
        windows = self._windows(examples, self._shift if drawn is None else drawn, device)
        return network.loss(Examples(windows, self._targets[examples].to(device)))

    def spread(self, network: TrainableNetwork, examples: NDArray[np.int64], device: str) -> tuple[Tensor, Tensor]:
        """Predictions, less `centre`, twice: shapes (examples,)."""
        found: Tensor = network(self._windows(examples, self._shift, device))
        return found, found

    def _windows(self, examples: NDArray[np.int64], start: int, device: str) -> Tensor:
        windows = np.ascontiguousarray(self._examples[examples, start : start + self._positions])
        # As bool it is a quarter of the bytes on the way to a GPU.
        return torch.from_numpy(windows).to(device).to(torch.float32)
