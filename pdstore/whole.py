"""Whether all of a store is there: a lost chunk reads as unfilled, and would be published as if it never was filled."""

import math
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import zarr

from pdstore.errors import DamagedDataError
from pdstore.schema import filled_array, schema_of
from pdstore.store import Store, genes_written

_COUNTED_BY = {"haplotypes": "haplotype_count", "window_variants": "variant_count"}
"""Dimension whose length differs from gene to gene → the array of its windows that says it."""

_SOURCES = ("predictions", "attributions")
"""Parents of groups that statistics of the same name are made of."""


def refuse_lost(store: Store) -> None:
    """Raise `DamagedDataError` where chunks are not there that have to be, by what else is filled.

    Of a gene whose mark is there, every array has its values; of arrays that span genes, and of groups that are not
    filled gene by gene, every chunk is there.
    """
    chunks = [f"{path}/c/{'/'.join(map(str, chunk))}" for path, chunk in lost_chunks(store)]
    lost = [*chunks, *_lost_genes(store)]
    if lost:
        more = f", and {len(lost) - 1:,} more" if len(lost) > 1 else ""
        raise DamagedDataError(
            f"store {store.url}: {lost[0]} is lost, or a fill was stopped before it{more}; fill again, or get the "
            "store again from a copy"
        )


def lost_chunks(store: Store) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Path of each array that lacks a chunk of what is filled, and the chunk."""
    for path, node in store.root.members(max_depth=None):
        group, _, name = path.rpartition("/")
        if not isinstance(node, zarr.Array):
            continue
        schema, grid = schema_of(group), tuple(map(math.ceil, np.divide(node.shape, node.chunks)))
        array = schema.arrays[name]
        is_by_gene = array.dims[0] == "genes" and array.chunks[0] == 1
        mark = f"{group}/{schema.filled_array}"
        if array.sparse:
            # What is not there may never have been.
            expected = set()
        elif schema.filled_array is None or mark not in store:
            # Rows of published tables are there where a gene has any.
            expected = set() if is_by_gene else set(product(*map(range, grid)))
        elif not (done := genes_written(store, mark)):
            expected = set()
        elif is_by_gene:
            parts = _parts(store, group, array.dims[1:2], node.chunks)
            expected = {(gene, part, *(0,) * (len(grid) - 2)) for gene in done for part in range(parts(gene))}
        else:
            expected = set(product(*map(range, grid)))
        missing = expected - store.chunks_written(path) if expected else set()
        yield from ((path, chunk) for chunk in sorted(missing))


def _lost_genes(store: Store) -> Iterator[str]:
    """Genes of which a group holds what was gathered, or made, of what is not there."""
    if store.is_summary:
        # It holds what was found, and not what that was made of.
        return
    names = store.read("genes/gene_name")
    needs: dict[str, list[str]] = {}
    for name in store.members("statistics"):
        window = store.group(f"statistics/{name}").attrs.get("window")
        needs[f"statistics/{name}"] = [*(f"{parent}/{name}" for parent in _SOURCES), f"eqtl/{window}"]
    for name in store.members("predictions"):
        if f"predictions/{name}/tracks" in store:
            needs[f"predictions/{name}"] = [f"windows/{store.group(f'predictions/{name}').attrs.get('window')}"]
    for group, sources in needs.items():
        for source in sources:
            lost = sorted(_filled(store, group) - _filled(store, source))
            yield from (f"{source} of gene {names[gene]}" for gene in lost)
    for group in {*needs, *(f"windows/{name}" for name in store.members("windows"))}:
        gathered = schema_of(group).gathered_array
        if gathered is None or f"{group}/{gathered}" not in store:
            continue
        known = set(np.flatnonzero(store.read_if_filled(f"{group}/{gathered}") >= 0).tolist())
        lost = sorted(known - _filled(store, group))
        yield from (f"{group} of gene {names[gene]}" for gene in lost)


def _filled(store: Store, group: str) -> set[int]:
    mark = filled_array(group)
    return genes_written(store, mark) if mark in store else set()


def _parts(store: Store, group: str, dims: tuple[str, ...], chunks: tuple[int, ...]) -> Callable[[int], int]:
    """Number of chunks of a gene along the second dimension."""
    counted_by = _COUNTED_BY.get(dims[0]) if dims else None
    parent, name = group.split("/")
    window = name if parent in ("windows", "eqtl") else store.group(group).attrs.get("window")
    if counted_by is None or f"windows/{window}/{counted_by}" not in store:
        return lambda gene: 1
    counts = store.read_if_filled(f"windows/{window}/{counted_by}")
    return lambda gene: max(1, math.ceil(int(counts[gene]) / chunks[1]))
