"""An Enformer that computes what a window changes of a reference window, and only what the target bins need.

In float32 the numbers are those of the plain network but for rounding: sums are taken in another order. With
differences in bfloat16, the effects of windows are, and that is measured on some of them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pdstore.errors import ModelError, PrecisionError
from pdstore.models.device import inferred
from pdstore.models.difference_transformer import DifferenceTransformer
from pdstore.models.enformer_parts import Affine, activated, affine, blocks_of, head_of, layers_of
from pdstore.models.relative_transformer import Layer, transformed
from pdstore.models.shared_tower import SharedTower, Stage

LARGEST_EFFECT_ERROR = 0.02
"""Of differences in bfloat16: relative to the effects."""
_WINDOWS_A_CHECK = 32
"""One of so many windows is computed in float32, too."""
_ROUNDING = 1e-5
"""What float32 itself leaves uncertain of an output, about: of the published size it is 2e-5 from float64."""


@dataclass(frozen=True)
class _Rows:
    """The transformer's input for a window.

    Attributes
    ----------
    values : Tensor, shape (rows, features)
        Its rows.
    projected : Tensor or None
        What the first layer's projections make of them, where that is known.
    changed : Tensor of int64
        Which rows differ from the reference's.
    """

    values: Tensor
    projected: Tensor | None
    changed: Tensor


class EnformerEngine:
    """The same function as `outputs_at` of the plain network, for windows that are nearly a reference window.

    Keeps the stages of the last reference: 0.7 GB of the published network, with differences 1.9 GB. Must be called
    from one thread.

    Parameters
    ----------
    network : enformer_pytorch.Enformer
        The network, on its device.
    rows : int
        Rows of its transformer.
    bins, tracks : Tensor of int64
        Which bins of the cropped output, and which tracks of the head.
    head : str
        Which head.
    differences : bool
        Whether the transformer computes differences from the reference, in bfloat16.
    """

    def __init__(
        self, network: Any, rows: int, bins: Tensor, tracks: Tensor, head: str, differences: bool = False
    ) -> None:
        self._device = str(bins.device)
        self._layers = layers_of(network, rows)
        # The first projections are of single rows, too: computed with them, once for all windows that share them.
        self._stages = _stages(network, None if differences else self._layers[0])
        self._targets = [int(bin_) + (rows - network.target_length) // 2 for bin_ in bins]
        self._transformer = DifferenceTransformer(self._layers, self._targets) if differences else None
        self._head = head_of(network, tracks, head)
        self._number_of_tracks = len(tracks)
        self._reference: NDArray[np.bool_] = np.empty((0, 4), dtype=bool)
        self._tower: SharedTower | None = None

    @property
    def rows_computed(self) -> int:
        """Rows of the transformer's input that were computed for windows of the last reference, beside its own."""
        return 0 if self._tower is None else self._tower.rows_computed

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
        ndarray of float32, shape (windows, bins, tracks)

        Raises
        ------
        ModelError
            Windows are of another length than the reference.
        PrecisionError
            With differences: their effects are further from those in float32 than `LARGEST_EFFECT_ERROR`. Held against
            each other over one in 32 windows, those with the largest effects.
        """
        if onehot.shape[1:] != reference.shape:
            raise ModelError(f"enformer: windows of shape {onehot.shape[1:]}, expected {reference.shape}")
        outputs = np.empty((len(onehot), len(self._targets), self._number_of_tracks), dtype=np.float32)
        with torch.inference_mode():
            try:
                tower = self._tower_of(reference)
                for window, found in enumerate(self._each(tower, onehot, self._outputs)):
                    outputs[window] = found
            except BaseException:
                # Memory may have ended in the middle of what is kept: the next call begins anew.
                self._forget()
                raise
            if self._transformer is not None and len(onehot):
                self._check_effects(tower, onehot, outputs)
        return outputs

    def _tower_of(self, reference: NDArray[np.bool_]) -> SharedTower:
        if self._tower is None or not np.array_equal(self._reference, reference):
            # The old one goes first: both would not fit where one does.
            self._forget()
            self._tower = SharedTower(self._stages, reference, self._device)
            self._reference = np.array(reference)
            if self._transformer is not None:
                rows = self._tower.rows(self._tower.numbers)
                # As windows are, so that the number of threads changes nothing.
                (_,) = inferred(self._transformer.keep, [rows], self._device)
        return self._tower

    def _forget(self) -> None:
        self._tower = None
        if self._transformer is not None:
            self._transformer.forget()

    def _each(
        self, tower: SharedTower, onehot: NDArray[np.bool_], function: Callable[[_Rows], NDArray[np.float32]]
    ) -> Iterator[NDArray[np.float32]]:
        """A function of every window's rows."""
        for group in tower.numbered(onehot):
            yield from inferred(function, (self._rows(tower, numbers) for numbers in group), self._device)

    def _rows(self, tower: SharedTower, numbers: NDArray[np.int32]) -> _Rows:
        features = self._layers[0].projections.shape[1]
        rows, projected = tower.rows(numbers).tensor_split([features], dim=1)
        changed = torch.from_numpy(np.flatnonzero(numbers != tower.numbers)).to(self._device)
        return _Rows(rows, projected if projected.shape[1] else None, changed)

    def _outputs(self, rows: _Rows) -> NDArray[np.float32]:
        if self._transformer is None:
            return self._exact(rows)
        return self._read_out(self._transformer.outputs(rows.values, rows.changed))

    def _exact(self, rows: _Rows) -> NDArray[np.float32]:
        """Outputs in float32."""
        return self._read_out(transformed(self._layers, rows.values, self._targets, rows.projected))

    def _check_effects(self, tower: SharedTower, onehot: NDArray[np.bool_], found: NDArray[np.float32]) -> None:
        """Raise `PrecisionError` where effects are not those in float32."""
        (reference,) = inferred(self._exact, [self._rows(tower, tower.numbers)], self._device)
        effects = found.astype(np.float64) - reference
        # What is no number comes first.
        sizes = np.nan_to_num(np.abs(effects).mean(axis=(1, 2)), nan=np.inf)
        largest = np.argsort(-sizes, kind="stable")[: max(1, len(onehot) // _WINDOWS_A_CHECK)]
        exact = list(self._each(tower, onehot[largest], self._exact))
        for effect, expected in zip(effects[largest], np.array(exact, np.float64) - reference, strict=True):
            error, size = float(np.linalg.norm(effect - expected)), float(np.linalg.norm(expected))
            if not error <= LARGEST_EFFECT_ERROR * size + _ROUNDING * float(np.linalg.norm(reference)):
                missed = error / size if size else np.inf
                raise PrecisionError(
                    f"--precision delta-bf16 misses the effect of a window by {missed:.1%}, more than the "
                    f"{LARGEST_EFFECT_ERROR:.0%} that are allowed: fill with --precision float32"
                )

    def _read_out(self, rows: Tensor) -> NDArray[np.float32]:
        """Outputs at the target bins, of the transformer's output there: shape (bins, tracks)."""
        outputs: NDArray[np.float32] = self._head(rows).cpu().numpy()
        return outputs


def _stages(network: Any, projecting: Layer | None) -> Sequence[Stage]:
    """The stem and the tower: each ends in what the next stage's convolution takes.

    The last ends in the transformer's input, and behind it in what a layer's projections make of it, if any.
    """
    blocks = blocks_of(network)
    norms = [before for *_, before in blocks[1:]]
    stages = []
    for (convolution, residual, pool, _), norm in zip(blocks, [*norms, None], strict=True):
        weight = convolution.weight.transpose(1, 2).flatten(1).contiguous()
        compute = partial(
            _convolved_and_pooled,
            convolution=(weight, convolution.bias),
            norm=affine(residual[0]),
            pointwise=(residual[2].weight[:, :, 0].contiguous(), residual[2].bias),
            pool=pool.to_attn_logits.weight[:, :, 0, 0].contiguous(),
            after=partial(_with_projections, layer=projecting) if norm is None else partial(activated, norm=norm),
        )
        channels = convolution.out_channels
        if norm is None and projecting is not None:
            channels += len(projecting.projections)
        stages.append(Stage(convolution.kernel_size[0], pool.pool_size, channels, compute))
    return stages


def _with_projections(rows: Tensor, layer: Layer | None) -> Tensor:
    return rows if layer is None else torch.cat([rows, layer.project(rows)], dim=1)


def _convolved_and_pooled(
    seen: Tensor,
    convolution: Affine,
    norm: Affine,
    pointwise: Affine,
    pool: Tensor,
    after: Callable[[Tensor], Tensor],
) -> Tensor:
    """A stage's output: shape (rows, channels), of what its convolutions see, shape (rows, 2, kernel x channels)."""
    rows = functional.linear(seen.flatten(0, 1), *convolution)
    rows = rows + functional.linear(activated(rows, norm), *pointwise)
    first, second = rows[0::2], rows[1::2]
    # A softmax over two is a sigmoid of their difference.
    difference = first - second
    return after(torch.addcmul(second, torch.sigmoid(functional.linear(difference, pool)), difference))
