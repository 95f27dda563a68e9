"""predictions/<model>/: the model's outputs for every distinct haplotype, and each person's prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from pdstore.analysis.readout import person_prediction, read_out
from pdstore.errors import MissingDataError
from pdstore.models.protocol import predict_in_batches
from pdstore.models.registry import ModelReference
from pdstore.stages.gene_window import read_reference_window, require_windows, window_path
from pdstore.stages.model_group import check_model, is_created, model_attributes, next_order, require_same_model
from pdstore.stages.stage import Block, Pending, gene_label
from pdstore.store import Store

HAPLOTYPES_A_BLOCK = 64
"""Haplotypes of a block: for the small models a second's work, for Enformer minutes."""


@dataclass(frozen=True)
class Predictions:
    """The stage "predictions": a block is a gene and a run of its haplotypes."""

    model: ModelReference
    name = "predictions"

    @property
    def group(self) -> str:
        return f"predictions/{self.model.name}"

    @property
    def _windows(self) -> str:
        return window_path(self.model.window)

    def prepare(self, store: Store) -> None:
        check_model(store, self.model)
        if is_created(store, self.group, "expression") and store.chunks_written(f"{self.group}/track_name"):
            return
        require_windows(store, self.model.window)
        model = self.model.load()
        genes, people, _ = store.array(f"{self._windows}/haplotype_index").shape
        sizes = {
            "genes": genes,
            "samples": people,
            "haplotypes": store.array(f"{self._windows}/haplotype_onehot").shape[1],
            "bins": model.bins,
            "model_tracks": len(model.track_names),
        }
        attributes = {
            "order": next_order(store),
            **model_attributes(self.model, model),
            "haplotypes_per_block": HAPLOTYPES_A_BLOCK,
            "pdstore_version": version("pdstore"),
        }
        store.create_group(self.group, sizes, attributes)
        store.write(f"{self.group}/track_name", ..., np.array(model.track_names, dtype=object))

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        count = store.read_if_filled(f"{self._windows}/haplotype_count")
        for gene in genes:
            if count[gene] < 0:
                raise MissingDataError(
                    f"windows of gene {gene_label(store, gene)} are not filled: run pdstore fill windows"
                )
        written = {chunk[:2] for chunk in store.chunks_written(f"{self.group}/tracks")}
        run_length = self._run_length(store)
        blocks = [block for gene in genes for block in _blocks(gene, int(count[gene]), run_length)]
        todo = [block for block in blocks if block not in written]
        return Pending(todo, len(blocks) - len(todo))

    def run(self, store: Store, block: Block) -> None:
        gene, part = block
        model = self.model.load()
        require_same_model(store, self.group, self.model, model)
        run_length = self._run_length(store)
        count = int(store.read(f"{self._windows}/haplotype_count", gene))
        start, haplotypes = part * run_length, store.array(f"{self.group}/tracks").shape[1]
        if part == 0:
            reference = read_reference_window(store, self.model.window, gene)
            store.write(f"{self.group}/reference_tracks", gene, predict_in_batches(model, reference[None])[0])
        windows = store.read(f"{self._windows}/haplotype_onehot", (gene, slice(start, min(start + run_length, count))))
        # A whole chunk: NaN behind the last haplotype.
        tracks = np.full((min(run_length, haplotypes - start), model.bins, len(model.track_names)), np.nan, np.float32)
        tracks[: len(windows)] = predict_in_batches(model, windows)
        store.write(f"{self.group}/tracks", (gene, slice(start, start + len(tracks))), tracks)

    def gather(self, store: Store) -> None:
        """Each person's prediction, for the genes whose haplotypes are all predicted."""
        count = store.read_if_filled(f"{self._windows}/haplotype_count")
        readout = str(store.group(self.group).attrs["readout"])
        written = {chunk[:2] for chunk in store.chunks_written(f"{self.group}/tracks")}
        gathered = {chunk[0] for chunk in store.chunks_written(f"{self.group}/expression")}
        run_length = self._run_length(store)
        for gene in sorted({gene for gene, _ in written} - gathered):
            if written.issuperset(_blocks(gene, int(count[gene]), run_length)):
                haplotypes = read_out(store.read(f"{self.group}/tracks", (gene, slice(0, count[gene]))), readout)
                index = store.read(f"{self._windows}/haplotype_index", gene)
                store.write(f"{self.group}/expression", gene, person_prediction(haplotypes, index))

    def describe(self, store: Store, block: Block) -> str:
        gene, part = block
        first = part * self._run_length(store)
        last = first + self._run_length(store) - 1
        return f"predictions of gene {gene_label(store, gene)}, haplotypes {first} to {last}"

    def _run_length(self, store: Store) -> int:
        return int(store.array(f"{self.group}/tracks").chunks[1])


def _blocks(gene: int, haplotypes: int, run_length: int) -> list[Block]:
    return [(gene, part) for part in range(-(-haplotypes // run_length))]
