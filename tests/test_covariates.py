"""Covariates, from init to the statistics."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from pdstore.errors import InputError, PdstoreError, UsageError
from pdstore.init import Sources, init_store
from pdstore.models.registry import ModelReference
from pdstore.schema import deviations
from pdstore.sources.simulate import SimulatedCohort
from pdstore.store import Store, open_store

Program = Callable[..., subprocess.CompletedProcess[str]]
GENES = [0, 1]


@pytest.fixture(scope="module")
def people(unfilled: Path) -> list[str]:
    names: list[str] = open_store(unfilled).read("genotypes/sample_id").tolist()
    return names


@pytest.fixture(scope="module")
def table(people: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Age, and a batch of every third person."""
    path = tmp_path_factory.mktemp("covariates") / "covariates.tsv"
    rows = [f"{name}\t{20 + (7 * row) % 50}\t{int(row % 3 == 0)}" for row, name in enumerate(people)]
    path.write_text("\n".join(["id\tage\tbatch", *rows]) + "\n")
    return path


def make(cohort: SimulatedCohort, path: Path, expression: Path | None = None, **options: object) -> Store:
    init_store(path, Sources([cohort.vcf], cohort.fasta, cohort.genes, expression or cohort.expression, **options))
    return open_store(path, "r+")


def shifted(cohort: SimulatedCohort, path: Path, people: Sequence[str]) -> Path:
    """The expression, but that every third person has 5 more of everything."""
    lines = cohort.expression.read_text().splitlines()
    header = lines[0].split("\t")
    more = {name for row, name in enumerate(people) if row % 3 == 0}
    rows = [
        "\t".join(
            f"{float(text) + 5}" if header[column] in more and column else text
            for column, text in enumerate(line.split("\t"))
        )
        for line in lines[1:]
    ]
    path.write_text("\n".join([lines[0], *rows]) + "\n")
    return path


def test_residuals_are_a_regressions_and_what_was_taken_out_is_recorded(
    cohort: SimulatedCohort, table: Path, tmp_path: Path
) -> None:
    store = make(cohort, tmp_path / "s.zarr", covariates=table, residualise=["age", "batch"])
    observed = store.read("expression/observed").astype(np.float64)
    design = store.read("expression/covariates")
    for gene, values in enumerate(observed):
        expected = values - LinearRegression().fit(design, values).predict(design)
        np.testing.assert_allclose(store.read("expression/residual", gene), expected, atol=1e-5)
    assert store.read("expression/covariate_name").tolist() == ["age", "batch"]
    attributes = store.group("expression").attrs
    assert (attributes["residualised"], attributes["expression_pcs"]) == (["age", "batch"], 0)
    assert "covariates" in store.attributes["inputs"]
    assert deviations(store.root) == []


def test_a_shift_of_a_whole_batch_changes_no_statistic(
    cohort: SimulatedCohort,
    cnn: ModelReference,
    fill_now: Callable[..., None],
    table: Path,
    people: list[str],
    tmp_path: Path,
) -> None:
    moved = shifted(cohort, tmp_path / "moved.tsv", people)
    stores = {
        name: make(cohort, tmp_path / f"{name}.zarr", expression, covariates=table, residualise=taken)
        for name, expression, taken in (
            ("as measured", None, ["batch"]),
            ("moved", moved, ["batch"]),
            ("raw", moved, ()),
        )
    }
    found = {}
    for name, store in stores.items():
        fill_now(store, cnn, GENES)
        (window,) = store.members("windows")
        names = ("pearson_r", "p_value", "null_mean", "empirical_p", "r_ci_low", "fraction_supported")
        values = [store.read("statistics/cnn/" + array)[GENES] for array in names]
        values += [store.read(f"eqtl/{window}/slope", gene) for gene in GENES]
        found[name] = np.concatenate(values)
    np.testing.assert_allclose(found["moved"], found["as measured"], atol=1e-4, rtol=1e-3)
    # Without the covariate the shift is seen.
    assert np.nanmax(np.abs(found["raw"] - found["moved"])) > 0.05


def test_components_are_of_every_gene_of_the_file(cohort: SimulatedCohort, tmp_path: Path) -> None:
    from sklearn.decomposition import PCA

    store = make(cohort, tmp_path / "s.zarr", expression_pcs=2)
    observed = store.read("expression/observed").astype(np.float64)
    standard = (observed - observed.mean(axis=1, keepdims=True)) / observed.std(axis=1, keepdims=True)
    design = PCA(2).fit_transform(standard.T)
    for gene, values in enumerate(observed):
        expected = values - LinearRegression().fit(design, values).predict(design)
        np.testing.assert_allclose(store.read("expression/residual", gene), expected, atol=1e-4)
    assert store.group("expression").attrs["expression_pcs"] == 2


def test_covariates_alone_change_nothing(cohort: SimulatedCohort, table: Path, tmp_path: Path) -> None:
    store = make(cohort, tmp_path / "s.zarr", covariates=table)
    assert "expression/residual" not in store
    assert "expression/covariates" in store
    assert any("taken out of nothing" in note for note in store.attributes["counts"]["notes"])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"residualise": ["age"]}, UsageError, "no covariate 'age'; give --covariates"),
        ({"residualise": ["all"]}, UsageError, "there are no covariates; give --covariates"),
        ({"covariates": True, "residualise": ["sex"]}, UsageError, "no covariate 'sex'; it has age, batch"),
        ({"covariates": True, "residualise": ["age", "age"]}, UsageError, "names a covariate twice"),
        ({"expression_pcs": 38}, InputError, "38 covariates and expression PCs are too many for 40 people: .* most 37"),
        ({"expression_pcs": 30}, InputError, "30 principal components need as many genes .* but there are 24"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    cohort: SimulatedCohort,
    table: Path,
    tmp_path: Path,
    options: dict[str, object],
    error: type[PdstoreError],
    message: str,
) -> None:
    if options.get("covariates"):
        options = options | {"covariates": table}
    with pytest.raises(error, match=message):
        make(cohort, tmp_path / "s.zarr", **options)
    assert list(tmp_path.iterdir()) == []


def test_the_program_takes_them(cohort: SimulatedCohort, table: Path, pdstore: Program, tmp_path: Path) -> None:
    sources = ["--vcf", cohort.vcf, "--fasta", cohort.fasta, "--genes", cohort.genes, "--expression", cohort.expression]
    options = ["--covariates", table, "--residualise", "all", "--expression-pcs", "1"]
    done = pdstore("init", "-s", tmp_path / "s.zarr", *sources, *options)
    assert done.returncode == 0, done.stderr
    assert "2  covariates" in done.stdout
    attributes = open_store(tmp_path / "s.zarr").group("expression").attrs
    assert (attributes["residualised"], attributes["expression_pcs"]) == (["age", "batch"], 1)
