"""All statistics of the published size, and eQTL slopes beside tensorQTL.

    make benchmark-statistics
    .venv/bin/python benchmarks/gene_statistics.py [--genes 200] [--tensorqtl .venv-tensorqtl/bin/python]

Genes are simulated: 839 people, 2,000 SNVs in linkage, a prediction that a few of them make and noise, expression that
follows it in one gene of ten. Two processes of one core each do what a block of the stages eqtl and statistics does of
a gene, reading and writing left out, and the time of 6,825 genes is extrapolated. tensorQTL runs in an environment of
its own, on the same genes, on both cores as it likes; its fastest and our fastest of several passes are compared.
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Two processes share two cores; read when numpy is imported.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import numpy as np

from pdstore.analysis.correlation import bootstrap_interval
from pdstore.analysis.drivers import backward_drivers, forward_drivers
from pdstore.analysis.eqtl import eqtl_slopes
from pdstore.analysis.null import empirical_p, null_correlations
from pdstore.stages.statistics import correlation_statistics

PEOPLE, SNVS, GENES, WORKERS = 839, 2_000, 6_825, 2
PEER = Path(__file__).parent / "peers" / "tensorqtl_slopes.py"
PASSES = 5


def make_gene(folder: Path, seed: int) -> Path:
    """Simulate a gene."""
    rng = np.random.default_rng(seed)
    # Neighbours are alike: an autoregressive process, cut at each SNV's frequency.
    steps = rng.standard_normal((SNVS, 2 * PEOPLE))
    for row in range(1, SNVS):
        steps[row] = 0.95 * steps[row - 1] + np.sqrt(1 - 0.95**2) * steps[row]
    frequency = rng.beta(0.3, 1.5, size=(SNVS, 1)).clip(0.002, 0.998)
    threshold = np.quantile(rng.standard_normal(100_000), frequency)
    haplotypes = (steps < threshold).astype(np.int8)
    dosage = haplotypes[:, :PEOPLE] + haplotypes[:, PEOPLE:]
    ism = rng.standard_normal(SNVS) * rng.choice([0.01, 0.1, 1.0], size=SNVS, p=[0.95, 0.04, 0.01])
    prediction = ism @ dosage
    prediction += rng.normal(0, 0.3 * prediction.std(), PEOPLE)
    observed = rng.standard_normal(PEOPLE) + (seed % 10 == 0) * 0.3 * prediction / prediction.std()
    path = folder / f"gene{seed}.npz"
    np.savez(path, dosage=dosage, ism=ism, prediction=prediction, observed=observed)
    return path


def timed_gene(path: Path) -> dict[str, float]:
    """Seconds of each part of a gene's statistics."""
    with np.load(path) as gene:
        dosage, ism, prediction, observed = (gene[name] for name in ("dosage", "ism", "prediction", "observed"))
    position, rng = np.arange(SNVS), np.random.default_rng(0)
    began = time.perf_counter()
    eqtl_slopes(dosage, observed)
    eqtl = time.perf_counter()
    forward_drivers(ism, dosage, prediction, position)
    forward = time.perf_counter()
    backward_drivers(ism, dosage, prediction, position)
    backward = time.perf_counter()
    correlation_statistics(dosage, prediction, observed, rng)
    ended = time.perf_counter()
    return {
        "eQTL slopes with p": eqtl - began,
        "forward drivers": forward - eqtl,
        "backward drivers": backward - forward,
        "correlation, both nulls, bootstrap": ended - backward,
        "all": ended - began,
    }


def timed_parts(path: Path) -> dict[str, float]:
    """Seconds of the parts of the last."""
    with np.load(path) as gene:
        dosage, prediction, observed = (gene[name] for name in ("dosage", "prediction", "observed"))
    rng, found = np.random.default_rng(0), {}
    for name, run in {
        "- null, 50 draws": lambda: null_correlations(dosage, observed, 50, rng),
        "- empirical p, 1,000 draws": lambda: empirical_p(1e-9, dosage, observed, rng),
        "- empirical p, 100,000 draws": lambda: empirical_p(1.0, dosage, observed, rng),
        "- bootstrap, 1,000 resamples": lambda: bootstrap_interval(prediction, observed, rng),
    }.items():
        began = time.perf_counter()
        run()
        found[name] = time.perf_counter() - began
    return found


def slopes(paths: list[Path]) -> tuple[float, list[np.ndarray]]:
    """Seconds of one pass of eQTL slopes over genes that are in memory, the fastest of several; and slope and p."""
    genes = []
    for path in paths:
        with np.load(path) as gene:
            genes.append((gene["dosage"], gene["observed"]))
    seconds = []
    for _ in range(PASSES):
        began = time.perf_counter()
        found = [eqtl_slopes(dosage, observed) for dosage, observed in genes]
        seconds.append(time.perf_counter() - began)
    return min(seconds), [np.array([of.slope, of.p_value]) for of in found]


def compare_with_tensorqtl(python: str, paths: list[Path], folder: Path) -> None:
    command = [python, str(PEER), str(folder / "slopes.npz"), *map(str, paths)]
    # On all cores: as its users run it.
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    peer = json.loads(done.stdout.splitlines()[-1])["seconds"]
    own, found = slopes(paths)
    worst_slope = worst_p = 0.0
    with np.load(folder / "slopes.npz") as theirs:
        for row, (slope, p) in enumerate(found):
            their_slope, their_p = theirs[f"gene{row}"]
            both = ~np.isnan(slope) & ~np.isnan(their_slope)
            scale = np.abs(slope[both]).max()
            worst_slope = max(worst_slope, np.abs(slope - their_slope)[both].max() / scale)
            worst_p = max(worst_p, np.abs(p - their_p)[both].max())
    print(f"\n| eQTL slopes with p, {len(paths)} genes of {SNVS:,} SNVs | ms a gene | tensorQTL's times |")
    print("| --- | --- | --- |")
    print(f"| tensorQTL, `cis.map_nominal` | {1e3 * peer / len(paths):.1f} | 1 |")
    print(f"| **pdstore**, one core | {1e3 * own / len(paths):.1f} | {peer / own:.1f} |")
    print(f"\nlargest difference: slopes {worst_slope:.1e} of the gene's largest, p {worst_p:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--genes", type=int, default=200)
    parser.add_argument("--tensorqtl", help="A Python that has tensorqtl.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
            paths = pool.starmap(make_gene, [(folder, seed) for seed in range(asked.genes)])
            pool.map(timed_gene, paths[:WORKERS])
            began = time.perf_counter()
            found = pool.map(timed_gene, paths, chunksize=1)
            seconds = time.perf_counter() - began
            parts = pool.map(timed_parts, paths[: min(20, len(paths))], chunksize=1)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        print(f"{asked.genes} simulated genes, {PEOPLE} people, {SNVS:,} SNVs, {WORKERS} processes of a core each\n")
        print("| part | ms a gene, median | largest |\n| --- | --- | --- |")
        for table in (found, parts):
            for name in table[0]:
                of_genes = np.array([times[name] for times in table]) * 1e3
                print(f"| {name} | {np.median(of_genes):.1f} | {of_genes.max():.1f} |")
        whole = seconds / asked.genes * GENES
        print(f"\n{asked.genes} genes in {seconds:.1f} s: {GENES:,} genes in {whole / 60:.1f} min (extrapolated)")
        print(f"peak memory of a process {peak / 1e9:.2f} GB")
        if asked.tensorqtl:
            compare_with_tensorqtl(asked.tensorqtl, paths[:20], folder)
        else:
            print("without --tensorqtl there is no peer", file=sys.stderr)


if __name__ == "__main__":
    main()
