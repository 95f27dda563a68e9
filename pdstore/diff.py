"""Which genes' values differ between two stores: by gene, by person and by variant, whatever their order in each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pdstore.alignment import CommonGenes
from pdstore.compared_arrays import DIFFERS, SAME, ArrayDifference, Comparison
from pdstore.schema import group_schemas
from pdstore.store import Store

_RECORDED = ("weights_sha256", "model_options", "readout", "readout_weights_sha256", "residualised", "expression_pcs")
"""Attributes whose difference explains others."""


@dataclass
class Difference:
    """What differs between two stores.

    Attributes
    ----------
    stores : tuple of str
        Where both lie.
    gene, id : ndarray of str, shape (genes,)
        Symbols and identifiers of the genes that both have, in the order of the first.
    arrays : list of ArrayDifference
        Every array over genes that both have and that is compared.
    genes_only : tuple of list of (str, str)
        Symbol and identifier of the genes that only the first has, and only the second.
    groups_only : tuple of list of str
        Paths of groups, and of arrays over genes, that only the first has, and only the second.
    people_only : tuple of int
        Number of people whom only the first has, and only the second; their values are not compared.
    not_comparable : dict of str to str
        Path of an array → why its values cannot be set side by side.
    notes : list of str
        What explains differences: other inputs, weights, genome builds.
    """

    stores: tuple[str, str]
    gene: NDArray[np.object_]
    id: NDArray[np.object_]
    arrays: list[ArrayDifference] = field(default_factory=list)
    genes_only: tuple[list[tuple[str, str]], list[tuple[str, str]]] = field(default_factory=lambda: ([], []))
    groups_only: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    people_only: tuple[int, int] = (0, 0)
    not_comparable: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def genes_where(self, kind: int) -> NDArray[np.int64]:
        """Genes of which that is said in some array, or any of several kinds: int64, shape (found,), 0-based."""
        kinds = np.array([array.kind for array in self.arrays]).reshape(len(self.arrays), len(self.id))
        return np.flatnonzero((kinds & kind != SAME).any(axis=0))

    @property
    def differing(self) -> NDArray[np.int64]:
        """Genes of which values that both hold differ in some array: int64, shape (differing,), 0-based."""
        return self.genes_where(DIFFERS)

    @property
    def is_empty(self) -> bool:
        """Whether both hold the same values of the same genes."""
        only = (*self.genes_only, *self.groups_only, self.not_comparable)
        return not (len(self.genes_where(~SAME)) or any(only) or any(self.people_only))


def diff(first: Store, second: Store, tolerance: float = 0.0, genes: Sequence[str] = ()) -> Difference:
    """Compare two stores, gene by gene, by identifier.

    Arrays over people are compared by the people's names, those over a window's variants by position and alleles. Not
    compared are sequences and outputs for each haplotype or allele: people's predictions and ISM, which are read out of
    them, are. Only chunks whose bytes differ are decoded; of stores on a web server, or in S3, those whose digests do.

    Parameters
    ----------
    first, second : Store
        The stores.
    tolerance : float
        Relative difference up to which numbers are the same: fills of two machines differ in the last digits.
    genes : sequence of str
        Symbols or ids; none means all.

    Raises
    ------
    UnknownGeneError
        Neither store has a gene of that name.
    """
    stores = (first, second)
    common = CommonGenes(stores, genes)
    groups = [_groups(store) for store in stores]
    comparison = Comparison(stores, common.rows, tolerance)
    arrays = comparison.arrays([path for path in groups[0] if path in groups[1]])
    only = [[path for path in groups[side] if path not in groups[1 - side]] for side in (0, 1)]
    return Difference(
        (first.url, second.url),
        common.gene,
        common.id,
        arrays,
        common.only,
        (only[0] + comparison.arrays_only[0], only[1] + comparison.arrays_only[1]),
        comparison.people_only,
        comparison.not_comparable,
        list(_notes(first, second)),
    )


def _groups(store: Store) -> list[str]:
    """Paths of the groups that hold arrays over genes, sorted."""
    found = []
    for schema in group_schemas():
        if any(array.dims[0] == "genes" for array in schema.arrays.values()):
            parent = schema.path.split("/")[0]
            if parent != schema.path:
                found += [f"{parent}/{name}" for name in store.members(parent)]
            elif parent in store:
                found.append(parent)
    return sorted(found)


def _notes(first: Store, second: Store) -> Iterator[str]:
    """What both were made of, where it differs."""
    for store, which in ((first, "first"), (second, "second")):
        if first.is_summary != second.is_summary and store.is_summary:
            yield f"the {which} is a summary, which leaves out what few people are behind"
    of = (first.attributes, second.attributes)
    builds = [attributes.get("genome_build") for attributes in of]
    if builds[0] != builds[1]:
        yield f"genome build: {builds[0] or 'not given'} in the first, {builds[1] or 'not given'} in the second"
    inputs = [attributes.get("inputs") or {} for attributes in of]
    others = sorted(name for name in {*inputs[0], *inputs[1]} if inputs[0].get(name) != inputs[1].get(name))
    if others:
        yield f"made from other files: {', '.join(others)}"
    for path in sorted({*_groups(first)} & {*_groups(second)}):
        recorded = [store.group(path).attrs.asdict() for store in (first, second)]
        others = [name for name in _RECORDED if recorded[0].get(name) != recorded[1].get(name)]
        if others:
            yield f"{path} was made with other {', '.join(others)}"
