"""Haplotypes of random VCFs against bcftools consensus, which also keeps the plain oracle honest.

Left out, since bcftools 1.16 reads them in another way or not at all: ``*`` (a letter to it), symbolic alleles other
than ``<DEL>`` and breakends (refused), ambiguous letters (put in as they are). The FASTA is upper case, since in a
soft-masked one bcftools writes the reference's base over an SNV that an insertion at the same position follows. Every
contig has a record: behind contigs without one, bcftools loses the only record of the last contig.
"""

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from builders import Record, bgzip, vcf_text, write_fasta
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_haplotypes import Case, cases, placed, plain_haplotype, spelt

from pdstore.haplotypes.window import WindowSpec

PEOPLE = ("HGq7001", "HGq7002")
CONTIGS = cases(20, 300, haplotypes=2 * len(PEOPLE), others=False).filter(lambda case: bool(case.records))
COHORTS = st.lists(CONTIGS, min_size=3, max_size=6)
"""Contigs of one VCF: one process of bcftools makes a haplotype of them all."""


def vcf_records(cohort: Sequence[Case]) -> Iterable[Record]:
    """The records of a cohort's contigs, which are called c0, c1, ..."""
    for contig, case in enumerate(cohort):
        for record in case.records:
            texts = ["." if call < 0 else str(call) for call in record.calls]
            calls = " ".join("|".join(pair) for pair in zip(texts[::2], texts[1::2], strict=True))
            yield Record(f"c{contig}", record.position, record.ref, ",".join(record.alts), calls)


def write_sources(folder: Path, cohort: Sequence[Case], bcftools: str) -> tuple[Path, Path]:
    """The FASTA and the indexed VCF of a cohort."""
    contigs = {f"c{contig}": case.reference for contig, case in enumerate(cohort)}
    fasta, vcf = write_fasta(folder / "reference.fa", contigs, width=1_000), folder / "cohort.vcf.gz"
    lengths: dict[str, int | None] = {name: len(bases) for name, bases in contigs.items()}
    vcf.write_bytes(bgzip(vcf_text(vcf_records(cohort), PEOPLE, lengths).encode()))
    subprocess.run([bcftools, "index", "-f", vcf], check=True)
    return fasta, vcf


def consensus(bcftools: str, fasta: Path, vcf: Path, haplotype: int) -> list[str]:
    """A haplotype of every contig."""
    which = ["-H", f"{haplotype % 2 + 1}pIu", "-s", PEOPLE[haplotype // 2]]
    command = [bcftools, "consensus", "-f", str(fasta), *which, str(vcf)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ["".join(part.split("\n")[1:]) for part in done.stdout.split(">")[1:]]


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(cohort=COHORTS, data=st.data())
def test_every_haplotype_equals_bcftools_consensus_around_any_tss(
    bcftools: str, tmp_path_factory: pytest.TempPathFactory, cohort: list[Case], data: st.DataObject
) -> None:
    fasta, vcf = write_sources(tmp_path_factory.mktemp("random"), cohort, bcftools)
    tss = [data.draw(st.integers(1, len(case.reference))) for case in cohort]
    # A window that holds all of any haplotype, with N beyond the contig's ends.
    around = WindowSpec(2_000, data.draw(st.integers(900, 1_100)), "gene", "all")
    forward = [placed(case, around, site, "+").spelt() for case, site in zip(cohort, tss, strict=True)]
    backward = [placed(case, around, site, "-").spelt() for case, site in zip(cohort, tss, strict=True)]
    for haplotype in range(2 * len(PEOPLE)):
        expected = consensus(bcftools, fasta, vcf, haplotype)
        assert [spelt(plain_haplotype(case, haplotype, "all")) for case in cohort] == expected
        assert [rows[haplotype].strip("N") for rows in forward] == expected
        reversed_back = [rows[haplotype].strip("N")[::-1].translate(str.maketrans("ACGT", "TGCA")) for rows in backward]
        assert reversed_back == expected
