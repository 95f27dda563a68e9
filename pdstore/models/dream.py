"""Networks of the DREAM challenge, made of parts that combine freely, as sequence models; trainable here.

References
----------
Rafi et al. 2024, Nature Biotechnology, doi:10.1038/s41587-024-02414-w.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from pdstore.errors import ModelError
from pdstore.haplotypes.window import WindowSpec
from pdstore.models.protocol import About
from pdstore.models.trained import TrainedModel, check_window

if TYPE_CHECKING:
    from pdstore.models.dream_network import DreamNetwork

First = Literal["wide", "narrow"]
Core = Literal["convolutional", "recurrent", "attentive"]
Final = Literal["classes", "value"]

CLASSES = 18
"""Classes of the yeast's expression: 0 to 17."""
_MOST_POSITIONS = 25_000
"""Of all windows at once, in training: each takes about 80 kB in the convolutional core, with both strands."""


@dataclass(frozen=True)
class DreamConfig:
    """Which parts a network is made of, and its window.

    Attributes
    ----------
    window_length : int
        Length of the window in bp.
    tss_offset : int
        0-based offset of the TSS in the window, in the window's reading direction.
    strand : {"forward", "gene"}
        Whether windows are read on the forward strand or on the gene's.
    first : {"wide", "narrow"}
        First layers: convolutions of 9 and 15 bp with ReLU, or one of 7 bp with a norm and SiLU.
    core : {"convolutional", "recurrent", "attentive"}
        Inverted residual blocks, a bidirectional LSTM, or conformer layers.
    final : {"classes", "value"}
        Final layers: logits of expression classes 0 to 17, whose mean is predicted; or one number.
    channels, features : int
        What the first layers hand on, and the core.
    """

    model: ClassVar[str] = "dream"
    window_length: int
    tss_offset: int
    strand: Literal["forward", "gene"] = "gene"
    first: First = "wide"
    core: Core = "recurrent"
    final: Final = "value"
    channels: int = 320
    features: int = 320

    def __post_init__(self) -> None:
        check_window(self, self.window_length, self.tss_offset, self.strand)
        for name, kind in (("first", First), ("core", Core), ("final", Final)):
            if getattr(self, name) not in get_args(kind):
                raise ModelError(
                    f"dream: {name} is {getattr(self, name)!r}, expected one of {', '.join(get_args(kind))}"
                )
        for name in ("channels", "features"):
            if not (type(getattr(self, name)) is int and 4 <= getattr(self, name) <= 10_000):
                raise ModelError(f"dream: {name} is {getattr(self, name)!r}, expected a whole number, 4 to 10,000")
        if self.first == "wide" and self.channels % 2:
            raise ModelError(f"dream: {self.channels} channels, expected an even number of wide first layers")
        if self.core == "recurrent" and self.features % 2:
            raise ModelError(f"dream: {self.features} features, expected an even number of a recurrent core")
        if self.core == "attentive" and (self.channels != self.features or self.features % 4):
            raise ModelError(
                f"dream: {self.channels} channels and {self.features} features, expected the same number, a multiple "
                "of 4, of an attentive core"
            )

    @property
    def window(self) -> WindowSpec:
        """The window to predict from."""
        return WindowSpec(self.window_length, self.tss_offset, self.strand)

    @property
    def parts(self) -> tuple[str, str, int, int]:
        """What tells the named networks apart: first, core, channels and features."""
        return self.first, self.core, self.channels, self.features

    @property
    def windows_at_once(self) -> int:
        """As many as fit in memory in training; batch norms see that many."""
        return max(1, _MOST_POSITIONS // self.window_length)

    def network(self) -> "DreamNetwork":
        """The untrained network, from torch's global generator."""
        from pdstore.models.dream_network import DreamNetwork

        return DreamNetwork(self)


NAMED: dict[str, tuple[First, Core, int, int]] = {
    "dream-cnn": ("wide", "convolutional", 320, 64),
    "dream-rnn": ("wide", "recurrent", 320, 320),
    "dream-attn": ("narrow", "attentive", 256, 256),
}
"""The published networks: first, core, channels and features."""


class Dream(TrainedModel[DreamConfig]):
    """Any network of the parts: made by `Dream.load`, or by a `Training`.

    A prediction is the mean over the window and its reverse complement, each told which it is.
    """

    name = "dream"
    about: ClassVar[About] = About(
        reads="a window that its weights name, both strands",
        gives="expression, in the unit that it was trained on",
        weights="trained on a store, or on sequences and their expression",
        licence="pdstore: Apache 2.0",
        reference="Rafi et al. 2024, Nature Biotechnology, doi:10.1038/s41587-024-02414-w",
    )
    config_class = DreamConfig
    largest_batch = 16

    @classmethod
    def checked(cls, path: Path, config: DreamConfig) -> DreamConfig:
        """The config of a file; raises `ModelError` where its parts are another network's."""
        expected = NAMED.get(cls.name)
        if expected is not None and config.parts != expected:
            raise ModelError(
                f"{path}: a network of {_shown(*config.parts)}, but {cls.name} is one of {_shown(*expected)}; "
                "--model dream takes any"
            )
        return config


class DreamCnn(Dream):
    """DREAM-CNN."""

    name = "dream-cnn"


class DreamRnn(Dream):
    """DREAM-RNN."""

    name = "dream-rnn"


class DreamAttn(Dream):
    """DREAM-Attn."""

    name = "dream-attn"


def _shown(first: str, core: str, channels: int, features: int) -> str:
    return f"{first} first layers ({channels} channels) and a {core} core ({features} features)"
