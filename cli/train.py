"""pdstore train: models of what a store holds."""

from collections.abc import Callable
from math import isnan
from pathlib import Path
from typing import Annotated, Literal

import typer

from pdstore.words import number

from .output import DEFAULT_STORE, StoreOption, note
from .train_networks import attentive_chrome, cnn, dream

INTERRUPTED = "interrupted: what was trained is kept; run the same command to go on"

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})

SeedOption = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of the folds.")]


@app.callback()
def options() -> None:
    """Train a model: PrediXcan on people, a readout of tracks or a network on genes, a network on sequences."""


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
    target: Annotated[
        Literal["mean", "differential"],
        typer.Option("--target", help="Learn genes' mean expression, or differences between people."),
    ] = "mean",
    people: Annotated[
        Path | None,
        typer.Option(
            "--people", help="Differential: names of people to train on, one a line.", show_default="everybody"
        ),
    ] = None,
) -> None:
    """Train an elastic net over tracks: mean expression of genes on predictions for the reference, or differences
    between people on those between their predictions.

    `pdstore fill --readout elastic_net --readout-weights FILE` then reads every prediction out with it.

    Example:
    pdstore train readout -s cohort.zarr --model enformer -o readout.csv
    """
    from pdstore.train_readout import train_readout

    report = train_readout(store, output, model, folds, seed, target, people)
    used = f"{output}: {report.tracks_used:,} of {report.tracks:,} tracks with a weight"
    if not report.tracks_used:
        note("no track has a weight: the readout is the same number for everybody")
    if target == "mean":
        typer.echo(f"{used}; R over {report.genes:,} genes, each left out, {_r(report.held_out_r)}")
    else:
        typer.echo(
            f"{used}; mean R over {report.people:,} people at {report.genes:,} genes, each left out, "
            f"{_r(report.held_out_r)}, over {report.people_left_out:,} people left out {_r(report.left_out_r)}"
        )


NETWORKS: dict[str, Callable[..., None]] = {
    "cnn": cnn,
    "attentive-chrome": attentive_chrome,
    **{name: dream(name) for name in ("dream-cnn", "dream-rnn", "dream-attn")},
}
for _name, _command in NETWORKS.items():
    app.command(_name)(_command)


def _r(value: float) -> str:
    return number(None if isnan(value) else value)
