"""The gradient at the reference of a full-size Enformer, beside autograd through the network as it comes: one run.

    .venv/bin/python benchmarks/enformer_gradient.py [--device cuda] [--repeat 2] [--weights FOLDER]

Weights are random, made once where no folder is given (1 GB): attention and pools do something. The window is that of
SDCBP2-AS1 where the real reference of ../shared/data is, random bases where not; the readout sums the published track
over the three central bins. The peer is enformer-pytorch's own forward with frozen weights, and backward. Each runs in
a process of its own, one after the other, so that its peak memory is its own: of the whole process, weights included,
and on a GPU that of torch there. The first gradient is not timed where there are several. On a CPU it needs 15 GB.
"""

import argparse
import csv
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from enformer_fill import BINS, COHORT, GENE, random_weights
from enformer_pytorch import Enformer as Network
from enformer_pytorch.config_enformer import EnformerConfig
from numpy.typing import NDArray
from pyfaidx import Fasta
from safetensors.torch import load_file

from pdstore.haplotypes.onehot import one_hot
from pdstore.models.enformer import PUBLISHED_TRACK_INDEX, Enformer
from pdstore.models.enformer_weights import EnformerSizes
from pdstore.models.protocol import ModelOptions

Gradient = Callable[[NDArray[np.bool_]], NDArray[np.float32]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeat", type=int, default=2, help="Gradients in each process; the fastest counts.")
    parser.add_argument("--weights", type=Path, help="A folder with config.json; made where it is not given.")
    parser.add_argument("--alone", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        alone(asked.alone, asked.weights, asked.scratch, asked.device, asked.repeat)
        return
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        weights = asked.weights or random_weights(scratch / "enformer")
        np.save(scratch / "window.npy", window(scratch))
        for name in PEERS:
            arguments = ["--alone", name, "--weights", weights, "--scratch", scratch]
            arguments += ["--device", asked.device, "--repeat", asked.repeat]
            subprocess.run([sys.executable, __file__, *map(str, arguments)], check=True)
        report(scratch, asked.device)


def alone(name: str, weights: Path, scratch: Path, device: str, repeat: int) -> None:
    """What each process does: gradients, the seconds of the fastest, and the most memory that it had."""
    onehot = np.load(scratch / "window.npy")
    gradient = PEERS[name](weights, device)
    seconds = []
    for _ in range(repeat):
        began = time.perf_counter()
        found = gradient(onehot)
        seconds.append(time.perf_counter() - began)
        print(f"{name}: {seconds[-1]:.1f} s", file=sys.stderr, flush=True)
    # Kilobytes on Linux.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.startswith("cuda"):
        peak = torch.cuda.max_memory_allocated()
    np.save(scratch / f"{name}.npy", found)
    np.save(scratch / f"{name}-costs.npy", [min(seconds[1:] or seconds), peak])


def of_autograd(weights: Path, device: str) -> Gradient:
    """Backward through enformer-pytorch's own forward."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    network = Network(EnformerConfig(use_tf_gamma=True)).eval().requires_grad_(False)
    network.load_state_dict(load_file(weights / "model.safetensors"), strict=False)
    network.to(device)

    def gradient(onehot: NDArray[np.bool_]) -> NDArray[np.float32]:
        given = torch.from_numpy(onehot).to(device).float().requires_grad_()
        network(given, head="human")[BINS, PUBLISHED_TRACK_INDEX].sum().backward()
        assert given.grad is not None
        return given.grad.cpu().numpy()

    return gradient


def of_pdstore(weights: Path, device: str) -> Gradient:
    """What the stage gradient of a fill computes."""
    model = Enformer.load(weights, ModelOptions(), device)
    ones = np.ones((model.description.bins, len(model.description.track_names)))
    return lambda onehot: model.gradient(onehot, ones)


PEERS = {"autograd": of_autograd, "pdstore": of_pdstore}


def window(scratch: Path) -> NDArray[np.bool_]:
    """One-hot window of the gene, or of random bases: bool, shape (196608, 4)."""
    length = EnformerSizes().sequence_length
    if not COHORT.is_dir():
        return one_hot(np.random.default_rng(0).choice(np.frombuffer(b"ACGT", np.uint8), length))
    with (COHORT / "genes.tsv").open() as table:
        (gene,) = (row for row in csv.DictReader(table, delimiter="\t") if row["gene_name"] == GENE)
    start = int(gene["tss"]) - length // 2
    contigs = Fasta(str(COHORT / "chr20.fa"), indexname=str(scratch / "chr20.fai"))
    letters = str(contigs[gene["contig"]][start : start + length])
    return one_hot(np.frombuffer(letters.encode(), np.uint8))


def report(scratch: Path, device: str) -> None:
    found, costs = ({name: np.load(scratch / f"{name}{of}.npy") for name in PEERS} for of in ("", "-costs"))
    expected = found["autograd"]
    error = np.abs(found["pdstore"] - expected).max() / np.abs(expected).max()
    print(f"Gradient of {len(expected):,} bp on {device}, {torch.get_num_threads()} threads\n")
    print("| gradient | s | of autograd's | peak memory, GB | of autograd's |\n| --- | --- | --- | --- | --- |")
    for name, (seconds, peak) in costs.items():
        of_seconds, of_peak = (seconds, peak) / costs["autograd"]
        print(f"| {name} | {seconds:.1f} | {of_seconds:.2f} | {peak / 1e9:.1f} | {of_peak:.2f} |")
    print(f"\nlargest difference, relative to the largest |gradient|: {error:.1e}")


if __name__ == "__main__":
    main()
