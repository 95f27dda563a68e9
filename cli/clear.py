"""pdstore clear: drop what a fill computed."""

import sys
from typing import Annotated

import typer

from pdstore.words import counted, plain

from .output import DEFAULT_STORE, FolderOption, note, size


def command(
    stages: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STAGE]...",
            help="windows, predictions, attributions, eqtl, statistics, attention, gradient, ism_window, ism_tss; all "
            "of a model where none is named.",
            show_default=False,
        ),
    ] = None,
    store: FolderOption = DEFAULT_STORE,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A model of the store, or what --as named.", show_default=False)
    ] = None,
    genes: Annotated[
        str | None, typer.Option("--genes", help="Only these genes: symbols or ids, separated by commas.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Drop a model, a stage or some genes of a store, and whatever was derived from them, so that they can be filled
    anew. Genotypes, reference and expression stay.

    Example:
    pdstore clear predictions -s cohort.zarr --model enformer --genes GSTM3
    """
    from pdstore.clear import clear, plan_clearing
    from pdstore.errors import UsageError
    from pdstore.store import open_store

    if genes is not None and not genes.strip(" ,"):
        raise UsageError("--genes names no gene; leave it out for all")
    opened = open_store(store)
    wanted = [name for name in (genes or "").split(",") if name.strip()]
    clearing = plan_clearing(opened, model, stages or (), wanted)
    which = f"{counted(len(clearing.genes), 'gene')} of " if clearing.genes else ""
    for path in clearing.paths:
        note(f"to be dropped: {which}{path} ({size(opened.size_on_disk(path))} in all)")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("clear asks before it drops anything; say --yes where nobody can answer")
        typer.confirm("Drop it?", abort=True, err=True)
    clear(store, clearing)
    typer.echo(f"dropped {which}{', '.join(plain(path) for path in clearing.paths)}")
