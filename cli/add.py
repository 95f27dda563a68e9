"""pdstore add: new genes into a store."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from .output import DEFAULT_STORE, FolderOption, note
from .progress import CopyProgress


def command(
    genes: Annotated[
        Path, typer.Option("--genes", help="TSV with gene_id, gene_name, contig, tss (1-based), strand; or a GTF.")
    ],
    store: FolderOption = DEFAULT_STORE,
    expression: Annotated[
        Path | None,
        typer.Option("--expression", help="Measured expression of the new genes; without it they are not measured."),
    ] = None,
    fasta: Annotated[
        Path | None, typer.Option("--fasta", help="Reference, where new genes lie on contigs that the store lacks.")
    ] = None,
    sample_map: Annotated[
        Path | None,
        typer.Option("--sample-map", help="Two columns: a person's name in the VCF, and in the expression."),
    ] = None,
) -> None:
    """Add genes to a store. What is filled stays, byte for byte; pdstore fill computes what the new genes need.

    The grown store is made beside the old one, shares its files where the file system can, and then takes its place.

    Example:
    pdstore add --genes more.tsv --expression expression.tsv.gz -s cohort.zarr
    """
    from pdstore.add import NewGenes, add_genes

    with CopyProgress("taking over") as progress:
        added = add_genes(store, NewGenes(genes, expression, fasta, sample_map), progress)
    for remark in added.notes:
        note(remark)
    for what, count in added.taken.items():
        typer.echo(f"{count:>9,}  {what}")
    if added.left_out:
        typer.echo("left out:")
    for reason, count in added.left_out.items():
        typer.echo(f"{count:>9,}  {reason}")
    note(f"next: pdstore fill -s {shlex.quote(store)} --model MODEL --weights FILE")
