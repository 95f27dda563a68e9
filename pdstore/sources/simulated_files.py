"""Writes what a simulation draws as the files that a lab would have: VCF, FASTA, tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_FASTA_LINE = 60


@dataclass(frozen=True)
class VcfRecord:
    """One record of phased genotypes with one alternate allele.

    Attributes
    ----------
    contig : str
        Name of the contig.
    position : int
        1-based.
    ref, alt : bytes
        Alleles on the forward strand.
    calls : ndarray of bool, shape (people, 2)
        Which haplotypes carry the alternate allele.
    """

    contig: str
    position: int
    ref: bytes
    alt: bytes
    calls: NDArray[np.bool_]

    @property
    def variant(self) -> str:
        """``contig:position:ref:alt``."""
        return f"{self.contig}:{self.position}:{self.ref.decode()}:{self.alt.decode()}"


def write_fasta(path: Path, contigs: Mapping[str, bytes]) -> None:
    """Write contigs in lines of 60 bases."""
    with path.open("w") as file:
        for name, sequence in contigs.items():
            text = sequence.decode()
            file.write(f">{name}\n")
            file.writelines(f"{text[start : start + _FASTA_LINE]}\n" for start in range(0, len(text), _FASTA_LINE))


def write_vcf(
    path: Path, contigs: Mapping[str, bytes], sample_names: Sequence[str], records: Iterable[VcfRecord]
) -> None:
    """Write records, sorted by contig and position, as VCF 4.2."""
    order = {name: rank for rank, name in enumerate(contigs)}
    with path.open("w") as file:
        file.write("##fileformat=VCFv4.2\n##source=pdstore simulated\n")
        file.writelines(f"##contig=<ID={name},length={len(sequence)}>\n" for name, sequence in contigs.items())
        file.write('##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n')
        fixed = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT")
        file.write("\t".join([*fixed, *sample_names]) + "\n")
        for record in sorted(records, key=lambda record: (order[record.contig], record.position)):
            site = (record.contig, str(record.position), ".", record.ref.decode(), record.alt.decode(), ".", "PASS")
            calls = [f"{first:d}|{second:d}" for first, second in record.calls]
            file.write("\t".join([*site, ".", "GT", *calls]) + "\n")


def write_tsv(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table; numbers with the digits that give them back."""
    with path.open("w") as file:
        file.write("\t".join(header) + "\n")
        file.writelines("\t".join(str(value) for value in row) + "\n" for row in rows)
