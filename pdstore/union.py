"""What several stores have filled, gene by gene, and whether it goes together: found before a byte is copied."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import ProvenanceError
from pdstore.schema import filled_array, schema_of
from pdstore.stages.model_group import GROUPS_OF_A_MODEL, differing
from pdstore.status import FILLED
from pdstore.store import RECORDS, Store

_OF_A_MODEL = (*GROUPS_OF_A_MODEL, "statistics")


@dataclass(frozen=True, eq=False)
class Part:
    """A store that is merged.

    Attributes
    ----------
    store : Store
        The store.
    rows : ndarray of int64, shape (genes of the store,)
        Row of each of its genes among the genes of all.
    """

    store: Store
    rows: NDArray[np.int64]
    _chunks: dict[str, dict[int, dict[tuple[int, ...], int]]] = field(default_factory=dict)

    def chunks(self, path: str) -> Mapping[int, Mapping[tuple[int, ...], int]]:
        """Row of each gene that has chunks in an array of one gene a chunk → their other coordinates, sorted → bytes.

        Empty where the store lacks the array: it is optional, or a kill came before it was made.
        """
        if path not in self._chunks:
            found: dict[int, dict[tuple[int, ...], int]] = {}
            sizes = self.store.chunk_sizes(path) if path in self.store else {}
            for (row, *rest), size in sorted(sizes.items()):
                found.setdefault(row, {})[tuple(rest)] = size
            self._chunks[path] = found
        return self._chunks[path]


Held = tuple[int, int]
"""Where a gene of a group is: index of the store, and the gene's row in it."""


@dataclass(frozen=True)
class GroupUnion:
    """A group of the stores that have it.

    Attributes
    ----------
    path : str
        Path of the group.
    attributes : dict
        Of the new group.
    sizes : dict of str to int
        Sizes of the dimensions on which all agree: all but genes, and the variants of the widest window.
    arrays : tuple of str
        Names of its arrays, the one that marks genes as filled last.
    holders : tuple of int
        Indices of the stores that have it.
    filled : dict of int to tuple of Held
        Row among all genes → where it is filled, in the order of the stores.
    begun : dict of int to tuple of Held
        The same of genes that are filled nowhere, but have chunks.
    """

    path: str
    attributes: dict[str, Any]
    sizes: dict[str, int]
    arrays: tuple[str, ...]
    holders: tuple[int, ...]
    filled: dict[int, tuple[Held, ...]]
    begun: dict[int, tuple[Held, ...]]


def unite_groups(parts: Sequence[Part]) -> list[GroupUnion]:
    """Every group that a fill makes, of all stores, in the order in which data flows.

    Parameters
    ----------
    parts : sequence of Part
        The stores.

    Raises
    ------
    ProvenanceError
        Groups of one name were filled from other weights, tracks, windows or by another readout, or their arrays are
        of other sizes; both values are named.
    """
    _require_same_provenance(parts)
    orders = _orders(parts)
    unions = []
    for parent in FILLED:
        for name in sorted({name for part in parts for name in part.store.members(parent)}):
            union = _unite(parts, f"{parent}/{name}")
            if parent == "predictions":
                union.attributes["order"] = orders[name]
            unions.append(union)
    return unions


def arrays_by_gene(union: GroupUnion) -> list[str]:
    """Names of the arrays of which every filled gene has chunks of its own, the mark last."""
    return [name for name in _by_gene(union.path, union.arrays) if not schema_of(union.path).arrays[name].sparse]


def arrays_of_begun_genes(union: GroupUnion) -> list[str]:
    """Names of the arrays of which only genes that were begun have chunks of use."""
    return [name for name in union.arrays if _is_of_begun(union.path, name)]


def arrays_of_stages(union: GroupUnion) -> list[str]:
    """Names of the arrays that optional stages fill, of whatever genes."""
    return [name for name in union.arrays if schema_of(union.path).arrays[name].stage is not None]


def _is_of_begun(path: str, name: str) -> bool:
    array = schema_of(path).arrays[name]
    return array.sparse and array.stage is None


def _by_gene(path: str, names: Iterable[str]) -> list[str]:
    """Of some arrays those of one gene a chunk."""
    arrays = schema_of(path).arrays
    return [name for name in names if arrays[name].dims[0] == "genes" and arrays[name].chunks[0] == 1]


def _unite(parts: Sequence[Part], path: str) -> GroupUnion:
    parent, name = path.split("/")
    holders = tuple(index for index, part in enumerate(parts) if name in part.store.members(parent))
    schema = schema_of(path)
    has = {index: set(parts[index].store.arrays(path)) for index in holders}
    arrays = [array for array in schema.arrays if any(array in held for held in has.values())]
    by_gene = _by_gene(path, arrays)
    filled: dict[int, list[Held]] = {}
    begun: dict[int, list[Held]] = {}
    for index in holders:
        part = parts[index]
        done = {row for row, rests in part.chunks(filled_array(path)).items() if not any(next(iter(rests)))}
        chunks = {row for array in by_gene if not schema.arrays[array].stage for row in part.chunks(f"{path}/{array}")}
        for row in sorted(chunks):
            into = filled if row in done else begun
            into.setdefault(int(part.rows[row]), []).append((index, row))
    unfinished = {gene: tuple(held) for gene, held in sorted(begun.items()) if gene not in filled}
    held_begun = {one for held in unfinished.values() for one in held}
    unused = {
        array
        for array in arrays
        if _is_of_begun(path, array)
        and not any(row in parts[index].chunks(f"{path}/{array}") for index, row in held_begun)
    }
    return GroupUnion(
        path,
        parts[holders[0]].store.group(path).attrs.asdict(),
        _sizes(parts, path, has),
        tuple(sorted(set(arrays) - unused, key=lambda array: (array == schema.filled_array, arrays.index(array)))),
        holders,
        {gene: tuple(held) for gene, held in sorted(filled.items())},
        unfinished,
    )


def _sizes(parts: Sequence[Part], path: str, has: Mapping[int, set[str]]) -> dict[str, int]:
    sizes: dict[str, tuple[int, int]] = {}
    for index, names in has.items():
        for name in sorted(names):
            shape = parts[index].store.array(f"{path}/{name}").shape
            for dim, size in zip(schema_of(path).arrays[name].dims, shape, strict=True):
                if dim in ("genes", "window_variants"):
                    continue
                first, known = sizes.setdefault(dim, (index, size))
                if known != size:
                    raise ProvenanceError(
                        f"{path}/{name} has {known:,} {dim} in {parts[first].store.url}, but {size:,} in "
                        f"{parts[index].store.url}: drop one of them with pdstore clear"
                    )
    return {dim: size for dim, (_, size) in sizes.items()}


def _require_same_provenance(parts: Sequence[Part]) -> None:
    """Hold groups of one name, and all groups of a model, against each other."""
    known: dict[str, dict[str, tuple[str, Any]]] = {}
    for part in parts:
        for parent in FILLED:
            for name in part.store.members(parent):
                path = f"{parent}/{name}"
                of_name = known.setdefault(name if parent in _OF_A_MODEL else path, {})
                for attribute, value in part.store.group(path).attrs.asdict().items():
                    if attribute in RECORDS:
                        continue
                    where, held = of_name.setdefault(attribute, (f"{path} of {part.store.url}", value))
                    if held != value:
                        before, now = differing(held, value)
                        what = "" if isinstance(value, dict) else f"{attribute} "
                        raise ProvenanceError(
                            f"{where} was filled with {what}{before}, but {path} of {part.store.url} with {now}: fill "
                            "one of them anew, or under another name with --as NAME"
                        )


def _orders(parts: Sequence[Part]) -> dict[str, int]:
    """Which set of predictions comes first: those of the first store in its order, then the new ones of the next."""
    labels: dict[str, None] = {}
    for part in parts:
        store = part.store
        order = {name: store.group(f"predictions/{name}").attrs["order"] for name in store.members("predictions")}
        # Whoever edited an attribute by hand may have left no number.
        known = {name: number if isinstance(number, int) else len(order) for name, number in order.items()}
        labels.update(dict.fromkeys(sorted(order, key=lambda name: (known[name], name))))
    return {name: number for number, name in enumerate(labels)}
