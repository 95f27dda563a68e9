"""The stage gradient: filled where it is named, right on both strands, gone with the readout."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from numpy.typing import NDArray

from pdstore.errors import MissingDataError, UsageError
from pdstore.fill import OPTIONAL_STAGES, STAGES, selected_stages, steps
from pdstore.haplotypes.build import haplotype_windows
from pdstore.models.enformer_network import random_network, save_network
from pdstore.models.enformer_weights import EnformerSizes
from pdstore.models.protocol import ModelOptions, input_gradient, predict_in_batches
from pdstore.models.registry import ModelReference
from pdstore.plan import plan_stages, window_sizes
from pdstore.query import query_gene
from pdstore.schema import deviations
from pdstore.sources.variants import SNV
from pdstore.stages.gene_window import read_gene_window, read_reference_window
from pdstore.stages.gradients import Gradients
from pdstore.stages.predictions import Predictions
from pdstore.stages.readouts import Readout, set_readout, stored_readout
from pdstore.stages.windows import Windows
from pdstore.store import Store, open_store

Fill = Callable[..., None]
Program = Callable[..., CompletedProcess[str]]

GENES = [0, 1, 2]


def fill_gradients(store: Store, model: ModelReference, genes: list[int]) -> int:
    """What `fill gradient` does, in this process; gives how many blocks there were to do."""
    (step,) = steps(model, "gradient")
    step.prepare(store)
    set_readout(store, step.group, None)
    todo = step.pending(store, genes).todo
    for block in todo:
        step.run(store, block)
    return len(todo)


@pytest.fixture(scope="module")
def with_gradient(filled: Path, cnn: ModelReference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The filled store of the simulated cohort, with gradients of three genes: not to be written to."""
    path = Path(shutil.copytree(filled, tmp_path_factory.mktemp("gradient") / "store.zarr"))
    assert fill_gradients(open_store(path, "r+"), cnn, GENES) == len(GENES)
    return path


@pytest.fixture
def path(with_gradient: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(with_gradient, tmp_path / "store.zarr"))


def alone(
    store: Store, model: ModelReference, gene: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int8]]:
    """Columns of the scored alleles of a gene, the window with each of them alone, and their kinds."""
    window = read_gene_window(store, model.window, gene)
    rows = np.flatnonzero(window.scored)
    chosen = np.zeros((len(rows), len(window.columns)), dtype=bool)
    chosen[np.arange(len(rows)), rows] = True
    columns = window.columns[rows]
    return columns, haplotype_windows(model.window, window.stretch, window.alleles, chosen), window.kind[columns]


def assert_right(store: Store, model: ModelReference, gene: int) -> None:
    """Held against windows with one allele each, which are made by other code, and against the model's own gradient."""
    group = f"attributions/{model.label}"
    reference = read_reference_window(store, model.window, gene)
    loaded = model.load()
    tracks = predict_in_batches(loaded, reference[None], reference)[0]
    gradient = store.read(f"{group}/gradient", gene)
    expected = input_gradient(loaded, reference, stored_readout(store, group).gradient(tracks))
    assert gradient.dtype == np.float32
    np.testing.assert_array_equal(gradient, expected)
    assert np.abs(gradient).max() > 0
    effects = store.read(f"{group}/gradient_x_input", gene)
    columns, windows, kinds = alone(store, model, gene)
    is_snv = kinds == SNV
    assert is_snv.any()
    change = windows.astype(np.float64) - reference
    by_window = np.einsum("vpn,pn->v", change, gradient.astype(np.float64))
    np.testing.assert_allclose(effects[columns[is_snv]], by_window[is_snv], rtol=1e-12, atol=1e-15)
    assert np.isnan(np.delete(effects, columns[is_snv])).all()


def test_effects_are_right_on_both_strands(with_gradient: Path, cnn: ModelReference) -> None:
    store = open_store(with_gradient)
    strands = store.read("genes/gene_strand").tolist()
    assert {strands[gene] for gene in GENES} == {"+", "-"}
    assert cnn.window.strand == "gene"
    for gene in GENES:
        assert_right(store, cnn, gene)
    assert deviations(store.root) == []


def test_with_all_variants_other_alleles_have_none(
    unfilled: Path, cnn: ModelReference, tmp_path: Path, fill_now: Fill
) -> None:
    model = replace(cnn, variants="all", label="indels")
    store = open_store(shutil.copytree(unfilled, tmp_path / "store.zarr"), "r+")
    fill_now(store, model, [0, 1])
    fill_gradients(store, model, [0, 1])
    for gene in (0, 1):
        assert_right(store, model, gene)


def test_small_windows_of_real_kinds_of_alleles(small: Path, tmp_path: Path, fill_now: Fill) -> None:
    # The builders' four genes: SNVs, indels, MNVs and symbolic alleles, on both strands.
    path = Path(shutil.copytree(small, tmp_path / "store.zarr"))
    store = open_store(path, "r+")
    model = ModelReference("cnn", Path(__file__).parents[1] / "stores" / "cnn.safetensors", variants="all", label="all")
    fill_now(store, model)
    rows = list(range(store.array("genes/gene_tss").shape[0]))
    fill_gradients(store, model, rows)
    kinds = set()
    for gene in rows:
        columns, _, of_alleles = alone(store, model, gene)
        kinds |= set(of_alleles.tolist())
        if (of_alleles == SNV).any():
            assert_right_effects_only(store, model, gene)
        else:
            assert np.isnan(store.read("attributions/all/gradient_x_input", gene)).all(), columns
    assert len(kinds) > 1


def assert_right_effects_only(store: Store, model: ModelReference, gene: int) -> None:
    gradient = store.read(f"attributions/{model.label}/gradient", gene).astype(np.float64)
    columns, windows, kinds = alone(store, model, gene)
    change = windows[kinds == SNV].astype(np.float64) - read_reference_window(store, model.window, gene)
    found = store.read(f"attributions/{model.label}/gradient_x_input", gene)
    np.testing.assert_allclose(
        found[columns[kinds == SNV]], np.einsum("vpn,pn->v", change, gradient), rtol=1e-12, atol=1e-15
    )
    assert np.isnan(np.delete(found, columns[kinds == SNV])).all()


# --- As a stage ------------------------------------------------------------------------------------------------------


def test_it_is_filled_only_where_it_is_named() -> None:
    assert selected_stages([]) == list(STAGES)
    assert "gradient" in OPTIONAL_STAGES
    assert selected_stages(["gradient", "windows"]) == ["windows", "gradient"]
    with pytest.raises(UsageError, match=r"there is no stage 'grad': the stages are windows, .*, gradient"):
        selected_stages(["grad"])


def test_what_is_filled_is_not_computed_again(path: Path, cnn: ModelReference) -> None:
    store = open_store(path, "r+")
    assert fill_gradients(store, cnn, GENES) == 0
    assert fill_gradients(store, cnn, [0, 5]) == 1
    shutil.rmtree(path / "attributions" / "cnn" / "gradient_x_input" / "c" / "1")
    assert fill_gradients(store, cnn, [*GENES, 5]) == 1


def test_it_needs_no_other_attributions_and_is_the_same_after_them(
    with_gradient: Path, unfilled: Path, cnn: ModelReference, tmp_path: Path, fill_now: Fill
) -> None:
    path = Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))
    store = open_store(path, "r+")
    with pytest.raises(MissingDataError, match=r"has no windows .*: run pdstore fill windows first"):
        fill_gradients(store, cnn, GENES)
    windows = Windows(cnn.window)
    windows.prepare(store)
    for gene in GENES[:2]:
        windows.run(store, (gene,))
    windows.gather(store)
    with pytest.raises(MissingDataError, match=r"windows of gene .* are not filled: run pdstore fill windows"):
        fill_gradients(store, cnn, GENES)
    assert fill_gradients(store, cnn, GENES[:2]) == 2
    assert deviations(store.root) == []
    fill_now(store, cnn, GENES)
    before = open_store(with_gradient)
    for name in ("gradient", "gradient_x_input"):
        for gene in GENES[:2]:
            expected = before.read(f"attributions/cnn/{name}", gene)
            assert store.read(f"attributions/cnn/{name}", gene).tobytes() == expected.tobytes()
    assert deviations(store.root) == []


def test_queries_show_it_and_null_of_genes_without(with_gradient: Path, filled: Path) -> None:
    store = open_store(with_gradient)
    names = store.read("genes/gene_name").tolist()
    with_it = query_gene(store, names[0], all_variants=True)["variants"]
    assert all(isinstance(variant["gradient_x_input"], float) for variant in with_it)
    effects = store.read("attributions/cnn/gradient_x_input", 0)
    assert {variant["gradient_x_input"] for variant in with_it} == set(effects[~np.isnan(effects)].tolist())
    for of, name in ((store, names[5]), (open_store(filled), names[0])):
        variants = query_gene(of, name, all_variants=True)["variants"]
        assert variants
        assert {variant["gradient_x_input"] for variant in variants} == {None}


def test_a_change_of_the_readout_deletes_it(path: Path) -> None:
    store = open_store(path, "r+")
    assert set_readout(store, "predictions/cnn", Readout("sum_log"))
    assert store.chunks_written("attributions/cnn/gradient")
    assert set_readout(store, "attributions/cnn", None)
    for name in ("gradient", "gradient_x_input"):
        assert store.chunks_written(f"attributions/cnn/{name}") == set()
    assert deviations(store.root) == []


@pytest.mark.parametrize("readout", ["sum_log", "log2_sum"])
def test_enformer_with_a_readout_that_is_not_linear(unfilled: Path, tmp_path: Path, readout: str) -> None:
    sizes = EnformerSizes(
        dim=48,
        depth=1,
        heads=2,
        attn_dim_key=8,
        dim_divisible_by=8,
        target_length=8,
        sequence_length=2_048,
        output_heads={"human": 2},
        use_tf_gamma=False,
    )
    save_network(random_network(sizes, False, seed=1), sizes, tmp_path / "weights")
    model = ModelReference("enformer", tmp_path / "weights", options=ModelOptions(tracks="all"))
    store = open_store(shutil.copytree(unfilled, tmp_path / "store.zarr"), "r+")
    windows = Windows(model.window)
    windows.prepare(store)
    windows.run(store, (1,))
    windows.gather(store)
    Predictions(model).prepare(store)
    set_readout(store, "predictions/enformer", Readout(readout))
    fill_gradients(store, model, [1])
    assert store.group("attributions/enformer").attrs["readout"] == readout
    assert_right(store, model, 1)
    # First-order effects against whole forward passes, where a base changes little.
    reference = read_reference_window(store, model.window, 1)
    loaded, of_group = model.load(), stored_readout(store, "attributions/enformer")
    columns, snvs, _ = alone(store, model, 1)
    tracks = predict_in_batches(loaded, np.concatenate([reference[None], snvs]), reference)
    values = of_group.of(tracks)
    effects = store.read("attributions/enformer/gradient_x_input", 1)[columns]
    assert np.corrcoef(values[1:] - values[0], effects)[0, 1] > 0.5


# --- What is refused -------------------------------------------------------------------------------------------------


def test_models_without_gradients_and_bfloat16_are_refused_before_anything_is_filled(
    filled: Path, cnn: ModelReference, pdstore: Program
) -> None:
    with pytest.raises(UsageError, match="model predixcan gives no gradients: leave the stage gradient out"):
        ModelReference("predixcan", None).require_gradient()
    with pytest.raises(UsageError, match="gradients have no --precision bf16"):
        Gradients(ModelReference("enformer", None, options=ModelOptions(precision="bf16"))).prepare(open_store(filled))
    done = pdstore("fill", "gradient", "-s", filled, "--model", "predixcan", "--weights", cnn.weights)
    assert done.returncode == 2
    assert done.stderr.strip() == "pdstore: error: model predixcan reads no sequence: it has no stage gradient"


def test_a_dry_run_counts_it(with_gradient: Path, filled: Path, cnn: ModelReference) -> None:
    for path, done in ((with_gradient, len(GENES)), (filled, 0)):
        store = open_store(path)
        rows = list(range(6))
        (plan,) = plan_stages(store, cnn, ["gradient"], rows, window_sizes(store, cnn, rows))
        assert (plan.stage, plan.unit, plan.blocks, plan.done) == ("gradient", "genes", 6 - done, done)
        assert plan.model_windows == 3 * plan.blocks
        widest = int(store.read(f"windows/{cnn.window.name}/variant_count")[rows].max())
        assert plan.bytes == plan.blocks * (16 * cnn.window.length + 8 * widest)


def test_the_program_fills_it(filled: Path, cnn: ModelReference, pdstore: Program, tmp_path: Path) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "store.zarr"))
    options = ("-s", path, "--model", "cnn", "--weights", cnn.weights, "--genes", "GSTM3")
    done = pdstore("fill", "gradient", *options)
    assert done.returncode == 0, done.stderr
    assert "gradient: 1 blocks computed, 0 were there" in done.stdout
    again = pdstore("fill", "gradient", *options)
    assert "nothing to do" in again.stdout
    dry = pdstore("fill", "gradient", *options, "--dry-run", "--format", "csv")
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout.splitlines()[1].startswith("stages,gradient,genes,0,1,0,0,0,")
