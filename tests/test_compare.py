"""Two models or two stores, gene by gene."""

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from pdstore.compare import compare, summarise_comparison
from pdstore.errors import MissingDataError, UsageError
from pdstore.store import open_store

Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def two(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a second set, whose R is made up: half of them turned around, one missing."""
    path = Path(shutil.copytree(filled, tmp_path_factory.mktemp("two") / "two.zarr"))
    for parent in ("predictions", "attributions", "statistics"):
        shutil.copytree(path / parent / "cnn", path / parent / "other")
    store = open_store(path, "r+")
    r = store.read("statistics/cnn/pearson_r") * np.where(np.arange(24) % 2, -1, 0.5)
    r[3] = np.nan
    store.write("statistics/other/pearson_r", ..., r)
    store.set_attribute("predictions/other", "order", 1)
    return path


def test_genes_are_compared_by_their_r(two: Path) -> None:
    found = compare(str(two), "cnn", "other")
    store = open_store(two)
    first, second = (store.read(f"statistics/{model}/pearson_r") for model in ("cnn", "other"))
    both = np.flatnonzero(~np.isnan(first) & ~np.isnan(second))
    assert found.names == ("cnn", "other")
    np.testing.assert_array_equal(found.r, [first[both], second[both]])
    assert found.gene.tolist() == store.read("genes/gene_name")[both].tolist()
    assert found.left_out == (24 - len(both), 24 - len(both))
    summary = summarise_comparison(found)
    assert summary["genes"] == len(both) < 24
    assert summary["first_higher"] == int((first[both] > second[both]).sum())
    assert summary["first_higher"] + summary["second_higher"] == len(both)
    assert summary["sign_changes"] == int((np.sign(first[both]) != np.sign(second[both])).sum()) > 5
    assert summary["wilcoxon_p"] == pytest.approx(scipy.stats.wilcoxon(first[both], second[both]).pvalue)
    assert summary["r_of_r"] == pytest.approx(scipy.stats.pearsonr(first[both], second[both]).statistic)


def test_a_model_equals_itself_in_another_store(two: Path, filled: Path) -> None:
    summary = summarise_comparison(compare(str(two), "cnn", str(filled)))
    assert summary["r_of_r"] == pytest.approx(1)
    assert summary["wilcoxon_p"] is None
    assert (summary["first_higher"], summary["second_higher"], summary["sign_changes"]) == (0, 0, 0)
    named = compare(None, str(filled), f"{two}#other")
    assert named.names == ("cnn", "other")
    assert compare(None, str(filled), str(two)).names == ("simulated.zarr#cnn", "two.zarr#cnn")


def test_genes_of_two_stores_are_joined_by_identifier(two: Path, filled: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "turned.zarr"))
    store = open_store(path, "r+")
    store.write("genes/gene_id", ..., store.read("genes/gene_id")[::-1])
    store.write("statistics/cnn/pearson_r", ..., store.read("statistics/cnn/pearson_r")[::-1])
    assert summarise_comparison(compare(None, str(filled), str(path)))["r_of_r"] == pytest.approx(1)
    store.write("genes/gene_id", ..., np.array([f"X{row}" for row in range(24)], dtype=object))
    with pytest.raises(MissingDataError, match=r"there is no gene of which both .* have R"):
        compare(None, str(filled), str(path))


def test_a_readout_is_read_out_of_the_stored_tracks(two: Path) -> None:
    store = open_store(two)
    found = compare(str(two), "cnn", "cnn@sum")
    assert found.names == ("cnn", "cnn@sum")
    np.testing.assert_allclose(found.r[1], found.r[0], atol=1e-12)
    (window,) = store.members("windows")
    observed = store.read("expression/observed").astype(np.float64)
    shifted = open_store(two, "r+")
    tracks = shifted.read_if_filled("predictions/other/tracks")
    # Logarithms need outputs above zero.
    for gene in range(24):
        shifted.write("predictions/other/tracks", gene, np.exp(tracks[gene]))
    found = compare(str(two), "cnn", "other@log2_sum")
    for gene, r in zip(found.id, found.r[1], strict=True):
        row = store.read("genes/gene_id").tolist().index(gene)
        index = store.read(f"windows/{window}/haplotype_index", row)
        of_haplotypes = np.log2(np.exp(tracks[row, :, 0, 0]).astype(np.float64))
        expected = scipy.stats.pearsonr(of_haplotypes[index].mean(axis=1), observed[row]).statistic
        assert r == pytest.approx(expected, abs=1e-5)
    with pytest.raises(UsageError, match=r"cannot be read out by 'mean', only by one of sum, sum_log, log2_sum$"):
        compare(str(two), "cnn", "cnn@mean")


def test_what_is_neither_model_nor_store_is_refused(two: Path) -> None:
    neither = r"'third' is neither a model of .*two\.zarr, which holds cnn, other, nor a store"
    with pytest.raises(UsageError, match=neither):
        compare(str(two), "cnn", "third")
    with pytest.raises(UsageError, match=r"'third' is no store: give STORE, "):
        compare(None, str(two), "third")
    with pytest.raises(UsageError, match=r"'third' is no store, and absent\.zarr is no store whose model it could be"):
        compare("absent.zarr", str(two), "third")
    with pytest.raises(MissingDataError, match="no predictions of model 'third'; it holds cnn, other"):
        compare(None, str(two), f"{two}#third")


def test_the_program_prints_table_json_and_csv(pdstore: Program, two: Path) -> None:
    table = pdstore("compare", "cnn", "other", "-s", two, "--top", "2").stdout
    assert "shown: 2 of 23 genes, by the difference of R" in table
    assert "23 genes with R in both (left out: 1 gene of cnn, 1 of other)" in table
    found = json.loads(pdstore("compare", "cnn", "other", "-s", two, "-f", "json").stdout)
    assert (found["first"], found["second"], len(found["genes"])) == ("cnn", "other", 23)
    assert found["genes"][1]["changes_sign"] is True
    rows = list(csv.DictReader(io.StringIO(pdstore("compare", "cnn", "other", "-s", two, "-f", "csv").stdout)))
    assert [float(row["r_second"]) for row in rows] == [gene["r_second"] for gene in found["genes"]]
    refused = pdstore("compare", "cnn", "third", "-s", two)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
