"""eqtl/<window>/: slope and p of observed expression on each SNV's dosage."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from pdstore.analysis.eqtl import eqtl_slopes
from pdstore.haplotypes.build import alternate_dosage
from pdstore.haplotypes.window import WindowSpec
from pdstore.schema import filled_array
from pdstore.stages.expression import read_expression
from pdstore.stages.gene_window import read_calls, read_gene_window, window_variant_sizes
from pdstore.stages.stage import Block, Pending, gene_label, pending_genes
from pdstore.store import Store


@dataclass(frozen=True)
class Eqtl:
    """The stage "eqtl": a block is a gene."""

    window: WindowSpec
    name = "eqtl"
    unit = "genes"
    runs_model = False

    @property
    def group(self) -> str:
        return f"eqtl/{self.window.name}"

    @property
    def _mark(self) -> str:
        return filled_array(self.group)

    def prepare(self, store: Store) -> None:
        attributes = {"window": self.window.name, "pdstore_version": version("pdstore")}
        store.create_group(self.group, window_variant_sizes(store, self.window), attributes)

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        return pending_genes(store, self._mark, genes)

    def run(self, store: Store, block: Block) -> None:
        (gene,) = block
        window = read_gene_window(store, self.window, gene)
        observed = read_expression(store, gene)
        measured = ~np.isnan(observed)
        carried = read_calls(store, window).carried[window.scored]
        found = eqtl_slopes(alternate_dosage(carried)[:, measured], observed[measured])
        for array, values in (("slope", found.slope), ("pearson_r", found.pearson_r), ("p_value", found.p_value)):
            row = np.full(store.array(self._mark).shape[1], np.nan)
            row[window.scored_columns] = values
            store.write(f"{self.group}/{array}", gene, row)

    def gather(self, store: Store) -> None:
        """Nothing spans several genes."""

    def describe(self, store: Store, block: Block) -> str:
        return f"eQTL slopes of gene {gene_label(store, block[0])}"
