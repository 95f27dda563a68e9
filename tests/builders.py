"""Builders of tiny source files: two contigs, six people, ten records, four genes.

Every function writes one real file and takes what a test changes as arguments, so that a test of bad input says one
thing: what is wrong. Nothing here imports pdstore's readers: what is written must not depend on what is read.
"""

import gzip
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from pdstore.errors import PdstoreError
from pdstore.init import Sources, init_store

PEOPLE = ("HGq7001", "HGq7002", "HGq7003", "HGq7004", "HGq7005", "HGq7006")
"""Names that occur in no path and no message by chance: `refusal` looks for them in messages."""


class Record(NamedTuple):
    """A line of a VCF; `calls` has a GT for each person."""

    contig: str
    position: int
    ref: str
    alt: str
    calls: str

    def line(self, format_field: str = "GT") -> str:
        fields = (self.contig, self.position, ".", self.ref, self.alt, ".", "PASS", ".", format_field)
        return "\t".join([*map(str, fields), *self.calls.split()])


class GeneRow(NamedTuple):
    """A gene: `tss` is 1-based."""

    gene_id: str
    name: str
    contig: str
    tss: int
    strand: str


def _contig(seed: int, length: int, placed: Mapping[int, str]) -> str:
    """Random bases, with some placed by hand at 1-based positions."""
    bases = list(np.random.default_rng(seed).choice(list("ACGT"), length))
    for position, text in placed.items():
        bases[position - 1 : position - 1 + len(text)] = text
    return "".join(bases)


# Around an indel stand other bases than those it adds or takes, so that it is left-aligned as written.
CONTIGS = {
    "1": _contig(1, 400, {20: "A", 50: "C", 80: "ATG", 100: "TGCA", 150: "GACT", 200: "T", 300: "N", 350: "GC"}),
    "2": _contig(2, 300, {10: "G", 60: "A", 120: "C"}),
}

RECORDS = (
    Record("1", 20, "A", "G", "0|1 1|0 0|0 1|1 0|0 0|1"),
    Record("1", 50, "C", "T,A", "0|1 2|0 1|2 0|0 0|0 2|2"),
    Record("1", 80, "ATG", "ACG", "0|0 0|1 0|0 0|0 1|0 0|0"),  # an SNV, when trimmed
    Record("1", 100, "TGC", "T", "1|0 0|0 0|0 0|1 0|0 0|0"),  # a deletion
    Record("1", 150, "G", "GTT", "0|0 0|0 1|1 0|0 0|0 0|0"),  # an insertion
    Record("1", 200, "T", "<DEL>", "0|0 0|0 0|0 0|0 0|0 1|0"),
    Record("1", 350, "GC", "AT,GG", "0|1 0|0 0|2 0|0 2|2 0|0"),  # an MNV, and an SNV when trimmed
    Record("2", 10, "G", "C", "1|1 1|1 1|1 1|1 1|1 1|1"),
    Record("2", 60, "A", "T", "0|0 0|0 0|0 0|0 0|0 0|0"),
    Record("2", 120, "C", "A", ".|. 0|1 1|. 0|0 0|1 0|0"),
)

GENES = (
    GeneRow("ENSG00000000011", "ALPHA", "1", 120, "+"),
    GeneRow("ENSG00000000012", "BETA", "1", 260, "-"),
    GeneRow("ENSG00000000021", "GAMMA", "2", 90, "+"),
    GeneRow("ENSG00000000022", "DELTA", "2", 150, "-"),
)


UNPHASED = [
    RECORDS[0],
    RECORDS[1]._replace(calls="0/1 2|0 1/2 0/0 ./2 2/2"),  # three: a missing allele is read as reference
    RECORDS[7]._replace(calls="0/1 1|1 1|1 1|1 1|1 1|1"),
]


def expression_of(gene: int, person: int) -> float:
    """Measured expression: another number for each gene and person, exact in float32 and in three decimals."""
    return 10.0 * (gene + 1) + 0.125 * person


def write_fasta(path: Path, contigs: Mapping[str, str] = CONTIGS, width: int = 60) -> Path:
    """FASTA; gzipped where the name ends in .gz, bgzipped where it ends in .bgz."""
    lines = []
    for name, bases in contigs.items():
        lines += [f">{name} a description", *(bases[i : i + width] for i in range(0, len(bases), width))]
    return write_text(path, "\n".join(lines) + "\n")


def vcf_text(
    records: Iterable[Record] = RECORDS,
    people: Sequence[str] = PEOPLE,
    contigs: Mapping[str, int | None] | None = None,
    header: Iterable[str] = (),
    gt_declared: bool = True,
) -> str:
    """Text of a VCF; `contigs` are those of its header, name → length."""
    contigs = {name: len(bases) for name, bases in CONTIGS.items()} if contigs is None else contigs
    lines = ["##fileformat=VCFv4.2", '##FILTER=<ID=PASS,Description="All filters passed">', *header]
    lines += [f"##contig=<ID={name}" + (f",length={length}>" if length else ">") for name, length in contigs.items()]
    lines += ['##ALT=<ID=DEL,Description="Deletion">', '##FORMAT=<ID=DS,Number=1,Type=Float,Description="Dosage">']
    if gt_declared:
        lines.append('##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">')
    columns = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT")
    lines.append("\t".join([*columns, *people]))
    lines += [record.line("GT" if gt_declared else "DS") for record in records]
    return "\n".join(lines) + "\n"


def write_vcf(path: Path, records: Iterable[Record] = RECORDS, **options: Any) -> Path:
    """VCF: plain, bgzipped (.vcf.gz) or BCF (.bcf), by the name; without an index."""
    text = vcf_text(records, **options)
    if path.suffix != ".bcf":
        return write_text(path, text, compress=bgzip)
    import cyvcf2

    plain = write_text(path.with_suffix(".for_bcf.vcf"), text)
    reader = cyvcf2.VCF(str(plain))
    writer = cyvcf2.Writer(str(path), reader, mode="wb")
    for record in reader:
        writer.write_record(record)
    writer.close()
    plain.unlink()
    return path


def write_genes(path: Path, genes: Iterable[Sequence[object]] = GENES) -> Path:
    """Genes as a TSV."""
    rows = [("gene_id", "gene_name", "contig", "tss", "strand"), *genes]
    return write_text(path, "".join("\t".join(map(str, row)) + "\n" for row in rows))


def write_gtf(path: Path, lines: Iterable[tuple[str, str, int, int, str, str]], header: Sequence[str] = ()) -> Path:
    """GTF; a line is contig, feature, start, end, strand, attributes."""
    rows = [
        f"{contig}\ttest\t{feature}\t{start}\t{end}\t.\t{strand}\t.\t{attributes}"
        for contig, feature, start, end, strand, attributes in lines
    ]
    return write_text(path, "\n".join([*header, *rows]) + "\n")


def expression_table(genes: Sequence[GeneRow] = GENES, people: Sequence[str] = PEOPLE) -> list[list[str]]:
    """Expression as rows of text: a header and a row a gene, by id."""
    rows = [[gene.gene_id, *(f"{expression_of(g, p):.3f}" for p in range(len(people)))] for g, gene in enumerate(genes)]
    return [["gene_id", *people], *rows]


def write_table(path: Path, rows: Iterable[Sequence[str]], separator: str = "\t") -> Path:
    """Rows of text as a table; gzipped where the name ends in .gz."""
    return write_text(path, "".join(separator.join(row) + "\n" for row in rows))


def transposed(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The other orientation."""
    return [list(column) for column in zip(*rows, strict=True)]


def write_cohort(folder: Path, **changes: Any) -> Sources:
    """All sources of a store in `folder`, which is made; `changes` are fields of `Sources`."""
    folder.mkdir(exist_ok=True)
    sources = Sources(
        vcf=[write_vcf(folder / "cohort.vcf.gz")],
        fasta=write_fasta(folder / "reference.fa"),
        genes=write_genes(folder / "genes.tsv"),
        expression=write_table(folder / "expression.tsv", expression_table()),
    )
    return replace(sources, **changes)


def refusal(sources: Sources, folder: Path) -> str:
    """Message of the error in which an init ends, which leaves no file and names no person."""
    out = folder / "out"
    out.mkdir()
    before = listing(folder)
    with pytest.raises(PdstoreError) as caught:
        init_store(out / "cohort.zarr", sources)
    message = str(caught.value)
    assert listing(folder) == before, "something is left behind"
    assert "\n" not in message
    assert caught.value.exit_status == 2
    assert not [name for name in PEOPLE if name in message], "a person's name is in an error"
    return message


def listing(folder: Path) -> list[str]:
    """Everything below a folder, hidden or not."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def write_text(path: Path, text: str, compress: Callable[[bytes], bytes] = gzip.compress) -> Path:
    """A text file, compressed where its name says so."""
    data = text.encode()
    if path.suffix == ".bgz":
        data = bgzip(data)
    elif path.suffix == ".gz":
        data = compress(data)
    path.write_bytes(data)
    return path


def bgzip(data: bytes, block_size: int = 4096) -> bytes:
    """BGZF (SAM specification, section 4.1): blocks of gzip that know their size, and an empty one at the end."""
    blocks = [data[start : start + block_size] for start in range(0, len(data), block_size)]
    return b"".join(map(_bgzf_block, [*blocks, b""]))


def _bgzf_block(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    packed = deflate.compress(data) + deflate.flush()
    extra = struct.pack("<2sHH", b"BC", 2, len(packed) + 25)
    head = struct.pack("<4BIBBH", 31, 139, 8, 4, 0, 0, 255, len(extra)) + extra
    return head + packed + struct.pack("<II", zlib.crc32(data), len(data))
