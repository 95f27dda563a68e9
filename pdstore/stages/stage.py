"""What every stage of a fill is: a group, its blocks, and how one block is computed."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pdstore.store import Store, genes_written

Block = tuple[int, ...]
"""A unit of work and of resume: leading chunk coordinates of the array that marks it done."""


class Pending(NamedTuple):
    """What a stage has still to do.

    Attributes
    ----------
    todo : list of Block
        Blocks that are not in the store.
    done : int
        Blocks that are.
    """

    todo: list[Block]
    done: int


class Stage(Protocol):
    """One step of a fill.

    A block's task owns whole chunks of every array that it writes and writes the array that marks it done last, so
    that a killed task is simply not done. Stages are sent to workers: they hold names, never data.
    """

    @property
    def name(self) -> str:
        """Name of the stage, as `pdstore fill` takes it."""
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
        """Write what needs several blocks: arrays over all genes. Does nothing where that is done."""
        ...

    def describe(self, store: Store, block: Block) -> str:
        """The block in a person's words."""
        ...


def gene_label(store: Store, gene: int) -> str:
    """A gene as errors name it."""
    return f"{store.read('genes/gene_name', gene)} ({store.read('genes/gene_id', gene)})"


def pending_genes(store: Store, mark: str, genes: Sequence[int]) -> Pending:
    """Pending blocks of a stage whose block is a gene: the first chunk of the gene in `mark` is written last."""
    written = genes_written(store, mark)
    todo: list[Block] = [(gene,) for gene in genes if gene not in written]
    return Pending(todo, len(genes) - len(todo))
