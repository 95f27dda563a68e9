"""Training of the simple CNN on reference windows of genes and their mean expression."""

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pdstore.errors import JobError, ModelError, UsageError
from pdstore.models.cnn import Cnn, CnnConfig
from pdstore.models.cnn_network import build_network, channels_first, serialise
from pdstore.sources.text import replacing_file

_MOST_ACTIVATIONS = 100_000_000
"""Of the convolution at once, in a step: 0.4 GB, and about four times that with gradients. A window of the published
sizes has 36 million; a step of 25 would need 14 GB."""
_DIGESTS = ("validation genes", "sequences", "expression")
"""Settings of a checkpoint that are too long to show."""


@dataclass(frozen=True)
class Epoch:
    """One pass over the training genes.

    Attributes
    ----------
    number : int
        From 1.
    training_loss, validation_loss : float
        Mean squared error: the mean over the epoch's steps, and of the validation genes behind it; NaN without any.
    """

    number: int
    training_loss: float
    validation_loss: float

    @property
    def loss(self) -> float:
        """That of the validation genes where there are any."""
        return self.training_loss if np.isnan(self.validation_loss) else self.validation_loss


class CnnTraining:
    """A training that goes on epoch by epoch, or from a checkpoint: mean squared error, Adam, shifted windows.

    The same arguments give the same weights on the same machine, interrupted or not, and torch's global random state
    stays as it was. A hidden layer much smaller than the published 200 may die in the first epochs, all its units at
    zero for every gene.

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
    learning_rate : float, default 0.001
        Adam's, as published.
    batch_size : int
        Genes a step.
    validation : ndarray of int, optional
        Indices of genes to hold out.
    shift : int, default 10
        A step's windows lie up to this many bp beside the true ones.
    device : str, default "cpu"
        Torch's name of the device to train on, and to predict on afterwards.

    Attributes
    ----------
    history : list of Epoch
        Those that are done.
    windows_at_once : int
        Windows in the network: a part of a step, where all would not fit in memory.
    """

    def __init__(
        self,
        onehot: NDArray[np.bool_],
        expression: NDArray[np.floating],
        config: CnnConfig,
        *,
        seed: int,
        learning_rate: float = 0.001,
        batch_size: int = 25,
        validation: NDArray[np.integer] | None = None,
        shift: int = 10,
        device: str = "cpu",
    ) -> None:
        expected = (len(expression), config.window_length + 2 * shift, 4)
        if onehot.shape != expected:
            raise ModelError(f"cnn: training windows of shape {onehot.shape}, expected {expected}")
        self._onehot, self._config, self._shift, self._device = onehot, config, shift, device
        self._batch_size = batch_size
        of_a_window = config.kernels * (config.window_length - config.kernel_width + 1)
        self.windows_at_once = max(1, min(batch_size, _MOST_ACTIVATIONS // of_a_window))
        self._validation = np.zeros(0, np.int64) if validation is None else np.asarray(validation, np.int64)
        self._training = np.setdiff1d(np.arange(len(expression)), self._validation)
        # Centred, or the first epochs go into finding the mean; the output's bias gets it back at the end.
        self._mean = float(expression[self._training].mean())
        self._targets = torch.from_numpy((expression - self._mean).astype(np.float32)).to(device)
        self._settings = {
            **{name: str(value) for name, value in asdict(config).items()},
            "seed": str(seed),
            "learning rate": str(learning_rate),
            "batch size": str(batch_size),
            "shift": str(shift),
        }
        data = (self._validation.tobytes(), np.packbits(onehot).tobytes(), expression.astype(np.float64).tobytes())
        for name, values in zip(_DIGESTS, data, strict=True):
            self._settings[name] = hashlib.sha256(values).hexdigest()
        self._rng = np.random.default_rng(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = build_network(config).to(device)
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=learning_rate)
        self._best = self._weights()
        self.history: list[Epoch] = []

    @property
    def best(self) -> Epoch:
        """The epoch with the lowest loss: the first of equals."""
        return min(self.history, key=lambda epoch: epoch.loss)

    def epoch(self) -> Epoch:
        """Pass over the training genes once."""
        losses, order = [], self._rng.permutation(self._training)
        for step in _parts(order, self._batch_size):
            start = int(self._rng.integers(2 * self._shift + 1))
            self._optimizer.zero_grad()
            loss = 0.0
            # A step's gradient is the sum of its parts', which need not fit in memory together.
            for genes in _parts(step, self.windows_at_once):
                of_part = nn.functional.mse_loss(self._predict(genes, start), self._targets[genes])
                of_part = of_part * (len(genes) / len(step))
                of_part.backward()
                loss += of_part.item()
            self._optimizer.step()
            losses.append(loss)
        of_validation = np.nan
        if len(self._validation):
            predicted = self._predict_unshifted(self._validation)
            of_validation = nn.functional.mse_loss(predicted, self._targets[self._validation]).item()
        done = Epoch(len(self.history) + 1, sum(losses) / len(losses), of_validation)
        self.history.append(done)
        if self.best is done:
            self._best = self._weights()
        return done

    def trained(self, best: bool = False) -> Cnn:
        """The CNN after the last epoch, or after the best one.

        Raises
        ------
        JobError
            It predicts the same for every gene, or no number.
        """
        if best:
            self._network.load_state_dict(self._best)
        if not self._predict_unshifted(self._training).std() > 0:  # also where it is NaN
            raise JobError("cnn: training collapsed, every gene is predicted the same: try a lower learning rate")
        network = copy.deepcopy(self._network)
        with torch.no_grad():
            network.get_parameter("output.bias").add_(self._mean)
        return Cnn(self._config, network, self._device, hashlib.sha256(serialise(self._config, network)).hexdigest())

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        checkpoint = {
            "settings": self._settings,
            "history": [(epoch.number, epoch.training_loss, epoch.validation_loss) for epoch in self.history],
            "rng": json.dumps(self._rng.bit_generator.state),
            "network": self._network.state_dict(),
            "best": self._best,
            "optimizer": self._optimizer.state_dict(),
        }
        with replacing_file(path) as partial:
            torch.save(checkpoint, partial)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        UsageError
            It is none, or one of another training; the message says what differs.
        """
        try:
            found = torch.load(path, map_location=self._device, weights_only=True)
            settings = dict(found["settings"])
        except (OSError, RuntimeError, EOFError, UnpicklingError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path}: not a checkpoint of a training ({type(error).__name__}); remove it") from error
        differing = [name for name, value in self._settings.items() if settings.get(name) != value]
        if differing:
            shown = ", ".join(
                f"other {name}" if name in _DIGESTS else f"{name} {settings.get(name)}, now {self._settings[name]}"
                for name in differing
            )
            raise UsageError(f"{path} was begun otherwise ({shown}): train with the same, or remove it first")
        self._network.load_state_dict(found["network"])
        self._optimizer.load_state_dict(found["optimizer"])
        self._best = found["best"]
        self._rng.bit_generator.state = json.loads(found["rng"])
        self.history = [Epoch(*of) for of in found["history"]]

    def _weights(self) -> dict[str, Tensor]:
        return {name: values.clone() for name, values in self._network.state_dict().items()}

    def _predict(self, genes: NDArray[np.int64], start: int) -> Tensor:
        windows = channels_first(self._onehot[genes, start : start + self._config.window_length])
        return cast(Tensor, self._network(windows.to(self._device))[:, 0])

    def _predict_unshifted(self, genes: NDArray[np.int64]) -> Tensor:
        with torch.no_grad():
            return torch.cat([self._predict(part, self._shift) for part in _parts(genes, self.windows_at_once)])


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
    progress: Callable[[Epoch], None] | None = None,
    device: str = "cpu",
) -> Cnn:
    """Train a CNN for so many epochs: parameters and errors as of `CnnTraining`.

    Nothing is chosen by the validation genes, so they are a fair test; `progress` is called after every epoch.
    """
    training = CnnTraining(
        onehot,
        expression,
        config,
        seed=seed,
        learning_rate=learning_rate,
        batch_size=batch_size,
        validation=validation,
        shift=shift,
        device=device,
    )
    for _ in range(epochs):
        epoch = training.epoch()
        if progress is not None:
            progress(epoch)
    return training.trained()


def _parts(genes: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [genes[start : start + size] for start in range(0, len(genes), size)]
