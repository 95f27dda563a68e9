"""Every kind of bad input to `init`: one line that says what, and nothing left behind."""

import gzip
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from builders import (
    CONTIGS,
    GENES,
    PEOPLE,
    RECORDS,
    UNPHASED,
    Record,
    bgzip,
    expression_table,
    refusal,
    vcf_text,
    write_cohort,
    write_fasta,
    write_genes,
    write_gtf,
    write_table,
    write_text,
    write_vcf,
)

TABLE = expression_table()


def cell(row: int, column: int, text: str) -> list[list[str]]:
    table = [list(line) for line in TABLE]
    table[row][column] = text
    return table


def vcf(*records: Record, name: str = "bad.vcf", **options: object) -> Callable[[Path], dict[str, object]]:
    return lambda folder: {"vcf": [write_vcf(folder / name, records or RECORDS, **options)]}


def vcf_bytes(name: str, data: bytes) -> Callable[[Path], dict[str, object]]:
    def change(folder: Path) -> dict[str, object]:
        (folder / name).write_bytes(data)
        return {"vcf": [folder / name]}

    return change


def genes(*rows: tuple[object, ...]) -> Callable[[Path], dict[str, object]]:
    return lambda folder: {"genes": write_genes(folder / "bad.tsv", rows)}


def expression(rows: list[list[str]]) -> Callable[[Path], dict[str, object]]:
    return lambda folder: {"expression": write_table(folder / "bad_expression.tsv", rows)}


def fasta(contigs: dict[str, str]) -> Callable[[Path], dict[str, object]]:
    return lambda folder: {"fasta": write_fasta(folder / "bad.fa", contigs)}


REF38 = ["##reference=GRCh38.fa"]
ALPHA, *OTHERS = GENES
GTF_LINE = ("1", "gene", 120, 200, "+", 'gene_id "ENSG00000000011";')
WITHOUT_GT = [record._replace(calls=" ".join(["0.5"] * 6)) for record in RECORDS]

BAD_INPUT = {
    "VCF without GT": (vcf(*WITHOUT_GT, gt_declared=False), "no GT in its header"),
    "VCF without records": (lambda f: {"vcf": [write_vcf(f / "bad.vcf", [])]}, "the VCF has no record"),
    "unphased heterozygotes": (vcf(*UNPHASED), "4 heterozygous calls are not phased, the first at 1:50.*--unphased"),
    "truncated bgzip": (vcf_bytes("bad.vcf.gz", bgzip(vcf_text().encode())[:-28]), r"bad\.vcf\.gz.*truncated"),
    "truncated gzip": (vcf_bytes("bad.vcf.gz", gzip.compress(vcf_text().encode())[:-60]), "truncated"),
    "REF that differs": (vcf(*RECORDS[:1], RECORDS[1]._replace(ref="G")), "REF at 1:50 is G in the VCF but C in the"),
    "allele that the record lacks": (
        vcf(RECORDS[0]._replace(calls=" ".join(["0|0"] * 5 + ["0|3"]))),
        "the record at 1:20 has 2 alleles, but a genotype names allele 3",
    ),
    "REF beyond the contig": (vcf(RECORDS[0]._replace(position=401)), "REF at 1:401 is A in the VCF but no base"),
    "FASTA without a contig": (fasta({"1": CONTIGS["1"]}), r"bad\.fa has no contig '2', on which the VCF has records"),
    "FASTA without any": (fasta({"7": "ACGT"}), "none of the contigs of the genes"),
    "contig under two names": (
        vcf(*RECORDS, RECORDS[0]._replace(contig="chr1"), contigs={"1": 400, "2": 300, "chr1": 400}),
        "one contig under two names",
    ),
    "nobody in common": (
        expression([["", *"abcdef"], *TABLE[1:]]),
        "none of its 6 names is one of the 6 people.*--sample-map",
    ),
    "duplicate gene": (genes(*GENES, ALPHA), "line 6.*ENSG00000000011.*line 2"),
    "duplicate gene in expression": (expression([*TABLE, TABLE[2]]), "line 6 and line 3"),
    "duplicate sample in VCF": (vcf(people=[*PEOPLE[:5], PEOPLE[0]]), "two samples have the same name"),
    "duplicate sample in expression": (expression(cell(0, 6, PEOPLE[0])), "column 7 and column 2 are the same"),
    "records out of order": (vcf(RECORDS[1], RECORDS[0]), "out of order: record 2, 1:20, comes after 1:50"),
    "records out of order, one contig": (
        vcf(RECORDS[1], RECORDS[0], contigs={"1": 400}),
        "out of order: record 2, 1:20",
    ),
    "contig that comes back": (vcf(RECORDS[0], RECORDS[8], RECORDS[1]), "out of order: 1:50"),
    "build against VCF": (
        lambda f: {**vcf(header=REF38)(f), "genome_build": "hg19"},
        "--genome-build says GRCh37.*says GRCh38",
    ),
    "build against VCF lengths": (
        lambda f: {**vcf(contigs={"1": 249250621, "2": 300})(f), "genome_build": "GRCh38"},
        "--genome-build says GRCh38.*contig 1 is 249250621 bp.*says GRCh37",
    ),
    "build of GTF against VCF": (
        lambda f: {**vcf(header=REF38)(f), "genes": write_gtf(f / "x.gtf", [GTF_LINE], ["#!genome-build GRCh37.p13"])},
        "says GRCh38.*x.gtf.*says GRCh37",
    ),
    "text where a number should be": (expression(cell(2, 3, "high")), r"bad_expression\.tsv, line 3, column 4: 'high'"),
    "TSS beyond its contig": (
        genes(ALPHA._replace(tss=401), *OTHERS),
        "ENSG00000000011.*TSS 401 lies beyond contig 1, which has 400 bp",
    ),
    "no gene on a contig with variants": (
        lambda f: {**vcf(*RECORDS[7:])(f), **genes(*GENES[:2])(f)},
        "no gene lies on a contig with variants: genes are on 1, variants on 2",
    ),
    "sample map of other people": (
        lambda f: {"sample_map": write_text(f / "map.tsv", "a\tb\n")},
        "none of its first column is a sample of the VCF",
    ),
    "sample map onto one name": (
        lambda f: {"sample_map": write_text(f / "map.tsv", f"{PEOPLE[0]}\t{PEOPLE[1]}\n")},
        "gives two people of the VCF the same name",
    ),
    "absent file": (lambda f: {"expression": f / "absent.tsv"}, "absent.tsv: no such file"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_in_a_line_and_leaves_nothing(tmp_path: Path, case: str):
    change, words = BAD_INPUT[case]
    sources = write_cohort(tmp_path)
    message = refusal(replace(sources, **change(tmp_path)), tmp_path)
    assert re.search(words, message), message


def test_a_fasta_of_another_build_is_refused_by_its_length(tmp_path: Path):
    """The length of one chromosome is enough; its bases do not matter."""
    contigs = {**CONTIGS, "chrY": "N" * 57227415}
    sources = write_cohort(
        tmp_path, fasta=write_fasta(tmp_path / "big.fa", contigs, width=10**6), genome_build="GRCh37"
    )
    message = refusal(sources, tmp_path)
    assert "--genome-build says GRCh37, big.fa (contig chrY is 57227415 bp) says GRCh38" in message
