"""attributions/<model>/ism_tss: every substitution at the bases around the TSS; filled where it is named."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdstore.haplotypes.onehot import NUCLEOTIDES
from pdstore.haplotypes.substitutions import offsets_around_tss
from pdstore.models.registry import ModelReference
from pdstore.schema import schema_of
from pdstore.stages.attributions import create_arrays_of_stage
from pdstore.stages.gene_window import read_reference_around
from pdstore.stages.model_group import require_same_model
from pdstore.stages.readouts import stored_readout
from pdstore.stages.stage import Block, Pending, Work, gene_label, pending_runs, runs_of
from pdstore.stages.substitutions import SUBSTITUTIONS, substitution_effects
from pdstore.store import Store

REACH = 1_000
"""bp to either side of the TSS: as far as Sasse et al. 2023 look for a gene's largest effect."""

_POSITIONS = 2 * REACH + 1


@dataclass(frozen=True)
class IsmTss:
    """Effects of substitutions around the TSS, in the reference: a block is a gene and a run of positions."""

    model: ModelReference
    name = "ism_tss"
    unit = "bases"
    runs_model = True

    @property
    def group(self) -> str:
        return f"attributions/{self.model.label}"

    @property
    def _array(self) -> str:
        return f"{self.group}/ism_tss"

    @property
    def _run(self) -> int:
        """Positions of a block."""
        length = schema_of(self.group).arrays["ism_tss"].chunks[1]
        assert isinstance(length, int)
        return length

    def prepare(self, store: Store) -> None:
        sizes = {"ism_tss_positions": _POSITIONS, "nucleotides": len(NUCLEOTIDES)}
        create_arrays_of_stage(store, self.model, self.name, sizes)

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        return pending_runs(store, self._array, genes, [_POSITIONS] * len(genes))

    def run(self, store: Store, block: Block) -> None:
        gene, part = block
        model = self.model.load()
        require_same_model(store, self.group, self.model, model)
        offsets, reverses = self._offsets(store, gene)
        positions = self._positions(part)
        reference = read_reference_around(store, self.model.window, gene)
        effects = substitution_effects(
            model,
            stored_readout(store, self.group),
            reference,
            offsets[positions],
            reverses,
        )
        store.write(self._array, (gene, positions), effects)

    def gather(self, store: Store) -> None:
        """Nothing spans several genes."""

    def describe(self, store: Store, block: Block) -> str:
        gene, part = block
        positions = self._positions(part)
        return (
            f"ISM around the TSS of gene {gene_label(store, gene)}, {positions.start - REACH:+,} to "
            f"{positions.stop - 1 - REACH:+,} bp along the contig"
        )

    def work(self, store: Store, genes: Sequence[int], from_nothing: bool) -> Work:
        """See `OptionalStage`."""
        if self._array in store and not from_nothing:
            pending = self.pending(store, genes)
            todo, done = pending.todo, pending.done
        else:
            todo, done = [block for gene in genes for block in runs_of(gene, _POSITIONS, self._run)], 0
        strands = store.read("genes/gene_strand")
        runs_of_part = {
            (reverses, part): self._model_runs(offsets_around_tss(self.model.window, reverses, REACH), part)
            for reverses in (False, True)
            for _, part in runs_of(0, _POSITIONS, self._run)
        }
        runs = sum(runs_of_part[self.model.window.reverses(str(strands[gene])), part] for gene, part in todo)
        bases = sum(len(range(_POSITIONS)[self._positions(part)]) for _, part in todo)
        return Work(len(todo), done, bases, runs, bases * 4 * len(NUCLEOTIDES))

    def _positions(self, part: int) -> slice:
        return slice(part * self._run, min((part + 1) * self._run, _POSITIONS))

    def _offsets(self, store: Store, gene: int) -> tuple[NDArray[np.int64], bool]:
        """Where the positions lie in the gene's window, and whether that is reverse-complemented."""
        reverses = self.model.window.reverses(str(store.read("genes/gene_strand", gene)))
        return offsets_around_tss(self.model.window, reverses, REACH), reverses

    def _model_runs(self, offsets: NDArray[np.int64], part: int) -> int:
        """Windows that a block runs the model for, if no base is N: the reference, too."""
        of_part = offsets[self._positions(part)]
        inside = int(((of_part >= 0) & (of_part < self.model.window.length)).sum())
        return 1 + SUBSTITUTIONS * inside if inside else 0
