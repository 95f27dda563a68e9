"""Basenji2 (Kelley 2020): 131,072 bp to 5,313 tracks in 896 bins of 128 bp, from the published Keras weights.

References
----------
Kelley 2020, PLoS Computational Biology 16:e1008050.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import ModelError
from pdstore.haplotypes.window import WindowSpec
from pdstore.models.keras_weights import KerasTensor, read_keras
from pdstore.models.protocol import NO_OPTIONS, About, ModelDescription, ModelOptions
from pdstore.models.tracks import Outputs, format_ranges, select_outputs
from pdstore.models.weights import existing_weights, weights_sha256

if TYPE_CHECKING:
    from pdstore.models.basenji2_network import Basenji2Network

HUANG_TRACK = 5110
"""CAGE of GM12878, which Huang et al. 2023 read."""
SHIFTS = (1, 0, -1)
"""By how many bp an ensemble shifts the window."""


@dataclass(frozen=True)
class Basenji2Sizes:
    """Sizes of the network; the defaults are the published ones.

    Attributes
    ----------
    window_length : int
        Length of the window, bp.
    stem, tower : int, tuple of int
        Channels of the first convolution, and of those behind it; each is followed by a pool of 2.
    dilations : tuple of int
        Of the residual blocks.
    narrow, last : int
        Channels within a residual block, and of the last convolution.
    crop : int
        Bins cut off on either side.
    tracks : int
        Tracks of the output.
    """

    window_length: int = 131_072
    stem: int = 288
    tower: tuple[int, ...] = (339, 399, 470, 554, 652, 768)
    dilations: tuple[int, ...] = (1, 2, 3, 4, 6, 9, 14, 21, 32, 48, 72)
    narrow: int = 384
    last: int = 1_536
    crop: int = 64
    tracks: int = 5_313

    @property
    def bins(self) -> int:
        """Bins of an output."""
        return (self.window_length >> (1 + len(self.tower))) - 2 * self.crop

    @property
    def convolutions(self) -> list[tuple[int, int, int]]:
        """Width, channels in and channels out of every convolution, in order."""
        channels = (4, self.stem, *self.tower)
        found = [(15, 4, self.stem)]
        found += [(5, before, after) for before, after in pairwise(channels[1:])]
        for _ in self.dilations:
            found += [(3, channels[-1], self.narrow), (1, self.narrow, channels[-1])]
        return [*found, (1, channels[-1], self.last)]

    @property
    def tensors(self) -> list[KerasTensor]:
        """What a weights file has: of each convolution its kernel and norm, then the dense layer."""
        found = []
        for number, (width, before, after) in enumerate(self.convolutions):
            found.append(KerasTensor("conv1d", number, "kernel", (width, before, after)))
            for name in ("gamma", "beta", "moving_mean", "moving_variance"):
                found.append(KerasTensor("batch_normalization", number, name, (after,)))
        return [
            *found,
            KerasTensor("dense", 0, "kernel", (self.last, self.tracks)),
            KerasTensor("dense", 0, "bias", (self.tracks,)),
        ]


class Basenji2:
    """Basenji2 as a `SequenceModel`: made by `Basenji2.load`."""

    name: ClassVar[str] = "basenji2"
    about: ClassVar[About] = About(
        reads="131,072 bp around the TSS",
        gives="5,313 human tracks in 896 bins of 128 bp, of which the chosen are kept",
        weights="the published model_human.h5 (Keras)",
        licence="code and weights: Apache 2.0",
        reference="Kelley 2020, PLoS Computational Biology 16:e1008050",
    )
    protocols: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "huang2023": {"tracks": str(HUANG_TRACK), "bins": "443-452", "ensemble": True}
    }
    takes: ClassVar[frozenset[str]] = frozenset(("targets", "tracks", "bins", "ensemble", "batch_size"))
    sizes: ClassVar[Basenji2Sizes] = Basenji2Sizes()

    def __init__(
        self,
        network: "Basenji2Network",
        description: ModelDescription,
        bins: list[int],
        digest: str,
        options: ModelOptions,
        device: str,
    ) -> None:
        self._network = network.to(device).eval()
        self._bins, self._options, self._device = bins, options, device
        self.description = description
        self.weights_digest = digest
        self.batch_size = options.batch_size or (1 if device == "cpu" else 4)

    @classmethod
    def window_of(cls, weights: Path | None) -> WindowSpec:
        """131,072 bp: TSS-65,535 to TSS+65,536 on the forward strand, whatever the gene's."""
        return WindowSpec(cls.sizes.window_length, cls.sizes.window_length // 2 - 1, "forward")

    @classmethod
    def describe(
        cls, weights: Path | None, options: ModelOptions = NO_OPTIONS, device: str = "cpu"
    ) -> ModelDescription:
        """Window, bins and tracks; the shapes of all tensors are held against the network's."""
        read_keras(existing_weights(weights, cls.name), cls.sizes.tensors, cls.name, values=False)
        bins, tracks, names = cls._select(options)
        shifts = ", ".join(map(str, SHIFTS))
        recorded: dict[str, str | int | float | bool] = {
            "tracks": format_ranges(tracks),
            "bins": format_ranges(bins),
            "bins_of_output": cls.sizes.bins,
            "ensemble": f"shifts {shifts} bp, both strands, 0.25 beyond the window" if options.ensemble else "none",
        }
        return ModelDescription(cls.window_of(None), len(bins), names, "sum", recorded, windows_per_block=16)

    @classmethod
    def digest(cls, weights: Path | None) -> str:
        """SHA-256 of the file."""
        return weights_sha256(existing_weights(weights, cls.name))

    @classmethod
    def load(cls, weights: Path | None, options: ModelOptions = NO_OPTIONS, device: str = "cpu") -> Self:
        """Read the network.

        Raises
        ------
        ModelError
            No file, not HDF5, or a layer is missing or has another shape.
        UsageError
            Tracks or bins that it does not have.
        """
        from pdstore.models.basenji2_network import Basenji2Network

        description = cls.describe(weights, options, device)
        path = existing_weights(weights, cls.name)
        bins, tracks, _ = cls._select(options)
        network = Basenji2Network(cls.sizes, tracks)
        network.take(read_keras(path, cls.sizes.tensors, cls.name, values=True), tracks)
        return cls(network, description, bins, weights_sha256(path), options, device)

    @classmethod
    def _select(cls, options: ModelOptions) -> Outputs:
        sizes = cls.sizes
        return select_outputs(
            options, sizes.bins, sizes.tracks, middle=10, track=HUANG_TRACK, head="human", whose=cls.name
        )

    def predict(self, onehot: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Outputs at the target bins and tracks.

        Parameters
        ----------
        onehot : ndarray of bool, shape (batch, positions, 4)
            Windows; A, C, G, T, and N all zeros.

        Returns
        -------
        ndarray of float32, shape (batch, bins, tracks)
            Coverage a bin. Of an ensemble the mean over shifts of the window by 1, 0 and -1 bp, with 0.25 of each base
            in the places that are left, each forward and reverse-complemented.
        """
        self._check_windows(onehot.shape[1:])
        import torch

        with torch.inference_mode():
            windows = torch.from_numpy(np.array(onehot, order="C")).to(self._device, torch.float32)
            outputs: NDArray[np.float32] = self._network.mean_outputs(windows, self._bins, self._shifts).cpu().numpy()
        return outputs

    def gradient(self, onehot: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """Gradient of the weighted sum of a window's outputs: (positions, 4) bool, (bins, tracks) → (positions, 4)."""
        self._check_windows(onehot.shape)
        from pdstore.models.autograd import weighted_gradient

        return weighted_gradient(
            lambda windows: self._network.mean_outputs(windows, self._bins, self._shifts), onehot, weights, self._device
        )

    @property
    def _shifts(self) -> tuple[int, ...]:
        return SHIFTS if self._options.ensemble else ()

    def _check_windows(self, shape: tuple[int, ...]) -> None:
        expected = (self.description.window.length, 4)
        if shape != expected:
            raise ModelError(f"{self.name}: windows of shape {shape}, expected {expected}")
