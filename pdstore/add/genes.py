"""New genes into a store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdstore.add.replacement import replaced_store
from pdstore.analysis.residuals import expression_pcs
from pdstore.chunk_files import ChunkFiles
from pdstore.cohort import contig_lengths
from pdstore.counts import Counts
from pdstore.errors import InputError, ProvenanceError, UsageError
from pdstore.location.copying import Progress
from pdstore.merge import copy_group, unite
from pdstore.sources.contigs import match_contigs
from pdstore.sources.covariates import Covariates
from pdstore.sources.expression import read_every_gene, read_expression, read_sample_map
from pdstore.sources.fasta import Fasta
from pdstore.sources.genes import Gene, GeneTable, read_genes
from pdstore.sources.genome_build import agreed_build
from pdstore.sources.text import file_sha256
from pdstore.sources.variants import first_wrong_reference
from pdstore.stages.expression import Adjustment, write_expression
from pdstore.stages.gene_window import reference_letters
from pdstore.stages.genes import write_genes
from pdstore.stages.reference import write_reference
from pdstore.store import Store, create_store, mark_complete


@dataclass(frozen=True)
class NewGenes:
    """The files that new genes come from.

    Attributes
    ----------
    genes : Path
        Genes with their TSS.
    expression : Path or None
        Measured expression; without it, the new genes are not measured.
    fasta : Path or None
        Reference, of contigs that the store's own lacks.
    sample_map : Path or None
        Names of people in the store and in the expression, where they differ.
    """

    genes: Path
    expression: Path | None = None
    fasta: Path | None = None
    sample_map: Path | None = None


def add_genes(url: str, new: NewGenes, progress: Progress) -> Counts:
    """Add genes to a store.

    A kill leaves the old store or the new one, whole; what else it leaves, the next `add_genes` removes.

    Parameters
    ----------
    url : str
        Folder of the store.
    new : NewGenes
        The new genes; those that the store has are left out.
    progress : Progress
        Told how far it is.

    Returns
    -------
    Counts

    Raises
    ------
    InputError
        A file cannot be used, or has no new gene. The store stays as it is.
    UsageError
        The FASTA is needed, or the sample map.
    LeaseError
        Somebody else writes to the store.
    """
    added = Counts()
    with replaced_store(url, added) as (store, grown, scratch):
        progress.step("reading the new genes")
        small = _store_of_new_genes(store, new, scratch, added)
        note = f"{added.taken['new genes']:,} genes added by pdstore {version('pdstore')}"
        merged = unite([store, small], grown, progress, link=True, note=note)
        added.taken["genes now"] = merged.genes
        added.left_out |= merged.left_out
    return added


def _store_of_new_genes(store: Store, new: NewGenes, scratch: Path, added: Counts) -> Store:
    """A store of the new genes alone, of the same people."""
    table = read_genes(new.genes)
    for reason, count in table.left_out.items():
        added.leave_out(reason, count)
    agreed_build(store.attributes.get("genome_build"), table.builds)
    fasta = Fasta(new.fasta, scratch) if new.fasta is not None else None
    genes = _new_genes(store, table, new.genes, added)
    lengths = _contig_lengths(store, genes, fasta)
    for gene in genes:
        if gene.tss > lengths[gene.contig]:
            raise InputError(
                f"gene {gene.gene_id} ({gene.name}): TSS {gene.tss} lies beyond contig {gene.contig}, which has "
                f"{lengths[gene.contig]} bp in the store; are genes and store of one genome build?"
            )
    people = _names_in_expression(store, new)
    observed = _observed(new, genes, people, added)
    adjustment = _adjustment(store, new, people)

    small = create_store(scratch / "new")
    files = ChunkFiles(small, _Untold(), link=True)
    for group in ("genotypes", "variants"):
        copy_group(small, [store], group, files)
    write_genes(small, genes)
    write_expression(small, observed, adjustment)
    held = contig_lengths(store)

    def sequence_of(contig: str) -> NDArray[np.uint8]:
        if contig in held:
            return reference_letters(store, contig, 0, held[contig])
        assert fasta is not None
        sequence = fasta.sequence(contig)
        _require_reference_of_variants(store, contig, sequence)
        return sequence

    digests = write_reference(small, lengths, sequence_of)
    added.taken["new genes"] = len(genes)
    added.taken["new genes with measured expression"] = int((~np.isnan(observed).all(axis=1)).sum())
    inputs = store.attributes["inputs"] | {"fasta": digests, "genes": file_sha256(new.genes)}
    if new.expression is not None:
        inputs["expression"] = file_sha256(new.expression)
    mark_complete(
        small,
        {
            "pdstore_version": version("pdstore"),
            "level": "full",
            "genome_build": store.attributes.get("genome_build"),
            "inputs": inputs,
            "options": store.attributes.get("options"),
            "counts": store.attributes.get("counts"),
        },
    )
    return small


def _new_genes(store: Store, table: GeneTable, path: Path, added: Counts) -> list[Gene]:
    """The genes that the store lacks, under its names of contigs."""
    tss_of = dict(zip(store.read("genes/gene_id").tolist(), store.read("genes/gene_tss").tolist(), strict=True))
    known = [gene for gene in table.genes if gene.gene_id in tss_of]
    added.leave_out("genes that the store has already", len(known))
    elsewhere = sum(gene.tss != tss_of[gene.gene_id] for gene in known)
    if elsewhere:
        added.notes.append(f"of the genes that the store has, {elsewhere:,} have another TSS in {path}; they stay")
    others = [gene for gene in table.genes if gene.gene_id not in tss_of]
    contigs = {gene.contig for gene in others}
    names = match_contigs(contigs, store.read("variants/contig_id").tolist())
    genes = [
        Gene(gene.gene_id, gene.name, names[gene.contig], gene.tss, gene.strand)
        for gene in others
        if gene.contig in names
    ]
    added.leave_out("genes on contigs without variants", len(others) - len(genes))
    if not genes:
        raise InputError(
            f"genes {path}: none of its {len(table.genes):,} genes can be added: the store has {len(known):,} of them, "
            f"and {len(others):,} lie on contigs without variants"
        )
    return genes


def _contig_lengths(store: Store, genes: Sequence[Gene], fasta: Fasta | None) -> dict[str, int]:
    """Contig of the genes → length in bp: those of the store's reference, then those of the FASTA."""
    held = contig_lengths(store)
    wanted = dict.fromkeys(gene.contig for gene in genes)
    missing = [contig for contig in wanted if contig not in held]
    of_fasta: Mapping[str, int] = {} if fasta is None else fasta.lengths
    if missing and fasta is None:
        raise UsageError(
            f"the store's reference has no contig {missing[0]}, on which new genes lie (it has {', '.join(held)}): "
            "give the reference with --fasta"
        )
    for contig in missing:
        if contig not in of_fasta:
            raise InputError(
                f"the FASTA has no contig {contig!r}, on which new genes lie; give the one that the store was made of"
            )
    kept = {contig: held[contig] for contig in held if contig in wanted}
    return kept | {contig: of_fasta[contig] for contig in of_fasta if contig in missing}


def _require_reference_of_variants(store: Store, contig: str, sequence: NDArray[np.uint8]) -> None:
    """Hold a contig against the reference alleles of the store's variants on it."""
    index = store.read("variants/contig_id").tolist().index(contig)
    rows = np.flatnonzero(store.read("variants/contig") == index)
    part = slice(int(rows[0]), int(rows[-1]) + 1)
    position, ref = store.read("variants/position", part), store.read("variants/ref", part).astype(object)
    wrong = first_wrong_reference(sequence, position, ref)
    if wrong is not None:
        there = sequence[position[wrong] - 1 :][: len(ref[wrong])].tobytes().decode() or "no base"
        raise InputError(
            f"the reference allele at {contig}:{position[wrong]} is {ref[wrong]} in the store, but {there} in the "
            "FASTA; give the one that the store was made of"
        )


def _names_in_expression(store: Store, new: NewGenes) -> list[str]:
    """Names of the store's people as the expression has them."""
    names: list[str] = store.read("genotypes/sample_id").tolist()
    if new.sample_map is not None:
        of = read_sample_map(new.sample_map)
        names = [of.get(name, name) for name in names]
        if len(set(names)) != len(names):
            raise InputError(f"sample map {new.sample_map}: it gives two people of the store the same name")
    elif new.expression is not None and (store.attributes.get("options") or {}).get("sample_map"):
        raise UsageError("the store was made with a sample map: give it with --sample-map")
    return names


def _observed(new: NewGenes, genes: Sequence[Gene], people: Sequence[str], added: Counts) -> NDArray[np.float32]:
    """Measured expression of the new genes: float32, shape (genes, people), NaN where not measured."""
    observed = np.full((len(genes), len(people)), np.nan, dtype=np.float32)
    if new.expression is not None:
        found = read_expression(new.expression, genes, people)
        observed[:, found.people] = found.observed
        for reason, count in found.left_out.items():
            added.leave_out(f"{reason}, not measured" if reason == "people without expression" else reason, count)
    added.leave_out("expression of new genes that are not measured", int(np.isnan(observed).all(axis=1).sum()))
    return observed


def _adjustment(store: Store, new: NewGenes, people: Sequence[str]) -> Adjustment:
    """What the store takes out of expression."""
    of: Mapping[str, Any] = store.group("expression").attrs.asdict()
    covariates = Covariates((), np.empty((len(people), 0)))
    if "expression/covariates" in store:
        names = tuple(store.read("expression/covariate_name").tolist())
        covariates = Covariates(names, store.read("expression/covariates"))
    pcs = np.empty((len(people), 0))
    components = int(of["expression_pcs"])
    if components:
        held = store.attributes["inputs"]["expression"]
        given = None if new.expression is None else file_sha256(new.expression)
        if new.expression is None or given != held:
            raise ProvenanceError(
                f"the store takes {components} expression PCs out, of expression with digest {held}, but "
                f"{given or 'none'} is given: add genes with that file as --expression"
            )
        pcs = expression_pcs(read_every_gene(new.expression, people), components)
    return Adjustment(covariates, tuple(of["residualised"]), pcs)


class _Untold:
    """Progress of what takes no time: the files are links."""

    def step(self, what: str) -> None:
        """Nothing."""

    def copying(self, total: int) -> None:
        """Nothing."""

    def copied(self, size: int) -> None:
        """Nothing."""
