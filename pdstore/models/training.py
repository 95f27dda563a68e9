"""Training of a network, epoch by epoch, from its beginning or from a checkpoint."""

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pdstore.errors import JobError, UsageError
from pdstore.models.trainable import TrainableNetwork, serialise
from pdstore.models.trained import NetworkConfig
from pdstore.sources.text import replacing_file

_OTHERS = (TypeError, ValueError, AttributeError, AssertionError)
"""What else reading a file that is no checkpoint may end in."""
_NOISE = 1e-6
"""Of outputs, relative to the largest."""
_LONGEST = 40
"""Letters of a setting that a message shows: digests have more."""


@dataclass(frozen=True)
class Epoch:
    """One pass over the training examples.

    Attributes
    ----------
    number : int
        From 1.
    training_loss, validation_loss : float
        The mean over the epoch's steps, and of the validation examples behind it; NaN without any.
    """

    number: int
    training_loss: float
    validation_loss: float

    @property
    def loss(self) -> float:
        """That of the validation examples where there are any."""
        return self.training_loss if np.isnan(self.validation_loss) else self.validation_loss


class Task(Protocol):
    """What a network is to learn, example by example.

    Attributes
    ----------
    training, validation : ndarray of int64
        Numbers of the examples.
    windows : int
        Windows of an example.
    centre : float
        What is taken from everything that is learnt, and added to the outputs of the network that is trained.
    settings : mapping
        What tells it from another: name → value, a digest where that is long.
    """

    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    windows: int
    centre: float

    @property
    def settings(self) -> Mapping[str, str]: ...

    def drawn(self, rng: np.random.Generator) -> Any:
        """What is by chance in a step."""
        ...

    def loss(self, network: TrainableNetwork, examples: NDArray[np.int64], drawn: Any | None, device: str) -> Tensor:
        """The mean loss of some examples; without chance where nothing is drawn."""
        ...

    def spread(self, network: TrainableNetwork, examples: NDArray[np.int64], device: str) -> tuple[Tensor, Tensor]:
        """Outputs that should differ, less what they are compared with, and how large they are: shapes (outputs,)."""
        ...


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained.

    Attributes
    ----------
    epochs : int
        Passes over the training examples, at most.
    patience : int
        The training ends after so many epochs without a lower loss.
    learning_rate : float
        The optimizer's.
    batch_size : int
        Examples a step.
    seed : int
        Of first weights, and of whatever is by chance.
    device : str
        Torch device.
    """

    epochs: int = 100
    patience: int = 10
    learning_rate: float = 0.001
    batch_size: int = 25
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name.replace('_', ' ')} {getattr(self, name)}: expected 1 or more")
        if not 0 < self.learning_rate < np.inf:
            raise UsageError(f"learning rate {self.learning_rate}: expected a number above 0")


class Training:
    """A training that goes on epoch by epoch, or from a checkpoint.

    The same arguments give the same weights on the same machine, interrupted or not, and torch's global random state
    stays as it was.

    Parameters
    ----------
    config : NetworkConfig
        The network.
    task : Task
        What it learns.
    settings : TrainingSettings
        How.
    start : TrainableNetwork, optional
        Whose weights it begins with, rather than with those of chance.

    Attributes
    ----------
    history : list of Epoch
        Those that are done.
    examples_at_once : int
        Examples in the network: a part of a step, where all would not fit in memory.
    """

    def __init__(
        self,
        config: NetworkConfig,
        task: Task,
        settings: TrainingSettings,
        start: TrainableNetwork | None = None,
    ) -> None:
        self._config, self._task, self._settings = config, task, settings
        self.examples_at_once = max(1, min(settings.batch_size, config.windows_at_once // task.windows))
        self._rng = np.random.default_rng(settings.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            try:
                self._network = config.network().to(settings.device)
            except (RuntimeError, OverflowError, MemoryError, TypeError) as error:
                reason = str(error).splitlines()[0][:100]
                raise UsageError(f"{config.model}: there is no network of these sizes ({reason})") from error
        self._started = "chance"
        if start is not None:
            self._network.load_state_dict(start.state_dict())
            self._started = hashlib.sha256(serialise({}, start)).hexdigest()
        steps = settings.epochs * -(-len(task.training) // settings.batch_size)
        self._optimizer, self._schedule = self._network.optimizer(settings.learning_rate, steps)
        self._best = self._weights()
        self.history: list[Epoch] = []

    @property
    def best(self) -> Epoch:
        """The epoch with the lowest loss: the first of equals."""
        return min(self.history, key=lambda epoch: epoch.loss)

    @property
    def ended(self) -> bool:
        """Whether all epochs are done, or nothing has got better for as many as patience has."""
        done = len(self.history)
        return done >= self._settings.epochs or (done > 0 and done - self.best.number >= self._settings.patience)

    def epoch(self) -> Epoch:
        """Pass over the training examples once."""
        losses, order = [], self._rng.permutation(self._task.training)
        self._network.train()
        # Of units that are dropped. Its own for each epoch: an interrupted training draws the same.
        with torch.random.fork_rng(devices=[self._settings.device] if self._settings.device.startswith("cuda") else []):
            torch.manual_seed(int(np.random.default_rng([self._settings.seed, len(self.history)]).integers(2**63)))
            for step in _parts(order, self._settings.batch_size):
                losses.append(self._step(step))
        of_validation = self._loss(self._task.validation) if len(self._task.validation) else np.nan
        done = Epoch(len(self.history) + 1, sum(losses) / len(losses), of_validation)
        if not np.isfinite(sum(losses)) or (len(self._task.validation) and not np.isfinite(of_validation)):
            raise JobError(
                f"{self._config.model}: training diverged, the loss of epoch {done.number} is no number: try a lower "
                f"learning rate than {self._settings.learning_rate:g}"
            )
        self.history.append(done)
        if self.best is done:
            self._best = self._weights()
        return done

    def trained(self, best: bool = False) -> TrainableNetwork:
        """The network after the last epoch, or after the best one.

        Raises
        ------
        JobError
            It predicts the same for every example, or no number.
        """
        if best:
            self._network.load_state_dict(self._best)
        self._network.eval()
        with torch.no_grad():
            parts = [self._task.spread(self._network, *part) for part in self._shown(self._task.training)]
            deviations, outputs = (torch.cat(of) for of in zip(*parts, strict=True))
        # Also where it is NaN; below is what rounding makes.
        if not deviations.std() > _NOISE * outputs.abs().max():
            raise JobError(
                f"{self._config.model}: training collapsed, everything is predicted the same: try a lower learning rate"
            )
        network = copy.deepcopy(self._network)
        if network.offset is not None:
            with torch.no_grad():
                network.offset.add_(self._task.centre)
        return network

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        checkpoint = {
            "settings": self._all_settings,
            "history": [(epoch.number, epoch.training_loss, epoch.validation_loss) for epoch in self.history],
            "rng": json.dumps(self._rng.bit_generator.state),
            "network": self._network.state_dict(),
            "best": self._best,
            "optimizer": self._optimizer.state_dict(),
            "schedule": None if self._schedule is None else self._schedule.state_dict(),
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
            found = torch.load(path, map_location=self._settings.device, weights_only=True)
            settings = {str(name): str(value) for name, value in found["settings"].items()}
        except (OSError, RuntimeError, EOFError, UnpicklingError, LookupError, *_OTHERS) as error:
            raise UsageError(f"{path}: not a checkpoint of a training ({type(error).__name__}); remove it") from error
        expected = self._all_settings
        differing = [
            name for name in sorted(settings.keys() | expected.keys()) if settings.get(name) != expected.get(name)
        ]
        if differing:
            shown = ", ".join(
                f"other {name}"
                if len(expected.get(name, "")) > _LONGEST
                else f"{name} {settings.get(name, 'none')[:_LONGEST]}, now {expected.get(name, 'none')}"
                for name in differing
            )
            raise UsageError(f"{path} was begun otherwise ({shown}): train with the same, or remove it first")
        self._network.load_state_dict(found["network"])
        self._optimizer.load_state_dict(found["optimizer"])
        if self._schedule is not None:
            self._schedule.load_state_dict(found["schedule"])
        self._best = found["best"]
        self._rng.bit_generator.state = json.loads(found["rng"])
        self.history = [Epoch(*of) for of in found["history"]]

    @property
    def _all_settings(self) -> dict[str, str]:
        """What a checkpoint goes on with alone: more epochs or patience are no other training, but to a schedule."""
        free = {"epochs", "patience", "device"} - ({"epochs"} if self._schedule is not None else set())
        settings = {name: str(value) for name, value in asdict(self._settings).items() if name not in free}
        config = {name: str(value) for name, value in asdict(cast(Any, self._config)).items()}
        named = {"target": "mean", "model": self._config.model, "first weights": self._started, **config, **settings}
        return {**{name.replace("_", " "): value for name, value in named.items()}, **self._task.settings}

    def _step(self, step: NDArray[np.int64]) -> float:
        drawn = self._task.drawn(self._rng)
        self._optimizer.zero_grad()
        loss = 0.0
        # A step's gradient is the sum of its parts', which need not fit in memory together.
        for examples in _parts(step, self.examples_at_once):
            of_part = self._task.loss(self._network, examples, drawn, self._settings.device)
            of_part = of_part * (len(examples) / len(step))
            of_part.backward()
            loss += of_part.item()
        if self._network.longest_step is not None:
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._network.longest_step)
        self._optimizer.step()
        if self._schedule is not None:
            self._schedule.step()
        return loss

    def _loss(self, examples: NDArray[np.int64]) -> float:
        """The mean loss of examples that nothing is learnt from."""
        self._network.eval()
        with torch.no_grad():
            losses = [
                self._task.loss(self._network, part, None, device).item() * len(part)
                for part, device in self._shown(examples)
            ]
        return sum(losses) / len(examples)

    def _shown(self, examples: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], str]]:
        return [(part, self._settings.device) for part in _parts(examples, self.examples_at_once)]

    def _weights(self) -> dict[str, Tensor]:
        return {name: values.clone() for name, values in self._network.state_dict().items()}


def train(
    config: NetworkConfig,
    task: Task,
    settings: TrainingSettings,
    progress: Callable[[Epoch], None] | None = None,
) -> TrainableNetwork:
    """Train a network for all epochs of the settings.

    Nothing is chosen by the validation examples, so they are a fair test; `progress` is called after every epoch.
    """
    training = Training(config, task, settings)
    for _ in range(settings.epochs):
        epoch = training.epoch()
        if progress is not None:
            progress(epoch)
    return training.trained()


def _parts(examples: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [examples[start : start + size] for start in range(0, len(examples), size)]
