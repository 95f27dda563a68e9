"""The arrays over genes of two stores, side by side: chunks that are the same bytes are not decoded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pdstore.alignment import Columns, CommonVariants, common_names, matching_variants
from pdstore.differences import RowDifferences, row_differences
from pdstore.same_rows import same_rows
from pdstore.schema import ArraySchema, schema_of
from pdstore.sparse_rows import columns_written, read_columns
from pdstore.store import Store, genes_written, read_together

SAME, DIFFERS, MISSING_FIRST, MISSING_SECOND = 0, 1, 2, 4
KINDS = {DIFFERS: "differs", MISSING_FIRST: "missing in the first", MISSING_SECOND: "missing in the second"}
"""What may be said of a gene's values in an array, in a person's words; several may be said at once."""

_LEFT_OUT = (
    # Sequences, outputs for each, and numbers of haplotypes: in each store's own order, and large. What follows from
    # them is compared: people's predictions, and effects of variants.
    "haplotype_onehot",
    "reference_onehot",
    "haplotype_index",
    "tracks",
    "kept_tracks",
    "alternate_tracks",
    # Rows of the store's own variants/, and what the arrays over genes are gathered from.
    "variant_start",
    "gene_values",
)
_GENES_AT_ONCE = 64
_NOTHING = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class ArrayDifference:
    """One array over genes, in both stores.

    Attributes
    ----------
    path : str
        Of the array; ``windows/<window>/variants`` is which variants a gene's window holds.
    kind : ndarray of int8, shape (genes,)
        `SAME`, or the sum of what is said: `DIFFERS`, where values that both hold do; `MISSING_FIRST` and
        `MISSING_SECOND`, where one lacks values that the other holds.
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


class _Array(NamedTuple):
    """An array over genes that both stores have, and how its second dimension is aligned, where that has to be."""

    path: str
    schema: ArraySchema
    columns: Columns | None = None
    variants: CommonVariants | None = None


class Comparison:
    """Compares the arrays over genes of two stores.

    Parameters
    ----------
    stores : sequence of Store
        Two stores.
    rows : ndarray of int64, shape (2, genes)
        Rows of the genes that are compared, in both.
    tolerance : float
        Relative difference up to which numbers are the same.

    Attributes
    ----------
    arrays_only : tuple of list of str
        Paths of arrays that only the first has, and only the second, of the groups that both have.
    not_comparable : dict of str to str
        Path of an array → why its values cannot be set side by side.
    """

    def __init__(self, stores: Sequence[Store], rows: NDArray[np.int64], tolerance: float) -> None:
        self._stores, self._rows, self._tolerance = stores, rows, tolerance
        self._of_windows: dict[str, CommonVariants] = {}
        self.arrays_only: tuple[list[str], list[str]] = ([], [])
        self.not_comparable: dict[str, str] = {}

    def arrays(self, groups: Sequence[str]) -> list[ArrayDifference]:
        """What differs of every array over genes of some groups that both have, sorted by path."""
        found: list[ArrayDifference] = []
        for group in groups:
            is_filled = self._filled(group)
            arrays = [array for schema in self._schemas(group) if (array := self._aligned(group, schema)) is not None]
            found += self._differences([array for array in arrays if not array.schema.sparse], is_filled)
            found += [self._difference_of_chunks(array) for array in arrays if array.schema.sparse]
        for path, variants in self._of_windows.items():
            kind = (variants.missing * np.array([[MISSING_FIRST], [MISSING_SECOND]])).sum(axis=0)
            found.append(ArrayDifference(f"{path}/variants", kind.astype(np.int8), np.full(len(kind), np.nan)))
        return sorted(found, key=lambda array: array.path)

    @property
    def people_only(self) -> tuple[int, int]:
        """Number of people whom only the first has, and only the second; none where a store names nobody."""
        if self._people is None:
            return 0, 0
        first, second = (
            len(names) - len(both) for names, both in zip(self._names_of_people, self._people, strict=True)
        )
        return first, second

    @cached_property
    def _names_of_people(self) -> list[list[str]]:
        path = "genotypes/sample_id"
        return [store.read(path).tolist() if path in store else [] for store in self._stores]

    @cached_property
    def _people(self) -> Columns | None:
        first, second = self._names_of_people
        return common_names(first, second) if first and second else None

    @cached_property
    def _matching_variants(self) -> NDArray[np.int64] | None:
        return matching_variants(self._stores)

    def _schemas(self, group: str) -> Iterator[ArraySchema]:
        """Arrays over genes of a group that both have; those that one has are noted."""
        for name, schema in schema_of(group).arrays.items():
            if schema.dims[0] != "genes" or name in _LEFT_OUT or (group, name) == ("genes", "gene_id"):
                continue
            has = [f"{group}/{name}" in store for store in self._stores]
            if all(has):
                yield schema
            elif any(has):
                self.arrays_only[has.index(True)].append(f"{group}/{name}")

    def _aligned(self, group: str, schema: ArraySchema) -> _Array | None:
        """An array with its second dimension aligned; None, and noted why, where that cannot be."""
        path, dims = f"{group}/{schema.name}", schema.dims[1:]
        array, reason = _Array(path, schema), None
        if "window_variants" in dims:
            variants = self._variants_of(group)
            if isinstance(variants, CommonVariants):
                array = array._replace(variants=variants)
            else:
                reason = variants
        elif dims == ("samples",):
            array = array._replace(columns=self._people)
            reason = None if self._people is not None else "one of the stores names no people"
        elif dims == ("counts",):
            array = array._replace(columns=common_names(*self._names(group, "count_name")))
        else:
            shapes = [store.array(path).shape[1:] for store in self._stores]
            if shapes[0] != shapes[1]:
                reason = f"{' x '.join(dims)} are {shapes[0]} in the first, {shapes[1]} in the second"
            elif "model_tracks" in dims and "predictions" in group:
                tracks = self._names(group, "track_name")
                reason = None if tracks[0] == tracks[1] else "they are of other tracks"
        if reason is not None:
            self.not_comparable[path] = reason
            return None
        return array

    def _names(self, group: str, name: str) -> list[list[str]]:
        return [store.read_if_filled(f"{group}/{name}").tolist() for store in self._stores]

    def _variants_of(self, group: str) -> CommonVariants | str:
        """The variants of a group's windows; or why they cannot be aligned."""
        windows = [_window_of(store, group) for store in self._stores]
        if windows[0] != windows[1]:
            return f"it is of windows {windows[0]} in the first, of {windows[1]} in the second"
        path = f"windows/{windows[0]}"
        if path not in self._of_windows:
            if not all(
                f"{path}/{name}" in store for store in self._stores for name in ("variant_start", "variant_count")
            ):
                return f"one of the stores does not say which variants {path} hold"
            self._of_windows[path] = CommonVariants(path, self._stores, self._rows, self._matching_variants)
        return self._of_windows[path]

    def _filled(self, group: str) -> NDArray[np.bool_]:
        """Genes that each store has filled: bool, shape (2, genes); all where only the values of both can say."""
        marks = [_filled_genes(store, group) for store in self._stores]
        known = [mark[rows] for mark, rows in zip(marks, self._rows, strict=True) if mark is not None]
        return np.array(known) if len(known) == 2 else np.ones(self._rows.shape, dtype=bool)

    def _differences(self, arrays: Sequence[_Array], filled: NDArray[np.bool_]) -> Iterator[ArrayDifference]:
        """What differs of arrays of a group; `filled`, shape (2, genes), is whether both hold each gene."""
        both = filled.all(axis=0)
        unlike = {array.path: np.flatnonzero(both & ~self._same(array)) for array in arrays}
        # Together: of what spans genes, a handful of chunks each.
        spanning = [array.path for array in arrays if array.schema.dims == ("genes",) and len(unlike[array.path])]
        whole = [self._read(side, spanning) for side in (0, 1)]
        for array in arrays:
            kind = (filled[1] & ~filled[0]) * MISSING_FIRST + (filled[0] & ~filled[1]) * MISSING_SECOND
            relative = np.full(len(kind), np.nan)
            for genes in self._runs(unlike[array.path], array.path in whole[0]):
                if array.path in whole[0]:
                    first, second = (of[array.path][rows[genes]] for of, rows in zip(whole, self._rows, strict=True))
                else:
                    first, second = (self._read(side, [array.path], genes)[array.path] for side in (0, 1))
                of_rows = self._row_differences(array, genes, first, second)
                missing = of_rows.missing[0] * MISSING_FIRST + of_rows.missing[1] * MISSING_SECOND
                kind[genes] = of_rows.differs * DIFFERS + missing
                relative[genes] = of_rows.largest
            yield ArrayDifference(array.path, kind.astype(np.int8), relative)

    def _difference_of_chunks(self, array: _Array) -> ArrayDifference:
        """What differs of a sparse array: of the chunks that either store has, whatever else it has of the gene."""
        genes = self._rows.shape[1]
        kind, relative = np.zeros(genes, dtype=np.int8), np.full(genes, np.nan)
        written = [columns_written(store, array.path) for store in self._stores]
        for gene, rows in enumerate(self._rows.T.tolist()):
            there = [of.get(row, _NOTHING) for of, row in zip(written, rows, strict=True)]
            columns = (np.union1d(*there),) * 2 if array.variants is None else array.variants.columns(gene)
            either = np.isin(columns[0], there[0]) | np.isin(columns[1], there[1])
            if not either.any():
                continue
            first, second = (
                read_columns(store, array.path, rows[side], columns[side][either], there[side])[None]
                for side, store in enumerate(self._stores)
            )
            of_row = row_differences(first, second, self._tolerance, array.schema.fill_value)
            kind[gene] = of_row.differs[0] * DIFFERS + of_row.missing[:, 0] @ (MISSING_FIRST, MISSING_SECOND)
            relative[gene] = of_row.largest[0]
        return ArrayDifference(array.path, kind, relative)

    def _same(self, array: _Array) -> NDArray[np.bool_]:
        """Genes whose bytes are the same, and mean the same: bool, shape (genes,)."""
        if array.variants is not None:
            in_place = array.variants.in_place
        elif array.columns is not None:
            lengths = [store.array(array.path).shape[1] for store in self._stores]
            are_same = [
                np.array_equal(of, np.arange(length)) for of, length in zip(array.columns, lengths, strict=True)
            ]
            in_place = np.full(self._rows.shape[1], all(are_same))
        else:
            in_place = np.ones(self._rows.shape[1], dtype=bool)
        same = in_place.copy()
        same[in_place] = same_rows(self._stores, array.path, self._rows[:, in_place])
        return same

    def _runs(self, genes: NDArray[np.int64], is_whole: bool) -> Iterator[NDArray[np.int64]]:
        """Genes that are compared at once: of what is not read whole, those one behind the other in both stores."""
        if is_whole:
            yield genes
            return
        steps = np.flatnonzero((np.diff(self._rows[:, genes], axis=1) != 1).any(axis=0)) + 1
        for run in np.split(genes, steps):
            for start in range(0, len(run), _GENES_AT_ONCE):
                yield run[start : start + _GENES_AT_ONCE]

    def _read(self, side: int, paths: Sequence[str], genes: NDArray[np.int64] | None = None) -> dict[str, NDArray[Any]]:
        """Arrays of a store: whole, or of genes one behind the other."""
        rows = ... if genes is None else slice(self._rows[side, genes[0]], self._rows[side, genes[-1]] + 1)
        found = read_together(self._stores[side], dict.fromkeys(paths, rows), may_be_unfilled=True)
        return {path: values for path, values in found.items() if values is not None}

    def _row_differences(
        self, array: _Array, genes: NDArray[np.int64], first: NDArray[Any], second: NDArray[Any]
    ) -> RowDifferences:
        tolerance, fill_value = self._tolerance, array.schema.fill_value
        if array.columns is not None:
            first, second = first[:, array.columns[0]], second[:, array.columns[1]]
        if array.variants is None:
            return row_differences(first, second, tolerance, fill_value)
        found = []
        for row, gene in enumerate(genes.tolist()):
            ours, theirs = array.variants.columns(gene)
            found.append(row_differences(first[row, ours][None], second[row, theirs][None], tolerance, fill_value))
        differs, largest, missing = zip(*found, strict=True)
        return RowDifferences(np.concatenate(differs), np.concatenate(largest), np.concatenate(missing, axis=1))


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
