"""Which bases around a TSS a model reads."""

from dataclasses import dataclass
from typing import Literal, get_args

from pdstore.errors import UsageError

Strand = Literal["forward", "gene"]
Variants = Literal["snv", "all"]


@dataclass(frozen=True)
class WindowSpec:
    """A window around a transcription start site.

    Parameters
    ----------
    length : int
        Bases in the window.
    tss_offset : int
        0-based offset of the TSS in the window's own reading direction.
    strand : {"forward", "gene"}
        "forward" reads the + strand whatever the gene's strand; "gene" reverse-complements the windows of genes on
        the - strand, so that every gene is read in its direction of transcription.
    variants : {"snv", "all"}
        Which variants are applied to the reference: SNVs only, the published protocol, or every allele that is spelt
        out. With all, the window grows outwards from the TSS: it keeps its length, and the TSS its offset.
    """

    length: int
    tss_offset: int
    strand: Strand
    variants: Variants = "snv"

    def __post_init__(self) -> None:
        if self.strand not in get_args(Strand):
            raise UsageError(f"window strand {self.strand!r} is neither 'forward' nor 'gene'")
        if self.variants not in get_args(Variants):
            raise UsageError(f"variants {self.variants!r} are neither 'snv' nor 'all'")
        for name in ("length", "tss_offset"):
            if type(getattr(self, name)) is not int:
                raise UsageError(f"window {name} {getattr(self, name)!r} is no whole number")
        if not 0 <= self.tss_offset < self.length:
            raise UsageError(f"TSS offset {self.tss_offset} is outside a window of {self.length} bp")

    @property
    def name(self) -> str:
        """Name of the window's group in a store, e.g. ``196608bp_tss98303_forward_snv``."""
        return f"{self.length}bp_tss{self.tss_offset}_{self.strand}_{self.variants}"

    def reverses(self, gene_strand: str) -> bool:
        """Whether the window of a gene on `gene_strand` ("+" or "-") is reverse-complemented."""
        return self.strand == "gene" and gene_strand == "-"

    def start(self, tss: int, gene_strand: str) -> int:
        """First base of a gene's window on its contig.

        Parameters
        ----------
        tss : int
            1-based position of the transcription start site.
        gene_strand : {"+", "-"}
            Strand of the gene.

        Returns
        -------
        int
            0-based position on the + strand; negative where the window begins before the contig.
        """
        before_tss = self.length - 1 - self.tss_offset if self.reverses(gene_strand) else self.tss_offset
        return tss - 1 - before_tss
