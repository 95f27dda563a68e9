"""PrediXcan: a PredictDB file, from SQLite to the statistics."""

import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import builders
import numpy as np
import pytest
from builders import RECORDS, Record

from pdstore.errors import ModelError, PdstoreError, ProvenanceError, UsageError
from pdstore.fill import fill, steps
from pdstore.init import init_store
from pdstore.models.predixcan import COUNTS
from pdstore.models.registry import ModelReference
from pdstore.query import query_gene
from pdstore.schema import deviations
from pdstore.status import store_status
from pdstore.store import Store, open_store

Weight = tuple[str, str, str, str, object]

WEIGHTS: list[Weight] = [
    ("ENSG00000000011.4", "1_20_A_G_b37", "A", "G", 0.5),
    ("ENSG00000000011.4", "1_50_C_T_b37", "T", "C", 0.25),  # swapped: of the reference allele
    ("ENSG00000000011.4", "1_80_ATG_ACG_b37", "ATG", "ACG", -2.0),  # an SNV, when trimmed
    ("ENSG00000000011.4", "1_100_TGC_T_b37", "TGC", "T", 8.0),  # a deletion: applied with all variants alone
    ("ENSG00000000011.4", "1_20_A_C_b37", "A", "C", 16.0),  # other alleles than the store's
    ("ENSG00000000011.4", "1_21_A_G_b37", "A", "G", 32.0),  # nobody's
    ("ENSG00000000021.1", "2_10_C_G_b37", "C", "G", 3.0),  # palindromic and swapped
    ("ENSG00000000021.1", "2_120_C_A_b37", "C", "A", -1.0),
    ("ENSG00000000022.1", "2_10_C_G_b37", "C", "G", 3.0),  # nothing else: no prediction
    ("ENSG00000099999.1", "2_10_G_C_b37", "G", "C", 3.0),  # a gene that the store has not
]


def write_predictdb(path: Path, weights: Iterable[Weight] = WEIGHTS, columns: str = "") -> Path:
    """The two documented tables."""
    columns = columns or "rsid TEXT, gene TEXT, weight REAL, varID TEXT, ref_allele TEXT, eff_allele TEXT"
    names = ", ".join(column.split()[0] for column in columns.split(", "))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"CREATE TABLE weights ({columns})")
        database.execute("CREATE TABLE extra (gene TEXT, genename TEXT, `n.snps.in.model` INTEGER)")
        database.executemany(
            f"INSERT INTO weights ({names}) VALUES (?, ?, ?, ?, ?, ?)",
            [(f"rs{row}", gene, weight, name, ref, alt) for row, (gene, name, ref, alt, weight) in enumerate(weights)],
        )
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predixcan")
    init_store(folder / "cohort.zarr", builders.write_cohort(folder / "cohort", genome_build="GRCh37"))
    return folder / "cohort.zarr"


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "cohort.zarr"))


def dosage(record: Record, allele: str = "1") -> np.ndarray:
    """Copies of an allele in each person, from the text of a VCF's line."""
    return np.array([call.replace("|", "/").split("/").count(allele) for call in record.calls.split()], dtype=float)


def fill_predixcan(
    fill_now: Callable[..., None], store: Path, weights: Path, **options: str
) -> tuple[Store, ModelReference]:
    model = ModelReference("predixcan", weights, **options)
    opened = open_store(store, "r+")
    fill_now(opened, model)
    return opened, model


def test_predictions_are_weighted_dosages_of_the_effect_alleles(
    store: Path, tmp_path: Path, fill_now: Callable[..., None]
) -> None:
    opened, _ = fill_predixcan(fill_now, store, write_predictdb(tmp_path / "x.db"))
    predicted = opened.read("predictions/predixcan/expression")
    # The second is a weight of the reference, where some have a third allele.
    of_alpha = 0.5 * dosage(RECORDS[0]) + 0.25 * dosage(RECORDS[1], "0") - 2.0 * dosage(RECORDS[2])
    np.testing.assert_allclose(predicted[0], of_alpha)
    np.testing.assert_allclose(predicted[2], -1.0 * dosage(RECORDS[9]))
    # BETA has no weights, and none of DELTA's is usable: no prediction, and not 0.
    assert np.isnan(predicted[[1, 3]]).all()


def test_what_became_of_every_weight_is_counted(store: Path, tmp_path: Path, fill_now: Callable[..., None]) -> None:
    opened, _ = fill_predixcan(fill_now, store, write_predictdb(tmp_path / "x.db"))
    # Weights, found, swapped, palindromic, other alleles, absent.
    found = opened.read("predictions/predixcan/gene_counts").tolist()
    assert found == [[6, 3, 1, 0, 1, 2], [0] * 6, [2, 1, 0, 1, 0, 0], [1, 0, 0, 1, 0, 0]]
    counts = next(g for g in store_status(opened)["groups"] if g["group"] == "predictions/predixcan")["counts"]
    assert counts == dict(zip(COUNTS, [9, 4, 1, 2, 1, 2], strict=True))


def test_all_variants_find_the_indels_weight_too(store: Path, tmp_path: Path, fill_now: Callable[..., None]) -> None:
    weights = write_predictdb(tmp_path / "x.db")
    snvs, _ = fill_predixcan(fill_now, store, weights)
    predicted = snvs.read("predictions/predixcan/expression", 0)
    both, _ = fill_predixcan(fill_now, store, weights, variants="all", label="all")
    np.testing.assert_allclose(both.read("predictions/all/expression", 0), predicted + 8.0 * dosage(RECORDS[3]))


def test_the_effect_of_an_allele_is_its_weight_and_the_rest_of_the_store_answers(
    store: Path, tmp_path: Path, fill_now: Callable[..., None]
) -> None:
    opened, _ = fill_predixcan(fill_now, store, write_predictdb(tmp_path / "x.db"))
    ism = opened.read("attributions/predixcan/ism", 0)
    assert sorted(ism[~np.isnan(ism)].tolist()) == [-2.0, -0.25, -0.25, 0.5]
    assert deviations(opened.root) == []
    # Linear: the sum of effects x dosage is the prediction, up to a constant.
    assert opened.read("statistics/predixcan/linear_approximation_r")[0] == pytest.approx(1.0)
    assert np.isnan(opened.read("statistics/predixcan/reference_prediction")[0])
    answer = query_gene(opened, "ALPHA")
    observed = [builders.expression_of(0, person) for person in range(6)]
    assert answer["correlation"]["pearson_r"] == pytest.approx(
        np.corrcoef(opened.read("predictions/predixcan/expression", 0), observed)[0, 1]
    )


def test_no_window_is_built(store: Path, tmp_path: Path, fill_now: Callable[..., None]) -> None:
    opened, model = fill_predixcan(fill_now, store, write_predictdb(tmp_path / "x.db"))
    assert opened.chunks_written(f"windows/{model.window.name}/haplotype_onehot") == set()
    group = next(g for g in store_status(opened)["groups"] if g["group"] == f"windows/{model.window.name}")
    assert group["state"] == "in place"


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (
            [("ENSG00000000011", "1_20_A_G_b38", "A", "G", 1.0)],
            ProvenanceError,
            "of GRCh38, but the store is of GRCh37",
        ),
        ([("ENSG00000000011", "1_21_A_G", "A", "G", 1.0)], ModelError, "none of the variants .* GRCh37"),
        (
            [("ENSG00000000011", "2_10_C_G", "C", "G", 1.0)],
            ModelError,
            "none of the variants",
        ),
        (
            [("ENSG00000000011", "1_20_A_G", "A", "G", 1.0), ("ENSG00000000011", "1_20_G_A", "G", "A", 1.0)],
            ModelError,
            "two weights of '1_20_G_A'",
        ),
        (
            [("ENSG00000000011.1", "1_20_A_G", "A", "G", 1.0), ("ENSG00000000011.2", "1_50_C_T", "C", "T", 1.0)],
            ModelError,
            "two versions",
        ),
        ([("ENSG00000000011", "1_20_A_G", "A", "G", 1.7e308)], ModelError, "no finite number"),
        ([("ENSG7", "1_20_A_G", "A", "G", 1.0)], ModelError, "none of the store's 4 genes"),
        ([("ENSG00000000011", "rs7", "A", "G", 1.0)], ModelError, "varID 'rs7' that names no position"),
        ([("ENSG00000000011", "1_20_A_G", "A", "G", None)], ModelError, "'None', which is no finite number"),
        ([("ENSG00000000011", "1_20_A_G", "A", "G", "much")], ModelError, "'much', which is no finite number"),
        (
            [("ENSG00000000011", "1_20_A_G_b37", "A", "G", 1.0), ("ENSG00000000011", "1_50_C_T_b38", "C", "T", 1.0)],
            ModelError,
            "two genome builds",
        ),
    ],
)
def test_a_file_that_cannot_be_of_this_store_is_refused_before_anything_is_written(
    store: Path, tmp_path: Path, weights: list[Weight], error: type[PdstoreError], message: str
) -> None:
    model = ModelReference("predixcan", write_predictdb(tmp_path / "x.db", weights))
    opened = open_store(store, "r+")
    steps(model, "windows")[0].prepare(opened)
    with pytest.raises(error, match=message):
        steps(model, "predictions")[0].prepare(opened)
    assert opened.members("predictions") == []


def test_no_predictdb_file(store: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("no database\n" * 100)
    other = write_predictdb(tmp_path / "other.db", columns="rsid, gene, weight, variant, ref_allele, eff_allele")
    empty = tmp_path / "empty.db"
    sqlite3.connect(empty).close()
    endless = tmp_path / "endless.db"
    with closing(sqlite3.connect(endless)) as database, database:
        database.execute(
            "CREATE VIEW weights AS WITH RECURSIVE n(gene) AS (SELECT 1 UNION ALL SELECT gene + 1 FROM n) "
            "SELECT * FROM n"
        )
    for path, message in (
        (endless, "no table 'weights'"),
        (text, "no PredictDB file"),
        (other, "no column 'varID'"),
        (empty, "no table 'weights'"),
    ):
        with pytest.raises(ModelError, match=message):
            ModelReference("predixcan", path).load_dosage_model()


def test_options_of_sequences_are_not_its_own(store: Path, tmp_path: Path) -> None:
    model = ModelReference("predixcan", write_predictdb(tmp_path / "x.db"))
    with pytest.raises(UsageError, match="predixcan has no tracks to read out"):
        fill(str(store), model, observer=None, readout="sum")  # type: ignore[arg-type]


def test_the_store_may_name_its_build_otherwise(made: Path, tmp_path: Path, fill_now: Callable[..., None]) -> None:
    path = Path(shutil.copytree(made, tmp_path / "hg19.zarr"))
    open_store(path, "r+").set_attribute("", "genome_build", "hg19")
    opened, _ = fill_predixcan(fill_now, path, write_predictdb(tmp_path / "x.db"))
    assert not np.isnan(opened.read("predictions/predixcan/expression", 0)).any()
    open_store(path, "r+").set_attribute("", "genome_build", "hg38")
    other = ModelReference("predixcan", write_predictdb(tmp_path / "y.db", WEIGHTS[:2]), label="y")
    with pytest.raises(ProvenanceError, match="of GRCh37, but the store is of GRCh38"):
        steps(other, "predictions")[0].prepare(open_store(path, "r+"))


def test_a_gene_on_another_contig_has_no_prediction_and_the_rest_has(
    store: Path, tmp_path: Path, fill_now: Callable[..., None]
) -> None:
    weights: list[Weight] = [
        (gene, "chr2_120_C_A_b37", "C", "A", 1.0) for gene in ("ENSG00000000011", "ENSG00000000021")
    ]
    opened, _ = fill_predixcan(fill_now, store, write_predictdb(tmp_path / "x.db", weights))
    predicted = opened.read("predictions/predixcan/expression")
    assert np.isnan(predicted[0]).all()
    np.testing.assert_allclose(predicted[2], dosage(RECORDS[9]))
    assert opened.read("predictions/predixcan/gene_counts", 0).tolist() == [1, 0, 0, 0, 0, 1]
