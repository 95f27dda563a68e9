"""The benchmarks' own stores hold what they claim to."""

from pathlib import Path
from types import ModuleType

from pdstore.query import query_gene
from pdstore.store import open_store


def test_the_store_of_the_query_benchmark_answers(query_latency: ModuleType, tmp_path: Path) -> None:
    query_latency.make_store(tmp_path / "big.zarr")
    answer = query_gene(open_store(tmp_path / "big.zarr"), f"gene{query_latency.GENE}")
    assert len(answer["drivers"]) == 5
    assert answer["correlation"]["pearson_r"] is not None
