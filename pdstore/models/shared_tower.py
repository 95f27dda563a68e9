"""A convolution tower over windows that are nearly alike: what two positions see alike is computed once.

A position of a stage's output sees a few of its input. So it is known by what it sees: two positions, of whichever
windows, that see the same have the same value. Each stage numbers what it sees, and computes what it had not seen
before; windows are compared with a reference, so that only what changes is looked at. Bases, padding beyond a window's
ends and the phase of pools after an indel are all in what is seen: none of them is a special case.

Numbers are given without computing anything, window after window; then each stage computes what is new in batches of
one size, so that a value does not depend on what else was new. So it may stay for later windows of the reference.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from pdstore.models.device import inferred

_PADDING = 0
"""Number of what lies beyond the ends of a window, in every stage: zeros."""
_ROWS_AT_ONCE = 128
"""Rows of every product, whether there are so many or not: others differ in their last bits."""
_MOST_BYTES = 4_000_000_000
"""Of values beside the reference's; one window goes beyond. A gene's haplotypes with indels need some 3.5 GB."""


@dataclass(frozen=True)
class Stage:
    """A convolution with zeros beyond the ends, what follows position by position, and a pool.

    Attributes
    ----------
    kernel : int
        Width of the convolution, odd.
    pool : int
        Positions that become one.
    channels : int
        Channels of its output.
    compute : callable
        From what convolutions see, float, shape (rows, pool, kernel x channels), position before channel, to the
        stage's output as the next stage's convolution takes it, shape (rows, channels).
    """

    kernel: int
    pool: int
    channels: int
    compute: Callable[[Tensor], Tensor]

    @property
    def sees(self) -> int:
        """Positions of the input that one position of the output sees."""
        return self.kernel + self.pool - 1


class _Seen:
    """What a stage has seen, and the values of it.

    Attributes
    ----------
    values : Tensor, shape (numbers, channels)
        Value of each number; zeros of the first, which is padding.
    of_reference : ndarray of int32, shape (positions,)
        Numbers of the reference's output.
    """

    def __init__(self, stage: Stage, reference: NDArray[np.int32], values: Tensor) -> None:
        self.stage = stage
        # By what is seen, in bytes; padding comes first.
        self._number_of = {b"": _PADDING}
        self._new: list[NDArray[np.int32]] = []
        self.values = values.new_zeros(1, stage.channels)
        self.of_reference = self.number(reference, np.arange(len(reference) // stage.pool))
        self.compute(values)
        self._numbers_of_reference = len(self.values)

    @property
    def bytes_beside_reference(self) -> int:
        """Of values that the reference has no part in, computed or not."""
        return (len(self._number_of) - self._numbers_of_reference) * self.stage.channels * 4

    def number(self, numbers: NDArray[np.int32], position: NDArray[np.intp]) -> NDArray[np.int32]:
        """Numbers of some positions of the output, of those of the whole input: int32, shape (positions,)."""
        around = np.pad(numbers, self.stage.kernel // 2, constant_values=_PADDING)
        seen = np.ascontiguousarray(sliding_window_view(around, self.stage.sees)[position * self.stage.pool])
        each = seen.view(f"V{seen.itemsize * self.stage.sees}").ravel().tolist()
        number_of, known = self._number_of, len(self._number_of)
        found = np.array([number_of.setdefault(one, len(number_of)) for one in each], dtype=np.int32)
        is_new = np.flatnonzero(found >= known)
        # In the order of their numbers.
        self._new.append(seen[is_new[np.unique(found[is_new], return_index=True)[1]]])
        return found

    def compute(self, values: Tensor) -> None:
        """Values of what is new, of those of the input: shape (numbers, channels)."""
        if len(self._number_of) == len(self.values):
            self._new.clear()
            return
        new = np.concatenate(self._new)
        batches = (new[start : start + _ROWS_AT_ONCE] for start in range(0, len(new), _ROWS_AT_ONCE))
        found = inferred(lambda batch: self._values_of(batch, values), batches, str(values.device))
        self.values = torch.cat([self.values, *found])
        self._new.clear()

    def _values_of(self, seen: NDArray[np.int32], values: Tensor) -> Tensor:
        filled_up = np.pad(seen, ((0, _ROWS_AT_ONCE - len(seen)), (0, 0)), constant_values=_PADDING)
        of_convolutions = _gather(values, filled_up).unfold(1, self.stage.kernel, 1).transpose(2, 3)
        return self.stage.compute(of_convolutions.flatten(2))[: len(seen)]

    def forget(self) -> None:
        """Drop all that the reference has no part in."""
        self._number_of = dict(islice(self._number_of.items(), self._numbers_of_reference))
        self.values = self.values[: self._numbers_of_reference].clone()


class SharedTower:
    """A tower's output for a reference window, and for windows that are nearly the same.

    Values that windows needed stay for those that come later, of one reference, as far as there is room.

    Parameters
    ----------
    stages : sequence of Stage
        The tower; every stage's pool divides the positions that it gets.
    onehot : ndarray of bool, shape (positions, 4)
        The reference window.
    device : str
        Torch device.

    Attributes
    ----------
    rows_computed : int
        Rows of the output that were computed for windows, beside the reference's.
    """

    def __init__(self, stages: Sequence[Stage], onehot: NDArray[np.bool_], device: str) -> None:
        # Padding, A, C, G, T, and N: zeros, as padding is to the first stage.
        self._bases = torch.zeros(6, 4, device=device)
        self._bases[1:5] = torch.eye(4, device=device)
        self._reference = base_numbers(onehot)
        self._stages: list[_Seen] = []
        numbers, values = self._reference, self._bases
        for stage in stages:
            seen = _Seen(stage, numbers, values)
            numbers, values = seen.of_reference, seen.values
            self._stages.append(seen)
        self.rows_computed = 0

    @property
    def numbers(self) -> NDArray[np.int32]:
        """Numbers of the reference's rows: int32, shape (rows,)."""
        return self._stages[-1].of_reference

    def numbered(self, onehot: NDArray[np.bool_]) -> Iterator[list[NDArray[np.int32]]]:
        """Numbers of the rows of windows, some windows at a time, in their order.

        Parameters
        ----------
        onehot : ndarray of bool, shape (windows, positions, 4)
            Windows of the reference's length.

        Yields
        ------
        list of ndarray of int32, shape (rows,)
            Of each window; `rows` has their values until the next ones are asked for.
        """
        group: list[NDArray[np.int32]] = []
        for window, bases in enumerate(onehot, 1):
            group.append(self._number(base_numbers(bases)))
            is_full = sum(stage.bytes_beside_reference for stage in self._stages) > _MOST_BYTES
            if is_full or window == len(onehot):
                self._compute()
                yield group
                group = []
            if is_full:
                for stage in self._stages:
                    stage.forget()

    def rows(self, numbers: NDArray[np.int32]) -> Tensor:
        """Rows of the tower's output, by their numbers: shape (rows, channels)."""
        return _gather(self._stages[-1].values, numbers)

    def _number(self, numbers: NDArray[np.int32]) -> NDArray[np.int32]:
        """Numbers of a window's rows, of those of its bases: int32, shape (positions,) → (rows,)."""
        of_reference = self._reference
        for stage in self._stages:
            position = _seeing(stage.stage, np.flatnonzero(numbers != of_reference), len(numbers))
            found = stage.number(numbers, position)
            of_reference, numbers = stage.of_reference, stage.of_reference.copy()
            numbers[position] = found
        return numbers

    def _compute(self) -> None:
        """Values of every stage's new numbers."""
        known, values = len(self._stages[-1].values), self._bases
        for stage in self._stages:
            stage.compute(values)
            values = stage.values
        self.rows_computed += len(values) - known


def base_numbers(onehot: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Bases as the first stage numbers them: A, C, G, T from 1, and N 5; int32, shape (..., positions)."""
    numbers: NDArray[np.int32] = onehot @ np.arange(1, 5, dtype=np.int32)
    numbers[numbers == 0] = 5
    return numbers


def _seeing(stage: Stage, position: NDArray[np.intp], positions: int) -> NDArray[np.intp]:
    """Positions of a stage's output that see one of some positions of its input; each once, in order."""
    marked = np.zeros(positions // stage.pool, dtype=bool)
    last = position + stage.kernel // 2
    for back in range(-(-stage.sees // stage.pool)):
        output = last // stage.pool - back
        marked[output[(output >= 0) & (output < len(marked)) & (output * stage.pool + stage.sees > last)]] = True
    return np.flatnonzero(marked)


def _gather(values: Tensor, numbers: NDArray[np.int32]) -> Tensor:
    """Values of numbers: shape (*numbers, channels)."""
    return values[torch.from_numpy(numbers).to(values.device)]
