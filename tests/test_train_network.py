"""Training of the CNN on a store: what it learns from, how it goes on, what it refuses."""

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from pdstore.errors import InputError, MissingDataError, UsageError
from pdstore.models import cnn as cnn_module
from pdstore.models.cnn import Cnn, CnnConfig
from pdstore.models.trained import longer
from pdstore.models.training import Training, TrainingSettings
from pdstore.models.window_task import WindowTask
from pdstore.stages.gene_window import read_reference_around, window_starts
from pdstore.store import open_store
from pdstore.train_network import NetworkReport, train_on_genes
from pdstore.training_genes import Split

Program = Callable[..., CompletedProcess[str]]

CONFIG = CnnConfig(window_length=1_001, tss_offset=500, kernels=12, kernel_width=8, pool=100, hidden=40)
SETTINGS = TrainingSettings(epochs=6, learning_rate=0.003, batch_size=5)
SPLIT = Split(validation_contigs=("sim2",))


class Silent:
    """An observer that stops a training after some epochs, as Ctrl-C does."""

    def __init__(self, epochs: int = 10_000) -> None:
        self.left = epochs

    def waiting(self, what: str) -> None: ...
    def step_begins(self, name: str, unit: str, blocks: int, units: int, done: int) -> None: ...
    def step_ends(self) -> None: ...

    def block_done(self, units: int, worked: bool) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def train(
    store: Path,
    path: Path,
    split: Split = SPLIT,
    settings: TrainingSettings = SETTINGS,
    observer: Silent | None = None,
) -> NetworkReport:
    return train_on_genes(str(store), path, observer or Silent(), Cnn, CONFIG, split, settings, shift=10)


@pytest.fixture(scope="module")
def trained(unfilled: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NetworkReport]:
    path = tmp_path_factory.mktemp("cnn") / "cnn.safetensors"
    return path, train(unfilled, path)


def test_the_weights_are_a_cnn_and_r_is_that_of_its_predictions(
    trained: tuple[Path, NetworkReport], unfilled: Path
) -> None:
    path, report = trained
    store, cnn = open_store(unfilled), Cnn.load(path)
    assert (report.training, report.validation, report.test, report.epochs) == (12, 12, 0, 6)
    genes = np.flatnonzero(store.read("genes/gene_contig") == "sim2")
    windows = np.stack([read_reference_around(store, cnn.config.window, int(gene)) for gene in genes])
    mean = np.nanmean(store.read("expression/observed").astype(float), axis=1)[genes]
    assert report.validation_r == pytest.approx(np.corrcoef(cnn.predict(windows)[:, 0, 0], mean)[0, 1], abs=1e-5)
    assert np.isnan(report.test_r)
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.epochs.csv"]


def test_the_best_epoch_is_kept_and_all_are_written_down(trained: tuple[Path, NetworkReport], unfilled: Path) -> None:
    path, report = trained
    with path.with_name(f"{path.name}.epochs.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["validation_loss"]) for row in rows]
    assert [int(row["epoch"]) for row in rows] == list(range(1, 7))
    assert report.best_epoch == 1 + int(np.argmin(losses))
    store = open_store(unfilled)
    genes = np.flatnonzero(store.read("genes/gene_contig") == "sim2")
    cnn = Cnn.load(path)
    windows = np.stack([read_reference_around(store, cnn.config.window, int(gene)) for gene in genes])
    mean = np.nanmean(store.read("expression/observed").astype(float), axis=1)[genes]
    assert np.mean((cnn.predict(windows)[:, 0, 0] - mean) ** 2) == pytest.approx(min(losses), rel=1e-4)


@pytest.mark.parametrize("epochs", [1, 4])
def test_an_interrupted_training_goes_on_to_the_same_weights(
    trained: tuple[Path, NetworkReport], unfilled: Path, tmp_path: Path, epochs: int
) -> None:
    path = tmp_path / "cnn.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(unfilled, path, observer=Silent(epochs))
    assert [file.name for file in tmp_path.iterdir()] == [f".{path.name}.partial"]
    report = train(unfilled, path)
    assert report == replace(trained[1], epochs_before=epochs)
    assert path.read_bytes() == trained[0].read_bytes()


def test_a_checkpoint_of_another_training_is_refused(unfilled: Path, tmp_path: Path) -> None:
    path = tmp_path / "cnn.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(unfilled, path, observer=Silent(1))
    with pytest.raises(UsageError, match=r"begun otherwise \(seed 0, now 1\): train with the same, or remove it"):
        train(unfilled, path, settings=replace(SETTINGS, seed=1))
    with pytest.raises(UsageError, match=r"begun otherwise \(other validation examples\): train"):
        train(unfilled, path, split=Split())
    path.with_name(f".{path.name}.partial").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="not a checkpoint of a training"):
        train(unfilled, path)


def test_it_ends_where_nothing_gets_better(unfilled: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=50, patience=2, learning_rate=0.05)
    report = train(unfilled, tmp_path / "cnn.safetensors", settings=settings)
    assert report.epochs == report.best_epoch + 2 < 50


def test_genes_are_held_out_by_contig_or_by_file(unfilled: Path, tmp_path: Path) -> None:
    store = open_store(unfilled)
    names, ids = store.read("genes/gene_name").tolist(), store.read("genes/gene_id").tolist()
    listed = tmp_path / "test.txt"
    listed.write_text(f"{names[0]}\n\n{ids[1]}\n{names[2].lower()}\n")
    one = replace(SETTINGS, epochs=1)
    report = train(unfilled, tmp_path / "a", Split(validation_contigs=("sim2",), test_genes=listed), one)
    assert (report.training, report.validation, report.test) == (9, 12, 3)
    assert -1 <= report.test_r <= 1
    with pytest.raises(UsageError, match=rf"gene {names[0]} is in both parts, validation and test, of 3"):
        train(unfilled, tmp_path / "b", Split(validation_contigs=("sim1",), test_genes=listed), one)
    with pytest.raises(MissingDataError, match="0 genes with expression are left to train on: at least 5"):
        train(unfilled, tmp_path / "b", Split(validation_contigs=("sim1", "sim2")), one)
    with pytest.raises(
        UsageError, match="--test-contigs chr9: no gene of the store is there; its contigs are sim1, si"
    ):
        train(unfilled, tmp_path / "b", Split(test_contigs=("chr9",)), one)
    listed.write_text(f"{names[0]}\nNOGENE\n")
    with pytest.raises(InputError, match=rf"{re.escape(str(listed))}, line 2: no gene 'NOGENE'"):
        train(unfilled, tmp_path / "b", Split(test_genes=listed), one)
    assert not (tmp_path / "b").exists()


def test_windows_that_overlap_held_out_ones_are_counted(unfilled: Path, tmp_path: Path) -> None:
    store = open_store(unfilled)
    contig, tss = store.read("genes/gene_contig"), store.read("genes/gene_tss")
    listed = tmp_path / "test.txt"
    listed.write_text("\n".join(store.read("genes/gene_id").tolist()[::2]))
    rows = np.arange(len(tss))
    # Windows of either strand, shifted by up to 10 bp.
    starts = window_starts(store, longer(CONFIG.window, 10))
    near = (contig[:, None] == contig) & (np.abs(starts[:, None] - starts) < 1_021)
    expected = int(near[rows % 2 == 1][:, rows % 2 == 0].any(axis=1).sum())
    report = train(unfilled, tmp_path / "cnn", Split(test_genes=listed), replace(SETTINGS, epochs=1))
    assert report.overlapping == expected


def test_a_step_in_parts_is_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    windows, expression = np.eye(4, dtype=bool)[rng.integers(4, size=(12, 1_021))], rng.normal(size=12)
    losses = []
    for most in (10**9, 1):
        monkeypatch.setattr(cnn_module, "_MOST_BASES", most)
        task = WindowTask(windows, expression, CONFIG.window_length, np.arange(3), shift=10)
        training = Training(CONFIG, task, TrainingSettings(batch_size=5))
        losses.append([(epoch.training_loss, epoch.loss) for epoch in (training.epoch() for _ in range(3))])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


def test_the_command_trains_draws_and_says_what_came_of_it(pdstore: Program, unfilled: Path, tmp_path: Path) -> None:
    sizes = "--window 1001 --kernels 12 --kernel-width 8 --pool 100 --hidden 40 --batch-size 5 --epochs 2"
    path, curves = tmp_path / "cnn.safetensors", tmp_path / "curves.svg"
    done = pdstore(
        "train", "cnn", "-s", unfilled, "-o", path, "--test-contigs", "sim2", "--curves", curves, *sizes.split()
    )
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"12 genes, epoch [12] of 2; R over 0 validation genes -, over 12 test genes -?\d\.\d+", done.stdout
    )
    assert "training" in curves.read_text()
    assert Cnn.window_of(path).length == 1_001
    again = pdstore("train", "cnn", "-s", unfilled, "-o", path, *sizes.split())
    assert again.returncode == 2
    assert "exists already; name another file" in again.stderr
    drawn = pdstore(
        "train", "cnn", "-s", unfilled, "-o", tmp_path / "b", "--curves", tmp_path / "x.bmp", *sizes.split()
    )
    assert drawn.returncode == 2
    assert "the ending says how it is drawn: .png, .svg, .pdf" in " ".join(drawn.stderr.split())
    wrong = pdstore("train", "cnn", "-s", unfilled, "-o", tmp_path / "b", "--window", "50", "--pool", "100")
    assert wrong.returncode == 2
    assert "too short" in wrong.stderr
