"""pdstore validate: hold a store against its schemas."""

import json
import sys
from typing import Annotated, Literal

import typer

from pdstore.words import counted, plain

from .output import DEFAULT_STORE, CacheOption, Format, StoreOption, note


def command(
    store: StoreOption = DEFAULT_STORE,
    format: Annotated[Literal["table", "json"], typer.Option("--format", "-f", help="How to print it.")] = "table",
    cache: CacheOption = None,
) -> None:
    """Hold the layout of a store against its schemas and name every deviation; values are not read. Exits 1 if any.

    Example:
    pdstore validate -s cohort.zarr
    """
    from pdstore.schema import deviations
    from pdstore.store import open_store

    found = deviations(open_store(store, cache=cache).root)
    if format == Format.json:
        json.dump({"store": store, "valid": not found, "deviations": found}, sys.stdout, indent=2)
        sys.stdout.write("\n")
        raise typer.Exit(1 if found else 0)
    for deviation in found:
        typer.echo(plain(deviation))
    if found:
        note(f"{counted(len(found), 'deviation')} from the schemas")
        raise typer.Exit(1)
    typer.echo(f"{store} is as its schemas say")
