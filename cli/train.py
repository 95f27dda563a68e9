"""pdstore train: models of what a store holds."""

from math import isnan
from pathlib import Path
from typing import Annotated, Literal

import typer

from pdstore.words import number

from .output import DEFAULT_STORE, StoreOption, note

INTERRUPTED = "interrupted: what was trained is kept; run the same command to go on"

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})

SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of the folds.")]


@app.callback()
def options() -> None:
    """Train a model on what a store holds: PrediXcan on its people, or a readout of tracks on its genes."""


@app.command()
def predixcan(
    output: Annotated[Path, typer.Option("--output", "-o", help="The PredictDB file that is made.")],
    store: StoreOption = DEFAULT_STORE,
    people: Annotated[
        Path | None,
        typer.Option("--people", help="Names of people to train on, one a line.", show_default="everybody"),
    ] = None,
    genes: Annotated[
        str | None, typer.Option("--genes", help="Only these genes: symbols or ids, separated by commas.")
    ] = None,
    folds: Annotated[
        int, typer.Option("--folds", help="Folds of people, each predicted by a model of the others.")
    ] = 5,
    variants: Annotated[
        Literal["snv", "all"], typer.Option("--variants", help="SNVs only, or every allele that is spelt out.")
    ] = "snv",
    distance: Annotated[int, typer.Option("--distance", help="Alleles up to so many bp from the TSS.")] = 1_000_000,
    seed: SeedOption = 0,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Worker processes.", show_default="one a core")
    ] = None,
) -> None:
    """Train elastic nets of expression on dosages, gene by gene, with nested cross-validation.

    `pdstore fill --model predixcan --weights FILE` then predicts the people that it was trained on by the weights that
    were made without them. The file says of whom it was made by salted digests; treat it as you treat the genotypes.

    Example:
    pdstore train predixcan -s cohort.zarr -o cohort.db --people training.txt
    """
    from pdstore.errors import UsageError
    from pdstore.train import train_predixcan

    from .progress import FillProgress

    if genes is not None and not genes.strip(" ,"):
        raise UsageError("--genes names no gene; leave it out for all")
    wanted = [name for name in (genes or "").split(",") if name.strip()]
    with FillProgress() as progress:
        report = train_predixcan(store, output, progress, people, wanted, folds, seed, variants, distance, workers)
    if report.before:
        note(f"genes trained before: {report.before:,}")
    if report.without_weights:
        reason = "no allele helps, or expression measured in too few people"
        note(f"genes without weights: {report.without_weights:,} ({reason})")
    if report.not_converged:
        note(f"genes of which a fit did not converge: {report.not_converged:,}")
    typer.echo(
        f"{output}: {report.trained + report.before:,} genes; mean R of people left out {_r(report.mean_r)} over "
        f"{report.genes_with_r:,} genes"
    )


@app.command()
def readout(
    output: Annotated[Path, typer.Option("--output", "-o", help="The CSV of weights that is made.")],
    store: StoreOption = DEFAULT_STORE,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Whose tracks.", show_default="the first that was filled")
    ] = None,
    folds: Annotated[
        int, typer.Option("--folds", help="Folds of genes, each predicted by a model of the others.")
    ] = 10,
    seed: SeedOption = 0,
) -> None:
    """Train an elastic net over tracks: mean expression of genes on predictions for the reference.

    `pdstore fill --readout elastic_net --readout-weights FILE` then reads every prediction out with it.

    Example:
    pdstore train readout -s cohort.zarr --model enformer -o readout.csv
    """
    from pdstore.train import train_readout

    report = train_readout(store, output, model, folds, seed)
    typer.echo(
        f"{output}: {report.tracks_used:,} of {report.tracks:,} tracks with a weight; R over {report.genes:,} genes, "
        f"each left out, {number(report.held_out_r)}"
    )


@app.command()
def cnn(
    output: Annotated[Path, typer.Option("--output", "-o", help="The safetensors file of weights that is made.")],
    store: StoreOption = DEFAULT_STORE,
    validation_contigs: Annotated[
        str | None, typer.Option(help="Genes of these contigs choose the epoch, separated by commas.")
    ] = None,
    test_contigs: Annotated[str | None, typer.Option(help="Genes of these contigs test, separated by commas.")] = None,
    validation_genes: Annotated[
        Path | None, typer.Option(help="A file of genes that choose the epoch, one a line: symbols or ids.")
    ] = None,
    test_genes: Annotated[Path | None, typer.Option(help="A file of genes that test, one a line.")] = None,
    window: Annotated[int, typer.Option(min=1, help="Length of the window, bp, around the TSS.")] = 40_001,
    strand: Annotated[
        Literal["forward", "gene"], typer.Option(help="Read windows on the forward strand, or on the gene's.")
    ] = "forward",
    kernels: Annotated[int, typer.Option(min=1, help="Kernels of the convolution.")] = 900,
    kernel_width: Annotated[int, typer.Option(min=1, help="Their width, bp.")] = 10,
    pool: Annotated[int, typer.Option(min=1, help="Positions that are averaged.")] = 900,
    hidden: Annotated[int, typer.Option(min=1, help="Units of the hidden layer.")] = 200,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the genes, at most.")] = 100,
    patience: Annotated[int, typer.Option(min=1, help="End after so many epochs without a lower loss.")] = 10,
    learning_rate: Annotated[float, typer.Option(help="Adam's.")] = 0.001,
    batch_size: Annotated[int, typer.Option(min=1, help="Genes a step.")] = 25,
    shift: Annotated[int, typer.Option(min=0, help="Shift windows by up to so many bp, at random.")] = 10,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of first weights, order and shifts.")] = 0,
    device: Annotated[str, typer.Option(help="Torch device: cpu, cuda, cuda:1.")] = "cpu",
    curves: Annotated[
        Path | None, typer.Option(help="Draw the losses of all epochs: .png, .svg or .pdf.", show_default="not drawn")
    ] = None,
) -> None:
    """Train the simple CNN on the reference windows of genes and their mean expression.

    `pdstore fill --model cnn --weights FILE` then predicts with it. A checkpoint is kept after every epoch: run the
    same command again to go on. The default sizes are those of Sasse et al. 2023.

    Example:
    pdstore train cnn -s cohort.zarr -o cnn.safetensors --validation-contigs chr8 --test-contigs chr9 --curves cnn.png
    """
    from pdstore.models.cnn import CnnConfig
    from pdstore.train_cnn import CnnSettings, Split, train_cnn_on

    from .progress import FillProgress

    config = CnnConfig(window, window // 2, strand, kernels, kernel_width, pool, hidden)
    settings = CnnSettings(config, epochs, patience, learning_rate, batch_size, shift, seed, device)
    split = Split(_names(validation_contigs), _names(test_contigs), validation_genes, test_genes)
    with FillProgress() as progress:
        report = train_cnn_on(store, output, progress, split, settings, curves)
    if report.epochs_before:
        note(f"epochs done before: {report.epochs_before:,}")
    if report.not_measured:
        note(f"genes without measured expression, left out: {report.not_measured:,}")
    if report.overlapping:
        note(f"training genes whose windows overlap one of the other genes': {report.overlapping:,}; R may be too high")
    typer.echo(
        f"{output}: {report.training:,} genes, epoch {report.best_epoch} of {report.epochs}; R over "
        f"{report.validation:,} validation genes {_r(report.validation_r)}, over {report.test:,} test genes "
        f"{_r(report.test_r)}"
    )


def _names(given: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (given or "").split(",") if name.strip())


def _r(value: float) -> str:
    return number(None if isnan(value) else value)
