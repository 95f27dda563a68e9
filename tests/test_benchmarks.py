"""The benchmarks' own stores hold what they claim to."""

from pathlib import Path
from types import ModuleType

from pdstore.query import query_gene
from pdstore.store import open_store


def test_the_store_of_the_query_benchmark_answers(query_latency: ModuleType, tmp_path: Path) -> None:
    # More genes than are written at once.
    filled = range(query_latency.GENE - 500, query_latency.GENE + 1)
    query_latency.make_store(tmp_path / "big.zarr", filled)
    store = open_store(tmp_path / "big.zarr")
    for gene in (filled[0], filled[-1]):
        answer = query_gene(store, f"gene{gene}")
        assert len(answer["drivers"]) == 5
        assert answer["correlation"]["pearson_r"] is not None
