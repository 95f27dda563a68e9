"""A convolution tower over windows that are nearly alike: what two positions see alike is computed once.

A position of a stage's output sees a few of its input. So it is known by what it sees: two positions, of whichever
windows, that see the same have the same value. Each stage numbers what it has seen, and computes what is new; windows
are compared with a reference, whose values are kept, so that only what changes is looked at. Bases, padding beyond a
window's ends and the phase of pools after an indel are all in what is seen: none of them is a special case.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

_PADDING = 0
"""Number of what lies beyond the ends of a window, in every stage: zeros."""
_ROWS_AT_ONCE = 1_024
_CHANGES_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Stage:
    """A convolution with zeros beyond the ends, what follows position by position, and a pool.

    Attributes
    ----------
    kernel : int
        Width of the convolution, odd.
    pool : int
        Positions that become one.
    compute : callable
        From what convolutions see, float, shape (rows, pool, kernel x channels), position before channel, to the
        stage's output as the next stage's convolution takes it, shape (rows, channels).
    """

    kernel: int
    pool: int
    compute: Callable[[Tensor], Tensor]

    @property
    def sees(self) -> int:
        """Positions of the input that one position of the output sees."""
        return self.kernel + self.pool - 1


@dataclass(frozen=True)
class _Level:
    """The input of a stage, for the reference.

    Attributes
    ----------
    numbers : ndarray of int32, shape (positions,)
        Number of each position's content.
    values : Tensor, shape (numbers, channels)
        Value of each number; zeros of the first.
    seen : ndarray of int32, shape (distinct outputs, stage.sees)
        What the stage's outputs see, in the order of their numbers, from 1.
    """

    numbers: NDArray[np.int32]
    values: Tensor
    seen: NDArray[np.int32]


class ReferenceTower:
    """Every stage's values for a reference window, and the tower's output for windows that are nearly the same.

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
    numbers : ndarray of int32, shape (rows,)
        Which of `values` each row of the tower's output is, for the reference.
    values : Tensor, shape (numbers, channels)
        The distinct rows of its output for the reference, behind a row of zeros.
    rows_computed : int
        Rows of the output that were computed for windows, beside the reference's.
    """

    def __init__(self, stages: Sequence[Stage], onehot: NDArray[np.bool_], device: str) -> None:
        self._stages = stages
        self._levels: list[_Level] = []
        # Padding, A, C, G, T, and N: zeros, as padding is to the first stage.
        values = torch.zeros(6, 4, device=device)
        values[1:5] = torch.eye(4, device=device)
        numbers = base_numbers(onehot)
        for stage in stages:
            everywhere = np.arange(len(numbers) // stage.pool)
            seen = _seen(stage, numbers[None], np.zeros_like(everywhere), everywhere)
            first, row = distinct_rows(seen)
            self._levels.append(_Level(numbers, values, seen[first]))
            values = _compute(stage, seen[first], values, None, padding=True)
            numbers = (row + 1).astype(np.int32)
        self.numbers, self.values = numbers, values
        self.rows_computed = 0

    def outputs(self, onehot: NDArray[np.bool_]) -> Iterator[tuple[Tensor, NDArray[np.int32]]]:
        """The tower's output for windows, some at a time, in their order.

        Parameters
        ----------
        onehot : ndarray of bool, shape (windows, positions, 4)
            Windows of the reference's length. What they share is computed once, among so many at a time as differ
            from the reference at two million positions together.

        Yields
        ------
        (Tensor, shape (new, channels); ndarray of int32, shape (windows, rows))
            Rows that the reference does not have; and of each row of these windows which it is, of `values` and, behind
            them, the new ones: `gather` takes them together.
        """
        numbers = base_numbers(onehot)
        changes = (numbers != self._levels[0].numbers).sum(axis=1)
        group = (np.cumsum(changes) - changes) // _CHANGES_AT_ONCE
        for number in np.unique(group):
            yield self._outputs(numbers[group == number])

    def _outputs(self, numbers: NDArray[np.int32]) -> tuple[Tensor, NDArray[np.int32]]:
        window, position = np.nonzero(numbers != self._levels[0].numbers)
        new: Tensor | None = None
        of_reference = [*(level.numbers for level in self._levels[1:]), self.numbers]
        for stage, level, after in zip(self._stages, self._levels, of_reference, strict=True):
            window, position = _seeing(stage, window, position, numbers.shape)
            seen = _seen(stage, numbers, window, position)
            known = len(level.seen)
            first, row = distinct_rows(np.concatenate([level.seen, seen]))
            is_new = first >= known
            # What the reference saw keeps its number; what it did not comes behind.
            number = np.where(is_new, known + np.cumsum(is_new), first + 1).astype(np.int32)[row[known:]]
            new = _compute(stage, seen[first[is_new] - known], level.values, new, padding=False)
            numbers = np.repeat(after[None], len(numbers), axis=0)
            differs = numbers[window, position] != number
            window, position = window[differs], position[differs]
            numbers[window, position] = number[differs]
        assert new is not None
        self.rows_computed += len(new)
        return new, numbers


def base_numbers(onehot: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Bases as the first stage numbers them: A, C, G, T from 1, and N 5; int32, shape (..., positions)."""
    numbers: NDArray[np.int32] = onehot @ np.arange(1, 5, dtype=np.int32)
    numbers[numbers == 0] = 5
    return numbers


def distinct_rows(table: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The distinct rows of a table.

    Parameters
    ----------
    table : ndarray of int32, shape (rows, columns)
        Whole numbers.

    Returns
    -------
    (ndarray of intp, shape (distinct,); ndarray of intp, shape (rows,))
        Row of the table where each distinct row stands first; and of each row, which distinct row it is. In an order
        that depends on the distinct rows alone.
    """
    hashed = np.zeros(len(table), dtype=np.uint64)
    for column in table.T:
        # Multiplication and shift, so that neighbouring numbers fall far apart.
        hashed = (hashed ^ column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        hashed ^= hashed >> np.uint64(29)
    _, first, row = np.unique(hashed, return_index=True, return_inverse=True)
    if len(table) and (table[first][row] != table).any():
        # Two rows of one hash: rare beyond measure, and right all the same.
        _, first, row = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return first, row.reshape(-1)


def _seeing(
    stage: Stage, window: NDArray[np.intp], position: NDArray[np.intp], shape: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Windows and positions of a stage's output that see one of some positions of its input; each once, sorted."""
    windows, positions = shape
    marked = np.zeros((windows, positions // stage.pool), dtype=bool)
    last = position + stage.kernel // 2
    for back in range(-(-stage.sees // stage.pool)):
        output = last // stage.pool - back
        sees = (output >= 0) & (output < marked.shape[1]) & (output * stage.pool + stage.sees > last)
        marked[window[sees], output[sees]] = True
    found = np.nonzero(marked)
    return found[0], found[1]


def _seen(
    stage: Stage, numbers: NDArray[np.int32], window: NDArray[np.intp], position: NDArray[np.intp]
) -> NDArray[np.int32]:
    """What positions of a stage's output see: int32, shape (positions, stage.sees)."""
    around = stage.kernel // 2
    padded = np.pad(numbers, ((0, 0), (around, around)), constant_values=_PADDING)
    windows = sliding_window_view(padded, stage.sees, axis=1)
    return windows[window, position * stage.pool]


def _compute(stage: Stage, seen: NDArray[np.int32], values: Tensor, new: Tensor | None, padding: bool) -> Tensor:
    """A stage's output for what it sees: shape (rows, channels), behind a row of zeros where `padding`."""
    found: Tensor | None = None
    for start in range(0, max(1, len(seen)), _ROWS_AT_ONCE):
        inputs = gather(values, new, seen[start : start + _ROWS_AT_ONCE])
        of_convolutions = inputs.unfold(1, stage.kernel, 1).transpose(2, 3)
        outputs = stage.compute(of_convolutions.flatten(2))
        if found is None:
            found = outputs.new_zeros(len(seen) + padding, outputs.shape[1])
        found[padding + start : padding + start + len(outputs)] = outputs
    assert found is not None
    return found


def gather(values: Tensor, new: Tensor | None, numbers: NDArray[np.int32]) -> Tensor:
    """Values of numbers: of the reference's, and behind them of new ones. Shape (*numbers, channels)."""
    index = torch.from_numpy(numbers).to(values.device)
    if new is None or not len(new):
        return values[index]
    is_new = index >= len(values)
    found = values[torch.where(is_new, 0, index)]
    found[is_new] = new[index[is_new] - len(values)]
    return found
