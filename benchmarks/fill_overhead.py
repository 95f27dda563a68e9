"""What the predictions stage of a fill takes beside each model's bare loop on the same windows, at published sizes.

    .venv/bin/python benchmarks/fill_overhead.py [--model xpresso] [--device cuda]

Needs the real cohort of ../shared/data: haplotypes of its gene SDCBP2-AS1. Weights are random, the DREAM networks read
2,114 bp. A fill's first block of a gene checks the weights, reads the reference and haplotypes from the store, predicts
them and writes tracks; the bare loop is the model on the same windows in memory. They take turns, three each, and the
fastest of each counts.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from enformer_fill import COHORT, GENE
from enformer_fill import random_weights as enformer_weights

from pdstore.fill import steps
from pdstore.init import Sources, init_store
from pdstore.models.basenji2 import Basenji2Sizes
from pdstore.models.cnn import Cnn, CnnConfig
from pdstore.models.dream import NAMED, Dream, DreamConfig
from pdstore.models.expecto import ExpectoSizes
from pdstore.models.protocol import ModelOptions, SequenceModel, predict_in_batches
from pdstore.models.registry import ModelReference
from pdstore.stages.gene_window import read_reference_window, window_path
from pdstore.store import Store, open_store

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from expecto_files import expecto_weights
from keras_files import basenji2_weights, xpresso_weights

TURNS = 3


def cnn_weights(folder: Path) -> Path:
    config = CnnConfig()
    Cnn.of(config, config.network(), "cpu").save(folder / "cnn.safetensors")
    return folder / "cnn.safetensors"


def dream_weights(name: str) -> Callable[[Path], Path]:
    first, core, channels, features = NAMED[name]
    config = DreamConfig(2_114, 1_057, "gene", first, core, "value", channels, features)

    def made(folder: Path) -> Path:
        Dream.of(config, config.network(), "cpu").save(folder / f"{name}.safetensors")
        return folder / f"{name}.safetensors"

    return made


MODELS: dict[str, Callable[[Path], Path]] = {
    "cnn": cnn_weights,
    **{name: dream_weights(name) for name in NAMED},
    "xpresso": lambda folder: xpresso_weights(folder, 0),
    "expecto": lambda folder: expecto_weights(folder, 0, ExpectoSizes()),
    "basenji2": lambda folder: basenji2_weights(folder, 0, Basenji2Sizes()),
    "enformer": lambda folder: enformer_weights(folder / "enformer"),
}
OPTIONS = {"enformer": ModelOptions(use_tf_gamma=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=list(MODELS), help="Only this one.")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    print(f"{asked.device}, {torch.get_num_threads()} threads\n")
    print("| model | haplotypes of the block | bare, s | in a fill, s | ratio |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as scratch:
        files = (COHORT / name for name in ("chr20.fa", "genes.tsv", "expression.tsv.gz"))
        init_store(Path(scratch) / "cohort.zarr", Sources([COHORT / "chr20.1000G_EUR502.phased.vcf.gz"], *files))
        for name in [asked.model] if asked.model else MODELS:
            folder = Path(scratch) / name
            folder.mkdir()
            torch.manual_seed(0)
            reference = ModelReference(
                name, MODELS[name](folder), asked.device, options=OPTIONS.get(name, ModelOptions())
            )
            store = open_store(Path(scratch) / "cohort.zarr", "r+")
            number, bare, filled = timed(store, reference)
            print(f"| `{name}` | {number} | {bare:.2f} | {filled:.2f} | {filled / bare:.3f} |", flush=True)
            shutil.rmtree(folder)


def timed(store: Store, reference: ModelReference) -> tuple[int, float, float]:
    """Haplotypes of a block, and seconds of the bare loop and of the stage: the fastest turn of each."""
    gene = store.read("genes/gene_name").tolist().index(GENE)
    for step in steps(reference, "windows"):
        step.prepare(store)
        for block in step.pending(store, [gene]).todo:
            step.run(store, block)
        step.gather(store)
    of_gene = int(store.read(f"{window_path(reference.window)}/haplotype_count", gene))
    number = min(reference.describe().windows_per_block, of_gene)
    windows = store.read(f"{window_path(reference.window)}/haplotype_onehot", (gene, slice(0, number)))
    around = read_reference_window(store, reference.window, gene)
    model = reference.load()
    bare, filled = [], []
    for _ in range(TURNS):
        bare.append(seconds(model, lambda: [predict_in_batches(model, of, around) for of in (around[None], windows)]))
        store.delete(f"predictions/{reference.label}")
        stage = steps(reference, "predictions")[0]
        stage.prepare(store)
        first = stage.pending(store, [gene]).todo[0]
        filled.append(seconds(model, lambda first=first, stage=stage: stage.run(store, first)))
    return number, min(bare), min(filled)


def seconds(model: SequenceModel, function: Callable[[], object]) -> float:
    """Of one turn; an engine forgets what it knows of the gene before."""
    engine = getattr(model, "engine", None)
    if engine is not None:
        length = model.description.window.length
        engine.predict(np.zeros((length, 4), dtype=bool), np.zeros((0, length, 4), dtype=bool))
    began = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    if not COHORT.is_dir():
        sys.exit("needs ../shared/data/geuvadis_chr20")
    main()
