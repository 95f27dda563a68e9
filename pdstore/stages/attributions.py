"""attributions/<model>/: in-silico mutagenesis of every applied allele of a gene's window."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from pdstore.analysis.readout import read_out
from pdstore.haplotypes.build import haplotype_windows
from pdstore.models.protocol import predict_in_batches
from pdstore.models.registry import ModelReference
from pdstore.schema import filled_array
from pdstore.stages.gene_window import read_gene_window, read_reference_window, window_variant_sizes
from pdstore.stages.model_group import check_model, is_created, model_attributes, require_same_model
from pdstore.stages.stage import Block, Pending, gene_label, pending_genes
from pdstore.store import Store


@dataclass(frozen=True)
class Attributions:
    """The stage "attributions": a block is a gene."""

    model: ModelReference
    name = "attributions"

    @property
    def group(self) -> str:
        return f"attributions/{self.model.name}"

    @property
    def _mark(self) -> str:
        return filled_array(self.group)

    def prepare(self, store: Store) -> None:
        check_model(store, self.model)
        if is_created(store, self.group, "ism"):
            return
        model = self.model.load()
        sizes = {
            **window_variant_sizes(store, self.model.window),
            "bins": model.bins,
            "model_tracks": len(model.track_names),
        }
        attributes = {**model_attributes(self.model, model), "pdstore_version": version("pdstore")}
        store.create_group(self.group, sizes, attributes)

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        return pending_genes(store, self._mark, genes)

    def run(self, store: Store, block: Block) -> None:
        (gene,) = block
        model = self.model.load()
        require_same_model(store, self.group, self.model, model)
        window = read_gene_window(store, self.model.window, gene)
        reference = read_reference_window(store, self.model.window, gene)
        scored = np.flatnonzero(window.scored)
        alternates = np.full(store.array(self._mark).shape[1:], np.nan, dtype=np.float32)
        for start in range(0, len(scored), model.batch_size):
            batch = scored[start : start + model.batch_size]
            alone = np.zeros((len(batch), len(window.columns)), dtype=bool)
            alone[np.arange(len(batch)), batch] = True
            windows = haplotype_windows(self.model.window, window.stretch, window.alleles, alone)
            alternates[window.columns[batch]] = predict_in_batches(model, windows)
        # The baseline runs through the same code in a batch of the same size: see predict_in_batches.
        baseline = read_out(predict_in_batches(model, reference[None])[0], model.readout)
        store.write(f"{self.group}/ism", gene, read_out(alternates, model.readout) - baseline)
        store.write(self._mark, gene, alternates)

    def gather(self, store: Store) -> None:
        """Nothing spans several genes."""

    def describe(self, store: Store, block: Block) -> str:
        return f"attributions of gene {gene_label(store, block[0])}"
