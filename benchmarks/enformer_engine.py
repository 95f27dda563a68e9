"""The incremental engine beside enformer-pytorch: a full-size Enformer of random weights, real haplotypes, one run.

    .venv/bin/python benchmarks/enformer_engine.py [--windows 64] [--device cuda] [--weights FOLDER]

Needs the real cohort of ../shared/data: its gene SDCBP2-AS1. Weights are random, made once where no folder
is given (1 GB): attention and pools do something. The peer is enformer-pytorch's own forward, window by window, in a
process of its own: with memory as any process has it, and keeping it as the fill's workers do, which is how the engine
runs here, too. Half of it runs before the engine and half after. "Reference" is what a gene costs before its first
window; it is in the time of a window as far as so many windows of a gene (`AMORTISED`) share it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from enformer_fill import COHORT, Bare, random_weights
from numpy.typing import NDArray

from pdstore.haplotypes.window import Variants
from pdstore.init import Sources, init_store
from pdstore.jobs.cluster import KEEP_MEMORY
from pdstore.models.enformer import Enformer
from pdstore.models.protocol import ModelOptions, Precision
from pdstore.models.registry import ModelReference
from pdstore.stages.windows import Windows
from pdstore.store import open_store

GENE = "SDCBP2-AS1"
AMORTISED = 256
MOST_OF_A_GENE = 16
"""Of all haplotypes of a gene, whose rows are all computed, those that go through the transformer."""
MOST_OF_DIFFERENCES = 8
"""Windows of a kind with differences on a CPU, where no product of bfloat16 may be fast."""
PRECISIONS: tuple[Precision, ...] = ("float32", "delta-bf16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=64, help="SNV haplotypes of a block; the other kinds are fewer.")
    parser.add_argument("--truth", type=int, default=2, help="Windows of each kind that the peer predicts, too.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--weights", type=Path, help="A folder with config.json; made where it is not given.")
    parser.add_argument("--engine", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.engine:
        run_engine(asked.engine, asked.weights, asked.device)
        return
    with tempfile.TemporaryDirectory() as made:
        scratch = Path(made)
        weights = asked.weights or random_weights(scratch / "enformer")
        kinds = real_windows(scratch, weights, asked.windows)
        np.savez(scratch / "kinds.npz", **kinds)
        few = np.concatenate([windows[1 : 1 + asked.truth] for windows in kinds.values()])
        bare, half = Bare(scratch, weights, asked.device), len(few) // 2
        first, *before = bare.run(few[:half])
        command = [sys.executable, __file__, "--engine", scratch, "--weights", weights, "--device", asked.device]
        subprocess.run(list(map(str, command)), env={**os.environ, **KEEP_MEMORY}, check=True)
        second, *after = bare.run(few[half:])
        report(scratch, np.concatenate([first, second]), np.add(before, after) / len(few), list(kinds), asked.truth)


def run_engine(scratch: Path, weights: Path, device: str) -> None:
    """What `main` starts: outputs of all windows to outputs.npz, and times to times.json."""
    kinds = dict(np.load(scratch / "kinds.npz"))
    outputs, times = {}, {}
    for precision in PRECISIONS:
        engine = Enformer.load(weights, ModelOptions(precision=precision), device).engine
        assert engine is not None
        for kind, (reference, *given) in kinds.items():
            most = MOST_OF_DIFFERENCES if precision == "delta-bf16" and device == "cpu" else len(given)
            windows, name = np.array(given[:most]), f"{precision} {kind}"
            # Another reference in between, so that this one is built anew.
            engine.predict(np.zeros_like(reference), windows[:0])
            built = seconds_of(partial(engine.predict, reference, windows[:0]), device)
            of_tower = seconds_of(partial(list, engine._tower.numbered(windows)), device) / len(windows)
            rows = engine.rows_computed / len(windows)
            # What the tower knows by now is not computed again.
            windows = windows[:MOST_OF_A_GENE] if "gene" in kind else windows
            began = time.perf_counter()
            found = engine.predict(reference, windows)
            seconds = of_tower + (time.perf_counter() - began) / len(windows)
            of_reference = engine.predict(reference, reference[None])
            outputs[name] = np.concatenate([of_reference, found])[:, :, 0]
            times[name] = (seconds, built, of_tower, rows)
            print(f"{name}: {', '.join(f'{number:.2f}' for number in times[name])}", file=sys.stderr)
        del engine
    np.savez(scratch / "outputs.npz", **outputs)
    (scratch / "times.json").write_text(json.dumps(times))


def report(scratch: Path, truth: NDArray[np.float32], peer: NDArray[np.float64], kinds: list[str], few: int) -> None:
    """Print the table."""
    outputs, times = np.load(scratch / "outputs.npz"), json.loads((scratch / "times.json").read_text())
    print(f"enformer-pytorch, a window: {peer[0]:.1f} s, keeping memory {peer[1]:.1f} s\n")
    print(
        "| windows | precision | s a window | ratio | keeping memory | tower, s | new rows a window | reference, s "
        "| ratio, amortised | max relative error | error of effects | correlation of effects |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for precision in PRECISIONS:
        true = iter(truth.astype(np.float64))
        for kind in kinds:
            name = f"{precision} {kind}"
            seconds, built, tower, rows = times[name]
            of_reference, *found = outputs[name].astype(np.float64)
            error = max(float(np.abs(of / next(true) - 1).max()) for of in found[:few])
            exact = outputs[f"float32 {kind}"].astype(np.float64)
            effects, expected = np.array(found) - of_reference, exact[1 : 1 + len(found)] - exact[0]
            off = np.linalg.norm(effects - expected) / np.linalg.norm(expected)
            correlation = np.corrcoef(effects.ravel(), expected.ravel())[0, 1]
            amortised = peer[0] / (seconds + built / AMORTISED)
            print(
                f"| {kind} | {precision} | {seconds:.2f} | {peer[0] / seconds:.1f} | {peer[1] / seconds:.1f} "
                f"| {tower:.2f} | {rows:.0f} | {built:.1f} | {amortised:.1f} | {error:.1e} | {off:.1e} "
                f"| {correlation:.6f} |"
            )


def real_windows(scratch: Path, weights: Path, number: int) -> dict[str, NDArray[np.bool_]]:
    """Kind of windows → the reference window, and behind it windows."""
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
        stage.gather(opened)
        reference = opened.read(f"{stage.group}/reference_onehot", gene)[None]
        count = int(opened.read(f"{stage.group}/haplotype_count", gene))
        haplotypes = opened.read(
            f"{stage.group}/haplotype_onehot", (gene, slice(0, number if variants == "snv" else count))
        )
        if variants == "snv":
            kinds[f"ISM: {number // 8} SNVs"] = np.concatenate([reference, snv_windows(reference[0], number // 8)])
            chosen = typical(reference, haplotypes, torch.get_num_threads())
            kinds[f"{len(chosen)} {kind}, 150 each"] = np.concatenate([reference, chosen])
        else:
            kind = f"{kind}, of the gene"
        kinds[f"{len(haplotypes)} {kind}"] = np.concatenate([reference, haplotypes])
    return kinds


def typical(reference: NDArray[np.bool_], haplotypes: NDArray[np.bool_], number: int) -> NDArray[np.bool_]:
    """The haplotypes whose numbers of alternate alleles are closest to 150: one for each thread."""
    changes = (haplotypes != reference).any(axis=2).sum(axis=1)
    chosen = np.argsort(np.abs(changes - 150), kind="stable")[:number]
    print(f"alternate alleles of the haplotypes of 150 each: {changes[chosen].tolist()}", file=sys.stderr)
    return haplotypes[chosen]


def snv_windows(reference: NDArray[np.bool_], number: int) -> NDArray[np.bool_]:
    """The reference with another base at one place at a time, anywhere."""
    rng = np.random.default_rng(0)
    windows = np.repeat(reference[None], number, axis=0)
    for window, position in zip(windows, rng.choice(len(reference), number, replace=False), strict=True):
        window[position] = np.roll(window[position], rng.integers(1, 4))
    return windows


def seconds_of(function: Callable[[], Any], device: str) -> float:
    began = time.perf_counter()
    function()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    if not COHORT.is_dir():
        sys.exit("needs ../shared/data/geuvadis_chr20")
    main()
