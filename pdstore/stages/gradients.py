"""attributions/<model>/: the gradient of the readout at a gene's reference window, and what it says of each SNV."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.gradient import gradient_x_input
from pdstore.haplotypes.onehot import NUCLEOTIDES, one_hot
from pdstore.models.protocol import SequenceModel, input_gradient, predict_in_batches
from pdstore.models.registry import ModelReference
from pdstore.sources.variants import SNV
from pdstore.stages.attributions import create_arrays_of_stage
from pdstore.stages.gene_window import (
    GeneWindow,
    haplotype_counts,
    reaches,
    read_gene_window,
    read_reference_window,
)
from pdstore.stages.model_group import require_same_model
from pdstore.stages.readouts import stored_readout
from pdstore.stages.stage import Block, Pending, Work, gene_label, pending_genes
from pdstore.store import Store

_MARK = "gradient_x_input"
"""The array whose chunk of a gene says that its gradient is done."""

_WINDOWS_A_GRADIENT = 3
"""A gradient takes about as long as so many windows: forward, and backward twice."""


@dataclass(frozen=True)
class Gradients:
    """Gradients at the reference: a block is a gene. Filled where it is asked for, in the group of attributions."""

    model: ModelReference
    name = "gradient"
    unit = "genes"
    runs_model = True

    @property
    def group(self) -> str:
        return f"attributions/{self.model.label}"

    def prepare(self, store: Store) -> None:
        self.model.require_gradient()
        sizes = {"positions": self.model.window.length, "nucleotides": len(NUCLEOTIDES)}
        create_arrays_of_stage(store, self.model, self.name, sizes)

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        haplotype_counts(store, self.model.window, genes)
        return pending_genes(store, f"{self.group}/{_MARK}", genes)

    def run(self, store: Store, block: Block) -> None:
        (gene,) = block
        model = self.model.load()
        require_same_model(store, self.group, self.model, model)
        reference = read_reference_window(store, self.model.window, gene)
        tracks = self._tracks(store, gene, model, reference)
        gradient = input_gradient(model, reference, stored_readout(store, self.group).gradient(tracks))
        window = read_gene_window(store, self.model.window, gene)
        effects = np.full(store.array(f"{self.group}/{_MARK}").shape[1], np.nan)
        columns, offset, alternate = _snvs(window, self.model.window.tss_offset)
        effects[columns] = gradient_x_input(gradient, offset, reference[offset], alternate)
        store.write(f"{self.group}/gradient", gene, gradient)
        store.write(f"{self.group}/{_MARK}", gene, effects)

    def work(self, store: Store, genes: Sequence[int], from_nothing: bool) -> Work:
        """See `OptionalStage`."""
        path = f"{self.group}/{_MARK}"
        done = 0 if from_nothing or path not in store else pending_genes(store, path, genes).done
        todo = len(genes) - done
        widest = max(reach.alleles.stop - reach.alleles.start for reach in reaches(store, self.model.window, genes))
        of_a_gene = 4 * len(NUCLEOTIDES) * self.model.window.length + 8 * widest
        return Work(todo, done, todo, todo * _WINDOWS_A_GRADIENT, todo * of_a_gene)

    def _tracks(
        self, store: Store, gene: int, model: SequenceModel, reference: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Outputs for the reference, where the readout's slope is taken: those that attributions store, if they do."""
        path = f"{self.group}/reference_tracks"
        if (gene, 0, 0) in store.chunks_written(path):
            stored: NDArray[np.float32] = store.read(path, gene)
            return stored
        predicted: NDArray[np.float32] = predict_in_batches(model, reference[None], reference)[0]
        return predicted

    def gather(self, store: Store) -> None:
        """Nothing spans several genes."""

    def describe(self, store: Store, block: Block) -> str:
        return f"gradient of gene {gene_label(store, block[0])}"


def _snvs(window: GeneWindow, tss_offset: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Of a window's SNVs: their columns in arrays per variant, their 0-based offsets in it, and alternate bases.

    All in the window's reading direction, as alleles of a stretch are: on the gene's strand where the model reads it.
    """
    alleles = window.alleles
    rows = np.flatnonzero(window.scored & (window.kind[window.columns] == SNV))
    offset = alleles.start[rows] - (window.stretch.tss - tss_offset)
    return window.columns[rows], offset, one_hot(alleles.inserted[alleles.inserted_start[rows]])
