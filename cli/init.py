"""pdstore init: a store from sources."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .output import DEFAULT_STORE, FolderOption, note


def command(
    vcf: Annotated[
        list[Path], typer.Option("--vcf", help="Phased genotypes: .vcf, .vcf.gz or .bcf. Repeat for several files.")
    ],
    fasta: Annotated[Path, typer.Option("--fasta", help="Reference genome, plain or gzipped.")],
    genes: Annotated[
        Path, typer.Option("--genes", help="TSV with gene_id, gene_name, contig, tss (1-based), strand; or a GTF.")
    ],
    expression: Annotated[
        Path, typer.Option("--expression", help="Measured expression: TSV, CSV (either orientation) or QTL BED.")
    ],
    store: FolderOption = DEFAULT_STORE,
    sample_map: Annotated[
        Path | None,
        typer.Option("--sample-map", help="Two columns: a person's name in the VCF, and in the expression."),
    ] = None,
    genome_build: Annotated[
        str | None, typer.Option("--genome-build", help="E.g. GRCh38; checked against what the sources say.")
    ] = None,
    covariates: Annotated[
        Path | None,
        typer.Option("--covariates", help="People by covariates, or covariates by people: TSV or CSV, numbers only."),
    ] = None,
    residualise: Annotated[
        str | None,
        typer.Option(
            "--residualise", help="Covariates that are taken out of what statistics see: names, by commas, or all."
        ),
    ] = None,
    expression_pcs: Annotated[
        int, typer.Option("--expression-pcs", min=0, help="Take out the first so many PCs of expression, too.")
    ] = 0,
    unphased: Annotated[
        Literal["error", "reference"],
        typer.Option("--unphased", help="Heterozygotes without a phase: refuse them, or read them as reference."),
    ] = "error",
) -> None:
    """Make a store from genotypes, reference, genes and measured expression.

    Example:
    pdstore init -s cohort.zarr --vcf cohort.vcf.gz --fasta GRCh38.fa --genes genes.tsv --expression expression.tsv.gz
    """
    from pdstore.init import Sources, init_store

    taken_out = [name.strip() for name in residualise.split(",")] if residualise is not None else []
    sources = Sources(
        vcf, fasta, genes, expression, sample_map, genome_build, unphased, covariates, taken_out, expression_pcs
    )
    counts = init_store(Path(store), sources, progress=note)
    for remark in counts.notes:
        note(remark)
    for what, count in counts.taken.items():
        typer.echo(f"{count:>9,}  {what}")
    if counts.left_out:
        typer.echo("left out:")
    for reason, count in counts.left_out.items():
        typer.echo(f"{count:>9,}  {reason}")
    note(f"made {store}; next: pdstore fill -s {store} --model MODEL --weights FILE")
