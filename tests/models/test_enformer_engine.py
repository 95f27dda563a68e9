"""The incremental engine: the plain network's numbers, for windows that are nearly a reference window."""

import gc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pdstore.errors import ModelError, UsageError
from pdstore.haplotypes.onehot import one_hot
from pdstore.models import shared_tower
from pdstore.models.enformer import Enformer
from pdstore.models.enformer_engine import EnformerEngine
from pdstore.models.enformer_network import outputs_at, random_network, save_network
from pdstore.models.enformer_weights import EnformerSizes
from pdstore.models.protocol import ModelOptions, predict_in_batches

SIZES = EnformerSizes(
    dim=96,
    depth=3,
    heads=4,
    attn_dim_key=16,
    dim_divisible_by=16,
    target_length=8,
    sequence_length=128 * 48,
    output_heads={"human": 5},
    use_tf_gamma=False,
)
BINS, TRACKS = [3, 4, 7], [0, 3]
TSS = SIZES.sequence_length // 2 - 1
CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-7}


def bases(length: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).choice(np.frombuffer(b"ACGT", np.uint8), length)


REFERENCE = bases(SIZES.sequence_length)


@pytest.fixture(scope="module")
def network() -> Any:
    return random_network(SIZES, False, seed=3)


@pytest.fixture(scope="module")
def engine(network: Any) -> EnformerEngine:
    return EnformerEngine(network, SIZES.rows, torch.tensor(BINS), torch.tensor(TRACKS), "human")


def plain(network: Any, windows: NDArray[np.bool_]) -> NDArray[np.float32]:
    with torch.inference_mode():
        found: NDArray[np.float32] = outputs_at(
            network, torch.from_numpy(windows).float(), torch.tensor(BINS), "human", torch.tensor(TRACKS)
        ).numpy()
    return found


def edited(edits: Sequence[tuple[int, str, int]]) -> NDArray[np.bool_]:
    """The reference with bases replaced: position, new letters, number of old ones; refilled at the end with T."""
    letters = bytearray(REFERENCE.tobytes())
    for position, new, old in sorted(edits, reverse=True):
        letters[position : position + old] = new.encode()
    window = bytes(letters).ljust(SIZES.sequence_length, b"T")[: SIZES.sequence_length]
    return one_hot(np.frombuffer(window, np.uint8))


LAST = SIZES.sequence_length - 1
EDITS = {
    "nothing": [],
    "the first base": [(0, "N", 1)],
    "the last base": [(LAST, "N", 1)],
    "both edges": [(0, "A", 1), (1, "C", 1), (LAST - 1, "G", 1), (LAST, "T", 1)],
    "the TSS": [(TSS, "N", 1)],
    "neighbours": [(TSS + 5, "ACGT", 4)],
    "a stretch of N": [(4_000, "N" * 700, 700)],
    "N at an edge": [(0, "N" * 1_500, 1_500)],
}


@pytest.mark.parametrize("edits", EDITS.values(), ids=EDITS)
def test_windows_have_the_plain_networks_outputs(
    engine: EnformerEngine, network: Any, edits: list[tuple[int, str, int]]
) -> None:
    windows = edited(edits)[None]
    np.testing.assert_allclose(engine.predict(one_hot(REFERENCE), windows), plain(network, windows), **CLOSE)


@pytest.mark.parametrize("first", range(0, 128, 32))
def test_indels_of_every_phase_have_the_plain_networks_outputs(
    engine: EnformerEngine, network: Any, first: int
) -> None:
    windows = np.stack([edited([(TSS - 40, "", shift)]) for shift in range(first, first + 32)])
    found = engine.predict(one_hot(REFERENCE), windows)
    np.testing.assert_allclose(found, plain(network, windows), **CLOSE)


def test_attention_goes_by_blocks_of_queries_of_which_the_last_is_shorter(network: Any) -> None:
    window = one_hot(bases(128 * 200))
    bins = torch.tensor([150, 199])
    network.target_length, before = 200, network.target_length
    long = EnformerEngine(network, 200, bins, torch.tensor([1]), "human")
    network.target_length = before
    with torch.inference_mode():
        hidden = network.conv_tower(network.stem(torch.from_numpy(window).float()[None].transpose(1, 2)))
        hidden = network.final_pointwise(network.transformer(hidden.transpose(1, 2))[:, bins])
        expected = network._heads["human"](hidden)[..., [1]].numpy()
    np.testing.assert_allclose(long.predict(window, window[None]), expected, **CLOSE)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, LAST), st.text("ACGTN", max_size=9), st.integers(0, 9)), max_size=6),
        max_size=4,
    )
)
def test_any_edits_have_the_plain_networks_outputs(network: Any, edits: list[list[tuple[int, str, int]]]) -> None:
    engine = EnformerEngine(network, SIZES.rows, torch.tensor(BINS), torch.tensor(TRACKS), "human")
    windows = np.array([edited(of_window) for of_window in edits], dtype=bool).reshape(-1, SIZES.sequence_length, 4)
    found = engine.predict(one_hot(REFERENCE), windows)
    assert found.shape == (len(windows), len(BINS), len(TRACKS))
    if len(windows):
        np.testing.assert_allclose(found, plain(network, windows), **CLOSE)


def test_a_window_has_the_same_outputs_bit_for_bit_in_any_company_and_order(network: Any) -> None:
    def predict(windows: NDArray[np.bool_]) -> NDArray[np.float32]:
        engine = EnformerEngine(network, SIZES.rows, torch.tensor(BINS), torch.tensor(TRACKS), "human")
        return np.concatenate([engine.predict(one_hot(REFERENCE), some) for some in np.split(windows, [1, 4])])

    rng = np.random.default_rng(0)
    windows = np.stack([edited([(int(p), "N", 1) for p in rng.integers(LAST, size=20)]) for _ in range(6)])
    windows[3] = edited([(TSS - 60, "", 3)])
    together = predict(windows)
    order = rng.permutation(6)
    np.testing.assert_array_equal(predict(windows[order]), together[order])
    for window, expected in zip(windows, together, strict=True):
        np.testing.assert_array_equal(predict(window[None])[0], expected)


def test_outputs_do_not_depend_on_the_number_of_threads(network: Any) -> None:
    windows = np.stack([edited([(TSS - 60, "", 3)]), edited([(TSS, "N", 1)])])
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            engine = EnformerEngine(network, SIZES.rows, torch.tensor(BINS), torch.tensor(TRACKS), "human")
            found.append(engine.predict(one_hot(REFERENCE), windows))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def test_what_windows_share_is_computed_once(network: Any) -> None:
    def rows_of(windows: NDArray[np.bool_]) -> int:
        engine = EnformerEngine(network, SIZES.rows, torch.tensor(BINS), torch.tensor(TRACKS), "human")
        engine.predict(one_hot(REFERENCE), windows)
        return engine.rows_computed

    one = edited([(TSS, "N", 1)])
    # A base is seen by the rows within 646 bp.
    assert 5 <= rows_of(one[None]) <= 6
    assert rows_of(np.stack([one, one, one])) == rows_of(one[None])
    far = edited([(TSS, "N", 1), (600, "N", 1)])
    assert rows_of(np.stack([one, far])) == rows_of(far[None])
    assert rows_of(one_hot(REFERENCE)[None]) == 0
    # Two deletions of one phase share all rows between the first and the left edge of the window that slid.
    shifted = [edited([(TSS, "", 3)]), edited([(TSS, "", 3), (600, "N", 1)])]
    assert rows_of(np.stack(shifted)) <= rows_of(shifted[0][None]) + 6


def test_what_earlier_windows_needed_stays_as_far_as_there_is_room(
    network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(room: int) -> tuple[NDArray[np.float32], int]:
        monkeypatch.setattr(shared_tower, "_MOST_BYTES", room)
        engine = EnformerEngine(network, SIZES.rows, torch.tensor(BINS), torch.tensor(TRACKS), "human")
        found = [engine.predict(one_hot(REFERENCE), some) for some in (windows[:2], windows[2:], windows[:2])]
        return np.concatenate(found), engine.rows_computed

    windows = np.stack([edited([(2_000, "", shift)]) for shift in range(5)])
    found, rows = predict(10**9)
    np.testing.assert_array_equal(found[5:], found[:2])
    one_by_one, rows_again = predict(0)
    np.testing.assert_array_equal(one_by_one, found)
    assert rows_again >= 1.2 * rows


@pytest.mark.parametrize("method", ["number", "compute", "forget"])
@pytest.mark.parametrize("differences", [False, True])
def test_a_failure_leaves_nothing_half_known(
    network: Any, monkeypatch: pytest.MonkeyPatch, method: str, differences: bool
) -> None:
    """As where memory ends in the middle: at the n-th call, behind what it did."""

    def made() -> EnformerEngine:
        return EnformerEngine(network, SIZES.rows, torch.tensor(BINS), torch.tensor(TRACKS), "human", differences)

    windows = np.stack([edited([(2_000, "", shift)]) for shift in (0, 1, 3)])
    monkeypatch.setattr(shared_tower, "_MOST_BYTES", 0)
    expected = made().predict(one_hot(REFERENCE), windows)
    whole = getattr(shared_tower._Seen, method)
    for last in (2, 9, 11):
        calls = iter(range(1, 10_000))

        def failing(*arguments: Any, last: int = last, calls: Any = calls) -> Any:
            found = whole(*arguments)
            if next(calls) == last:
                raise MemoryError
            return found

        engine = made()
        monkeypatch.setattr(shared_tower._Seen, method, failing)
        with pytest.raises(MemoryError):
            engine.predict(one_hot(REFERENCE), windows)
        monkeypatch.setattr(shared_tower._Seen, method, whole)
        for window, of_window in zip(windows, expected, strict=True):
            np.testing.assert_array_equal(engine.predict(one_hot(REFERENCE), window[None])[0], of_window)


def test_windows_of_another_length_are_refused(engine: EnformerEngine) -> None:
    with pytest.raises(ModelError, match=r"windows of shape \(6143, 4\), expected \(6144, 4\)"):
        engine.predict(one_hot(REFERENCE), one_hot(REFERENCE)[None, :-1])


def test_another_reference_takes_the_place_of_the_one_before(network: Any) -> None:
    engine = EnformerEngine(network, SIZES.rows, torch.tensor(BINS), torch.tensor(TRACKS), "human")
    windows = one_hot(np.stack([bases(SIZES.sequence_length, seed) for seed in (0, 1)]))
    for reference in windows:
        np.testing.assert_allclose(engine.predict(reference, windows), plain(network, windows), **CLOSE)


def test_engines_of_several_threads_do_not_disturb_each_other(network: Any) -> None:
    def predicted(seed: int) -> NDArray[np.float32]:
        engine = EnformerEngine(network, SIZES.rows, torch.tensor(BINS), torch.tensor(TRACKS), "human")
        reference = one_hot(bases(SIZES.sequence_length, seed))
        window = reference.copy()
        window[TSS] = False
        return engine.predict(reference, window[None])

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(predicted, range(8)))
    for seed, found in enumerate(together):
        np.testing.assert_allclose(found, predicted(seed), rtol=1e-5)


def bytes_of_tensors() -> int:
    gc.collect()
    tensors = [found for found in gc.get_objects() if type(found) is torch.Tensor]
    return sum({of.untyped_storage().data_ptr(): of.untyped_storage().nbytes() for of in tensors}.values())


@pytest.mark.parametrize("differences", [False, True])
def test_memory_returns_to_what_it_was_after_a_gene(network: Any, differences: bool) -> None:
    def predict_gene(engine: EnformerEngine, seed: int) -> None:
        reference = one_hot(bases(SIZES.sequence_length, seed))
        windows = np.repeat(reference[None], 5, axis=0)
        windows[np.arange(5), TSS + np.arange(5)] = False
        engine.predict(reference, windows)

    before = bytes_of_tensors()
    engine = EnformerEngine(network, SIZES.rows, torch.tensor(BINS), torch.tensor(TRACKS), "human", differences)
    predict_gene(engine, 0)
    of_a_gene = bytes_of_tensors()
    assert of_a_gene > before
    for seed in (1, 2, 0):
        predict_gene(engine, seed)
    assert bytes_of_tensors() == of_a_gene
    del engine
    assert bytes_of_tensors() == before


# --- As a model ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "enformer"
    save_network(network, SIZES, folder)
    return folder


def test_a_model_predicts_with_the_engine_that_is_asked_for_and_records_it(weights: Path) -> None:
    options = ModelOptions(tracks="all")
    plain, default = Enformer.load(weights, replace(options, engine="plain")), Enformer.load(weights, options)
    assert default.description.options["engine"] == "incremental"
    assert default.description.windows_per_block == 64
    assert default.description == Enformer.describe(weights, replace(options, engine="incremental"))
    assert plain.engine is None
    assert "engine" not in plain.description.options, "as it was before there were engines"
    windows = np.stack([edited([(TSS, "N", 1)]), one_hot(REFERENCE)])
    found, expected = (predict_in_batches(model, windows, one_hot(REFERENCE)) for model in (default, plain))
    np.testing.assert_allclose(found, expected, **CLOSE)
    assert not np.array_equal(found[0], found[1])


def test_what_an_engine_does_not_do_is_refused(weights: Path) -> None:
    for options, name in (
        (ModelOptions(precision="bf16"), "--precision bf16"),
        (ModelOptions(ensemble=True), "--ensemble"),
    ):
        assert "engine" not in Enformer.describe(weights, replace(options, tracks="all")).options
        with pytest.raises(UsageError, match=f"--engine incremental has no {name}"):
            Enformer.describe(weights, replace(options, tracks="all", engine="incremental"))
    differences = ModelOptions(tracks="all", precision="delta-bf16")
    assert Enformer.describe(weights, differences).options["engine"] == "incremental"
    with pytest.raises(UsageError, match="--engine plain has no --precision delta-bf16"):
        Enformer.describe(weights, replace(differences, engine="plain"))
    with pytest.raises(UsageError, match="--ensemble and --precision delta-bf16 do not go together"):
        Enformer.describe(weights, replace(differences, ensemble=True))
    with pytest.raises(UsageError, match="engine 'fast' is none of incremental, plain"):
        ModelOptions(engine="fast")  # type: ignore[arg-type]
