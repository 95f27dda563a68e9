"""pdstore validate: hold a store against its schemas."""

import typer

from .output import DEFAULT_STORE, StoreOption, plain


def command(store: StoreOption = DEFAULT_STORE) -> None:
    """Hold a store against its schemas and name every deviation.

    Example:
    pdstore validate -s cohort.zarr
    """
    from pdstore.schema import deviations
    from pdstore.store import open_store

    found = deviations(open_store(store).root)
    for deviation in found:
        typer.echo(plain(deviation))
    if found:
        typer.echo(f"{len(found)} deviations", err=True)
        raise typer.Exit(1)
    typer.echo(f"{store} is as its schemas say")
