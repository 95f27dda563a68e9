"""What every registered model is held to: `MADE` has weights for each, so that one that is added must join."""

import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import safetensors.torch
import torch
from expecto_files import expecto_weights
from keras_files import basenji2_weights, xpresso_weights
from numpy.typing import NDArray
from scipy.stats import binomtest
from small_models import BASENJI2, ENFORMER, EXPECTO

from pdstore.analysis.readout import read_out
from pdstore.errors import ModelError, UsageError
from pdstore.models.basenji2 import Basenji2
from pdstore.models.cnn import Cnn, CnnConfig
from pdstore.models.dream import NAMED, Dream, DreamConfig
from pdstore.models.enformer_network import random_network, save_network
from pdstore.models.expecto import Expecto
from pdstore.models.protocol import (
    About,
    DifferentiableModel,
    GeneAlleles,
    ModelOptions,
    SequenceModel,
    input_gradient,
    predict_in_batches,
)
from pdstore.models.registry import ModelReference, model_class, model_names
from pdstore.personal import gene_haplotypes
from pdstore.query import query_gene
from pdstore.store import open_store

CNN = CnnConfig(window_length=1_001, tss_offset=500, kernels=30, kernel_width=6, pool=100, hidden=20)


def enformer_weights(folder: Path, seed: int) -> Path:
    save_network(random_network(ENFORMER, False, seed=seed), ENFORMER, folder / "enformer")
    return folder / "enformer"


def cnn_weights(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    Cnn.of(CNN, CNN.network(), "cpu").save(folder / "cnn.safetensors")
    return folder / "cnn.safetensors"


def predixcan_weights(folder: Path, seed: int) -> Path:
    with sqlite3.connect(folder / "predixcan.db") as database:
        database.execute(
            "CREATE TABLE weights (rsid TEXT, gene TEXT, weight REAL, varID TEXT, ref_allele TEXT, eff_allele TEXT)"
        )
        database.execute(
            "CREATE TABLE extra (gene TEXT, genename TEXT, `n.snps.in.model` INTEGER, `pred.perf.R2` REAL)"
        )
        weight = np.random.default_rng(seed).normal()
        database.execute("INSERT INTO weights VALUES ('rs1', 'ENSG1', ?, '1_100_A_G_b37', 'A', 'G')", (weight,))
        database.execute("INSERT INTO extra VALUES ('ENSG1', 'GENE1', 1, 0.5)")
    database.close()
    return folder / "predixcan.db"


def dream_weights(config: DreamConfig) -> Callable[[Path, int], Path]:
    def made(folder: Path, seed: int) -> Path:
        torch.manual_seed(seed)
        Dream.of(config, config.network(), "cpu").save(folder / "dream.safetensors")
        return folder / "dream.safetensors"

    return made


def of_basenji2(folder: Path, seed: int) -> Path:
    return basenji2_weights(folder, seed, BASENJI2)


def of_expecto(folder: Path, seed: int) -> Path:
    return expecto_weights(folder, seed, EXPECTO)


MADE: dict[str, Callable[[Path, int], Path]] = {
    "basenji2": of_basenji2,
    "cnn": cnn_weights,
    "dream": dream_weights(DreamConfig(80, 79, "gene", "narrow", "recurrent", "classes", 20, 30)),
    **{
        name: dream_weights(DreamConfig(60, 30, "gene", first, core, "value", channels, features))
        for name, (first, core, channels, features) in NAMED.items()
    },
    "enformer": enformer_weights,
    "expecto": of_expecto,
    "predixcan": predixcan_weights,
    "xpresso": xpresso_weights,
}
OPTIONS = {
    "basenji2": ModelOptions(tracks="all"),
    "basenji2 ensemble": ModelOptions(tracks="all", ensemble=True),
    "enformer": ModelOptions(tracks="all"),
    "enformer plain": ModelOptions(tracks="all", engine="plain"),
    "expecto plain": ModelOptions(engine="plain"),
}
OF_SEQUENCE = [name for name in MADE if name != "predixcan"]
OF_SEQUENCE += ["basenji2 ensemble", "enformer plain", "expecto plain"]


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    """Models whose sizes are not in their weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Basenji2, "sizes", BASENJI2)
        patch.setattr(Expecto, "sizes", EXPECTO)
        yield


def reference(folder: Path, case: str, seed: int = 0) -> ModelReference:
    name = case.split()[0]
    return ModelReference(name, MADE[name](folder, seed), options=OPTIONS.get(case, ModelOptions()))


@pytest.fixture(scope="module", params=OF_SEQUENCE)
def model(request: pytest.FixtureRequest, small: None, tmp_path_factory: pytest.TempPathFactory) -> SequenceModel:
    return reference(tmp_path_factory.mktemp("weights"), request.param).load()


@pytest.fixture(scope="module")
def windows(model: SequenceModel) -> NDArray[np.bool_]:
    length = model.description.window.length
    windows = np.eye(4, dtype=bool)[np.random.default_rng(0).integers(4, size=(7, length))]
    windows[1] = windows[0]
    windows[1, length // 2] = np.roll(windows[0, length // 2], 1)
    windows[2, length // 3 : length // 2] = False  # N
    windows[3] = False
    return windows


def predict(model: SequenceModel, windows: NDArray[np.bool_]) -> NDArray[np.float32]:
    return predict_in_batches(model, windows, windows[0])


def test_every_registered_model_is_tested() -> None:
    # Borzoi's package cannot stand beside Enformer's: test_borzoi.py holds it to the same, where it is.
    assert MADE.keys() | {"borzoi"} == set(model_names())


@pytest.mark.parametrize("name", MADE)
def test_it_tells_what_it_is(name: str, tmp_path: Path) -> None:
    of = reference(tmp_path, f"{name} plain" if name == "enformer" else name)
    kind = model_class(name)
    assert kind.name == name
    assert isinstance(kind.about, About)  # type: ignore[attr-defined]
    assert all(kind.about)  # type: ignore[attr-defined]
    loaded = of.load_dosage_model() if of.takes_dosages else of.load()
    assert loaded.description == of.describe()
    assert of.describe().window.length == of.window.length
    assert re.fullmatch(r"[0-9a-f]{64}", loaded.weights_digest)
    assert loaded.weights_digest == of.digest()


@pytest.mark.parametrize("name", MADE)
def test_other_weights_have_another_digest(name: str, tmp_path: Path) -> None:
    digests = set()
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / folder).mkdir()
        digests.add(ModelReference(name, MADE[name](tmp_path / folder, seed)).digest())
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("name", "other"),
    [
        (name, other)
        for name in MADE
        for other in (*MADE, "nothing")
        # One model takes the weights of all of its kind.
        if other != name and not (name == "dream" and other in NAMED)
    ],
)
def test_weights_of_another_model_are_refused_before_and_when_loading(name: str, other: str, tmp_path: Path) -> None:
    if other == "nothing":
        (tmp_path / "empty").touch()
    weights = tmp_path / "empty" if other == "nothing" else MADE[other](tmp_path, 0)
    of = ModelReference(name, weights)
    with pytest.raises((ModelError, UsageError)) as refused:
        of.load_dosage_model() if of.takes_dosages else of.load()
    assert "\n" not in str(refused.value)
    assert str(weights) in str(refused.value)


def test_outputs_have_the_shape_that_was_declared(model: SequenceModel, windows: NDArray[np.bool_]) -> None:
    outputs = predict(model, windows)
    assert outputs.shape == (len(windows), model.description.bins, len(model.description.track_names))
    assert outputs.dtype == np.float32
    assert np.isfinite(outputs).all(), "N, too"
    assert predict_in_batches(model, windows[:0], windows[0]).shape == (0, *outputs.shape[1:])


def test_outputs_differ_where_sequence_does(model: SequenceModel, windows: NDArray[np.bool_]) -> None:
    outputs = predict(model, windows)
    assert len(np.unique(outputs[:, 0, 0])) == len(windows)


def test_the_same_windows_have_the_same_outputs_in_any_company(
    model: SequenceModel, windows: NDArray[np.bool_]
) -> None:
    together = predict(model, windows)
    np.testing.assert_array_equal(predict(model, windows), together)
    order = np.random.default_rng(1).permutation(len(windows))
    # Of an engine the reference is given: it may not change with the order.
    for some in (order, order[:3], order[:1]):
        found = predict_in_batches(model, windows[some], windows[0])
        np.testing.assert_allclose(found, together[some], rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("case", OF_SEQUENCE)
def test_a_gpu_gives_the_same_but_for_rounding(case: str, tmp_path: Path) -> None:
    on_cpu = reference(tmp_path, case)
    length = on_cpu.window.length
    windows = np.eye(4, dtype=bool)[np.random.default_rng(3).integers(4, size=(3, length))]
    expected = predict_in_batches(on_cpu.load(), windows, windows[0])
    found = predict_in_batches(replace(on_cpu, device="cuda").load(), windows, windows[0])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_windows_of_another_length_are_refused(model: SequenceModel, windows: NDArray[np.bool_]) -> None:
    with pytest.raises(ModelError, match="shape"):
        model.predict(windows[:, :-1])


def effects_and_slopes(
    model: SequenceModel, window: NDArray[np.bool_], places: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Effects of the steepest substitution at the steepest places; and what they would be, were the model linear."""
    weights = np.random.default_rng(2).normal(size=(model.description.bins, len(model.description.track_names)))
    gradient = input_gradient(cast(DifferentiableModel, model), window, weights)
    assert gradient.shape == window.shape
    assert gradient.dtype == np.float32
    place = np.argsort(-np.abs(gradient).max(axis=1), kind="stable")[:places]
    change = gradient[place] - gradient[place][window[place]][:, None]
    base, row = np.abs(change).argmax(axis=1), np.arange(places)
    substituted = np.repeat(window[None], places, axis=0)
    substituted[row, place] = np.eye(4, dtype=bool)[base]
    outputs = predict_in_batches(model, np.concatenate([window[None], substituted]), window).astype(np.float64)
    return ((outputs[1:] - outputs[0]) * weights).sum(axis=(1, 2)), change[row, base].astype(np.float64)


def test_the_gradient_tells_the_signs_of_substitutions(model: SequenceModel, windows: NDArray[np.bool_]) -> None:
    effects, slopes = effects_and_slopes(model, windows[0], 40)
    agreeing = int((np.sign(effects) == np.sign(slopes)).sum())
    assert binomtest(agreeing, len(effects), alternative="greater").pvalue < 1e-3


def test_of_a_linear_model_effects_are_the_gradients(tmp_path: Path) -> None:
    path = cnn_weights(tmp_path, 0)
    state = safetensors.torch.load_file(path)
    # So that no unit is ever cut off at zero.
    state["convolution.bias"] += 2
    state["hidden.bias"] += 10
    network = CNN.network()
    network.load_state_dict(state)
    Cnn.of(CNN, network, "cpu").save(path)
    window = np.eye(4, dtype=bool)[np.random.default_rng(0).integers(4, size=CNN.window_length)]
    effects, slopes = effects_and_slopes(ModelReference("cnn", path).load(), window, 40)
    assert slopes.any()
    np.testing.assert_allclose(effects, slopes, rtol=0, atol=5e-3 * np.abs(slopes).max())


@pytest.mark.parametrize("case", OF_SEQUENCE)
def test_it_fills_a_store_with_its_predictions(
    case: str, unfilled: Path, tmp_path: Path, fill_now: Callable[..., None]
) -> None:
    of = reference(tmp_path, case)
    store = open_store(shutil.copytree(unfilled, tmp_path / "s.zarr"), "r+")
    fill_now(store, of, [0])
    group = store.group(f"predictions/{of.label}").attrs.asdict()
    assert group["weights_sha256"] == of.digest()
    people = gene_haplotypes(store, str(store.read("genes/gene_id", 0)), of.window, [0, 1])
    windows = people.onehot()
    expected = read_out(predict_in_batches(of.load(), windows, windows[0]), of.describe().readout)
    stored = store.read(f"predictions/{of.label}/expression", 0)[:2]
    np.testing.assert_allclose(stored, expected.reshape(2, 2).mean(axis=1), rtol=1e-4, atol=1e-5)
    answer = query_gene(store, str(store.read("genes/gene_name", 0)), of.label)
    assert answer["model"] == of.label


def test_a_dosage_model_knows_its_alleles_alone(tmp_path: Path) -> None:
    model = reference(tmp_path, "predixcan").load_dosage_model()
    alleles = GeneAlleles("1", np.array([100, 101]), np.array(["A", "C"], object), np.array(["G", "T"], object))
    assert model.has_weights("ENSG1")
    assert not model.has_weights("ENSG2")
    found = model.allele_weights("ENSG1", alleles)
    assert found.known.tolist() == [True, False]
    assert len(found.counts) == len(model.counts)
    assert not model.allele_weights("ENSG2", alleles).known.any()
