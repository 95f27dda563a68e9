"""attributions/<model>/: which histone marks and bins AttentiveChrome's answer for the reference is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import UsageError
from pdstore.models.attentive_chrome import MARKS, attention
from pdstore.models.registry import ModelReference
from pdstore.stages.attributions import create_arrays_of_stage
from pdstore.stages.gene_window import haplotype_counts
from pdstore.stages.model_group import is_filled
from pdstore.stages.readouts import ATTENTIVE_CHROME, set_readout, stored_readout
from pdstore.stages.stage import Block, Pending, Work, gene_label, pending_genes
from pdstore.store import Store

_MARK = "mark_attention"
"""The array whose chunk of a gene says that its attention is done."""


def require_attentive_chrome(store: Store, model: ModelReference) -> None:
    """Raise `UsageError` unless a model's predictions are there and read out by AttentiveChrome."""
    predictions = f"predictions/{model.label}"
    if not is_filled(store, predictions) or store.group(predictions).attrs.get("readout") != ATTENTIVE_CHROME:
        raise UsageError(
            f"attention is that of --readout {ATTENTIVE_CHROME}: fill the predictions of {model.label} with it first"
        )


@dataclass(frozen=True)
class AttentionStage:
    """Attention at the reference: a block is a gene. Filled where it is asked for, in the group of attributions."""

    model: ModelReference
    name = "attention"
    unit = "genes"
    runs_model = False

    @property
    def group(self) -> str:
        return f"attributions/{self.model.label}"

    def prepare(self, store: Store) -> None:
        require_attentive_chrome(store, self.model)
        predictions = f"predictions/{self.model.label}"
        bins = store.array(f"{predictions}/reference_tracks").shape[1]
        create_arrays_of_stage(store, self.model, self.name, {"marks": len(MARKS), "bins": bins})
        # The group's readout is the predictions', and attention of another one goes.
        set_readout(store, self.group, None)

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        haplotype_counts(store, self.model.window, genes)
        return pending_genes(store, f"{self.group}/{_MARK}", genes)

    def run(self, store: Store, block: Block) -> None:
        (gene,) = block
        predictions = f"predictions/{self.model.label}"
        weights = stored_readout(store, predictions).weights
        assert weights is not None
        tracks: NDArray[np.float32] = store.read(f"{predictions}/reference_tracks", gene)
        found = attention(tracks, weights)
        store.write(f"{self.group}/bin_attention", gene, found.bins)
        store.write(f"{self.group}/bin_gradient_x_input", gene, found.gradient_x_input)
        store.write(f"{self.group}/{_MARK}", gene, found.marks)

    def work(self, store: Store, genes: Sequence[int], from_nothing: bool) -> Work:
        """See `OptionalStage`."""
        path = f"{self.group}/{_MARK}"
        done = 0 if from_nothing or path not in store else pending_genes(store, path, genes).done
        todo = len(genes) - done
        of_a_gene = 8 * len(MARKS) * (1 + 2 * self.model.describe().bins)
        return Work(todo, done, todo, 0, todo * of_a_gene)

    def gather(self, store: Store) -> None:
        """Nothing spans several genes."""

    def describe(self, store: Store, block: Block) -> str:
        return f"attention of gene {gene_label(store, block[0])}"
