"""pdstore export: a table as a file."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .output import DEFAULT_STORE, CacheOption, StoreOption, note


def command(
    table: Annotated[
        Literal["genes", "drivers", "variants", "predictions"],
        typer.Argument(help="A row a gene, a driver, an alternate allele, or a gene and a person."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file: .tsv, .csv, with .gz or without, or .parquet.")],
    store: StoreOption = DEFAULT_STORE,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="One of the filled models.", show_default="the first filled")
    ] = None,
    cache: CacheOption = None,
) -> None:
    """Write a table of the store for R or a spreadsheet. Predictions have people's names and their values: share them
    as you would share the store.

    Example:
    pdstore export drivers -s cohort.zarr -o drivers.tsv
    """
    from pdstore.export import export_table
    from pdstore.store import open_store

    rows = export_table(open_store(store, cache=cache), table, out, model)
    note(f"wrote {rows:,} rows to {out}")
