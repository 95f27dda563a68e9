"""pdstore add: new genes or new people into a store."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from .output import DEFAULT_STORE, FolderOption, note
from .progress import CopyProgress


def command(
    genes: Annotated[
        Path | None,
        typer.Option("--genes", help="New genes: GTF, or TSV of gene_id, gene_name, contig, tss (1-based), strand."),
    ] = None,
    vcf: Annotated[
        list[Path] | None,
        typer.Option("--vcf", help="New people: phased genotypes at the records of the store; once for each file."),
    ] = None,
    store: FolderOption = DEFAULT_STORE,
    expression: Annotated[
        Path | None,
        typer.Option("--expression", help="Measured expression; new genes may go without, and are not measured then."),
    ] = None,
    fasta: Annotated[
        Path | None, typer.Option("--fasta", help="Reference, where new genes lie on contigs that the store lacks.")
    ] = None,
    covariates: Annotated[
        Path | None, typer.Option("--covariates", help="Covariates of everybody, for new people of a store with them.")
    ] = None,
    sample_map: Annotated[
        Path | None,
        typer.Option("--sample-map", help="Two columns: a person's name in the VCF, and in the expression."),
    ] = None,
    unphased: Annotated[
        Literal["error", "reference"] | None,
        typer.Option(
            "--unphased",
            help="New people's heterozygotes without a phase: refuse them, or read them as reference.",
            show_default="as the store was made",
        ),
    ] = None,
) -> None:
    """Add genes or people to a store; pdstore fill then computes what they need.

    What models computed stays, byte for byte. The grown store is made beside the old one, shares its files where the
    file system can, and then takes its place.

    Example, new genes:
    pdstore add --genes more.tsv --expression expression.tsv.gz -s cohort.zarr

    Example, new people:
    pdstore add --vcf cohort.vcf.gz --expression expression.tsv.gz -s cohort.zarr
    """
    from pdstore.add import NewGenes, NewPeople, add_genes, add_people
    from pdstore.errors import UsageError

    if (genes is None) == (not vcf):
        raise UsageError("give new genes with --genes or new people with --vcf: one of them at a time")
    of_the_other = {"--covariates": covariates, "--unphased": unphased} if genes else {"--fasta": fasta}
    for option, value in of_the_other.items():
        if value is not None:
            raise UsageError(f"{option} is of no use for new {'genes' if genes else 'people'}: leave it out")
    with CopyProgress("taking over") as progress:
        if genes is not None:
            added = add_genes(store, NewGenes(genes, expression, fasta, sample_map), progress)
        elif expression is None:
            raise UsageError("new people need --expression: a store has nobody who was not measured")
        else:
            added = add_people(store, NewPeople(vcf or [], expression, covariates, sample_map, unphased), progress)
    for remark in added.notes:
        note(remark)
    for what, count in added.taken.items():
        typer.echo(f"{count:>9,}  {what}")
    if added.left_out:
        typer.echo("left out:")
    for reason, count in added.left_out.items():
        typer.echo(f"{count:>9,}  {reason}")
    note(f"next: pdstore fill -s {shlex.quote(store)} --model MODEL --weights FILE")
