"""Stages of models that take dosages: the alleles around a gene have weights, and no window's sequence is built."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pdstore.errors import ModelError, ProvenanceError
from pdstore.haplotypes.build import diploid_dosage
from pdstore.models.protocol import AlleleWeights, DosageModel, GeneAlleles
from pdstore.models.registry import ModelReference
from pdstore.sources.genome_build import build_named_in
from pdstore.stages.gene_window import GeneWindow, read_calls, read_gene_window, require_windows, window_variant_sizes
from pdstore.stages.model_group import check_model, create_model_group, next_order, require_same_model
from pdstore.stages.readouts import Readout
from pdstore.stages.stage import Block, Pending, gene_label, pending_genes
from pdstore.stages.windows import Windows
from pdstore.store import Store

USED = 1
"""Place of the weights that are used among what a model counts."""


class WindowsInPlace(Windows):
    """Where windows and their variants lie, without any sequence."""

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        return Pending([], [], len(genes))

    def gather(self, store: Store) -> None:
        """Nothing was filled."""


@dataclass(frozen=True)
class _OfDosages:
    """What both stages share: a block is a gene, marked by one array of one group."""

    model: ModelReference
    name: ClassVar[str]
    _parent: ClassVar[str]
    _array: ClassVar[str]
    unit = "genes"
    runs_model = False

    @property
    def group(self) -> str:
        return f"{self._parent}/{self.model.label}"

    @property
    def _mark(self) -> str:
        return f"{self.group}/{self._array}"

    def _create(self, store: Store, sizes: Mapping[str, int], attributes: Mapping[str, Any]) -> None:
        """Hold the model against the store, and create the group."""
        check_model(store, self.model)
        _require_some_match(store, self.model, self.model.load_dosage_model())
        readout = Readout(self.model.describe().readout)
        create_model_group(store, self.group, self.model, sizes, {**readout.attributes, **attributes})

    def _load(self, store: Store) -> DosageModel:
        model = self.model.load_dosage_model()
        require_same_model(store, self.group, self.model, model)
        return model

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        return pending_genes(store, self._mark, genes)

    def gather(self, store: Store) -> None:
        """Nothing spans several genes."""

    def describe(self, store: Store, block: Block) -> str:
        return f"{self.name} for gene {gene_label(store, block[0])}"


class DosagePredictions(_OfDosages):
    """Predictions of people."""

    name = "predictions of people"
    _parent, _array = "predictions", "expression"

    def prepare(self, store: Store) -> None:
        require_windows(store, self.model.window)
        counts = self.model.load_dosage_model().counts
        genes, people = store.array("expression/observed").shape
        sizes = {"genes": genes, "samples": people, "counts": len(counts)}
        self._create(store, sizes, {"order": next_order(store), "haplotypes_per_block": 1})
        if not store.chunks_written(f"{self.group}/count_name"):
            store.write(f"{self.group}/count_name", ..., np.array(counts, dtype=object))

    def run(self, store: Store, block: Block) -> None:
        (gene,) = block
        model = self._load(store)
        window = read_gene_window(store, self.model.window, gene)
        weights = _weights_of(store, model, window)
        known = weights.known
        prediction = np.full(store.array(self._mark).shape[1], np.nan)
        if known.any():
            calls = read_calls(store, window)
            dosage = diploid_dosage(calls.carried[window.scored][known], calls.absent)
            fold = model.fold_of(store.read("genotypes/sample_id").tolist())
            # Each person by the weights that they did not help to train.
            of_folds = weights.weight[:, known] @ dosage + weights.offset[:, None]
            prediction = np.where(calls.absent.all(axis=1), np.nan, of_folds[fold, np.arange(len(fold))])
        store.write(f"{self.group}/gene_counts", gene, weights.counts)
        store.write(self._mark, gene, prediction)

    def without_prediction(self, store: Store, genes: Sequence[int]) -> int:
        """How many of some filled genes have no weight that could be used."""
        used = store.read_if_filled(f"{self.group}/gene_counts")[genes, USED]
        return int((used == 0).sum())


class DosageEffects(_OfDosages):
    """Effects of single alleles, which are their weights."""

    name = "effects of variants"
    _parent, _array = "attributions", "ism"

    def prepare(self, store: Store) -> None:
        self._create(store, window_variant_sizes(store, self.model.window), {"variants_per_block": 1})

    def run(self, store: Store, block: Block) -> None:
        (gene,) = block
        model = self._load(store)
        window = read_gene_window(store, self.model.window, gene)
        ism = np.full(store.array(self._mark).shape[1], np.nan)
        ism[window.scored_columns] = _weights_of(store, model, window).weight[0]
        store.write(self._mark, gene, ism)


def _weights_of(store: Store, model: DosageModel, window: GeneWindow) -> AlleleWeights:
    """The model of a gene, for the scored alleles of its window."""
    rows, scored = window.rows, window.scored_columns
    alleles = GeneAlleles(
        contig=str(store.read("genes/gene_contig", window.gene)),
        position=window.position[scored].astype(np.int64),
        ref=store.read("variants/ref", rows)[scored],
        alt=store.read("variants/alt", rows)[scored],
    )
    return model.allele_weights(str(store.read("genes/gene_id", window.gene)), alleles)


def _require_some_match(store: Store, reference: ModelReference, model: DosageModel) -> None:
    """Raise where a model cannot be of this store: of another genome build, or without a gene or variant in common."""
    given = str(store.attributes.get("genome_build") or "")
    held = build_named_in(given) or given or None
    build = model.build or "a genome build that it does not name"
    if model.build is not None and build_named_in(given) not in (None, model.build):
        raise ProvenanceError(f"weights {reference.weights} are of {build}, but the store is of {held}")
    ids = store.read("genes/gene_id").tolist()
    genes = [row for row, gene_id in enumerate(ids) if model.has_weights(gene_id)]
    if not genes:
        raise ModelError(
            f"model {reference.name}: weights {reference.weights} know none of the store's {len(ids):,} genes: are "
            "these the same identifiers (ENSG…)?"
        )
    # Mostly the first has one.
    if not any(
        _weights_of(store, model, read_gene_window(store, reference.window, gene)).known.any() for gene in genes
    ):
        raise ModelError(
            f"model {reference.name}: none of the variants of weights {reference.weights}, of {build}, is applied in "
            f"the store, which is of {held or 'a genome build that it does not name'}: are both of one build?"
        )
