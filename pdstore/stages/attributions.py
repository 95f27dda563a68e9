"""attributions/<model>/: in-silico mutagenesis of every applied allele of a gene's window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pdstore.haplotypes.build import haplotype_windows
from pdstore.models.protocol import predict_in_batches
from pdstore.models.registry import ModelReference
from pdstore.schema import schema_of
from pdstore.stages.gene_window import read_gene_window, read_reference_window, window_path, window_variant_sizes
from pdstore.stages.model_group import check_model, create_model_group, require_same_model
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
class Attributions:
    """Outputs for single alleles: a block is a gene and a run of its window's variants."""

    model: ModelReference
    name = "attributions"
    unit = "variants"
    runs_model = True

    @property
    def group(self) -> str:
        return f"attributions/{self.model.label}"

    @property
    def _tracks(self) -> str:
        return f"{self.group}/alternate_tracks"

    def prepare(self, store: Store) -> None:
        sizes = window_variant_sizes(store, self.model.window)
        check_model(store, self.model)
        described = self.model.describe()
        attributes = {**Readout(described.readout).attributes, "variants_per_block": described.windows_per_block}
        create_model_group(store, self.group, self.model, sizes, attributes)

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        count = store.read(f"{window_path(self.model.window)}/variant_count")
        return pending_runs(store, self._tracks, genes, [int(count[gene]) for gene in genes])

    def run(self, store: Store, block: Block) -> None:
        gene, part = block
        model = self.model.load()
        require_same_model(store, self.group, self.model, model)
        window = read_gene_window(store, self.model.window, gene)
        reference = read_reference_window(store, self.model.window, gene)
        if part == 0:
            # The baseline of the effects: computed otherwise than the alleles', it would differ in the last bits.
            of_reference = predict_in_batches(model, reference[None], reference)[0]
            store.write(f"{self.group}/reference_tracks", gene, of_reference)
        run = run_length(store, self._tracks)
        _, variants, *of_a_variant = store.array(self._tracks).shape
        first, last = part * run, min((part + 1) * run, variants)
        alternates = np.full((last - first, *of_a_variant), np.nan, dtype=np.float32)
        scored = np.flatnonzero(window.scored)
        scored = scored[(window.columns[scored] >= first) & (window.columns[scored] < last)]
        alone = np.zeros((len(scored), len(window.columns)), dtype=bool)
        alone[np.arange(len(scored)), scored] = True
        windows = haplotype_windows(self.model.window, window.stretch, window.alleles, alone)
        alternates[window.columns[scored] - first] = predict_in_batches(model, windows, reference)
        store.write(self._tracks, (gene, slice(first, last)), alternates)

    def gather(self, store: Store) -> None:
        """Nothing spans several genes."""

    def describe(self, store: Store, block: Block) -> str:
        gene, part = block
        run = run_length(store, self._tracks)
        last = min((part + 1) * run, int(store.read(f"{window_path(self.model.window)}/variant_count", gene))) - 1
        return f"attributions of gene {gene_label(store, gene)}, variants {part * run} to {last} of its window"


@dataclass(frozen=True)
class IsmEffects:
    """Effects of single alleles, read out of their tracks: a block is a gene."""

    model: ModelReference
    name = "effects of variants"
    unit = "genes"
    runs_model = False

    @property
    def group(self) -> str:
        return f"attributions/{self.model.label}"

    def prepare(self, store: Store) -> None:
        """Nothing: the group is there."""

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        count = store.read(f"{window_path(self.model.window)}/variant_count").tolist()
        whole = genes_of_whole_runs(store, f"{self.group}/alternate_tracks", count)
        return pending_genes(store, f"{self.group}/ism", [gene for gene in genes if gene in whole])

    def run(self, store: Store, block: Block) -> None:
        (gene,) = block
        count = int(store.read(f"{window_path(self.model.window)}/variant_count", gene))
        readout = stored_readout(store, self.group)
        baseline = readout.of(store.read(f"{self.group}/reference_tracks", gene))
        runs = read_rows(store, f"{self.group}/alternate_tracks", gene, count)
        ism = np.full(store.array(f"{self.group}/ism").shape[1], np.nan)
        ism[:count] = np.concatenate([readout.of(tracks) for tracks in runs]) - baseline
        store.write(f"{self.group}/ism", gene, ism)

    def gather(self, store: Store) -> None:
        """Nothing spans several genes."""

    def describe(self, store: Store, block: Block) -> str:
        return f"effects of the variants of gene {gene_label(store, block[0])}"


def create_arrays_of_stage(store: Store, model: ModelReference, stage: str, sizes: Mapping[str, int]) -> None:
    """Create what is not there of the arrays of a model's attributions that an optional stage fills, and of the group.

    Parameters
    ----------
    store : Store
        The store.
    model : ModelReference
        The model.
    stage : str
        Name of the stage.
    sizes : mapping of str to int
        Sizes of the dimensions that only these arrays have.
    """
    attributions = Attributions(model)
    attributions.prepare(store)
    schema = schema_of(attributions.group)
    of_group = dict(zip(schema.arrays["ism"].dims, store.array(f"{attributions.group}/ism").shape, strict=True))
    others = {name for name, array in schema.arrays.items() if array.stage != stage}
    store.create_group(attributions.group, {**of_group, **sizes}, {}, others)
