"""A summary shows nobody: neither by name nor by a value, and what it does show is true."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from quiet import Quiet
from scipy.stats import false_discovery_control

from pdstore.errors import MissingDataError, StoreError, UsageError
from pdstore.figures.gene import GENE_PANELS, GeneSubject
from pdstore.figures.style import draw
from pdstore.gene_table import gene_columns
from pdstore.query import query_gene
from pdstore.schema import deviations
from pdstore.sharing.publish import Published, publish
from pdstore.store import Store, open_store

LEAST = 5
ALONE, FEW, HALF, NEARLY, ONE_VARIES, UNPREDICTED = 3, 4, 5, 6, 7, 8
"""Genes measured in one person, in four, in every other one, in all but one; whose prediction varies in one person, and
whose prediction two people lack."""


@pytest.fixture(scope="module")
def cohort_store(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled store, in which some genes are measured in some people only."""
    path = tmp_path_factory.mktemp("cohort") / "cohort.zarr"
    shutil.copytree(filled, path)
    store = open_store(path, "r+")
    observed = store.read("expression/observed")
    observed[ALONE, 1:], observed[FEW, 4:], observed[HALF, ::2], observed[NEARLY, 9] = [np.nan] * 4
    store.write("expression/observed", ..., observed)
    predicted = store.read("predictions/cnn/expression", ONE_VARIES)
    predicted[:] = predicted[0]
    predicted[11] += 1
    store.write("predictions/cnn/expression", ONE_VARIES, predicted)
    predicted = store.read("predictions/cnn/expression", UNPREDICTED)
    predicted[:2] = np.nan
    store.write("predictions/cnn/expression", UNPREDICTED, predicted)
    return path


@pytest.fixture(scope="module")
def published(cohort_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Published]:
    target = tmp_path_factory.mktemp("published") / "summary"
    return target, publish(str(cohort_store), str(target), "summary", Quiet())


@pytest.fixture(scope="module")
def source(cohort_store: Path) -> Store:
    return open_store(cohort_store)


@pytest.fixture(scope="module")
def summary(published: tuple[Path, Published]) -> Store:
    return open_store(published[0])


def calls_of(store: Store, row: int) -> tuple[np.ndarray, int]:
    """Calls of everybody at the record of a row of variants/, and which allele it is."""
    record, allele = (int(store.read(f"variants/{name}", row)) for name in ("genotype_record", "allele_index"))
    return store.read("genotypes/call_genotype", record), allele


def enough(store: Store, row: int, people: np.ndarray) -> bool:
    calls, allele = calls_of(store, row)
    carriers = sum(allele in person for person in calls[people].tolist())
    return carriers >= LEAST and len(calls[people]) - carriers >= LEAST


def windows_of(store: Store) -> str:
    (name,) = store.members("windows")
    return f"windows/{name}"


def variants_of(store: Store, gene: int, path: str) -> dict[tuple[int, str, str], float]:
    """Variant → value, of an array over genes and variants."""
    window = windows_of(store)
    start, count = (int(store.read(f"{window}/variant_{name}", gene)) for name in ("start", "count"))
    of = [store.read(f"variants/{name}", slice(start, start + count)).tolist() for name in ("position", "ref", "alt")]
    return dict(zip(zip(*of, strict=True), store.read(path, gene)[:count].tolist(), strict=True))


def numbers_of(root: zarr.Group) -> Iterator[tuple[str, np.ndarray]]:
    for path, node in root.members(max_depth=None):
        if isinstance(node, zarr.Array):
            yield path, np.asarray(node[...])


def test_no_name_and_no_value_of_a_person_is_in_any_byte(
    published: tuple[Path, Published], source: Store, summary: Store
) -> None:
    names = [str(name) for name in source.read("genotypes/sample_id")]
    assert len(names) == 40
    assert min(map(len, names)) >= 4
    texts = [path.read_bytes() for path in published[0].rglob("*") if path.is_file()]
    texts += [path.name.encode() for path in published[0].rglob("*")]
    texts += [
        "\0".join(map(str, values.ravel())).encode()
        for _, values in numbers_of(summary.root)
        if values.dtype.kind in "OT"
    ]
    assert sum(len(text) for text in texts) > 50_000
    for name in names:
        assert not any(name.encode() in text for text in texts)

    # What is the reference's own prediction is nobody's.
    reference = source.read("statistics/cnn/reference_prediction")
    predicted = source.read("predictions/cnn/expression").ravel()
    predicted = predicted[~np.isclose(predicted[:, np.newaxis], reference, rtol=1e-9).any(axis=1)]
    measured = source.read("expression/observed").ravel()
    personal = np.concatenate([predicted, measured[~np.isnan(measured)].astype(np.float64)])
    assert len(personal) > 1_000
    for path, values in numbers_of(summary.root):
        if values.dtype.kind == "f":
            assert not len(np.intersect1d(values, personal.astype(values.dtype))), path


def test_only_groups_and_attributes_of_a_summary_are_in_it(summary: Store, published: tuple[Path, Published]) -> None:
    assert deviations(summary.root) == []
    window = windows_of(summary).split("/")[1]
    groups = {path for path, node in summary.root.members(max_depth=None) if isinstance(node, zarr.Group)}
    parents = {"attributions", "eqtl", "predictions", "scatter", "statistics", "windows"}
    assert groups == parents | {"genes", "variants", f"eqtl/{window}", f"windows/{window}"} | {
        f"{parent}/cnn" for parent in ("attributions", "predictions", "scatter", "statistics")
    }
    assert set(summary.attributes) == {
        *("pdstore_format", "pdstore_version", "genome_build", "inputs", "options", "level", "counts", "published")
    }
    assert "counts" not in summary.group(windows_of(summary)).attrs
    assert json.loads((published[0] / "manifest.json").read_text())["options"]["min_carriers"] == LEAST


def test_variants_are_those_that_enough_people_carry_and_enough_do_not(
    source: Store, summary: Store, published: tuple[Path, Published]
) -> None:
    names = ("contig", "position", "ref", "alt")
    everybody = np.ones(40, dtype=bool)
    window = windows_of(source)
    rows: set[int] = set()
    for gene in range(24):
        start, count = (int(source.read(f"{window}/variant_{name}", gene)) for name in ("start", "count"))
        rows |= set(range(start, start + count))
    shown = [row for row in sorted(rows) if enough(source, row, everybody)]
    assert 0 < len(shown) < len(rows)
    assert "variants/carriers" not in summary
    for name in (*names, "allele_frequency"):
        np.testing.assert_array_equal(summary.read(f"variants/{name}"), source.read(f"variants/{name}")[shown])
    withheld = published[1].withheld
    assert withheld is not None
    assert (withheld.people, withheld.variants_shown, withheld.variants) == (40, len(shown), len(rows))


def test_values_of_variants_stay_with_their_variants(source: Store, summary: Store) -> None:
    for array in ("attributions/cnn/ism", "statistics/cnn/driver_rank", "statistics/cnn/pearson_r_with_prediction"):
        for gene in range(24):
            if gene in (ONE_VARIES, UNPREDICTED) and "statistics" in array:
                with pytest.raises(MissingDataError):
                    summary.read(array, gene)
                continue
            before, after = variants_of(source, gene, array), variants_of(summary, gene, array)
            assert after
            np.testing.assert_equal(after, {variant: before[variant] for variant in after})


def test_slopes_are_of_drivers_that_enough_measured_people_carry(
    source: Store, summary: Store, published: tuple[Path, Published]
) -> None:
    path = f"{windows_of(source).replace('windows', 'eqtl')}/slope"
    told = 0
    for gene in range(24):
        before, after = variants_of(source, gene, path), variants_of(summary, gene, path)
        is_shown = gene not in (ALONE, FEW, NEARLY, UNPREDICTED)
        ranks = variants_of(summary, gene, "statistics/cnn/driver_rank") if is_shown and gene != ONE_VARIES else {}
        start = int(source.read(f"{windows_of(source)}/variant_start", gene))
        rows = {variant: start + row for row, variant in enumerate(before)}
        measured = ~np.isnan(source.read("expression/observed", gene))
        for variant, slope in after.items():
            allowed = ranks.get(variant, 0) > 0 and enough(source, rows[variant], measured)
            np.testing.assert_equal(slope, before[variant] if allowed else np.nan)
            told += allowed and not np.isnan(slope)
    assert told > 10


def test_slopes_of_all_variants_are_of_enough_measured_people(
    source: Store, cohort_store: Path, tmp_path: Path
) -> None:
    published = publish(str(cohort_store), str(tmp_path / "all"), "summary", Quiet(), all_slopes=True)
    assert any("slopes of all variants are shown" in remark for remark in published.notes)
    summary = open_store(tmp_path / "all")
    path = f"{windows_of(source).replace('windows', 'eqtl')}/slope"
    start = int(source.read(f"{windows_of(source)}/variant_start", HALF))
    measured = ~np.isnan(source.read("expression/observed", HALF))
    before, after = variants_of(source, HALF, path), variants_of(summary, HALF, path)
    row_of = {variant: start + row for row, variant in enumerate(before)}
    withheld = {variant for variant in after if not enough(source, row_of[variant], measured)}
    assert 0 < len(withheld) < len(after)
    for variant, slope in after.items():
        np.testing.assert_equal(slope, np.nan if variant in withheld else before[variant])
    for gene in (ALONE, FEW, NEARLY):
        assert np.isnan(list(variants_of(summary, gene, path).values())).all()
    assert published.withheld is not None
    assert published.withheld.slopes >= len(withheld)


def test_nothing_is_told_of_expression_that_few_people_have_or_lack(source: Store, summary: Store) -> None:
    before, after = gene_columns(source, "cnn"), gene_columns(summary, "cnn")
    of_expression = ("observed_mean", "observed_sd")
    of_correlation = ("pearson_r", "p_value", "null_t", "empirical_p", "r_ci_low", "n_samples", "fdr", "empirical_fdr")
    of_prediction = ("prediction_mean", "prediction_sd", "linear_approximation_r")
    hidden = dict.fromkeys(of_expression, (ALONE, FEW, NEARLY, UNPREDICTED))
    hidden |= dict.fromkeys(of_correlation, (ALONE, FEW, NEARLY, ONE_VARIES, UNPREDICTED))
    hidden |= dict.fromkeys(of_prediction, (ONE_VARIES, UNPREDICTED))
    for name, genes in hidden.items():
        assert np.isnan(after[name][list(genes)]).all(), name
        others = np.setdiff1d(np.arange(24), genes)
        if "fdr" not in name:
            np.testing.assert_array_equal(after[name][others], before[name][others])
    np.testing.assert_array_equal(after["reference_prediction"], before["reference_prediction"])
    people = summary.read_if_filled("scatter/cnn/people")
    hidden_genes = list(hidden["pearson_r"])
    assert not (people[hidden_genes] > 0).any()
    assert np.isnan(summary.read("scatter/cnn/prediction_edge")[hidden_genes]).all()
    assert (people[np.setdiff1d(np.arange(24), hidden_genes)] > 0).any()
    assert (people[people > 0] >= LEAST).all()


def test_false_discovery_rates_are_over_the_genes_that_are_shown(summary: Store) -> None:
    columns = gene_columns(summary, "cnn")
    for fdr, p in (("fdr", "null_p"), ("empirical_fdr", "empirical_p")):
        known = ~np.isnan(columns[p])
        np.testing.assert_allclose(columns[fdr][known], false_discovery_control(columns[p][known]))


def test_drivers_add_up_and_support_is_of_those_that_are_shown(source: Store, summary: Store) -> None:
    before, after = gene_columns(source, "cnn"), gene_columns(summary, "cnn")
    withheld = summary.read("statistics/cnn/drivers_withheld")
    assert np.isnan(after["driver_count"][[ONE_VARIES, UNPREDICTED]]).all()
    known = ~np.isnan(after["driver_count"])
    assert known.sum() > 15
    np.testing.assert_array_equal(after["driver_count"][known] + withheld[known], before["driver_count"][known])
    assert withheld[known].sum() > 0
    for row in np.flatnonzero(known).tolist():
        answer = query_gene(summary, str(after["id"][row]), "cnn")
        assert len(answer["drivers"]) == after["driver_count"][row]
        assert answer["withheld"] == {"drivers": withheld[row], "min_people": LEAST}
        fraction = answer["support"]["fraction_supported"]
        np.testing.assert_equal(np.nan if fraction is None else fraction, after["fraction_supported"][row])


def test_the_name_of_a_person_in_the_name_of_a_set_is_refused(filled: Path, tmp_path: Path) -> None:
    path = tmp_path / "named.zarr"
    shutil.copytree(filled, path)
    name = str(open_store(path).read("genotypes/sample_id", 7))
    for parent in ("predictions", "attributions", "statistics"):
        (path / parent / "cnn").rename(path / parent / f"cnn-{name.lower()}_1")
    with pytest.raises(StoreError, match="holds the name of a person") as refused:
        publish(str(path), str(tmp_path / "summary"), "summary", Quiet())
    assert name not in str(refused.value)
    assert not (tmp_path / "summary").exists()


def test_too_few_people_have_no_summary(filled: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has 40 people: .* needs 42"):
        publish(str(filled), str(tmp_path / "summary"), "summary", Quiet(), min_carriers=21)
    with pytest.raises(UsageError, match="--min-carriers is 2, but has to be at least 3"):
        publish(str(filled), str(tmp_path / "summary"), "summary", Quiet(), min_carriers=2)
    assert list(tmp_path.iterdir()) == []


def test_a_small_cohort_is_warned_of(published: tuple[Path, Published]) -> None:
    (remark,) = published[1].notes
    assert remark.startswith("40 people are few")


def test_the_figure_of_predictions_shows_the_cells_of_a_summary(summary: Store) -> None:
    people = summary.read_if_filled("scatter/cnn/people")
    row = int(np.argmax((people > 0).sum(axis=(1, 2))))
    subject = GeneSubject.of(summary, str(summary.read("genes/gene_id", row)), "cnn")
    drawn = draw(next(panel for panel in GENE_PANELS if panel.name == "prediction"), subject, "a summary")
    assert f"{people[row].sum()} people in {(people[row] > 0).sum()} cells" in drawn.caption
    shown = np.ma.filled(drawn.figure.axes[0].collections[0].get_array(), 0).reshape(10, 10)
    np.testing.assert_array_equal(shown, people[row].T)


def test_the_table_of_genes_says_how_many_drivers_are_withheld(
    cohort_store: Path, summary: Store, pdstore: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    withheld = summary.read("statistics/cnn/drivers_withheld")
    assert withheld.max() > 0
    genes = json.loads(pdstore("genes", "-s", summary.url, "--sort", "place", "-f", "json").stdout)["genes"]
    assert [gene["drivers_withheld"] for gene in genes] == [None if of < 0 else of for of in withheld.tolist()]
    asked = [query_gene(summary, gene["id"])["withheld"]["drivers"] for gene in genes]
    assert asked == [gene["drivers_withheld"] for gene in genes]
    table = pdstore("genes", "-s", summary.url, "--sort", "place").stdout.splitlines()
    # Aligned to the right.
    end = table[0].index("withheld") + len("withheld")
    assert [line[:end].split()[-1] for line in table[1 : 1 + len(genes)]] == [
        "-" if of < 0 else str(of) for of in withheld.tolist()
    ]
    of_full = pdstore("genes", "-s", cohort_store, "-f", "json").stdout
    assert "drivers_withheld" not in json.loads(of_full)["genes"][0]
    assert "withheld" not in pdstore("genes", "-s", cohort_store).stdout
