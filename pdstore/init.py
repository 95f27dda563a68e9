"""Sources → a new store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pdstore.analysis.residuals import MIN_FREEDOM, expression_pcs
from pdstore.counts import Counts
from pdstore.errors import InputError, UsageError
from pdstore.models.registry import windows_without_weights
from pdstore.sources.contigs import match_contigs
from pdstore.sources.covariates import Covariates, read_covariates
from pdstore.sources.expression import Expression, read_every_gene, read_expression, read_sample_map
from pdstore.sources.fasta import Fasta
from pdstore.sources.genes import Gene, GeneTable, read_genes
from pdstore.sources.genome_build import agreed_build, builds_of_lengths
from pdstore.sources.text import file_sha256
from pdstore.sources.variants import APPLIED_KINDS, KINDS, SNV
from pdstore.sources.vcf import convert_to_vcf_zarr, read_vcf_headers
from pdstore.stages.expression import Adjustment, write_expression
from pdstore.stages.genes import write_genes
from pdstore.stages.genotypes import CopiedGenotypes, Unphased, copy_genotypes, variants_a_chunk, write_variants
from pdstore.stages.reference import write_reference
from pdstore.stages.windows import windows_outside_contig
from pdstore.store import create_store, mark_complete, new_store


@dataclass(frozen=True)
class Sources:
    """The files that a store is made of.

    Attributes
    ----------
    vcf : sequence of Path
        Phased genotypes: one file, or one a chromosome.
    fasta, genes, expression : Path
        Reference, genes with their TSS, measured expression.
    sample_map : Path or None
        Names of people in the genotypes and in the expression, where they differ.
    genome_build : str or None
        Name of the genome build.
    unphased : {"error", "reference"}
        What becomes of heterozygotes without a phase.
    covariates : Path or None
        Covariates of the people.
    residualise : sequence of str
        Names of the covariates that are taken out of what statistics see; "all" for all.
    expression_pcs : int
        How many principal components of the expression are, too: over all genes of its file that are measured in
        everybody.
    """

    vcf: Sequence[Path]
    fasta: Path
    genes: Path
    expression: Path
    sample_map: Path | None = None
    genome_build: str | None = None
    unphased: Unphased = "error"
    covariates: Path | None = None
    residualise: Sequence[str] = ()
    expression_pcs: int = 0


@dataclass(frozen=True)
class _Cohort:
    """What the small sources say, before any genotype is read."""

    genes: tuple[Gene, ...]
    expression: Expression
    sample_names: tuple[str, ...]
    adjustment: Adjustment
    genome_build: str | None


def init_store(target: Path, sources: Sources, progress: Callable[[str], None] = lambda step: None) -> Counts:
    """Make a store.

    It is built in a hidden folder beside `target` and renamed when it is whole: an interrupted `init_store` leaves
    nothing that looks like a store.

    Parameters
    ----------
    target : Path
        The new store.
    sources : Sources
        What it is made of.
    progress : callable
        Told the step that begins.

    Returns
    -------
    Counts

    Raises
    ------
    InputError
        A source cannot be used; nothing is left behind.
    StoreError
        Something is at `target` already.
    """
    with new_store(target, "init") as (building, scratch, leftovers):
        counts = _build(building, sources, scratch, progress)
        if leftovers:
            counts.notes.append(f"left by another init, which was killed or still runs: {_some(leftovers)}")
    return counts


def _build(building: Path, sources: Sources, scratch: Path, progress: Callable[[str], None]) -> Counts:
    counts = Counts()
    progress("checking the sources")
    fasta = Fasta(sources.fasta, scratch)
    cohort = _read_cohort(sources, fasta, counts)
    progress("converting genotypes")
    converted = convert_to_vcf_zarr(sources.vcf, scratch / "genotypes", variants_a_chunk())
    contig_names = _contigs_of_variants(converted, fasta, counts)
    genes, expression = _genes_with_variants(cohort, fasta, contig_names, counts)

    progress("checking and copying genotypes")
    store = create_store(building)
    copied = copy_genotypes(store, converted, cohort.expression.people, contig_names, fasta, sources.unphased)
    progress("writing variants, genes, expression and reference")
    write_variants(store, copied, list(contig_names.values()))
    _count_alleles(copied, counts)
    write_genes(store, genes)
    write_expression(store, expression, cohort.adjustment)
    contigs = sorted({gene.contig for gene in genes}, key=list(fasta.lengths).index)
    digests = write_reference(store, {contig: fasta.lengths[contig] for contig in contigs}, fasta.sequence)
    outside = [
        f"{model} ({window.length:,} bp) {number}"
        for model, window in windows_without_weights().items()
        if (number := windows_outside_contig(store, window))
    ]
    if outside:
        counts.notes.append(
            f"of {len(genes)} genes, those with windows that leave their contig, N beyond: {', '.join(outside)}"
        )
    counts.taken["genes"] = len(genes)
    counts.taken["genes with measured expression"] = int((~np.isnan(expression).all(axis=1)).sum())
    if not counts.taken["genes with measured expression"]:
        counts.notes.append("no gene has measured expression: there will be predictions, and no correlations")
    inputs = {
        "vcf": [file_sha256(path) for path in sources.vcf],
        "fasta": digests,
        "genes": file_sha256(sources.genes),
        "expression": file_sha256(sources.expression),
    }
    if sources.covariates is not None:
        inputs["covariates"] = file_sha256(sources.covariates)
    attributes = {
        "pdstore_version": version("pdstore"),
        "level": "full",
        "genome_build": cohort.genome_build,
        "inputs": inputs,
        "options": {
            "unphased": sources.unphased,
            "sample_map": sources.sample_map is not None,
            "residualised": list(cohort.adjustment.residualised),
            "expression_pcs": sources.expression_pcs,
        },
        "counts": {"taken": counts.taken, "left_out": counts.left_out, "notes": counts.notes},
    }
    mark_complete(store, attributes)
    return counts


def _read_cohort(sources: Sources, fasta: Fasta, counts: Counts) -> _Cohort:
    header = read_vcf_headers(sources.vcf)
    gene_table = read_genes(sources.genes)
    claims = [*header.builds, *gene_table.builds, *builds_of_lengths(fasta.lengths, fasta.path.name)]
    build = agreed_build(sources.genome_build, claims)
    if build is not None and not claims:
        counts.notes.append(f"genome build {build} is as given; nothing in the sources says so or otherwise")
    for reason, count in gene_table.left_out.items():
        counts.leave_out(reason, count)
    genes = _genes_on_reference(gene_table, fasta, counts)
    sample_map = read_sample_map(sources.sample_map) if sources.sample_map else {}
    if sample_map and not set(sample_map) & set(header.sample_names):
        raise InputError(f"sample map {sources.sample_map}: none of its first column is a sample of the VCF")
    counts.leave_out(
        "lines of the sample map that name nobody of the VCF", len(set(sample_map) - set(header.sample_names))
    )
    names = [sample_map.get(name, name) for name in header.sample_names]
    if len(set(names)) != len(names):
        raise InputError(f"sample map {sources.sample_map}: it gives two people of the VCF the same name")
    expression = read_expression(sources.expression, genes, names)
    counts.taken["people with genotypes and expression"] = len(expression.people)
    for reason, count in expression.left_out.items():
        counts.leave_out(reason, count)
    people = [names[row] for row in expression.people]
    return _Cohort(genes, expression, header.sample_names, _read_adjustment(sources, people, counts), build)


def _read_adjustment(sources: Sources, people: Sequence[str], counts: Counts) -> Adjustment:
    """Covariates and components of the people, by their names in the expression."""
    covariates = Covariates((), np.empty((len(people), 0)))
    if sources.covariates is not None:
        covariates = read_covariates(sources.covariates, people)
        counts.taken["covariates"] = len(covariates.names)
    residualised = covariates.names if list(sources.residualise) == ["all"] else tuple(sources.residualise)
    for name in residualised:
        if name not in covariates.names:
            has = f"it has {_some(covariates.names)}" if covariates.names else "give --covariates"
            raise UsageError(f"--residualise: there is no covariate {name!r}; {has}")
    if len(set(residualised)) != len(residualised):
        raise UsageError("--residualise names a covariate twice")
    if sources.residualise and not residualised:
        raise UsageError("--residualise all: there are no covariates; give --covariates")
    if covariates.names and not residualised:
        counts.notes.append("covariates are recorded, and taken out of nothing: that is --residualise")
    taken_out = len(residualised) + sources.expression_pcs
    if taken_out and taken_out + 1 + MIN_FREEDOM > len(people):
        raise InputError(
            f"{taken_out} covariates and expression PCs are too many for {len(people)} people: expected at most "
            f"{max(0, len(people) - 1 - MIN_FREEDOM)}"
        )
    pcs = np.empty((len(people), 0))
    if sources.expression_pcs:
        of_all = read_every_gene(sources.expression, people)
        try:
            pcs = expression_pcs(of_all, sources.expression_pcs)
        except ValueError as error:
            complete = int((~np.isnan(of_all).any(axis=1)).sum())
            raise InputError(
                f"expression {sources.expression}: {sources.expression_pcs} principal components need as many genes "
                f"that vary and are measured in everybody, but there are {complete}"
            ) from error
        counts.taken["expression PCs"] = sources.expression_pcs
    return Adjustment(covariates, residualised, pcs)


def _genes_on_reference(table: GeneTable, fasta: Fasta, counts: Counts) -> tuple[Gene, ...]:
    """The genes whose contig the FASTA has, under the FASTA's names."""
    lengths = fasta.lengths
    names = match_contigs({gene.contig for gene in table.genes}, lengths)
    kept = []
    for gene in table.genes:
        if gene.contig not in names:
            continue
        contig = names[gene.contig]
        if gene.tss > lengths[contig]:
            raise InputError(
                f"gene {gene.gene_id} ({gene.name}): TSS {gene.tss} lies beyond contig {contig}, which has "
                f"{lengths[contig]} bp in {fasta.path}; are genes and FASTA of one genome build?"
            )
        kept.append(Gene(gene.gene_id, gene.name, contig, gene.tss, gene.strand))
    if not kept:
        raise InputError(
            f"FASTA {fasta.path} has none of the contigs of the genes ({_some({g.contig for g in table.genes})}); "
            f"it has {_some(lengths)}"
        )
    counts.leave_out("genes on contigs that the FASTA lacks", len(table.genes) - len(kept))
    _note_renamed("genes", names, counts)
    return tuple(kept)


def _contigs_of_variants(converted: zarr.Group, fasta: Fasta, counts: Counts) -> dict[int, str]:
    """Index of each contig that has records → its name in the FASTA."""
    if "call_genotype" not in converted:
        raise InputError("the VCF's records have no GT; pdstore needs phased genotypes")
    with_records = np.unique(np.asarray(converted["variant_contig"]))
    if not len(with_records):
        raise InputError("the VCF has no record")
    contig_ids = [str(name) for name in np.asarray(converted["contig_id"])]
    names = {contig_ids[index] for index in with_records}
    matched = match_contigs(names, fasta.lengths)
    for name in sorted(names - set(matched)):
        raise InputError(
            f"FASTA {fasta.path} has no contig {name!r}, on which the VCF has records; it has {_some(fasta.lengths)}"
        )
    if len(set(matched.values())) < len(matched):
        raise InputError(f"the VCF has one contig under two names: {_some(sorted(matched))}; rename one of them")
    _note_renamed("VCF", matched, counts)
    return {int(index): matched[contig_ids[index]] for index in with_records}


def _genes_with_variants(
    cohort: _Cohort, fasta: Fasta, contig_names: Mapping[int, str], counts: Counts
) -> tuple[list[Gene], NDArray[np.float32]]:
    """Genes on contigs that have records: nothing is known of people's sequence elsewhere."""
    contigs = set(contig_names.values())
    kept = [row for row, gene in enumerate(cohort.genes) if gene.contig in contigs]
    if not kept:
        raise InputError(
            f"no gene lies on a contig with variants: genes are on {_some({g.contig for g in cohort.genes})}, "
            f"variants on {_some(contigs)}"
        )
    counts.leave_out("genes on contigs without variants", len(cohort.genes) - len(kept))
    return [cohort.genes[row] for row in kept], cohort.expression.observed[kept]


def _count_alleles(copied: CopiedGenotypes, counts: Counts) -> None:
    counts.taken["records"] = copied.records
    for kind, number in enumerate(np.bincount(copied.alleles.kind, minlength=len(KINDS)).tolist()):
        if kind == SNV:
            counts.taken["SNV alleles"] = number
        elif kind in APPLIED_KINDS["all"]:
            if number:
                counts.taken[f"{KINDS[kind]} alleles, applied to haplotypes with --variants all"] = number
        else:
            counts.leave_out(f"{KINDS[kind]} alleles, kept but never applied to haplotypes", number)
    counts.leave_out("unphased heterozygous calls, read as reference", copied.unphased_calls)
    counts.leave_out("missing allele calls, read as reference", copied.missing_calls)


def _note_renamed(source: str, names: Mapping[str, str], counts: Counts) -> None:
    renamed = [f"{name} is {match}" for name, match in sorted(names.items()) if name != match]
    if renamed:
        counts.notes.append(f"contig names of the {source} were mapped to the FASTA's: {_some(renamed)}")


def _some(names: Any, most: int = 5) -> str:
    names = [str(name) for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
