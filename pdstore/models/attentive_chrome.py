"""AttentiveChrome (Singh et al. 2017): five histone marks in bins around a TSS to whether the gene is highly expressed.

It reads tracks, not sequence: here those that a sequence model predicts, of a store. Two levels of attention say which
bins of each mark, and which marks, its answer is made of.

References
----------
Singh et al. 2017, NeurIPS, arXiv:1708.00339.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import InputError, ModelError, UsageError
from pdstore.models.trained import read_config
from pdstore.models.weights import existing_weights

if TYPE_CHECKING:
    from pdstore.models.attentive_chrome_network import AttentiveChromeNetwork

MARKS = ("H3K27me3", "H3K36me3", "H3K4me1", "H3K4me3", "H3K9me3")
"""The histone marks, in the published order."""
WEIGHTS = len(MARKS) + 55_681
"""How many numbers a readout keeps: which track each mark is, and the network's parameters, as many as published."""
MOST_BINS = 100_000
"""Of a store's, for a network to be trained."""
_AT_ONCE = 512
"""Windows in the network at once."""


@dataclass(frozen=True)
class AttentiveChromeConfig:
    """What a network was trained on.

    Attributes
    ----------
    marks : tuple of str
        Names of the tracks, one a histone mark in the order of `MARKS`.
    bins : int
        How many bins of them.
    """

    model: ClassVar[str] = "attentive-chrome"
    marks: tuple[str, ...]
    bins: int

    def __post_init__(self) -> None:
        # JSON has lists.
        object.__setattr__(self, "marks", tuple(self.marks) if isinstance(self.marks, list) else self.marks)
        if not (isinstance(self.marks, tuple) and all(isinstance(mark, str) for mark in self.marks)):
            raise ModelError(f"attentive-chrome: marks is {repr(self.marks)[:60]}, expected names of tracks")
        if len(set(self.marks)) != len(MARKS):
            raise ModelError(
                f"attentive-chrome: {len(set(self.marks))} different tracks, expected {len(MARKS)}: {', '.join(MARKS)}"
            )
        if not (type(self.bins) is int and 2 <= self.bins <= MOST_BINS):
            raise ModelError(f"attentive-chrome: bins is {self.bins!r}, expected a whole number, 2 to {MOST_BINS:,}")

    @property
    def windows_at_once(self) -> int:
        """Genes in the network at once in training."""
        return _AT_ONCE

    def network(self) -> "AttentiveChromeNetwork":
        """The untrained network, from torch's global generator."""
        from pdstore.models.attentive_chrome_network import AttentiveChromeNetwork

        return AttentiveChromeNetwork()


class Attention(NamedTuple):
    """What an answer is made of.

    Attributes
    ----------
    marks : ndarray of float64, shape (marks,)
        The share of each mark; 1 over all marks. Published as beta.
    bins : ndarray of float64, shape (marks, bins)
        The share of each bin in its mark; 1 over the bins of each. Published as alpha.
    gradient_x_input : ndarray of float64, shape (marks, bins)
        Derivative of the log odds with respect to each bin, times its value: log odds. Attention is of recurrent
        layers, whose every place knows of the others, so it need not lie where a signal is; this does.
    """

    marks: NDArray[np.float64]
    bins: NDArray[np.float64]
    gradient_x_input: NDArray[np.float64]


def pick_marks(cell_type: str, track_names: Sequence[str]) -> tuple[str, ...]:
    """Tracks of the histone marks of a cell type: of each mark the first whose description names both.

    Raises
    ------
    UsageError
        A mark has none.
    """
    found = []
    for mark in MARKS:
        of_mark = [name for name in track_names if mark.lower() in name.lower()]
        of_both = [name for name in of_mark if cell_type.lower() in name.lower()]
        if not of_both:
            there = f"; of {mark} there are {', '.join(map(repr, of_mark[:5]))}" if of_mark else ""
            raise UsageError(
                f"no track is of {mark} in {cell_type}{there}: fill with --targets and --tracks that have it"
            )
        found.append(of_both[0])
    return tuple(found)


def read_attentive_chrome(path: Path, track_names: Sequence[str], bins: int) -> NDArray[np.float64]:
    """Weights of a file as numbers in a row, for tracks that a store has.

    Parameters
    ----------
    path : Path
        What `pdstore train attentive-chrome` made.
    track_names : sequence of str
        Tracks of the store.
    bins : int
        Bins of the store.

    Returns
    -------
    ndarray of float64, shape (5 + parameters,)
        Which track each mark is, and the parameters of the network in the order of its state dict.

    Raises
    ------
    ModelError
        No such file, or other weights.
    InputError
        The store lacks a track, or has another number of bins.
    """
    config, _ = read_config(
        existing_weights(path, AttentiveChromeConfig.model), AttentiveChromeConfig, "attentive-chrome"
    )
    if config.bins != bins:
        raise InputError(
            f"{path}: trained on {config.bins} bins, but the store holds {bins}: fill with as many, --bins"
        )
    for mark in config.marks:
        if mark not in track_names:
            raise InputError(f"{path}: trained on the track {mark!r}, which the store does not hold")
    from pdstore.models.attentive_chrome_network import read_parameters

    rows = [list(track_names).index(mark) for mark in config.marks]
    return np.concatenate([np.array(rows, dtype=np.float64), read_parameters(path, config)])


def read_out_marks(tracks: NDArray[np.floating], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log odds that a gene is highly expressed: (..., bins, tracks) → (...).

    Parameters
    ----------
    tracks : ndarray of float, shape (..., bins, tracks)
        Outputs of a sequence model.
    weights : ndarray of float64, shape (5 + parameters,)
        As `read_attentive_chrome` gives them.
    """
    import torch

    rows, network = _network(weights.tobytes())
    marks = np.asarray(tracks, np.float64).reshape(-1, *tracks.shape[-2:])[..., rows]
    found = np.empty(len(marks))
    with torch.inference_mode():
        for start in range(0, len(marks), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            found[part] = network(torch.from_numpy(marks[part])).numpy()
    return found.reshape(tracks.shape[:-2])


def attention(tracks: NDArray[np.floating], weights: NDArray[np.float64]) -> Attention:
    """Which marks and bins the answer for one window is made of: (bins, tracks); parameters as of `read_out_marks`."""
    import torch

    rows, network = _network(weights.tobytes())
    marks = np.asarray(tracks, np.float64)[:, rows]
    with torch.inference_mode():
        _, of_marks, of_bins = network.outputs(torch.from_numpy(marks[None]))
    slope = marks_gradient(tracks, weights)[:, rows]
    return Attention(of_marks[0].numpy(), of_bins[0].numpy(), (slope * marks).T)


def marks_gradient(tracks: NDArray[np.floating], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Derivative of `read_out_marks` with respect to the tracks of one window: (bins, tracks) → the same."""
    import torch

    rows, network = _network(weights.tobytes())
    given = torch.from_numpy(np.asarray(tracks, np.float64)[None][..., rows]).requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(network(given).sum(), given)
    gradient = np.zeros(tracks.shape)
    gradient[:, rows] = slope[0].numpy()
    return gradient


@lru_cache(maxsize=2)
def _network(weights: bytes) -> "tuple[list[int], AttentiveChromeNetwork]":
    """Rows of the tracks, and the network in float64: effects of variants are small differences."""
    from pdstore.models.attentive_chrome_network import network_of

    values = np.frombuffer(weights)
    return values[: len(MARKS)].astype(int).tolist(), network_of(values[len(MARKS) :])
