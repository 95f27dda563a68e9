"""A query over HTTP in a store of the published size, counted by the server."""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from quiet import Quiet
from web_server import nginx

from pdstore.query import query_gene
from pdstore.schema import group_schemas
from pdstore.sharing.publish import publish
from pdstore.store import Store, open_store

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "query_latency.py"
MOST_REQUESTS, MOST_BYTES = 45, 400_000


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("query_latency", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def complete(store: Store, benchmark: ModuleType) -> None:
    """Add what a query does not read, and publishing asks for: groups that hold nothing yet, and attributes."""
    # Of a model of dosages, which this is not.
    for name in ("gene_counts", "count_name"):
        shutil.rmtree(Path(store.url, "predictions/enformer", name))
    sizes = dict.fromkeys((dim for of in group_schemas() for array in of.arrays.values() for dim in array.dims), 1)
    sizes |= {"genes": benchmark.GENES, "variants": benchmark.VARIANTS}
    for schema in group_schemas():
        path = schema.path.format(window=benchmark.WINDOW, model="enformer")
        if path and path not in store and not schema.optional:
            store.create_group(path, sizes, dict.fromkeys(schema.attributes, 16))
        if path in store or not path:
            held = store.group(path).attrs.asdict() if path else store.attributes
            given = {"inputs": {}, "counts": {}, "options": {}, "window": benchmark.WINDOW, "model": "enformer"}
            missing = {name: given.get(name) for name in schema.attributes if name not in held}
            (store.group(path) if path else store.root).attrs.update(missing)


@pytest.mark.parametrize("all_variants", [False, True])
def test_a_query_over_http_takes_few_requests_and_bytes(
    benchmark: ModuleType, tmp_path: Path, nginx_installed: None, all_variants: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of one gene alone the store has what queries read.
    monkeypatch.setattr("pdstore.sharing.publish.refuse_lost", lambda store: None)
    benchmark.make_store(tmp_path / "store.zarr", only_one_gene=True)
    complete(open_store(tmp_path / "store.zarr", "r+"), benchmark)
    publish(str(tmp_path / "store.zarr"), str(tmp_path / "published"), "full", Quiet(), individual_level=True)
    with nginx(tmp_path / "published") as server:
        answer = query_gene(open_store(server.url), f"GENE{benchmark.GENE}", all_variants=all_variants)
        asked = server.requests
    assert len(answer["drivers"]) == 5
    assert answer["variants"] is None or len(answer["variants"]) == 2_000
    sizes = {request.path: request.size for request in asked}
    assert len(asked) <= MOST_REQUESTS, sizes
    assert sum(sizes.values()) <= MOST_BYTES, sizes
