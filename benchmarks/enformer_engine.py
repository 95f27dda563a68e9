"""The incremental engine beside enformer-pytorch: a full-size Enformer of random weights, real haplotypes, one run.

    .venv/bin/python benchmarks/enformer_engine.py [--windows 64] [--device cuda] [--weights FOLDER]

Needs the real cohort of ../shared/data: its gene SDCBP2-AS1. Weights are random, made once where no folder is given
(1 GB): attention and pools do something. The peer is a whole forward pass of enformer-pytorch, window by window. The
reference of a gene is computed once for all its windows, and its time stands in a column of its own.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from enformer_fill import COHORT, random_weights
from numpy.typing import NDArray

from pdstore.haplotypes.window import Variants
from pdstore.init import Sources, init_store
from pdstore.models.enformer import Enformer
from pdstore.models.protocol import ModelOptions
from pdstore.models.registry import ModelReference
from pdstore.stages.windows import Windows
from pdstore.store import open_store

GENE = "SDCBP2-AS1"
TRACKS = "0-99"
TRUTH = 3
"""Windows of each kind that the peer predicts, too."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=64, help="Windows of each kind, in one block.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--weights", type=Path, help="A folder with config.json; made where it is not given.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        weights = asked.weights or random_weights(Path(scratch) / "enformer")
        kinds = real_windows(Path(scratch), weights, asked.windows)
        model = Enformer.load(weights, ModelOptions(tracks=TRACKS, engine="incremental"), asked.device)
        assert model.engine is not None
        seconds_of_peer: list[float] = []
        rows = []
        for kind, (reference, windows) in kinds.items():
            truth = [of_peer(model, window, seconds_of_peer) for window in windows[:TRUTH]]
            began = time.perf_counter()
            model.engine.predict(reference, windows[:0])
            built = time.perf_counter() - began
            found, seconds = timed(lambda: model.engine.predict(reference, windows), asked.device)  # noqa: B023
            error = max(float(np.abs(of / true - 1).max()) for of, true in zip(found, truth, strict=False))
            rows.append(
                (kind, windows, seconds / len(windows), built, model.engine.rows_computed / len(windows), error)
            )
    peer = float(np.median(seconds_of_peer))
    print(f"enformer-pytorch, a window: {peer:.1f} s (median of {len(seconds_of_peer)}), on {asked.device}\n")
    print("| windows | number | s a window | ratio | new rows a window | reference, s | max relative error |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind, windows, seconds, built, new_rows, error in rows:
        print(
            f"| {kind} | {len(windows)} | {seconds:.2f} | {peer / seconds:.1f} | {new_rows:.0f} | {built:.1f} "
            f"| {error:.1e} |"
        )


def real_windows(scratch: Path, weights: Path, number: int) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Kind of windows → the reference window, and windows."""
    store = scratch / "cohort.zarr"
    files = (COHORT / name for name in ("chr20.fa", "genes.tsv", "expression.tsv.gz"))
    init_store(store, Sources([COHORT / "chr20.1000G_EUR502.phased.vcf.gz"], *files))
    opened = open_store(store, "r+")
    gene = opened.read("genes/gene_name").tolist().index(GENE)
    kinds = {}
    variants: Variants
    for variants, kind in (("snv", "haplotypes, SNVs"), ("all", "haplotypes, all variants")):
        stage = Windows(ModelReference("enformer", weights, variants=variants).window)
        stage.prepare(opened)
        stage.run(opened, (gene,))
        reference = opened.read(f"{stage.group}/reference_onehot", gene)
        haplotypes = opened.read(f"{stage.group}/haplotype_onehot", (gene, slice(0, number)))
        if variants == "snv":
            kinds["ISM: one SNV"] = (reference, snv_windows(reference, number))
            kinds["one haplotype, SNVs"] = (reference, haplotypes[number // 2 :][:1])
        kinds[f"a block of {kind}"] = (reference, haplotypes)
    return kinds


def snv_windows(reference: NDArray[np.bool_], number: int) -> NDArray[np.bool_]:
    """The reference with another base at one place at a time, anywhere."""
    rng = np.random.default_rng(0)
    windows = np.repeat(reference[None], number, axis=0)
    for window, position in zip(windows, rng.choice(len(reference), number, replace=False), strict=True):
        window[position] = np.roll(window[position], rng.integers(1, 4))
    return windows


def of_peer(model: Enformer, window: NDArray[np.bool_], seconds: list[float]) -> NDArray[np.float32]:
    """Outputs of a whole forward pass at the model's bins and tracks."""
    onehot = torch.from_numpy(window).to(model.network.device).float()[None]
    with torch.inference_mode():
        outputs, taken = timed(lambda: model.network(onehot, head="human"), model.network.device.type)
    seconds.append(taken)
    bins = [int(bin_) for bin_ in model.description.options["bins"].split("-")]
    tracks = [int(name.partition(":")[2]) for name in model.description.track_names]
    return outputs[0, bins[0] : bins[-1] + 1][:, tracks].cpu().numpy()


def timed(function: Callable[[], Any], device: str) -> tuple[Any, float]:
    began = time.perf_counter()
    found = function()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return found, time.perf_counter() - began


if __name__ == "__main__":
    main()
