"""Stores of the builders' cohort, filled by the CNN that tests/stores keeps, and what they hold."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from builders import GENES, GeneRow, write_cohort, write_genes

from pdstore.init import init_store
from pdstore.models.registry import ModelReference
from pdstore.store import open_store

WEIGHTS = ModelReference("cnn", Path(__file__).parent / "stores" / "cnn.safetensors")


def made(
    folder: Path,
    fill_now: Callable[..., None],
    genes: Sequence[GeneRow] = GENES,
    rows: list[int] | None = None,
    **changes: Any,
) -> Path:
    """A store of some of the builders' genes, filled for all of them, or for those of some rows.

    Parameters
    ----------
    folder : Path
        Where the cohort and the store are written; it is made.
    fill_now : callable
        The fixture of that name.
    genes : sequence of GeneRow
        The store's genes.
    rows : list of int, optional
        0-based rows of the genes that are filled; without it, all of them.
    **changes
        Fields of `pdstore.init.Sources` but genes.

    Returns
    -------
    Path
        The store, in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources = write_cohort(folder, genes=write_genes(folder / "genes-of-the-store.tsv", genes), **changes)
    init_store(folder / "store.zarr", sources)
    if rows != []:
        fill_now(open_store(folder / "store.zarr", "r+"), WEIGHTS, rows)
    return folder / "store.zarr"


def chunks(store: Path) -> dict[str, bytes]:
    """Every chunk of a store, by its key."""
    return {
        file.relative_to(store).as_posix(): file.read_bytes()
        for file in store.rglob("*")
        if file.is_file() and "/c/" in file.as_posix()
    }
