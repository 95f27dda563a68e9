"""windows/<window>/: each gene's distinct haplotypes, one-hot."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdstore.haplotypes.build import distinct_haplotypes, haplotype_windows
from pdstore.haplotypes.onehot import one_hot
from pdstore.haplotypes.overlaps import first_wins
from pdstore.haplotypes.window import Variants, WindowSpec
from pdstore.schema import filled_array
from pdstore.sources.variants import APPLIED_KINDS, KINDS
from pdstore.stages.gene_window import (
    GeneWindow,
    WindowCalls,
    reaches,
    read_calls,
    read_gene_window,
    window_path,
    window_starts,
)
from pdstore.stages.stage import Block, Pending, gene_label, neighbours, pending_genes, run_length, runs_of
from pdstore.store import Store, genes_written


@dataclass(frozen=True)
class Windows:
    """The stage "windows": a block is a gene."""

    window: WindowSpec
    name = "windows"
    unit = "genes"
    runs_model = False

    @property
    def group(self) -> str:
        return window_path(self.window)

    @property
    def _mark(self) -> str:
        return filled_array(self.group)

    def prepare(self, store: Store) -> None:
        people, ploidy = store.array("genotypes/call_genotype").shape[1:]
        sizes = {
            "genes": store.array("genes/gene_tss").shape[0],
            "samples": people,
            "ploidy": ploidy,
            "haplotypes": people * ploidy,
            "positions": self.window.length,
            "nucleotides": 4,
            "counts": len(count_names(self.window.variants)),
        }
        attributes: dict[str, Any] = {
            "length": self.window.length,
            "tss_offset": self.window.tss_offset,
            "strand": self.window.strand,
            "variants": self.window.variants,
            "pdstore_version": version("pdstore"),
            "counts": {},
        }
        store.create_group(self.group, sizes, attributes)
        # Written last: where a gene's is missing, a kill came between.
        if (store.read_if_filled(f"{self.group}/variant_count") < 0).any():
            self._place_windows(store)

    def _place_windows(self, store: Store) -> None:
        """Where each gene's window and its variants begin: known before anything is filled."""
        starts = window_starts(store, self.window)
        found = reaches(store, self.window, range(len(starts)))
        for name, values in {
            "count_name": np.array(count_names(self.window.variants), dtype=object),
            "window_start": starts,
            "reach_before": [start - reach.start for start, reach in zip(starts, found, strict=True)],
            "reach_after": [reach.end - start - self.window.length for start, reach in zip(starts, found, strict=True)],
            "variant_start": [reach.alleles.start for reach in found],
            "variant_count": [reach.alleles.stop - reach.alleles.start for reach in found],
        }.items():
            store.write(f"{self.group}/{name}", ..., values)

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        return pending_genes(store, self._mark, genes)

    def run(self, store: Store, block: Block) -> None:
        (gene,) = block
        window = read_gene_window(store, self.window, gene)
        calls = read_calls(store, window)
        applied = first_wins(calls.carried, window.footprints)
        found = distinct_haplotypes(applied, calls.absent)
        store.write(f"{self.group}/reference_onehot", gene, self._reference(window))
        store.write(f"{self.group}/haplotype_index", gene, found.haplotype_index)
        store.write(f"{self.group}/gene_counts", gene, gene_counts(window, calls, applied))
        write_haplotypes(store, self.window, window, found.applied)

    def gather(self, store: Store) -> None:
        """Each gene's number of haplotypes; and what was counted, over all genes."""
        count = store.read_if_filled(f"{self.group}/haplotype_count")
        filled = sorted(genes_written(store, self._mark))
        ungathered = [gene for gene in filled if count[gene] < 0]
        for genes in neighbours(ungathered):
            index = store.read(f"{self.group}/haplotype_index", genes)
            # Nobody may have one: on Y, where no man is in the cohort.
            count[genes] = np.maximum(0, index.max(axis=(1, 2)) + 1)
        # A merge takes what was gathered, but for what is counted over all genes.
        if ungathered or (filled and not store.group(self.group).attrs["counts"]):
            store.set_attribute(self.group, "counts", total_counts(store, self.group, filled))
            store.write(f"{self.group}/haplotype_count", ..., count)

    def describe(self, store: Store, block: Block) -> str:
        return f"windows of gene {gene_label(store, block[0])}"

    def _reference(self, window: GeneWindow) -> NDArray[np.bool_]:
        first = window.stretch.tss - self.window.tss_offset
        return one_hot(window.stretch.letters[first : first + self.window.length])


def write_haplotypes(
    store: Store, spec: WindowSpec, window: GeneWindow, applied: NDArray[np.bool_], first_run: int = 0
) -> None:
    """Write one gene's haplotypes, from their last run to the first, whose chunk marks the gene as done.

    Parameters
    ----------
    store : Store
        The store.
    spec : WindowSpec
        Which window of the gene.
    window : GeneWindow
        The reference, and what the alleles change.
    applied : ndarray of bool, shape (haplotypes, alleles)
        Which alleles each haplotype has.
    first_run : int
        Runs before it are not written.
    """
    mark = filled_array(window_path(spec))
    haplotypes, run = store.array(mark).shape[1], run_length(store, mark)
    for _, part in reversed(runs_of(window.gene, len(applied), run)[first_run:]):
        start = part * run
        windows = haplotype_windows(spec, window.stretch, window.alleles, applied[start : start + run])
        # Whole chunks, with zeros at the end.
        missing = min(run, haplotypes - start) - len(windows)
        if missing:
            windows = np.pad(windows, ((0, missing), (0, 0), (0, 0)))
        store.write(mark, (window.gene, slice(start, start + len(windows))), windows)


def count_names(variants: Variants) -> tuple[str, ...]:
    """What `gene_counts` counts, in its order."""
    fates = ("applied where carried" if kind in APPLIED_KINDS[variants] else "skipped" for kind in range(len(KINDS)))
    return (
        *(f"{name} alleles, {fate}" for name, fate in zip(KINDS, fates, strict=True)),
        "calls of an allele that overlaps one before it on the haplotype, skipped",
        "missing calls, read as reference",
        "haploid calls of people with two haplotypes, the second read as reference",
        "people with one haplotype",
        "people without a haplotype",
        "haplotypes whose TSS is deleted, the next base in its place",
    )


def total_counts(store: Store, group: str, genes: Sequence[int]) -> dict[str, int]:
    """What was counted in the filled windows of some genes, over all of them."""
    names = store.read(f"{group}/count_name").tolist()
    totals = store.read_if_filled(f"{group}/gene_counts")[list(genes)].sum(axis=0)
    return dict(zip(names, totals.tolist(), strict=True))


def gene_counts(window: GeneWindow, calls: WindowCalls, applied: NDArray[np.bool_]) -> NDArray[np.int64]:
    """What was applied, skipped and resolved in one gene's window.

    Parameters
    ----------
    window : GeneWindow
        The window; of its alleles those inside it are counted.
    calls : WindowCalls
        Who carries the alleles in reach.
    applied : ndarray of bool, shape (alleles, people, ploidy)
        The same after overlaps are resolved.

    Returns
    -------
    ndarray of int64, shape (counts,)
        In the order of `count_names`.
    """
    haplotypes = (~calls.absent).sum(axis=1)
    tss_deleted = applied[window.alleles.deletes_tss].any(axis=0)
    return np.array(
        [
            *np.bincount(window.kind[window.is_inside], minlength=len(KINDS)),
            (calls.carried & ~applied)[window.scored].sum(),
            calls.missing_calls,
            calls.lone_calls,
            (haplotypes == 1).sum(),
            (haplotypes == 0).sum(),
            tss_deleted.sum(),
        ],
        dtype=np.int64,
    )


def windows_outside_contig(store: Store, window: WindowSpec) -> int:
    """Number of genes whose window leaves the contig; the bases beyond are N."""
    length_of = dict(
        zip(store.read("reference/contig_id").tolist(), store.read("reference/contig_length"), strict=True)
    )
    ends = np.array([length_of[contig] for contig in store.read("genes/gene_contig").tolist()])
    starts = window_starts(store, window)
    return int(((starts < 0) | (starts + window.length > ends)).sum())
