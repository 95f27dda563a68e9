"""Enformer (Avsec et al. 2021): the window that it reads. This version of pdstore cannot run it yet."""

from pathlib import Path
from typing import Never

from pdstore.errors import ModelError
from pdstore.haplotypes.window import WindowSpec

WINDOW = WindowSpec(length=196_608, tss_offset=98_303, strand="forward")


class Enformer:
    """What of a `SequenceModel` filling its windows takes."""

    @classmethod
    def window_of(cls, weights: Path | None) -> WindowSpec:
        """196,608 bp: TSS-98,303 to TSS+98,304 on the forward strand, whatever the gene's."""
        return WINDOW

    @classmethod
    def load(cls, weights: Path | None, device: str = "cpu") -> Never:
        """Raises `ModelError`."""
        raise ModelError(
            "this version of pdstore cannot run Enformer yet; it fills its windows, and their eQTL slopes: "
            "pdstore fill windows eqtl --model enformer"
        )
