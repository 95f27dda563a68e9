"""Enformer (Avsec et al. 2021): 196,608 bp to tracks in 896 bins of 128 bp; the network is enformer-pytorch's.

References
----------
Avsec et al. 2021, Nature Methods 18:1196.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import ModelError, UsageError
from pdstore.haplotypes.onehot import reverse_complement
from pdstore.haplotypes.window import WindowSpec
from pdstore.models.device import set_cuda_arithmetic
from pdstore.models.enformer_weights import OFFICIAL, EnformerSizes, read_sizes
from pdstore.models.protocol import NO_OPTIONS, About, EngineName, ModelDescription, ModelOptions, require_gradient
from pdstore.models.state_dict import local_weights, weights_digest
from pdstore.models.tracks import format_ranges, select_outputs

if TYPE_CHECKING:
    from pdstore.models.enformer_gradient import EnformerGradient

Base = TypeVar("Base", bound=np.generic)

PUBLISHED_TRACK = "CAGE:brain, adult,"
PUBLISHED_TRACK_INDEX = 4980
"""The track of Sasse et al. 2023, among the 5,313 of the human head."""

SHIFTS = range(-3, 4)
"""By how many bp an ensemble shifts the window."""


class _Selection(NamedTuple):
    """What of the outputs is kept."""

    head: str
    bins: list[int]
    tracks: list[int]
    track_names: tuple[str, ...]
    use_tf_gamma: bool


class Enformer:
    """Enformer as a `SequenceModel`: made by `Enformer.load`.

    Attributes
    ----------
    network : enformer_pytorch.Enformer
        The network, with all its heads.
    engine : EnformerEngine or None
        What predicts windows that are nearly a reference window; None where the plain network is asked for.
    """

    name: ClassVar[str] = "enformer"
    about: ClassVar[About] = About(
        reads="196,608 bp around the TSS",
        gives="5,313 human or 1,643 mouse tracks in 896 bins of 128 bp, of which the chosen are kept",
        weights=f"{OFFICIAL}, downloaded from the hub, or a folder or state dict",
        licence="enformer-pytorch: MIT; weights: as the hub says",
        reference="Avsec et al. 2021, Nature Methods 18:1196",
    )
    protocols: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sasse2023": {"tracks": str(PUBLISHED_TRACK_INDEX), "bins": "447-449"},
        # CAGE of GM12878, ten bins.
        "huang2023": {"tracks": "5110", "bins": "443-452"},
    }
    takes: ClassVar[frozenset[str]] = frozenset(
        ("targets", "tracks", "bins", "head", "use_tf_gamma", "precision", "ensemble", "batch_size", "engine")
    )

    def __init__(
        self,
        network: Any,
        sizes: EnformerSizes,
        selection: _Selection,
        description: ModelDescription,
        digest: str,
        options: ModelOptions,
        device: str,
    ) -> None:
        from pdstore.models.enformer_network import bins_from

        self.network = network.to(device)
        self.description = description
        self.weights_digest = digest
        # The activations of a published window take 2.5 GB: a CPU gains nothing from two at once, a GPU needs a few.
        published = (1 if device == "cpu" else 4) * EnformerSizes().sequence_length
        self.batch_size = options.batch_size or max(1, min(8, published // sizes.sequence_length))
        self._options, self._device, self._head, self._rows = options, device, selection.head, sizes.rows
        self._tracks = bins_from(selection.tracks, device)
        self._bins = bins_from(selection.bins, device)
        self.engine = None
        if engine_of(options) == "incremental":
            from pdstore.models.enformer_engine import EnformerEngine

            differences = options.precision == "delta-bf16"
            self.engine = EnformerEngine(
                self.network, sizes.rows, self._bins, self._tracks, selection.head, differences
            )
        # The reverse complement is read from the other end: its bins stand in the opposite order.
        self._bins_reversed = bins_from([sizes.target_length - 1 - bin_ for bin_ in selection.bins], device)
        self._gradient: EnformerGradient | None = None

    @classmethod
    def window_of(cls, weights: Path | None) -> WindowSpec:
        """196,608 bp: TSS-98,303 to TSS+98,304 on the forward strand, whatever the gene's."""
        return _window(EnformerSizes() if weights is None else read_sizes(local_weights(weights)))

    @classmethod
    def describe(
        cls, weights: Path | None, options: ModelOptions = NO_OPTIONS, device: str = "cpu"
    ) -> ModelDescription:
        """Window, bins and tracks; the shapes of all tensors are held against the network's."""
        given = _given(weights)
        local = local_weights(given)
        sizes = read_sizes(local)
        from pdstore.models.enformer_network import check_shapes

        check_shapes(local, sizes)
        return _description(sizes, _select(given, sizes, options), options, device)

    @classmethod
    def digest(cls, weights: Path | None) -> str:
        """SHA-256 of the state dict."""
        return weights_digest(_given(weights))

    @classmethod
    def load(cls, weights: Path | None, options: ModelOptions = NO_OPTIONS, device: str = "cpu") -> Self:
        """Read the network.

        Raises
        ------
        ModelError
            No weights, or not an Enformer's; or nothing says whether its positions are TensorFlow's.
        UsageError
            Tracks, bins or a head that it does not have.
        """
        from pdstore.models.enformer_network import read_network

        given = _given(weights)
        local = local_weights(given)
        sizes = read_sizes(local)
        selection = _select(given, sizes, options)
        if device.startswith("cuda"):
            set_cuda_arithmetic(tf32=options.precision == "tf32")
        network = read_network(local, sizes, selection.use_tf_gamma)
        description = _description(sizes, selection, options, device)
        return cls(network, sizes, selection, description, weights_digest(given), options, device)

    def predict(self, onehot: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Outputs at the target bins and tracks.

        Parameters
        ----------
        onehot : ndarray of bool, shape (batch, positions, 4)
            Windows; A, C, G, T, and N all zeros.

        Returns
        -------
        ndarray of float32, shape (batch, bins, tracks)
            In the unit of the tracks. Of an ensemble the mean over shifts of the window by -3 to 3 bp, where the bases
            beyond its edges are N, each forward and reverse-complemented.
        """
        self._check_windows(onehot.shape[1:])
        if not self._options.ensemble:
            return self._outputs(onehot, self._bins)
        outputs = [
            self._outputs(window, bins)
            for shift in SHIFTS
            for shifted in [shift_window(onehot, shift)]
            for window, bins in ((shifted, self._bins), (reverse_complement(shifted), self._bins_reversed))
        ]
        mean: NDArray[np.float64] = np.stack(outputs).mean(axis=0, dtype=np.float64)
        return mean.astype(np.float32)

    def gradient(self, onehot: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """Gradient of the weighted sum of a window's outputs with respect to its one-hot bases.

        Parameters
        ----------
        onehot : ndarray of bool, shape (positions, 4)
            The window; A, C, G, T, and N all zeros.
        weights : ndarray of float64, shape (bins, tracks)
            Weight of each output, at the target bins and tracks.

        Returns
        -------
        ndarray of float32, shape (positions, 4)
            Of an ensemble that of the mean over its members.

        Raises
        ------
        UsageError
            The model is loaded with bfloat16.
        """
        self._check_windows(onehot.shape)
        require_gradient(self, self._options)
        if self._gradient is None:
            from pdstore.models.enformer_gradient import EnformerGradient

            # Copies of weights: made where gradients are asked for.
            self._gradient = EnformerGradient(self.network, self._rows, self._tracks, self._head)
        if not self._options.ensemble:
            return self._gradient(onehot, self._bins.tolist(), weights)
        total = np.zeros(onehot.shape)
        for shift in SHIFTS:
            (shifted,) = shift_window(onehot[None], shift)
            forward = self._gradient(shifted, self._bins.tolist(), weights)
            of_reverse = self._gradient(reverse_complement(shifted), self._bins_reversed.tolist(), weights)
            # Read from the other end, positions and bases stand in the opposite order.
            total += shift_window((forward + of_reverse[::-1, ::-1])[None], -shift)[0]
        mean: NDArray[np.float32] = (total / (2 * len(SHIFTS))).astype(np.float32)
        return mean

    def _check_windows(self, shape: tuple[int, ...]) -> None:
        expected = (self.description.window.length, 4)
        if shape != expected:
            raise ModelError(f"enformer: windows of shape {shape}, expected {expected}")

    def _outputs(self, onehot: NDArray[np.bool_], bins: Any) -> NDArray[np.float32]:
        import torch

        from pdstore.models.enformer_network import outputs_at

        with torch.inference_mode(), _autocast(self._options, self._device):
            # As bool it is a quarter of the bytes on the way to a GPU.
            windows = torch.from_numpy(np.array(onehot, order="C")).to(self._device).to(torch.float32)
            outputs: NDArray[np.float32] = (
                outputs_at(self.network, windows, bins, self._head, self._tracks).cpu().numpy()
            )
        return outputs


def shift_window(onehot: NDArray[Base], shift: int) -> NDArray[Base]:
    """Move the bases of windows by `shift` positions; N, all zeros, take the places that are left.

    Parameters
    ----------
    onehot : ndarray of any dtype, shape (batch, positions, 4)
        Windows, or what belongs to their bases.
    shift : int
        In bp; to the right where positive.
    """
    if shift == 0:
        return onehot
    shifted = np.zeros_like(onehot)
    if shift > 0:
        shifted[:, shift:] = onehot[:, :-shift]
    else:
        shifted[:, :shift] = onehot[:, -shift:]
    return shifted


def engine_of(options: ModelOptions) -> EngineName:
    """The engine that is asked for, or the one that does what is; raises `UsageError` where that one does not."""
    of_plain = ["--precision bf16"] if options.precision == "bf16" else []
    of_plain += ["--ensemble"] if options.ensemble else []
    of_incremental = ["--precision delta-bf16"] if options.precision == "delta-bf16" else []
    engine = options.engine or ("plain" if of_plain else "incremental")
    for other in of_plain if engine == "incremental" else of_incremental:
        raise UsageError(
            f"--engine {engine} has no {other}: leave one of them out"
            if options.engine
            else f"{of_plain[0]} and {other} do not go together: leave one of them out"
        )
    return engine


def _given(weights: Path | None) -> Path:
    if weights is None:
        raise ModelError(
            f"enformer needs weights: give a folder, a state dict, or {OFFICIAL} (which is downloaded) with --weights"
        )
    return weights


def _window(sizes: EnformerSizes) -> WindowSpec:
    return WindowSpec(sizes.sequence_length, sizes.sequence_length // 2 - 1, "forward")


def _select(weights: Path, sizes: EnformerSizes, options: ModelOptions) -> _Selection:
    """What of the outputs is kept, and how positions are encoded; raises `UsageError` where it does not exist."""
    head = options.head or ("human" if "human" in sizes.output_heads else next(iter(sizes.output_heads)))
    if head not in sizes.output_heads:
        raise UsageError(f"these weights have no head {head!r}: the heads are {', '.join(sizes.output_heads)}")
    number = sizes.output_heads[head]
    published: int | str | None = None
    if head == "human" and number > PUBLISHED_TRACK_INDEX:
        published = PUBLISHED_TRACK if options.targets else PUBLISHED_TRACK_INDEX
    outputs = select_outputs(
        options,
        sizes.target_length,
        number,
        middle=3,
        track=published,
        head=head,
        whose=f"the head {head} of these weights",
    )
    return _Selection(head, outputs.bins, outputs.tracks, outputs.track_names, _use_tf_gamma(weights, sizes, options))


def _use_tf_gamma(weights: Path, sizes: EnformerSizes, options: ModelOptions) -> bool:
    # enformer-pytorch turns it on for the official name alone: the same weights in a folder would silently differ.
    use = options.use_tf_gamma
    if use is None:
        use = sizes.use_tf_gamma
    if use is None and str(weights) == OFFICIAL:
        use = True
    if use is None:
        raise UsageError(
            "these weights do not say how relative positions are encoded: give --use-tf-gamma if they come from "
            "TensorFlow, as the official ones do, or --no-use-tf-gamma if they were trained in enformer-pytorch"
        )
    if use and (sizes.rows != 1536 or sizes.dim // sizes.heads != 192):
        raise UsageError(
            "--use-tf-gamma is for windows of 1,536 bins and heads of 192 features, but these weights have "
            f"{sizes.rows:,} and {sizes.dim // sizes.heads}"
        )
    return use


def _description(sizes: EnformerSizes, selection: _Selection, options: ModelOptions, device: str) -> ModelDescription:
    if options.precision == "tf32" and not device.startswith("cuda"):
        raise UsageError(f"--precision tf32 is arithmetic of NVIDIA GPUs: the device is {device}")
    recorded: dict[str, str | int | float | bool] = {
        "head": selection.head,
        "tracks": format_ranges(selection.tracks),
        "bins": format_ranges(selection.bins),
        "bins_of_output": sizes.target_length,
        "use_tf_gamma": selection.use_tf_gamma,
        "precision": options.precision,
        "ensemble": f"shifts {SHIFTS[0]} to {SHIFTS[-1]} bp, both strands" if options.ensemble else "none",
    }
    engine = engine_of(options)
    if engine != "plain":
        # Effects are differences in the last bits of an output: those of one gene have one engine.
        recorded["engine"] = engine
    return ModelDescription(
        _window(sizes),
        len(selection.bins),
        selection.track_names,
        "sum",
        recorded,
        # Some seconds on a GPU, some minutes on a CPU; the more, the more is shared.
        windows_per_block=64 if device.startswith("cuda") or engine == "incremental" else 16,
    )


@contextlib.contextmanager
def _autocast(options: ModelOptions, device: str) -> Iterator[None]:
    import torch

    if options.precision != "bf16":
        yield
        return
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
        yield
