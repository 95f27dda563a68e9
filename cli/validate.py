"""pdstore validate: hold a store against its schemas."""

import typer

from pdstore.words import plain

from .output import DEFAULT_STORE, StoreOption, note


def command(store: StoreOption = DEFAULT_STORE) -> None:
    """Hold the layout of a store against its schemas and name every deviation; values are not read. Exits 1 if any.

    Example:
    pdstore validate -s cohort.zarr
    """
    from pdstore.schema import deviations
    from pdstore.store import open_store

    found = deviations(open_store(store).root)
    for deviation in found:
        typer.echo(plain(deviation))
    if found:
        note(f"{len(found)} deviation{'s' * (len(found) > 1)} from the schemas")
        raise typer.Exit(1)
    typer.echo(f"{store} is as its schemas say")
