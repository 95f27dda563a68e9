"""A fill of the published size, 6,825 genes and 839 people: listing what is done, memory of the coordinating process.

    .venv/bin/python benchmarks/fill_scale.py [--weights FOLDER]

The store is simulated: its genes have as many distinct haplotypes as the mean of the real cohort's, and the chunks of
the first half of the genes are there, a byte in each. The fill is the real one, with the real weights' checks, on two
workers, but for the model: a block does nothing. Full-size random weights are made where no folder is given (1 GB).
"""

import argparse
import resource
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from enformer_fill import random_weights

import pdstore.fill
from pdstore.jobs.cluster import Cluster
from pdstore.models.registry import ModelReference
from pdstore.schema import group_schemas
from pdstore.stages.predictions import Predictions
from pdstore.stages.stage import Block, runs_of
from pdstore.store import Store, create_store, mark_complete, open_store

GENES, PEOPLE, HAPLOTYPES_OF_A_GENE, BLOCK = 6_825, 839, 1_600, 64
VARIANTS, WINDOW_VARIANTS = 2_000_000, 2_000


@dataclass(frozen=True)
class WithoutModel(Predictions):
    """The stage, whose blocks do nothing."""

    def run(self, store: Store, block: Block) -> None: ...


class Silent:
    """Observer that says nothing."""

    def waiting(self, what: str) -> None: ...

    def step_begins(self, name: str, unit: str, blocks: int, units: int, done: int) -> None:
        self.blocks, self.began = blocks, time.perf_counter()

    def block_done(self, units: int, worked: bool) -> None: ...

    def step_ends(self) -> None:
        self.seconds = time.perf_counter() - self.began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, help="A folder with config.json; made where it is not given.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        model = ModelReference("enformer", asked.weights or random_weights(Path(scratch) / "enformer"))
        path = Path(scratch) / "published-size.zarr"
        blocks = make_store(path, model)
        began = time.perf_counter()
        pending = Predictions(model).pending(open_store(path), range(GENES))
        listing = time.perf_counter() - began
        print("| what | blocks | |\n| --- | --- | --- |")
        print(f"| listing what is done | {pending.done:,} of {blocks:,} | {listing:.1f} s |", flush=True)
        pdstore.fill.STAGES["predictions"] = (WithoutModel,)
        silent = Silent()
        pdstore.fill.fill(str(path), model, silent, ["predictions"], cluster=Cluster(workers=2))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        each = 1e3 * silent.seconds / silent.blocks
        print(f"| blocks that do nothing, each | {silent.blocks:,} | {each:.1f} ms |")
        print(f"| peak memory of the coordinating process | {silent.blocks:,} | {peak / 1e9:.2f} GB |")


def make_store(path: Path, model: ModelReference) -> int:
    """A store whose windows are filled, as far as a fill of predictions looks at them; gives the number of blocks."""
    rng = np.random.default_rng(0)
    store = create_store(path)
    sizes = dict.fromkeys(
        (dim for group in group_schemas() for array in group.arrays.values() for dim in array.dims), 1
    )
    sizes |= {"genes": GENES, "samples": PEOPLE, "haplotypes": 2 * PEOPLE, "ploidy": 2, "variants": VARIANTS}
    sizes |= {"contigs": 1, "positions": model.window.length, "nucleotides": 4, "window_variants": WINDOW_VARIANTS}
    sizes["bases"] = 0
    for group in ("genes", "variants", "expression", "reference"):
        store.create_group(group, sizes, {})
    positions = np.sort(rng.integers(1, 2 * 10**8, VARIANTS))
    names = np.array([f"GENE{gene}" for gene in range(GENES)], dtype=object)
    for array, values in {
        "genes/gene_id": names,
        "genes/gene_name": names,
        "genes/gene_contig": np.full(GENES, "1", dtype=object),
        "genes/gene_strand": np.full(GENES, "+", dtype=object),
        "genes/gene_tss": np.sort(rng.integers(10**5, 2 * 10**8, GENES)),
        "variants/contig_id": np.array(["1"], dtype=object),
        "variants/contig": np.zeros(VARIANTS),
        "variants/position": positions,
        "variants/record_position": positions,
        "variants/record_length": np.ones(VARIANTS),
        "variants/length_change": np.zeros(VARIANTS),
        "variants/kind": np.zeros(VARIANTS),
        "variants/carriers": np.full(VARIANTS, PEOPLE // 10),
        "variants/ref": np.full(VARIANTS, "A", dtype=object),
        "variants/alt": np.full(VARIANTS, "C", dtype=object),
        "variants/allele_index": np.ones(VARIANTS),
        "variants/genotype_record": np.arange(VARIANTS),
        # A contig without a base: every window is N.
        "reference/contig_id": np.array(["1"], dtype=object),
        "reference/contig_offset": np.zeros(1),
        "reference/contig_length": np.zeros(1),
    }.items():
        store.write(array, ..., values)
    mark_complete(store, {})
    windows = f"windows/{model.window.name}"
    store.create_group(windows, sizes, {})
    counts = np.clip(rng.normal(HAPLOTYPES_OF_A_GENE, 50, GENES), 1, 2 * PEOPLE).astype(int)
    store.write(f"{windows}/haplotype_count", ..., counts)
    sizes |= {"bins": 3, "model_tracks": 1}
    # Blocks are as large as where the model runs on a GPU, which this machine need not have.
    predictions = Predictions(replace(model, device="cuda"))
    predictions.prepare(store)
    store.set_attributes(predictions.group, {"device": "cpu"})
    return _write_chunks(store, counts.tolist())


def _write_chunks(store: Store, counts: list[int]) -> int:
    blocks = [block for gene, count in enumerate(counts) for block in runs_of(gene, count, BLOCK)]
    for gene, part in blocks:
        if gene < GENES // 2:
            folder = Path(store.url, "predictions", "enformer", "tracks", "c", str(gene), str(part), "0")
            folder.mkdir(parents=True)
            (folder / "0").write_bytes(b"x")
    return len(blocks)


if __name__ == "__main__":
    main()
