"""ExPecto of the published size and random weights, on real haplotypes: the engine beside the plain network, one run.

    .venv/bin/python benchmarks/expecto.py [--windows 64] [--device cuda] [--weights FOLDER]

Needs the real cohort of ../shared/data: its gene SDCBP2-AS1. Weights are random, made where no folder is given (0.6
GB). The peer is Beluga as it is published, at each of 200 places and on both strands alone. The plain network computes
its convolutions over the whole window; the engine also shares them, and places, between windows.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from enformer_fill import COHORT, GENE
from numpy.typing import NDArray
from torch import nn

from pdstore.init import Sources, init_store
from pdstore.models.expecto import Expecto, ExpectoSizes, read_head
from pdstore.models.protocol import ModelOptions, predict_in_batches
from pdstore.stages.windows import Windows
from pdstore.store import open_store

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from expecto_files import BELUGA, HEAD, expecto_weights

FEW = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=64, help="Haplotypes of a block.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--weights", type=Path, help="A folder of Beluga and a head; made where it is not given.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        weights = asked.weights or expecto_weights(Path(made), 0, ExpectoSizes())
        reference, haplotypes = real_windows(Path(made), asked.windows)
        report(weights, reference, haplotypes, asked.device)


def report(weights: Path, reference: NDArray[np.bool_], haplotypes: NDArray[np.bool_], device: str) -> None:
    """Print the table."""
    substitutions = np.repeat(reference[None], len(haplotypes), axis=0)
    rng = np.random.default_rng(0)
    for window, place in zip(substitutions, rng.choice(len(reference), len(haplotypes), replace=False), strict=True):
        window[place] = np.roll(window[place], rng.integers(1, 4))
    few, nothing = haplotypes[:FEW], haplotypes[:0]
    changes = (few != reference).any(axis=2).sum(axis=1)
    print(f"{device}, {torch.get_num_threads()} threads; SNVs of {FEW} haplotypes: {changes.tolist()}\n")
    print("| what | windows | s | s a window |\n| --- | --- | --- | --- |")

    def timed(what: str, function: Callable[..., Any], *given: Any, windows: int = 1) -> Any:
        began = time.perf_counter()
        found = function(*given)
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
        print(f"| {what} | {windows} | {seconds:.1f} | {seconds / windows:.2f} |", flush=True)
        return found

    plain = Expecto.load(weights, ModelOptions(engine="plain", batch_size=1), device)
    peer = timed("Beluga place by place", place_by_place, weights, few[:1], device)
    one_by_one = timed("plain", predict_in_batches, plain, few, reference, windows=FEW)
    timed("gradient", plain.gradient, reference, np.ones((1, 1)))
    engine = Expecto.load(weights, device=device).engine
    assert engine is not None
    of_reference = timed("engine, the reference", engine.predict, reference, reference[None])
    found = timed("engine, haplotypes", engine.predict, reference, few, windows=FEW)
    again = timed("engine, haplotypes of a block", engine.predict, reference, haplotypes, windows=len(haplotypes))
    timed("engine, ISM", engine.predict, reference, substitutions, windows=len(haplotypes))
    engine.predict(np.zeros_like(reference), nothing)
    alone = engine.predict(reference, few[-1:])
    effects = float(np.abs(found.astype(np.float64) - of_reference).mean())
    print(f"\nmean effect of a haplotype: {effects:.1e}; largest difference")
    print(f"of engine and plain: {float(np.abs(found - one_by_one).max()):.1e}")
    print(f"of plain and place by place: {float(np.abs(one_by_one[0] - peer).max()):.1e}")
    print(f"the same bits in any company: {np.array_equal(again[:FEW], found) and np.array_equal(alone, found[-1:])}")


def place_by_place(weights: Path, onehot: NDArray[np.bool_], device: str) -> NDArray[np.float64]:
    """Output for a window by the layers as they are published: (1, positions, 4) → (1, 1)."""
    state = torch.load(weights / BELUGA, weights_only=True, map_location=device)

    def convolution(number: int) -> nn.Module:
        weight, bias = state[f"model.0.{number}.weight"], state[f"model.0.{number}.bias"]
        layer = nn.utils.skip_init(nn.Conv2d, weight.shape[1], weight.shape[0], (1, 8))
        layer.load_state_dict({"weight": weight, "bias": bias})
        return layer

    layers: list[nn.Module] = []
    for first in (0, 6, 12):
        layers += [convolution(first), nn.ReLU(), convolution(first + 2), nn.ReLU()]
        layers += [nn.MaxPool2d((1, 4), (1, 4))] if first < 12 else [nn.Flatten()]
    for number, after in ((2, nn.ReLU()), (4, nn.Sigmoid())):
        shape = state[f"model.1.{number}.1.weight"].shape
        dense = nn.utils.skip_init(nn.Linear, shape[1], shape[0])
        dense.load_state_dict({name: state[f"model.1.{number}.1.{name}"] for name in ("weight", "bias")})
        layers += [dense, after]
    network = nn.Sequential(*layers).to(device)
    bases = torch.from_numpy(onehot[0][:, [0, 2, 1, 3]].T.copy()).to(device).float()
    places = bases.unfold(1, 2_000, 200).transpose(0, 1)[:, :, None]
    with torch.inference_mode():
        found = [(network(some) + network(some.flip(1, 3))) / 2 for some in places.split(10)]
    head = read_head(weights / HEAD, ExpectoSizes())
    features = torch.cat(found).cpu().double().numpy()
    return np.array([[head.constant + (features * head.weights).sum()]])


def real_windows(scratch: Path, number: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The reference window of the gene, and haplotypes."""
    files = (COHORT / name for name in ("chr20.fa", "genes.tsv", "expression.tsv.gz"))
    init_store(scratch / "cohort.zarr", Sources([COHORT / "chr20.1000G_EUR502.phased.vcf.gz"], *files))
    store = open_store(scratch / "cohort.zarr", "r+")
    gene = store.read("genes/gene_name").tolist().index(GENE)
    stage = Windows(Expecto.window_of(None))
    stage.prepare(store)
    stage.run(store, (gene,))
    stage.gather(store)
    return (
        store.read(f"{stage.group}/reference_onehot", gene),
        store.read(f"{stage.group}/haplotype_onehot", (gene, slice(0, number))),
    )


if __name__ == "__main__":
    if not COHORT.is_dir():
        sys.exit("needs ../shared/data/geuvadis_chr20")
    main()
