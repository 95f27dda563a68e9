"""Borzoi (Linder et al. 2025): 524,288 bp to tracks in 6,144 bins of 32 bp; the network is borzoi-pytorch's.

References
----------
Linder et al. 2025, Nature Genetics 57:949.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import ModelError, UsageError
from pdstore.haplotypes.window import WindowSpec
from pdstore.models.protocol import NO_OPTIONS, About, ModelDescription, ModelOptions
from pdstore.models.state_dict import CONFIG_FILE, local_weights, read_config, weights_digest
from pdstore.models.tracks import format_ranges, select_outputs
from pdstore.sources.text import read_lines

if TYPE_CHECKING:
    from pdstore.models.borzoi_network import BorzoiNetwork

PUBLISHED = "johahi/borzoi-replicate-0"
"""The first of the four published replicates, on the hub."""

DEFAULT_TRACKS = "870-871"
"""CAGE of GM12878, both strands: of the same cells as the track that Huang et al. 2023 read of Enformer."""
DEFAULT_BINS = 40
"""1,280 bp around the TSS, as their ten bins of 128 bp."""

HEADS = {"human": 7_611, "mouse": 2_608}
"""Tracks of each head."""
BASES_A_BIN = 32
BASES_A_TOKEN = 128
"""Of its transformer."""
WIDE_BINS = 16_352
"""Bins of an output of which the centre alone is not asked for."""

_POWERS = {"sum": 1.0, "mean": 1.0, "sum_sqrt": 4 / 3}
"""What undoes what was done to a bin's coverage. "sqrt" is a name: the weights were trained on coverage to the 3/4."""


@dataclass(frozen=True)
class BorzoiSizes:
    """Sizes of a network; the defaults are the published ones.

    Attributes
    ----------
    dim, depth, heads, attn_dim_key, attn_dim_value, bins_to_return, return_center_bins_only
        As `borzoi_pytorch.config_borzoi.BorzoiConfig` has them.
    enable_human_head, enable_mouse_head : bool
        Which heads there are.
    flashed : bool
        Whether it is a Flashzoi, whose attention is another.
    sequence_length : int
        Length of the window, bp; a field of pdstore's own in config.json, which a published model does without.
    """

    dim: int = 1536
    depth: int = 8
    heads: int = 8
    attn_dim_key: int = 64
    attn_dim_value: int = 192
    bins_to_return: int = 6144
    return_center_bins_only: bool = True
    enable_human_head: bool = True
    enable_mouse_head: bool = False
    flashed: bool = False
    sequence_length: int = 524_288

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            if type(value) is not option.type:
                expected = "true or false" if option.type is bool else "a whole number"
                raise ModelError(f"{option.name} is {repr(value)[:50]}, expected {expected}")
            most = 100 if option.name in ("depth", "heads") else 10**7
            if option.type is int and not 0 < value <= most:
                raise ModelError(f"{option.name} is {value}, expected a number above 0, at most {most:,}")
        if not self.output_heads:
            raise ModelError("neither enable_human_head nor enable_mouse_head: there is no output")
        rows = self.sequence_length // BASES_A_BIN
        if self.sequence_length % BASES_A_TOKEN or rows < self.bins or (rows - self.bins) % 2:
            raise ModelError(
                f"{self.bins:,} bins of {BASES_A_BIN} bp cannot be cut from the middle of a window of "
                f"{self.sequence_length:,} bp in steps of {BASES_A_TOKEN}"
            )

    @property
    def bins(self) -> int:
        """Bins of an output."""
        return self.bins_to_return if self.return_center_bins_only else WIDE_BINS

    @property
    def output_heads(self) -> list[str]:
        """Names of the heads there are."""
        return [head for head in HEADS if getattr(self, f"enable_{head}_head")]


class Track(NamedTuple):
    """What a table of tracks says of one beside its description.

    Attributes
    ----------
    scale, clip, power : float
        An output is ``scale * clipped(coverage ** (1 / power))``, where the excess above ``clip`` is replaced by its
        square root.
    mate : int
        Index of the other strand's track; its own where it is of both strands.
    strand : str
        "+" or "-"; empty where it is of both.
    """

    scale: float
    clip: float
    power: float
    mate: int
    strand: str


class Selection(NamedTuple):
    """What of the outputs is kept.

    Attributes
    ----------
    head : str
        Which head.
    bins, tracks : list of int
        0-based, sorted.
    track_names : tuple of str
        Descriptions of the tracks, and their strand.
    table : list of Track
        What is known of the tracks.
    """

    head: str
    bins: list[int]
    tracks: list[int]
    track_names: tuple[str, ...]
    table: list[Track]


class Borzoi:
    """Borzoi as a `SequenceModel`: made by `Borzoi.load`."""

    name: ClassVar[str] = "borzoi"
    about: ClassVar[About] = About(
        reads="524,288 bp around the TSS",
        gives="7,611 human or 2,608 mouse tracks in 6,144 bins of 32 bp, of which the chosen are kept, as coverage",
        weights=f"{PUBLISHED} to -3, downloaded from the hub, or a folder",
        licence="borzoi-pytorch: Apache 2.0; weights: as the hub says",
        reference="Linder et al. 2025, Nature Genetics 57:949",
    )
    takes: ClassVar[frozenset[str]] = frozenset(("targets", "tracks", "bins", "head", "ensemble", "batch_size"))

    def __init__(
        self,
        network: "BorzoiNetwork",
        sizes: BorzoiSizes,
        selection: Selection,
        digest: str,
        options: ModelOptions,
        device: str,
    ) -> None:
        self._network = network
        self._options, self._device = options, device
        self.description = _description(sizes, selection, options, device)
        self.weights_digest = digest
        # The activations of a published window take some GB: a CPU gains nothing from two at once, a GPU a little.
        published = (1 if device == "cpu" else 2) * BorzoiSizes().sequence_length
        self.batch_size = options.batch_size or max(1, min(8, published // sizes.sequence_length))

    @classmethod
    def window_of(cls, weights: Path | None) -> WindowSpec:
        """524,288 bp: TSS-262,143 to TSS+262,144 on the forward strand, whatever the gene's."""
        return _window(BorzoiSizes() if weights is None else read_sizes(local_weights(weights)))

    @classmethod
    def describe(
        cls, weights: Path | None, options: ModelOptions = NO_OPTIONS, device: str = "cpu"
    ) -> ModelDescription:
        """Window, bins and tracks; the shapes of all tensors are held against the network's."""
        local = local_weights(_given(weights))
        sizes = read_sizes(local)
        package_folder()
        from pdstore.models.borzoi_network import check_shapes

        check_shapes(local, sizes)
        return _description(sizes, select(sizes, options), options, device)

    @classmethod
    def digest(cls, weights: Path | None) -> str:
        """SHA-256 of the state dict."""
        return weights_digest(local_weights(_given(weights)))

    @classmethod
    def load(cls, weights: Path | None, options: ModelOptions = NO_OPTIONS, device: str = "cpu") -> Self:
        """Read the network.

        Raises
        ------
        ModelError
            No weights, or not a Borzoi's; or borzoi-pytorch is not installed.
        UsageError
            Tracks, bins or a head that it does not have, or a table of tracks that does not fit.
        """
        local = local_weights(_given(weights))
        sizes = read_sizes(local)
        package_folder()
        from pdstore.models.borzoi_network import BorzoiNetwork, read_network

        selection = select(sizes, options)
        network = BorzoiNetwork(read_network(local, sizes), sizes, selection, options.ensemble, device)
        return cls(network, sizes, selection, weights_digest(local), options, device)

    def predict(self, onehot: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Outputs at the target bins and tracks.

        Parameters
        ----------
        onehot : ndarray of bool, shape (batch, positions, 4)
            Windows; A, C, G, T, and N all zeros.

        Returns
        -------
        ndarray of float32, shape (batch, bins, tracks)
            Coverage a bin: what the network gives, with its squashing undone. Of an ensemble the mean over both strands
            is taken before that, of each track and the other strand's of the reverse complement, as the network's
            authors do.
        """
        self._check_windows(onehot.shape[1:])
        import torch

        with torch.inference_mode():
            windows = torch.from_numpy(np.array(onehot, order="C")).to(self._device).to(torch.float32)
            outputs: NDArray[np.float32] = self._network(windows).cpu().numpy()
        return outputs

    def gradient(self, onehot: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """Gradient of the weighted sum of a window's outputs: (positions, 4) bool, (bins, tracks) → (positions, 4)."""
        self._check_windows(onehot.shape)
        from pdstore.models.autograd import weighted_gradient

        return weighted_gradient(self._network, onehot, weights, self._device)

    def _check_windows(self, shape: tuple[int, ...]) -> None:
        expected = (self.description.window.length, 4)
        if shape != expected:
            raise ModelError(f"{self.name}: windows of shape {shape}, expected {expected}")


def package_folder() -> Path:
    """Folder of the package borzoi-pytorch, which is not imported; raises `ModelError` where it is not installed."""
    spec = find_spec("borzoi_pytorch")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            "model borzoi needs the package borzoi-pytorch, which cannot stand beside enformer-pytorch (each needs "
            "another transformers): in a Python environment of its own, pip install -c constraints.txt '.[borzoi]'"
        )
    return Path(spec.submodule_search_locations[0])


def read_sizes(weights: Path) -> BorzoiSizes:
    """Sizes of the network, from the config.json of a folder.

    Raises
    ------
    ModelError
        No folder, no config, or not that of a Borzoi that can be run here.
    """
    try:
        if not weights.is_dir():
            raise ModelError(f"is a file, but a Borzoi's weights are a folder with {CONFIG_FILE} and model.safetensors")
        sizes = BorzoiSizes(**read_config(weights, "borzoi", BorzoiSizes))
        if sizes.flashed:
            raise ModelError(
                f"{CONFIG_FILE} says flashed: a Flashzoi, whose attention runs on NVIDIA GPUs in half precision alone, "
                f"is not supported; give a Borzoi's, such as {PUBLISHED}"
            )
        return sizes
    except ModelError as error:
        raise ModelError(f"weights {weights}: {error}") from error


def read_track_table(path: Path) -> list[Track]:
    """A table of tracks as Borzoi's targets.txt, in the order of the outputs.

    Parameters
    ----------
    path : Path
        Tab-separated, gzipped or not, with a header and the columns ``identifier``, which ends in + or - where a track
        is of one strand, ``clip_soft``, ``scale``, ``sum_stat`` and ``strand_pair``.

    Raises
    ------
    UsageError
        A column or value is missing, or a strand's track is not that of the other; with the line.
    """
    lines = read_lines(path)
    header = next(lines, (1, ""))[1].split("\t")
    for name in ("identifier", "clip_soft", "scale", "sum_stat", "strand_pair"):
        if name not in header:
            raise UsageError(
                f"targets {path}: no column {name}, which Borzoi's table has: outputs are turned to coverage by it"
            )
    table: list[Track] = []
    for number, line in lines:
        try:
            table.append(_track(dict(zip(header, line.split("\t"), strict=True)), len(table)))
        except ValueError as error:
            raise UsageError(f"targets {path}, line {number}: {error}") from error
    for index, track in enumerate(table):
        mate = table[track.mate] if track.mate < len(table) else None
        # The mean over strands is taken of outputs as the network gives them: both must be squashed alike.
        if mate is None or mate[:3] != track[:3] or mate.mate != index:
            raise UsageError(
                f"targets {path}: tracks {index} and {track.mate}, its strand_pair, must name each other and have the "
                "same scale, clip_soft and sum_stat"
            )
    return table


def _track(row: Mapping[str, str], index: int) -> Track:
    """A row of the table; raises `ValueError` where it is none."""
    scale, clip, mate = float(row["scale"]), float(row["clip_soft"]), int(row["strand_pair"])
    if not (0 < scale < np.inf and clip > 0 and mate >= 0):
        raise ValueError(f"scale {scale}, clip_soft {clip} and strand_pair {mate}: expected two above 0, and an index")
    if row["sum_stat"] not in _POWERS:
        raise ValueError(f"sum_stat {row['sum_stat']!r} is none of {', '.join(_POWERS)}")
    return Track(scale, clip, _POWERS[row["sum_stat"]], mate, "" if mate == index else row["identifier"][-1:])


def select(sizes: BorzoiSizes, options: ModelOptions) -> Selection:
    """What of the outputs is kept; raises `UsageError` where it does not exist, or no table says how it is scaled."""
    head = options.head or sizes.output_heads[0]
    if head not in sizes.output_heads:
        raise UsageError(f"these weights have no head {head!r}: the heads are {', '.join(sizes.output_heads)}")
    tracks = options.tracks
    targets = options.targets
    if head == "human":
        targets = targets or package_folder() / "precomputed" / "targets.txt"
        tracks = tracks or DEFAULT_TRACKS
    if targets is None:
        raise UsageError(
            f"borzoi-pytorch has no table of the {head}'s tracks, and outputs are turned to coverage by it: give "
            f"Borzoi's targets_{head}.txt with --targets"
        )
    outputs = select_outputs(
        replace(options, targets=targets, tracks=tracks),
        sizes.bins,
        HEADS[head],
        middle=DEFAULT_BINS,
        track=None,
        head=head,
        whose=f"the head {head} of Borzoi",
    )
    of_all = read_track_table(targets)
    table = [of_all[track] for track in outputs.tracks]
    # Both strands of an experiment have one description.
    names = tuple(
        f"{name} ({track.strand})" if track.strand else name
        for name, track in zip(outputs.track_names, table, strict=True)
    )
    return Selection(head, outputs.bins, outputs.tracks, names, table)


def _given(weights: Path | None) -> Path:
    if weights is None:
        raise ModelError(f"borzoi needs weights: give a folder, or {PUBLISHED} (which is downloaded) with --weights")
    return weights


def _window(sizes: BorzoiSizes) -> WindowSpec:
    return WindowSpec(sizes.sequence_length, sizes.sequence_length // 2 - 1, "forward")


def _description(sizes: BorzoiSizes, selection: Selection, options: ModelOptions, device: str) -> ModelDescription:
    recorded: dict[str, str | int | float | bool] = {
        "head": selection.head,
        "tracks": format_ranges(selection.tracks),
        "bins": format_ranges(selection.bins),
        "bins_of_output": sizes.bins,
        "scale": "coverage",
        # Another table turns the same outputs to other numbers.
        "scale_digest": hashlib.sha256(repr([tuple(track) for track in selection.table]).encode()).hexdigest()[:16],
        "ensemble": "both strands, mean before the scale is undone" if options.ensemble else "none",
    }
    return ModelDescription(
        _window(sizes),
        len(selection.bins),
        selection.track_names,
        "sum",
        recorded,
        # A few minutes, on a CPU as on a GPU.
        windows_per_block=16 if device.startswith("cuda") else 4,
    )
