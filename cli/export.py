"""pdstore export: a table as a file, or the genotypes as VCF Zarr."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pdstore.errors import UsageError
from pdstore.words import counted

from .output import DEFAULT_STORE, CacheOption, StoreOption, note


def command(
    what: Annotated[
        Literal["genes", "drivers", "variants", "predictions", "vcz"],
        typer.Argument(
            metavar="WHAT",
            help="A table, a row a gene (genes), a driver (drivers), an alternate allele (variants), or a gene and a "
            "person (predictions); or the genotypes as VCF Zarr (vcz).",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Argument(
            metavar="OUT",
            help="The file: .tsv, .csv, with .gz or without, or .parquet; of vcz a new folder.",
            show_default=False,
        ),
    ] = None,
    out_option: Annotated[Path | None, typer.Option("--out", "-o", metavar="OUT", help="The same.")] = None,
    store: StoreOption = DEFAULT_STORE,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="One of the filled models.", show_default="the first filled")
    ] = None,
    cache: CacheOption = None,
) -> None:
    """Write a table of the store for R or a spreadsheet, or its genotypes as VCF Zarr (Zarr format 2) for sgkit and
    vcztools. Predictions and genotypes have people's names and values: share them as you would share the store.

    \b
    Example:
    pdstore export drivers drivers.tsv -s cohort.zarr
    pdstore export vcz cohort.vcz -s cohort.zarr
    """
    from pdstore.store import open_store

    if out is None:
        out = out_option
    elif out_option is not None:
        raise UsageError(f"where to, {out} or {out_option}? Name one of both")
    if out is None:
        raise UsageError(f"where to? pdstore export {what} OUT")
    if what == "vcz":
        if model is not None:
            raise UsageError("genotypes are of no model: leave --model out")
        _export_vcf_zarr(store, out)
        return
    from pdstore.export import export_table

    rows = export_table(open_store(store, cache=cache), what, out, model)
    note(f"wrote {rows:,} rows to {out}")


def _export_vcf_zarr(store: str, out: Path) -> None:
    from pdstore.store import open_store
    from pdstore.vcf_zarr import export_vcf_zarr

    from .progress import FillProgress

    with FillProgress() as progress:
        found = export_vcf_zarr(open_store(store), out, progress)
    for leftover in found.leftovers:
        note(f"left by another export, which was killed or still runs: {leftover}")
    note(f"wrote {counted(found.variants, 'record')} of {found.samples:,} people to {out}")
    note(f"{out} holds people's genotypes and names: share it as you would share the store")
