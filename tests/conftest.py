"""Stores and sources that several tests share."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pdstore.fill import STAGES, steps
from pdstore.init import Sources, init_store
from pdstore.models.cnn import CnnConfig
from pdstore.models.cnn_training import train_cnn
from pdstore.models.registry import ModelReference
from pdstore.sources.simulate import SimulatedCohort, simulate_cohort
from pdstore.stages.readouts import set_readout
from pdstore.store import Store, open_store

# Tests import builders.py and the like by name, whatever pytest is started with.
sys.path.insert(0, str(Path(__file__).parent))

from filled_stores import made

PROJECT = Path(__file__).parents[1]
SHARED_DATA = PROJECT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data, which the project does not ship."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the real data of ../shared/data")
    return SHARED_DATA


@pytest.fixture(scope="session")
def bcftools() -> str:
    """Path of bcftools, the oracle of genotypes and haplotypes."""
    path = shutil.which("bcftools")
    if path is None:
        pytest.skip("needs bcftools")
    return path


@pytest.fixture(scope="session")
def pdstore() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The program, as a user runs it."""

    def run(
        *arguments: object, columns: int = 120, store: Path | None = None, **options: object
    ) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", "from pdstore_cli.main import run; run()"]
        environment = {**os.environ, "COLUMNS": str(columns)}
        environment.pop("PDSTORE_STORE", None)
        if store is not None:
            environment["PDSTORE_STORE"] = str(store)
        return subprocess.run(
            [*program, *map(str, arguments)], capture_output=True, text=True, env=environment, check=False, **options
        )

    return run


def fill_in_process(store: Store, model: ModelReference, genes: list[int] | None = None) -> None:
    """Every stage, block by block, without dask: what `fill` does but for the workers."""
    rows = list(range(store.array("genes/gene_tss").shape[0])) if genes is None else genes
    for name in STAGES:
        for step in steps(model, name):
            step.prepare(store)
            if step.runs_model:
                set_readout(store, step.group, None)
            for block in step.pending(store, rows).todo:
                step.run(store, block)
            step.gather(store)


@pytest.fixture(scope="session")
def fill_now() -> Callable[..., None]:
    """`fill_in_process`."""
    return fill_in_process


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled store of the builders' four genes: not to be written to."""
    return made(tmp_path_factory.mktemp("small") / "cohort", fill_in_process)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> SimulatedCohort:
    """A small simulated cohort."""
    return simulate_cohort(tmp_path_factory.mktemp("cohort"), 1, people=40, training_genes=24)


@pytest.fixture(scope="session")
def cnn(cohort: SimulatedCohort, tmp_path_factory: pytest.TempPathFactory) -> ModelReference:
    """A CNN of the simulated cohort's window, barely trained on noise: its predictions vary, and mean nothing."""
    config = CnnConfig(cohort.window_length, cohort.tss_offset, "gene", kernels=8, kernel_width=10, pool=100, hidden=8)
    rng = np.random.default_rng(0)
    windows = np.eye(4, dtype=bool)[rng.integers(4, size=(16, cohort.window_length + 4))]
    path = tmp_path_factory.mktemp("cnn") / "cnn.safetensors"
    train_cnn(windows, rng.normal(size=16), config, seed=0, epochs=1, shift=2).save(path)
    return ModelReference("cnn", path)


@pytest.fixture(scope="session")
def unfilled(cohort: SimulatedCohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the simulated cohort as `init` makes it: copy it before writing."""
    path = tmp_path_factory.mktemp("unfilled") / "simulated.zarr"
    init_store(path, Sources([cohort.vcf], cohort.fasta, cohort.genes, cohort.expression))
    return path


@pytest.fixture(scope="session")
def filled(unfilled: Path, cnn: ModelReference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same store, filled: not to be written to."""
    path = tmp_path_factory.mktemp("filled") / "simulated.zarr"
    shutil.copytree(unfilled, path)
    fill_in_process(open_store(path, "r+"), cnn)
    return path


@pytest.fixture(scope="session")
def xpresso(shared_data: Path) -> ModelReference:
    """The published Xpresso."""
    return ModelReference("xpresso", shared_data / "xpresso" / "GM12878_trainepoch.06-0.5062.h5")


@pytest.fixture(scope="session")
def geuvadis(shared_data: Path, xpresso: ModelReference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real cohort, filled with Xpresso: not to be written to."""
    path = tmp_path_factory.mktemp("geuvadis") / "geuvadis.zarr"
    source = shared_data / "geuvadis_chr20"
    init_store(
        path,
        Sources(
            [source / "chr20.1000G_EUR502.phased.vcf.gz"],
            source / "chr20.fa",
            source / "genes.tsv",
            source / "expression.tsv.gz",
        ),
    )
    fill_in_process(open_store(path, "r+"), xpresso)
    return path


@pytest.fixture(scope="session")
def query_latency() -> ModuleType:
    """The benchmark of that name, which makes a store of the published size."""
    spec = importlib.util.spec_from_file_location("query_latency", PROJECT / "benchmarks" / "query_latency.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def published_size(query_latency: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the published size, of which one gene is filled with what queries read: not to be written to."""
    path = tmp_path_factory.mktemp("size") / "store.zarr"
    query_latency.make_store(path, range(query_latency.GENE, query_latency.GENE + 1))
    return path
