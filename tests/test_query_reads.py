"""What a query reads, counted, in a store of the published size."""

from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import zarr
from zarr.storage import LocalStore, WrapperStore

from pdstore.location.local import Folder
from pdstore.query import query_gene
from pdstore.store import Store


class Counting(WrapperStore[LocalStore]):
    """Counts what is asked for, there or not, and the bytes of what is there."""

    def __init__(self, store: LocalStore) -> None:
        super().__init__(store)
        self.asked: Counter[str] = Counter()
        self.bytes = 0

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        found = await super().get(key, prototype, byte_range)
        self.asked[key] += 1
        self.bytes += 0 if found is None else len(found)
        return found


@pytest.mark.parametrize("all_variants", [False, True])
def test_a_query_reads_little_and_of_its_gene_only(
    published_size: Path, query_latency: ModuleType, all_variants: bool
) -> None:
    counting = Counting(LocalStore(published_size, read_only=True))
    store = Store(Folder(published_size), zarr.open_group(counting, mode="r", zarr_format=3))
    counting.asked.clear()
    counting.bytes = 0
    answer = query_gene(store, f"GENE{query_latency.GENE}", all_variants=all_variants)
    assert len(answer["drivers"]) == 5
    assert counting.asked.total() <= 60, counting.asked
    assert counting.bytes <= 1_000_000
    of_genes = [key for key in counting.asked if key.startswith(("attributions", "eqtl")) and "/c/" in key]
    assert of_genes
    assert {key.split("/c/")[1].split("/")[0] for key in of_genes} == {str(query_latency.GENE)}
