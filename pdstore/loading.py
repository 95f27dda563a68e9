"""Haplotype windows of a store's people and genes, as batches for a torch DataLoader. Imports torch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from pdstore.errors import UsageError
from pdstore.haplotypes.window import WindowSpec
from pdstore.personal import GeneHaplotypes, check_people, read_haplotypes
from pdstore.query import find_gene
from pdstore.stages.gene_window import reaches
from pdstore.store import Store, open_store

Layout = Literal["channels_first", "channels_last"]


class HaplotypeBatch(NamedTuple):
    """Haplotype windows, and whose they are.

    Attributes
    ----------
    onehot : Tensor of float32, shape (batch, 4, positions) or (batch, positions, 4)
        In the order A, C, G, T; N is all zeros.
    gene : Tensor of int64, shape (batch,)
        Row of genes/.
    person : Tensor of int64, shape (batch,)
        Column of the people: the order of genotypes/sample_id.
    haplotype : Tensor of int64, shape (batch,)
        Which of the person's haplotypes, from 0.
    observed : Tensor of float32, shape (batch,)
        Measured expression of the gene in the person; NaN where not measured.
    """

    onehot: torch.Tensor
    gene: torch.Tensor
    person: torch.Tensor
    haplotype: torch.Tensor
    observed: torch.Tensor


class HaplotypeBatches(IterableDataset[HaplotypeBatch]):
    """Iterates over the haplotype windows of people and genes; give it to a DataLoader with ``batch_size=None``.

    Each worker of a DataLoader takes its share of the genes: with fewer genes than workers some have nothing to do, and
    haplotypes are mixed within a worker.

    Windows are built from the store's genotypes and reference: nothing need be filled. Of the genotypes, each gene's
    chunks are read once an epoch.

    Parameters
    ----------
    store : str, Path or Store
        The store, or where it is.
    window : WindowSpec
        Which window of each gene, with which variants.
    genes : sequence of str, optional
        Symbols or ids; all where not given.
    people : sequence of int, optional
        Columns of the people, in the order of genotypes/sample_id; all where not given.
    batch_size : int
        Haplotypes a batch; the last may have fewer.
    layout : {"channels_first", "channels_last"}
        Shape of the batches: (batch, 4, positions) or (batch, positions, 4).
    shuffle : bool
        Whether genes come in random order, and haplotypes of `genes_at_once` genes are mixed.
    seed : int
        Of the order, with the number that `set_epoch` takes.
    genes_at_once : int
        Genes that are held in memory and mixed.

    Raises
    ------
    UsageError
        An option that cannot be.
    UnknownGeneError
        The store has no such gene.

    Examples
    --------
    >>> from torch.utils.data import DataLoader
    >>> window = WindowSpec(196_608, 98_303, "forward", "all")
    >>> batches = HaplotypeBatches("cohort.zarr", window, batch_size=8, shuffle=True)  # doctest: +SKIP
    >>> for batch in DataLoader(batches, batch_size=None, num_workers=2, pin_memory=True):  # doctest: +SKIP
    ...     train(batch.onehot, batch.observed)
    """

    def __init__(
        self,
        store: str | Path | Store,
        window: WindowSpec,
        genes: Sequence[str] | None = None,
        people: Sequence[int] | None = None,
        batch_size: int = 32,
        layout: Layout = "channels_first",
        shuffle: bool = False,
        seed: int = 0,
        genes_at_once: int = 8,
    ) -> None:
        if layout not in ("channels_first", "channels_last"):
            raise UsageError(f"layout {layout!r} is neither 'channels_first' nor 'channels_last'")
        for name, number in {"batch_size": batch_size, "genes_at_once": genes_at_once}.items():
            if type(number) is not int or number < 1:
                raise UsageError(f"{name} is {number!r}, expected a whole number from 1")
        if isinstance(genes, str):
            raise UsageError(f"genes is one text, {genes!r}; give a list of symbols or ids")
        self._store = store if isinstance(store, Store) else open_store(store)
        n_genes = self._store.array("genes/gene_tss").shape[0]
        self._genes = list(range(n_genes)) if genes is None else [find_gene(self._store, gene) for gene in genes]
        self._people = check_people(self._store, people)
        self._window = window
        self._reaches = dict(zip(self._genes, reaches(self._store, window, self._genes), strict=True))
        self._batch_size = batch_size
        self._layout = layout
        self._shuffle = shuffle
        self._seed = seed
        # Shared with workers, which persist over epochs if they are told to.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._genes_at_once = genes_at_once

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iterations, before each epoch: as of torch's DistributedSampler."""
        self._epoch[0] = epoch

    def __iter__(self) -> Iterator[HaplotypeBatch]:
        rng = np.random.default_rng([self._seed, int(self._epoch)])
        genes = [self._genes[i] for i in rng.permutation(len(self._genes))] if self._shuffle else self._genes
        worker = get_worker_info()
        if worker is not None:
            genes = genes[worker.id :: worker.num_workers]
        for start in range(0, len(genes), self._genes_at_once):
            held = [self._read(gene) for gene in genes[start : start + self._genes_at_once]]
            # Which of the held genes, and which haplotype of it.
            place = np.array([(slot, row) for slot, (of, _) in enumerate(held) for row in range(len(of))])
            if self._shuffle:
                rng.shuffle(place)
            for first in range(0, len(place), self._batch_size):
                yield self._batch(held, place[first : first + self._batch_size])

    def _read(self, gene: int) -> "_Held":
        haplotypes = read_haplotypes(self._store, self._window, gene, self._reaches[gene], self._people)
        return _Held(haplotypes, self._store.read("expression/observed", gene))

    def _batch(self, held: "Sequence[_Held]", place: NDArray[np.int64]) -> HaplotypeBatch:
        windows = np.empty((len(place), self._window.length, 4), dtype=bool)
        person, haplotype, gene = (np.empty(len(place), dtype=np.int64) for _ in range(3))
        observed = np.empty(len(place), dtype=np.float32)
        for slot in np.unique(place[:, 0]):
            (of, measured), rows = held[slot], place[:, 0] == slot
            chosen = place[rows, 1]
            windows[rows] = of.onehot(chosen)
            gene[rows], person[rows], haplotype[rows] = of.window.gene, of.person[chosen], of.haplotype[chosen]
            observed[rows] = measured[of.person[chosen]]
        onehot = torch.from_numpy(windows)
        if self._layout == "channels_first":
            onehot = onehot.permute(0, 2, 1)
        return HaplotypeBatch(
            onehot.to(torch.float32, memory_format=torch.contiguous_format),
            *map(torch.from_numpy, (gene, person, haplotype, observed)),
        )


class _Held(NamedTuple):
    """A gene whose haplotypes are in memory, and its measured expression in all people."""

    haplotypes: GeneHaplotypes
    observed: NDArray[np.float32]
