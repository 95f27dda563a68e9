"""Windows straight from genotypes: for notebooks, and as batches for a DataLoader, against the filled windows."""

import os
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import zarr
from torch.utils.data import DataLoader
from zarr.storage import LocalStore, WrapperStore

import pdstore
from pdstore.errors import UnknownGeneError, UsageError
from pdstore.loading import HaplotypeBatch, HaplotypeBatches
from pdstore.location.local import Folder
from pdstore.models.registry import ModelReference
from pdstore.store import Store, open_store


@pytest.fixture(scope="module")
def store(filled: Path) -> Store:
    return open_store(filled)


def stored_window(store: Store, window: str, gene: int, person: int, haplotype: int) -> np.ndarray:
    row = int(store.read(f"windows/{window}/haplotype_index", gene)[person, haplotype])
    return store.read(f"windows/{window}/haplotype_onehot", (gene, row))


def whose(batches: list[HaplotypeBatch]) -> list[tuple[int, int, int]]:
    return [triple for batch in batches for triple in zip(*(column.tolist() for column in batch[1:4]), strict=True)]


def test_a_genes_haplotypes_are_the_filled_ones(store: Store, cnn: ModelReference) -> None:
    gene = str(store.read("genes/gene_name", 2))
    found = pdstore.gene_haplotypes(store, gene, cnn.window, people=[7, 3])
    assert list(zip(found.person.tolist(), found.haplotype.tolist(), strict=True)) == [(7, 0), (7, 1), (3, 0), (3, 1)]
    for row, (person, haplotype) in enumerate(zip(found.person, found.haplotype, strict=True)):
        assert np.array_equal(found.onehot()[row], stored_window(store, cnn.window.name, 2, person, haplotype))
    start = int(store.read(f"windows/{cnn.window.name}/window_start", 2))
    expected = np.arange(start, start + cnn.window.length)
    if cnn.window.reverses(str(store.read("genes/gene_strand", 2))):
        expected = expected[::-1]
    # SNVs move nothing.
    assert (found.reference_map().position == expected).all()
    assert not found.reference_map().is_inserted.any()


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_every_haplotype_once(store: Store, cnn: ModelReference, layout: str, workers: int) -> None:
    names = store.read("genes/gene_name").tolist()
    batches = HaplotypeBatches(
        store.url, cnn.window, names[:5], range(8), batch_size=7, layout=layout, shuffle=True, genes_at_once=2
    )
    found = list(DataLoader(batches, batch_size=None, num_workers=workers))
    assert sorted(whose(found)) == [
        (gene, person, haplotype) for gene in range(5) for person in range(8) for haplotype in (0, 1)
    ]
    observed = store.read("expression/observed")
    for batch in found:
        assert batch.onehot.dtype == torch.float32
        assert batch.onehot.is_contiguous()
        windows = batch.onehot.transpose(1, 2) if layout == "channels_first" else batch.onehot
        assert windows.shape == (len(batch.gene), cnn.window.length, 4)
        for window, gene, person, haplotype, value in zip(windows, *batch[1:], strict=True):
            expected = stored_window(store, cnn.window.name, int(gene), int(person), int(haplotype))
            assert np.array_equal(window.numpy(), expected)
            assert value == observed[gene, person]


def test_the_order_depends_on_seed_and_epoch_alone(store: Store, cnn: ModelReference) -> None:
    def order(seed: int, epoch: int, shuffle: bool = True) -> list[tuple[int, int, int]]:
        batches = HaplotypeBatches(store, cnn.window, people=range(3), shuffle=shuffle, seed=seed)
        batches.set_epoch(epoch)
        return whose(list(batches))

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)
    assert order(1, 0, shuffle=False) == sorted(order(1, 0))


class Recorded(WrapperStore[LocalStore]):
    """Remembers what is read."""

    keys: ClassVar[list[str]] = []

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        self.keys.append(key)
        return await super().get(key, prototype, byte_range)


def test_only_the_chunks_that_are_needed_are_read_and_once_a_gene(unfilled: Path, cnn: ModelReference) -> None:
    opened = open_store(unfilled)
    names = opened.read("genes/gene_name").tolist()[:3]
    recorded = Store(Folder(unfilled), zarr.open_group(Recorded(LocalStore(unfilled)), mode="r", zarr_format=3))
    batches = HaplotypeBatches(recorded, cnn.window, names, range(3), batch_size=4)
    Recorded.keys.clear()
    assert len(whose(list(batches))) == 3 * 3 * 2
    groups = Counter(key.split("/")[0] for key in Recorded.keys)
    assert set(groups) <= {"genes", "variants", "genotypes", "reference", "expression"}
    calls = [key for key in Recorded.keys if key.startswith("genotypes/") and "/c/" in key]
    # All variants of this small cohort are in one chunk.
    assert calls == ["genotypes/call_genotype/c/0/0/0"] * 3
    observed = [key for key in Recorded.keys if key.startswith("expression/observed/c")]
    assert len(observed) == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"genes": ["NOBODY"]}, UnknownGeneError, "no gene 'NOBODY'"),
        ({"people": [0, 40]}, UsageError, "people are numbered 0 to 39, but 40 is asked for"),
        ({"people": [-1]}, UsageError, "but -1 is asked for"),
        ({"people": [True] * 40}, UsageError, "people are numbers from 0 to 39, but bool"),
        ({"people": [1.7]}, UsageError, "but float64"),
        ({"people": ["HGq7001"]}, UsageError, "people are numbers from 0 to 39, but <U7 of shape"),
        ({"genes": "DDX11"}, UsageError, "genes is one text"),
        ({"batch_size": 2.5}, UsageError, "batch_size is 2.5"),
        ({"layout": "sideways"}, UsageError, "layout 'sideways'"),
        ({"batch_size": 0}, UsageError, "batch_size is 0"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    store: Store, cnn: ModelReference, options: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        HaplotypeBatches(store, cnn.window, **options)


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_follow_the_epoch(store: Store, cnn: ModelReference, persistent: bool) -> None:
    batches = HaplotypeBatches(store, cnn.window, people=range(3), shuffle=True)
    loader = DataLoader(batches, batch_size=None, num_workers=1, persistent_workers=persistent)
    orders = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        orders.append(whose(list(loader)))
    assert orders[0] == orders[2] != orders[1]


def test_a_genes_haplotypes_print_without_anybodys_alleles(store: Store, cnn: ModelReference) -> None:
    found = pdstore.gene_haplotypes(store.url, str(store.read("genes/gene_name", 0)), cnn.window, people=[4])
    assert repr(found) == f"<GeneHaplotypes of gene 0: 2 haplotypes of 1 people, {cnn.window.name}>"


def test_nobody_and_no_gene_make_no_batch(store: Store, cnn: ModelReference) -> None:
    assert list(HaplotypeBatches(store, cnn.window, people=[])) == []
    assert list(HaplotypeBatches(store, cnn.window, genes=[])) == []


def test_threads_outlive_a_fork(store: Store, cnn: ModelReference) -> None:
    """A DataLoader forks: the child must not wait for threads that only its parent has."""
    found = pdstore.gene_haplotypes(store, str(store.read("genes/gene_name", 0)), cnn.window)
    expected = found.onehot(threads=2)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(found.onehot(threads=2), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
