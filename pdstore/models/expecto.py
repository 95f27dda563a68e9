"""ExPecto (Zhou et al. 2018): 41,800 bp to the log expression of a gene in one cell type, from files of one's own.

Beluga, a network, reads 2,000 bp at each of 200 places around the TSS and gives 2,002 chromatin features. Ten sums of
each over the places, with weights that decay with the distance up- or downstream, go into a linear head.

References
----------
Zhou et al. 2018, Nature Genetics 50:1171.
"""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import ModelError
from pdstore.haplotypes.window import WindowSpec
from pdstore.models.protocol import NO_OPTIONS, About, ModelDescription, ModelOptions
from pdstore.models.weights import weights_sha256

if TYPE_CHECKING:
    from pdstore.models.expecto_network import Beluga

KERNEL = 8
"""Width of every convolution of Beluga."""
POOL = 4
"""Positions that become one behind every second convolution but the last."""
DECAYS = (0.01, 0.02, 0.05, 0.1, 0.2)
"""How fast the weights of places decay: of each, one sum is upstream and one downstream."""
DECAY_UNIT = 200
"""Distance that decays are of, bp."""

_LEARNER = struct.Struct("<4sfIi124x")
"""How a head begins: magic, base score, number of features, number of classes, and what is not read."""
_LINEAR = struct.Struct("<Ii128x")
"""Behind the names of objective and booster: number of features, number of groups, and what is not read."""
_LENGTH = struct.Struct("<Q")
_OBJECTIVES = ("reg:linear", "reg:squarederror")
"""One and the same: what the head gives is the output."""
_LONGEST_NAME = 100


@dataclass(frozen=True)
class ExpectoSizes:
    """Sizes of the model; the defaults are the published ones.

    Attributes
    ----------
    channels : (int, int, int)
        Channels of the six convolutions, of which two follow each other with as many.
    hidden, features : int
        Units of the dense layer, and chromatin features.
    length : int
        Length of what Beluga reads, bp.
    step : int
        Distance between places, bp; a multiple of 8, so that what two of them read falls into the same pools.
    upstream, downstream : int
        Places up- and downstream of the one at the TSS.
    """

    channels: tuple[int, int, int] = (320, 480, 640)
    hidden: int = 2_003
    features: int = 2_002
    length: int = 2_000
    step: int = 200
    upstream: int = 100
    downstream: int = 99

    @property
    def shifts(self) -> NDArray[np.int64]:
        """Distance of each place from the TSS, in the gene's direction: bp, int64, shape (places,)."""
        return np.arange(-self.upstream, self.downstream + 1) * self.step

    @property
    def window(self) -> WindowSpec:
        """All that Beluga reads at any place: 999 bp before it to 1,000 behind it, in the gene's direction."""
        length = (self.upstream + self.downstream) * self.step + self.length
        return WindowSpec(length, self.upstream * self.step + self.length // 2 - 1, "gene")

    @property
    def convolutions(self) -> list[tuple[int, int]]:
        """Channels in and out of every convolution, in order."""
        first, second, third = self.channels
        return [(4, first), (first, first), (first, second), (second, second), (second, third), (third, third)]

    @property
    def positions(self) -> int:
        """Positions of the last convolution's output at a place: none of the convolutions looks beyond its input."""
        left = self.length
        for pool in (POOL, POOL, 1):
            left = (left - 2 * (KERNEL - 1)) // pool
        return left

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shapes of Beluga's state dict, by name."""
        shapes: dict[str, tuple[int, ...]] = {}
        # Between them are activations, pools and dropout.
        for number, (before, after) in zip((0, 2, 6, 8, 12, 14), self.convolutions, strict=True):
            shapes[f"model.0.{number}.weight"] = (after, before, 1, KERNEL)
            shapes[f"model.0.{number}.bias"] = (after,)
        flat = self.channels[-1] * self.positions
        for number, (before, after) in ((2, (flat, self.hidden)), (4, (self.hidden, self.features))):
            shapes[f"model.1.{number}.1.weight"] = (after, before)
            shapes[f"model.1.{number}.1.bias"] = (after,)
        return shapes


class Head(NamedTuple):
    """What makes expression of chromatin features.

    Attributes
    ----------
    constant : float
        Expression without any feature.
    weights : ndarray of float64, shape (places, features)
        Weight of each feature at each place.
    """

    constant: float
    weights: NDArray[np.float64]


class Expecto:
    """ExPecto as a `SequenceModel`: one bin, one track, the natural log of a gene's RPKM as a head gives it.

    Every gene is read in its direction. Beluga's features are means over both strands, so this is what is published,
    but for one base of genes on the minus strand: there, as published, Beluga reads from 1,000 bp upstream of each
    place to 999 downstream, since its 999 bp before a place and 1,000 behind it are always those of the plus strand.
    Here it is 999 upstream and 1,000 downstream of every gene.

    Attributes
    ----------
    engine : ExpectoEngine or None
        What predicts windows that are nearly a reference window; None where the plain network is asked for.
    """

    name: ClassVar[str] = "expecto"
    about: ClassVar[About] = About(
        reads="41,800 bp around the TSS, in the gene's direction",
        gives="log RPKM of a gene in the cell type of the head",
        weights="a folder with the published deepsea.beluga.pth (torch) and one head, *.save (xgboost 0.7)",
        licence="code: pdstore's own, Apache 2.0; weights: Princeton Academic Use, non-profit only: yours alone",
        reference="Zhou et al. 2018, Nature Genetics 50:1171",
    )
    # With the head of EBV-transformed lymphocytes in the folder.
    protocols: ClassVar[Mapping[str, Mapping[str, Any]]] = {"huang2023": {}}
    takes: ClassVar[frozenset[str]] = frozenset(("batch_size", "engine"))
    sizes: ClassVar[ExpectoSizes] = ExpectoSizes()

    def __init__(
        self, network: "Beluga", description: ModelDescription, digest: str, options: ModelOptions, device: str
    ) -> None:
        from pdstore.models.expecto_network import ExpectoEngine

        self._network = network.to(device).eval()
        self._device = device
        self.description = description
        self.weights_digest = digest
        self.batch_size = options.batch_size or (1 if device == "cpu" else 4)
        self.engine = ExpectoEngine(self._network, device) if _engine_of(options) == "incremental" else None

    @classmethod
    def window_of(cls, weights: Path | None) -> WindowSpec:
        """41,800 bp: TSS-20,999 to TSS+20,800 in the gene's direction."""
        return cls.sizes.window

    @classmethod
    def describe(
        cls, weights: Path | None, options: ModelOptions = NO_OPTIONS, device: str = "cpu"
    ) -> ModelDescription:
        """One bin of one track; the head is read, and the shapes of all tensors are held against Beluga's."""
        from pdstore.models.expecto_network import read_beluga

        beluga, head = _files(weights)
        read_head(head, cls.sizes)
        read_beluga(beluga, cls.sizes, "meta")
        engine = _engine_of(options)
        # Effects are differences in the last bits of an output: those of one gene have one engine.
        recorded: dict[str, str | int | float | bool] = {} if engine == "plain" else {"engine": engine}
        # The more, the more is shared.
        block = 64 if device.startswith("cuda") or engine == "incremental" else 16
        return ModelDescription(cls.window_of(None), 1, ("expression",), "sum", recorded, windows_per_block=block)

    @classmethod
    def digest(cls, weights: Path | None) -> str:
        """SHA-256 of those of both files, whatever they are called: hexadecimal."""
        return hashlib.sha256("".join(map(weights_sha256, _files(weights))).encode()).hexdigest()

    @classmethod
    def load(cls, weights: Path | None, options: ModelOptions = NO_OPTIONS, device: str = "cpu") -> Self:
        """Read Beluga and the head.

        Raises
        ------
        ModelError
            No folder, or not one file of either in it; or a file is not what it should be, and what differs.
        """
        import torch

        from pdstore.models.expecto_network import Beluga, read_beluga

        description = cls.describe(weights, options, device)
        beluga, head = _files(weights)
        with torch.device("meta"):
            network = Beluga(cls.sizes)
        network.take(read_beluga(beluga, cls.sizes, "cpu"), read_head(head, cls.sizes))
        return cls(network, description, cls.digest(weights), options, device)

    def predict(self, onehot: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Outputs for windows.

        Parameters
        ----------
        onehot : ndarray of bool, shape (batch, positions, 4)
            Windows; A, C, G, T, and N all zeros.

        Returns
        -------
        ndarray of float32, shape (batch, 1, 1)
        """
        self._check_windows(onehot.shape[1:])
        import torch

        with torch.inference_mode():
            windows = torch.from_numpy(np.array(onehot, order="C")).to(self._device, torch.float32)
            outputs: NDArray[np.float32] = self._network.outputs(windows).cpu().numpy()
        return outputs

    def gradient(self, onehot: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """Gradient of the weighted output of a window: (positions, 4) bool, (1, 1) float64 → (positions, 4) float32."""
        self._check_windows(onehot.shape)
        from pdstore.models.autograd import weighted_gradient

        # One strand after the other, and some places at a time: what is kept for the way back is that of a few.
        total = np.zeros(onehot.shape)
        for part, of_part in self._network.parts():
            total[part] += weighted_gradient(of_part, onehot[part], weights, self._device)
        return total.astype(np.float32)

    def _check_windows(self, shape: tuple[int, ...]) -> None:
        expected = (self.description.window.length, 4)
        if shape != expected:
            raise ModelError(f"{self.name}: windows of shape {shape}, expected {expected}")


def read_head(path: Path, sizes: ExpectoSizes) -> Head:
    """A linear head as xgboost 0.7 writes it, and the decays of places folded into it.

    Features come sum by sum: of each decay, fastest last, upstream, and then so downstream. The TSS is in both. In
    published heads a feature that is always zero comes before those of each sum.

    Parameters
    ----------
    path : Path
        The file: numbers are little-endian.
    sizes : ExpectoSizes
        Of the model that it is for.

    Raises
    ------
    ModelError
        It is not such a file, or ends early, or is of another number of features.
    """
    sums = 2 * len(DECAYS)
    numbers = (sums * (sizes.features + 1), sums * sizes.features)
    # No more than the longest head, and a byte to tell that there is more.
    longest = _LEARNER.size + _LINEAR.size + 3 * _LENGTH.size + 2 * _LONGEST_NAME + 4 * (numbers[0] + 1)
    with path.open("rb") as file:
        data = file.read(longest + 1)
    try:
        bias, base_score, values = _parsed(data, numbers)
    except struct.error:
        raise ModelError(f"weights {path}: ends early, after {len(data):,} bytes") from None
    except ModelError as error:
        raise ModelError(f"weights {path}: {error}") from None
    # Of published heads the first weight of each sum meets nothing but zeros.
    of_sums = values.reshape(sums, -1)[:, -sizes.features :]
    distance = np.abs(sizes.shifts) / DECAY_UNIT
    decayed = np.exp(-np.outer(DECAYS, distance))
    of_places = np.concatenate([decayed * (sizes.shifts <= 0), decayed * (sizes.shifts >= 0)])
    return Head(base_score + bias, of_places.T @ of_sums)


def _parsed(data: bytes, numbers: tuple[int, ...]) -> tuple[float, float, NDArray[np.float64]]:
    """Bias, base score and weights of a head; raises `struct.error` where it ends early."""
    if data and not data.startswith(b"binf"[: len(data)]):
        raise ModelError(f"begins with {data[:4]!r}, but a head as xgboost 0.7 writes it with b'binf'")
    _, base_score, features, _ = _LEARNER.unpack_from(data)
    objective, offset = _name(data, _LEARNER.size)
    booster, offset = _name(data, offset)
    if booster != "gblinear":
        raise ModelError(f"the booster is {booster!r}, but a head's is 'gblinear'")
    if objective not in _OBJECTIVES:
        raise ModelError(f"the objective is {objective!r}, but a head's is {_OBJECTIVES[0]!r}")
    of_booster, groups = _LINEAR.unpack_from(data, offset)
    (held,) = _LENGTH.unpack_from(data, offset + _LINEAR.size)
    offset += _LINEAR.size + _LENGTH.size
    for number in (features, of_booster):
        if number not in numbers:
            raise ModelError(f"{number:,} features, but a head has {' or '.join(f'{each:,}' for each in numbers)}")
    if (of_booster, groups, held) != (features, 1, features + 1):
        raise ModelError(
            f"{held:,} weights of {of_booster:,} features in {groups} groups, but {features:,} features in 1 group "
            f"have {features + 1:,}"
        )
    more = len(data) - offset - 4 * held
    if more < 0:
        raise struct.error
    if more > 0:
        raise ModelError(f"goes on behind its {held:,} weights, where a head ends")
    values = np.frombuffer(data, "<f4", held, offset).astype(np.float64)
    if not (np.isfinite(values).all() and np.isfinite(base_score)):
        raise ModelError("not all of its weights are finite numbers")
    return float(values[-1]), base_score, values[:-1]


def _name(data: bytes, offset: int) -> tuple[str, int]:
    """A name in a head, and what offset is behind it."""
    (length,) = _LENGTH.unpack_from(data, offset)
    if length > _LONGEST_NAME:
        raise ModelError(f"a name of {length:,} letters, where a head has that of its objective and its booster")
    (letters,) = struct.unpack_from(f"{length}s", data, offset + _LENGTH.size)
    return letters.decode("ascii", errors="replace"), offset + _LENGTH.size + length


def _files(weights: Path | None) -> tuple[Path, Path]:
    """Beluga's file and the head's."""
    if weights is None:
        raise ModelError(
            "model expecto needs a folder with Beluga's state dict (.pth) and a head (.save): give it with --weights"
        )
    if weights.is_file():
        raise ModelError(f"weights {weights}: is a file, but expecto's are a folder with a .pth and a .save")
    if not weights.is_dir():
        raise ModelError(f"weights {weights}: no such folder")
    return _only(weights, ".pth", "Beluga's state dict"), _only(weights, ".save", "head")


def _only(folder: Path, ending: str, what: str) -> Path:
    found = sorted(path for path in folder.iterdir() if path.suffix == ending and path.is_file())
    if not found:
        raise ModelError(f"weights {folder}: no {ending} in this folder, where expecto's {what} is expected")
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:3]) + (", …" if len(found) > 3 else "")
        raise ModelError(
            f"weights {folder}: {len(found)} files {ending} ({names}), but expecto takes one {what}: make a folder "
            "with one of each, which may be links"
        )
    return found[0]


def _engine_of(options: ModelOptions) -> str:
    return options.engine or "incremental"
