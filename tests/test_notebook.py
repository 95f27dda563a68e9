"""A store as one asks it from Python."""

import inspect
import pydoc
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas
import pytest
import xarray

import pdstore
from pdstore.errors import MissingDataError, UnknownGeneError, UsageError
from pdstore.gene_table import gene_columns


@pytest.fixture(scope="module")
def s(filled: Path) -> "pdstore.notebook.NotebookStore":  # type: ignore[name-defined]
    return pdstore.open_store(filled)


class Cells(HTMLParser):
    """Texts of the cells of a table, and the tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open, "tags are left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "br":
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open:
            self.cells[-1] += data


def test_an_answer_is_the_query_and_a_notebook_shows_it(s) -> None:  # type: ignore[no-untyped-def]
    for gene in s.genes()["gene"]:
        answer = s.query(gene)
        assert answer == pdstore.query_gene(s, gene)
        assert repr(answer).startswith(f"<GeneAnswer {gene} (")
        r = answer["correlation"]["pearson_r"]
        assert f"R = {r:.3f}" in repr(answer)
        page = Cells(answer._repr_html_())
        drivers = answer["drivers"] or []
        assert [cell.removeprefix("* ") for cell in page.cells[::8]] == [driver["variant"] for driver in drivers]
        assert page.cells[7::8] == [driver["support"] for driver in drivers]


def test_names_of_a_shared_store_are_escaped(filled: Path, tmp_path: Path) -> None:
    from pdstore.store import open_store

    path = Path(shutil.copytree(filled, tmp_path / "store.zarr"))
    store = open_store(path, "r+")
    store.write("genes/gene_name", slice(0, 1), np.array(["<img src=x onerror=alert(1)>"], dtype=object))
    answer = pdstore.open_store(path).query(str(store.read("genes/gene_id", 0)))
    assert "<img" not in answer._repr_html_()


def test_what_is_not_filled_has_a_repr(filled: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "store.zarr"))
    shutil.rmtree(path / "statistics")
    answer = pdstore.open_store(path).query("GSTM3")
    assert "no R; drivers not known" in repr(answer)
    assert "no R" in answer._repr_html_()


def test_all_genes_are_a_frame(s) -> None:  # type: ignore[no-untyped-def]
    frame = s.genes()
    assert isinstance(frame, pandas.DataFrame)
    columns = gene_columns(s)
    assert list(frame.columns) == list(columns)
    np.testing.assert_array_equal(frame["pearson_r"], columns["pearson_r"])


def test_groups_are_lazy_datasets(s) -> None:  # type: ignore[no-untyped-def]
    dataset = s.dataset("predictions/cnn")
    assert isinstance(dataset, xarray.Dataset)
    assert not dataset["tracks"]._in_memory
    np.testing.assert_array_equal(dataset["expression"].values, s.read("predictions/cnn/expression"))


def test_figures_come_as_matplotlibs(s) -> None:  # type: ignore[no-untyped-def]
    of_gene = s.plot("GSTM3")
    assert [axes.get_label() for axes in of_gene.axes][:3] == ["prediction", "slopes", "ism"]
    (single,) = s.plot("GSTM3", figures=["slopes"]).axes
    assert "GSTM3" in single.get_title("left")
    assert len(s.plot().axes) == 5
    with pytest.raises(MissingDataError, match="no model beside cnn"):
        s.plot(figures=["models"])
    with pytest.raises(UnknownGeneError):
        s.plot("GSTM9")


def test_models_are_named(s) -> None:  # type: ignore[no-untyped-def]
    assert s.models == ["cnn"]


def test_what_is_not_there_is_said_with_what_is(s) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MissingDataError, match="no group predictions/nix: it has predictions/cnn"):
        s.dataset("predictions/nix")
    with pytest.raises(UsageError, match="not by a list"):
        s.query(["GSTM3", "DDX11"])


def test_help_says_what_comes_back(s) -> None:  # type: ignore[no-untyped-def]
    for thing in (pdstore.open_store, type(s), s.query, s.genes, s.plot, s.dataset, pdstore.query_gene):
        assert len(inspect.getdoc(thing) or "") > 40
        assert pydoc.render_doc(thing)
    assert "Examples" in pydoc.render_doc(type(s))
