"""What every stage of a fill is: a group, its blocks, and how one block is computed."""

from collections.abc import Iterator, Sequence
from itertools import count, groupby
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pdstore.store import Store, genes_written

Block = tuple[int, ...]
"""A unit of work and of resume: leading chunk coordinates of the array that marks it done; the gene is the first."""

_GENES_AT_ONCE = 64


class Pending(NamedTuple):
    """What a stage has still to do.

    Attributes
    ----------
    todo : list of Block
        Blocks that are not in the store.
    sizes : list of int
        How much each of them is, in the stage's unit.
    done : int
        Blocks that are in the store.
    """

    todo: list[Block]
    sizes: list[int]
    done: int


class Work(NamedTuple):
    """How much a stage has to do, about.

    Attributes
    ----------
    blocks, done : int
        Blocks to do, and blocks that are in the store.
    units : int
        Units in the blocks to do.
    model_windows : int
        Windows that the model is run for.
    bytes : int
        What will be stored.
    """

    blocks: int
    done: int
    units: int
    model_windows: int
    bytes: int


class Stage(Protocol):
    """One step of a fill.

    A block's task owns whole chunks of every array that it writes and writes the array that marks it done last, so
    that a killed task is simply not done. Stages are sent to workers: they hold names, never data.
    """

    @property
    def name(self) -> str:
        """What the stage fills, as progress and reports name it."""
        ...

    @property
    def unit(self) -> str:
        """What its blocks are made of: "genes", "haplotypes", "variants", "drivers" or "bases"."""
        ...

    @property
    def runs_model(self) -> bool:
        """Whether its blocks run the model, which takes all cores, or a GPU, for itself."""
        ...

    @property
    def group(self) -> str:
        """Path of the group that it fills."""
        ...

    def prepare(self, store: Store) -> None:
        """Create the group, or hold the one that is there against what is asked for now."""
        ...

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        """Blocks of these genes (rows of genes/) that are to do, and how many are done."""
        ...

    def run(self, store: Store, block: Block) -> None:
        """Compute and write one block; depends on the block alone."""
        ...

    def gather(self, store: Store) -> None:
        """Write arrays over all genes. Does nothing where that is done."""
        ...

    def describe(self, store: Store, block: Block) -> str:
        """The block in a person's words."""
        ...


def gene_label(store: Store, gene: int) -> str:
    """A gene as errors name it."""
    return f"{store.read('genes/gene_name', gene)} ({store.read('genes/gene_id', gene)})"


def neighbours(genes: Sequence[int]) -> Iterator[slice]:
    """Genes, in increasing order, as slices of those that follow each other: what is read at once."""
    number = count()
    for _, run in groupby(genes, key=lambda gene: gene - next(number)):
        first, *others = run
        for start in range(first, first + 1 + len(others), _GENES_AT_ONCE):
            yield slice(start, min(start + _GENES_AT_ONCE, first + 1 + len(others)))


def pending_genes(store: Store, mark: str, genes: Sequence[int]) -> Pending:
    """Pending blocks of a stage whose block is a gene: the first chunk of the gene in `mark` is written last."""
    written = genes_written(store, mark)
    todo: list[Block] = [(gene,) for gene in genes if gene not in written]
    return Pending(todo, [1] * len(todo), len(genes) - len(todo))


def pending_runs(store: Store, array: str, genes: Sequence[int], lengths: Sequence[int]) -> Pending:
    """Pending blocks of a stage whose block is a gene and a run of its rows in `array`.

    Parameters
    ----------
    store : Store
        The store.
    array : str
        The array that marks its blocks done, dimensions genes, rows, …
    genes : sequence of int
        Rows of genes/.
    lengths : sequence of int
        How many rows each of these genes has.
    """
    written = {chunk[:2] for chunk in store.chunks_written(array)}
    run = run_length(store, array)
    todo: list[Block] = []
    sizes: list[int] = []
    blocks = 0
    for gene, length in zip(genes, lengths, strict=True):
        for gene_and_part in runs_of(gene, length, run):
            blocks += 1
            if gene_and_part not in written:
                todo.append(gene_and_part)
                sizes.append(min(run, length - gene_and_part[1] * run))
    return Pending(todo, sizes, blocks - len(todo))


def genes_of_whole_runs(store: Store, array: str, lengths: Sequence[int]) -> set[int]:
    """Genes whose runs in `array` are all in the store; `lengths` are those of all genes, below 0 not known yet."""
    parts: dict[int, set[int]] = {}
    for gene, part, *_ in store.chunks_written(array):
        parts.setdefault(gene, set()).add(part)
    run = run_length(store, array)
    return {
        gene
        for gene, found in parts.items()
        if lengths[gene] >= 0 and found.issuperset(part for _, part in runs_of(gene, lengths[gene], run))
    }


def read_rows(store: Store, array: str, gene: int, length: int) -> Iterator[NDArray[np.float32]]:
    """The first rows of a gene in an array whose dimensions are genes, rows, …: a run of them at a time."""
    run = run_length(store, array)
    for _, part in runs_of(gene, length, run):
        yield store.read(array, (gene, slice(part * run, min((part + 1) * run, length))))


def runs_of(gene: int, length: int, run: int) -> list[tuple[int, int]]:
    """Blocks of a gene with so many rows, `run` in each; one at least, so that an empty gene can be marked as done."""
    return [(gene, part) for part in range(max(1, -(-length // run)))]


def run_length(store: Store, array: str) -> int:
    """Rows of a block of an array whose dimensions are genes, rows, …"""
    return int(store.array(array).chunks[1])
