"""Effects of substitutions around drivers and around the TSS, against windows that are edited letter by letter."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import CONTIGS, GENES
from filled_stores import WEIGHTS, made
from numpy.typing import NDArray
from optional_stages import call_drivers, run_stage

from pdstore.errors import MissingDataError, UsageError
from pdstore.fill import OPTIONAL_STAGES, STAGES, check_usable, selected_stages
from pdstore.haplotypes.onehot import one_hot, reverse_complement
from pdstore.jobs.cluster import Cluster
from pdstore.plan import plan_stages, window_sizes
from pdstore.schema import deviations
from pdstore.sources.variants import DELETION, INSERTION
from pdstore.stages import substitutions
from pdstore.stages.ism_tss import IsmTss
from pdstore.stages.ism_window import IsmWindow, read_main_driver
from pdstore.stages.optional import OptionalStage
from pdstore.stages.readouts import Readout, set_readout
from pdstore.status import store_status
from pdstore.store import Store, open_store

Fill = Callable[..., None]

MODEL = replace(WEIGHTS, variants="all")
WINDOW = MODEL.window
ISM_WINDOW, ISM_TSS = "attributions/cnn/ism_window", "attributions/cnn/ism_tss"
ALL = range(len(GENES))


@pytest.fixture(scope="module")
def filled_with_all(fill_now: Fill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the builders' genes with alleles of every kind, every scored one a driver: not to be written to."""
    path = made(tmp_path_factory.mktemp("ism") / "cohort", fill_now, rows=[])
    store = open_store(path, "r+")
    fill_now(store, MODEL)
    for gene in ALL:
        call_drivers(store, gene)
    return path


@pytest.fixture(scope="module")
def substituted(filled_with_all: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with both stages filled: not to be written to."""
    path = Path(shutil.copytree(filled_with_all, tmp_path_factory.mktemp("filled") / "store.zarr"))
    store = open_store(path, "r+")
    run_stage(store, IsmWindow(MODEL), ALL)
    run_stage(store, IsmTss(MODEL), ALL)
    return path


@pytest.fixture
def unfilled_copy(filled_with_all: Path, tmp_path: Path) -> Store:
    return open_store(shutil.copytree(filled_with_all, tmp_path / "store.zarr"), "r+")


@pytest.fixture
def copy(substituted: Path, tmp_path: Path) -> Store:
    return open_store(shutil.copytree(substituted, tmp_path / "store.zarr"), "r+")


def plain_effects(haplotype: str, tss: int, strand: str, positions: range) -> NDArray[np.float64]:
    """Effects of substitutions at 0-based positions of a sequence, each predicted on its own; `tss` is 0-based, too."""
    model, length = MODEL.load(), WINDOW.length
    before = WINDOW.tss_offset if strand == "+" else length - 1 - WINDOW.tss_offset

    def value(sequence: str) -> float:
        row = one_hot(np.frombuffer(sequence.encode(), np.uint8))
        return float(model.predict((row if strand == "+" else reverse_complement(row))[None]).sum())

    text = "N" * length + haplotype + "N" * length
    window = text[tss - before + length : tss - before + 2 * length]
    effects = np.full((len(positions), 4), np.nan)
    for place, position in enumerate(positions):
        offset = position - (tss - before)
        if 0 <= offset < length and window[offset] in "ACGT":
            for column, letter in enumerate("ACGT"):
                if letter != window[offset]:
                    changed = window[:offset] + letter + window[offset + 1 :]
                    effects[place, column] = value(changed) - value(window)
    return effects


def drivers(store: Store) -> Iterator[tuple[int, int, int, str, str, int]]:
    """Gene, column, 1-based position, letters and kind of every driver."""
    for gene in ALL:
        first = int(store.read(f"windows/{WINDOW.name}/variant_start", gene))
        for column in np.flatnonzero(store.read("statistics/cnn/driver_rank", gene) > 0).tolist():
            position, ref, alt, kind = (
                store.read(f"variants/{name}", first + column) for name in ("position", "ref", "alt", "kind")
            )
            yield gene, column, int(position), str(ref), str(alt), int(kind)


def test_effects_around_drivers_are_those_of_edited_windows(substituted: Path) -> None:
    store = open_store(substituted)
    seen: dict[str, set[object]] = {"kind": set(), "strand": set(), "edge": set()}
    for gene, column, position, ref, alt, kind in drivers(store):
        contig, tss, strand = CONTIGS[GENES[gene].contig], GENES[gene].tss - 1, GENES[gene].strand
        middle = position - 1 + (kind in (INSERTION, DELETION))
        around = range(middle - 20, middle + 21)
        # No driver is at a TSS: what lies before it moves it.
        moved = len(alt) - len(ref) if position - 1 + len(ref) <= tss else 0
        changed = contig[: position - 1] + alt + contig[position - 1 + len(ref) :]
        expected = [plain_effects(contig, tss, strand, around), plain_effects(changed, tss + moved, strand, around)]
        found = store.read(ISM_WINDOW, (gene, column))
        assert found.shape == (2, 41, 4)
        np.testing.assert_allclose(found, expected, atol=2e-6)
        letter = "ACGT".index(contig[middle])
        assert np.isnan(found[0, 20]).tolist() == [base == letter for base in range(4)]
        seen["kind"].add(kind)
        seen["strand"].add(strand)
        seen["edge"].add(bool(np.isnan(found[0]).all(axis=1).any()))
    assert {INSERTION, DELETION} < seen["kind"]
    assert seen["strand"] == {"+", "-"}
    assert seen["edge"] == {False, True}, "some drivers are near an edge of the window"


def test_the_effect_of_the_driver_itself_is_its_ism(substituted: Path) -> None:
    store = open_store(substituted)
    snvs = [of for of in drivers(store) if len(of[3]) == len(of[4]) == 1]
    assert len(snvs) > 4
    for gene, column, _, ref, alt, _ in snvs:
        ism = store.read("attributions/cnn/ism", (gene, column))
        found = store.read(ISM_WINDOW, (gene, column))
        assert found[0, 20, "ACGT".index(alt)] == pytest.approx(ism, abs=1e-6)
        assert found[1, 20, "ACGT".index(ref)] == pytest.approx(-ism, abs=1e-6)


@pytest.mark.parametrize("gene", ALL)
def test_effects_around_the_tss_are_those_of_edited_windows(substituted: Path, gene: int) -> None:
    store = open_store(substituted)
    found = store.read(ISM_TSS, gene)
    tss = GENES[gene].tss - 1
    inside = range(tss - 110, tss + 111)
    expected = plain_effects(CONTIGS[GENES[gene].contig], tss, GENES[gene].strand, inside)
    np.testing.assert_allclose(found[1_000 - 110 : 1_000 + 111], expected, atol=2e-6)
    assert np.isnan(found[: 1_000 - 110]).all()
    assert np.isnan(found[1_000 + 111 :]).all()
    # Of the 200 bp some lie beyond the contig, or are N.
    beyond = {"GAMMA": 11, "BETA": 1}.get(GENES[gene].name, 0)
    assert (~np.isnan(found)).sum() == 3 * (200 - beyond)


def test_a_filled_store_is_as_its_schemas_say_and_chunks_are_those_of_drivers(substituted: Path) -> None:
    store = open_store(substituted)
    assert deviations(store.root) == []
    assert store.chunks_written(ISM_WINDOW) == {(gene, column, 0, 0, 0) for gene, column, *_ in drivers(store)}
    assert store.chunks_written(ISM_TSS) == {(gene, part, 0) for gene in ALL for part in range(23)}


@pytest.mark.parametrize(("stage", "array"), [(IsmWindow, ISM_WINDOW), (IsmTss, ISM_TSS)])
def test_only_a_lost_chunk_is_computed_again_and_is_the_same(
    copy: Store, substituted: Path, stage: Callable[..., OptionalStage], array: str
) -> None:
    lost = sorted(copy.chunks_written(array))[11]
    key = "/".join(map(str, ("c", *lost)))
    (Path(copy.url) / array / key).unlink()
    assert run_stage(copy, stage(MODEL), ALL) == 1
    assert (Path(copy.url) / array / key).read_bytes() == (substituted / array / key).read_bytes()
    assert run_stage(copy, stage(MODEL), ALL) == 0
    pending = stage(MODEL).pending(copy, [1, 2])
    assert pending.done == sum(gene in (1, 2) for gene, *_ in copy.chunks_written(array))
    assert "gene BETA (ENSG00000000012)" in stage(MODEL).describe(copy, (1, 4))


def test_a_new_driver_is_added_and_what_is_there_stays(copy: Store) -> None:
    gene, column = sorted(copy.chunks_written(ISM_WINDOW))[0][:2]
    ranks = np.flatnonzero(copy.read("statistics/cnn/driver_rank", gene)).tolist()
    call_drivers(copy, gene, [of for of in ranks if of != column])
    copy.delete(f"{ISM_WINDOW}/c/{gene}")
    assert run_stage(copy, IsmWindow(MODEL), ALL) == len(ranks) - 1
    before = copy.read(ISM_WINDOW, (gene, ranks[1]))
    call_drivers(copy, gene, [column])
    assert run_stage(copy, IsmWindow(MODEL), ALL) == 1
    np.testing.assert_array_equal(copy.read(ISM_WINDOW, (gene, ranks[1])), before)
    found = read_main_driver(copy, "cnn", gene)
    np.testing.assert_array_equal(found, copy.read(ISM_WINDOW, (gene, column, 0)))


def test_drivers_have_to_be_known(unfilled_copy: Store) -> None:
    stage = IsmWindow(MODEL)
    stage.prepare(unfilled_copy)
    unfilled_copy.delete("statistics/cnn/gene_values/c/2")
    with pytest.raises(MissingDataError, match=r"^statistics of gene GAMMA .* run pdstore fill statistics$"):
        stage.pending(unfilled_copy, ALL)
    assert stage.pending(unfilled_copy, [0, 1]).todo
    unfilled_copy.delete("statistics/cnn")
    with pytest.raises(MissingDataError, match=r"^statistics/cnn are not filled, .* run pdstore fill statistics$"):
        stage.prepare(unfilled_copy)


def test_another_readout_drops_what_was_read_out(copy: Store) -> None:
    assert set_readout(copy, "predictions/cnn", Readout("log2_sum"))
    assert copy.chunks_written(ISM_WINDOW), "the attributions still have the readout that it was read out with"
    assert set_readout(copy, "attributions/cnn", None)
    assert copy.chunks_written(ISM_WINDOW) == copy.chunks_written(ISM_TSS) == set()
    assert deviations(copy.root) == []
    run_stage(copy, IsmTss(MODEL), [0])
    assert copy.chunks_written(ISM_TSS)


def test_stages_are_filled_only_where_they_are_named() -> None:
    assert selected_stages([]) == list(STAGES)
    assert selected_stages(["ism_tss", "eqtl", "ism_window"]) == ["eqtl", "ism_window", "ism_tss"]
    with pytest.raises(UsageError, match=r"the stages are windows, .*, attention, gradient, ism_window, ism_tss$"):
        selected_stages(["ism"])


def test_a_model_of_dosages_has_no_bases(unfilled_copy: Store) -> None:
    with pytest.raises(UsageError, match="model predixcan reads no sequence: it has no stage ism_tss"):
        check_usable(unfilled_copy, replace(MODEL, name="predixcan"), ["ism_tss"], Cluster())


@pytest.mark.parametrize("stage", ["ism_window", "ism_tss"])
def test_a_plan_counts_what_is_to_do(unfilled_copy: Store, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (plan,) = plan_stages(unfilled_copy, MODEL, [stage], ALL, window_sizes(unfilled_copy, MODEL, ALL))
    of = OPTIONAL_STAGES[stage](MODEL)
    run_stage(unfilled_copy, of, [1])
    (rest,) = plan_stages(unfilled_copy, MODEL, [stage], ALL, window_sizes(unfilled_copy, MODEL, ALL))
    assert (rest.blocks + rest.done, plan.done) == (plan.blocks, 0)
    assert rest.done == of.pending(unfilled_copy, ALL).done > 0
    windows, predict = 0, substitutions.predict_in_batches

    def counted(model: object, given: NDArray[np.bool_], reference: object) -> object:
        nonlocal windows
        windows += len(given)
        return predict(model, given, reference)

    monkeypatch.setattr(substitutions, "predict_in_batches", counted)
    pending = of.pending(unfilled_copy, ALL)
    assert (rest.blocks, rest.units) == (len(pending.todo), sum(pending.sizes))
    assert run_stage(unfilled_copy, of, ALL) == rest.blocks
    # A plan knows of no N, and of no driver near an edge.
    assert windows <= rest.model_windows <= 1.25 * windows
    assert rest.bytes == rest.units * (16 if stage == "ism_tss" else 2 * 41 * 16)


def test_drivers_are_supposed_where_no_statistics_say_them(unfilled_copy: Store) -> None:
    sizes = window_sizes(unfilled_copy, MODEL, ALL)
    unfilled_copy.delete("statistics/cnn/gene_values/c/2")
    known = [of[0] for of in drivers(unfilled_copy) if of[0] != 2]
    (plan,) = plan_stages(unfilled_copy, MODEL, ["ism_window"], ALL, sizes)
    assert plan.blocks == len(known) + round(len(known) / 3)
    (plan,) = plan_stages(unfilled_copy, MODEL, ["ism_window"], [0, 0, 1], sizes, supposed_people=839)
    assert plan.blocks == 2 * known.count(0) + known.count(1)
    unfilled_copy.delete("statistics/cnn")
    (plan,) = plan_stages(unfilled_copy, MODEL, ["ism_window"], ALL, sizes)
    assert (plan.blocks, plan.model_windows) == (17, 17 * 248)


def test_status_counts_genes_whose_drivers_are_all_there(copy: Store) -> None:
    def of(array: str) -> tuple[int, str]:
        (found,) = (of for of in store_status(copy)["optional"] if of["array"] == array)
        assert found["bytes"] == copy.size_on_disk(array)
        return found["filled"], found["state"]

    assert of(ISM_WINDOW) == of(ISM_TSS) == (4, "filled")
    for array in (ISM_WINDOW, ISM_TSS):
        chunk = "/".join(map(str, sorted(copy.chunks_written(array))[0]))
        (Path(copy.url) / array / "c" / chunk).unlink()
        assert of(array) == (3, "partly filled")
    call_drivers(copy, 0, [])
    assert of(ISM_WINDOW) == (4, "filled"), "a gene without drivers has nothing to fill"
    copy.delete("statistics/cnn")
    assert of(ISM_WINDOW) == (0, "partly filled")
    assert [group["filled"] for group in store_status(copy)["groups"]] == [4, 4, 4, 4]
