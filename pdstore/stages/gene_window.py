"""One gene's window in a store: the reference around it, the alleles in its reach, and who carries them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import DamagedDataError, MissingDataError, UsageError
from pdstore.haplotypes.alleles import Stretch, StretchAlleles, stretch_alleles
from pdstore.haplotypes.build import carried_alleles
from pdstore.haplotypes.onehot import complement, one_hot
from pdstore.haplotypes.overlaps import Footprints, Reach, Reaches
from pdstore.haplotypes.window import Variants, WindowSpec
from pdstore.sources.variants import APPLIED_KINDS, DELETION, INSERTION, KINDS
from pdstore.stages.stage import gene_label
from pdstore.store import Store, read_required

# Of variants/: what placing, applying and overlaps take.
_VARIANTS = (
    "position",
    "ref",
    "alt",
    "kind",
    "genotype_record",
    "allele_index",
    "record_position",
    "record_length",
    "length_change",
)
# Of those, what a damaged or hostile store could lead astray with: lowest and highest value.
_LONGEST = 2**31 - 1
_POSSIBLE = {
    "position": (1, _LONGEST),
    "kind": (0, len(KINDS) - 1),
    "genotype_record": (0, 2**62),
    "allele_index": (1, 127),
    "record_position": (1, _LONGEST),
    "record_length": (1, _LONGEST),
}


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
    record : ndarray of int64, shape (window_variants,)
        Row of genotypes/ that it comes from.
    allele_index : ndarray of int8, shape (window_variants,)
        Which alternate allele of the record it is, from 1.
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
    record: NDArray[np.int64]
    allele_index: NDArray[np.int8]
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


def window_spec(store: Store, name: str) -> WindowSpec:
    """The window that a group of windows/ is of; raises `DamagedDataError` where its attributes say no such thing."""
    attributes = store.group(f"windows/{name}").attrs.asdict()
    try:
        window = WindowSpec(*(attributes.get(field) for field in ("length", "tss_offset", "strand", "variants")))  # type: ignore[arg-type]
    except UsageError as error:
        raise DamagedDataError(f"store {store.url}: windows/{name} says of itself: {error}") from error
    return window


def window_starts(store: Store, window: WindowSpec) -> NDArray[np.int64]:
    """First base of every gene's window, 0-based: int64, shape (genes,)."""
    tss, strands = store.read("genes/gene_tss"), store.read("genes/gene_strand")
    return np.array(
        [window.start(int(site), str(strand)) for site, strand in zip(tss, strands, strict=True)], dtype=np.int64
    )


def reaches(store: Store, window: WindowSpec, genes: Sequence[int]) -> list[Reach]:
    """What the windows of genes reach: rows of variants/, and bases of the contig, 0-based."""
    index_of = {name: index for index, name in enumerate(store.read("variants/contig_id").tolist())}
    bounds = np.searchsorted(store.read("variants/contig"), np.arange(len(index_of) + 1)).tolist()
    contigs, tss = store.read("genes/gene_contig"), store.read("genes/gene_tss")
    starts = window_starts(store, window)
    found: dict[int, Reach] = {}
    for name in dict.fromkeys(contigs[gene] for gene in genes):
        rows = slice(bounds[index_of[name]], bounds[index_of[name] + 1])
        on_contig = _reaches_on_contig(store, window.variants, rows)
        for gene in [gene for gene in genes if contigs[gene] == name]:
            start = int(starts[gene])
            reach = on_contig.of(start, start + window.length, int(tss[gene]) - 1)
            found[gene] = reach._replace(
                alleles=slice(rows.start + reach.alleles.start, rows.start + reach.alleles.stop)
            )
    return [found[gene] for gene in genes]


def filled_reach(store: Store, window: WindowSpec, gene: int) -> Reach:
    """What the window of a gene reaches, as its group in windows/ has it."""
    path = window_path(window)
    names = ("window_start", "reach_before", "reach_after", "variant_start", "variant_count")
    found = read_required(
        store, {f"{path}/{name}": gene for name in names} | {"genes/gene_tss": gene, "genes/gene_strand": gene}
    )
    *numbers, tss, strand = found.values()
    start, before, after, first, count = map(int, numbers)
    variants, bases = store.array("variants/position").shape[0], store.array("reference/sequence").shape[0]
    if (
        start != window.start(int(tss), str(strand))
        or min(before, after, first, count) < 0
        or max(before, after) > bases
        or first + count > variants
    ):
        raise DamagedDataError(
            f"store {store.url}: {path} has impossible values for gene {gene}: window_start {start}, reach {before} "
            f"and {after}, variants {first} + {count}; fill another store"
        )
    return Reach(slice(first, first + count), start - before, start + window.length + after)


def read_gene_window(store: Store, window: WindowSpec, gene: int, reach: Reach | None = None) -> GeneWindow:
    """Read the reference around a gene, and what the alleles in its reach change.

    Parameters
    ----------
    store : Store
        The store.
    window : WindowSpec
        Which window of the gene.
    gene : int
        Row of genes/.
    reach : Reach, optional
        One of `reaches`; that of the filled windows where not given.
    """
    if reach is None:
        reach = filled_reach(store, window, gene)
    stretch = _read_stretch(store, window, gene, reach)
    of = _read_variants(store, reach.alleles, _VARIANTS)
    kind, position = of["kind"], of["position"]
    columns = np.flatnonzero(np.isin(kind, APPLIED_KINDS[window.variants]))
    footprints = _footprints(window.variants, of).of(columns)
    ref, alt = (of[name][columns].astype(object) for name in ("ref", "alt"))
    try:
        alleles = stretch_alleles(stretch, position[columns], ref, alt, footprints.anchored)
    except ValueError as error:
        # Letters that are no ASCII are a ValueError, too.
        raise DamagedDataError(
            f"store {store.url}: variants/ and {window_path(window)} do not agree: {error}; make the store again"
        ) from error
    before = stretch.tss - window.tss_offset
    # 1-based first position of the window.
    first = reach.end - before - window.length + 1 if stretch.reverses else reach.start + before + 1
    is_inside = (position >= first) & (position < first + window.length)
    is_inside[columns] = _inside(alleles, before, window.length)
    return GeneWindow(
        gene=gene,
        rows=reach.alleles,
        kind=kind,
        record=of["genotype_record"],
        allele_index=of["allele_index"],
        is_inside=is_inside,
        columns=columns,
        position=position,
        stretch=stretch,
        alleles=alleles,
        footprints=footprints,
    )


def read_calls(store: Store, window: GeneWindow, people: NDArray[np.int64] | None = None) -> WindowCalls:
    """Who carries the alleles of a window, among all people or those in some columns of genotypes/."""
    record, columns = window.record, window.columns
    everybody, ploidy = store.array("genotypes/call_genotype").shape[1:]
    if not len(record):
        count = everybody if people is None else len(people)
        return WindowCalls(np.zeros((0, count, ploidy), bool), np.zeros((count, ploidy), bool), 0, 0)
    # Trimming moves alleles by some bases, so records of neighbours may stand in another order than the alleles.
    first, last = int(record.min()), int(record.max())
    if last >= store.array("genotypes/call_genotype").shape[0]:
        raise DamagedDataError(f"store {store.url}: variants/ names record {last}, which genotypes/ lacks")
    calls = store.read("genotypes/call_genotype", slice(first, last + 1))
    if people is not None:
        calls = calls[:, people]
    absent: NDArray[np.bool_] = (calls == -2).all(axis=0)
    scored = calls[np.unique(record[window.scored_columns]) - first]
    return WindowCalls(
        carried=carried_alleles(calls, record[columns] - first, window.allele_index[columns]),
        absent=absent,
        missing_calls=int((scored == -1).sum()),
        lone_calls=int(((scored == -2) & ~absent).sum()),
    )


def read_reference_window(store: Store, window: WindowSpec, gene: int) -> NDArray[np.bool_]:
    """One-hot reference window of a gene, in the window's reading direction: bool, shape (positions, 4)."""
    values: NDArray[np.bool_] = store.read(f"{window_path(window)}/reference_onehot", gene)
    return values


def read_reference_around(store: Store, window: WindowSpec, gene: int) -> NDArray[np.bool_]:
    """The same from the contig, whether or not windows are filled: bool, shape (positions, 4)."""
    start = window.start(int(store.read("genes/gene_tss", gene)), str(store.read("genes/gene_strand", gene)))
    stretch = _read_stretch(store, window, gene, Reach(slice(0, 0), start, start + window.length))
    return one_hot(stretch.letters)


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


def haplotype_counts(store: Store, window: WindowSpec, genes: Sequence[int]) -> list[int]:
    """Distinct haplotypes of genes; raises `MissingDataError` where the windows of one are not filled."""
    count = store.read_if_filled(f"{window_path(window)}/haplotype_count")
    for gene in genes:
        if count[gene] < 0:
            raise MissingDataError(
                f"windows of gene {gene_label(store, gene)} are not filled: run pdstore fill windows"
            )
    return [int(count[gene]) for gene in genes]


def window_variant_sizes(store: Store, window: WindowSpec) -> dict[str, int]:
    """Sizes of the dimensions genes and window_variants: padded to the largest window, and to one at least."""
    require_windows(store, window)
    count = store.read(f"{window_path(window)}/variant_count")
    return {"genes": len(count), "window_variants": max(1, int(count.max()))}


def _read_stretch(store: Store, window: WindowSpec, gene: int, reach: Reach) -> Stretch:
    found = read_required(store, {f"genes/gene_{name}": gene for name in ("contig", "tss", "strand")})
    contig, tss, strand = found.values()
    letters = reference_letters(store, str(contig), reach.start, reach.end - reach.start)
    offset = int(tss) - 1 - reach.start
    if window.reverses(str(strand)):
        return Stretch(complement(letters)[::-1].copy(), reach.start, len(letters) - 1 - offset, reverses=True)
    return Stretch(letters, reach.start, offset, reverses=False)


def _inside(alleles: StretchAlleles, before: int, length: int) -> NDArray[np.bool_]:
    """Whether alleles change a base of the window, which begins `before` bases into the stretch.

    What is inserted before its first base or after its last one grows outwards, and is not in it.
    """
    start, end = alleles.start, alleles.start + alleles.replaced
    is_insertion = alleles.replaced == 0
    after_begin = np.where(is_insertion, start > before, end > before)
    inside: NDArray[np.bool_] = after_begin & (start < before + length)
    return inside


def _read_variants(store: Store, rows: slice, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Rows of some arrays of variants/, by name."""
    found = read_required(store, {f"variants/{name}": rows for name in names})
    of = {path.removeprefix("variants/"): values for path, values in found.items()}
    for name, (lowest, highest) in _POSSIBLE.items():
        if name in of and len(of[name]) and not lowest <= of[name].min() <= of[name].max() <= highest:
            raise DamagedDataError(
                f"store {store.url}: variants/{name} has values that cannot be; make the store again"
            )
    return of


def _footprints(variants: Variants, of: Mapping[str, NDArray[Any]]) -> Footprints:
    """The bases that rows of variants/ lay claim to, 0-based: an SNV its base; with all variants, the whole record."""
    position, record = of["position"].astype(np.int64) - 1, of["genotype_record"]
    if variants == "snv":
        nothing = np.zeros(len(position), dtype=bool)
        return Footprints(position, position, record, nothing, nothing)
    applied = np.isin(of["kind"], APPLIED_KINDS[variants])
    first = np.where(applied, of["record_position"].astype(np.int64) - 1, position)
    last = np.where(applied, first + of["record_length"] - 1, position)
    return Footprints(first, last, record, np.isin(of["kind"], (INSERTION, DELETION)), of["length_change"] > 0)


def _reaches_on_contig(store: Store, variants: Variants, rows: slice) -> Reaches:
    """Reaches among the rows of variants/ of one contig."""
    if variants == "snv":
        of = _read_variants(store, rows, ("position", "genotype_record"))
        return Reaches(_footprints(variants, of), np.zeros(len(of["position"]), dtype=np.int64))
    of = _read_variants(store, rows, [name for name in _VARIANTS if name not in ("ref", "alt")])
    # Whoever carries it: attributions apply every allele, and places stay when people are added.
    return Reaches(_footprints(variants, of), np.maximum(-of["length_change"].astype(np.int64), 0))
