"""Published results as stores: asked with the same commands, and equal to what the articles say."""

import json
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray

from pdstore.errors import MissingDataError, StoreError
from pdstore.fill import fill
from pdstore.gene_table import gene_columns, summarise
from pdstore.import_tables import import_tables
from pdstore.models.registry import ModelReference
from pdstore.query import query_gene
from pdstore.schema import deviations
from pdstore.store import Store, open_store

Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def sasse(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sasse") / "sasse.zarr"
    import_tables(path, "sasse2023", shared_data / "sasse2023")
    return path


@pytest.fixture(scope="module")
def huang(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("huang") / "huang.zarr"
    import_tables(path, "huang2023", shared_data / "huang2023")
    return path


@pytest.fixture(scope="module")
def store(sasse: Path) -> Store:
    return open_store(sasse)


def test_gstm3_is_as_published(store: Store) -> None:
    answer = query_gene(store, "GSTM3")
    assert answer["correlation"]["pearson_r"] == -0.492
    assert answer["correlation"]["status"] == "anticorrelated"
    assert answer["n_samples"] is None
    found = {driver["position"]: (driver["support"], driver["main"]) for driver in answer["drivers"]}
    assert found == {
        109_741_163: ("unsupported", True),
        109_740_961: ("supported", False),
        109_740_350: ("unsupported", False),
    }
    main = answer["drivers"][0]
    assert main["variant"] == "1:109741163"
    assert (main["distance_to_tss"], main["ism"], main["eqtl_slope"]) == (125, -0.006, 0.380474)
    assert answer["support"] == {"status": "mixed", "supported": 1, "unsupported": 2, "fraction_supported": 1 / 3}
    # What the table lacks is null.
    assert {main[name] for name in ("allele_frequency", "eqtl_p", "gradient_x_input")} == {None}
    assert answer["correlation"]["empirical_p"] is None
    assert answer["lead_eqtl"] is None


def test_every_gene_and_driver_of_the_tables_is_there(store: Store) -> None:
    columns = gene_columns(store)
    assert len(columns["id"]) == 6_820
    assert int((~np.isnan(columns["pearson_r"])).sum()) == 6_808
    rank = store.read_if_filled("statistics/enformer/driver_rank")
    assert int((rank > 0).sum()) == 1_091
    assert int((rank == 1).sum()) == 251
    assert store.read("variants/position").shape == (1_089,)
    assert int((columns["driver_count"] > 0).sum()) == 251


def test_what_the_article_says_follows_from_the_store(store: Store) -> None:
    columns = gene_columns(store)
    summary = summarise(columns)
    assert (summary.significant, summary.anticorrelated) == (599, 195)
    assert summary.mean_r == pytest.approx(0.01, abs=0.005)
    assert summary.supported_correlated == pytest.approx(0.939, abs=5e-4)
    assert summary.supported_anticorrelated == pytest.approx(0.055, abs=5e-4)
    with_drivers = columns["driver_count"] > 0
    assert int((columns["pearson_r"][with_drivers] > 0.2).sum()) == 164
    assert int((columns["pearson_r"][with_drivers] < -0.2).sum()) == 87


def test_the_main_driver_has_the_largest_increment(store: Store) -> None:
    rank = store.read_if_filled("statistics/enformer/driver_rank")
    increment = np.where(rank > 0, store.read_if_filled("statistics/enformer/driver_increment"), -np.inf)
    genes = np.flatnonzero((rank > 0).any(axis=1))
    assert len(genes) == 251
    main = np.argmax(rank == 1, axis=1)[genes]
    np.testing.assert_array_equal(increment[genes, main], increment[genes].max(axis=1))


def test_support_of_all_drivers_is_as_our_rule_has_it(store: Store) -> None:
    names = store.read("genes/gene_id")
    genes = np.flatnonzero(gene_columns(store)["driver_count"] > 0)
    words = [driver["support"] for gene in genes for driver in query_gene(store, names[gene])["drivers"]]
    assert {word: words.count(word) for word in set(words)} == {
        "supported": 687,
        "unsupported": 393,
        "undetermined": 11,
    }


def test_the_other_predictions_of_the_table_are_models_too(store: Store) -> None:
    tuned = query_gene(store, "GSTM3", "enformer-finetuned")
    assert tuned["correlation"]["pearson_r"] == -0.536
    assert tuned["correlation"]["status"] is None
    assert tuned["drivers"] is None
    assert query_gene(store, "GSTM3", "predixcan")["correlation"]["pearson_r"] == 0.833203


def test_a_summary_is_as_its_schemas_say_and_holds_no_person(sasse: Path, huang: Path) -> None:
    for path in (sasse, huang):
        store = open_store(path)
        assert deviations(store.root) == []
        assert store.is_summary
        assert not {"genotypes", "expression"} & set(store.root.group_keys())
        assert set(xarray.open_datatree(path, engine="zarr", consolidated=False, zarr_format=3).groups) > {"/genes"}


def test_people_in_a_summary_are_a_deviation(sasse: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(sasse, tmp_path / "copy.zarr"))
    store = open_store(path, "r+")
    others = ("residual", "covariates", "covariate_name")
    store.create_group("expression", {"genes": 6_820, "samples": 2}, {}, without=others)
    assert deviations(store.root) == ["expression/observed: is of people, but the store is a summary"]


def test_huang_has_reference_predictions_and_lead_eqtls(huang: Path) -> None:
    store = open_store(huang)
    answer = query_gene(store, "sdcbp2", "xpresso")
    assert answer["expression"]["reference_prediction"] == pytest.approx(-0.9149, abs=5e-5)
    assert answer["correlation"]["pearson_r"] is None
    assert answer["lead_eqtl"] == {
        "distance": 4162.0,
        "minor_allele_frequency": 0.4365,
        "pearson_r": pytest.approx(-0.25037, abs=1e-5),
        "p_value": pytest.approx(10**-6.011023),
    }
    assert query_gene(store, "SDCBP2-AS1")["lead_eqtl"] is None
    names, ids = store.read("genes/gene_name"), store.read("genes/gene_id")
    assert len(names) == 3_259
    assert int((names == ids).sum()) == 108
    assert not np.isnan(gene_columns(store, "basenji2")["reference_prediction"]).any()


def test_nothing_can_be_filled_in_a_summary(sasse: Path) -> None:
    class Silent:
        def waiting(self, what: str) -> None: ...
        def step_begins(self, name: str, unit: str, blocks: int, units: int, done: int) -> None: ...
        def block_done(self, units: int, worked: bool) -> None: ...
        def step_ends(self) -> None: ...

    with pytest.raises(MissingDataError, match="is a summary: people's genotypes"):
        fill(str(sasse), ModelReference("enformer", None), Silent(), ["windows"])


def test_the_commands_of_the_readme(shared_data: Path, pdstore: Program, tmp_path: Path) -> None:
    path = tmp_path / "sasse.zarr"
    made = pdstore("import", "sasse2023", shared_data / "sasse2023", "-s", path)
    assert made.returncode == 0, made.stderr
    assert "6,820 genes" in made.stderr
    asked = pdstore("query", "GSTM3", "-s", path)
    assert "R = -0.492: anticorrelated" in asked.stdout
    assert "mixed: 1 of the drivers supported, 2 unsupported" in asked.stdout
    table = pdstore("genes", "-s", path, "--status", "anticorrelated", "--top", "10").stdout
    assert "GSTM3" in table
    assert "195 of 6,820 genes, 10 shown" in table
    assert "599 significant, 195 of them (33%) anticorrelated" in table
    status = pdstore("status", "-s", path, "--format", "json")
    found = json.loads(status.stdout)
    assert (found["level"], found["people"], found["genes"], found["variants"]) == ("summary", 0, 6_820, 1_089)
    assert {group["group"]: group["filled"] for group in found["groups"]}["attributions/enformer"] == 251
    assert pdstore("validate", "-s", path).returncode == 0
    again = pdstore("import", "sasse2023", shared_data / "sasse2023", "-s", path)
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_a_refused_import_leaves_nothing(shared_data: Path, pdstore: Program, tmp_path: Path) -> None:
    refused = pdstore("import", "huang2023", shared_data / "sasse2023", "-s", tmp_path / "x.zarr")
    assert refused.returncode == 2
    assert "gene_list.csv: no such file" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match="no folder"):
        import_tables(tmp_path / "no" / "x.zarr", "sasse2023", shared_data / "sasse2023")


def test_null_of_json_is_what_the_table_lacks(sasse: Path, pdstore: Program) -> None:
    answer = json.loads(pdstore("query", "DPM1", "-s", sasse, "-f", "json").stdout)
    assert answer["drivers"] is None
    assert answer["correlation"]["fdr"] == pytest.approx(10**-0.726)
    assert not any(isinstance(value, float) and math.isnan(value) for value in answer["correlation"].values())
