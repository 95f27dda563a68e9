"""windows/<window>/: each gene's distinct haplotypes, one-hot."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from pdstore.haplotypes.build import distinct_haplotypes, haplotype_windows
from pdstore.haplotypes.onehot import one_hot, reverse_complement
from pdstore.haplotypes.window import WindowSpec
from pdstore.sources.variants import SNV
from pdstore.stages.gene_window import read_carried, read_gene_window, window_path
from pdstore.stages.stage import Block, Pending, gene_label, genes_written, pending_genes
from pdstore.store import Store


@dataclass(frozen=True)
class Windows:
    """The stage "windows": a block is a gene."""

    window: WindowSpec
    name = "windows"

    @property
    def group(self) -> str:
        return window_path(self.window)

    @property
    def _mark(self) -> str:
        return f"{self.group}/haplotype_onehot"

    def prepare(self, store: Store) -> None:
        people, ploidy = store.array("genotypes/call_genotype").shape[1:]
        sizes = {
            "genes": store.array("genes/gene_tss").shape[0],
            "samples": people,
            "ploidy": ploidy,
            "haplotypes": people * ploidy,
            "positions": self.window.length,
            "nucleotides": 4,
        }
        attributes = {
            "length": self.window.length,
            "tss_offset": self.window.tss_offset,
            "strand": self.window.strand,
            "variants": self.window.variants,
            "pdstore_version": version("pdstore"),
        }
        store.create_group(self.group, sizes, attributes)
        # Written last: where a gene's is missing, a kill came between.
        if (store.read_if_filled(f"{self.group}/variant_count") < 0).any():
            self._place_windows(store)

    def _place_windows(self, store: Store) -> None:
        """Where each gene's window and its variants begin: known before anything is filled."""
        starts = window_starts(store, self.window)
        first, count = variants_in_windows(store, starts, self.window.length)
        skipped_before = np.r_[0, np.cumsum(store.read("variants/kind") != SNV)]
        store.write(f"{self.group}/window_start", ..., starts)
        store.write(f"{self.group}/variant_start", ..., first)
        store.write(f"{self.group}/skipped_alleles", ..., skipped_before[first + count] - skipped_before[first])
        store.write(f"{self.group}/variant_count", ..., count)

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        return pending_genes(store, self._mark, genes)

    def run(self, store: Store, block: Block) -> None:
        (gene,) = block
        window = read_gene_window(store, self.window, gene)
        reference = self._reference(store, gene)
        found = distinct_haplotypes(*read_carried(store, window))
        store.write(f"{self.group}/reference_onehot", gene, reference)
        store.write(f"{self.group}/haplotype_index", gene, found.haplotype_index)
        haplotypes, run_length = store.array(self._mark).shape[1], store.array(self._mark).chunks[1]
        # From the last run to the first, whose chunk marks the gene as done; whole chunks, with zeros at the end.
        for start in reversed(range(0, len(found.alleles), run_length)):
            alleles = found.alleles[start : start + run_length]
            windows = np.zeros((min(run_length, haplotypes - start), *reference.shape), dtype=bool)
            windows[: len(alleles)] = haplotype_windows(reference, alleles, window.snvs)
            store.write(self._mark, (gene, slice(start, start + len(windows))), windows)

    def gather(self, store: Store) -> None:
        count = store.read_if_filled(f"{self.group}/haplotype_count")
        ungathered = [gene for gene in sorted(genes_written(store, self._mark)) if count[gene] < 0]
        for gene in ungathered:
            count[gene] = store.read(f"{self.group}/haplotype_index", gene).max() + 1
        if ungathered:
            store.write(f"{self.group}/haplotype_count", ..., count)

    def describe(self, store: Store, block: Block) -> str:
        return f"windows of gene {gene_label(store, block[0])}"

    def _reference(self, store: Store, gene: int) -> NDArray[np.bool_]:
        start = int(store.read(f"{self.group}/window_start", gene))
        letters = reference_letters(store, str(store.read("genes/gene_contig", gene)), start, self.window.length)
        onehot = one_hot(letters)
        if self.window.reverses(str(store.read("genes/gene_strand", gene))):
            return np.ascontiguousarray(reverse_complement(onehot))
        return onehot


def reference_letters(store: Store, contig: str, start: int, length: int) -> NDArray[np.uint8]:
    """Letters of a stretch of the reference, N outside the contig.

    Parameters
    ----------
    store : Store
        The store.
    contig : str
        Name of the contig.
    start, length : int
        First base, 0-based, may be negative; and bases.

    Returns
    -------
    ndarray of uint8, shape (length,)
        ASCII.
    """
    index = store.read("reference/contig_id").tolist().index(contig)
    offset = int(store.read("reference/contig_offset", index))
    contig_length = int(store.read("reference/contig_length", index))
    letters = np.full(length, ord("N"), dtype=np.uint8)
    first, last = max(start, 0), min(start + length, contig_length)
    if first < last:
        letters[first - start : last - start] = store.read("reference/sequence", slice(offset + first, offset + last))
    return letters


def window_starts(store: Store, window: WindowSpec) -> NDArray[np.int64]:
    """First base of every gene's window, 0-based: int64, shape (genes,)."""
    tss, strands = store.read("genes/gene_tss"), store.read("genes/gene_strand")
    return np.array(
        [window.start(int(site), str(strand)) for site, strand in zip(tss, strands, strict=True)], dtype=np.int64
    )


def windows_outside_contig(store: Store, window: WindowSpec) -> int:
    """Number of genes whose window leaves the contig; the bases beyond are N."""
    length_of = dict(
        zip(store.read("reference/contig_id").tolist(), store.read("reference/contig_length"), strict=True)
    )
    ends = np.array([length_of[contig] for contig in store.read("genes/gene_contig").tolist()])
    starts = window_starts(store, window)
    return int(((starts < 0) | (starts + window.length > ends)).sum())


def variants_in_windows(
    store: Store, starts: NDArray[np.int64], length: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """First row of variants/ in each window, and how many rows lie in it: two arrays of shape (genes,)."""
    contig, position = store.read("variants/contig"), store.read("variants/position")
    index_of = {name: index for index, name in enumerate(store.read("variants/contig_id").tolist())}
    first, count = np.empty(len(starts), dtype=np.int64), np.empty(len(starts), dtype=np.int32)
    for gene, name in enumerate(store.read("genes/gene_contig").tolist()):
        on_contig = slice(*np.searchsorted(contig, [index_of[name], index_of[name] + 1]))
        low, high = np.searchsorted(position[on_contig], [starts[gene] + 1, starts[gene] + length + 1])
        first[gene], count[gene] = on_contig.start + low, high - low
    return first, count
