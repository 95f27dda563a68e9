"""What a network learns from differences between people: haplotypes of a gene, and expression beside its mean."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pdstore.analysis.correlation import pearson_r
from pdstore.haplotypes.build import distinct_haplotypes
from pdstore.haplotypes.window import WindowSpec
from pdstore.models.protocol import SequenceModel, predict_in_batches
from pdstore.models.trainable import TrainableNetwork
from pdstore.models.trained import WindowConfig, longer
from pdstore.personal import GeneHaplotypes, read_haplotypes
from pdstore.stages.expression import read_expression
from pdstore.stages.gene_window import reaches
from pdstore.store import Store

_SHOWN = 8
"""Haplotypes of a gene whose predictions tell whether a training collapsed."""


class PeopleTask:
    """A `Task`, of which each gene is an example: predictions of people of a gene, and their measured expression.

    What is compared are differences from the mean of the people who are compared: alleles that all of them have, and
    how high a gene is in everybody, teach nothing. A person's prediction is the mean over the haplotypes.

    Parameters
    ----------
    store : Store
        The store; its windows need not be filled.
    config : WindowConfig
        The network.
    genes : sequence of int
        Rows of genes/ that are measured in two of the people at least.
    validation : ndarray of int
        Numbers of examples to hold out.
    people : ndarray of int64
        Columns of the people who are compared.
    at_once : int
        People of a gene in a step, drawn anew each time; all in the loss of the validation.
    shift : int
        A step's windows lie up to this many bp beside the true ones.
    """

    centre = 0.0

    def __init__(
        self,
        store: Store,
        config: WindowConfig,
        genes: Sequence[int],
        validation: NDArray[np.int64],
        people: NDArray[np.int64],
        at_once: int,
        shift: int,
    ) -> None:
        self.validation = validation
        self.training = np.setdiff1d(np.arange(len(genes)), validation)
        self._at_once, self._shift, self._windows_at_once = at_once, shift, config.windows_at_once
        self._positions = config.window.length
        # Windows that do not fit in memory are computed again for the gradient.
        self.windows = min(2 * at_once, config.windows_at_once)
        self._genes = [of_people(store, longer(config.window, shift), gene, people) for gene in genes]

    @cached_property
    def settings(self) -> Mapping[str, str]:
        """Everything but the network."""
        data = {
            "validation examples": self.validation.tobytes(),
            "genes, folds or haplotypes": b"".join(of.digest for of in self._genes),
            "expression": b"".join(of.expression.tobytes() for of in self._genes),
        }
        return {
            "target": "differential",
            "people at once": str(self._at_once),
            "shift": str(self._shift),
            **{name: hashlib.sha256(values).hexdigest() for name, values in data.items()},
        }

    def drawn(self, rng: np.random.Generator) -> tuple[int, int]:
        """Where a step's windows begin, and the seed of who is compared."""
        return int(rng.integers(2 * self._shift + 1)), int(rng.integers(2**63))

    def loss(
        self, network: TrainableNetwork, examples: NDArray[np.int64], drawn: tuple[int, int] | None, device: str
    ) -> Tensor:
        """The mean over genes of the mean squared error of people's differences."""
        start, seed = (self._shift, None) if drawn is None else drawn
        losses = []
        for example in examples:
            of = self._genes[example]
            who = np.arange(len(of.expression))
            if seed is not None and len(who) > self._at_once:
                who = np.random.default_rng([seed, int(example)]).choice(who, self._at_once, replace=False)
            observed = torch.from_numpy(of.expression[who].astype(np.float32)).to(device)
            predicted = self._predicted(network, of, who, start, device)
            losses.append(((predicted - predicted.mean()) - (observed - observed.mean())).square().mean())
        return torch.stack(losses).mean()

    def spread(self, network: TrainableNetwork, examples: NDArray[np.int64], device: str) -> tuple[Tensor, Tensor]:
        """Of some distinct haplotypes of each gene predictions less their mean, and predictions."""
        found = []
        for example in examples:
            of = self._genes[example]
            onehot = of.haplotypes.onehot(of.row[:_SHOWN])
            windows = np.ascontiguousarray(onehot[:, self._shift : self._shift + self._positions])
            found.append(network(torch.from_numpy(windows).to(device).to(torch.float32)))
        return torch.cat([of - of.mean() for of in found]), torch.cat(found)

    @property
    def differ(self) -> bool:
        """Whether people's haplotypes differ at any training gene."""
        return any(len(self._genes[example].row) > 1 for example in self.training)

    def _predicted(
        self, network: TrainableNetwork, of: "People", who: NDArray[np.int64], start: int, device: str
    ) -> Tensor:
        """Predictions of people: the mean over the haplotypes of each, shape (people,)."""
        rows, place = np.unique(of.index[who], return_inverse=True)
        parts = []
        for first in range(0, len(rows), self._windows_at_once):
            onehot = of.haplotypes.onehot(of.row[rows[first : first + self._windows_at_once]])
            windows = torch.from_numpy(np.ascontiguousarray(onehot[:, start : start + self._positions]))
            given = windows.to(device).to(torch.float32)
            if torch.is_grad_enabled() and len(rows) > self._windows_at_once:
                parts.append(checkpoint(network, given, use_reentrant=False))
            else:
                parts.append(network(given))
        of_haplotypes = torch.cat(parts)
        return of_haplotypes[torch.from_numpy(place.reshape(len(who), -1)).to(device)].mean(dim=1)


class People:
    """The people of one gene whose expression is measured, and who have a haplotype.

    Attributes
    ----------
    haplotypes : GeneHaplotypes
        Theirs, and of others.
    row : ndarray of int64, shape (distinct,)
        A row of `haplotypes` for each distinct one.
    index : ndarray of int64, shape (people, 2)
        Which of the distinct haplotypes each person has; who has one has it twice.
    expression : ndarray of float64, shape (people,)
        Measured, without what covariates explain.
    """

    def __init__(self, haplotypes: GeneHaplotypes, people: NDArray[np.int64], expression: NDArray[np.float64]) -> None:
        self.haplotypes = haplotypes
        found = distinct_haplotypes(haplotypes.applied.T[:, :, None], np.zeros((len(haplotypes), 1), dtype=bool))
        distinct = found.haplotype_index[:, 0].astype(np.int64)
        self.row = np.unique(distinct, return_index=True)[1]
        with_one = np.intersect1d(people[~np.isnan(expression)], haplotypes.person)
        # Rows of `haplotypes` stand person by person.
        last = np.searchsorted(haplotypes.person, with_one, side="right") - 1
        first = np.searchsorted(haplotypes.person, with_one)
        self.index = np.column_stack([distinct[first], distinct[last]])
        self.expression = expression[np.searchsorted(people, with_one)]

    @property
    def digest(self) -> bytes:
        """Of the haplotypes, and whose they are."""
        window = self.haplotypes.window
        alleles = window.alleles
        parts = (window.stretch.letters, alleles.start, alleles.inserted, self.haplotypes.applied, self.index)
        return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).digest()


def of_people(store: Store, window: WindowSpec, gene: int, people: NDArray[np.int64]) -> People:
    """Haplotypes and expression of people at a gene; `people` are sorted columns."""
    (reach,) = reaches(store, window, [gene])
    haplotypes = read_haplotypes(store, window, gene, reach, people)
    return People(haplotypes, people, read_expression(store, gene)[people])


def r_over_people(model: SequenceModel, store: Store, gene: int, people: NDArray[np.int64]) -> float:
    """Pearson's R between people's predictions and expression at a gene; NaN where either has no variance."""
    of = of_people(store, model.description.window, gene, people)
    if len(of.expression) < 3:
        return np.nan
    windows = of.haplotypes.onehot(of.row)
    predicted = predict_in_batches(model, windows, windows[0])[:, 0, 0].astype(np.float64)
    return float(pearson_r(predicted[of.index].mean(axis=1), of.expression))
