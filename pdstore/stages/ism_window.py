"""attributions/<model>/ism_window: every substitution at the bases around each driver; filled where it is named."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import MissingDataError
from pdstore.haplotypes.build import haplotype_windows
from pdstore.haplotypes.onehot import NUCLEOTIDES
from pdstore.haplotypes.substitutions import offsets_around_allele
from pdstore.models.registry import ModelReference
from pdstore.schema import filled_array
from pdstore.stages.attributions import create_arrays_of_stage
from pdstore.stages.gene_window import read_gene_window
from pdstore.stages.model_group import is_filled, require_same_model
from pdstore.stages.readouts import stored_readout
from pdstore.stages.stage import Block, Pending, Work, gene_label, neighbours
from pdstore.stages.substitutions import SUBSTITUTIONS, substitution_effects
from pdstore.store import Store, genes_written

BACKGROUNDS = ("reference", "alternate")
"""Haplotypes in which bases are substituted: the reference, and the reference with the driver's alternate allele."""

REACH = 20
"""bp to either side of the driver: METHODS, "Attributions"."""

_POSITIONS = 2 * REACH + 1
_RUNS_A_DRIVER = len(BACKGROUNDS) * (1 + SUBSTITUTIONS * _POSITIONS)
_BYTES_A_DRIVER = 4 * len(BACKGROUNDS) * _POSITIONS * len(NUCLEOTIDES)
_DRIVERS_A_GENE = 1_091 / 251
"""Of Sasse et al. 2023, supplementary table 2: where no statistics say it."""


@dataclass(frozen=True)
class IsmWindow:
    """Effects of substitutions around drivers: a block is a gene and the column of one of its drivers."""

    model: ModelReference
    name = "ism_window"
    unit = "drivers"
    runs_model = True

    @property
    def group(self) -> str:
        return f"attributions/{self.model.label}"

    @property
    def _array(self) -> str:
        return f"{self.group}/ism_window"

    @property
    def _statistics(self) -> str:
        return f"statistics/{self.model.label}"

    def prepare(self, store: Store) -> None:
        if not is_filled(store, self._statistics):
            raise MissingDataError(
                f"{self._statistics} are not filled, which say what variants are drivers: run pdstore fill statistics"
            )
        sizes = {"backgrounds": len(BACKGROUNDS), "ism_window_positions": _POSITIONS, "nucleotides": len(NUCLEOTIDES)}
        create_arrays_of_stage(store, self.model, self.name, sizes)

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        missing = set(genes) - genes_written(store, filled_array(self._statistics))
        if missing:
            raise MissingDataError(
                f"statistics of gene {gene_label(store, min(missing))} are not filled, which say what variants are "
                "drivers: run pdstore fill statistics"
            )
        written = {chunk[:2] for chunk in store.chunks_written(self._array)}
        drivers = _drivers(store, self._statistics, genes)
        todo: list[Block] = [driver for driver in drivers if driver not in written]
        return Pending(todo, [1] * len(todo), len(drivers) - len(todo))

    def run(self, store: Store, block: Block) -> None:
        gene, column = block
        model = self.model.load()
        require_same_model(store, self.group, self.model, model)
        readout = stored_readout(store, self.group)
        spec, window = self.model.window, read_gene_window(store, self.model.window, gene)
        allele = int(np.searchsorted(window.columns, column))
        applied = np.zeros((len(BACKGROUNDS), len(window.columns)), dtype=bool)
        applied[1, allele] = True
        backgrounds = haplotype_windows(spec, window.stretch, window.alleles, applied)
        effects = [
            substitution_effects(
                model,
                readout,
                background,
                offsets_around_allele(spec, window.stretch, window.alleles, allele, is_applied, REACH),
                window.stretch.reverses,
            )
            for background, is_applied in zip(backgrounds, (False, True), strict=True)
        ]
        store.write(self._array, (gene, column), np.stack(effects))

    def gather(self, store: Store) -> None:
        """Nothing spans several genes."""

    def describe(self, store: Store, block: Block) -> str:
        gene, column = block
        return f"ISM around the driver in column {column} of the window of gene {gene_label(store, gene)}"

    def work(self, store: Store, genes: Sequence[int], from_nothing: bool) -> Work:
        """See `OptionalStage`; of genes without statistics as many drivers are supposed as the others have."""
        known: set[int] = set()
        if is_filled(store, self._statistics):
            known = genes_written(store, filled_array(self._statistics)) & set(genes)
        drivers = _drivers(store, self._statistics, sorted(known))
        mean = len(drivers) / len(known) if known else _DRIVERS_A_GENE
        supposed = round(mean * sum(gene not in known for gene in genes))
        written = set()
        if self._array in store and not from_nothing:
            written = {chunk[:2] for chunk in store.chunks_written(self._array)}
        done = sum(driver in written for driver in drivers)
        times = Counter(genes)
        todo = sum(times[gene] for gene, _ in drivers) - done + supposed
        return Work(todo, done, todo, todo * _RUNS_A_DRIVER, todo * _BYTES_A_DRIVER)


def read_main_driver(store: Store, label: str, gene: int) -> NDArray[np.float32] | None:
    """Effects of substitutions around a gene's main driver, in the reference; None where nothing says which it is.

    Parameters
    ----------
    store : Store
        The store.
    label : str
        Name of the set of predictions.
    gene : int
        Row of genes/.

    Returns
    -------
    ndarray of float32, shape (41, 4), or None
        In the order of the contig, the driver in the middle; A, C, G, T of the + strand; NaN where it is not filled.
    """
    array, ranks = f"attributions/{label}/ism_window", f"statistics/{label}/driver_rank"
    if array not in store or ranks not in store:
        return None
    columns = np.flatnonzero(store.read_if_filled(ranks, gene) == 1).tolist()
    return store.read_if_filled(array, (gene, columns[0], BACKGROUNDS.index("reference"))) if columns else None


def _drivers(store: Store, statistics: str, genes: Sequence[int]) -> list[tuple[int, int]]:
    """Gene and column of every driver of genes whose statistics are filled, in increasing order."""
    found = []
    for run in neighbours(genes):
        rows, columns = np.nonzero(store.read(f"{statistics}/driver_rank", run) > 0)
        found += list(zip((rows + run.start).tolist(), columns.tolist(), strict=True))
    return found
