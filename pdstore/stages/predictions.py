"""predictions/<model>/: the model's outputs for every distinct haplotype, and each person's prediction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.readout import person_prediction
from pdstore.models.protocol import predict_in_batches
from pdstore.models.registry import ModelReference
from pdstore.stages.gene_window import haplotype_counts, read_reference_window, require_windows, window_path
from pdstore.stages.model_group import check_model, create_model_group, next_order, require_same_model
from pdstore.stages.readouts import Readout, stored_readout
from pdstore.stages.stage import (
    Block,
    Pending,
    gene_label,
    genes_of_whole_runs,
    pending_genes,
    pending_runs,
    read_rows,
    run_length,
)
from pdstore.store import Store


@dataclass(frozen=True)
class Predictions:
    """Outputs for haplotypes: a block is a gene and a run of its haplotypes."""

    model: ModelReference
    name = "predictions"
    unit = "haplotypes"
    runs_model = True

    @property
    def group(self) -> str:
        return f"predictions/{self.model.label}"

    @property
    def _tracks(self) -> str:
        return f"{self.group}/tracks"

    @property
    def _kept(self) -> str:
        return f"{self.group}/kept_tracks"

    @property
    def _windows(self) -> str:
        return window_path(self.model.window)

    def prepare(self, store: Store) -> None:
        require_windows(store, self.model.window)
        check_model(store, self.model)
        genes, people, _ = store.array(f"{self._windows}/haplotype_index").shape
        described = self.model.describe()
        sizes = {
            "genes": genes,
            "samples": people,
            "haplotypes": store.array(f"{self._windows}/haplotype_onehot").shape[1],
        }
        attributes = {
            "order": next_order(store),
            **Readout(described.readout).attributes,
            "haplotypes_per_block": described.windows_per_block,
        }
        create_model_group(store, self.group, self.model, sizes, attributes)
        if not store.chunks_written(f"{self.group}/track_name"):
            store.write(f"{self.group}/track_name", ..., np.array(described.track_names, dtype=object))

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        count = haplotype_counts(store, self.model.window, genes)
        return pending_runs(store, self._tracks, genes, count)

    def run(self, store: Store, block: Block) -> None:
        gene, part = block
        model = self.model.load()
        require_same_model(store, self.group, self.model, model)
        run = run_length(store, self._tracks)
        count = int(store.read(f"{self._windows}/haplotype_count", gene))
        _, haplotypes, *of_a_haplotype = store.array(self._tracks).shape
        start = part * run
        reference = read_reference_window(store, self.model.window, gene)
        if part == 0:
            of_reference = predict_in_batches(model, reference[None], reference)[0]
            store.write(f"{self.group}/reference_tracks", gene, of_reference)
        windows = store.read(f"{self._windows}/haplotype_onehot", (gene, slice(start, min(start + run, count))))
        # A whole chunk: NaN behind the last haplotype.
        tracks = np.full((min(run, haplotypes - start), *of_a_haplotype), np.nan, np.float32)
        rows = (gene, slice(start, start + len(tracks)))
        if self._kept in store:
            tracks = store.read_if_filled(self._kept, rows)
        new = np.flatnonzero(np.isnan(tracks[: len(windows)]).any(axis=(1, 2)))
        if len(new):
            tracks[new] = predict_in_batches(model, windows[new], reference)
        store.write(self._tracks, rows, tracks)

    def gather(self, store: Store) -> None:
        """Nothing spans several genes; what was kept for blocks that are done now goes."""
        if self._kept in store and store.chunks_written(self._kept) <= store.chunks_written(self._tracks):
            store.delete(self._kept)

    def describe(self, store: Store, block: Block) -> str:
        gene, part = block
        run = run_length(store, self._tracks)
        last = min((part + 1) * run, int(store.read(f"{self._windows}/haplotype_count", gene))) - 1
        return f"predictions of gene {gene_label(store, gene)}, haplotypes {part * run} to {last}"


@dataclass(frozen=True)
class PersonPredictions:
    """Predictions of people, read out of the tracks of their haplotypes: a block is a gene."""

    model: ModelReference
    name = "predictions of people"
    unit = "genes"
    runs_model = False

    @property
    def group(self) -> str:
        return f"predictions/{self.model.label}"

    def prepare(self, store: Store) -> None:
        """Nothing: the group is there."""

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        count = store.read_if_filled(f"{window_path(self.model.window)}/haplotype_count")
        whole = genes_of_whole_runs(store, f"{self.group}/tracks", count.tolist())
        return pending_genes(store, f"{self.group}/expression", [gene for gene in genes if gene in whole])

    def run(self, store: Store, block: Block) -> None:
        (gene,) = block
        readout = stored_readout(store, self.group)
        values = read_person_prediction(store, self.group, window_path(self.model.window), gene, readout)
        store.write(f"{self.group}/expression", gene, values)

    def gather(self, store: Store) -> None:
        """Nothing spans several genes."""

    def describe(self, store: Store, block: Block) -> str:
        return f"predictions of people for gene {gene_label(store, block[0])}"


def read_person_prediction(store: Store, group: str, windows: str, gene: int, readout: Readout) -> NDArray[np.float64]:
    """A gene's predictions of people, read out of the stored tracks.

    Parameters
    ----------
    store : Store
        The store.
    group, windows : str
        Paths of the model's predictions, and of the windows that they are of.
    gene : int
        Row of genes/, whose tracks are filled.
    readout : Readout
        How tracks become one number.

    Returns
    -------
    ndarray of float64, shape (people,)
    """
    count = int(store.read(f"{windows}/haplotype_count", gene))
    index = store.read(f"{windows}/haplotype_index", gene)
    # Run by run: with all tracks of Enformer, a gene's are a gigabyte on the way.
    runs = read_rows(store, f"{group}/tracks", gene, count)
    return person_prediction(np.concatenate([readout.of(tracks) for tracks in runs]), index)
