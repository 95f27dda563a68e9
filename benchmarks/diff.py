"""Wall time of `pdstore diff` beside `diff -rq` of the folders, and beside decoding both stores.

    .venv/bin/python benchmarks/diff.py

The store has the published size, 6,825 genes with windows of 2,000 variants, and random numbers in it; the other one is
a copy in which one gene's ISM was changed. Processes alternate, so that what else the machine does meets all of them.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from query_latency import ASK_PDSTORE, GENE, GENES, VARIANTS, WINDOW, WINDOW_VARIANTS, make_store

from pdstore.store import open_store

RUNS = 3
DECODE_BOTH = """
import sys
from pdstore.store import open_store
for path in sys.argv[1:]:
    store = open_store(path)
    for group in ("attributions/enformer", "statistics/enformer", *(f"eqtl/{name}" for name in store.members("eqtl"))):
        for name in store.arrays(group):
            store.read_if_filled(f"{group}/{name}")
"""


def make_stores(path: Path, copy: Path) -> None:
    """A store of the published size, and a copy in which a gene differs."""
    make_store(path)
    store = open_store(path, "r+")
    # By which windows' variants are aligned.
    store.write("variants/contig_id", ..., np.array(["1"], dtype=object))
    store.write("variants/contig", ..., np.zeros(VARIANTS, dtype=np.int32))
    store.write(f"windows/{WINDOW}/variant_count", ..., np.full(GENES, WINDOW_VARIANTS, dtype=np.int32))
    for group in ("attributions/enformer", "statistics/enformer"):
        store.set_attribute(group, "window", WINDOW)
    shutil.copytree(path, copy)
    changed = open_store(copy, "r+")
    changed.write("attributions/enformer/ism", GENE, changed.read("attributions/enformer/ism", GENE) + 1)


def seconds(*command: str) -> float:
    """Wall time of a process that says that something differs, or nothing."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr.decode())
    return time.perf_counter() - began


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        stores = [str(Path(folder) / name) for name in ("a.zarr", "b.zarr")]
        make_stores(Path(stores[0]), Path(stores[1]))
        commands = {
            "`diff -rq`": ("diff", "-rq", *stores),
            "`pdstore diff`": (sys.executable, "-c", ASK_PDSTORE, "diff", *stores),
            "both decoded by Zarr, and nothing compared": (sys.executable, "-c", DECODE_BOTH, *stores),
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(RUNS):
            for name, command in commands.items():
                times[name].append(seconds(*command))
        peer = float(np.median(times["`diff -rq`"]))
        print("| process | median s | worst s | of `diff -rq` |\n| --- | --- | --- | --- |")
        for name, values in times.items():
            print(f"| {name} | {np.median(values):.1f} | {max(values):.1f} | {np.median(values) / peer:.2f} |")


if __name__ == "__main__":
    main()
