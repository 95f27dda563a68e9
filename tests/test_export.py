"""Tables as files, read back by pandas' and R's conventions."""

import csv
import gzip
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pdstore.errors import MissingDataError, UsageError
from pdstore.export import export_table
from pdstore.gene_table import gene_columns
from pdstore.query import query_gene
from pdstore.store import Store, open_store

Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def store(filled: Path) -> Store:
    return open_store(filled)


def rows_of(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return list(csv.DictReader(file, delimiter="\t" if ".tsv" in path.name else ","))


@pytest.mark.parametrize("name", ["genes.tsv", "genes.csv", "genes.tsv.gz"])
def test_genes(store: Store, tmp_path: Path, name: str) -> None:
    assert export_table(store, "genes", tmp_path / name) == 24
    rows, columns = rows_of(tmp_path / name), gene_columns(store)
    assert [row["gene"] for row in rows] == columns["gene"].tolist()
    found = [float(row["pearson_r"] or "nan") for row in rows]
    # Every digit.
    np.testing.assert_array_equal(found, columns["pearson_r"])
    assert {row["n_samples"] for row in rows} == {"40"}
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_drivers_are_those_of_queries(store: Store, tmp_path: Path) -> None:
    rows = export_table(store, "drivers", tmp_path / "drivers.csv")
    found = rows_of(tmp_path / "drivers.csv")
    assert rows == len(found) > 5
    expected = [
        (answer["gene"]["name"], driver)
        for name in store.read("genes/gene_name").tolist()
        for answer in [query_gene(store, name)]
        for driver in answer["drivers"] or []
    ]
    assert [row["gene"] for row in found] == [gene for gene, _ in expected]
    for row, (_, driver) in zip(found, expected, strict=True):
        variant = ":".join([row["contig"], row["position"], row["ref"], row["alt"]])
        assert variant == driver["variant"]
        assert int(row["distance_to_tss"]) == driver["distance_to_tss"]
        assert int(row["strand_signed_distance"]) == driver["distance_to_tss"] * (-1 if row["strand"] == "-" else 1)
        assert (row["rank"] == "1") == driver["main"]
        assert row["support"] == driver["support"]
        for column, field in (("ism", "ism"), ("eqtl_slope", "eqtl_slope"), ("eqtl_p", "eqtl_p")):
            assert float(row[column] or "nan") == pytest.approx(driver[field] or np.nan, nan_ok=True)


def test_variants_and_predictions(store: Store, tmp_path: Path) -> None:
    assert export_table(store, "variants", tmp_path / "v.tsv") == store.array("variants/position").shape[0]
    rows = rows_of(tmp_path / "v.tsv")
    assert [int(row["position"]) for row in rows] == store.read("variants/position").tolist()
    assert {row["kind"] for row in rows} <= {"SNV", "insertion", "deletion", "MNV", "complex"}
    assert export_table(store, "predictions", tmp_path / "p.tsv") == 24 * 40
    rows = rows_of(tmp_path / "p.tsv")
    predicted = np.array([float(row["prediction"]) for row in rows]).reshape(24, 40)
    np.testing.assert_array_equal(predicted, store.read("predictions/cnn/expression"))
    assert [row["person"] for row in rows[:40]] == store.read("genotypes/sample_id").tolist()


@pytest.mark.parametrize("table", ["genes", "drivers", "variants", "predictions"])
def test_parquet_has_the_same_values(store: Store, tmp_path: Path, table: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export_table(store, table, tmp_path / "t.parquet")
    export_table(store, table, tmp_path / "t.csv")
    found, rows = parquet.read_table(tmp_path / "t.parquet"), rows_of(tmp_path / "t.csv")
    assert found.column_names == list(rows[0])
    for name in found.column_names:
        texts = ["" if value is None else str(value) for value in found[name].to_pylist()]
        assert texts == [row[name] for row in rows]


def test_what_cannot_be_written_is_refused_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    (tmp_path / "there.tsv").write_text("mine")
    for table, path, message in (
        ("people", tmp_path / "x.tsv", "there is no table 'people'"),
        ("genes", tmp_path / "x.xlsx", "the ending says how it is written"),
        ("genes", tmp_path / "there.tsv", "exists already"),
        ("genes", tmp_path / "no" / "x.tsv", "there is no folder"),
    ):
        with pytest.raises(UsageError, match=message):
            export_table(store, table, path)
    assert [path.name for path in tmp_path.iterdir()] == ["there.tsv"]
    assert (tmp_path / "there.tsv").read_text() == "mine"


def test_an_unfilled_store_has_no_predictions_to_export(unfilled: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="holds no predictions yet"):
        export_table(open_store(unfilled), "predictions", tmp_path / "p.tsv")
    assert list(tmp_path.iterdir()) == []


def test_the_program(pdstore: Program, filled: Path, tmp_path: Path) -> None:
    done = pdstore("export", "drivers", "-s", filled, "-o", tmp_path / "d.tsv")
    assert done.returncode == 0, done.stderr
    assert "rows to" in done.stderr
    assert done.stdout == ""
    assert pdstore("export", "drivers", "-s", filled, "-o", tmp_path / "d.tsv").returncode == 2
