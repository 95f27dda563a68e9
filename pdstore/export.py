"""Tables of a store as TSV, CSV or Parquet, for R and spreadsheets."""

import csv
import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from pdstore.driver_table import driver_columns
from pdstore.errors import UsageError
from pdstore.gene_table import COUNTS, Columns, gene_columns
from pdstore.query import chosen_model
from pdstore.sources.text import check_new_file, new_file
from pdstore.store import Store, read_together

_VARIANTS = ("contig", "position", "ref", "alt", "kind", "allele_frequency", "carriers")


def export_table(store: Store, table: str, path: Path, model: str | None = None) -> int:
    """Write a table of a store.

    Parameters
    ----------
    store : Store
        The store.
    table : {"genes", "drivers", "variants", "predictions"}
        A row a gene, a driver, an alternate allele, or a gene and a person.
    path : Path
        The file, whole or not at all; its ending says how: ``.tsv``, ``.csv``, each with ``.gz`` or without, or
        ``.parquet``. Positions are 1-based; what the store lacks is empty, in Parquet null.
    model : str, optional
        Name of a filled model; the first filled where not given.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    UsageError
        The table or the ending is unknown, or the file is there already.
    MissingDataError
        The store does not hold what the table is of.
    """
    if table not in TABLES:
        raise UsageError(f"there is no table {table!r}: the tables are {', '.join(TABLES)}")
    check_new_file(path)
    batches = TABLES[table](store, None if table == "variants" else chosen_model(store, model))
    rows = 0
    with new_file(path) as partial, _writer(path, partial) as write:
        for batch in batches:
            write(batch)
            rows += len(next(iter(batch.values())))
    return rows


def _genes(store: Store, model: str | None) -> Iterator[Columns]:
    columns = gene_columns(store, model)
    # Only a summary of people withholds drivers.
    for name in [name for name in COUNTS if name in columns]:
        numbers = [None if np.isnan(number) else int(number) for number in columns[name]]
        columns[name] = np.array(numbers, dtype=object)
    yield columns


def _variants(store: Store, model: str | None) -> Iterator[Columns]:
    from pdstore.sources.variants import KINDS

    if "variants/position" not in store:
        raise UsageError(f"store {store.url} holds no variants")
    number = store.array("variants/position").shape[0]
    contigs = store.read("variants/contig_id")
    for start in range(0, number, 100_000):
        rows = slice(start, start + 100_000)
        found = read_together(store, {f"variants/{name}": rows for name in _VARIANTS})
        columns = {name: values for name in _VARIANTS if (values := found[f"variants/{name}"]) is not None}
        columns["contig"] = contigs[columns["contig"]]
        if "kind" in columns:
            columns["kind"] = np.array(KINDS, dtype=object)[columns["kind"]]
        yield columns


def _drivers(store: Store, model: str | None) -> Iterator[Columns]:
    model = chosen_model(store, model)
    yield from driver_columns(store, model, gene_columns(store, model))


def _predictions(store: Store, model: str | None) -> Iterator[Columns]:
    store.require_people()
    model = chosen_model(store, model)
    people = store.read("genotypes/sample_id")
    ids, names = store.read("genes/gene_id"), store.read("genes/gene_name")
    for gene in range(len(ids)):
        yield {
            "gene": np.full(len(people), names[gene], dtype=object),
            "id": np.full(len(people), ids[gene], dtype=object),
            "person": people,
            "prediction": store.read_if_filled(f"predictions/{model}/expression", gene),
            "observed": store.read("expression/observed", gene).astype(np.float64),
        }


TABLES: dict[str, Callable[[Store, str | None], Iterator[Columns]]] = {
    "genes": _genes,
    "drivers": _drivers,
    "variants": _variants,
    "predictions": _predictions,
}
"""Name of a table → its rows, some at a time."""


@contextmanager
def _writer(path: Path, partial: Path) -> Iterator[Callable[[Columns], None]]:
    """What writes columns to `partial`, in the format that the ending of `path` names."""
    ending = path.name.removesuffix(".gz").rpartition(".")[2]
    if path.name.endswith(".parquet"):
        yield from _parquet_writer(partial)
    elif ending in ("tsv", "csv"):
        with gzip.open(partial, "wt") if path.name.endswith(".gz") else partial.open("w", newline="") as file:
            yield _text_writer(file, "\t" if ending == "tsv" else ",")
    else:
        raise UsageError(f"{path}: the ending says how it is written: .tsv, .csv, .tsv.gz, .csv.gz or .parquet")


def _text_writer(file: TextIO, delimiter: str) -> Callable[[Columns], None]:
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    header: list[str] = []

    def write(columns: Columns) -> None:
        if not header:
            header.extend(columns)
            writer.writerow(header)
        writer.writerows(zip(*(_texts(values.tolist()) for values in columns.values()), strict=True))

    return write


def _texts(values: list[Any]) -> list[Any]:
    """Numbers as Python writes them, shortest that reads back the same; missing ones are empty."""
    return ["" if isinstance(value, float) and value != value else value for value in values]


def _parquet_writer(partial: Path) -> Iterator[Callable[[Columns], None]]:
    import pyarrow
    import pyarrow.parquet

    opened: list[Any] = []

    def write(columns: Columns) -> None:
        arrays = {name: pyarrow.array(values, from_pandas=True) for name, values in columns.items()}
        batch = pyarrow.table(arrays)
        if not opened:
            opened.append(pyarrow.parquet.ParquetWriter(partial, batch.schema))
        opened[0].write_table(batch)

    try:
        yield write
    finally:
        for writer in opened:
            writer.close()
