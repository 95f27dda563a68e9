"""What less than float32 costs: effects of single variants by a full-size Enformer, in each precision of --precision.

    .venv/bin/python benchmarks/enformer_precision.py [--device cuda] [--weights FOLDER]

Needs the real cohort of ../shared/data. Variants are random substitutions within 2 kb of a TSS. Weights are random,
made once where no folder is given (1 GB): attention and pools do something, but no variant matters as it does to a
trained network. An effect is a difference of outputs that are nearly the same: what counts is its error, not theirs.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from enformer_fill import COHORT, random_weights

from pdstore.haplotypes.onehot import one_hot
from pdstore.models.enformer import Enformer
from pdstore.models.protocol import ModelOptions, Precision
from pdstore.sources.fasta import Fasta

TSS, VARIANTS, NEAR = 1_390_000, 12, 2_000
"""1-based on contig 20; number of variants; and how far from the TSS, bp."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--weights", type=Path, help="A folder with config.json; made where it is not given.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        weights = asked.weights or random_weights(Path(scratch) / "enformer")
        window = Enformer.window_of(weights)
        start = window.start(TSS, "+")
        reference = one_hot(Fasta(COHORT / "chr20.fa", Path(scratch)).sequence("20")[start : start + window.length])
        rng = np.random.default_rng(0)
        windows = np.repeat(reference[None], VARIANTS + 1, axis=0)
        for row, offset in enumerate(
            window.tss_offset + rng.choice(np.arange(-NEAR, NEAR), VARIANTS, replace=False), 1
        ):
            # Another base than the reference's.
            windows[row, offset] = np.roll(windows[row, offset], rng.integers(1, 4))
        precisions: list[Precision] = ["float32", "bf16"]
        if asked.device != "cpu":
            precisions.insert(1, "tf32")
        print("| precision | windows/s | error of outputs | R of effects | same sign | error of effects |")
        print("| --- | --- | --- | --- | --- | --- |")
        exact = None
        for precision in precisions:
            model = Enformer.load(weights, ModelOptions(precision=precision, engine="plain"), asked.device)
            model.predict(windows[:1])
            began = time.perf_counter()
            outputs = np.concatenate([model.predict(window[None]) for window in windows]).sum(axis=1)[:, 0]
            rate = len(windows) / (time.perf_counter() - began)
            effects = outputs[1:].astype(np.float64) - outputs[0]
            if exact is None:
                exact = outputs, effects
            error = np.abs(outputs / exact[0] - 1).max()
            r = np.corrcoef(effects, exact[1])[0, 1]
            same = (np.sign(effects) == np.sign(exact[1])).sum()
            off = np.abs(effects - exact[1]).max() / np.abs(exact[1]).max()
            print(
                f"| {precision} | {rate:.3f} | {error:.1e} | {r:.4f} | {same} of {VARIANTS} | {off:.1e} |", flush=True
            )


if __name__ == "__main__":
    main()
