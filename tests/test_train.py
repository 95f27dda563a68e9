"""Models trained on a store: from people to a file of weights, and back into the store."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from pdstore import train
from pdstore.errors import UsageError
from pdstore.models.registry import ModelReference
from pdstore.sources.predictdb import trained_genes
from pdstore.stages.readouts import chosen_readout
from pdstore.store import Store, open_store
from pdstore.train import train_predixcan

Program = Callable[..., subprocess.CompletedProcess[str]]


class Silent:
    """An observer that hears nothing."""

    def waiting(self, what: str) -> None: ...

    def step_begins(self, name: str, unit: str, blocks: int, units: int, done: int) -> None: ...

    def block_done(self, units: int, worked: bool) -> None: ...

    def step_ends(self) -> None: ...


@pytest.fixture(scope="module")
def gene_names(unfilled: Path) -> list[str]:
    names: list[str] = open_store(unfilled).read("genes/gene_name").tolist()
    return names


@pytest.fixture(scope="module")
def training_people(unfilled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first thirty of forty."""
    path = tmp_path_factory.mktemp("people") / "people.txt"
    names = open_store(unfilled).read("genotypes/sample_id").tolist()
    path.write_text("\n".join(names[:30]) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(
    unfilled: Path,
    gene_names: list[str],
    training_people: Path,
    pdstore: Program,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    path = tmp_path_factory.mktemp("trained") / "cohort.db"
    genes = ",".join(gene_names[:3])
    done = pdstore("train", "predixcan", "-s", unfilled, "-o", path, "--people", training_people, "--genes", genes)
    assert done.returncode == 0, done.stderr
    assert "cohort.db: 3 genes; mean R of people left out" in done.stdout
    assert [file.name for file in path.parent.iterdir()] == ["cohort.db"]
    return path


@pytest.fixture(scope="module")
def filled_store(
    unfilled: Path, trained: Path, fill_now: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Store:
    store = open_store(shutil.copytree(unfilled, tmp_path_factory.mktemp("filled") / "store.zarr"), "r+")
    fill_now(store, ModelReference("predixcan", trained), [0, 1, 2])
    return store


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def test_people_of_the_training_are_predicted_without_their_own_expression(filled_store: Store, trained: Path) -> None:
    found = rows(trained, "SELECT gene, out_of_fold_r, people FROM extra ORDER BY gene")
    ids = filled_store.read("genes/gene_id").tolist()
    compared = 0
    for gene, r, people in found:
        assert people == 30
        predicted = filled_store.read("predictions/predixcan/expression", ids.index(gene))
        observed = filled_store.read("expression/observed", ids.index(gene)).astype(float)
        if r is not None and not np.isnan(predicted).all():
            assert np.corrcoef(predicted[:30], observed[:30])[0, 1] == pytest.approx(r)
            compared += 1
    assert compared


def test_others_are_predicted_by_the_weights_of_everybody(filled_store: Store, trained: Path) -> None:
    ism = filled_store.read("attributions/predixcan/ism", slice(0, 3))
    genes = np.flatnonzero(~np.isnan(ism).all(axis=1)).tolist()
    assert genes
    for gene in genes:
        gene_id = filled_store.read("genes/gene_id", gene)
        expected = np.zeros(10)
        final = "SELECT varID, eff_allele, weight, mean_dosage FROM fold_weights WHERE fold = 0 AND gene ="
        for name, effect, weight, mean in rows(trained, f"{final} '{gene_id}'"):
            position = int(str(name).split("_")[1])
            row = np.flatnonzero(
                (filled_store.read("variants/position") == position)
                & (filled_store.read("variants/alt") == effect)
                & (
                    filled_store.read("variants/contig_id")[filled_store.read("variants/contig")]
                    == str(name).split("_")[0]
                )
            )[0]
            calls = filled_store.read(
                "genotypes/call_genotype", int(filled_store.read("variants/genotype_record", int(row)))
            )
            copies = (calls[30:] == filled_store.read("variants/allele_index", int(row))).sum(axis=1)
            expected += weight * (copies - mean)
        np.testing.assert_allclose(filled_store.read("predictions/predixcan/expression", gene)[30:], expected)


def test_the_file_names_nobody(trained: Path, training_people: Path) -> None:
    data = trained.read_bytes()
    assert not [name for name in training_people.read_text().split() if name.encode() in data]


def test_an_interrupted_training_goes_on_and_another_does_not(
    unfilled: Path, gene_names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.db"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train.os, "link", killed)
        with pytest.raises(KeyboardInterrupt):
            train_predixcan(str(unfilled), path, Silent(), genes=gene_names[:1], folds=3, workers=1)
    assert not path.exists()
    with pytest.raises(UsageError, match="begun otherwise \\(folds 3, now 4\\)"):
        train_predixcan(str(unfilled), path, Silent(), genes=gene_names[:2], folds=4)
    report = train_predixcan(str(unfilled), path, Silent(), genes=gene_names[:2], folds=3, workers=1)
    assert (report.before, report.trained) == (1, 1)
    assert len(rows(path, "SELECT gene FROM extra")) == 2
    with pytest.raises(UsageError, match=r"x\.db exists already"):
        train_predixcan(str(unfilled), path, Silent())


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ("{0}\nNobody7\n", "line 2: nobody of the store has this name"),
        ("{0}\n\n{0}\n", "line 3: the same person as in line 1"),
        ("\n \n", "names nobody"),
        ("{0}\n{1}\n", "2 people to train on: at least 10 are needed for 5 folds"),
    ],
    ids=["unknown", "twice", "nobody", "too few"],
)
def test_bad_people(unfilled: Path, pdstore: Program, tmp_path: Path, people: str, message: str) -> None:
    names = open_store(unfilled).read("genotypes/sample_id").tolist()
    (tmp_path / "people.txt").write_text(people.format(*names))
    done = pdstore("train", "predixcan", "-s", unfilled, "-o", tmp_path / "x.db", "--people", tmp_path / "people.txt")
    assert done.returncode == 2
    assert message in done.stderr
    assert not [name for name in (*names, "Nobody7") if name in done.stderr]
    assert [path.name for path in tmp_path.iterdir()] == ["people.txt"]


def test_a_readout_learns_what_expression_is_of_the_tracks_and_fill_takes_it(
    filled: Path, cnn: ModelReference, pdstore: Program, tmp_path: Path
) -> None:
    store = open_store(shutil.copytree(filled, tmp_path / "store.zarr"), "r+")
    mean = store.read("expression/observed").astype(float).mean(axis=1)
    # Tracks of which twice the log2 is mean expression, and 1 more.
    store.write("predictions/cnn/reference_tracks", ..., (2 ** ((mean - 1) / 2)).reshape(-1, 1, 1).astype(np.float32))
    done = pdstore("train", "readout", "-s", store.url, "--model", "cnn", "-o", tmp_path / "readout.csv")
    assert done.returncode == 0, done.stderr
    assert "1 of 1 tracks with a weight; R over 24 genes, each left out, 1.000" in done.stdout
    readout = chosen_readout(store, cnn, "elastic_net", tmp_path / "readout.csv")
    assert readout is not None
    assert readout.weights is not None
    # The smallest of the penalties takes a little of the weight.
    np.testing.assert_allclose(readout.weights, [2, 1], atol=0.1)


def test_a_readout_needs_genes_and_tracks(filled_store: Store, filled: Path, pdstore: Program, tmp_path: Path) -> None:
    done = pdstore("train", "readout", "-s", filled_store.url, "-o", tmp_path / "readout.csv")
    assert done.returncode == 2
    assert "predixcan has no tracks" in done.stderr
    done = pdstore("train", "readout", "-s", filled, "-o", tmp_path / "readout.csv", "--folds", 20)
    assert "at least 40 are needed for 20 folds" in done.stderr
    assert not (tmp_path / "readout.csv").exists()


def test_what_a_kill_left_half_written_is_rolled_back(unfilled: Path, gene_names: list[str], tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    program = (
        "import os, sqlite3, sys; from pdstore.sources import predictdb as p; from pathlib import Path;"
        "path = Path(sys.argv[1]); p.begin_predictdb(path, {'folds': '3'}, 'salt', {});"
        "d = sqlite3.connect(path); d.execute('PRAGMA cache_size = 1');"
        "d.executemany('INSERT INTO extra (gene) VALUES (?)', [('g' * 900 + str(i),) for i in range(2000)]);"
        "os.kill(os.getpid(), 9)"
    )
    unfinished = tmp_path / ".x.db.partial"
    subprocess.run([sys.executable, "-c", program, str(unfinished)], check=False)
    assert (tmp_path / ".x.db.partial-journal").exists()
    with pytest.raises(UsageError, match="begun otherwise"):
        train_predixcan(str(unfilled), path, Silent(), genes=gene_names[:1], folds=3)
    assert trained_genes(unfinished) == []
