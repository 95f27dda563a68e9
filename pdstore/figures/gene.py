"""Figures of one gene."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from pdstore.analysis.motif import base_scores
from pdstore.errors import MissingDataError
from pdstore.figures.style import FAINT, INK, NEITHER, NUCLEOTIDES, PALE, SUPPORTED, UNSUPPORTED, Panel, signed
from pdstore.query import FdrKind, find_gene, query_gene
from pdstore.stages.expression import read_expression
from pdstore.stages.ism_window import read_main_driver
from pdstore.store import Store
from pdstore.words import counted, plain

_LABELLED = 6
"""Drivers that are numbered and named."""
_SUPPORT_TITLES = {
    "supported": "all drivers supported",
    "unsupported": "no driver supported",
    "mixed": "some drivers supported",
    "undetermined": "support of drivers undetermined",
    "no drivers": "no drivers",
    None: "drivers not known",
}
_KILOBASES_FROM = 2_000
"""bp; nearer variants are shown in bp."""
_FREQUENCIES = colormaps["viridis"].with_extremes(bad=NEITHER)
_CELLS = colormaps["Blues"]
_SIGNED = colormaps["RdBu_r"]
_RESIDUAL = "expression/residual"
_ISM_LABEL = "ISM (readout, alternate − reference)"
_COLOUR_OF = {"supported": SUPPORTED, "unsupported": UNSUPPORTED, "undetermined": NEITHER}
_MARKER_OF = {"supported": "o", "unsupported": "^", "undetermined": "s"}
# Letters of a logo are cut from this font size, and stretched.
_LETTER_SIZE = 1.0


@dataclass(frozen=True)
class GeneSubject:
    """What figures of a gene are drawn of.

    Attributes
    ----------
    store : Store
    answer : dict
        `pdstore.query.query_gene`'s, with all variants.
    """

    store: Store
    answer: dict[str, Any]

    @classmethod
    def of(
        cls,
        store: Store,
        gene: str,
        model: str | None = None,
        alpha: float = 0.05,
        fdr_kind: FdrKind = "published",
    ) -> "GeneSubject":
        """The subject of a gene; parameters and errors are `pdstore.query.query_gene`'s."""
        return cls(store, query_gene(store, gene, model, alpha, fdr_kind, all_variants=True))

    @property
    def name(self) -> str:
        """Symbol, as titles have it."""
        return _short(plain(self.answer["gene"]["name"]), 40)

    @cached_property
    def row(self) -> int:
        """Row of genes/."""
        return find_gene(self.store, self.answer["gene"]["id"])

    @property
    def drivers(self) -> list[dict[str, Any]]:
        """Drivers, the main one first."""
        return self.answer["drivers"] or []

    def variants_with(self, *fields: str) -> list[dict[str, Any]]:
        """Variants that have all of some values; raises `MissingDataError` where none has."""
        found = [
            variant for variant in self.answer["variants"] or [] if all(variant[field] is not None for field in fields)
        ]
        if not found:
            raise MissingDataError(f"the store has no variant of {self.name} with {' and '.join(fields)}")
        return found


def draw_prediction(axes: Axes, subject: GeneSubject) -> str:
    """Predicted against observed expression: a point a person and the line of least squares, or a summary's cells."""
    path = f"scatter/{subject.answer['model']}"
    is_counted = subject.store.is_summary and path in subject.store
    drawn = _draw_cells(axes, subject, path) if is_counted else _draw_people(axes, subject)
    correlation = subject.answer["correlation"]
    r, status = correlation["pearson_r"], correlation["status"]
    interval = (
        "" if correlation["ci_low"] is None else f" [{signed(correlation['ci_low'])}, {signed(correlation['ci_high'])}]"
    )
    no_r = "R is not filled" if subject.answer["n_samples"] is None else "no R"
    title = no_r if r is None else f"R = {signed(r)}{interval}, {status or 'not tested'}"
    axes.set_title(f"{subject.name}: {title}")
    taken_out = subject.store.group(path).attrs.get("residualised") if is_counted else _RESIDUAL in subject.store
    axes.set_xlabel(f"observed expression{', what covariates explain taken out' if taken_out else ''}")
    axes.set_ylabel(f"predicted by {plain(subject.answer['model'])}")
    return drawn


def _draw_people(axes: Axes, subject: GeneSubject) -> str:
    store, model = subject.store, subject.answer["model"]
    store.require_people()
    observed = read_expression(store, subject.row)
    predicted = store.read_if_filled(f"predictions/{model}/expression", subject.row)
    both = ~(np.isnan(observed) | np.isnan(predicted))
    if not both.any():
        raise MissingDataError(f"nobody of the store has both a prediction and a measurement of {subject.name}")
    x, y = observed[both], predicted[both]
    axes.scatter(x, y, s=7, color=SUPPORTED, alpha=0.5, linewidths=0)
    if np.ptp(x) and np.ptp(y):
        slope, intercept = np.polyfit(x, y, 1)
        ends = np.array([x.min(), x.max()])
        axes.plot(ends, slope * ends + intercept, color=INK)
    return "1 person" if both.sum() == 1 else f"{both.sum():,} people"


def _draw_cells(axes: Axes, subject: GeneSubject, path: str) -> str:
    """Of a summary: how many people are in each cell of a coarse grid."""
    store, row = subject.store, subject.row
    people = store.read_if_filled(f"{path}/people", row)
    observed, predicted = (store.read_if_filled(f"{path}/{axis}_edge", row) for axis in ("observed", "prediction"))
    if not (people > 0).any() or np.isnan([*observed, *predicted]).any():
        raise MissingDataError(f"too few people have both a prediction and a measurement of {subject.name} to be shown")
    shown = np.where(people > 0, people, np.nan).T
    cells = axes.pcolormesh(observed, predicted, shown, cmap=_CELLS, vmin=0, vmax=people.max())
    bar = axes.figure.colorbar(cells, ax=axes, pad=0.01, aspect=30)
    bar.set_label(f"people (cells under {store.group(path).attrs.get('min_people')} are empty)")
    return f"{people[people > 0].sum():,} people in {(people > 0).sum():,} cells"


def draw_ism(axes: Axes, subject: GeneSubject) -> str:
    """ISM of every variant along the window, coloured by allele frequency; drivers are numbered."""
    variants = subject.variants_with("ism")
    distance = np.array([variant["distance_to_tss"] for variant in variants])
    unit, scale = ("kb", 1e-3) if np.abs(distance).max() >= _KILOBASES_FROM else ("bp", 1.0)
    x = distance * scale
    y = np.array([variant["ism"] for variant in variants])
    frequency = np.array([np.nan if (af := variant["allele_frequency"]) is None else af for variant in variants])
    axes.axhline(0, color=PALE, linewidth=0.6, zorder=0)
    axes.axvline(0, color=FAINT, linewidth=0.6, linestyle=":", zorder=0)
    if np.isnan(frequency).all():
        axes.scatter(x, y, s=9, color=NEITHER, linewidths=0)
    else:
        points = axes.scatter(
            x, y, s=9, c=frequency, cmap=_FREQUENCIES, vmin=0, vmax=1, linewidths=0, plotnonfinite=True
        )
        bar = axes.figure.colorbar(points, ax=axes, pad=0.01, aspect=30)
        bar.set_label("allele frequency")
        bar.outline.set_visible(False)
    _number_drivers(axes, subject.drivers, "distance_to_tss", "ism", scale)
    gene = subject.answer["gene"]
    axes.set_title(f"{subject.name}: ISM along the window")
    axes.set_xlabel(
        f"distance to the TSS along contig {plain(gene['contig'])} ({unit}); the gene reads {_reading(gene['strand'])}"
    )
    axes.set_ylabel(_ISM_LABEL)
    return _variants(subject, variants)


def draw_slopes(axes: Axes, subject: GeneSubject) -> str:
    """ISM against eQTL slope: variants in grey, drivers coloured by support."""
    variants = subject.variants_with("ism", "eqtl_slope")
    axes.axhline(0, color=PALE, linewidth=0.6, zorder=0)
    axes.axvline(0, color=PALE, linewidth=0.6, zorder=0)
    x, y = (np.array([variant[field] for variant in variants]) for field in ("eqtl_slope", "ism"))
    axes.scatter(x, y, s=6, color=NEITHER, alpha=0.5, linewidths=0, label="all variants")
    drivers = [driver for driver in subject.drivers if driver["ism"] is not None and driver["eqtl_slope"] is not None]
    for support, colour in _COLOUR_OF.items():
        of = [(driver["eqtl_slope"], driver["ism"]) for driver in drivers if driver["support"] == support]
        if of:
            marker, label = _MARKER_OF[support], f"{counted(len(of), 'driver')} {support}"
            slope, ism = zip(*of, strict=True)
            axes.scatter(slope, ism, s=22, color=colour, marker=marker, linewidths=0, label=label, zorder=3)
    if drivers:
        axes.margins(0.1)
        axes.legend(loc="best").set_in_layout(False)
    axes.set_title(f"{subject.name}: {_SUPPORT_TITLES[subject.answer['support']['status']]}")
    axes.set_xlabel("eQTL slope (expression per alternate allele)")
    axes.set_ylabel(_ISM_LABEL)
    return f"{_variants(subject, variants)} with a slope"


def draw_logo(axes: Axes, subject: GeneSubject) -> str:
    """Sequence logo of the ISM around the main driver, in the reference and along the contig, where that is filled."""
    if subject.answer["drivers"] == []:
        raise MissingDataError(f"{subject.name} has no driver, so there is no base to show the ISM around")
    effects = read_main_driver(subject.store, subject.answer["model"], subject.row)
    if effects is None or np.isnan(effects).all():
        raise MissingDataError(
            f"the ISM of every base around the main driver of {subject.name} is not filled: run pdstore fill ism_window"
        )
    # NaN, the reference's own base, comes last; where there is no base, all is NaN.
    scores = base_scores(np.sort(effects, axis=1)[:, :-1])
    draw_sequence_logo(axes, scores, _reference_letters(effects))
    axes.set_title(f"{subject.name}: ISM around the main driver")
    axes.set_xlabel("distance to the driver along the contig (bp)")
    axes.set_ylabel("− mean ISM of the base")
    return f"{len(effects)} bases"


def draw_attention(axes: Axes, subject: GeneSubject) -> str:
    """What bins and histone marks do to the answer of AttentiveChrome for the reference, where that is filled."""
    attention = subject.answer["attention"]
    if attention is None:
        raise MissingDataError(f"the attention of {subject.name} is not filled: run pdstore fill attention")
    effects = np.array([mark["gradient_x_input"] for mark in attention], dtype=float)
    furthest = np.nanmax(np.abs(effects))
    image = axes.imshow(effects, aspect="auto", cmap=_SIGNED, vmin=-furthest, vmax=furthest, interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, label="gradient x input (log odds)")
    axes.set_yticks(range(len(attention)), [f"{plain(mark['mark'])} {mark['share']:.2f}" for mark in attention])
    axes.set_title(f"{subject.name}: histone marks")
    kept = attention[0]["bin_index"]
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(lambda place, _: str(kept[int(place)]) if 0 <= place < len(kept) else "")
    axes.set_xlabel("bin of the model, from 0")
    return f"{len(attention)} histone marks, {effects.shape[1]} bins"


def draw_sequence_logo(axes: Axes, scores: NDArray[np.float64], letters: Sequence[str]) -> None:
    """Letters as high as the scores of their bases, below zero where those are negative.

    Parameters
    ----------
    axes : Axes
        Position 0 is the middle base.
    scores : ndarray of float64, shape (positions,)
        NaN is not drawn.
    letters : sequence of str
        A, C, G, T or N of each position; N is not drawn.
    """
    offset = len(scores) // 2
    for place, (score, letter) in enumerate(zip(scores.tolist(), letters, strict=True)):
        if letter in NUCLEOTIDES and np.isfinite(score):
            axes.add_patch(PathPatch(_letter(letter, place - offset, score), color=NUCLEOTIDES[letter], linewidth=0))
    axes.axhline(0, color=FAINT, linewidth=0.6)
    axes.set_xlim(-offset - 0.5, len(scores) - offset - 0.5)
    reach = float(np.nanmax(np.abs(scores), initial=0)) or 1.0
    axes.set_ylim(min(0.0, float(np.nanmin(scores))) - 0.05 * reach, max(0.0, float(np.nanmax(scores))) + 0.05 * reach)


def _letter(letter: str, place: int, height: float) -> Outline:
    """Outline of a letter that fills one position, from zero to `height`."""
    outline = TextPath((0, 0), letter, size=_LETTER_SIZE)
    box = outline.get_extents()
    stretch = Affine2D().translate(-box.x0, -box.y0).scale(0.9 / box.width, height / box.height)
    return stretch.translate(place - 0.45, 0).transform_path(outline)


def _reference_letters(effects: NDArray[np.float32]) -> list[str]:
    """Reference bases: those without an effect of their own."""
    return ["ACGT"[int(np.argmax(missing))] if missing.sum() == 1 else "N" for missing in np.isnan(effects)]


def _number_drivers(axes: Axes, drivers: list[dict[str, Any]], x: str, y: str, x_scale: float) -> None:
    """Number the first drivers and name them in a legend: names at the points would lie on each other."""
    shown = [driver for driver in drivers if driver[x] is not None and driver[y] is not None][:_LABELLED]
    for driver in shown:
        rank = driver["driver_rank"]
        at = (driver[x] * x_scale, driver[y])
        colour, marker = _COLOUR_OF[driver["support"]], _MARKER_OF[driver["support"]]
        label = f"{rank}  {_short_variant(driver['variant'])}, {driver['support']}"
        axes.scatter(*at, s=34, facecolors="none", edgecolors=colour, marker=marker, linewidths=1, label=label)
        below = driver[y] < 0
        axes.annotate(
            str(rank),
            at,
            xytext=(0, -5 if below else 5),
            textcoords="offset points",
            ha="center",
            va="top" if below else "bottom",
            color=colour,
            fontweight="bold",
        )
    if shown:
        more = f" ({len(shown)} of {len(drivers)})" if len(shown) < len(drivers) else ""
        axes.margins(y=0.15)
        axes.legend(title=f"drivers{more}", title_fontsize=6.5, alignment="left", loc="best").set_in_layout(False)


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _short_variant(variant: str) -> str:
    """A variant's name with its long alleles cut: an insertion may have thousands of letters."""
    return ":".join(_short(part, 24) for part in plain(variant).split(":"))


def _variants(subject: GeneSubject, variants: list[dict[str, Any]]) -> str:
    """How many variants: of published tables, drivers alone."""
    # Published tables know of no variant but drivers.
    is_of_tables = subject.store.is_summary and subject.answer["withheld"] is None
    return counted(len(variants), "published driver" if is_of_tables else "variant")


def _reading(strand: str) -> str:
    return "to the right (+)" if strand == "+" else "to the left (−)"


GENE_PANELS: tuple[Panel[GeneSubject], ...] = (
    Panel(
        "prediction",
        "Predicted against observed expression",
        "A point a person; the line is of least squares, the interval a 95% bootstrap interval.",
        draw_prediction,
    ),
    Panel(
        "slopes",
        "ISM against eQTL slope",
        "A point a variant. A driver whose ISM has the sign of its eQTL slope is supported.",
        draw_slopes,
    ),
    Panel("ism", "ISM along the window", "A point a variant, coloured by allele frequency.", draw_ism, wide=True),
    Panel(
        "logo",
        "ISM around the main driver",
        "Letters are the reference, as high as minus the mean effect of the three substitutions.",
        draw_logo,
        wide=True,
    ),
    Panel(
        "attention",
        "AttentiveChrome's histone marks",
        "What each bin does to the answer for the reference; behind a mark is its attention, 1 over all marks.",
        draw_attention,
        wide=True,
        quiet=True,
    ),
)
