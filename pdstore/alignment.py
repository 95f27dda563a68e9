"""Which genes, people and variants of two stores are the same, in whatever order each has them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import UnknownGeneError
from pdstore.query import find_gene
from pdstore.same_rows import is_same_array
from pdstore.store import Store, read_required

Columns = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Columns of what both stores have, in the first and in the second, 0-based."""

_VARIANT = ("contig", "position", "ref", "alt")
_VARIANTS_AT_ONCE = 100_000


class CommonGenes:
    """The genes of two stores, by identifier.

    Parameters
    ----------
    stores : sequence of Store
        Two stores.
    genes : sequence of str
        Symbols or ids of those that are wanted; none means all.

    Attributes
    ----------
    gene, id : ndarray of str, shape (genes,)
        Symbols and identifiers of the wanted genes that both have, in the order of the first.
    rows : ndarray of int64, shape (2, genes)
        Their rows in both, 0-based.
    only : tuple of list of (str, str)
        Symbol and identifier of those that only the first has, and only the second.

    Raises
    ------
    UnknownGeneError
        Neither store has a gene of that name.
    """

    def __init__(self, stores: Sequence[Store], genes: Sequence[str] = ()) -> None:
        found = [read_required(store, {"genes/gene_id": ..., "genes/gene_name": ...}) for store in stores]
        ids, names = zip(*([values.tolist() for values in of.values()] for of in found), strict=True)
        wanted = {_identifier(stores, ids, gene) for gene in genes} if genes else {*ids[0], *ids[1]}
        row_of = [{gene: row for row, gene in enumerate(of)} for of in ids]
        common = [gene for gene in ids[0] if gene in row_of[1] and gene in wanted]
        self.rows = np.array([[of[gene] for gene in common] for of in row_of], dtype=np.int64).reshape(2, len(common))
        self.id = np.array(common, dtype=object)
        self.gene = np.array([names[0][row] for row in self.rows[0]], dtype=object)
        self.only = (_only(ids[0], names[0], wanted - {*ids[1]}), _only(ids[1], names[1], wanted - {*ids[0]}))


class CommonVariants:
    """The variants of both stores' windows, gene by gene.

    Parameters
    ----------
    path : str
        Of the windows: ``windows/<window>``.
    stores : sequence of Store
        Two stores that have it.
    rows : ndarray of int64, shape (2, genes)
        Rows of the genes in both.
    matching : ndarray of int64, shape (variants of the first,), or None
        Of `matching_variants`.

    Attributes
    ----------
    missing : ndarray of bool, shape (2, genes)
        Whether the gene's window in the first store lacks a variant that it has in the second; and the other way round.
    in_place : ndarray of bool, shape (genes,)
        Whether both have the same variants in the same columns.
    """

    def __init__(
        self, path: str, stores: Sequence[Store], rows: NDArray[np.int64], matching: NDArray[np.int64] | None
    ) -> None:
        genes = rows.shape[1]
        self._start, self._count = np.empty((2, genes), np.int64), np.empty((2, genes), np.int64)
        for side, store in enumerate(stores):
            values = read_required(store, {f"{path}/variant_start": ..., f"{path}/variant_count": ...})
            self._start[side], self._count[side] = (of[rows[side]] for of in values.values())
        # Where windows are not placed yet.
        self._count = np.maximum(self._count, 0)
        self._matching = matching
        self.missing = np.zeros((2, genes), dtype=bool)
        self.in_place = np.zeros(genes, dtype=bool)
        for gene in range(genes):
            ours, theirs = self.columns(gene)
            self.missing[:, gene] = len(ours) < self._count[::-1, gene]
            self.in_place[gene] = not self.missing[:, gene].any() and np.array_equal(ours, theirs)

    def columns(self, gene: int) -> Columns:
        """Columns of the variants that both hold."""
        start, count = self._start[:, gene], self._count[:, gene]
        rows = slice(start[0], start[0] + count[0])
        row = np.arange(rows.start, rows.stop) if self._matching is None else self._matching[rows]
        column = row - start[1]
        both = np.flatnonzero((row >= 0) & (column >= 0) & (column < count[1]))
        return both, column[both]


def common_names(first: Sequence[str], second: Sequence[str]) -> Columns:
    """Where two lists have the same names, in the order of the first."""
    column = {name: at for at, name in enumerate(second)}
    both = [(at, column[name]) for at, name in enumerate(first) if name in column]
    aligned = np.array(both, dtype=np.int64).reshape(-1, 2).T
    return aligned[0], aligned[1]


def matching_variants(stores: Sequence[Store]) -> NDArray[np.int64] | None:
    """Row of variants/ in the second store that has the variant of each row in the first, by position and alleles.

    Returns
    -------
    ndarray of int64, shape (variants of the first,), or None
        -1 where the second has no such variant; None where both have the same rows.
    """
    if all(is_same_array(stores, f"variants/{name}") for name in ("contig_id", *_VARIANT)):
        return None
    first, second = (_variant_keys(store) for store in stores)
    return matching_rows(first, second)


def matching_rows(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row of the second that has the key of each row of the first; -1 where none has.

    Parameters
    ----------
    first, second : ndarray of int64, shape (rows,)
        Keys. Of a key that the second has more than once, the first row counts.
    """
    order = np.argsort(second, kind="stable")
    place = np.searchsorted(second[order], first)
    inside = place < len(second)
    row = order[np.where(inside, place, 0)] if len(second) else np.full(len(first), -1)
    matches = inside & (second[row] == first) if len(second) else inside
    return np.where(matches, row, -1)


def _identifier(stores: Sequence[Store], ids: Sequence[list[str]], gene: str) -> str:
    """Identifier of a gene that either store has."""
    try:
        return ids[0][find_gene(stores[0], gene)]
    except UnknownGeneError:
        return ids[1][find_gene(stores[1], gene)]


def _only(ids: Sequence[str], names: Sequence[str], wanted: set[str]) -> list[tuple[str, str]]:
    """Symbol and identifier of the wanted genes, in the store's order."""
    return [(name, gene) for gene, name in zip(ids, names, strict=True) if gene in wanted]


def _variant_keys(store: Store) -> NDArray[np.int64]:
    """A number for each row of variants/, of its contig, position and alleles: int64, shape (variants,)."""
    contigs = [name.removeprefix("chr") for name in store.read("variants/contig_id").tolist()]
    variants = store.array("variants/position").shape[0]
    keys = np.empty(variants, dtype=np.int64)
    for start in range(0, variants, _VARIANTS_AT_ONCE):
        rows = slice(start, start + _VARIANTS_AT_ONCE)
        columns = [of.tolist() for of in read_required(store, {f"variants/{name}": rows for name in _VARIANT}).values()]
        # 64 bits of each: of ten million variants, two share a number once in 300,000 stores.
        keys[rows] = [hash((contigs[contig], *rest)) for contig, *rest in zip(*columns, strict=True)]
    return keys
