"""One gene's window in a store: the reference around it, the alleles in its reach, and who carries them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import MissingDataError
from pdstore.haplotypes.alleles import Stretch, StretchAlleles, stretch_alleles
from pdstore.haplotypes.build import carried_alleles
from pdstore.haplotypes.onehot import complement
from pdstore.haplotypes.overlaps import Footprints
from pdstore.haplotypes.window import Variants, WindowSpec
from pdstore.sources.variants import APPLIED_KINDS, DELETION, INSERTION
from pdstore.store import Store


@dataclass(frozen=True)
class GeneWindow:
    """The variants of one gene's window.

    Attributes
    ----------
    gene : int
        Row of genes/.
    rows : slice
        Rows of variants/ that may lie in a haplotype's window: the columns of every array per variant of the gene.
    kind : ndarray of int8, shape (window_variants,)
        Kind of each row.
    is_inside : ndarray of bool, shape (window_variants,)
        Whether the row changes a base of the window itself, rather than of the reference that may slide into it.
    columns : ndarray of int64, shape (alleles,)
        Rows, counted from the first, whose alleles are applied to haplotypes.
    position : ndarray of int32, shape (window_variants,)
        1-based.
    stretch : Stretch
        The reference that haplotypes may hold.
    alleles : StretchAlleles
        What the applied alleles replace in it.
    footprints : Footprints
        The bases that the applied alleles lay claim to.
    """

    gene: int
    rows: slice
    kind: NDArray[np.int8]
    is_inside: NDArray[np.bool_]
    columns: NDArray[np.int64]
    position: NDArray[np.int32]
    stretch: Stretch
    alleles: StretchAlleles
    footprints: Footprints

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which applied alleles lie inside the window: those that statistics are about. bool, shape (alleles,)."""
        inside: NDArray[np.bool_] = self.is_inside[self.columns]
        return inside

    @property
    def scored_columns(self) -> NDArray[np.int64]:
        """Columns of the scored alleles in arrays per variant: int64, shape (scored_alleles,)."""
        return self.columns[self.scored]


@dataclass(frozen=True)
class WindowCalls:
    """Who carries the alleles of a window.

    Attributes
    ----------
    carried : ndarray of bool, shape (alleles, people, ploidy)
        Which haplotypes carry the applied kinds of alleles, before overlaps are resolved.
    absent : ndarray of bool, shape (people, ploidy)
        True where a person has no such haplotype at any record in reach.
    missing_calls : int
        Alleles that are not called, at records with scored alleles; read as reference.
    lone_calls : int
        Haploid calls there, of people who have a second haplotype at other records in reach; it reads as reference.
    """

    carried: NDArray[np.bool_]
    absent: NDArray[np.bool_]
    missing_calls: int
    lone_calls: int


def window_path(window: WindowSpec) -> str:
    """Path of a window's group."""
    return f"windows/{window.name}"


def read_gene_window(store: Store, window: WindowSpec, gene: int) -> GeneWindow:
    """Read the reference around a gene, and what the alleles in its reach change."""
    path = window_path(window)
    start = int(store.read(f"{path}/window_start", gene))
    before, after = (int(store.read(f"{path}/reach_{side}", gene)) for side in ("before", "after"))
    first = int(store.read(f"{path}/variant_start", gene))
    rows = slice(first, first + int(store.read(f"{path}/variant_count", gene)))
    kind, position = store.read("variants/kind", rows), store.read("variants/position", rows)
    columns = np.flatnonzero(np.isin(kind, APPLIED_KINDS[window.variants]))
    ref, alt = (store.read(f"variants/{name}", rows)[columns].astype(object) for name in ("ref", "alt"))
    stretch = _read_stretch(store, window, gene, start - before, window.length + before + after)
    footprints = read_footprints(store, window.variants, rows)
    alleles = stretch_alleles(stretch, position[columns], ref, alt, footprints.anchored[columns])
    is_inside = (position > start) & (position <= start + window.length)
    is_inside[columns] = _inside(alleles, before if not stretch.reverses else after, window.length)
    return GeneWindow(
        gene=gene,
        rows=rows,
        kind=kind,
        is_inside=is_inside,
        columns=columns,
        position=position,
        stretch=stretch,
        alleles=alleles,
        footprints=footprints.of(columns),
    )


def read_calls(store: Store, window: GeneWindow) -> WindowCalls:
    """Who carries the alleles of a window."""
    record = store.read("variants/genotype_record", window.rows)
    allele_index = store.read("variants/allele_index", window.rows)
    people, ploidy = store.array("genotypes/call_genotype").shape[1:]
    if not len(record):
        return WindowCalls(np.zeros((0, people, ploidy), bool), np.zeros((people, ploidy), bool), 0, 0)
    # Trimming moves alleles by some bases, so records of neighbours may stand in another order than the alleles.
    first, last = int(record.min()), int(record.max())
    calls = store.read("genotypes/call_genotype", slice(first, last + 1))
    absent: NDArray[np.bool_] = (calls == -2).all(axis=0)
    scored = calls[np.unique(record[window.scored_columns]) - first]
    return WindowCalls(
        carried=carried_alleles(calls, record[window.columns] - first, allele_index[window.columns]),
        absent=absent,
        missing_calls=int((scored == -1).sum()),
        lone_calls=int(((scored == -2) & ~absent).sum()),
    )


def read_footprints(store: Store, variants: Variants, rows: slice) -> Footprints:
    """The bases that rows of variants/ lay claim to, 0-based: an SNV its base, with all variants its whole record."""
    position = store.read("variants/position", rows).astype(np.int64) - 1
    record = store.read("variants/genotype_record", rows)
    nothing = np.zeros(len(position), dtype=bool)
    if variants == "snv":
        return Footprints(position, position, record, nothing, nothing)
    kind = store.read("variants/kind", rows)
    applied = np.isin(kind, APPLIED_KINDS[variants])
    first = np.where(applied, store.read("variants/record_position", rows).astype(np.int64) - 1, position)
    last = np.where(applied, first + store.read("variants/record_length", rows) - 1, position)
    lengthens = _gained(store, rows) > 0
    return Footprints(first, last, record, np.isin(kind, (INSERTION, DELETION)), lengthens & applied)


def lost_bases(store: Store, variants: Variants, rows: slice) -> NDArray[np.int64]:
    """Bases that a haplotype of the store's people may lose by each row of variants/: int64, shape (rows,)."""
    if variants == "snv":
        return np.zeros(rows.stop - rows.start, dtype=np.int64)
    applied = np.isin(store.read("variants/kind", rows), APPLIED_KINDS[variants])
    carried = store.read("variants/carriers", rows) > 0
    return np.where(applied & carried, np.maximum(-_gained(store, rows), 0), 0)


def read_reference_window(store: Store, window: WindowSpec, gene: int) -> NDArray[np.bool_]:
    """One-hot reference window of a gene, in the window's reading direction: bool, shape (positions, 4)."""
    values: NDArray[np.bool_] = store.read(f"{window_path(window)}/reference_onehot", gene)
    return values


def reference_letters(store: Store, contig: str, start: int, length: int) -> NDArray[np.uint8]:
    """Letters of a stretch of the reference, N outside the contig.

    Parameters
    ----------
    store : Store
        The store.
    contig : str
        Name of the contig.
    start, length : int
        First base, 0-based, may be negative; and bases.

    Returns
    -------
    ndarray of uint8, shape (length,)
        ASCII.
    """
    index = store.read("reference/contig_id").tolist().index(contig)
    offset = int(store.read("reference/contig_offset", index))
    contig_length = int(store.read("reference/contig_length", index))
    letters = np.full(length, ord("N"), dtype=np.uint8)
    first, last = max(start, 0), min(start + length, contig_length)
    if first < last:
        letters[first - start : last - start] = store.read("reference/sequence", slice(offset + first, offset + last))
    return letters


def require_windows(store: Store, window: WindowSpec) -> None:
    """Raise `MissingDataError` where the windows were never begun."""
    if window.name not in store.members("windows"):
        raise MissingDataError(f"store {store.url} has no windows {window.name}: run pdstore fill windows first")


def window_variant_sizes(store: Store, window: WindowSpec) -> dict[str, int]:
    """Sizes of the dimensions genes and window_variants: padded to the largest window, and to one at least."""
    require_windows(store, window)
    count = store.read(f"{window_path(window)}/variant_count")
    return {"genes": len(count), "window_variants": max(1, int(count.max()))}


def _read_stretch(store: Store, window: WindowSpec, gene: int, start: int, length: int) -> Stretch:
    letters = reference_letters(store, str(store.read("genes/gene_contig", gene)), start, length)
    tss = int(store.read("genes/gene_tss", gene)) - 1 - start
    if window.reverses(str(store.read("genes/gene_strand", gene))):
        return Stretch(complement(letters)[::-1].copy(), start, length - 1 - tss, reverses=True)
    return Stretch(letters, start, tss, reverses=False)


def _inside(alleles: StretchAlleles, before: int, length: int) -> NDArray[np.bool_]:
    """Whether alleles change a base of the window, which begins `before` bases into the stretch.

    What is inserted before its first base or after its last one grows outwards, and is not in it.
    """
    start, end = alleles.start, alleles.start + alleles.replaced
    is_insertion = alleles.replaced == 0
    after_begin = np.where(is_insertion, start > before, end > before)
    inside: NDArray[np.bool_] = after_begin & (start < before + length)
    return inside


def _gained(store: Store, rows: slice) -> NDArray[np.int64]:
    """Bases that each row of variants/ adds; as long as its letters, whatever they are."""
    ref, alt = (np.fromiter(map(len, store.read(f"variants/{name}", rows)), dtype=np.int64) for name in ("ref", "alt"))
    return alt - ref
