"""The network of ExPecto and what shares its work. Apart from `Expecto` itself, so that its window imports no torch.

No convolution of Beluga looks beyond its input, and places are a multiple of 8 bp apart. So what Beluga computes at a
place is part of what its convolutions make of the whole window, if the second pool steps by two positions rather than
four, and what follows takes every second one: a tenth of the work.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pdstore.errors import ModelError
from pdstore.haplotypes.onehot import reverse_complement
from pdstore.models.device import inferred
from pdstore.models.expecto import KERNEL, POOL
from pdstore.models.shared_tower import SharedTower, Stage
from pdstore.models.state_dict import read_pickled

if TYPE_CHECKING:
    from pdstore.models.expecto import ExpectoSizes, Head

_FROM_AGCT = [0, 2, 1, 3]
"""Beluga's bases are A, G, C, T; where each of A, C, G, T is among them."""
_STEP = 2
"""Of the second pool."""
_PLACES_A_PART = 40
"""Of a gradient: a place costs 1.2 times what it does in the whole window, and needs a fifth of the memory."""
_PLACES_AT_ONCE = 64
"""Rows of the dense layers' products, whether there are so many or not: others differ in their last bits."""
_WINDOWS_AT_ONCE = 16
_MOST_ROWS = 150_000
"""Of the convolutions, computed beside a reference's; of the published network some 0.9 GB a strand."""
_MOST_PLACES = 100_000
"""Whose share of the output is remembered, of a strand: 0.1 GB."""


class Beluga(nn.Module):
    """Beluga at every place of a window, and a linear head.

    Parameters
    ----------
    sizes : ExpectoSizes
        Sizes.

    Attributes
    ----------
    head_weights : Tensor of float64, shape (places, features)
        Weights of the head.
    constant : float
        Output without any feature.
    """

    head_weights: Tensor

    def __init__(self, sizes: "ExpectoSizes") -> None:
        super().__init__()
        self.sizes = sizes
        self.convolutions = nn.ModuleList(nn.Conv1d(before, after, KERNEL) for before, after in sizes.convolutions)
        self.hidden = nn.Linear(sizes.channels[-1] * sizes.positions, sizes.hidden)
        self.features = nn.Linear(sizes.hidden, sizes.features)
        places = len(sizes.shifts)
        self.register_buffer("head_weights", torch.zeros(places, sizes.features, dtype=torch.float64))
        self.constant = 0.0

    def take(self, state: Mapping[str, Tensor], head: "Head") -> None:
        """Take weights: of a state dict, and of a head; they are not copied."""
        layers = cast(list[nn.Conv1d | nn.Linear], [*self.convolutions, self.hidden, self.features])
        values = (state[name].to(torch.float32).contiguous() for name in self.sizes.tensors)
        for layer in layers:
            weight, bias = next(values), next(values)
            weight = weight[:, :, 0] if isinstance(layer, nn.Conv1d) else weight
            weight = weight[:, _FROM_AGCT] if layer is layers[0] else weight
            layer.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
            layer.bias = nn.Parameter(bias, requires_grad=False)
        self.head_weights = torch.from_numpy(head.weights)
        self.constant = head.constant

    def outputs(self, onehot: Tensor) -> Tensor:
        """Outputs of windows, float32: (batch, positions, 4) → (batch, 1, 1)."""
        forward, reverse = (self.of_strand(onehot, self.head_weights, is_reverse) for is_reverse in (False, True))
        return (self.constant + forward + reverse).to(torch.float32)[:, None, None]

    def parts(self) -> Iterator[tuple[slice, Callable[[Tensor], Tensor]]]:
        """Parts of the window, and of each a function; their values add up to the output without its constant.

        Yields
        ------
        (slice, callable)
            Which positions; and from their bases, float32, shape (1, positions, 4), to float32, shape (1, 1, 1).
        """
        sizes = self.sizes
        for first in range(0, len(sizes.shifts), _PLACES_A_PART):
            weights = self.head_weights[first : first + _PLACES_A_PART]
            start = first * sizes.step
            part = slice(start, start + (len(weights) - 1) * sizes.step + sizes.length)
            for is_reverse in (False, True):
                yield part, partial(self._of_part, weights=weights, is_reverse=is_reverse)

    def of_strand(self, onehot: Tensor, weights: Tensor, is_reverse: bool) -> Tensor:
        """A strand's share of the outputs, float64, shape (batch,).

        Parameters
        ----------
        onehot : Tensor of float32, shape (batch, positions, 4)
            So much of windows as their places read.
        weights : Tensor of float64, shape (places, features)
            Of the head at these places.
        is_reverse : bool
            Whether it is the strand that is not given.
        """
        hidden = (onehot.flip(1, 2) if is_reverse else onehot).transpose(1, 2)
        dilations, pools = (1, 1, 1, 1, _STEP, _STEP), {1: POOL, 3: _STEP}
        for number, convolution in enumerate(cast(list[nn.Conv1d], self.convolutions)):
            hidden = functional.conv1d(hidden, convolution.weight, convolution.bias, dilation=dilations[number]).relu_()
            if number in pools:
                hidden = functional.max_pool1d(hidden, POOL, pools[number])
        # (batch, channels, places, positions) → (batch, places, channels x positions)
        at_places = hidden[:, :, _rows_of_places(self.sizes, len(weights))].transpose(1, 2).flatten(2)
        return self.shares(at_places, weights.flip(0) if is_reverse else weights).sum(dim=1)

    def shares(self, at_places: Tensor, weights: Tensor) -> Tensor:
        """Half of what places add to an output: each strand has its half.

        Parameters
        ----------
        at_places : Tensor of float32, shape (..., places, channels x positions)
            The last convolution's output.
        weights : Tensor of float64, shape (places, features)
            Of the head at these places.

        Returns
        -------
        Tensor of float64, shape (..., places)
        """
        features = torch.sigmoid(self.features(torch.relu(self.hidden(at_places))))
        return (features.to(torch.float64) * weights).sum(dim=-1) / 2

    def _of_part(self, onehot: Tensor, weights: Tensor, is_reverse: bool) -> Tensor:
        return self.of_strand(onehot, weights, is_reverse).to(torch.float32)[:, None, None]


class _Place(NamedTuple):
    """What Beluga reads at a place of a strand.

    Attributes
    ----------
    number : int
        Which place of the window, in the strand's direction.
    bases : bytes
        One-hot, packed.
    """

    number: int
    bases: bytes


class ExpectoEngine:
    """The same function as `Beluga.outputs`, for windows that are nearly a reference window.

    Of two windows, or of two places, what convolutions see alike is computed once; and so is all that the same bases at
    the same place make. What the last reference, and windows beside it, needed is kept, as far as there is room: of the
    published network 0.3 to 2 GB. Must be called from one thread.

    Parameters
    ----------
    network : Beluga
        The network, on its device.
    device : str
        Torch device.

    Attributes
    ----------
    places_computed : int
        Places at which the dense layers were computed, of both strands, since the engine was made.
    """

    def __init__(self, network: Beluga, device: str) -> None:
        self._network, self._device = network, device
        self._stages = _stages(network)
        start = 0
        for stage in self._stages:
            # A tower has outputs beyond the ends, too: here is the first that sees the window alone.
            start = (start + stage.kernel // 2) // stage.pool
        self._rows = start + _rows_of_places(network.sizes, len(network.sizes.shifts)).numpy()
        self._reference: NDArray[np.bool_] = np.empty((0, 4), dtype=bool)
        # Of each strand: whether it is the one that is not given.
        self._towers: dict[bool, SharedTower] = {}
        self._known: dict[bool, dict[_Place, float]] = {}
        self.places_computed = 0

    def predict(self, reference: NDArray[np.bool_], onehot: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Outputs for windows.

        Parameters
        ----------
        reference : ndarray of bool, shape (positions, 4)
            The reference window; A, C, G, T, and N all zeros.
        onehot : ndarray of bool, shape (windows, positions, 4)
            Windows; the fewer bases differ from the reference at the same position, the faster.

        Returns
        -------
        ndarray of float32, shape (windows, 1, 1)

        Raises
        ------
        ModelError
            The reference or the windows are of another length than the model's.
        """
        expected = (self._network.sizes.window.length, 4)
        for shape in (reference.shape, onehot.shape[1:]):
            if shape != expected:
                raise ModelError(f"expecto: windows of shape {shape}, expected {expected}")
        if not np.array_equal(self._reference, reference):
            self._forget()
            self._reference = np.array(reference)
        shares = np.zeros((2, len(onehot), len(self._rows)))
        with torch.inference_mode():
            try:
                for is_reverse in (False, True):
                    for start in range(0, len(onehot), _WINDOWS_AT_ONCE):
                        some = slice(start, start + _WINDOWS_AT_ONCE)
                        shares[int(is_reverse), some] = self._shares(onehot[some], is_reverse)
            except BaseException:
                # Memory may have ended in the middle of what is kept: the next call begins anew.
                self._forget()
                raise
        # In one order, whatever else is computed.
        total: NDArray[np.float64] = self._network.constant + shares.sum(axis=2).sum(axis=0)
        return total.astype(np.float32)[:, None, None]

    def _forget(self) -> None:
        self._reference = np.empty((0, 4), dtype=bool)
        self._towers, self._known = {}, {False: {}, True: {}}

    def _shares(self, onehot: NDArray[np.bool_], is_reverse: bool) -> NDArray[np.float64]:
        """What each place of a strand adds to the outputs: bool, (windows, positions, 4) → (windows, places)."""
        windows = reverse_complement(onehot) if is_reverse else onehot
        if len(self._known[is_reverse]) > _MOST_PLACES:
            self._known[is_reverse] = {}
        known = self._known[is_reverse]
        places = [self._places(window) for window in windows]
        new = {place: window for window, of in enumerate(places) for place in of if place not in known}
        if new:
            self._compute(windows, new, is_reverse)
        return np.array([[known[place] for place in of] for of in places])

    def _places(self, window: NDArray[np.bool_]) -> list[_Place]:
        """What Beluga reads at each place of a window."""
        sizes = self._network.sizes
        # Two bases a byte.
        packed = np.packbits(window).tobytes()
        starts = range(0, len(self._rows) * sizes.step // 2, sizes.step // 2)
        return [_Place(number, packed[start : start + sizes.length // 2]) for number, start in enumerate(starts)]

    def _compute(self, windows: NDArray[np.bool_], new: Mapping[_Place, int], is_reverse: bool) -> None:
        """Shares of places that are not known, each with a window that has it."""
        weights = self._network.head_weights.flip(0) if is_reverse else self._network.head_weights
        of_window: dict[int, list[_Place]] = {}
        for place, window in new.items():
            of_window.setdefault(window, []).append(place)
        tower = self._tower(is_reverse)
        remaining = iter(of_window.values())
        for group in tower.numbered(windows[list(of_window)]):
            places: list[_Place] = []
            rows: list[NDArray[np.int32]] = []
            for numbers in group:
                for place in next(remaining):
                    places.append(place)
                    rows.append(numbers[self._rows[place.number]])
            batches = (slice(start, start + _PLACES_AT_ONCE) for start in range(0, len(places), _PLACES_AT_ONCE))
            of_batch = partial(self._shares_at, tower, weights, places, rows)
            found = np.concatenate(list(inferred(of_batch, batches, self._device)))
            self._known[is_reverse].update(zip(places, found.tolist(), strict=True))
            self.places_computed += len(places)

    def _shares_at(
        self,
        tower: SharedTower,
        weights: Tensor,
        places: Sequence[_Place],
        rows: Sequence[NDArray[np.int32]],
        batch: slice,
    ) -> NDArray[np.float64]:
        """Shares of some places, of those rows of a tower: float64, shape (places of the batch,)."""
        numbers = np.array(rows[batch])
        number = [place.number for place in places[batch]]
        missing = _PLACES_AT_ONCE - len(number)
        # Filled up with the first row of the tower, and weights of the first place.
        at_places = tower.rows(np.pad(numbers, ((0, missing), (0, 0)))).transpose(1, 2).flatten(1)
        of_head = weights[number + [0] * missing]
        found: NDArray[np.float64] = self._network.shares(at_places, of_head).cpu().numpy()
        return found[: len(number)]

    def _tower(self, is_reverse: bool) -> SharedTower:
        tower = self._towers.get(is_reverse)
        if tower is None or tower.rows_computed > _MOST_ROWS:
            # The old one goes first: both might not fit where one does.
            self._towers.pop(is_reverse, None)
            tower = None
            reference = reverse_complement(self._reference) if is_reverse else self._reference
            self._towers[is_reverse] = tower = SharedTower(self._stages, reference, self._device)
        return tower


def read_beluga(path: Path, sizes: "ExpectoSizes", device: str) -> dict[str, Tensor]:
    """Beluga's state dict.

    Parameters
    ----------
    path : Path
        What torch.save wrote.
    sizes : ExpectoSizes
        Sizes that it is expected to have.
    device : str
        Of its tensors; on "meta" nothing but shapes.

    Raises
    ------
    ModelError
        It is no state dict; or the first tensor that is missing, one too many, of another shape or not finite.
    """
    try:
        state = read_pickled(path, device)
    except ModelError as error:
        raise ModelError(f"weights {path.parent}: {error}") from error
    for name, shape in sizes.tensors.items():
        if name not in state:
            raise ModelError(f"weights {path}: no {name}, which Beluga has; are these another model's weights?")
        if tuple(state[name].shape) != shape:
            raise ModelError(f"weights {path}: {name} has shape {tuple(state[name].shape)}, but Beluga's has {shape}")
        # One that is not makes the sum so, and a sum needs no memory.
        if device != "meta" and not torch.isfinite(state[name].float().sum(dtype=torch.float64)):
            raise ModelError(f"weights {path}: not all values of {name} are finite numbers")
    for name in state.keys() - sizes.tensors:
        raise ModelError(f"weights {path}: has {name}, which Beluga has not; are these another model's weights?")
    return state


def _rows_of_places(sizes: "ExpectoSizes", places: int) -> Tensor:
    """Which positions of the last convolution's output are read at each place: int64, shape (places, positions)."""
    start = torch.arange(places) * (sizes.step // (POOL * _STEP))
    return start[:, None] + _STEP * torch.arange(sizes.positions)


def _stages(network: Beluga) -> list[Stage]:
    """The convolutions, each with what follows it, as stages of a tower.

    The second pool is cut in two, pairs of positions and pairs of pairs: every one of these is somewhere needed.
    """
    convolutions = [
        (convolution.weight.transpose(1, 2).flatten(1).contiguous(), cast(Tensor, convolution.bias))
        for convolution in cast(list[nn.Conv1d], network.convolutions)
    ]
    sees: list[tuple[int, int, Callable[..., Tensor]]] = [
        (KERNEL, 1, _convolved),
        (KERNEL, POOL, _convolved),
        (KERNEL, 1, _convolved),
        (KERNEL, _STEP, _convolved),
        (KERNEL * _STEP, 1, _pooled_and_convolved),
        (KERNEL * _STEP - 1, 1, _dilated),
    ]
    return [
        Stage(kernel, pool, len(convolution[0]), partial(compute, convolution=convolution))
        for (kernel, pool, compute), convolution in zip(sees, convolutions, strict=True)
    ]


def _convolved(seen: Tensor, convolution: tuple[Tensor, Tensor]) -> Tensor:
    """A convolution and the maximum of a pool: shape (rows, pool, kernel x channels) → (rows, channels)."""
    # Flat: of what overlaps in memory torch multiplies rows in small products.
    rows = functional.linear(seen.flatten(0, 1), *convolution)
    return torch.relu(rows.unflatten(0, seen.shape[:2]).amax(dim=1))


def _pooled_and_convolved(seen: Tensor, convolution: tuple[Tensor, Tensor]) -> Tensor:
    """The maximum of every two positions before it."""
    return _convolved(seen.unflatten(2, (KERNEL, _STEP, -1)).amax(dim=3).flatten(2), convolution)


def _dilated(seen: Tensor, convolution: tuple[Tensor, Tensor]) -> Tensor:
    """Every second position."""
    return _convolved(seen.unflatten(2, (KERNEL * _STEP - 1, -1))[:, :, ::_STEP].flatten(2), convolution)
