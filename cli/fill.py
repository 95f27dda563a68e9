"""pdstore fill: compute what is missing."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .output import DEFAULT_STORE, FolderOption, Format, note

INTERRUPTED = "interrupted: what was computed is kept; run the same command to go on"
_FAILURES_SHOWN = 20


def command(
    stages: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STAGE]...",
            help="windows, predictions, attributions, eqtl, statistics; all that is missing where none is named. Only "
            "where they are named: gradient, ism_window, ism_tss, attention.",
            show_default=False,
        ),
    ] = None,
    store: FolderOption = DEFAULT_STORE,
    model: Annotated[str, typer.Option("--model", "-m", help="One of those that pdstore models lists.")] = "",
    weights: Annotated[
        Path | None,
        typer.Option("--weights", "-w", help="The model's weights: a file; a folder; of some a name on the hub."),
    ] = None,
    genes: Annotated[
        str | None, typer.Option("--genes", help="Only these genes: symbols or ids, separated by commas.")
    ] = None,
    variants: Annotated[
        Literal["snv", "all"],
        typer.Option("--variants", help="Apply SNVs only, or every allele that is spelt out."),
    ] = "snv",
    label: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Name of this set of predictions.", show_default="the model's"),
    ] = None,
    tracks: Annotated[
        str | None,
        typer.Option(
            "--tracks",
            help="Tracks to keep: indices (0-99,4980), a glob over descriptions, or all.",
            show_default=False,
        ),
    ] = None,
    targets: Annotated[
        Path | None, typer.Option("--targets", help="Table of the model's tracks, as Basenji's targets_human.txt.")
    ] = None,
    bins: Annotated[
        str | None, typer.Option("--bins", help="Output bins to keep, 0-based; enformer's are 447-449.")
    ] = None,
    head: Annotated[str | None, typer.Option("--head", help="Head of the model: human or mouse.")] = None,
    use_tf_gamma: Annotated[
        bool | None,
        typer.Option(
            "--use-tf-gamma/--no-use-tf-gamma",
            help="Whether enformer's weights come from TensorFlow.",
            show_default="as the weights say",
        ),
    ] = None,
    protocol: Annotated[
        Literal["sasse2023", "huang2023"] | None,
        typer.Option("--protocol", help="Tracks, bins and ensemble as this article chose them."),
    ] = None,
    ensemble: Annotated[
        bool,
        typer.Option("--ensemble", help="Mean over shifts (of Enformer -3 to 3 bp) and strands: a set of its own."),
    ] = False,
    readout: Annotated[
        str | None,
        typer.Option(
            "--readout",
            help="sum, sum_log, log2_sum, elastic_net or attentive_chrome; no model is run for what is stored.",
            show_default="the store's, or sum",
        ),
    ] = None,
    readout_weights: Annotated[
        Path | None, typer.Option("--readout-weights", help="Weights of elastic_net (CSV) or attentive_chrome.")
    ] = None,
    precision: Annotated[
        Literal["float32", "tf32", "bf16", "delta-bf16"],
        typer.Option("--precision", help="Arithmetic; the README says what less than float32 costs."),
    ] = "float32",
    engine: Annotated[
        Literal["incremental", "plain"] | None,
        typer.Option(
            "--engine",
            help="Compute what windows change of the reference (Enformer), or each window whole.",
            show_default="incremental, where it does what is asked for",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, help="Windows in the model at once.", show_default="the model's"),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="Torch device: cpu, cuda, cuda:1.")] = "cpu",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, help="Worker processes.", show_default="one a GPU, else one; without a model one a core"
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="Use the workers of this dask scheduler: tcp://host:8786."),
    ] = None,
    slurm: Annotated[
        Path | None, typer.Option("--slurm", metavar="YAML", help="Use workers in SLURM jobs: see the README.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what there is to do, how big it gets and how long it takes.")
    ] = False,
    format: Annotated[Format, typer.Option("--format", "-f", help="How --dry-run prints its answer.")] = Format.table,
) -> None:
    """Fill a store with windows, predictions, attributions, eQTL slopes and statistics.

    What is there is not computed again: an interrupted fill goes on where it stopped.

    Example:
    pdstore fill -s cohort.zarr --model enformer --weights enformer/ --device cuda --dry-run
    """
    from pdstore.errors import ModelError, UsageError
    from pdstore.fill import FillError, fill
    from pdstore.jobs.cluster import Cluster
    from pdstore.models.protocol import ModelOptions
    from pdstore.models.registry import ModelReference, model_names, options_of_protocol

    from .progress import FillProgress

    if not model:
        raise ModelError(f"which model? Give --model: {', '.join(model_names())}")
    if genes is not None and not genes.strip(" ,"):
        raise UsageError("--genes names no gene; leave it out for all")
    options = ModelOptions(
        targets=targets.absolute() if targets else None,
        tracks=tracks,
        bins=bins,
        head=head,
        use_tf_gamma=use_tf_gamma,
        precision=precision,
        ensemble=ensemble,
        batch_size=batch_size,
        engine=engine,
    )
    if protocol is not None:
        options = options_of_protocol(model, protocol, options)
    # A name of the hub is no file.
    found = weights.absolute() if weights is not None and weights.exists() else weights
    if label is not None and not label.strip():
        raise UsageError("--as names no set of predictions")
    reference = ModelReference(model, found, device, variants, options, label or "")
    wanted = [name for name in (genes or "").split(",") if name.strip()]
    cluster = Cluster(workers, scheduler, slurm)
    if readout is not None and dry_run:
        raise UsageError("--dry-run says what the model costs, and a readout costs nothing: leave --readout out")
    if format is not Format.table and not dry_run:
        raise UsageError("--format is how --dry-run prints its answer: give it with --dry-run")
    if dry_run:
        from .plan_table import print_plan

        try:
            print_plan(store, reference, stages or (), wanted, cluster, format)
        except KeyboardInterrupt:
            note("interrupted; a dry run writes nothing")
            raise typer.Exit(130) from None
        return
    failed: FillError | None = None
    with FillProgress() as progress:
        try:
            report = fill(store, reference, progress, stages or (), wanted, cluster, readout, readout_weights)
        except FillError as error:
            report, failed = error.report, error
    for group in report.readouts_changed:
        note(f"{group} is read out anew from its stored tracks; no model was run for it")
    for array in report.dropped:
        note(f"{array} was of another readout and is dropped; its stage takes the model again")
    for failure in report.failures[:_FAILURES_SHOWN]:
        note(f"failed: {failure}")
    if len(report.failures) > _FAILURES_SHOWN:
        note(f"failed: {len(report.failures) - _FAILURES_SHOWN:,} more blocks")
    if report.genes_outside_contig:
        note(f"genes whose windows leave their contig: {report.genes_outside_contig:,}; the bases beyond it are N")
    if report.weights:
        said = "; ".join(f"{what}: {count:,}" for what, count in report.weights.items() if count)
        note(f"{said}; genes without a weight that could be used: {report.genes_without_prediction:,}")
        with_weight, in_store = list(report.weights.values())[:2]
        if in_store < with_weight / 2:
            note("fewer than half of the weights were found: are weights and store of one genome build?")
    if report.genes_without_r:
        reason = "not measured, no variance, or under 3 people"
        note(f"genes without a correlation: {report.genes_without_r:,} ({reason})")
    if report.genes_without_selection:
        reason = "no prediction, ISM does not add up to it, no allele varies, or under 3 people"
        note(f"genes whose drivers are undefined: {report.genes_without_selection:,} ({reason})")
    if failed is not None:
        raise failed
    if not any(report.computed.values()):
        done = sum(report.done_before.values())
        typer.echo(f"nothing to do: all {done:,} blocks of {', '.join(report.done_before)} are filled")
        return
    for step, blocks in report.computed.items():
        typer.echo(f"{step}: {blocks:,} blocks computed, {report.done_before[step]:,} were there")
