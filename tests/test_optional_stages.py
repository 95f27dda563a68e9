"""Arrays of which only some chunks are there, in stores that are merged, grown, cleared, compared and published."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builders import GENES, PEOPLE, expression_table, write_cohort, write_table
from filled_stores import WEIGHTS, chunks, made
from optional_stages import call_drivers, run_stage
from quiet import Quiet

from pdstore.add import NewGenes, NewPeople, add_genes, add_people
from pdstore.clear import clear, plan_clearing
from pdstore.compared_arrays import DIFFERS, MISSING_SECOND, SAME
from pdstore.diff import diff
from pdstore.errors import MissingDataError, ProvenanceError
from pdstore.figures.gene import GENE_PANELS, GeneSubject
from pdstore.figures.style import draw
from pdstore.merge import merge
from pdstore.models.registry import ModelReference
from pdstore.query import query_gene
from pdstore.schema import deviations
from pdstore.sharing.publish import publish
from pdstore.sharing.verify import verify
from pdstore.stages.ism_tss import IsmTss
from pdstore.stages.ism_window import IsmWindow
from pdstore.status import store_status
from pdstore.store import Store, open_store
from pdstore.whole import refuse_lost

Program = Callable[..., subprocess.CompletedProcess[str]]
Fill = Callable[..., None]

ISM_WINDOW, ISM_TSS = "attributions/cnn/ism_window", "attributions/cnn/ism_tss"


def sparse_chunks(store: Path) -> dict[str, bytes]:
    return {key: of for key, of in chunks(store).items() if key.startswith((f"{ISM_WINDOW}/", f"{ISM_TSS}/"))}


def fill_bases(path: Path, windows: list[int], tss: list[int]) -> Store:
    """Fill both stages of rows of genes/, for drivers that are called as such."""
    store = open_store(path, "r+")
    for gene in windows:
        call_drivers(store, gene)
    run_stage(store, IsmWindow(WEIGHTS), windows)
    run_stage(store, IsmTss(WEIGHTS), tss)
    return store


@pytest.fixture(scope="module")
def whole(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The builders' store with bases around drivers of three genes, and around two TSS: not to be written to."""
    path = Path(shutil.copytree(small, tmp_path_factory.mktemp("whole") / "store.zarr"))
    fill_bases(path, [0, 1, 2], [0, 3])
    return path


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy.zarr"))


def test_what_is_not_there_is_not_lost(whole: Path) -> None:
    store = open_store(whole)
    assert deviations(store.root) == []
    refuse_lost(store)
    filled = {of["array"]: (of["filled"], of["state"]) for of in store_status(store)["optional"]}
    no_driver = int(store.read("statistics/cnn/driver_count", 3) <= 0)
    assert filled == {
        ISM_WINDOW: (3 + no_driver, "filled" if no_driver else "partly filled"),
        ISM_TSS: (2, "partly filled"),
    }


# --- Merged, and grown ------------------------------------------------------------------------------------------------


def test_a_merge_takes_chunks_from_whoever_has_them(whole: Path, fill_now: Fill, tmp_path: Path) -> None:
    first = made(tmp_path / "first", fill_now, GENES[:3], rows=[0, 1])
    # In another order: of two of its genes nothing but bases is filled here.
    second = made(tmp_path / "second", fill_now, [GENES[3], GENES[2], GENES[0]], rows=[1])
    fill_bases(first, [0, 1], [])
    fill_bases(second, [1], [0, 2])
    third = made(tmp_path / "third", fill_now, GENES[3:])
    found = merge([str(first), str(third), str(second)], tmp_path / "out.zarr", Quiet())
    assert sparse_chunks(tmp_path / "out.zarr") == sparse_chunks(whole)
    store = open_store(tmp_path / "out.zarr")
    assert deviations(store.root) == []
    assert found.taken[f"genes of {ISM_WINDOW} from {first}"] == 2
    assert found.taken[f"genes of {ISM_TSS} from {second}"] == 2
    assert found.left_out == {}
    for array in (ISM_WINDOW, ISM_TSS):
        np.testing.assert_array_equal(store.read_if_filled(array), open_store(whole).read_if_filled(array))


@pytest.mark.parametrize("array", [ISM_WINDOW, ISM_TSS])
def test_chunks_of_both_have_to_hold_the_same(whole: Path, copy: Path, tmp_path: Path, array: str) -> None:
    merge([str(whole), str(copy)], tmp_path / "same.zarr", Quiet())
    assert sparse_chunks(tmp_path / "same.zarr") == sparse_chunks(whole)
    store = open_store(copy, "r+")
    gene, column, *_ = sorted(store.chunks_written(array))[-1]
    run = store.array(array).chunks[1]
    store.write(array, (gene, slice(column * run, (column + 1) * run)), 7)
    with pytest.raises(ProvenanceError, match=f"^{array} of gene {GENES[gene].name} .* holds other values in "):
        merge([str(whole), str(copy)], tmp_path / "out.zarr", Quiet())


def test_new_genes_leave_what_is_there(whole: Path, fill_now: Fill, tmp_path: Path) -> None:
    store = made(tmp_path / "few", fill_now, GENES[:2])
    fill_bases(store, [0, 1], [0])
    more = write_cohort(tmp_path / "more")
    add_genes(str(store), NewGenes(more.genes, more.expression, more.fasta), Quiet())
    assert deviations(open_store(store).root) == []
    fill_now(open_store(store, "r+"), WEIGHTS)
    fill_bases(store, [2], [3])
    assert sparse_chunks(store) == sparse_chunks(whole)


def test_new_people_leave_what_is_there(whole: Path, fill_now: Fill, tmp_path: Path) -> None:
    few = write_table(tmp_path / "few.tsv", expression_table(people=PEOPLE[:5]))
    store = made(tmp_path / "few", fill_now, expression=few)
    fill_bases(store, [0, 1, 2], [0, 3])
    more = write_cohort(tmp_path / "more")
    add_people(str(store), NewPeople(more.vcf, more.expression), Quiet())
    assert deviations(open_store(store).root) == []
    assert sparse_chunks(store) == sparse_chunks(whole)
    with pytest.raises(MissingDataError, match="statistics of gene ALPHA"):
        IsmWindow(WEIGHTS).pending(open_store(store), [0])


# --- Cleared ----------------------------------------------------------------------------------------------------------


def test_a_stage_is_cleared_and_nothing_else(whole: Path, copy: Path) -> None:
    clear(str(copy), plan_clearing(open_store(copy), None, ["ism_tss"]))
    assert open_store(copy).arrays("attributions/cnn") == [
        name for name in open_store(whole).arrays("attributions/cnn") if name != "ism_tss"
    ]
    assert chunks(copy) == {key: of for key, of in chunks(whole).items() if not key.startswith(ISM_TSS)}
    with pytest.raises(MissingDataError, match="holds nothing of ism_tss"):
        plan_clearing(open_store(copy), None, ["ism_tss"])


def test_genes_of_a_stage_are_cleared(whole: Path, copy: Path) -> None:
    clearing = plan_clearing(open_store(copy), "cnn", ["ism_window", "ism_tss"], ["ALPHA"])
    assert clearing.paths == [ISM_WINDOW, ISM_TSS]
    clear(str(copy), clearing)
    gone = (f"{ISM_WINDOW}/c/0/", f"{ISM_TSS}/c/0/")
    assert chunks(copy) == {key: of for key, of in chunks(whole).items() if not key.startswith(gone)}


def test_statistics_take_no_bases_along_but_attributions_do(whole: Path, copy: Path) -> None:
    clear(str(copy), plan_clearing(open_store(copy), None, ["statistics"], ["ALPHA"]))
    assert sparse_chunks(copy) == sparse_chunks(whole)
    clearing = plan_clearing(open_store(copy), None, ["attributions", "ism_window"], ["ALPHA"])
    assert (clearing.groups, clearing.arrays) == (["statistics/cnn", "attributions/cnn"], [])
    clear(str(copy), clearing)
    kept = {key: of for key, of in sparse_chunks(whole).items() if "/c/0/" not in key}
    assert sparse_chunks(copy) == kept


# --- Compared ---------------------------------------------------------------------------------------------------------


def test_stores_are_compared_where_either_has_chunks(whole: Path, copy: Path) -> None:
    assert diff(open_store(whole), open_store(copy)).is_empty
    store = open_store(copy, "r+")
    driver = next(chunk for chunk in sorted(store.chunks_written(ISM_WINDOW)) if chunk[0] == 1)
    values = store.read(ISM_WINDOW, driver[:2])
    values[1, 20] += 1
    store.write(ISM_WINDOW, driver[:2], values)
    store.delete(f"{ISM_TSS}/c/3")
    of = {array.path: array for array in diff(open_store(whole), store).arrays}
    assert of[ISM_WINDOW].kind.tolist() == [SAME, DIFFERS, SAME, SAME]
    assert of[ISM_TSS].kind.tolist() == [SAME, SAME, SAME, MISSING_SECOND]


def test_stores_of_other_genes_are_compared_by_variant(whole: Path, fill_now: Fill, tmp_path: Path) -> None:
    other = made(tmp_path / "other", fill_now, [GENES[2], GENES[0]])
    fill_bases(other, [0, 1], [1])
    found = {array.path: array for array in diff(open_store(whole), open_store(other)).arrays}
    assert found[ISM_WINDOW].kind.tolist() == found[ISM_TSS].kind.tolist() == [SAME, SAME]
    store = open_store(other, "r+")
    gene, column, *_ = sorted(store.chunks_written(ISM_WINDOW))[-1]
    store.write(ISM_WINDOW, (gene, column), store.read(ISM_WINDOW, (gene, column)) + 1)
    found = {array.path: array for array in diff(open_store(whole), store).arrays}
    assert found[ISM_WINDOW].kind.tolist() == [DIFFERS, SAME]


# --- Published, and shown ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulated(filled: Path, cnn: ModelReference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The simulated cohort with bases of the first genes with drivers, and of two TSS: not to be written to."""
    path = Path(shutil.copytree(filled, tmp_path_factory.mktemp("simulated") / "store.zarr"))
    store = open_store(path, "r+")
    run_stage(store, IsmWindow(cnn), np.flatnonzero(store.read("statistics/cnn/driver_count") > 0)[:3].tolist())
    stage = IsmTss(cnn)
    stage.prepare(store)
    for block in stage.pending(store, [0, 1]).todo[9:14]:
        stage.run(store, block)
    return path


def test_a_full_copy_has_every_chunk(whole: Path, tmp_path: Path) -> None:
    publish(str(whole), str(tmp_path / "full"), "full", Quiet(), individual_level=True)
    assert verify(tmp_path / "full").findings == []
    assert sparse_chunks(tmp_path / "full") == sparse_chunks(whole)


def test_a_summary_has_bases_around_shown_drivers_alone(simulated: Path, tmp_path: Path) -> None:
    publish(str(simulated), str(tmp_path / "summary"), "summary", Quiet())
    source, summary = open_store(simulated), open_store(tmp_path / "summary")
    assert deviations(summary.root) == []
    assert summary.chunks_written(ISM_TSS) == source.chunks_written(ISM_TSS)
    np.testing.assert_array_equal(summary.read_if_filled(ISM_TSS), source.read_if_filled(ISM_TSS))

    def windows(store: Store) -> dict[tuple[int, int], bytes]:
        (name,) = store.members("windows")
        start = store.read(f"windows/{name}/variant_start")
        return {
            (gene, int(store.read("variants/position", int(start[gene]) + column))): store.read(
                ISM_WINDOW, (gene, column)
            ).tobytes()
            for gene, column, *_ in store.chunks_written(ISM_WINDOW)
        }

    def drivers(store: Store, genes: set[int]) -> set[tuple[int, int]]:
        names = store.read("genes/gene_name").tolist()
        of = {gene: query_gene(store, names[gene])["drivers"] or [] for gene in genes}
        return {(gene, driver["position"]) for gene, found in of.items() for driver in found}

    held, shown = windows(source), windows(summary)
    genes = {gene for gene, _ in held}
    assert shown == {variant: held[variant] for variant in drivers(summary, genes)}
    assert 0 < len(shown) < len(held) == len(drivers(source, genes)), "some drivers are withheld"
    states = {of["array"]: of["filled"] for of in store_status(summary)["optional"]}
    assert states[ISM_TSS] == 0
    assert {group["group"]: group["filled"] for group in store_status(summary)["groups"]}["attributions/cnn"] == 24


def test_the_logo_of_a_gene_is_of_its_main_driver(simulated: Path) -> None:
    store = open_store(simulated)
    gene = min(store.chunks_written(ISM_WINDOW))[0]
    names = store.read("genes/gene_name").tolist()
    main = np.flatnonzero(store.read("statistics/cnn/driver_rank", gene) == 1)[0]
    effects = store.read(ISM_WINDOW, (gene, main, 0))
    logo = next(panel for panel in GENE_PANELS if panel.name == "logo")
    axes = draw(logo, GeneSubject.of(store, names[gene]), "a store").figure.axes[0]
    boxes = [patch.get_path().get_extents() for patch in axes.patches]
    scores = [-row[~np.isnan(row)].mean(dtype=np.float64) for row in effects if (~np.isnan(row)).any()]
    heights = [box.y1 if score > 0 else box.y0 for box, score in zip(boxes, scores, strict=True)]
    np.testing.assert_allclose(heights, scores, rtol=1e-4)
    other = names[next(row for row in range(24) if row not in {of[0] for of in store.chunks_written(ISM_WINDOW)})]
    with pytest.raises(MissingDataError, match=r"is not filled: run pdstore fill ism_window$"):
        draw(logo, GeneSubject.of(store, other), "a store")


def test_the_program_fills_shows_and_clears(
    filled: Path, cnn: ModelReference, pdstore: Program, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(filled, tmp_path / "store.zarr"))
    counts = open_store(store).read("statistics/cnn/driver_count")
    gene = int(np.flatnonzero(counts > 0)[0])
    name = open_store(store).read("genes/gene_name", gene)
    of_model = ("-s", store, "--model", "cnn", "--weights", cnn.weights, "--genes", name)
    planned = pdstore("fill", "ism_window", *of_model, "--dry-run", "--format", "json")
    (plan,) = json.loads(planned.stdout)["stages"]
    assert (plan["blocks"], plan["model_windows"]) == (counts[gene], 248 * counts[gene]), planned.stderr
    filling = pdstore("fill", "ism_window", *of_model)
    assert filling.stdout == f"ism_window: {counts[gene]} blocks computed, 0 were there\n", filling.stderr
    assert "attributions/cnn/ism_window" in pdstore("status", "-s", store).stdout
    assert "nothing to do: all" in pdstore("fill", *of_model).stdout, "a fill without a stage leaves it out"
    done = pdstore("clear", "ism_window", "-s", store, "--yes")
    assert done.stdout == "dropped attributions/cnn/ism_window\n", done.stderr
    assert diff(open_store(store), open_store(filled)).is_empty


def test_another_readout_is_filled_anew_and_what_it_drops_is_said(
    copy: Path, whole: Path, pdstore: Program, tmp_path: Path
) -> None:
    of_model = ("-s", copy, "--model", "cnn", "--weights", WEIGHTS.weights)
    done = pdstore("fill", "predictions", "ism_tss", *of_model, "--readout", "log2_sum")
    for array in (ISM_WINDOW, ISM_TSS):
        assert f"{array} was of another readout and is dropped; its stage takes the model again" in done.stderr
    assert "ism_tss: 92 blocks computed, 0 were there" in done.stdout
    assert open_store(copy).chunks_written(ISM_WINDOW) == set()
    assert (Path(copy) / ISM_TSS / "c/0/11/0").read_bytes() != (whole / ISM_TSS / "c/0/11/0").read_bytes()
