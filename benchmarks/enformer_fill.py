"""Rate of `pdstore fill predictions --model enformer` at full size, beside the bare network on the same windows.

    .venv/bin/python benchmarks/enformer_fill.py [--device cuda] [--people 8] [--weights FOLDER]

Needs bcftools and the real cohort of ../shared/data. Weights are random, made once where no folder is given: 1 GB. The
bare network is enformer-pytorch's own forward, one window after the other in one process (on a GPU, in batches as
fill's), once with memory as any process has it and once keeping it as the fill's workers do; half of it runs before the
fill and half after, so that what else the machine does meets all. The start of the fill, worker and weights, is a fixed
cost: the rate is given with it, and from the first window on. On two CPU cores it takes half an hour.
"""

import argparse
import contextlib
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from enformer_pytorch import Enformer as Network
from enformer_pytorch.config_enformer import EnformerConfig
from numpy.typing import NDArray
from safetensors.torch import load_file

from pdstore.fill import fill
from pdstore.init import Sources, init_store
from pdstore.jobs.cluster import KEEP_MEMORY
from pdstore.models.enformer import PUBLISHED_TRACK_INDEX
from pdstore.models.enformer_network import random_network, save_network
from pdstore.models.enformer_weights import EnformerSizes
from pdstore.models.protocol import ModelOptions
from pdstore.models.registry import ModelReference
from pdstore.store import open_store

COHORT = Path(__file__).parents[2] / "shared" / "data" / "geuvadis_chr20"
GENE, BINS = "SDCBP2-AS1", slice(447, 450)


class Stopwatch:
    """Observer of a fill that keeps times: of the step, and of each block's end."""

    def waiting(self, what: str) -> None: ...

    def step_begins(self, name: str, unit: str, blocks: int, units: int, done: int) -> None:
        self.step = name
        if name == "predictions":
            self.began, self.blocks, self.ends = time.perf_counter(), blocks, list[float]()

    def block_done(self, units: int, worked: bool) -> None:
        if self.step == "predictions":
            self.ends.append(time.perf_counter())

    def step_ends(self) -> None: ...


class PeakMemory:
    """Most resident memory that one of this process' children had, in bytes."""

    def __enter__(self) -> "PeakMemory":
        self.peak, self._ended = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        # Seldom: looking through all processes takes time from the model.
        while not self._ended.wait(5):
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    self.peak = max(self.peak, child.memory_info().rss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--weights", type=Path, help="A folder with config.json; made where it is not given.")
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.bare:
        bare_process(asked.bare, asked.weights, asked.device)
        return
    with tempfile.TemporaryDirectory() as scratch:
        weights = asked.weights or random_weights(Path(scratch) / "enformer")
        path = Path(scratch) / "cohort.zarr"
        init_store(path, few_people(Path(scratch), asked.people))
        model = ModelReference("enformer", weights, asked.device, options=ModelOptions(engine="plain"))
        fill(str(path), model, Stopwatch(), ["windows"], [GENE])
        windows = all_windows(path, model)
        half = len(windows) // 2
        bare = Bare(Path(scratch), weights, asked.device)
        first, *before = bare.run(windows[:half])
        watch = Stopwatch()
        with PeakMemory() as memory:
            fill(str(path), model, watch, ["predictions"], [GENE])
        second, *after = bare.run(windows[half:])
        report(path, np.concatenate([first, second]), np.add(before, after), watch, memory.peak)


class Bare:
    """enformer-pytorch's own loop, in a process of its own: with memory as any has it, and as workers of a fill do."""

    def __init__(self, scratch: Path, weights: Path, device: str) -> None:
        self._windows, self._outputs = scratch / "windows.npy", scratch / "outputs.npy"
        self._arguments = ["--bare", str(scratch), "--weights", str(weights), "--device", device]

    def run(self, windows: NDArray[np.bool_]) -> tuple[NDArray[np.float32], float, float]:
        """Outputs, and the seconds that both took, the process and its start left out."""
        np.save(self._windows, windows)
        seconds = []
        for variables in ({}, KEEP_MEMORY):
            command = [sys.executable, __file__, *self._arguments]
            environment = {**os.environ, **variables}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            seconds.append(float(done.stdout))
        return np.load(self._outputs), seconds[0], seconds[1]


def bare_process(scratch: Path, weights: Path, device: str) -> None:
    """What `Bare` starts."""
    batch = 1 if device == "cpu" else 4
    outputs, seconds = run_bare(weights, np.load(scratch / "windows.npy"), device, batch)
    np.save(scratch / "outputs.npy", outputs)
    print(seconds)


def random_weights(folder: Path) -> Path:
    """A full-size Enformer of random weights."""
    sizes = EnformerSizes(use_tf_gamma=True)
    save_network(random_network(sizes, True, 0), sizes, folder)
    return folder


def few_people(folder: Path, people: int) -> Sources:
    """Sources of the first people of the real cohort that have expression, too."""
    vcf = COHORT / "chr20.1000G_EUR502.phased.vcf.gz"
    with gzip.open(COHORT / "expression.tsv.gz", "rt") as table:
        measured = set(table.readline().split())
    listed = subprocess.run(["bcftools", "query", "-l", str(vcf)], capture_output=True, text=True, check=True)
    chosen = [person for person in listed.stdout.split() if person in measured][:people]
    (folder / "people.txt").write_text("\n".join(chosen) + "\n")
    few = folder / "few.vcf.gz"
    subprocess.run(["bcftools", "view", "-S", str(folder / "people.txt"), "-Oz", "-o", str(few), str(vcf)], check=True)
    return Sources([few], COHORT / "chr20.fa", COHORT / "genes.tsv", COHORT / "expression.tsv.gz")


def all_windows(path: Path, model: ModelReference) -> NDArray[np.bool_]:
    """The reference and every distinct haplotype: what a fill runs the model for."""
    store, group = open_store(path), f"windows/{model.window.name}"
    gene = store.read("genes/gene_name").tolist().index(GENE)
    count = int(store.read(f"{group}/haplotype_count", gene))
    haplotypes = store.read(f"{group}/haplotype_onehot", (gene, slice(0, count)))
    return np.concatenate([store.read(f"{group}/reference_onehot", gene)[None], haplotypes])


def run_bare(weights: Path, windows: NDArray[np.bool_], device: str, batch: int) -> tuple[NDArray[np.float32], float]:
    """Outputs of enformer-pytorch's own forward at the target bins and track; and the seconds that they took."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    network = Network(EnformerConfig(use_tf_gamma=True)).eval()
    network.load_state_dict(load_file(weights / "model.safetensors"), strict=False)
    network.to(device)
    outputs = []
    with torch.inference_mode():
        network(torch.zeros(batch, *windows.shape[1:], device=device))
        began = time.perf_counter()
        for start in range(0, len(windows), batch):
            onehot = torch.from_numpy(windows[start : start + batch]).to(device).float()
            outputs.append(network(onehot, head="human")[:, BINS, PUBLISHED_TRACK_INDEX].cpu().numpy())
        return np.concatenate(outputs), time.perf_counter() - began


def report(path: Path, bare: NDArray[np.float32], seconds: NDArray[np.float64], watch: Stopwatch, memory: int) -> None:
    """Print the table; the fill's reference counts as a window, as it does for the bare network."""
    store = open_store(path)
    gene = store.read("genes/gene_name").tolist().index(GENE)
    tracks = store.read("predictions/enformer/tracks", (gene, slice(0, len(bare) - 1)))[:, :, 0]
    reference = store.read("predictions/enformer/reference_tracks", gene)[None, :, 0]
    difference = np.abs(np.concatenate([reference, tracks]) / bare - 1).max()
    whole = watch.ends[-1] - watch.began
    # A gene's reference is predicted and written first: what comes after has no start in it.
    chunks = (f"reference_tracks/c/{gene}/0/0", f"tracks/c/{gene}/0/0/0")
    times = [(path / "predictions" / "enformer" / chunk).stat().st_mtime for chunk in chunks]
    first_block = min(len(bare) - 1, store.array("predictions/enformer/tracks").chunks[1])
    steady = first_block / (times[1] - times[0])
    print(f"{len(bare)} windows in {watch.blocks} blocks; largest relative difference of outputs {difference:.1e}")
    rates = {
        "enformer-pytorch alone, weights loaded": len(bare) / seconds[0],
        "the same, keeping memory as the fill's workers do": len(bare) / seconds[1],
        "`pdstore fill predictions`, with its start": len(bare) / whole,
        "the same, from its first window on": steady,
    }
    alone, keeping, *_ = rates.values()
    print("| what | windows/s | of the bare network | of it, keeping memory |\n| --- | --- | --- | --- |")
    for what, rate in rates.items():
        print(f"| {what} | {rate:.4f} | {rate / alone:.3f} | {rate / keeping:.3f} |")
    print(f"\npeak memory of the worker {memory / 1e9:.1f} GB")


if __name__ == "__main__":
    if shutil.which("bcftools") is None or not COHORT.is_dir():
        sys.exit("needs bcftools and ../shared/data/geuvadis_chr20")
    main()
