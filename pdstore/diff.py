"""Which genes' values differ between two stores: by gene, by person and by variant, whatever their order in each."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import UnknownGeneError
from pdstore.query import find_gene
from pdstore.schema import ArraySchema, group_schemas, schema_of
from pdstore.store import Store, genes_written, read_required, read_together

SAME, DIFFERS, ONLY_FIRST, ONLY_SECOND = range(4)
KINDS = ("same", "differs", "only filled in the first", "only filled in the second")
"""What may be said of a gene's values in an array; `SAME` to `ONLY_SECOND` are the indices."""

_LEFT_OUT = (
    # Sequences, outputs for each, and numbers of haplotypes: in each store's own order, and large. What follows from
    # them is compared: people's predictions, and effects of variants.
    "haplotype_onehot",
    "reference_onehot",
    "haplotype_index",
    "tracks",
    "alternate_tracks",
    # Rows of the store's own variants/, and what the arrays over genes are gathered from.
    "variant_start",
    "gene_values",
)
_GENES_AT_ONCE = 64
_VARIANTS_AT_ONCE = 100_000
_RECORDED = ("weights_sha256", "model_options", "readout", "readout_weights_sha256", "residualised", "expression_pcs")
"""Attributes whose difference explains others."""


@dataclass(frozen=True)
class ArrayDifference:
    """One array over genes, in both stores.

    Attributes
    ----------
    path : str
        Of the array; ``windows/<window>/variants`` is which variants a gene's window holds.
    kind : ndarray of int8, shape (genes,)
        `SAME`, `DIFFERS`, `ONLY_FIRST` or `ONLY_SECOND`, in the order of `Difference.id`.
    relative : ndarray of float64, shape (genes,)
        Largest relative difference of the gene's values, |a - b| / max(|a|, |b|), of those that differ by more than
        the tolerance; NaN where none does, or where they are no numbers.
    """

    path: str
    kind: NDArray[np.int8]
    relative: NDArray[np.float64]

    @property
    def largest(self) -> float | None:
        """Largest relative difference over genes; None where there is none."""
        known = self.relative[~np.isnan(self.relative)]
        return float(known.max()) if known.size else None


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

    @property
    def differing(self) -> NDArray[np.int64]:
        """Genes of which some array differs, or is filled in one store only: int64, shape (differing,), 0-based."""
        kinds = np.array([array.kind for array in self.arrays]).reshape(len(self.arrays), len(self.id))
        return np.flatnonzero((kinds != SAME).any(axis=0))

    @property
    def is_empty(self) -> bool:
        """Whether both hold the same values of the same genes."""
        only = (*self.genes_only, *self.groups_only, self.not_comparable)
        return not (len(self.differing) or any(only) or any(self.people_only))


def diff(first: Store, second: Store, tolerance: float = 0.0, genes: Sequence[str] = ()) -> Difference:
    """Compare two stores, gene by gene, by identifier.

    Arrays over people are compared by the people's names, those over a window's variants by position and alleles. Not
    compared are sequences and outputs for each haplotype or allele: people's predictions and ISM, which are read out of
    them, are.

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
    ids, names = zip(*(_genes_of(store) for store in stores), strict=True)
    wanted = {_identifier(stores, ids, gene) for gene in genes} if genes else {*ids[0], *ids[1]}
    row_in_second = {gene: row for row, gene in enumerate(ids[1])}
    common = [gene for gene in ids[0] if gene in row_in_second and gene in wanted]
    row_in_first = {gene: row for row, gene in enumerate(ids[0])}
    rows = np.array([[of[gene] for gene in common] for of in (row_in_first, row_in_second)], dtype=np.int64)
    found = Difference(
        (first.url, second.url),
        np.array([names[0][row] for row in rows[0]], dtype=object),
        np.array(common, dtype=object),
        genes_only=(_only(ids[0], names[0], wanted - {*ids[1]}), _only(ids[1], names[1], wanted - {*ids[0]})),
        notes=_notes(first, second),
    )
    groups = [_groups(store) for store in stores]
    found.groups_only[0].extend(path for path in groups[0] if path not in groups[1])
    found.groups_only[1].extend(path for path in groups[1] if path not in groups[0])
    _Comparison(stores, rows, tolerance, found).run([path for path in groups[0] if path in groups[1]])
    return found


def differences(
    first: NDArray[Any], second: NDArray[Any], tolerance: float = 0.0
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Compare two arrays row by row; NaN equals NaN.

    Parameters
    ----------
    first, second : ndarray of numbers, bool or str, shape (rows, ...)
    tolerance : float
        Relative difference up to which numbers are the same.

    Returns
    -------
    differs : ndarray of bool, shape (rows,)
    largest : ndarray of float64, shape (rows,)
        Largest relative difference above the tolerance, |a - b| / max(|a|, |b|); NaN where there is none.
    """
    nothing = np.full(len(first), np.nan)
    if first.dtype.kind not in "iuf" or second.dtype.kind not in "iuf":
        return np.not_equal(first, second).reshape(len(first), math.prod(first.shape[1:])).any(axis=1), nothing
    a, b = first.astype(np.float64), second.astype(np.float64)
    equal = (first == second) | (np.isnan(a) & np.isnan(b))
    with np.errstate(all="ignore"):
        relative = np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))
    # Whole numbers may differ by less than a float tells apart.
    differs = ~equal & ~((relative <= tolerance) & (tolerance > 0))
    known = (
        np.where(differs & np.isfinite(relative), relative, -1.0)
        .reshape(len(first), math.prod(first.shape[1:]))
        .max(axis=1, initial=-1.0)
    )
    return differs.reshape(len(first), math.prod(first.shape[1:])).any(axis=1), np.where(known < 0, nothing, known)


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


class _Array(NamedTuple):
    """An array over genes that both stores have."""

    group: str
    schema: ArraySchema

    @property
    def path(self) -> str:
        return f"{self.group}/{self.schema.name}"


class _Comparison:
    """Reads both stores, some genes at a time, and keeps what differs of each."""

    def __init__(
        self, stores: tuple[Store, Store], rows: NDArray[np.int64], tolerance: float, found: Difference
    ) -> None:
        self._stores, self._rows, self._tolerance, self._found = stores, rows, tolerance, found
        self._filled: dict[str, list[NDArray[np.bool_] | None]] = {}
        self._columns: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        self._of_windows: dict[str, _WindowVariants] = {}

    def run(self, groups: Sequence[str]) -> None:
        arrays = [array for group in groups for array in self._arrays(group)]
        for array in arrays:
            self._filled.setdefault(array.group, [_filled_genes(store, array.group) for store in self._stores])
        self._align_people()
        kept = [array for array in arrays if self._is_comparable(array)]
        found = {
            array.path: ArrayDifference(
                array.path, np.zeros(len(self._rows[0]), np.int8), np.full(len(self._rows[0]), np.nan)
            )
            for array in kept
        }
        whole = [array for array in kept if len(array.schema.dims) == 1]
        by_gene = [array for array in kept if len(array.schema.dims) > 1]
        self._compare(whole, found, slice(None), [self._read(whole, side, ...) for side in (0, 1)], self._rows)
        for part in self._batches() if by_gene else ():
            rows = self._rows[:, part]
            slices = [slice(int(side[0]), int(side[-1]) + 1) for side in rows]
            values = [self._read(by_gene, side, slices[side]) for side in (0, 1)]
            self._compare(by_gene, found, part, values, rows - rows[:, :1])
        of_windows = [variants.difference for variants in self._of_windows.values()]
        self._found.arrays.extend(sorted([*found.values(), *of_windows], key=lambda array: array.path))

    def _arrays(self, group: str) -> Iterator[_Array]:
        """Arrays over genes of a group that both have; those that one has are noted."""
        for name, schema in schema_of(group).arrays.items():
            if schema.dims[0] != "genes" or name in _LEFT_OUT or (group, name) == ("genes", "gene_id"):
                continue
            array = _Array(group, schema)
            has = [array.path in store for store in self._stores]
            if all(has):
                yield array
            elif any(has):
                self._found.groups_only[has.index(True)].append(array.path)

    def _align_people(self) -> None:
        names = [
            store.read("genotypes/sample_id").tolist() if "genotypes/sample_id" in store else []
            for store in self._stores
        ]
        if all(names):
            column = {name: at for at, name in enumerate(names[1])}
            both = [(at, column[name]) for at, name in enumerate(names[0]) if name in column]
            self._found.people_only = (len(names[0]) - len(both), len(names[1]) - len(both))
            aligned = np.array(both, dtype=np.int64).reshape(-1, 2).T
            self._columns["samples"] = (aligned[0], aligned[1])

    def _is_comparable(self, array: _Array) -> bool:
        """Whether values can be set side by side; notes why not."""
        dims = array.schema.dims[1:]
        reason = None
        if "window_variants" in dims:
            reason = self._align_variants(array.group)
        elif dims == ("samples",):
            reason = None if "samples" in self._columns else "one of the stores names no people"
        elif dims == ("counts",):
            names = [store.read_if_filled(f"{array.group}/count_name").tolist() for store in self._stores]
            both = [(at, names[1].index(name)) for at, name in enumerate(names[0]) if name in names[1]]
            aligned = np.array(both, dtype=np.int64).reshape(-1, 2).T
            self._columns[array.path] = (aligned[0], aligned[1])
        else:
            shapes = [store.array(array.path).shape[1:] for store in self._stores]
            if shapes[0] != shapes[1]:
                reason = f"{' x '.join(dims)} are {shapes[0]} in the first, {shapes[1]} in the second"
            elif "model_tracks" in dims and "predictions" in array.group:
                tracks = [store.read_if_filled(f"{array.group}/track_name").tolist() for store in self._stores]
                reason = None if tracks[0] == tracks[1] else "they are of other tracks"
        if reason is not None:
            self._found.not_comparable[array.path] = reason
        return reason is None

    def _align_variants(self, group: str) -> str | None:
        """Align the variants of the group's windows; returns why that cannot be done."""
        windows = [_window_of(store, group) for store in self._stores]
        if windows[0] != windows[1]:
            return f"it is of windows {windows[0]} in the first, of {windows[1]} in the second"
        path = f"windows/{windows[0]}"
        if path not in self._of_windows:
            if not all(
                f"{path}/{name}" in store for store in self._stores for name in ("variant_start", "variant_count")
            ):
                return f"one of the stores does not say which variants {path} hold"
            if "variants" not in self._columns:
                keys = [_variant_keys(store) for store in self._stores]
                self._columns["variants"] = (matching_rows(keys[0], keys[1]), matching_rows(keys[1], keys[0]))
            self._of_windows[path] = _WindowVariants(path, self._stores, self._rows, self._columns["variants"])
        return None

    def _batches(self) -> Iterator[slice]:
        """Runs of genes that stand one behind the other in both stores."""
        steps = np.flatnonzero((np.diff(self._rows, axis=1) != 1).any(axis=0)) + 1
        for start, end in zip(np.r_[0, steps], np.r_[steps, self._rows.shape[1]], strict=True):
            for first in range(int(start), int(end), _GENES_AT_ONCE):
                yield slice(first, min(first + _GENES_AT_ONCE, int(end)))

    def _read(self, arrays: Sequence[_Array], side: int, selection: Any) -> dict[str, NDArray[Any]]:
        found = read_together(self._stores[side], {array.path: selection for array in arrays}, may_be_unfilled=True)
        return {path: values for path, values in found.items() if values is not None}

    def _compare(
        self,
        arrays: Sequence[_Array],
        found: dict[str, ArrayDifference],
        part: slice,
        values: Sequence[dict[str, NDArray[Any]]],
        rows: NDArray[np.int64],
    ) -> None:
        """Compare some genes: `rows` are those of `values`, shape (2, genes)."""
        for array in arrays:
            first, second = (of[array.path][of_side] for of, of_side in zip(values, rows, strict=True))
            filled = [
                _row_is_filled(array, own, None if known is None else known[self._rows[side, part]])
                for side, (own, known) in enumerate(zip((first, second), self._filled[array.group], strict=True))
            ]
            difference = found[array.path]
            if "window_variants" in array.schema.dims:
                window = self._of_windows[f"windows/{_window_of(self._stores[0], array.group)}"]
                differs, relative = window.differences(first, second, part, self._tolerance)
            else:
                columns = self._columns.get(array.path if "counts" in array.schema.dims else "samples")
                if columns is not None and array.schema.dims[1:] in (("samples",), ("counts",)):
                    first, second = first[:, columns[0]], second[:, columns[1]]
                differs, relative = differences(first, second, self._tolerance)
            both = filled[0] & filled[1]
            difference.kind[part] = np.select(
                [both & differs, filled[0] & ~filled[1], ~filled[0] & filled[1]],
                [DIFFERS, ONLY_FIRST, ONLY_SECOND],
                SAME,
            )
            difference.relative[part] = np.where(both & differs, relative, np.nan)


class _WindowVariants:
    """Which columns of arrays over a window's variants are of the same variant, gene by gene."""

    def __init__(
        self,
        path: str,
        stores: tuple[Store, Store],
        rows: NDArray[np.int64],
        matching: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> None:
        self._start, self._count = np.empty((2, rows.shape[1]), np.int64), np.empty((2, rows.shape[1]), np.int64)
        for side, store in enumerate(stores):
            values = read_required(store, {f"{path}/variant_start": ..., f"{path}/variant_count": ...})
            self._start[side], self._count[side] = (of[rows[side]] for of in values.values())
        # Where windows are not placed yet.
        self._count = np.maximum(self._count, 0)
        self._matching = matching
        self.difference = ArrayDifference(
            f"{path}/variants", np.zeros(rows.shape[1], np.int8), np.full(rows.shape[1], np.nan)
        )
        for gene in range(rows.shape[1]):
            columns = self.columns(gene)
            self.difference.kind[gene] = (
                SAME if np.array_equal(self._count[:, gene], [len(columns[0])] * 2) else DIFFERS
            )

    def columns(self, gene: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Columns of the variants that both hold, in the first and in the second store."""
        start, count = self._start[:, gene], self._count[:, gene]
        row = self._matching[0][start[0] : start[0] + count[0]]
        column = row - start[1]
        both = np.flatnonzero((row >= 0) & (column >= 0) & (column < count[1]))
        return both, column[both]

    def differences(
        self, first: NDArray[Any], second: NDArray[Any], part: slice, tolerance: float
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """`differences` of some genes, over the variants that both stores have."""
        differs, relative = np.zeros(len(first), dtype=bool), np.full(len(first), np.nan)
        for row, gene in enumerate(range(part.start, part.stop)):
            ours, theirs = self.columns(gene)
            differs[row : row + 1], relative[row : row + 1] = differences(
                first[row, ours][None], second[row, theirs][None], tolerance
            )
        return differs, relative


def _genes_of(store: Store) -> tuple[list[str], list[str]]:
    values = read_required(store, {"genes/gene_id": ..., "genes/gene_name": ...})
    return values["genes/gene_id"].tolist(), values["genes/gene_name"].tolist()


def _identifier(stores: tuple[Store, Store], ids: Sequence[list[str]], gene: str) -> str:
    """Identifier of a gene that either store has."""
    try:
        return ids[0][find_gene(stores[0], gene)]
    except UnknownGeneError:
        return ids[1][find_gene(stores[1], gene)]


def _only(ids: Sequence[str], names: Sequence[str], wanted: set[str]) -> list[tuple[str, str]]:
    """Symbol and identifier of the wanted genes, in the store's order."""
    return [(name, gene) for gene, name in zip(ids, names, strict=True) if gene in wanted]


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


def _window_of(store: Store, group: str) -> str | None:
    parent, name = group.split("/")
    window = name if parent in ("windows", "eqtl") else store.group(group).attrs.get("window")
    return window if isinstance(window, str) else None


def _filled_genes(store: Store, group: str) -> NDArray[np.bool_] | None:
    """Genes that a group is filled of, by its mark: bool, shape (genes,); None where the values have to say."""
    schema = schema_of(group)
    # Where windows lie is known before they are filled; what is published may lack the mark.
    if schema.filled_array is None or group.startswith("windows/") or f"{group}/{schema.filled_array}" not in store:
        return None
    filled = np.zeros(store.array("genes/gene_tss").shape[0], dtype=bool)
    filled[sorted(genes_written(store, f"{group}/{schema.filled_array}"))] = True
    if schema.gathered_array is not None and f"{group}/{schema.gathered_array}" in store:
        filled &= store.read_if_filled(f"{group}/{schema.gathered_array}") >= 0
    return filled


def _row_is_filled(array: _Array, values: NDArray[Any], known: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    if known is not None:
        return known
    fill = array.schema.fill_value
    filled = np.ones(values.shape, dtype=bool)
    if values.dtype.kind == "f" and np.isnan(fill):
        filled[...] = ~np.isnan(values)
    elif values.dtype.kind == "i" and fill == -1:
        filled[...] = values != -1
    return np.asarray(filled.reshape(len(values), math.prod(values.shape[1:])).any(axis=1), dtype=bool)


def _variant_keys(store: Store) -> NDArray[np.int64]:
    """A number for each row of variants/, of its contig, position and alleles: int64, shape (variants,)."""
    contigs = [name.removeprefix("chr") for name in store.read("variants/contig_id").tolist()]
    variants = store.array("variants/position").shape[0]
    keys = np.empty(variants, dtype=np.int64)
    for start in range(0, variants, _VARIANTS_AT_ONCE):
        rows = slice(start, start + _VARIANTS_AT_ONCE)
        names = ("contig", "position", "ref", "alt")
        found = read_together(store, {f"variants/{name}": rows for name in names})
        columns = [values.tolist() for values in found.values() if values is not None]
        # 64 bits of each: of ten million variants, two share a number once in 300,000 stores.
        keys[rows] = [hash((contigs[contig], *rest)) for contig, *rest in zip(*columns, strict=True)]
    return keys


def _notes(first: Store, second: Store) -> list[str]:
    """What both were made of, where it differs."""
    notes = []
    of = (first.attributes, second.attributes)
    builds = [attributes.get("genome_build") for attributes in of]
    if builds[0] != builds[1]:
        notes.append(f"genome build: {builds[0] or 'not given'} in the first, {builds[1] or 'not given'} in the second")
    inputs = [attributes.get("inputs") or {} for attributes in of]
    others = sorted(name for name in {*inputs[0], *inputs[1]} if inputs[0].get(name) != inputs[1].get(name))
    if others:
        notes.append(f"made from other files: {', '.join(others)}")
    for path in sorted({*_groups(first)} & {*_groups(second)}):
        recorded = [store.group(path).attrs.asdict() for store in (first, second)]
        others = [name for name in _RECORDED if recorded[0].get(name) != recorded[1].get(name)]
        if others:
            notes.append(f"{path} was made with other {', '.join(others)}")
    return notes
