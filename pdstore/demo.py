"""A simulated cohort, a CNN trained on its reference genes or an Enformer of random weights, and a store of both."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.correlation import pearson_r
from pdstore.errors import StoreError
from pdstore.fill import Observer, fill
from pdstore.haplotypes.onehot import one_hot, reverse_complement
from pdstore.haplotypes.window import WindowSpec
from pdstore.init import Sources, init_store
from pdstore.models.enformer_weights import EnformerSizes
from pdstore.models.protocol import ModelOptions
from pdstore.models.registry import ModelReference
from pdstore.sources.fasta import Fasta
from pdstore.sources.genes import Gene, read_genes
from pdstore.sources.simulate import SimulatedCohort, simulate_cohort
from pdstore.sources.text import read_lines

SEED = 20
TRAINING_SHIFT = 10
HELD_OUT_GENES = 200
SHOWN_GENES = ("DDX11", "GSTM3")
"""One gene that the CNN should get right, and one where the context motif turns the activator's sign."""

ENFORMER_PEOPLE = 24
ENFORMER_SIZES = EnformerSizes(
    dim=96,
    depth=2,
    heads=4,
    attn_dim_key=16,
    dim_divisible_by=8,
    target_length=8,
    sequence_length=2_048,
    output_heads={"human": 3, "mouse": 2},
    use_tf_gamma=False,
)

DemoModel = Literal["cnn", "enformer"]


@dataclass(frozen=True)
class Demo:
    """What `make_demo` made.

    Attributes
    ----------
    store : Path
        The filled store.
    sources, weights : Path
        Folder of the simulated sources, and the model's weights.
    held_out_r : float or None
        Pearson's R between predicted and mean expression over genes that the training did not see; None for the
        Enformer, which is not trained.
    """

    store: Path
    sources: Path
    weights: Path
    held_out_r: float | None


def make_demo(directory: Path, observer: Observer, progress: Callable[[str], None], model: DemoModel = "cnn") -> Demo:
    """Simulate a cohort, train, make a store and fill it.

    Parameters
    ----------
    directory : Path
        A new or empty folder.
    observer : Observer
        Told how the fill goes.
    progress : callable
        Told the step that begins.
    model : {"cnn", "enformer"}
        A CNN, trained on the cohort; or a small Enformer of random weights, whose predictions mean nothing.

    Raises
    ------
    StoreError
        Something is in the way, or there is no folder to make it in.
    """
    if directory.is_file() or (directory.exists() and any(directory.iterdir())):
        raise StoreError(f"{directory} is there already, and not empty; name another folder, or remove it first")
    if not directory.absolute().parent.is_dir():
        raise StoreError(f"demo {directory}: no folder {directory.parent} to put it in")
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}.demo-", dir=directory.absolute().parent) as scratch:
        building = Path(scratch) / "demo"
        build = _build_enformer if model == "enformer" else _build_cnn
        demo = build(building, Path(scratch), observer, progress)
        os.rename(building, directory)
    return replace(
        demo,
        store=directory / demo.store.relative_to(building),
        sources=directory / demo.sources.relative_to(building),
        weights=directory / demo.weights.relative_to(building),
    )


def _build_enformer(directory: Path, scratch: Path, observer: Observer, progress: Callable[[str], None]) -> Demo:
    """Make the demo of an Enformer in a new folder."""
    from pdstore.models.enformer_network import random_network, save_network

    sources, weights, store = directory / "sources", directory / "enformer", directory / "demo.zarr"
    progress(f"simulating a cohort: {ENFORMER_PEOPLE} people, 24 measured genes")
    cohort = simulate_cohort(sources, SEED, people=ENFORMER_PEOPLE, training_genes=1)
    progress("making a small Enformer of random weights: its predictions mean nothing")
    save_network(random_network(ENFORMER_SIZES, False, SEED), ENFORMER_SIZES, weights)
    init_store(store, Sources([cohort.vcf], cohort.fasta, cohort.genes, cohort.expression), progress)
    fill(str(store), ModelReference("enformer", weights, options=ModelOptions(tracks="all")), observer)
    return Demo(store, sources, weights, None)


def _build_cnn(directory: Path, scratch: Path, observer: Observer, progress: Callable[[str], None]) -> Demo:
    """Make the demo of a CNN in a new folder."""
    # Imported here, after what can go wrong at once has: torch takes two seconds.
    from pdstore.models.cnn import Cnn, CnnConfig
    from pdstore.models.trained import longer
    from pdstore.models.training import TrainingSettings, train
    from pdstore.models.window_task import WindowTask

    sources, weights, store = directory / "sources", directory / "cnn.safetensors", directory / "demo.zarr"
    progress("simulating a cohort: 200 people, 24 measured genes, 1,200 genes to train on")
    cohort = simulate_cohort(sources, SEED)
    config = CnnConfig(
        cohort.window_length, cohort.tss_offset, strand="gene", kernels=32, kernel_width=10, pool=100, hidden=200
    )
    progress("training a CNN on the population means of the reference sequences")
    onehot, means = training_set(cohort, longer(config.window, TRAINING_SHIFT), scratch)
    held_out = np.random.default_rng(SEED).choice(len(means), HELD_OUT_GENES, replace=False)
    with _one_torch_thread():
        task = WindowTask(onehot, means, config.window_length, held_out, TRAINING_SHIFT)
        cnn = Cnn.of(config, train(config, task, TrainingSettings(seed=SEED)), "cpu")
    cnn.save(weights)
    windows = onehot[held_out, TRAINING_SHIFT : TRAINING_SHIFT + config.window_length]
    held_out_r = float(pearson_r(cnn.predict(windows)[:, 0, 0], means[held_out]))
    progress(f"R over {HELD_OUT_GENES} genes held out of the training: {held_out_r:.2f}")
    init_store(store, Sources([cohort.vcf], cohort.fasta, cohort.genes, cohort.expression), progress)
    fill(str(store), ModelReference("cnn", weights), observer)
    return Demo(store, sources, weights, held_out_r)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Train on one thread: for so small a network a second one gains little, and loses much on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def training_set(
    cohort: SimulatedCohort, window: WindowSpec, scratch: Path
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Reference windows of the training genes, (genes, positions, 4), and their mean expression."""
    fasta = Fasta(cohort.fasta, scratch)
    sequences = {contig: fasta.sequence(contig) for contig in fasta.lengths}
    genes = read_genes(cohort.training_genes).genes
    rows = [line.split("\t") for _, line in read_lines(cohort.training_expression)][1:]
    mean_of = {gene_id: float(mean) for gene_id, mean in rows}
    windows = np.stack([_reference_window(sequences[gene.contig], gene, window) for gene in genes])
    return windows, np.array([mean_of[gene.gene_id] for gene in genes])


def _reference_window(sequence: NDArray[np.uint8], gene: Gene, window: WindowSpec) -> NDArray[np.bool_]:
    start = window.start(gene.tss, gene.strand)
    onehot = one_hot(sequence[start : start + window.length])
    return reverse_complement(onehot) if window.reverses(gene.strand) else onehot
