"""The groups that a fill makes, of several stores, in a new one: gene by gene, then gathered over all genes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdstore.chunk_files import Chunk, ChunkFiles, all_chunks, region
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
from pdstore.union import GroupUnion, Held, Part, arrays_by_gene, arrays_of_begun_genes, arrays_of_stages

_PLACED = ("window_start", "reach_before", "reach_after", "variant_start", "variant_count")
"""Where windows lie: on what everything of a gene rests."""

_GENES_AT_ONCE = 64
"""Of arrays of one row a gene."""


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
    for name in arrays_of_stages(union):
        copying.of_stage(name, tally)
    if union.path.startswith("windows/"):
        _take_haplotype_counts(out, parts, union)
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
        having: dict[Chunk, list[Held]] = {}
        rewritten: dict[int, Held] = {}
        unlike: dict[int, list[Held]] = {}
        for gene, of_gene in self._union.filled.items():
            held = [(index, row) for index, row in of_gene if row in self._chunks(index, path)]
            if not held:
                continue
            # Chunks of the same shape are compared as they are read.
            alike = [one for one in held if chunks_of[one[0]] == layout]
            if held[0] in alike:
                having |= self._having(path, gene, alike)
            else:
                rewritten[gene], alike = held[0], held[:1]
            unlike[gene] = [one for one in held if one not in alike]
        for (gene, *_), others in self._take(path, having).items():
            unlike[gene] += others
        self._rewrite(path, rewritten)
        for gene, others in unlike.items():
            for other in dict.fromkeys(others):
                self._require_same(path, gene, other)

    def begun(self, tally: Tally) -> None:
        """Copy the blocks that are done of genes that are not, where the new store has blocks of the same size."""
        parent = self._union.path.split("/")[0]
        array, _ = ROWS_OF_A_GENE.get(parent, ("", ""))
        if array not in self._union.arrays:
            tally.leave_out(f"genes of {self._union.path} that a kill left half-written", len(self._union.begun))
            return
        taken = self._blocks(array, tally)
        reference = f"{self._union.path}/reference_tracks"
        # The task of the first block writes the reference's outputs, too.
        first = {chunk[0]: held[0] for chunk, held in taken.items() if chunk[1] == 0}
        of_reference = {gene: self._chunks(one[0], reference).get(one[1], ()) for gene, one in first.items()}
        self._take(reference, {(gene, *of): [first[gene]] for gene, rests in of_reference.items() for of in rests})
        for name in arrays_of_begun_genes(self._union):
            self._blocks(name, tally, taken)

    def of_stage(self, name: str, tally: Tally) -> None:
        """Copy what any store has of an array that an optional stage fills: its chunks are of one size everywhere."""
        path = f"{self._union.path}/{name}"
        held: dict[int, list[Held]] = {}
        for index in self._union.holders:
            for row in self._chunks(index, path):
                held.setdefault(int(self._parts[index].rows[row]), []).append((index, row))
        having = {chunk: of for gene in sorted(held) for chunk, of in self._having(path, gene, held[gene]).items()}
        self._take_blocks(path, having)
        for _, index in sorted({(gene, holders[0][0]) for (gene, *_), holders in having.items()}):
            tally.take(f"genes of {path} from {self._parts[index].store.url}")

    def _blocks(self, name: str, tally: Tally, done: Collection[Chunk] = ()) -> dict[Chunk, list[Held]]:
        """Copy the blocks of an array that are not done of genes that were begun; gives who has them."""
        path = f"{self._union.path}/{name}"
        chunks_of, layout = self._layouts(path), self._out.array(path).chunks
        having: dict[Chunk, list[Held]] = {}
        for gene, of_gene in self._union.begun.items():
            held = [one for one in of_gene if one[1] in self._chunks(one[0], path)]
            usable = [one for one in held if chunks_of[one[0]] == layout]
            for index, row in held:
                if (index, row) not in usable:
                    blocks = len(self._chunks(index, path)[row])
                    what = f"blocks of {chunks_of[index][1]:,} of unfinished genes of {self._union.path}, "
                    url = self._parts[index].store.url
                    tally.leave_out(f"{what}where the new store's are of {layout[1]:,}, from {url}", blocks)
            of_usable = self._having(path, gene, usable)
            having |= {chunk: holders for chunk, holders in of_usable.items() if chunk not in done}
        self._take_blocks(path, having)
        for holders in having.values():
            url = self._parts[holders[0][0]].store.url
            tally.take(f"blocks of unfinished genes of {self._union.path} from {url}")
        return having

    def _take_blocks(self, path: str, having: Mapping[Chunk, Sequence[Held]]) -> None:
        """Copy blocks, and see that all who have one have the same values."""
        for chunk, others in self._take(path, having).items():
            for other in others:
                self._require_same_block(path, chunk, having[chunk][0], other)

    def _having(self, path: str, gene: int, held: Sequence[Held]) -> dict[Chunk, list[Held]]:
        """Chunks of a gene in the new store → who has them; a chunk that one has lost may be in another."""
        if len(held) == 1:
            return {(gene, *rest): list(held) for rest in self._chunks(held[0][0], path)[held[0][1]]}
        rests = sorted({rest for index, row in held for rest in self._chunks(index, path)[row]})
        return {(gene, *rest): [one for one in held if rest in self._chunks(one[0], path)[one[1]]] for rest in rests}

    def _chunks(self, index: int, path: str) -> Mapping[int, Mapping[tuple[int, ...], int]]:
        return self._parts[index].chunks(path)

    def _layouts(self, path: str) -> dict[int, tuple[int, ...]]:
        stores = {index: self._parts[index].store for index in self._union.holders}
        return {index: store.array(path).chunks for index, store in stores.items() if path in store}

    def _take(self, path: str, having: Mapping[Chunk, Sequence[Held]]) -> dict[Chunk, list[Held]]:
        """Copy chunks of genes from the first that has each; gives who has other bytes."""
        wanted = [
            ((gene, *rest), [(self._parts[index].store, (row, *rest)) for index, row in held])
            for (gene, *rest), held in having.items()
        ]
        differing = self._files.take(path, wanted)
        return {chunk: [having[chunk][number] for number in numbers] for chunk, numbers in differing.items()}

    def _values(self, path: str, one: Held) -> NDArray[Any]:
        """What a store holds of a gene in an array, as far as chunks reach."""
        part, row = self._parts[one[0]], one[1]
        array = part.store.array(path)
        rows = min(array.shape[1], (max(self._chunks(one[0], path)[row])[0] + 1) * array.chunks[1])
        return part.store.read(path, (row, slice(0, rows)))

    def _rewrite(self, path: str, held: Mapping[int, Held]) -> None:
        """Write genes in chunks of another shape: more columns than their store has, or blocks of another size."""
        array = self._out.array(path)
        block_array, counts = ROWS_OF_A_GENE.get(self._union.path.split("/")[0], ("", ""))
        if path == f"{self._union.path}/{block_array}":
            lengths = self._out.read_if_filled(f"{self._windows}/{counts}").tolist()
            for gene, one in held.items():
                values = self._values(path, one)
                # Of windows that were dropped nobody knows how many it has.
                length = lengths[gene] if lengths[gene] >= 0 else len(values)
                rows = min(array.shape[1], len(runs_of(gene, length, array.chunks[1])) * array.chunks[1])
                self._out.write(path, (gene, slice(0, rows)), _padded(values[None], rows)[0])
            return
        for gene, (index, row), length in _neighbours(held, _GENES_AT_ONCE):
            values = self._parts[index].store.read(path, slice(row, row + length))
            self._out.write(path, slice(gene, gene + length), _padded(values, array.shape[1]))

    def _require_same(self, path: str, gene: int, other: Held) -> None:
        first = next(one for one in self._union.filled[gene] if one[1] in self._chunks(one[0], path))
        values = [self._values(path, one) for one in (first, other)]
        rows = min(map(len, values))
        if not same_values(values[0][:rows], values[1][:rows]):
            raise self._differ(path, gene, first, other)

    def _require_same_block(self, path: str, chunk: Chunk, first: Held, other: Held) -> None:
        gene, *rest = chunk
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


def _take_haplotype_counts(out: Store, parts: Sequence[Part], union: GroupUnion) -> None:
    """Take the numbers of haplotypes as far as the stores have gathered them; the stage gathers the rest."""
    path = f"{union.path}/haplotype_count"
    count = out.read_if_filled(path)
    held = {index: parts[index].store.read_if_filled(path) for index in union.holders}
    for gene, of_gene in union.filled.items():
        count[gene] = next((held[index][row] for index, row in of_gene if held[index][row] >= 0), -1)
    if (count >= 0).any():
        out.write(path, ..., count)


def _neighbours(held: Mapping[int, Held], most: int) -> Iterator[tuple[int, Held, int]]:
    """Genes that follow each other in a store as in the new one: the first, where it is, and how many."""
    number = count()
    for _, run in groupby(held.items(), key=lambda of: (of[1][0], of[0] - of[1][1], of[0] - next(number))):
        genes = list(run)
        for first in range(0, len(genes), most):
            yield *genes[first], len(genes[first : first + most])


def _padded(values: NDArray[Any], columns: int) -> NDArray[Any]:
    """Values of genes with so many columns, as a stage pads: no value, and 0 for a variant that is no driver."""
    padded = np.full((len(values), columns, *values.shape[2:]), np.nan if values.dtype.kind == "f" else 0, values.dtype)
    kept = min(columns, values.shape[1])
    padded[:, :kept] = values[:, :kept]
    return padded


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
        files.take(path, [(chunk, [(written[0], chunk)]) for chunk in all_chunks(written[0], path)])
    held = out.read(path)
    for store in written:
        if not same_values(held, store.read(path)):
            other = f"in {written[0].url} and {store.url}" if store is not written[0] else f"in {store.url} as here"
            raise ProvenanceError(
                f"{path} is not the same {other}: fill one of them anew, or under another name with --as NAME"
            )
