"""The simple CNN of Sasse et al. 2023: one convolution over a window, one number of expression; trainable here.

Trained on the reference windows of genes and their mean expression in a population, as in the article, it knows of
variants only what the differences between genes teach it. Its window and its sizes are parameters, stored with the
weights in one safetensors file.

References
----------
Sasse et al. 2023, Nature Genetics 55:2060.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pdstore.errors import ModelError
from pdstore.haplotypes.window import WindowSpec
from pdstore.models.protocol import About
from pdstore.models.trained import TrainedModel, check_window

if TYPE_CHECKING:
    from pdstore.models.cnn_network import CnnNetwork

_MOST_BASES = 4_000_000
"""Of the windows that are in the network at once: 64 MB, and little more with gradients (see `pooled_convolution`)."""


@dataclass(frozen=True)
class CnnConfig:
    """The CNN's window and sizes; the defaults are the published ones.

    Attributes
    ----------
    window_length : int
        Length of the window in bp.
    tss_offset : int
        0-based offset of the TSS in the window, in the window's reading direction.
    strand : {"forward", "gene"}
        Whether windows are read on the forward strand or on the gene's.
    kernels, kernel_width : int
        Number of convolution kernels, and their width in bp.
    pool : int
        Positions that are averaged into one segment; what is left after the last whole segment is not read.
    hidden : int
        Units of the hidden layer.
    """

    model: ClassVar[str] = "cnn"
    window_length: int = 40001
    tss_offset: int = 20000
    strand: Literal["forward", "gene"] = "forward"
    kernels: int = 900
    kernel_width: int = 10
    pool: int = 900
    hidden: int = 200

    def __post_init__(self) -> None:
        for name, size in asdict(self).items():
            if name not in ("strand", "tss_offset") and not (type(size) is int and size > 0):
                raise ModelError(f"cnn: {name} is {size!r}, expected a whole number above 0")
        check_window(self, self.window_length, self.tss_offset, self.strand)
        if self.segments < 1:
            raise ModelError(
                f"cnn: a window of {self.window_length} bp is too short for kernels of width {self.kernel_width} "
                f"and a pool of {self.pool}"
            )

    @property
    def segments(self) -> int:
        """Number of segments after pooling; 44 at the published sizes."""
        return (self.window_length - self.kernel_width + 1) // self.pool

    @property
    def window(self) -> WindowSpec:
        """The window to predict from."""
        return WindowSpec(self.window_length, self.tss_offset, self.strand)

    @property
    def windows_at_once(self) -> int:
        """As many as fit in memory in training."""
        return max(1, _MOST_BASES // self.window_length)

    def network(self) -> "CnnNetwork":
        """The untrained network, from torch's global generator."""
        from pdstore.models.cnn_network import CnnNetwork

        return CnnNetwork(self)


class Cnn(TrainedModel[CnnConfig]):
    """A trained CNN: made by `Cnn.load`, or by a `Training`."""

    name = "cnn"
    about: ClassVar[About] = About(
        reads="a window that its weights name; 40,001 bp as published",
        gives="expression, in the unit that it was trained on",
        weights="trained on a store",
        licence="pdstore: Apache 2.0",
        reference="Sasse et al. 2023, Nature Genetics 55:2060",
    )
    config_class = CnnConfig
