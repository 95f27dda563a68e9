"""pdstore fill: compute what is missing."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .output import DEFAULT_STORE, StoreOption, note

INTERRUPTED = "interrupted: what was computed is kept; run the same command to go on"


def command(
    stages: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STAGE]...",
            help="windows, predictions, attributions, eqtl, statistics; all that is missing where none is named.",
            show_default=False,
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    model: Annotated[
        str, typer.Option("--model", "-m", help="xpresso, cnn, enformer (windows only), or a plugin's.")
    ] = "",
    weights: Annotated[Path | None, typer.Option("--weights", "-w", help="The model's weights.")] = None,
    genes: Annotated[
        str | None, typer.Option("--genes", help="Only these genes: symbols or ids, separated by commas.")
    ] = None,
    variants: Annotated[
        Literal["snv", "all"],
        typer.Option("--variants", help="Apply SNVs only, or every allele that is spelt out; one of them a store."),
    ] = "snv",
    device: Annotated[str, typer.Option("--device", help="Torch device.")] = "cpu",
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Worker processes.", show_default="the machine's cores")
    ] = None,
) -> None:
    """Fill a store with windows, predictions, attributions, eQTL slopes and statistics.

    What is there is not computed again: an interrupted fill goes on where it stopped.

    Example:
    pdstore fill -s cohort.zarr --model xpresso --weights GM12878.h5
    """
    from pdstore.errors import ModelError, UsageError
    from pdstore.fill import fill
    from pdstore.models.registry import ModelReference, model_names

    from .progress import FillProgress

    if not model:
        raise ModelError(f"which model? Give --model: {', '.join(model_names())}")
    reference = ModelReference(model, weights.absolute() if weights else None, device, variants)
    if genes is not None and not genes.strip(" ,"):
        raise UsageError("--genes names no gene; leave it out for all")
    wanted = [name for name in (genes or "").split(",") if name.strip()]
    with FillProgress() as progress:
        report = fill(store, reference, progress, stages or (), wanted, workers)
    if report.genes_outside_contig:
        note(f"{report.genes_outside_contig} genes have windows that leave their contig; the bases beyond it are N")
    if report.genes_without_r:
        note(f"{report.genes_without_r} genes have no correlation: not measured, no variance, or under 3 people")
    if report.genes_without_selection:
        reason = "ISM does not add up to the prediction, no allele varies, or under 3 people"
        note(f"{report.genes_without_selection} genes have no defined drivers: {reason}")
    if not any(report.computed.values()):
        done = sum(report.done_before.values())
        typer.echo(f"nothing to do: all {done:,} blocks of {', '.join(report.done_before)} are filled")
        return
    for stage, blocks in report.computed.items():
        typer.echo(f"{stage}: {blocks:,} blocks computed, {report.done_before[stage]:,} were there")
