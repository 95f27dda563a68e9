"""People's haplotypes of one gene, built from a store's genotypes and reference: nothing need be filled."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import InputError, UsageError
from pdstore.haplotypes.build import ReferenceMap, haplotype_letters, haplotype_windows, reference_map
from pdstore.haplotypes.overlaps import Reach, first_wins
from pdstore.haplotypes.window import WindowSpec
from pdstore.query import find_gene
from pdstore.sources.text import existing_file, read_lines
from pdstore.stages.gene_window import GeneWindow, reaches, read_calls, read_gene_window
from pdstore.store import Store, open_store


@dataclass(frozen=True)
class GeneHaplotypes:
    """Haplotypes of people around one gene: made by `gene_haplotypes`.

    Attributes
    ----------
    spec : WindowSpec
        Which window of the gene.
    window : GeneWindow
        The reference around the gene, and the alleles in its reach.
    person, haplotype : ndarray of int64, shape (haplotypes,)
        Whose it is: column of the people, in the order of genotypes/sample_id; and which of theirs, from 0.
    applied : ndarray of bool, shape (haplotypes, alleles)
        Which alleles each haplotype has, after overlaps are resolved.
    """

    spec: WindowSpec
    window: GeneWindow
    person: NDArray[np.int64]
    haplotype: NDArray[np.int64]
    applied: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.person)

    def __repr__(self) -> str:
        # Without anybody's alleles: what is printed ends in logs.
        people = len(np.unique(self.person))
        return (
            f"<GeneHaplotypes of gene {self.window.gene}: {len(self)} haplotypes of {people} people, {self.spec.name}>"
        )

    def onehot(self, rows: slice | NDArray[np.int64] = slice(None), threads: int = 1) -> NDArray[np.bool_]:
        """One-hot windows of some of the haplotypes, counted as in `person`.

        Returns
        -------
        ndarray of bool, shape (rows, positions, 4)
            In the order A, C, G, T.
        """
        return haplotype_windows(self.spec, self.window.stretch, self.window.alleles, self.applied[rows], threads)

    def letters(self, rows: slice | NDArray[np.int64] = slice(None), threads: int = 1) -> NDArray[np.uint8]:
        """The same as ASCII letters, as the FASTA has them in upper case: uint8, shape (rows, positions)."""
        return haplotype_letters(self.spec, self.window.stretch, self.window.alleles, self.applied[rows], threads)

    def reference_map(self, rows: slice | NDArray[np.int64] = slice(None)) -> ReferenceMap:
        """Where on the reference each base of some of the windows lies."""
        return reference_map(self.spec, self.window.stretch, self.window.alleles, self.applied[rows])


def gene_haplotypes(
    store: str | Path | Store,
    gene: str,
    window: WindowSpec,
    people: Sequence[int] | None = None,
) -> GeneHaplotypes:
    """People's haplotypes around a gene.

    Parameters
    ----------
    store : str, Path or Store
        The store, or where it is; its windows need not be filled.
    gene : str
        Symbol in any case, or Ensembl id.
    window : WindowSpec
        Which window of the gene, with which variants.
    people : sequence of int, optional
        Columns of the people, in the order of genotypes/sample_id; all where not given.

    Returns
    -------
    GeneHaplotypes
        Of every person two, or one where calls are haploid.

    Raises
    ------
    UnknownGeneError
        The store has no such gene.
    UsageError
        The store has no such person.

    Examples
    --------
    >>> found = gene_haplotypes(store, "GSTM3", WindowSpec(196_608, 98_303, "forward", "all"))  # doctest: +SKIP
    >>> found.reference_map().position[0]  # doctest: +SKIP
    """
    opened = store if isinstance(store, Store) else open_store(store)
    row = find_gene(opened, gene)
    (reach,) = reaches(opened, window, [row])
    return read_haplotypes(opened, window, row, reach, check_people(opened, people))


def check_people(store: Store, people: Sequence[int] | None) -> NDArray[np.int64]:
    """Columns of people as an array, all where none are given; raises `UsageError` where one does not exist."""
    count = store.array("expression/observed").shape[1]
    columns = np.arange(count) if people is None else np.asarray(people)
    if columns.ndim != 1 or (columns.size and not np.issubdtype(columns.dtype, np.integer)):
        raise UsageError(
            f"people are numbers from 0 to {count - 1}, but {columns.dtype} of shape {columns.shape} is given"
        )
    columns = columns.astype(np.int64)
    for column in columns[(columns < 0) | (columns >= count)]:
        raise UsageError(f"people are numbered 0 to {count - 1}, but {column} is asked for")
    return columns


def people_of_file(path: Path, names: Sequence[str]) -> NDArray[np.int64]:
    """Columns of the people whose names a file has, one a line, sorted; raises `InputError` for one who is not there.

    Errors tell the line, and nobody's name.
    """
    row_of = {name: row for row, name in enumerate(names)}
    found: dict[int, int] = {}
    for number, line in read_lines(existing_file(path, "people")):
        name = line.strip()
        if not name:
            continue
        if name not in row_of:
            raise InputError(f"people {path}, line {number}: nobody of the store has this name")
        if row_of[name] in found:
            raise InputError(f"people {path}, line {number}: the same person as in line {found[row_of[name]]}")
        found[row_of[name]] = number
    if not found:
        raise InputError(f"people {path}: names nobody")
    return np.array(sorted(found), dtype=np.int64)


def read_haplotypes(
    store: Store, window: WindowSpec, gene: int, reach: Reach, people: NDArray[np.int64]
) -> GeneHaplotypes:
    """`gene_haplotypes` of a row of genes/ whose reach is known."""
    gene_window = read_gene_window(store, window, gene, reach)
    calls = read_calls(store, gene_window, people)
    applied = first_wins(calls.carried, gene_window.footprints)
    which, haplotype = np.nonzero(~calls.absent)
    rows = np.ascontiguousarray(applied[:, which, haplotype].T)
    return GeneHaplotypes(window, gene_window, people[which], haplotype, rows)
