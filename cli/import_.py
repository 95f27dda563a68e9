"""pdstore import: a store from published tables."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .output import DEFAULT_STORE, FolderOption, note


def command(
    source: Annotated[Literal["sasse2023", "huang2023"], typer.Argument(help="Whose tables.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where they lie, gzipped or not.")],
    store: FolderOption = DEFAULT_STORE,
) -> None:
    """Make a store from published tables, to be asked like any other. It holds what an article found: no people, and
    no genotypes.

    sasse2023: SupplementaryTable1.tsv and SupplementaryTable2.tsv. huang2023: gene_list.csv, all_models_ref_preds.csv
    and eqtl_features.csv.

    Example:
    pdstore import sasse2023 tables/ -s sasse.zarr
    """
    from pdstore.import_tables import import_tables

    for remark in import_tables(Path(store), source, folder):
        note(remark)
    note(f"made {store}; next: pdstore genes -s {store}")
