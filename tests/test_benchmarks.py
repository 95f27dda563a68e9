"""The benchmarks' own stores hold what they claim to."""

import importlib.util
from pathlib import Path

import pytest

from pdstore.query import query_gene
from pdstore.store import open_store

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_the_store_of_the_query_benchmark_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("query_latency", BENCHMARKS / "query_latency.py")
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    benchmark.make_store(tmp_path / "big.zarr")
    answer = query_gene(open_store(tmp_path / "big.zarr"), f"gene{benchmark.GENE}")
    assert len(answer["drivers"]) == 5
    assert answer["correlation"]["pearson_r"] is not None
