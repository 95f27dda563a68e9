"""Genes and their transcription start sites: from a TSV, or from a GTF."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pdstore.errors import InputError
from pdstore.sources.genome_build import BuildClaim, build_named_in
from pdstore.sources.text import existing_file, read_lines

_MISSING = ("", ".", "NA", "NaN", "nan")


@dataclass(frozen=True)
class Gene:
    """A gene.

    Attributes
    ----------
    gene_id : str
        Identifier, without version.
    name : str
        Symbol.
    contig : str
        Contig, as the source names it.
    tss : int
        Transcription start site, 1-based.
    strand : str
        "+" or "-".
    """

    gene_id: str
    name: str
    contig: str
    tss: int
    strand: str


@dataclass(frozen=True)
class GeneTable:
    """The genes of a file, what was left out (reason → genes), and the builds that the file names."""

    genes: tuple[Gene, ...]
    left_out: dict[str, int]
    builds: tuple[BuildClaim, ...]


def without_version(gene_id: str) -> str:
    """An Ensembl id without its version: ``ENSG00000134202.11`` → ``ENSG00000134202``; other names as they are."""
    return re.sub(r"^(ENS[A-Z]*G\d+)\.\d+", r"\1", gene_id)


def read_genes(path: Path) -> GeneTable:
    """Read genes.

    Parameters
    ----------
    path : Path
        A TSV with a header that names ``gene_id``, ``contig``, ``tss`` (1-based), ``strand`` and, if it likes,
        ``gene_name``; or a GTF, where a gene's TSS is the most 5' start of the gene and of all its transcripts.
        Gzipped or not.

    Raises
    ------
    InputError
        A column is missing, a value is none, or a gene stands there twice: with file and line.
    """
    existing_file(path, "genes")
    name = path.name.removesuffix(".gz")
    return _read_gtf(path) if name.endswith((".gtf", ".gff2")) else _read_tsv(path)


def _read_tsv(path: Path) -> GeneTable:
    lines = read_lines(path)
    _, header = next(lines, (1, ""))
    columns = header.lstrip("#").split("\t")
    for column in ("gene_id", "contig", "tss", "strand"):
        if column not in columns:
            raise InputError(f"genes {path}: no column {column!r} in line 1; it needs gene_id, contig, tss and strand")
    genes: dict[str, Gene] = {}
    line_of: dict[str, int] = {}
    without_tss = 0
    for number, line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != len(columns):
            raise InputError(f"genes {path}, line {number}: {len(fields)} columns, but the header has {len(columns)}")
        row = dict(zip(columns, fields, strict=True))
        if row["tss"].strip() in _MISSING:
            without_tss += 1
            continue
        gene = _gene(path, number, row["gene_id"], row.get("gene_name", ""), row["contig"], row["tss"], row["strand"])
        if gene.gene_id in genes:
            raise InputError(
                f"genes {path}, line {number}: gene {gene.gene_id} stands in line {line_of[gene.gene_id]} already"
            )
        genes[gene.gene_id], line_of[gene.gene_id] = gene, number
    if not genes:
        raise InputError(f"genes {path}: no gene with a TSS in it")
    return GeneTable(tuple(genes.values()), {"genes without a TSS": without_tss} if without_tss else {}, ())


def _gene(path: Path, line: int, gene_id: str, name: str, contig: str, tss: str, strand: str) -> Gene:
    where = f"genes {path}, line {line}"
    if not gene_id:
        raise InputError(f"{where}: empty gene_id")
    if strand not in ("+", "-"):
        raise InputError(f"{where}: strand {strand!r} of {gene_id} is neither + nor -")
    if not (tss.isascii() and tss.isdigit()) or int(tss) < 1:
        raise InputError(f"{where}: TSS {tss!r} of {gene_id} is not a 1-based position")
    stable_id = without_version(gene_id)
    return Gene(stable_id, name or stable_id, contig, int(tss), strand)


def _read_gtf(path: Path) -> GeneTable:
    genes: dict[str, Gene] = {}
    builds: list[BuildClaim] = []
    contigs_of: dict[str, set[str]] = {}
    for number, fields in _gtf_records(path, builds):
        gene_id = _gtf_attribute(fields[8], "gene_id")
        if gene_id is None:
            raise InputError(f"genes {path}, line {number}: no gene_id")
        five_prime = fields[3] if fields[6] == "+" else fields[4]
        name = _gtf_attribute(fields[8], "gene_name") or ""
        gene = _gene(path, number, gene_id, name, fields[0], five_prime, fields[6])
        known = genes.get(gene.gene_id)
        contigs_of.setdefault(gene.gene_id, set()).add(gene.contig)
        further_5_prime = known is None or (gene.tss < known.tss if gene.strand == "+" else gene.tss > known.tss)
        if further_5_prime:
            genes[gene.gene_id] = gene
    if not genes:
        raise InputError(f"genes {path}: no gene or transcript line in it")
    # Genes of the pseudoautosomal regions stand on X and on Y under one id in some releases: no one TSS.
    twice = {gene_id for gene_id, contigs in contigs_of.items() if len(contigs) > 1}
    kept = tuple(gene for gene_id, gene in genes.items() if gene_id not in twice)
    return GeneTable(kept, {"genes on several contigs": len(twice)} if twice else {}, tuple(builds))


def _gtf_records(path: Path, builds: list[BuildClaim]) -> Iterator[tuple[int, list[str]]]:
    """Lines of genes and transcripts; what the header says of the build goes to `builds`."""
    for number, line in read_lines(path):
        if line.startswith("#"):
            build = build_named_in(line)
            if build is not None and not builds:
                builds.append(BuildClaim(build, f"{path.name} (its header)"))
            continue
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) != 9:
            raise InputError(f"genes {path}, line {number}: {len(fields)} columns, but a GTF has 9")
        if fields[2] in ("gene", "transcript"):
            yield number, fields


def _gtf_attribute(attributes: str, name: str) -> str | None:
    found = re.search(rf'(?:^|;)\s*{name} "([^"]*)"', attributes)
    return found.group(1) if found else None
