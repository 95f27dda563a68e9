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
from pdstore.models.cnn import Cnn, CnnConfig
from pdstore.models.registry import ModelReference
from pdstore.models.training import Training, TrainingSettings
from pdstore.models.window_task import WindowTask
from pdstore.sources.simulate import SimulatedCohort, simulate_cohort
from pdstore.stages.readouts import set_readout
from pdstore.store import Store, open_store

# Tests import builders.py and the like by name, whatever pytest is started with.
sys.path.insert(0, str(Path(__file__).parent))

from filled_stores import made
from once import Once, once_a_run

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
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Makes what the workers of a run share."""
    return once_a_run(tmp_path_factory)


@pytest.fixture(scope="session")
def own_copy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Copies a store that workers share for this one: publishing holds its lease, and would refuse another worker."""
    return lambda store: Path(shutil.copytree(store, tmp_path_factory.mktemp("own") / store.name))


@pytest.fixture(scope="session")
def small(once: Once, own_copy: Callable[[Path], Path]) -> Path:
    """A filled store of the builders' four genes: not to be written to."""
    return own_copy(once("small", lambda folder: made(folder, fill_in_process)))


@pytest.fixture(scope="session")
def cohort(once: Once) -> SimulatedCohort:
    """A small simulated cohort."""
    return once("cohort", lambda folder: simulate_cohort(folder, 1, people=40, training_genes=24))


@pytest.fixture(scope="session")
def cnn(cohort: SimulatedCohort, once: Once) -> ModelReference:
    """A CNN of the simulated cohort's window, barely trained on noise: its predictions vary, and mean nothing."""
    config = CnnConfig(cohort.window_length, cohort.tss_offset, "gene", kernels=8, kernel_width=10, pool=100, hidden=8)

    def train(folder: Path) -> ModelReference:
        rng = np.random.default_rng(0)
        windows = np.eye(4, dtype=bool)[rng.integers(4, size=(16, cohort.window_length + 4))]
        task = WindowTask(windows, rng.normal(size=16), config.window_length, shift=2)
        training = Training(config, task, TrainingSettings())
        training.epoch()
        Cnn.of(config, training.trained(), "cpu").save(folder / "cnn.safetensors")
        return ModelReference("cnn", folder / "cnn.safetensors")

    return once("cnn", train)


@pytest.fixture(scope="session")
def unfilled(cohort: SimulatedCohort, once: Once, own_copy: Callable[[Path], Path]) -> Path:
    """A store of the simulated cohort as `init` makes it: copy it before writing."""

    def init(folder: Path) -> Path:
        sources = Sources([cohort.vcf], cohort.fasta, cohort.genes, cohort.expression)
        init_store(folder / "simulated.zarr", sources)
        return folder / "simulated.zarr"

    return own_copy(once("unfilled", init))


@pytest.fixture(scope="session")
def filled(unfilled: Path, cnn: ModelReference, once: Once, own_copy: Callable[[Path], Path]) -> Path:
    """The same store, filled: not to be written to."""

    def fill(folder: Path) -> Path:
        path = Path(shutil.copytree(unfilled, folder / "simulated.zarr"))
        fill_in_process(open_store(path, "r+"), cnn)
        return path

    return own_copy(once("filled", fill))


@pytest.fixture(scope="session")
def xpresso(shared_data: Path) -> ModelReference:
    """The published Xpresso."""
    return ModelReference("xpresso", shared_data / "xpresso" / "GM12878_trainepoch.06-0.5062.h5")


@pytest.fixture(scope="session")
def geuvadis(shared_data: Path, xpresso: ModelReference, once: Once) -> Path:
    """The real cohort, filled with Xpresso: not to be written to."""
    source = shared_data / "geuvadis_chr20"
    vcf = source / "chr20.1000G_EUR502.phased.vcf.gz"
    sources = Sources([vcf], source / "chr20.fa", source / "genes.tsv", source / "expression.tsv.gz")

    def fill(folder: Path) -> Path:
        init_store(folder / "geuvadis.zarr", sources)
        fill_in_process(open_store(folder / "geuvadis.zarr", "r+"), xpresso)
        return folder / "geuvadis.zarr"

    return once("geuvadis", fill)


@pytest.fixture(scope="session")
def demo(pdstore: Callable[..., subprocess.CompletedProcess[str]], once: Once) -> tuple[Path, str]:
    """The folder that `pdstore demo pdstore-demo` made, not to be written to, and what it said."""

    def run(folder: Path) -> tuple[Path, str]:
        done = pdstore("demo", "pdstore-demo", cwd=folder)
        assert done.returncode == 0, done.stderr
        return folder / "pdstore-demo", done.stdout

    return once("demo", run)


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
def published_size(query_latency: ModuleType, once: Once) -> Path:
    """A store of the published size, of which one gene is filled with what queries read: not to be written to."""

    def make(folder: Path) -> Path:
        query_latency.make_store(folder / "store.zarr", range(query_latency.GENE, query_latency.GENE + 1))
        return folder / "store.zarr"

    return once("published_size", make)
