"""Wall time of `pdstore query`, `genes` and `plot --all`, whole processes, beside the query's numbers with xarray.

    .venv/bin/python benchmarks/query_latency.py

The store has the published size, 6,825 genes with windows of 2,000 variants; its numbers are random, and nothing in it
was measured. Processes alternate, so that what else the machine does meets both; the median of each is shown.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pdstore.schema import group_schemas
from pdstore.stages.statistics import GENE_STATISTICS
from pdstore.store import Store, create_store, mark_complete

GENES, VARIANTS, WINDOW_VARIANTS = 6_825, 200_000, 2_000
GENE = 3_000
RUNS = 15
WINDOW = "196608bp_tss98303_forward_snv"

ASK_PDSTORE = "from pdstore_cli.main import run; run()"
ASK_XARRAY = f"""
import sys, xarray
store = sys.argv[1]
options = dict(engine="zarr", consolidated=False, zarr_format=3)
genes = xarray.open_dataset(store, group="genes", **options)
gene = genes.gene_name.values.tolist().index("GENE{GENE}")
statistics = xarray.open_dataset(store, group="statistics/enformer", **options).isel(genes=gene).load()
ism = xarray.open_dataset(store, group="attributions/enformer", **options).ism.isel(genes=gene).load()
eqtl = xarray.open_dataset(store, group="eqtl/{WINDOW}", **options).isel(genes=gene).load()
print(float(statistics.pearson_r), int((statistics.driver_rank > 0).sum()))
"""


def make_store(path: Path, filled: range = range(GENES)) -> None:
    """A store of the published size that holds what queries read, of the genes of all rows or of some (0-based)."""
    rng = np.random.default_rng(0)
    store = create_store(path)
    sizes = dict.fromkeys(
        (dim for group in group_schemas() for array in group.arrays.values() for dim in array.dims), 1
    )
    sizes |= {
        "genes": GENES,
        "variants": VARIANTS,
        "window_variants": WINDOW_VARIANTS,
        "statistics": len(GENE_STATISTICS),
    }
    store.create_group("genes", sizes, {})
    names = np.array([f"GENE{gene}" for gene in range(GENES)], dtype=object)
    for array in ("gene_id", "gene_name"):
        store.write(f"genes/{array}", ..., names)
    store.write("genes/gene_contig", ..., np.full(GENES, "1", dtype=object))
    store.write("genes/gene_strand", ..., np.full(GENES, "+", dtype=object))
    store.write("genes/gene_tss", ..., np.arange(GENES) * 10_000 + 1)
    store.create_group("variants", sizes, {})
    store.write("variants/position", ..., np.sort(rng.integers(1, 10**8, VARIANTS)))
    for array in ("ref", "alt"):
        store.write(f"variants/{array}", ..., np.array(list("ACGT"), dtype=object)[rng.integers(4, size=VARIANTS)])
    store.write("variants/allele_frequency", ..., rng.random(VARIANTS))
    store.create_group(f"windows/{WINDOW}", sizes, {})
    store.write(f"windows/{WINDOW}/variant_start", ..., np.full(GENES, 50_000))
    store.create_group("predictions/enformer", sizes, {"window": WINDOW, "order": 0, "haplotypes_per_block": 16})
    for group in ("attributions/enformer", f"eqtl/{WINDOW}", "statistics/enformer"):
        store.create_group(group, sizes, {})
        _write_random(store, group, rng, filled)
    mark_complete(store, {"level": "full"})


def _write_random(store: Store, group: str, rng: np.random.Generator, genes: range) -> None:
    # Five drivers a gene.
    ranks = np.where(np.arange(WINDOW_VARIANTS) % 400 == 7, np.arange(WINDOW_VARIANTS) // 400 + 1, 0)
    # Arrays over genes first: gene_values is made of them.
    for name, array in sorted(store.group(group).arrays(), key=lambda of: of[1].ndim):
        if name == "statistic_name":
            store.write(f"{group}/{name}", ..., np.array(GENE_STATISTICS, dtype=object))
        elif array.ndim == 1:
            whole = {"n_samples": 839, "driver_count": 5}.get(name)
            values = rng.random(GENES) * (2 if name == "pearson_r" else 1) - (name == "pearson_r")
            store.write(f"{group}/{name}", ..., values if whole is None else np.full(GENES, whole))
        elif name == "gene_values":
            values = np.column_stack([store.read(f"{group}/{statistic}") for statistic in GENE_STATISTICS])
            store.write(f"{group}/{name}", slice(genes.start, genes.stop), values[genes.start : genes.stop])
        elif array.ndim == 2:
            for some in (genes[start : start + 500] for start in range(0, len(genes), 500)):
                shape = (len(some), WINDOW_VARIANTS)
                rows = np.broadcast_to(ranks, shape) if name == "driver_rank" else rng.normal(size=shape)
                store.write(f"{group}/{name}", slice(some.start, some.stop), rows)


def seconds(program: str, *arguments: str) -> float:
    """Wall time of one Python process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "published-size.zarr"
        make_store(path)
        questions = {
            "Python alone (`python -c pass`)": ("pass",),
            "`import zarr` alone": ("import zarr",),
            "`pdstore query GENE --format json`": (ASK_PDSTORE, "query", f"gene{GENE}", "-s", str(path), "-f", "json"),
            "`pdstore query GENE`": (ASK_PDSTORE, "query", f"gene{GENE}", "-s", str(path)),
            "`pdstore genes`": (ASK_PDSTORE, "genes", "-s", str(path)),
            "the query's numbers with xarray": (ASK_XARRAY, str(path)),
        }
        times: dict[str, list[float]] = {name: [] for name in questions}
        for _ in range(RUNS):
            for name, question in questions.items():
                times[name].append(seconds(*question))
        peer = float(np.median(times["`import zarr` alone"]))
        print("| process | median s | worst s | of `import zarr` |\n| --- | --- | --- | --- |")
        for name, values in times.items():
            print(f"| {name} | {np.median(values):.2f} | {max(values):.2f} | {np.median(values) / peer:.2f} |")
        plots = (ASK_PDSTORE, "plot", "--all", "-s", str(path), "-o", str(Path(folder) / "figures"))
        print(f"| `pdstore plot --all`, once | {seconds(*plots):.1f} | | |")


if __name__ == "__main__":
    main()
