"""ExPecto: published sizes and files, Beluga and the features in numpy, strands, the engine, files that are wrong."""

import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from expecto_files import BELUGA, HEAD, expecto_weights, head_bytes
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pdstore.errors import ModelError
from pdstore.haplotypes.onehot import one_hot
from pdstore.models import expecto_network, shared_tower
from pdstore.models.expecto import Expecto, ExpectoSizes, read_head
from pdstore.models.expecto_network import Beluga, ExpectoEngine
from pdstore.models.protocol import ModelOptions, input_gradient, predict_in_batches

SMALL = ExpectoSizes(channels=(6, 7, 8), hidden=9, features=5, length=352, step=120, upstream=3, downstream=2)
LENGTH = SMALL.window.length
NUMBER = 10 * (SMALL.features + 1)
"""Features of a small head."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Expecto, "sizes", SMALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return expecto_weights(tmp_path_factory.mktemp("weights"), 0, SMALL)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return expecto_weights(tmp_path, 0, SMALL)


def windows(number: int, seed: int = 0) -> NDArray[np.bool_]:
    return np.eye(4, dtype=bool)[np.random.default_rng(seed).integers(4, size=(number, LENGTH))]


def haplotypes(reference: NDArray[np.bool_], number: int, seed: int = 1) -> NDArray[np.bool_]:
    """Windows with some of a few substitutions each."""
    rng = np.random.default_rng(seed)
    sites, others = rng.choice(LENGTH, 12, replace=False), rng.integers(1, 4, size=12)
    found = np.repeat(reference[None], number, axis=0)
    for window in found:
        for site in np.flatnonzero(rng.random(12) < 0.3):
            window[sites[site]] = np.roll(reference[sites[site]], others[site])
    return found


def beluga_in_numpy(state: dict[str, NDArray[np.float64]], bases: NDArray[np.float64]) -> NDArray[np.float64]:
    """The published layers, one after the other: bases A, G, C, T, shape (4, positions) → (features,)."""

    def convolved(x: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        seen = sliding_window_view(x, 8, axis=1)
        y = np.einsum("ipk,oik->op", seen, state[f"model.0.{number}.weight"][:, :, 0])
        return np.asarray(np.maximum(y + state[f"model.0.{number}.bias"][:, None], 0))

    def pooled(x: NDArray[np.float64]) -> NDArray[np.float64]:
        whole = x[:, : x.shape[1] // 4 * 4]
        return np.asarray(whole.reshape(len(x), -1, 4).max(axis=2))

    x = pooled(convolved(convolved(bases, 0), 2))
    x = pooled(convolved(convolved(x, 6), 8))
    x = convolved(convolved(x, 12), 14)
    hidden = np.maximum(state["model.1.2.1.weight"] @ x.ravel() + state["model.1.2.1.bias"], 0)
    return np.asarray(1 / (1 + np.exp(-(state["model.1.4.1.weight"] @ hidden + state["model.1.4.1.bias"]))))


def in_numpy(folder: Path, window: NDArray[np.float64], order: str = "AGCT", strands: int = 2) -> float:
    """The published steps from the files: a window of A, C, G, T, shape (positions, 4), to log expression."""
    state = {name: of.double().numpy() for name, of in torch.load(folder / BELUGA, weights_only=True).items()}
    head = np.frombuffer((folder / HEAD).read_bytes()[-4 * (NUMBER + 1) :], "<f4").astype(float)
    at_tss, shifts, chromatin = 3 * 120 + 175, range(-360, 241, 120), []
    for shift in shifts:
        bases = window[at_tss + shift - 175 : at_tss + shift + 177][:, ["ACGT".index(letter) for letter in order]].T
        of_strands = [beluga_in_numpy(state, bases), beluga_in_numpy(state, bases[::-1, ::-1])]
        chromatin.append(np.mean(of_strands[:strands], axis=0))
    sums = []
    for side in (-1, 1):
        for decay in (0.01, 0.02, 0.05, 0.1, 0.2):
            decayed = [np.exp(-decay * abs(shift) / 200) * (shift * side >= 0) for shift in shifts]
            # The column of zeros that published heads have a weight for.
            sums.append(np.concatenate([[0], np.sum([a * b for a, b in zip(decayed, chromatin, strict=True)], axis=0)]))
    return float(2.0 + head[-1] + np.ravel(sums) @ head[:-1])


def test_the_published_sizes_have_the_published_numbers() -> None:
    sizes = ExpectoSizes()
    assert (sizes.window.length, sizes.window.tss_offset, sizes.window.strand) == (41_800, 20_999, "gene")
    assert (sizes.shifts[0], sizes.shifts[-1], len(sizes.shifts)) == (-20_000, 19_800, 200)
    assert sum(int(np.prod(shape)) for shape in sizes.tensors.values()) == 149_536_251
    assert (sizes.tensors["model.1.2.1.weight"], sizes.tensors["model.1.4.1.weight"]) == ((2003, 67840), (2002, 2003))
    with torch.device("meta"):
        network = Beluga(sizes)
        assert sum(values.numel() for values in network.parameters()) == 149_536_251
        assert network.outputs(torch.empty(3, 41_800, 4)).shape == (3, 1, 1)


def test_a_published_head_has_the_published_length(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=20_031).astype(np.float32)
    path = tmp_path / HEAD
    path.write_bytes(head_bytes(values))
    assert path.stat().st_size == 80_442
    head = read_head(path, ExpectoSizes())
    assert head.constant == pytest.approx(2 + float(values[-1]))
    # At the TSS nothing decays, and both sides count; far upstream the slowest decay is left.
    of_sums = values[:-1].astype(float).reshape(10, 2003)[:, 1:]
    np.testing.assert_allclose(head.weights[100], of_sums.sum(axis=0), rtol=1e-12, atol=1e-12)
    decayed = np.exp(-100 * np.array([0.01, 0.02, 0.05, 0.1, 0.2]))
    np.testing.assert_allclose(head.weights[0], decayed @ of_sums[:5], rtol=1e-12, atol=1e-12)


def test_outputs_equal_the_published_steps_in_numpy(made: Path) -> None:
    given = windows(3)
    given[1, 300:420] = False  # N
    given[2, :500] = False  # Before a contig.
    expected = [in_numpy(made, window.astype(float)) for window in given]
    for engine in ("plain", "incremental"):
        model = Expecto.load(made, ModelOptions(engine=engine))
        found = predict_in_batches(model, given, given[0])
        assert (found.shape, found.dtype) == ((3, 1, 1), np.float32)
        np.testing.assert_allclose(found[:, 0, 0], expected, rtol=2e-5)
    # What is wrong would be seen.
    for wrong in ({"order": "ACGT"}, {"strands": 1}):
        off = [in_numpy(made, window.astype(float), **wrong) for window in given]  # type: ignore[arg-type]
        assert np.abs(np.subtract(off, expected)).min() > 1e-3 * np.abs(expected).max()


def test_a_window_without_bases_has_an_output(made: Path) -> None:
    nothing = np.zeros((LENGTH, 4), dtype=bool)
    for engine in ("plain", "incremental"):
        found = predict_in_batches(Expecto.load(made, ModelOptions(engine=engine)), nothing[None], nothing)
        assert found[0, 0, 0] == pytest.approx(in_numpy(made, nothing.astype(float)), rel=2e-5)


def test_heads_without_columns_of_zeros_are_the_same(weights: Path) -> None:
    before = Expecto.load(weights).predict(windows(2))
    values = np.frombuffer((weights / HEAD).read_bytes()[-4 * (NUMBER + 1) :], "<f4")
    without = np.append(values[:-1].reshape(10, -1)[:, 1:].ravel(), values[-1])
    (weights / HEAD).write_bytes(head_bytes(without))
    np.testing.assert_array_equal(Expecto.load(weights).predict(windows(2)), before)


def test_the_gradient_is_a_finite_difference(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Expecto.load(made)
    (window,) = windows(1, seed=4)
    whole = input_gradient(model, window, np.array([[1.7]]))
    # In parts: of four places, and of two.
    monkeypatch.setattr(expecto_network, "_PLACES_A_PART", 4)
    gradient = input_gradient(model, window, np.array([[1.7]]))
    assert (gradient.shape, gradient.dtype) == ((LENGTH, 4), np.float32)
    np.testing.assert_allclose(gradient, whole, rtol=0, atol=1e-5 * np.abs(whole).max())
    rng, step = np.random.default_rng(1), 1e-6
    for _ in range(3):
        direction = rng.normal(size=window.shape)
        up, down = (in_numpy(made, window + sign * step * direction) for sign in (1, -1))
        assert (gradient * direction).sum() == pytest.approx(1.7 * (up - down) / (2 * step), rel=1e-3)


EDITS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda bases: bases,
    "the first base": lambda bases: b"N" + bases[1:],
    "the last base": lambda bases: bases[:-1] + b"N",
    "a base of one place": lambda bases: bases[:60] + b"N" + bases[61:],
    "a base of three places": lambda bases: bases[:400] + b"N" + bases[401:],
    "every base": lambda bases: bases[::-1],
    "an insertion": lambda bases: (bases[:300] + b"G" + bases[300:])[:LENGTH],
    "an insertion of a pool": lambda bases: (bases[:300] + b"GATTACAG" + bases[300:])[:LENGTH],
    "a deletion": lambda bases: bases[:300] + bases[313:] + b"N" * 13,
}


@pytest.mark.parametrize("edit", EDITS)
def test_the_engine_is_the_plain_network_but_for_rounding(made: Path, edit: str) -> None:
    bases = np.random.default_rng(5).choice(np.frombuffer(b"ACGT", np.uint8), LENGTH).tobytes()
    reference, window = (one_hot(np.frombuffer(letters, np.uint8)) for letters in (bases, EDITS[edit](bases)))
    plain = Expecto.load(made, ModelOptions(engine="plain"))
    assert plain.engine is None
    engine = Expecto.load(made).engine
    assert engine is not None
    found = engine.predict(reference, np.stack([window, reference]))
    np.testing.assert_allclose(found, plain.predict(np.stack([window, reference])), rtol=2e-6, atol=2e-6)


def test_bits_do_not_depend_on_company(made: Path) -> None:
    given = haplotypes(*windows(1), number=40)
    reference = given[0]
    together = predict_in_batches(Expecto.load(made), given, reference)
    assert len(np.unique(together)) > 20
    # Alone, each by an engine that knows nothing; in another order, by one that knows much.
    for index in (0, 7, 39):
        alone = predict_in_batches(Expecto.load(made), given[index : index + 1], reference)
        np.testing.assert_array_equal(alone[0], together[index])
    model = Expecto.load(made)
    order = np.random.default_rng(2).permutation(40)
    for some in (order[:3], order[10:30], order):
        np.testing.assert_array_equal(predict_in_batches(model, given[some], reference), together[some])
    # Beside another reference, and without one.
    other = windows(1, seed=9)[0]
    np.testing.assert_allclose(predict_in_batches(model, given, other), together, rtol=2e-6, atol=2e-6)
    np.testing.assert_array_equal(predict_in_batches(model, given, reference), together)


def test_bits_do_not_depend_on_threads_or_room(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = haplotypes(*windows(1), number=40)
    together = predict_in_batches(Expecto.load(made), given, given[0])

    def with_threads(number: int) -> NDArray[np.float32]:
        engine = Expecto.load(made).engine
        assert engine is not None
        torch.set_num_threads(number)
        return engine.predict(given[0], given)

    for number in (1, 3):
        with ThreadPoolExecutor(1) as thread:
            np.testing.assert_array_equal(thread.submit(with_threads, number).result(), together)
    for module, name in (
        (expecto_network, "_MOST_ROWS"),
        (expecto_network, "_MOST_PLACES"),
        (shared_tower, "_MOST_BYTES"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, 10)
            np.testing.assert_array_equal(predict_in_batches(Expecto.load(made), given, given[0]), together)


def test_what_is_known_is_not_computed_again(made: Path) -> None:
    (reference,) = windows(1)
    engine = Expecto.load(made).engine
    assert isinstance(engine, ExpectoEngine)
    engine.predict(reference, reference[None])
    assert engine.places_computed == 2 * 6
    changed = np.repeat(reference[None], 2, axis=0)
    # Base 400 is read at places 1, 2 and 3: they begin at 120, 240 and 360.
    changed[:, 400] = np.roll(reference[400], 1)
    engine.predict(reference, changed)
    engine.predict(reference, changed[:1])
    engine.predict(reference, reference[None])
    assert engine.places_computed == 2 * (6 + 3)


def test_after_an_error_the_engine_begins_anew(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = haplotypes(*windows(1), number=4)
    expected = predict_in_batches(Expecto.load(made), given, given[0])
    model = Expecto.load(made)

    def without_memory(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Beluga, "shares", without_memory)
        with pytest.raises(MemoryError):
            predict_in_batches(model, given, given[0])
    np.testing.assert_array_equal(predict_in_batches(model, given, given[0]), expected)


def test_windows_of_another_length_are_refused(made: Path) -> None:
    model, given = Expecto.load(made), windows(2)
    assert model.engine is not None
    for refused in (
        lambda: model.predict(given[:, 1:]),
        lambda: model.engine.predict(given[0], given[:, 1:]),  # type: ignore[union-attr]
        lambda: model.gradient(given[0, 1:], np.ones((1, 1))),
    ):
        with pytest.raises(ModelError, match=r"951, 4\), expected \(952, 4\)"):
            refused()


def test_the_digest_is_of_what_files_hold(weights: Path, tmp_path: Path) -> None:
    digest = Expecto.digest(weights)
    (weights / HEAD).rename(weights / "EBV.save")
    (weights / BELUGA).rename(weights / "b.pth")
    (weights / "README").write_text("mine")
    assert Expecto.digest(weights) == digest == Expecto.load(weights).weights_digest
    (weights / "EBV.save").write_bytes(head_bytes(np.ones(NUMBER + 1, np.float32)))
    assert Expecto.digest(weights) != digest


def test_a_state_dict_of_old_torch_is_read(weights: Path) -> None:
    expected = Expecto.load(weights).predict(windows(1))
    state = torch.load(weights / BELUGA, weights_only=True)
    torch.save(state, weights / BELUGA, _use_new_zipfile_serialization=False)
    Expecto.describe(weights)
    np.testing.assert_array_equal(Expecto.load(weights).predict(windows(1)), expected)


def test_a_folder_with_one_file_of_each_is_needed(weights: Path, tmp_path: Path) -> None:
    def refused(given: Path | None, message: str) -> None:
        for ask in (Expecto.describe, Expecto.load, Expecto.digest):
            with pytest.raises(ModelError, match=message) as found:
                ask(given)
            assert "\n" not in str(found.value)

    refused(None, "needs a folder")
    refused(weights / HEAD, "head.save: is a file, but expecto's are a folder")
    refused(tmp_path / "none", "none: no such folder")
    (weights / "a.save").write_bytes((weights / HEAD).read_bytes())
    refused(weights, r"2 files .save \(a.save, head.save\), but expecto takes one head")
    (weights / "a.save").rename(weights / "a.pth")
    refused(weights, r"2 files .pth \(a.pth, deepsea.beluga.pth\), but expecto takes one Beluga")
    (weights / "a.pth").unlink()
    (weights / HEAD).unlink()
    refused(weights, "no .save in this folder")
    (weights / BELUGA).unlink()
    refused(weights, "no .pth in this folder")


VALUES = np.ones(NUMBER + 1, np.float32)
BAD_HEADS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "ends early, after 0 bytes"),
    "magic": (b'{"learner":' + bytes(900), r"begins with b'\{\"le', but a head as xgboost 0.7 writes it with b'binf'"),
    "tree": (head_bytes(VALUES, booster=b"gbtree"), "the booster is 'gbtree', but a head's is 'gblinear'"),
    "logistic": (head_bytes(VALUES, objective=b"reg:logistic"), "the objective is 'reg:logistic', but a head's is"),
    "name": (head_bytes(VALUES)[:140] + struct.pack("<Q", 2**63) + bytes(900), "a name of 9,223,372,036,854,775,808"),
    "few": (head_bytes(VALUES[:-1]), "59 features, but a head has 60 or 50"),
    "other": (
        head_bytes(VALUES, features=50),
        "61 weights of 60 features in 1 groups, but 50 features in 1 group have",
    ),
    "groups": (head_bytes(VALUES, groups=2), "61 weights of 60 features in 2 groups, but 60 features in 1 group have"),
    "more": (head_bytes(VALUES) + b"\0", "goes on behind its 61 weights"),
    "nan": (head_bytes(np.where(np.arange(NUMBER + 1) == 7, np.nan, VALUES)), "not all of its weights are finite"),
    "base": (head_bytes(VALUES, base_score=float("inf")), "not all of its weights are finite"),
}


@pytest.mark.parametrize("case", BAD_HEADS)
def test_a_head_that_is_wrong_is_refused_in_a_line(weights: Path, case: str) -> None:
    data, message = BAD_HEADS[case]
    (weights / HEAD).write_bytes(data)
    with pytest.raises(ModelError, match=f"head.save: {message}") as found:
        Expecto.describe(weights)
    assert "\n" not in str(found.value)


def test_a_head_that_ends_early_is_refused_wherever_it_ends(weights: Path) -> None:
    whole = (weights / HEAD).read_bytes()
    for length in range(0, len(whole), 3):
        (weights / HEAD).write_bytes(whole[:length])
        with pytest.raises(ModelError, match=f"ends early, after {length} bytes"):
            read_head(weights / HEAD, SMALL)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("model.0.6.weight", torch.zeros(7, 6, 8), r"has shape \(7, 6, 8\), but Beluga's has \(7, 6, 1, 8\)"),
        ("model.1.2.1.weight", torch.zeros(9, 8), r"has shape \(9, 8\), but Beluga's has \(9, 24\)"),
        ("model.0.14.bias", None, "no model.0.14.bias, which Beluga has; are these another model's weights"),
        ("model.0.16.bias", torch.zeros(8), "has model.0.16.bias, which Beluga has not"),
    ],
)
def test_the_first_tensor_that_differs_is_named(
    weights: Path, name: str, values: torch.Tensor | None, message: str
) -> None:
    state = torch.load(weights / BELUGA, weights_only=True)
    state.pop(name, None)
    torch.save(state if values is None else {**state, name: values}, weights / BELUGA)
    for ask in (Expecto.describe, Expecto.load):
        with pytest.raises(ModelError, match=message) as found:
            ask(weights)
        assert str(weights / BELUGA) in str(found.value)


def test_what_is_no_state_dict_is_refused(weights: Path) -> None:
    state = torch.load(weights / BELUGA, weights_only=True)
    state["model.0.2.bias"][1] = float("nan")
    torch.save(state, weights / BELUGA)
    with pytest.raises(ModelError, match=r"not all values of model.0.2.bias are finite"):
        Expecto.load(weights)
    whole = (weights / BELUGA).read_bytes()
    torch.save(torch.nn.Linear(2, 2), weights / BELUGA)
    for data in ((weights / BELUGA).read_bytes(), whole[: len(whole) // 2], b"", b"no file of torch"):
        (weights / BELUGA).write_bytes(data)
        with pytest.raises(ModelError, match=r"deepsea\.beluga\.pth is not a state dict") as found:
            Expecto.describe(weights)
        assert "\n" not in str(found.value)
        assert str(weights) in str(found.value)
