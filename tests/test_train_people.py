"""Training on differences between people: what is compared, what it mends, what it refuses."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import torch
from test_train_network import Silent

from pdstore.errors import InputError, MissingDataError, UsageError
from pdstore.models import cnn as cnn_module
from pdstore.models.cnn import Cnn, CnnConfig
from pdstore.models.registry import ModelReference
from pdstore.models.training import Training, TrainingSettings
from pdstore.people_task import PeopleTask, r_over_people
from pdstore.personal import gene_haplotypes
from pdstore.sources.simulate import SIGN_TURNED, SimulatedCohort
from pdstore.store import Store, open_store
from pdstore.train_people import PeopleReport, train_on_people
from pdstore.training_genes import Split

Program = Callable[..., CompletedProcess[str]]
NOBODY = Split()


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small networks wait for threads longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def config(cohort: SimulatedCohort) -> CnnConfig:
    return CnnConfig(cohort.window_length, cohort.tss_offset, "gene", kernels=24, kernel_width=10, pool=100, hidden=60)


@pytest.fixture(scope="module")
def store(unfilled: Path) -> Store:
    return open_store(unfilled)


@pytest.fixture(scope="module")
def most_people(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names of all but every fourth person."""
    names = store.read("genotypes/sample_id").tolist()
    path = tmp_path_factory.mktemp("people") / "people.txt"
    path.write_text("".join(f"{name}\n" for number, name in enumerate(names) if number % 4))
    return path


def predicted(model: Cnn, store: Store, gene: int) -> np.ndarray:
    """Predictions of all people, one haplotype at a time."""
    found = gene_haplotypes(store, str(store.read("genes/gene_id", gene)), model.config.window)
    of_haplotypes = model.predict(found.onehot())[:, 0, 0].astype(np.float64)
    return np.asarray([of_haplotypes[found.person == person].mean() for person in np.unique(found.person)])


def test_the_loss_is_of_differences_from_the_mean_of_people(store: Store, config: CnnConfig) -> None:
    people = np.arange(0, store.array("expression/observed").shape[1], 3)
    genes = [0, 3, 7]
    task = PeopleTask(store, config, genes, np.array([2]), people, at_once=16, shift=4)
    torch.manual_seed(0)
    network = config.network().eval()
    model = Cnn.of(config, network, "cpu")
    expected = []
    for gene in genes:
        of_people, observed = predicted(model, store, gene)[people], store.read("expression/observed", gene)[people]
        expected.append(np.mean(((of_people - of_people.mean()) - (observed - observed.mean())) ** 2))
    with torch.no_grad():
        loss = task.loss(network, np.arange(3), None, "cpu").item()
    assert loss == pytest.approx(np.mean(expected), rel=1e-4)
    assert task.training.tolist() == [0, 1]


def test_people_are_drawn_anew_in_each_step_and_windows_are_shifted(store: Store, config: CnnConfig) -> None:
    people = np.arange(40)
    task = PeopleTask(store, config, [0, 1], np.zeros(0, np.int64), people, at_once=8, shift=5)
    rng, network = np.random.default_rng(0), config.network().eval()
    drawn = [task.drawn(rng) for _ in range(30)]
    assert {start for start, _ in drawn} == set(range(11))
    with torch.no_grad():
        losses = {task.loss(network, np.arange(2), each, "cpu").item() for each in drawn}
        again = task.loss(network, np.arange(2), drawn[0], "cpu").item()
    assert len(losses) == 30
    assert again in losses


def test_windows_that_do_not_fit_at_once_give_the_same_training(
    store: Store, config: CnnConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = []
    for most in (10**9, 2_600):
        monkeypatch.setattr(cnn_module, "_MOST_BASES", most)
        task = PeopleTask(store, config, [0, 1, 2], np.array([2]), np.arange(30), at_once=8, shift=2)
        training = Training(config, task, TrainingSettings(batch_size=2))
        losses.append([(epoch.training_loss, epoch.loss) for epoch in (training.epoch() for _ in range(2))])
    assert config.windows_at_once == 5
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


def test_who_is_not_measured_and_whose_calls_are_haploid(small: Path, config: CnnConfig) -> None:
    """Of the builders' store: a person with one haplotype has its prediction, and one who is not measured has none."""
    store = open_store(small)
    genes = store.array("genes/gene_tss").shape[0]
    tiny = replace(config, window_length=60, tss_offset=30, pool=20, kernels=4, hidden=4)
    people = np.arange(store.array("expression/observed").shape[1])
    for gene in range(genes):
        observed = store.read("expression/observed", gene).astype(float)
        of = PeopleTask(store, tiny, [gene], np.zeros(0, np.int64), people, 2, 0)._genes[0]
        found = gene_haplotypes(store, str(store.read("genes/gene_id", gene)), tiny.window)
        with_one = [person for person in people if person in found.person and not np.isnan(observed[person])]
        assert of.expression.tolist() == observed[with_one].tolist()
        for person, index in zip(with_one, of.index, strict=True):
            theirs = found.onehot(np.flatnonzero(found.person == person))
            np.testing.assert_array_equal(found.onehot(of.row[index[[0, -1][: len(theirs)]]]), theirs)


def test_it_mends_signs_of_people_that_it_has_not_seen(
    store: Store, config: CnnConfig, most_people: Path, tmp_path: Path, fill_now: Callable[..., None], unfilled: Path
) -> None:
    """Genes of the context motif, which a network of genes' means gets wrong."""
    genes = [int(np.flatnonzero(store.read("genes/gene_name") == name)[0]) for name in SIGN_TURNED]
    others = [gene for gene in range(24) if gene not in genes]
    listed = tmp_path / "others.txt"
    listed.write_text("\n".join(store.read("genes/gene_id")[others].tolist()))
    settings = TrainingSettings(epochs=60, patience=60, learning_rate=0.003, batch_size=1)
    path = tmp_path / "cnn.safetensors"
    report = train_on_people(
        str(unfilled), path, Silent(), Cnn, config, Split(test_genes=listed), settings, people=most_people
    )
    everybody = store.array("expression/observed").shape[1]
    left_out = np.arange(0, everybody, 4)
    assert (report.training, report.test, report.people_left_out) == (5, 19, len(left_out))
    model = Cnn.load(path)
    r = []
    for gene in genes:
        observed = store.read("expression/observed", gene)[left_out]
        r.append(np.corrcoef(predicted(model, store, gene)[left_out], observed)[0, 1])
        assert r_over_people(model, store, gene, left_out) == pytest.approx(r[-1], abs=1e-5)
    assert report.left_out_r == pytest.approx(np.mean(r), abs=1e-5)
    assert min(r) > 0.4
    assert model.trained == {"target": "differences between people", "genes": 5, "people": everybody - len(left_out)}
    assert model.description.options["trained_people"] == everybody - len(left_out)
    # And the fill has the same.
    filled = open_store(shutil.copytree(unfilled, tmp_path / "s.zarr"), "r+")
    fill_now(filled, ModelReference("cnn", path), genes[:1])
    stored = filled.read("predictions/cnn/expression", genes[0])
    np.testing.assert_allclose(stored, predicted(model, store, genes[0]), rtol=1e-5)


def train(unfilled: Path, path: Path, config: CnnConfig, epochs: int = 10_000, **options: Any) -> PeopleReport:
    settings = TrainingSettings(epochs=3, batch_size=4)
    split = Split(validation_contigs=("sim2",))
    return train_on_people(str(unfilled), path, Silent(epochs), Cnn, config, split, settings, 3, **options)


def test_an_interrupted_training_goes_on_to_the_same_weights(unfilled: Path, config: CnnConfig, tmp_path: Path) -> None:
    whole = train(unfilled, tmp_path / "a", config, people_at_once=4)
    with pytest.raises(KeyboardInterrupt):
        train(unfilled, tmp_path / "b", config, epochs=1, people_at_once=4)
    with pytest.raises(UsageError, match=r"begun otherwise \(people at once 4, now 5\)"):
        train(unfilled, tmp_path / "b", config, people_at_once=5)
    with pytest.raises(UsageError, match=r"begun otherwise \(other first weights\)"):
        train(unfilled, tmp_path / "b", config, people_at_once=4, start=Cnn.load(tmp_path / "a"))
    assert train(unfilled, tmp_path / "b", config, people_at_once=4) == replace(whole, epochs_before=1)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_haplotypes_of_a_few_people_are_no_collapse_and_none_is_an_error(
    unfilled: Path, config: CnnConfig, tmp_path: Path
) -> None:
    tiny = replace(config, window_length=30, tss_offset=15, pool=5, kernels=4, kernel_width=6, hidden=30)
    store, everybody = open_store(unfilled), np.arange(40)
    rare = []
    for gene in range(24):
        of = PeopleTask(store, tiny, [gene], np.zeros(0, np.int64), everybody, 2, 0)
        rare.append(of.differ)
        if of.differ:
            network = tiny.network().eval()
            with torch.no_grad():
                deviations, outputs = of.spread(network, np.array([0]), "cpu")
            assert len(outputs) == min(8, len(of._genes[0].row)) >= 2
            np.testing.assert_allclose(deviations, outputs - outputs.mean(), atol=1e-6)
    assert not all(rare)
    ids = store.read("genes/gene_id")
    listed = tmp_path / "differing.txt"
    listed.write_text("\n".join(ids[np.array(rare)].tolist()))
    settings = TrainingSettings(epochs=1)
    with pytest.raises(MissingDataError, match="nobody's haplotype of a training gene differs"):
        train_on_people(str(unfilled), tmp_path / "x", Silent(), Cnn, tiny, Split(test_genes=listed), settings)


def test_what_cannot_be_is_refused(unfilled: Path, config: CnnConfig, tmp_path: Path, most_people: Path) -> None:
    with pytest.raises(UsageError, match="--people-at-once 1: expected 2"):
        train(unfilled, tmp_path / "a", config, people_at_once=1)
    few = tmp_path / "few.txt"
    few.write_text("".join(most_people.read_text().splitlines(keepends=True)[:9]))
    with pytest.raises(MissingDataError, match="measured in 10 of the people to train on, who are 9: name more"):
        train(unfilled, tmp_path / "a", config, people=few)
    few.write_text("nobody\n")
    with pytest.raises(InputError, match="line 1: nobody of the store has this name"):
        train(unfilled, tmp_path / "a", config, people=few)
    assert not (tmp_path / "a").exists()


def test_the_command_begins_with_weights_and_takes_their_sizes(
    pdstore: Program, unfilled: Path, config: CnnConfig, most_people: Path, tmp_path: Path
) -> None:
    train(unfilled, tmp_path / "a", config)
    given = ["train", "cnn", "-s", unfilled, "-o", tmp_path / "b", "--epochs", 1]
    done = pdstore(*given, "--target", "differential", "--start", tmp_path / "a", "--people", most_people)
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"differences between 30 people at 24 genes, epoch 1 of 1; mean R over 10 people left out -?0\.\d+, at 0 test "
        "genes -",
        done.stdout,
    )
    assert Cnn.load(tmp_path / "b").config == config
    wrong = pdstore("train", "cnn", "-s", unfilled, "-o", tmp_path / "c", "--people", most_people)
    assert wrong.returncode == 2
    assert "--people and --start are for --target differential" in " ".join(wrong.stderr.split())
