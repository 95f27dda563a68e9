"""Figures: what is drawn is what the store holds; pages escape it; files are whole."""

import shutil
import subprocess
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pdstore.errors import UsageError
from pdstore.figures.gene import GENE_PANELS, GeneSubject, draw_sequence_logo
from pdstore.figures.genes import GENES_PANELS, GenesSubject
from pdstore.figures.style import Panel, draw
from pdstore.figures.write import plot_gene, plot_genes
from pdstore.gene_table import gene_columns
from pdstore.models.registry import ModelReference
from pdstore.query import query_gene
from pdstore.store import Store, open_store

Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def store(filled: Path) -> Store:
    return open_store(filled)


@pytest.fixture(scope="module")
def gene(store: Store) -> str:
    """A gene with most drivers."""
    columns = gene_columns(store)
    return str(columns["gene"][np.nanargmax(columns["driver_count"])])


@pytest.fixture(scope="module")
def sasse(shared_data: Path, pdstore: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sasse") / "sasse.zarr"
    assert pdstore("import", "sasse2023", shared_data / "sasse2023", "-s", path).returncode == 0
    return path


def drawn(panels: tuple[Panel, ...], name: str, subject: object) -> tuple[Axes, str]:
    """Axes that a panel drew into, and its caption."""
    done = draw(next(panel for panel in panels if panel.name == name), subject, "a store")
    return done.figure.axes[0], done.caption


def offsets(axes: Axes, index: int = 0) -> NDArray[np.float64]:
    """Points of a scatter, sorted."""
    points = np.asarray(axes.collections[index].get_offsets())
    return points[np.lexsort(points.T)]


def expected(x: NDArray, y: NDArray) -> NDArray[np.float64]:
    points = np.column_stack([x, y]).astype(float)
    return points[np.lexsort(points.T)]


def test_prediction_shows_every_measured_person(store: Store, gene: str) -> None:
    axes, caption = drawn(GENE_PANELS, "prediction", GeneSubject.of(store, gene))
    row = store.read("genes/gene_name").tolist().index(gene)
    observed, predicted = store.read("expression/observed", row), store.read("predictions/cnn/expression", row)
    both = ~np.isnan(observed)
    np.testing.assert_array_equal(offsets(axes), expected(observed[both], predicted[both]))
    (line,) = axes.lines
    slope, intercept = np.polyfit(observed[both].astype(float), predicted[both], 1)
    np.testing.assert_allclose(line.get_ydata(), slope * np.asarray(line.get_xdata()) + intercept)
    assert caption == f"{both.sum()} people"
    r = np.corrcoef(observed[both], predicted[both])[0, 1]
    assert f"R = {r:.2f}".replace("-", "−") in axes.get_title("left")


def test_ism_and_slopes_are_the_stores(store: Store, gene: str) -> None:
    row = store.read("genes/gene_name").tolist().index(gene)
    window = store.group("predictions/cnn").attrs["window"]
    ism, slope = store.read("attributions/cnn/ism", row), store.read(f"eqtl/{window}/slope", row)
    scored = ~np.isnan(ism)
    first = int(store.read(f"windows/{window}/variant_start", row))
    rows = first + np.flatnonzero(scored)
    position, frequency = (store.read(f"variants/{name}")[rows] for name in ("position", "allele_frequency"))
    tss = int(store.read("genes/gene_tss", row))

    axes, caption = drawn(GENE_PANELS, "ism", GeneSubject.of(store, gene))
    assert "(bp)" in axes.get_xlabel()
    np.testing.assert_allclose(offsets(axes), expected(position - tss, ism[scored]))
    np.testing.assert_allclose(np.sort(np.asarray(axes.collections[0].get_array())), np.sort(frequency))
    assert caption == f"{scored.sum()} variants"
    drivers = query_gene(store, gene)["drivers"]
    shown = [np.asarray(of.get_offsets())[0].tolist() for of in axes.collections[1:]]
    assert shown == [[driver["distance_to_tss"], driver["ism"]] for driver in drivers[:6]]
    named = [text.get_text() for text in axes.get_legend().get_texts()]
    assert named == [f"{i}  {driver['variant']}, {driver['support']}" for i, driver in enumerate(drivers[:6], 1)]

    axes, _ = drawn(GENE_PANELS, "slopes", GeneSubject.of(store, gene))
    both = scored & ~np.isnan(slope)
    np.testing.assert_array_equal(offsets(axes), expected(slope[both], ism[both]))
    by_support = {str(of.get_label()).split(" ")[-1]: offsets(axes, i) for i, of in enumerate(axes.collections) if i}
    for word, points in by_support.items():
        of = [(driver["eqtl_slope"], driver["ism"]) for driver in drivers if driver["support"] == word]
        np.testing.assert_array_equal(points, expected(*np.array(of).T))
    assert sum(map(len, by_support.values())) == len(drivers)


def test_a_logo_leaves_out_what_has_no_letter_or_no_score() -> None:
    axes = Figure().add_subplot()
    draw_sequence_logo(axes, np.array([1.0, np.nan, -2.0, 0.5]), list("ACNG"))
    assert len(axes.patches) == 2


def test_figures_over_genes_are_the_stores(
    filled: Path, cnn: ModelReference, fill_now: Callable, tmp_path: Path
) -> None:
    store = open_store(Path(shutil.copytree(filled, tmp_path / "store.zarr")), "r+")
    fill_now(store, ModelReference("cnn", cnn.weights, label="again"), [0, 1, 2])
    subject = GenesSubject.of(store)
    assert (subject.model, subject.against) == ("cnn", "again")
    columns = gene_columns(store)
    r = columns["pearson_r"]
    known = ~np.isnan(r)

    axes, caption = drawn(GENES_PANELS, "significance", subject)
    points = np.concatenate([np.asarray(of.get_offsets()) for of in axes.collections[:3]])
    of = expected(*points.T)
    np.testing.assert_allclose(of, expected(r[known], -np.log10(np.maximum(columns["null_p"][known], 1e-50))))
    assert caption.startswith(f"{known.sum()} genes")
    for status, of in zip(("not significant", "correlated", "anticorrelated"), axes.collections, strict=False):
        with_status = columns["status"] == status
        assert of.get_label() == f"{status} ({with_status.sum()})"
        np.testing.assert_array_equal(np.sort(np.asarray(of.get_offsets())[:, 0]), np.sort(r[with_status]))

    axes, caption = drawn(GENES_PANELS, "models", subject)
    np.testing.assert_array_equal(offsets(axes), expected(r[:3], r[:3]))
    assert caption == "3 genes with an R of both"

    axes, _ = drawn(GENES_PANELS, "support", subject)
    fraction = columns["fraction_supported"]
    both = known & ~np.isnan(fraction)
    np.testing.assert_array_equal(offsets(axes), expected(r[both], fraction[both]))
    means = np.asarray(axes.lines[0].get_ydata())
    assert axes.get_legend().get_texts()[0].get_text() == "mean in bins of 0.2"
    in_bins = [fraction[both][(r[both] >= low) & (r[both] < low + 0.2)] for low in np.linspace(-1, 0.8, 10)]
    np.testing.assert_allclose(means, [of.mean() if of.size else np.nan for of in in_bins])

    axes, caption = drawn(GENES_PANELS, "driver-count", subject)
    counts = columns["driver_count"][~np.isnan(columns["driver_count"])].astype(int)
    assert [bar.get_height() for bar in axes.patches] == np.bincount(counts).tolist()

    axes, caption = drawn(GENES_PANELS, "drivers", subject)
    assert caption == f"{counts.sum()} drivers"
    assert sum(bar.get_height() for container in axes.containers for bar in container) == counts.sum()
    distances = [
        driver["distance_to_tss"] * (-1 if strand == "-" else 1)
        for gene, strand in zip(columns["gene"], columns["strand"], strict=True)
        for driver in query_gene(store, gene)["drivers"] or []
    ]
    np.testing.assert_array_equal(np.sort(subject.drivers["strand_signed_distance"]), np.sort(distances))

    axes, _ = drawn(GENES_PANELS, "population", subject)
    np.testing.assert_array_equal(offsets(axes), expected(columns["reference_prediction"], columns["observed_mean"]))


def test_the_line_of_the_false_discovery_rate_is_where_benjamini_and_hochberg_draw_it(
    sasse: Path, store: Store
) -> None:
    for of, alpha in ((open_store(sasse), 0.05), (open_store(sasse), 0.2), (store, 0.6)):
        subject = GenesSubject.of(of, alpha=alpha)
        axes, _ = drawn(GENES_PANELS, "significance", subject)
        columns = subject.columns
        p = columns["null_p"][~np.isnan(columns["null_p"])]
        (cut,) = {float(line.get_ydata()[0]) for line in axes.lines if line.get_linestyle() == "--"}
        # The oracle: the largest p at or below its own share of alpha.
        ordered = np.sort(p)
        called = 1 + np.flatnonzero(ordered <= alpha * np.arange(1, len(p) + 1) / len(p)).max()
        assert cut == pytest.approx(-np.log10(alpha * called / len(p)), abs=1e-3)
        significant = -np.log10(columns["null_p"][columns["fdr"] < alpha])
        assert (significant >= cut - 1e-9).all()


def test_predixcan_is_the_baseline(sasse: Path) -> None:
    store = open_store(sasse)
    subject = GenesSubject.of(store)
    assert subject.against == "predixcan"
    axes, caption = drawn(GENES_PANELS, "models", subject)
    r, other = (gene_columns(store, model)["pearson_r"] for model in (subject.model, "predixcan"))
    both = ~np.isnan(r + other)
    np.testing.assert_array_equal(offsets(axes), expected(other[both], r[both]))
    assert caption == f"{both.sum():,} genes with an R of both"


def test_genes_of_many_drivers_are_one_bar(sasse: Path) -> None:
    axes, _ = drawn(GENES_PANELS, "driver-count", GenesSubject.of(open_store(sasse)))
    counts = gene_columns(open_store(sasse))["driver_count"]
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == [(counts == number).sum() for number in range(20)] + [(counts >= 20).sum()]
    assert axes.get_xticklabels()[-1].get_text() == "20+"


def test_the_published_tables_have_their_figures(sasse: Path, pdstore: Program, tmp_path: Path) -> None:
    out = tmp_path / "figures"
    done = pdstore("plot", "GSTM3", "-s", sasse, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "not drawn: prediction: " in done.stderr
    assert {path.name for path in out.iterdir()} == {"GSTM3-ism.png", "GSTM3-slopes.png"}
    done = pdstore("plot", "--all", "-s", sasse, "--out", out)
    assert done.returncode == 0, done.stderr
    assert (out / "index.html").is_file()
    assert (out / "significance.png").is_file()


class Page(HTMLParser):
    """Images and tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "img":
            self.images.append(str(dict(attrs)["src"]))
            assert dict(attrs)["alt"]


def test_all_figures_stand_on_a_page(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "figures"
    written = plot_genes(store, GenesSubject.of(store), out)
    assert set(written.left_out) == {"models"}
    page = Page((out / "index.html").read_text())
    assert page.images == [path.name for path in written.files[:-1]]
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in page.images)
    assert "no model beside cnn" in (out / "index.html").read_text()
    assert not list(out.glob(".*"))


def test_what_a_store_says_is_escaped(filled: Path, cnn: ModelReference, fill_now: Callable, tmp_path: Path) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "<img src=x onerror=alert(1)>.zarr"))
    store = open_store(path, "r+")
    store.write("genes/gene_name", slice(0, 1), np.array(["../../$x^{\x1b[31m"], dtype=object))
    plot_genes(store, GenesSubject.of(store), tmp_path / "out", "svg")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "onerror=alert(1)&gt;" in page
    assert "<img src=x" not in page
    written = plot_gene(store, GeneSubject.of(store, str(store.read("genes/gene_id", 0))), tmp_path / "out", "svg")
    for file in written.files:
        assert file.parent == tmp_path / "out"
        ElementTree.parse(file)


def test_genes_do_not_take_each_others_files(filled: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "store.zarr"))
    store = open_store(path, "r+")
    store.write("genes/gene_name", slice(0, 3), np.array(["A/B", "A_B", "G" * 300], dtype=object))
    ids = store.read("genes/gene_id").tolist()
    written = [plot_gene(store, GeneSubject.of(store, gene), tmp_path / "out", only=["ism"]).files for gene in ids[:3]]
    names = [path.name for (path,) in written]
    assert names == [f"A_B-{ids[0]}-ism.png", "A_B-ism.png", f"{'G' * 300}"[:60] + f"-{ids[2]}-ism.png"]


def test_odd_values_are_shown_or_said(filled: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "store.zarr"))
    store = open_store(path, "r+")
    gene = str(store.read("genes/gene_id", 0))
    count = store.array("variants/allele_frequency").shape[0]
    store.write("variants/allele_frequency", ..., np.full(count, np.nan))
    store.write("variants/alt", ..., np.full(count, "ACGT" * 100, dtype=object))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_gene(store, GeneSubject.of(store, gene), tmp_path / "gene.png")
    shutil.rmtree(path / "eqtl")
    for group in ("fdr", "empirical_fdr"):
        shutil.rmtree(path / "statistics" / "cnn" / group / "c")
    store = open_store(path)
    written = plot_genes(store, GenesSubject.of(store), tmp_path / "out")
    assert "drivers" in written.left_out
    axes, caption = drawn(GENES_PANELS, "significance", GenesSubject.of(store))
    assert sum(len(of.get_offsets()) for of in axes.collections) == int(caption.split()[0])
    assert axes.collections[-1].get_label().startswith("FDR not filled")


def test_the_users_own_style_changes_nothing(filled: Path, pdstore: Program, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nsavefig.transparent: True\n")
    for name, folder in (("plain", tmp_path.parent), ("styled", tmp_path)):
        done = pdstore("plot", "GSTM3", "-s", filled, "--out", tmp_path / f"{name}.png", cwd=folder)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "styled.png").read_bytes()


def test_several_genes_go_on_after_one_that_is_not_filled(filled: Path, pdstore: Program, tmp_path: Path) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "store.zarr"))
    names = open_store(path).read("genes/gene_name").tolist()
    assert pdstore("clear", "--model", "cnn", "--genes", names[1], "-s", path, "--yes").returncode == 0
    done = pdstore("plot", *names[:3], "-s", path, "--out", tmp_path / "out", "--figure", "ism")
    assert done.returncode == 2
    assert [line.rsplit("/")[-1] for line in done.stdout.splitlines()] == [f"{n}-ism.png" for n in (names[0], names[2])]
    assert "of 1 of 3 genes nothing could be drawn" in done.stderr


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_ending_says_how_and_the_same_store_gives_the_same_file(
    store: Store, gene: str, tmp_path: Path, ending: str, magic: bytes
) -> None:
    subject = GeneSubject.of(store, gene)
    for name in ("first", "second"):
        written = plot_gene(store, subject, tmp_path / f"{name}.{ending}")
        assert written.files == [tmp_path / f"{name}.{ending}"]
    assert (tmp_path / f"first.{ending}").read_bytes().startswith(magic)
    assert (tmp_path / f"first.{ending}").read_bytes() == (tmp_path / f"second.{ending}").read_bytes()


@pytest.mark.parametrize("name", ["ism", "prediction"])
def test_the_note_below_lies_within_the_figure(store: Store, gene: str, name: str) -> None:
    panel = next(panel for panel in GENE_PANELS if panel.name == name)
    source = f"model {'enformer-' * 10}, {'a-long-name-of-a-store' * 10}.zarr"
    figure = draw(panel, GeneSubject.of(store, gene), source).figure
    figure.draw_without_rendering()
    note, whole = figure._supxlabel.get_window_extent(), figure.bbox
    assert note.x0 >= 0
    assert note.x1 <= whole.x1
    assert note.y0 >= 0


def test_no_person_is_named_in_a_figure(store: Store, gene: str, tmp_path: Path) -> None:
    plot_gene(store, GeneSubject.of(store, gene), tmp_path, "svg")
    text = "".join(path.read_text() for path in tmp_path.glob("*.svg"))
    assert gene in text
    assert not [name for name in store.read("genotypes/sample_id").tolist() if name in text]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["GSTM3", "--all"], "one of both"),
        ([], "or give --all"),
        (
            ["GSTM3", "--figure", "volcano"],
            "of a gene (GENE) there are prediction, slopes, ism, logo, attention; over all",
        ),
        (["GSTM3", "--out", "FILE"], "is a file"),
        (["GSTM3", "--out", "absent/figures"], "--out: there is no folder "),
        (["GSTM3", "DDX11", "--out", "both.png"], "a file shows one gene"),
        (["GSTM3", "--out", "figure.jpg"], "figures are drawn as .png, .svg, .pdf"),
        (["NOSUCH"], "no gene 'NOSUCH'"),
        (["--all", "--against", "enformer"], "holds no predictions of model 'enformer'"),
        (["GSTM3", "--figure", "logo"], "ISM of every base"),
    ],
)
def test_bad_input_is_one_line(
    filled: Path, pdstore: Program, tmp_path: Path, options: list[str], message: str
) -> None:
    (tmp_path / "file").write_text("")
    given = [str(tmp_path / "file") if option == "FILE" else option for option in options]
    done = pdstore("plot", *given, "-s", filled, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert not list(tmp_path.rglob("*.png"))


def test_a_folder_that_may_not_be_written_is_one_line(filled: Path, pdstore: Program) -> None:
    # Not even root makes a folder there.
    done = pdstore("plot", "GSTM3", "-s", filled, "--out", "/sys/figures")
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    assert line.startswith("pdstore: error: ")
    assert line.endswith(": /sys/figures")


def test_an_unknown_ending_is_refused(store: Store, gene: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gif"):
        plot_gene(store, GeneSubject.of(store, gene), tmp_path, "gif")
