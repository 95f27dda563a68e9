"""pdstore merge: several stores of one cohort as one."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from .output import DEFAULT_STORE, FolderOption, note
from .progress import CopyProgress


def command(
    stores: Annotated[
        list[str], typer.Argument(metavar="STORE...", help="Two stores of one cohort, or more; they stay as they are.")
    ],
    store: FolderOption = DEFAULT_STORE,
) -> None:
    """Join stores of one cohort into a new one, --store: other genes filled, other models, or other gene tables.

    Genes and models of the first store come before those of the next. Stores of other people, genotypes or inputs, and
    genes that two stores filled with other values, are refused. Chunks go over as they are, their checksums checked;
    false discovery rates are of all genes, and computed anew.

    Example:
    pdstore merge mine.zarr theirs.zarr -s both.zarr
    """
    from pdstore.merge import merge

    with CopyProgress("merging") as progress:
        merged = merge(stores, Path(store), progress)
    for remark in merged.notes:
        note(remark)
    typer.echo(f"{merged.people:>9,}  people")
    typer.echo(f"{merged.genes:>9,}  genes")
    for what, count in merged.taken.items():
        typer.echo(f"{count:>9,}  {what}")
    if merged.left_out:
        typer.echo("left out:")
    for what, count in merged.left_out.items():
        typer.echo(f"{count:>9,}  {what}")
    note(f"made {store}; next: pdstore status -s {shlex.quote(store)}")
