"""Groups that a fill made, with more people: new haplotypes come behind the old ones, whose outputs stay as they are.

What follows from all people (their predictions, eQTL slopes, statistics) is left empty for a fill to derive.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pdstore.chunk_files import Chunk, ChunkFiles
from pdstore.counts import Counts
from pdstore.errors import DamagedDataError, ProvenanceError
from pdstore.haplotypes.build import numbered_haplotypes
from pdstore.haplotypes.overlaps import first_wins
from pdstore.haplotypes.window import WindowSpec
from pdstore.merged_groups import Tally, write_group
from pdstore.stages.gene_window import read_calls, read_gene_window, window_path, window_spec
from pdstore.stages.stage import gene_label, run_length, runs_of
from pdstore.stages.windows import Windows, gene_counts, write_haplotypes
from pdstore.store import Store, genes_written
from pdstore.union import Part, unite_groups


def grow_groups(out: Store, store: Store, files: ChunkFiles, added: Counts) -> None:
    """Write every group that a fill made, of a store's people and of new ones.

    Parameters
    ----------
    out : Store
        The new store, which has genotypes, variants, genes, expression and reference.
    store : Store
        The store that grows.
    files : ChunkFiles
        Of the new store.
    added : Counts
        Told how many haplotypes are new, and what is left out.
    """
    part = Part(store, np.arange(store.array("genes/gene_tss").shape[0]))
    samples, ploidy = out.array("genotypes/call_genotype").shape[1:]
    sizes = {"samples": samples, "haplotypes": samples * ploidy}
    for union in unite_groups([part]):
        parent, name = union.path.split("/")
        if parent == "windows":
            _Windows(out, store, window_spec(store, name), files).write(added)
            continue
        union = replace(union, sizes={dim: sizes.get(dim, size) for dim, size in union.sizes.items()})
        if parent != "attributions":
            arrays = {"kept_tracks", *union.arrays} if f"{union.path}/tracks" in store else set(union.arrays)
            union = replace(union, arrays=tuple(sorted(arrays)), filled={}, begun={})
        tally = Tally()
        write_group(out, [part], union, files, tally)
        for what, count in tally.left_out.items():
            added.leave_out(what, count)
        if parent == "predictions" and f"{union.path}/tracks" in store:
            _take_tracks(out, store, union.path, files)


class _Windows:
    """Writes a group of windows/."""

    def __init__(self, out: Store, store: Store, window: WindowSpec, files: ChunkFiles) -> None:
        self._out, self._store, self._window, self._files = out, store, window, files
        self._path = window_path(window)
        self._mark = f"{self._path}/haplotype_onehot"

    def write(self, added: Counts) -> None:
        stage = Windows(self._window)
        stage.prepare(self._out)
        _require_same_places(self._out, self._store, self._path)
        before = after = 0
        genes = sorted(genes_written(self._store, self._mark))
        kept: list[Chunk] = []
        for gene in genes:
            old, new, runs = self._gene(gene)
            before, after = before + old, after + new
            kept += [(gene, run, 0, 0) for run in range(runs)]
        self._files.take_all(f"{self._path}/reference_onehot", self._store, [(gene, 0, 0) for gene in genes])
        self._files.take_all(self._mark, self._store, kept)
        stage.gather(self._out)
        if after:
            added.taken[f"haplotypes of {self._path}, of all genes together"] = after
            added.taken[f"of these new: haplotypes of {self._path}"] = after - before

    def _gene(self, gene: int) -> tuple[int, int, int]:
        """Write what is new of a gene; how many haplotypes it had and has, and how many runs of them stay."""
        window = read_gene_window(self._out, self._window, gene)
        calls = read_calls(self._out, window)
        applied = first_wins(calls.carried, window.footprints)
        known = self._store.read(f"{self._path}/haplotype_index", gene)
        try:
            found = numbered_haplotypes(applied, calls.absent, known)
        except ValueError as error:
            raise DamagedDataError(
                f"store {self._store.url}: {self._path}/haplotype_index of gene {gene_label(self._store, gene)} is not "
                "of its genotypes; drop the gene with pdstore clear and fill it again"
            ) from error
        before, after = max(0, int(known.max()) + 1), len(found.applied)
        self._out.write(f"{self._path}/haplotype_index", gene, found.haplotype_index)
        self._out.write(f"{self._path}/gene_counts", gene, gene_counts(window, calls, applied))
        kept = _whole_runs(self._out, self._store, self._mark, gene, before, after)
        write_haplotypes(self._out, self._window, window, found.applied, first_run=kept)
        return before, after, kept


def _take_tracks(out: Store, store: Store, group: str, files: ChunkFiles) -> None:
    """Take over outputs of haplotypes; those of a block that new haplotypes come into are kept for the fill."""
    tracks, kept, reference = (f"{group}/{name}" for name in ("tracks", "kept_tracks", "reference_tracks"))
    counts = f"windows/{store.group(group).attrs['window']}/haplotype_count"
    before, after = store.read_if_filled(counts), out.read_if_filled(counts)
    run, run_before = run_length(out, tracks), run_length(store, tracks)
    whole: set[int] = set()
    unchanged: list[Chunk] = []
    for gene, part, *rest in sorted(store.chunks_written(tracks)):
        # Runs are shorter only where all of a store's haplotypes are less than one.
        start = part * run
        known, wanted = (
            min(length, int(count[gene]) - start) for length, count in ((run_before, before), (run, after))
        )
        if known == wanted:
            whole |= {gene} if part == 0 else set()
        if known == wanted and run == run_before:
            unchanged.append((gene, part, *rest))
        else:
            rows = store.read(tracks, (gene, slice(start, start + known)))
            _write_run(out, tracks if known == wanted else kept, gene, start, rows)
    files.take_all(tracks, store, unchanged)
    # People were added before, and no fill came between.
    begun = store.chunks_written(kept) - store.chunks_written(tracks) if kept in store else set()
    for gene, part, *_ in sorted(begun):
        start = part * run
        rows = store.read(kept, (gene, slice(start, min(start + run_before, store.array(kept).shape[1]))))
        _write_run(out, kept, gene, start, rows)
    # The task of the first block writes it.
    files.take_all(reference, store, [chunk for chunk in sorted(store.chunks_written(reference)) if chunk[0] in whole])


def _write_run(out: Store, array: str, gene: int, start: int, rows: NDArray[np.float32]) -> None:
    """Write a run of a gene's haplotypes: NaN behind those that are known."""
    length = min(run_length(out, array), out.array(array).shape[1] - start)
    padded = np.full((length, *rows.shape[1:]), np.nan, dtype=np.float32)
    padded[: len(rows)] = rows
    out.write(array, (gene, slice(start, start + length)), padded)


def _whole_runs(out: Store, store: Store, array: str, gene: int, before: int, after: int) -> int:
    """How many runs of a gene's haplotypes stay as they are."""
    run = run_length(out, array)
    if run_length(store, array) != run:
        # Of so few people that all haplotypes are less than one run.
        return 0
    return len(runs_of(gene, before, run)) if before == after else before // run


def _require_same_places(out: Store, store: Store, windows: str) -> None:
    """Columns of attributions are variants of the window: more people do not move them."""
    for name in ("variant_start", "variant_count"):
        held, placed = (of.read_if_filled(f"{windows}/{name}") for of in (store, out))
        for gene in np.flatnonzero((held != placed) & (held >= 0))[:1]:
            raise ProvenanceError(
                f"store {store.url}: {windows}/{name} of gene {gene_label(store, gene)} is {held[gene]}, but "
                f"{placed[gene]} of the same variants here: an older pdstore placed the windows; drop them with "
                "pdstore clear, add the people, and fill again"
            )
