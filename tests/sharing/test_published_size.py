"""A query over HTTP in a store of the published size, counted by the server."""

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

MOST_REQUESTS, MOST_BYTES = 45, 400_000


def complete(store: Store, query_latency: ModuleType) -> None:
    """Add what a query does not read, and publishing asks for: groups that hold nothing yet, and attributes."""
    # Of a model of dosages, which this is not.
    for name in ("gene_counts", "count_name"):
        shutil.rmtree(Path(store.url, "predictions/enformer", name))
    sizes = dict.fromkeys((dim for of in group_schemas() for array in of.arrays.values() for dim in array.dims), 1)
    sizes |= {"genes": query_latency.GENES, "variants": query_latency.VARIANTS}
    for schema in group_schemas():
        path = schema.path.format(window=query_latency.WINDOW, model="enformer")
        if path and path not in store and not schema.optional:
            store.create_group(path, sizes, dict.fromkeys(schema.attributes, 16))
        if path in store or not path:
            held = store.group(path).attrs.asdict() if path else store.attributes
            given = {"inputs": {}, "counts": {}, "options": {}, "window": query_latency.WINDOW, "model": "enformer"}
            missing = {name: given.get(name) for name in schema.attributes if name not in held}
            (store.group(path) if path else store.root).attrs.update(missing)


@pytest.fixture(scope="module")
def published(published_size: Path, query_latency: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store published whole, in a folder."""
    folder = tmp_path_factory.mktemp("published")
    shutil.copytree(published_size, folder / "store.zarr")
    complete(open_store(folder / "store.zarr", "r+"), query_latency)
    with pytest.MonkeyPatch.context() as patch:
        # Of one gene alone the store has what queries read.
        patch.setattr("pdstore.sharing.publish.refuse_lost", lambda store: None)
        publish(str(folder / "store.zarr"), str(folder / "published"), "full", Quiet(), individual_level=True)
    return folder / "published"


@pytest.mark.parametrize("all_variants", [False, True])
def test_a_query_over_http_takes_few_requests_and_bytes(
    query_latency: ModuleType, published: Path, nginx_installed: None, all_variants: bool
) -> None:
    with nginx(published) as server:
        answer = query_gene(open_store(server.url), f"GENE{query_latency.GENE}", all_variants=all_variants)
        asked = server.requests
    assert len(answer["drivers"]) == 5
    assert answer["variants"] is None or len(answer["variants"]) == 2_000
    sizes = {request.path: request.size for request in asked}
    assert len(asked) <= MOST_REQUESTS, sizes
    assert sum(sizes.values()) <= MOST_BYTES, sizes
