"""The table of all genes: columns, filters, sorting, summary."""

import csv
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pdstore.errors import MissingDataError, UsageError
from pdstore.gene_table import (
    Columns,
    Filter,
    correlation_status,
    gene_columns,
    rows_of,
    select,
    summarise,
    support_status,
)
from pdstore.query import query_gene
from pdstore.store import open_store

Program = Callable[..., subprocess.CompletedProcess[str]]
NAN = np.nan


@pytest.fixture
def columns() -> Columns:
    """Four genes; the third was not measured."""
    r, fdr = np.array([0.5, -0.9, NAN, 0.1]), np.array([0.01, 0.04, NAN, 0.5])
    count, fraction = np.array([2, 4, NAN, 0]), np.array([0.5, 0, NAN, NAN])
    return {
        "gene": np.array(["B", "A", "D", "C"], dtype=object),
        "id": np.array(["1", "2", "3", "4"], dtype=object),
        "pearson_r": r,
        "fdr": fdr,
        "empirical_fdr": fdr * 10,
        "observed_mean": np.array([1.0, 2, 3, 4]),
        "prediction_mean": np.array([4.0, 3, 2, 1]),
        "reference_prediction": np.array([2.0, 4, NAN, 8]),
        "driver_count": count,
        "fraction_supported": fraction,
        "status": correlation_status(r, fdr, 0.05),
        "support": support_status(count, fraction),
    }


def test_status_and_support_are_those_of_a_query(filled: Path) -> None:
    store = open_store(filled)
    table = gene_columns(store)
    for row, name in enumerate(table["gene"]):
        answer = query_gene(store, name)
        assert (table["status"][row] or None) == answer["correlation"]["status"]
        assert (table["support"][row] or None) == answer["support"]["status"]
        for column, value in (("pearson_r", answer["correlation"]["pearson_r"]), ("n_samples", answer["n_samples"])):
            assert rows_of(table)[row][column] == value
        fraction = answer["support"]["fraction_supported"]
        assert rows_of(table)[row]["fraction_supported"] == (None if fraction is None else pytest.approx(fraction))
        for column, value in answer["expression"].items():
            assert rows_of(table)[row][column] == value


def test_levels_of_expression_are_numpys(filled: Path) -> None:
    store = open_store(filled)
    table = gene_columns(store)
    observed = store.read("expression/observed").astype(np.float64)
    predicted = store.read("predictions/cnn/expression")
    np.testing.assert_allclose(table["observed_mean"], np.nanmean(observed, axis=1))
    np.testing.assert_allclose(table["observed_sd"], np.nanstd(observed, axis=1))
    np.testing.assert_allclose(table["prediction_mean"], np.nanmean(predicted, axis=1))
    np.testing.assert_allclose(table["prediction_sd"], np.nanstd(predicted, axis=1), atol=1e-15)
    reference = store.read("predictions/cnn/reference_tracks")[:, 0, 0].astype(np.float64)
    np.testing.assert_allclose(table["reference_prediction"], reference)
    # The mean over genes and people: R over genes is another question than R over people.
    expected = np.corrcoef(reference, np.nanmean(observed, axis=1))[0, 1]
    assert summarise(table).population_average_r == pytest.approx(expected)


def test_support_has_every_word() -> None:
    words = support_status(np.array([NAN, 0, 2, 2, 2, 2]), np.array([NAN, NAN, NAN, 1, 0, 0.5]))
    assert words.tolist() == ["", "no drivers", "undetermined", "supported", "unsupported", "mixed"]


@pytest.mark.parametrize(
    ("wanted", "genes"),
    [
        (Filter(), "BADC"),
        (Filter(status="anticorrelated"), "A"),
        (Filter(status="not significant"), "C"),
        (Filter(support="mixed"), "B"),
        (Filter(support="no drivers"), "C"),
        (Filter(min_abs_r=0.5), "BA"),
        (Filter(max_fdr=0.01), "B"),
        (Filter(max_fdr=0.4, fdr_kind="empirical"), "BA"),
        (Filter(status="correlated", min_abs_r=0.6), ""),
    ],
)
def test_filters(columns: Columns, wanted: Filter, genes: str) -> None:
    assert "".join(select(columns, wanted)["gene"]) == genes


@pytest.mark.parametrize(
    ("sort", "genes"),
    [
        ("gene", "ABCD"),
        ("pearson_r", "ACBD"),
        ("abs_r", "ABCD"),
        ("fdr", "BACD"),
        ("drivers", "ABCD"),
        ("fraction_supported", "BACD"),
    ],
)
def test_sorting_puts_genes_without_a_value_last(columns: Columns, sort: str, genes: str) -> None:
    assert "".join(select(columns, Filter(), sort)["gene"]) == genes
    assert "".join(select(columns, Filter(), sort, top=2)["gene"]) == genes[:2]


def test_an_unknown_order_is_refused(columns: Columns) -> None:
    with pytest.raises(UsageError, match="cannot be sorted by 'size'"):
        select(columns, Filter(), "size")


def test_the_summary_counts_genes_with_r(columns: Columns) -> None:
    summary = summarise(columns)
    assert (summary.genes, summary.significant, summary.anticorrelated) == (3, 2, 1)
    assert summary.mean_r == pytest.approx(-0.1)
    assert (summary.supported_correlated, summary.supported_anticorrelated) == (0.5, 0)
    assert summary.population_average_r == pytest.approx(np.corrcoef([2, 4, 8], [1, 2, 4])[0, 1])
    nothing = {name: values[:0] for name, values in columns.items()}
    assert summarise(nothing).genes == 0
    assert np.isnan(summarise(nothing).mean_r)


def test_a_store_without_statistics_says_so(unfilled: Path) -> None:
    with pytest.raises(MissingDataError, match="holds no predictions yet"):
        gene_columns(open_store(unfilled))


def test_the_program_prints_table_json_and_csv(pdstore: Program, filled: Path) -> None:
    table = pdstore("genes", "-s", filled, "--sort", "gene", "--top", "3").stdout
    heading = "gene TSS R FDR emp. FDR correlation drivers supported support"
    assert " ".join(table.splitlines()[0].split()) == heading
    assert "24 of 24 genes, 3 shown" in table
    assert "\x1b" not in table
    found = json.loads(pdstore("genes", "-s", filled, "--min-abs-r", "0.1", "-f", "json").stdout)
    rs = [gene["pearson_r"] for gene in found["genes"]]
    assert rs == sorted(rs, key=lambda r: -abs(r))
    assert all(abs(r) >= 0.1 for r in rs)
    assert 0 < len(rs) < found["summary"]["genes"]
    rows = list(csv.DictReader(io.StringIO(pdstore("genes", "-s", filled, "--sort", "place", "-f", "csv").stdout)))
    assert [row["gene"] for row in rows] == open_store(filled).read("genes/gene_name").tolist()
    assert rows[0]["n_samples"] == "40"


@pytest.mark.parametrize(
    "arguments", [["--status", "good"], ["--min-abs-r", "2"], ["--alpha", "0"], ["--model", "none"], ["--top", "0"]]
)
def test_bad_usage_exits_2(pdstore: Program, filled: Path, arguments: list[str]) -> None:
    refused = pdstore("genes", "-s", filled, *arguments)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert "Traceback" not in refused.stderr
