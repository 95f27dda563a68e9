"""The groups that a fill makes, of several stores, in a new one: gene by gene, then gathered over all genes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdstore.chunk_files import ChunkFiles, all_chunks, region
from pdstore.cohort import same_values
from pdstore.errors import ProvenanceError
from pdstore.haplotypes.window import WindowSpec
from pdstore.schema import schema_of
from pdstore.stages.gene_window import window_variant_sizes
from pdstore.stages.stage import gene_label, runs_of
from pdstore.stages.statistics import gather_statistics
from pdstore.stages.windows import Windows
from pdstore.status import ROWS_OF_A_GENE
from pdstore.store import Store
from pdstore.union import GroupUnion, Held, Part, arrays_by_gene

_PLACED = ("window_start", "reach_before", "reach_after", "variant_start", "variant_count")
"""Where windows lie: on what everything of a gene rests."""


@dataclass
class Tally:
    """What was taken from which store, and what was left out: in words → how many."""

    taken: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    def take(self, what: str, count: int = 1) -> None:
        """Count what is taken; nothing taken is not mentioned."""
        if count:
            self.taken[what] = self.taken.get(what, 0) + count

    def leave_out(self, what: str, count: int = 1) -> None:
        """Count what is left out."""
        if count:
            self.left_out[what] = self.left_out.get(what, 0) + count


def write_group(out: Store, parts: Sequence[Part], union: GroupUnion, files: ChunkFiles, tally: Tally) -> None:
    """Write a group of the new store, whose genotypes, variants, genes, expression and reference are there.

    Parameters
    ----------
    out : Store
        The new store.
    parts : sequence of Part
        The stores that it is made of.
    union : GroupUnion
        The group; those that it follows from come before it.
    files : ChunkFiles
        Of the new store.
    tally : Tally
        Counts what is taken, from where, and what is left out.

    Raises
    ------
    ProvenanceError
        Two stores hold other values of a gene, or place its window elsewhere; the gene is named.
    """
    window = _window_of(out, union)
    schema = schema_of(union.path)
    genes = out.array("genes/gene_tss").shape[0]
    if union.path.startswith("windows/"):
        out.create_group(union.path, union.sizes | {"genes": genes}, union.attributes | {"counts": {}})
        Windows(window).prepare(out)
        _require_same_places(out, parts, union)
    else:
        sizes = union.sizes | window_variant_sizes(out, window)
        out.create_group(union.path, sizes, union.attributes, set(schema.arrays) - set(union.arrays))
    for name in union.arrays:
        if schema.arrays[name].dims[0] != "genes":
            _copy_of_group(out, parts, union, name, files)
    copying = _Genes(out, parts, union, files, f"windows/{window.name}")
    copying.begun(tally)
    for name in arrays_by_gene(union):
        copying.filled(name)
    if union.path.startswith("windows/"):
        Windows(window).gather(out)
    elif union.path.startswith("statistics/"):
        gather_statistics(out, union.path)
    for held in union.filled.values():
        tally.take(f"genes of {union.path} from {parts[held[0][0]].store.url}")
        tally.take(f"of these also in another store, with the same values: genes of {union.path}", int(len(held) > 1))


class _Genes:
    """Copies what a group holds of genes."""

    def __init__(self, out: Store, parts: Sequence[Part], union: GroupUnion, files: ChunkFiles, windows: str) -> None:
        self._out, self._parts, self._union, self._files, self._windows = out, parts, union, files, windows

    def filled(self, name: str) -> None:
        """Copy an array of the genes that are filled."""
        path = f"{self._union.path}/{name}"
        chunks_of = self._layouts(path)
        layout = self._out.array(path).chunks
        for gene, of_gene in self._union.filled.items():
            held = [(index, row) for index, row in of_gene if row in self._chunks(index, path)]
            if not held:
                continue
            first = held[0]
            rests = self._chunks(first[0], path)[first[1]]
            # Chunks of the same shape, and the same of them, are compared as they are read.
            alike = [one for one in held if chunks_of[one[0]] == layout and self._chunks(one[0], path)[one[1]] == rests]
            differing = {one for one in held[1:] if one not in alike}
            if first in alike:
                for rest in rests:
                    differing |= self._take(path, gene, rest, alike)
            else:
                differing |= set(held[1:])
                self._rewrite(path, gene, first)
            for other in differing:
                self._require_same(path, gene, first, other)

    def begun(self, tally: Tally) -> None:
        """Copy the blocks that are done of genes that are not, where the new store has blocks of the same size."""
        parent = self._union.path.split("/")[0]
        array, _ = ROWS_OF_A_GENE.get(parent, ("", ""))
        if array not in self._union.arrays:
            tally.leave_out(f"genes of {self._union.path} that a kill left half-written", len(self._union.begun))
            return
        path, reference = f"{self._union.path}/{array}", f"{self._union.path}/reference_tracks"
        chunks_of, layout = self._layouts(path), self._out.array(path).chunks
        for gene, of_gene in self._union.begun.items():
            held = [one for one in of_gene if one[1] in self._chunks(one[0], path)]
            usable = [one for one in held if chunks_of[one[0]] == layout]
            for index, row in held:
                if (index, row) not in usable:
                    blocks = len(self._chunks(index, path)[row])
                    what = f"blocks of {chunks_of[index][1]:,} of unfinished genes of {self._union.path}, "
                    url = self._parts[index].store.url
                    tally.leave_out(f"{what}where the new store's are of {layout[1]:,}, from {url}", blocks)
            for rest in sorted({rest for index, row in usable for rest in self._chunks(index, path)[row]}):
                having = [one for one in usable if rest in self._chunks(one[0], path)[one[1]]]
                for other in self._take(path, gene, rest, having):
                    self._require_same_block(path, gene, rest, having[0], other)
                if rest[0] == 0:
                    # The task of the first block writes the reference's outputs, too.
                    for of_reference in self._chunks(having[0][0], reference).get(having[0][1], ()):
                        self._take(reference, gene, of_reference, having[:1])
                tally.take(
                    f"blocks of unfinished genes of {self._union.path} from {self._parts[having[0][0]].store.url}"
                )

    def _chunks(self, index: int, path: str) -> Mapping[int, list[tuple[int, ...]]]:
        return self._parts[index].chunks(path)

    def _layouts(self, path: str) -> dict[int, tuple[int, ...]]:
        stores = {index: self._parts[index].store for index in self._union.holders}
        return {index: store.array(path).chunks for index, store in stores.items() if path in store}

    def _take(self, path: str, gene: int, rest: tuple[int, ...], held: Sequence[Held]) -> set[Held]:
        """Copy a chunk of a gene; returns who has other bytes."""
        stores = [(self._parts[index].store, (row, *rest)) for index, row in held]
        return {held[number] for number in self._files.take(path, (gene, *rest), stores)}

    def _values(self, path: str, one: Held) -> NDArray[Any]:
        """What a store holds of a gene in an array, as far as chunks reach."""
        part, row = self._parts[one[0]], one[1]
        array = part.store.array(path)
        rows = min(array.shape[1], (self._chunks(one[0], path)[row][-1][0] + 1) * array.chunks[1])
        return part.store.read(path, (row, slice(0, rows)))

    def _rewrite(self, path: str, gene: int, one: Held) -> None:
        """Write a gene in chunks of another shape: more columns than its store has, or blocks of another size."""
        array, values = self._out.array(path), self._values(path, one)
        block_array, counts = ROWS_OF_A_GENE.get(self._union.path.split("/")[0], ("", ""))
        rows = array.shape[1]
        if path == f"{self._union.path}/{block_array}":
            count = int(self._out.read(f"{self._windows}/{counts}", gene))
            rows = min(rows, len(runs_of(gene, count, array.chunks[1])) * array.chunks[1])
        # As its stage pads: no value, and 0 for a variant that is no driver.
        padded = np.full((rows, *values.shape[1:]), np.nan if values.dtype.kind == "f" else 0, dtype=values.dtype)
        kept = min(rows, len(values))
        padded[:kept] = values[:kept]
        self._out.write(path, (gene, slice(0, rows)), padded)

    def _require_same(self, path: str, gene: int, first: Held, other: Held) -> None:
        values = [self._values(path, one) for one in (first, other)]
        rows = min(map(len, values))
        if not same_values(values[0][:rows], values[1][:rows]):
            raise self._differ(path, gene, first, other)

    def _require_same_block(self, path: str, gene: int, rest: tuple[int, ...], first: Held, other: Held) -> None:
        stores = [self._parts[index].store for index, _ in (first, other)]
        rows = min(store.array(path).shape[1] for store in stores)
        values = []
        for store, (_, row) in zip(stores, (first, other), strict=True):
            _, run, *others = region(store, path, (row, *rest))
            values.append(store.read(path, (row, slice(run.start, min(run.stop, rows)), *others)))
        if not same_values(values[0], values[1]):
            raise self._differ(path, gene, first, other)

    def _differ(self, path: str, gene: int, first: Held, other: Held) -> ProvenanceError:
        stores = [self._parts[index].store for index, _ in (first, other)]
        return ProvenanceError(
            f"{path} of gene {gene_label(self._out, gene)} holds other values in {stores[0].url} than in "
            f"{stores[1].url}: see pdstore diff, and drop the gene from one of them with pdstore clear"
        )


def _window_of(out: Store, union: GroupUnion) -> WindowSpec:
    of: Mapping[str, Any] = union.attributes
    if not union.path.startswith("windows/"):
        of = out.group(f"windows/{of['window']}").attrs.asdict()
    return WindowSpec(of["length"], of["tss_offset"], of["strand"], of["variants"])


def _require_same_places(out: Store, parts: Sequence[Part], union: GroupUnion) -> None:
    placed = {name: out.read(f"{union.path}/{name}") for name in _PLACED}
    for index in union.holders:
        part = parts[index]
        if (part.store.read_if_filled(f"{union.path}/variant_count") < 0).any():
            # A kill came before its windows were placed: nothing rests on them.
            continue
        for name, values in placed.items():
            held = part.store.read(f"{union.path}/{name}")
            for row in np.flatnonzero(held != values[part.rows])[:1]:
                gene = int(part.rows[row])
                raise ProvenanceError(
                    f"{union.path}/{name} of gene {gene_label(out, gene)} is {held[row]} in {part.store.url}, but "
                    f"{values[gene]} of the same genotypes here: drop the windows with pdstore clear and fill again"
                )


def _copy_of_group(out: Store, parts: Sequence[Part], union: GroupUnion, name: str, files: ChunkFiles) -> None:
    """Copy an array that is of no gene, which has to be the same wherever it is written."""
    path = f"{union.path}/{name}"
    stores = [parts[index].store for index in union.holders if path in parts[index].store]
    written = [store for store in stores if store.chunks_written(path)]
    if not written:
        return
    if not out.chunks_written(path):
        for chunk in all_chunks(written[0], path):
            files.take(path, chunk, [(written[0], chunk)])
    held = out.read(path)
    for store in written:
        given = store.read(path)
        if not same_values(held, given):
            raise ProvenanceError(
                f"{path} is not the same in {written[0].url} and {store.url}: fill one of them anew, or under another "
                "name with --as NAME"
            )
