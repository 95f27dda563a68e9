"""One gene's answer."""

import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pdstore
from pdstore.errors import MissingDataError, StoreError, UnknownGeneError, UsageError
from pdstore.query import filled_models, find_gene, query_gene
from pdstore.sources.simulate import SimulatedCohort
from pdstore.store import Store, open_store

HEAVY = ("torch", "dask", "distributed", "xarray", "pandas", "scipy", "sklearn")
CORRELATION = {
    "pearson_r",
    "p_value",
    "null_mean",
    "null_sd",
    "null_t",
    "null_p",
    "fdr",
    "empirical_p",
    "empirical_fdr",
    "ci_low",
    "ci_high",
    "status",
}
DRIVER = {
    "variant",
    "position",
    "distance_to_tss",
    "allele_frequency",
    "ism",
    "gradient_x_input",
    "eqtl_slope",
    "eqtl_p",
    "pearson_r_with_prediction",
    "driver_rank",
    "main",
    "support",
}


@pytest.fixture(scope="module")
def store(filled: Path) -> Store:
    return open_store(filled)


def test_the_answer_has_the_documented_shape(store: Store) -> None:
    for gene in store.read("genes/gene_name").tolist():
        answer = query_gene(store, gene)
        assert list(answer) == [
            "gene",
            "model",
            "n_samples",
            "correlation",
            "expression",
            "drivers",
            "support",
            "lead_eqtl",
            "withheld",
            "variants",
            "attention",
        ]
        assert set(answer["gene"]) == {"name", "id", "contig", "tss", "strand"}
        assert set(answer["correlation"]) == CORRELATION
        assert set(answer["support"]) == {"status", "supported", "unsupported", "fraction_supported"}
        assert all(set(driver) == DRIVER for driver in answer["drivers"] or [])
        assert sum(driver["main"] for driver in answer["drivers"] or []) == bool(answer["drivers"])


def write_statistic(store: Store, name: str, value: float) -> None:
    """Of the first gene: in the row of its block, and in the array over genes."""
    values = store.read("statistics/cnn/gene_values", 0)
    values[store.read("statistics/cnn/statistic_name").tolist().index(name)] = value
    store.write("statistics/cnn/gene_values", 0, values)
    store.write(f"statistics/cnn/{name}", 0, value)


def test_values_are_the_stores(store: Store) -> None:
    gene = find_gene(store, "GSTM3")
    answer = query_gene(store, "gstm3")
    assert answer["gene"]["tss"] == int(store.read("genes/gene_tss", gene))
    assert answer["n_samples"] == 40
    for field in ("pearson_r", "null_t", "fdr", "empirical_p"):
        assert answer["correlation"][field] == float(store.read(f"statistics/cnn/{field}", gene))


def test_a_driver_is_named_by_its_variant_and_supported_by_signs(store: Store) -> None:
    seen = 0
    for gene in store.read("genes/gene_name").tolist():
        answer = query_gene(store, gene)
        for driver in answer["drivers"] or []:
            contig, position, ref, alt = driver["variant"].split(":")
            assert (contig, int(position)) == (answer["gene"]["contig"], driver["position"])
            assert driver["distance_to_tss"] == driver["position"] - answer["gene"]["tss"]
            row = np.flatnonzero(
                (store.read("variants/position") == driver["position"]) & (store.read("variants/alt") == alt)
            )
            assert str(store.read("variants/ref", row[0])) == ref
            product = driver["ism"] * driver["eqtl_slope"]
            assert driver["support"] == (
                "supported" if product > 0 else "unsupported" if product < 0 else "undetermined"
            )
            seen += 1
    assert seen > 5


@pytest.mark.parametrize(
    ("fdr", "r", "status"),
    [
        (0.049, 0.3, "correlated"),
        (0.049, -0.3, "anticorrelated"),
        (0.05, 0.3, "not significant"),
        (math.nan, 0.3, None),
    ],
)
def test_the_status_follows_fdr_and_sign(
    filled: Path, tmp_path: Path, fdr: float, r: float, status: str | None
) -> None:
    store = open_store(shutil.copytree(filled, tmp_path / "copy.zarr"), "r+")
    store.write("statistics/cnn/fdr", 0, fdr)
    store.write("statistics/cnn/empirical_fdr", 0, 0.2)
    write_statistic(store, "pearson_r", r)
    gene = str(store.read("genes/gene_id", 0))
    assert query_gene(store, gene)["correlation"]["status"] == status
    assert query_gene(store, gene, fdr_kind="empirical")["correlation"]["status"] == "not significant"
    if status is not None:
        assert query_gene(store, gene, alpha=0.01)["correlation"]["status"] == "not significant"


def test_what_the_store_lacks_is_null(geuvadis: Path) -> None:
    store = open_store(geuvadis)
    answer = query_gene(store, "FKBP1A")
    assert answer["n_samples"] == 0
    assert {value for name, value in answer["correlation"].items()} == {None}
    assert all(
        driver["eqtl_slope"] is None and driver["support"] == "undetermined" for driver in answer["drivers"] or []
    )


def test_drivers_that_are_undefined_are_null_and_not_none(filled: Path, tmp_path: Path) -> None:
    store = open_store(shutil.copytree(filled, tmp_path / "copy.zarr"), "r+")
    write_statistic(store, "driver_count", -1)
    answer = query_gene(store, str(store.read("genes/gene_id", 0)))
    assert answer["drivers"] is None
    assert set(answer["support"].values()) == {None}
    assert answer["n_samples"] == 40


@pytest.mark.parametrize("alpha", [0.0, -1.0, 2.0, math.nan])
def test_an_impossible_alpha_is_refused(store: Store, alpha: float) -> None:
    with pytest.raises(UsageError, match="alpha is"):
        query_gene(store, "GSTM3", alpha=alpha)


@pytest.mark.parametrize("window", [None, 5, "../../../etc", "x" * 5000])
def test_attributes_of_a_hostile_store_are_not_followed(filled: Path, tmp_path: Path, window: object) -> None:
    store = open_store(shutil.copytree(filled, tmp_path / "copy.zarr"), "r+")
    store.group("predictions/cnn").attrs["window"] = window
    with pytest.raises(StoreError, match="names a window that the store does not hold"):
        query_gene(store, "GSTM3")
    store.group("predictions/cnn").attrs["order"] = "first"
    assert filled_models(store) == []


@pytest.mark.parametrize(
    "lost",
    ["genes/gene_tss", "genes/gene_name", "variants/position", "statistics/cnn/driver_rank", "attributions/cnn/ism"],
)
def test_a_lost_chunk_is_an_error_and_not_an_answer(filled: Path, tmp_path: Path, lost: str) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "copy.zarr"))
    shutil.rmtree(path / lost / "c")
    with pytest.raises(MissingDataError, match=f"{lost}/c/.* is not filled, or was lost"):
        query_gene(open_store(path), "DDX11")


def test_a_store_filled_in_part_answers_in_part(filled: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "copy.zarr"))
    shutil.rmtree(path / "statistics")
    answer = query_gene(open_store(path), "DDX11")
    assert answer["n_samples"] is None
    assert answer["drivers"] is None
    assert answer["support"]["status"] is None
    assert answer["correlation"]["status"] is None


def test_genes_go_by_symbol_in_any_case_and_by_id_with_or_without_version(geuvadis: Path) -> None:
    store = open_store(geuvadis)
    for name in ("SDCBP2-AS1", "sdcbp2-as1", "ENSG00000234684", "ENSG00000234684.7", "ensg00000234684"):
        assert find_gene(store, name) == 1


def test_an_unknown_gene_is_refused_with_the_closest(store: Store) -> None:
    with pytest.raises(UnknownGeneError, match=r"no gene 'GSTM4'.*GSTM3"):
        find_gene(store, "GSTM4")
    with pytest.raises(UnknownGeneError, match="none of its 24 genes has a similar name"):
        find_gene(store, "@@@@@@")


def test_a_symbol_that_several_genes_share_is_refused_with_their_ids(filled: Path, tmp_path: Path) -> None:
    store = open_store(shutil.copytree(filled, tmp_path / "copy.zarr"), "r+")
    ids = store.read("genes/gene_id").tolist()
    store.write("genes/gene_name", slice(0, 2), np.array(["TWIN", "TWIN"], dtype=object))
    with pytest.raises(UnknownGeneError, match=f"{ids[0]}, {ids[1]}"):
        find_gene(store, "twin")


def test_an_unfilled_store_and_an_unfilled_model_say_so(unfilled: Path, store: Store) -> None:
    with pytest.raises(MissingDataError, match="run pdstore fill"):
        query_gene(open_store(unfilled), "GSTM3")
    with pytest.raises(MissingDataError, match="'enformer'; it holds cnn"):
        query_gene(store, "GSTM3", model="enformer")


def test_of_several_models_the_first_filled_answers(filled: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "copy.zarr"))
    for group in ("predictions", "attributions", "statistics"):
        shutil.copytree(path / group / "cnn", path / group / "aaa")
    store = open_store(path, "r+")
    store.group("predictions/aaa").attrs["order"] = 1
    assert filled_models(store) == ["cnn", "aaa"]
    assert query_gene(store, "GSTM3")["model"] == "cnn"
    assert query_gene(store, "GSTM3", model="aaa")["model"] == "aaa"


def test_a_query_imports_nothing_heavy(filled: Path) -> None:
    program = """import sys
from pdstore_cli.main import run
try:
    run()
except SystemExit:
    print(*sys.modules, file=sys.stderr)
"""
    command = [sys.executable, "-c", program, "query", "GSTM3", "-s", str(filled)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    modules = {name.split(".")[0] for name in done.stderr.split()}
    assert "zarr" in modules
    assert "GSTM3" in done.stdout
    assert modules.isdisjoint(HEAVY)


def test_the_package_imports_nothing_heavy_and_offers_the_notebooks_names(
    filled: Path, cohort: SimulatedCohort
) -> None:
    program = "import sys, pdstore; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {name.split(".")[0] for name in done.stdout.split()}.isdisjoint({*HEAVY, "zarr", "numpy"})
    assert pdstore.query_gene(pdstore.open_store(filled), "GSTM3")["gene"]["name"] == "GSTM3"
    with pytest.raises(AttributeError):
        _ = pdstore.nonsense
