"""`pdstore merge` of two stores of the published size, beside `cp -r` of the files that it makes.

    .venv/bin/python benchmarks/merge.py

6,825 genes, 839 people, windows of 2,000 variants, every array that a fill with a model of tracks makes; each store is
filled for every other gene. The numbers are random. Merges and copies alternate, so that what else the machine does
meets both; files that were just written are in its memory.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pdstore.haplotypes.window import WindowSpec
from pdstore.schema import group_schemas, schema_of
from pdstore.stages.gene_window import window_variant_sizes
from pdstore.stages.statistics import GENE_STATISTICS, gather_statistics
from pdstore.stages.windows import Windows
from pdstore.store import Store, create_store, mark_complete

GENES, PEOPLE, VARIANTS, HAPLOTYPES_OF_A_GENE = 6_825, 839, 200_000, 1_600
BASES = 5 * VARIANTS
RUNS = 3
WINDOW, MODEL = WindowSpec(10_000, 5_000, "forward"), "enformer"
"""2,000 of the variants."""
WINDOWS, STATISTICS = f"windows/{WINDOW.name}", f"statistics/{MODEL}"
OF_MODEL = (f"predictions/{MODEL}", f"attributions/{MODEL}")
FILLED = (*OF_MODEL, f"eqtl/{WINDOW.name}", STATISTICS)
ATTRIBUTES = {
    "residualised": [],
    "expression_pcs": 0,
    "order": 0,
    "window": WINDOW.name,
    # Of a gene all in one block.
    "haplotypes_per_block": 2 * PEOPLE,
    "variants_per_block": VARIANTS,
}
OF_OTHER_MODELS = ("gene_counts", "count_name", "readout_weight")
VALUES = {
    "genes/gene_contig": "0",
    "genes/gene_strand": "+",
    "genes/gene_tss": np.arange(GENES) * (BASES // GENES) + 1,
    "variants/contig": 0,
    "variants/position": np.arange(VARIANTS) * (BASES // VARIANTS) + 1,
    "variants/genotype_record": np.arange(VARIANTS),
    "variants/allele_index": 1,
    "variants/kind": 0,
    "reference/contig_offset": 0,
    "reference/contig_length": BASES,
    "reference/sequence": ord("A"),
}
"""What windows rest on."""


def make_store(path: Path, filled: range) -> None:
    """A store that is filled for some genes; of those, all hold the same numbers."""
    rng = np.random.default_rng(0)
    store = create_store(path)
    sizes = dict.fromkeys((dim for of in group_schemas() for array in of.arrays.values() for dim in array.dims), 1)
    sizes |= {"genes": GENES, "samples": PEOPLE, "haplotypes": 2 * PEOPLE, "ploidy": 2, "variants": VARIANTS}
    sizes |= {"bins": 3, "bases": BASES, "statistics": len(GENE_STATISTICS)}
    for group in ("genotypes", "variants", "genes", "expression", "reference"):
        for name in _create(store, group, sizes):
            _write(store, f"{group}/{name}", rng)
    windows = Windows(WINDOW)
    windows.prepare(store)
    sizes |= window_variant_sizes(store, WINDOW)
    for group in (WINDOWS, *FILLED):
        for name in _create(store, group, sizes) if group in FILLED else store.arrays(group):
            dims, chunks = schema_of(group).arrays[name].dims, schema_of(group).arrays[name].chunks
            if dims[0] != "genes" and group in FILLED:
                _write(store, f"{group}/{name}", rng)
            elif dims[0] == "genes" and chunks[0] == 1:
                _write_by_gene(store, f"{group}/{name}", rng, filled)
    windows.gather(store)
    gather_statistics(store, STATISTICS)
    attributes = {"pdstore_version": "", "genome_build": None, "inputs": {}, "options": {}, "counts": {}}
    mark_complete(store, {"level": "full", **attributes})


def _create(store: Store, group: str, sizes: Mapping[str, int]) -> list[str]:
    """Create a group; gives the names of its arrays."""
    schema = schema_of(group)
    without = [name for name, of in schema.arrays.items() if of.sparse or (of.optional and group not in OF_MODEL)]
    attributes = {name: ATTRIBUTES.get(name, "") for name in schema.attributes}
    store.create_group(group, sizes, attributes, [*without, *OF_OTHER_MODELS])
    return store.arrays(group)


def _write(store: Store, path: str, rng: np.random.Generator, rows: Any = ...) -> None:
    """Write what an array may hold, and what takes as many bytes as such arrays do."""
    array, name = store.array(path), path.split("/")[-1]
    shape = array.shape if rows is ... else array.shape[1:]
    if path in VALUES:
        values = VALUES[path]
    elif array.dtype.kind not in "biuf":
        values = np.arange(shape[0]).astype(str).astype(object).reshape(-1, *(1,) * (len(shape) - 1))
    elif name == "haplotype_onehot":
        # Haplotypes of a gene differ at few positions.
        values = np.eye(4, dtype=bool)[(rng.random(shape[:2]) < 0.005) + rng.integers(3, size=shape[1])]
    elif name == "call_genotype":
        values = rng.integers(256, size=shape, dtype=np.uint8) < 8
    elif array.dtype.kind == "f":
        values = rng.random(shape)
    else:
        values = rng.integers(HAPLOTYPES_OF_A_GENE if name == "haplotype_index" else 2, size=shape, dtype=array.dtype)
    store.write(path, rows, values)


def _write_by_gene(store: Store, path: str, rng: np.random.Generator, genes: range) -> None:
    """Write the same values of genes: through Zarr once, then as files."""
    _write(store, path, rng, genes[0])
    chunks = Path(store.url, path, "c")
    first = {
        file.relative_to(chunks / str(genes[0])): file.read_bytes()
        for file in (chunks / str(genes[0])).rglob("*")
        if file.is_file()
    }
    for gene in genes[1:]:
        for name, content in first.items():
            file = chunks / str(gene) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


def seconds(*command: str) -> float:
    """Wall time of a process."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        halves = [Path(scratch, f"half-{half}.zarr") for half in (0, 1)]
        both, copy = Path(scratch, "both.zarr"), Path(scratch, "copy.zarr")
        for half, path in enumerate(halves):
            make_store(path, range(half, GENES, 2))
        program = (sys.executable, "-c", "from pdstore_cli.main import run; run()")
        times: dict[str, list[float]] = {"cp -r": [], "pdstore merge": []}
        for run in range(RUNS):
            if run:
                shutil.rmtree(both)
                shutil.rmtree(copy)
            times["pdstore merge"].append(seconds(*program, "merge", *map(str, halves), "-s", str(both)))
            times["cp -r"].append(seconds("cp", "-r", str(both), str(copy)))
        files = [file.stat().st_size for file in both.rglob("*") if file.is_file()]
        peer = float(np.median(times["cp -r"]))
        print(f"{len(files):,} files, {sum(files) / 1e9:.2f} GB\n")
        print("| process | median s | worst s | of `cp -r` |\n| --- | --- | --- | --- |")
        for name, values in times.items():
            print(f"| `{name}` | {np.median(values):.1f} | {max(values):.1f} | {np.median(values) / peer:.2f} |")


if __name__ == "__main__":
    main()
