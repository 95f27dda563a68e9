"""Figures over all genes of a store."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pdstore.driver_table import driver_columns
from pdstore.errors import MissingDataError
from pdstore.figures.style import FAINT, NEITHER, PALE, SUPPORTED, UNSUPPORTED, Panel, signed
from pdstore.gene_table import Columns, gene_columns, has_levels, population_average, summarise
from pdstore.query import FDR_FIELD, FdrKind, chosen_model, filled_models
from pdstore.store import Store
from pdstore.words import counted, plain

_STATUS_COLOUR = {"not significant": NEITHER, "correlated": SUPPORTED, "anticorrelated": UNSUPPORTED, "": PALE}
_P_FIELD: dict[FdrKind, str] = {"published": "null_p", "empirical": "empirical_p"}
_SMALLEST_P = 1e-50
"""Smaller ones are drawn here, as triangles: published p of t reach 0."""
_BASELINE = "predixcan"
_MANY_DRIVERS = 20
"""So many and more are one bar."""
_R_BINS = np.linspace(-1, 1, 11)


@dataclass(frozen=True)
class GenesSubject:
    """What figures over all genes are drawn of.

    Attributes
    ----------
    store : Store
    model : str
    against : str or None
        The model that R is compared with.
    alpha : float
        False discovery rate that is called significant.
    fdr_kind : {"published", "empirical"}
    """

    store: Store
    model: str
    against: str | None
    alpha: float = 0.05
    fdr_kind: FdrKind = "published"

    @classmethod
    def of(
        cls,
        store: Store,
        model: str | None = None,
        against: str | None = None,
        alpha: float = 0.05,
        fdr_kind: FdrKind = "published",
    ) -> "GenesSubject":
        """The subject of a model; without `against` it is compared with PrediXcan, or with the next filled model."""
        model = chosen_model(store, model)
        others = [name for name in filled_models(store) if name != model]
        if against is not None:
            against = chosen_model(store, against)
        elif others:
            against = _BASELINE if _BASELINE in others else others[0]
        return cls(store, model, against, alpha, fdr_kind)

    @cached_property
    def columns(self) -> Columns:
        """`pdstore.gene_table.gene_columns` of the model."""
        return gene_columns(self.store, self.model, self.alpha, self.fdr_kind)

    @cached_property
    def drivers(self) -> Columns:
        """Strand-signed distance to the TSS and support of every driver."""
        batches = list(driver_columns(self.store, self.model, self.columns, ("ism", "eqtl_slope")))
        names = ("strand_signed_distance", "support")
        if not batches or not all(name in batch for batch in batches for name in names):
            raise MissingDataError(f"the drivers of {self.model} have no ranks, ISM or eQTL slopes")
        return {name: np.concatenate([batch[name] for batch in batches]) for name in names}

    def with_values(self, *fields: str) -> NDArray[np.bool_]:
        """Genes that have all of some values; raises `MissingDataError` where none has."""
        missing = np.isnan(np.array([self.columns[field] for field in fields])).any(axis=0)
        found: NDArray[np.bool_] = np.logical_not(missing)
        if not found.any():
            raise MissingDataError(f"no gene of {self.model} has {' and '.join(fields)}")
        return found


def draw_significance(axes: Axes, subject: GenesSubject) -> str:
    """-log10 p against R, a point a gene, with the line of the false discovery rate where a gene is below it."""
    p_field, fdr_field = _P_FIELD[subject.fdr_kind], FDR_FIELD[subject.fdr_kind]
    present = subject.with_values("pearson_r", p_field)
    columns = {name: values[present] for name, values in subject.columns.items()}
    r, p = columns["pearson_r"], columns[p_field]
    height = -np.log10(np.maximum(p, _SMALLEST_P))
    for status, colour in _STATUS_COLOUR.items():
        of = columns["status"] == status
        if not status and not of.any():
            continue
        axes.scatter(
            r[of],
            height[of],
            s=4,
            color=colour,
            linewidths=0,
            rasterized=True,
            label=f"{status or 'FDR not filled'} ({of.sum():,})",
        )
    beyond = p < _SMALLEST_P
    if beyond.any():
        axes.scatter(r[beyond], height[beyond], s=10, marker="^", facecolors="none", edgecolors=FAINT, linewidths=0.5)
    # Of all genes with a p: one without R, whose prediction does not vary, may have one in published tables.
    every_p = subject.columns[p_field]
    significant = (subject.columns[fdr_field] < subject.alpha)[~np.isnan(every_p)]
    if significant.any():
        cut = -np.log10(_benjamini_hochberg_cut(every_p[~np.isnan(every_p)], significant, subject.alpha))
        axes.axhline(cut, color=FAINT, linestyle="--", linewidth=0.6)
        text = axes.text(1, cut, f"FDR {subject.alpha:g}", transform=axes.get_yaxis_transform())
        text.set(ha="right", va="bottom", fontsize=6, color=FAINT)
    reach = max(0.1, 1.05 * float(np.abs(r).max()))
    axes.set_xlim(-reach, reach)
    axes.set_ylim(bottom=min(0.0, -0.02 * float(height.max())))
    axes.axvline(0, color=PALE, linewidth=0.6, zorder=0)
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=3, columnspacing=1, fontsize=6, markerscale=2)
    axes.set_title(f"Significance of R ({subject.fdr_kind} null)")
    axes.set_xlabel("R over people")
    axes.set_ylabel(f"−log10 p of the {subject.fdr_kind} null")
    clipped = f", {beyond.sum():,} with p < {_SMALLEST_P:g} at the top" if beyond.any() else ""
    return f"{counted(int(present.sum()), 'gene')} with R and p{clipped}"


def _benjamini_hochberg_cut(p: NDArray[np.float64], significant: NDArray[np.bool_], alpha: float) -> float:
    """The p that the procedure compares with: alpha times the share of genes called, between theirs and others'."""
    called = alpha * significant.sum() / len(p)
    return float(np.clip(called, p[significant].max(), p[~significant].min(initial=1.0)))


def draw_models(axes: Axes, subject: GenesSubject) -> str:
    """R of the model against R of another, a point a gene that both predict."""
    if subject.against is None:
        raise MissingDataError(f"the store holds no model beside {subject.model}")
    subject.with_values("pearson_r")
    other = gene_columns(subject.store, subject.against, subject.alpha, subject.fdr_kind)["pearson_r"]
    both = ~(np.isnan(subject.columns["pearson_r"]) | np.isnan(other))
    if not both.any():
        raise MissingDataError(f"no gene has an R of both {subject.model} and {subject.against}")
    x, y = other[both], subject.columns["pearson_r"][both]
    axes.axhline(0, color=PALE, linewidth=0.6, zorder=0)
    axes.axvline(0, color=PALE, linewidth=0.6, zorder=0)
    axes.plot([-1, 1], [-1, 1], color=FAINT, linewidth=0.6, linestyle=":")
    axes.scatter(x, y, s=4, color=SUPPORTED, alpha=0.5, linewidths=0, rasterized=True)
    axes.set_xlim(min(-0.1, x.min()) - 0.05, x.max() + 0.05)
    axes.set_ylim(min(-0.1, y.min()) - 0.05, y.max() + 0.05)
    axes.set_title(f"{plain(subject.model)}: higher R for {(y > x).mean():.0%} of genes")
    axes.set_xlabel(f"R of {plain(subject.against)}")
    axes.set_ylabel(f"R of {plain(subject.model)}")
    return f"{counted(int(both.sum()), 'gene')} with an R of both"


def draw_support(axes: Axes, subject: GenesSubject) -> str:
    """Fraction of a gene's drivers that is supported against R, and its mean in bins of R."""
    present = subject.with_values("pearson_r", "fraction_supported")
    r, fraction = (subject.columns[name][present] for name in ("pearson_r", "fraction_supported"))
    axes.scatter(r, fraction, s=5, color=NEITHER, alpha=0.35, linewidths=0, rasterized=True)
    which = np.clip(np.digitize(r, _R_BINS) - 1, 0, len(_R_BINS) - 2)
    in_bin = [fraction[which == index] for index in range(len(_R_BINS) - 1)]
    # NaN breaks the line where no gene is.
    means = [of.mean() if of.size else np.nan for of in in_bin]
    places = [r[which == index].mean() if of.size else np.nan for index, of in enumerate(in_bin)]
    axes.plot(
        places, means, "o-", color=SUPPORTED, markersize=3, label=f"mean in bins of {_R_BINS[1] - _R_BINS[0]:.1f}"
    )
    axes.axvline(0, color=PALE, linewidth=0.6, zorder=0)
    axes.legend(loc="best")
    axes.set_xlim(-1.05, 1.05)
    axes.set_ylim(-0.05, 1.05)
    axes.set_title("Support of drivers by R")
    axes.set_xlabel("R over people")
    axes.set_ylabel("fraction of drivers supported")
    return f"{counted(int(present.sum()), 'gene')} with R and drivers of known support"


def draw_drivers_at_tss(axes: Axes, subject: GenesSubject) -> str:
    """How many drivers lie where around the TSS, by support."""
    if not (np.nan_to_num(subject.columns["driver_count"]) > 0).any():
        raise MissingDataError(f"no gene of {subject.model} has drivers")
    drivers = subject.drivers
    kilobases = drivers["strand_signed_distance"] / 1000
    reach = float(np.abs(kilobases).max()) or 1.0
    words = {"supported": SUPPORTED, "unsupported": UNSUPPORTED, "undetermined": NEITHER}
    of = {word: kilobases[drivers["support"] == word] for word in words}
    present = {word: values for word, values in of.items() if values.size}
    axes.hist(
        list(present.values()),
        bins=np.linspace(-reach, reach, 42).tolist(),
        stacked=True,
        color=[words[word] for word in present],
        label=[f"{word} ({values.size:,})" for word, values in present.items()],
    )
    axes.legend(loc="upper left")
    axes.set_title("Drivers around the TSS")
    axes.set_xlabel("distance to the TSS, upstream < 0 (kb)")
    axes.set_ylabel("drivers")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return counted(kilobases.size, "driver")


def draw_driver_count(axes: Axes, subject: GenesSubject) -> str:
    """How many genes have how many drivers."""
    present = subject.with_values("driver_count")
    count = subject.columns["driver_count"][present].astype(int)
    shown = np.bincount(np.minimum(count, _MANY_DRIVERS))
    axes.bar(np.arange(len(shown)), shown, color=SUPPORTED, width=0.85)
    ticks = np.arange(0, len(shown), 5 if len(shown) > 8 else 1)
    axes.set_xticks(ticks, [f"{tick}+" if tick == _MANY_DRIVERS else str(tick) for tick in ticks])
    axes.set_title(f"Drivers per gene: median {np.median(count):g}")
    axes.set_xlabel("drivers")
    axes.set_ylabel("genes")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return counted(count.size, "gene")


def draw_population_average(axes: Axes, subject: GenesSubject) -> str:
    """Mean observed expression against the prediction for the reference, or the mean one, a point a gene."""
    if not has_levels(subject.store, subject.model):
        raise MissingDataError(f"{subject.model} predicts differences between people, and no level of a gene")
    what, predicted, observed = population_average(subject.columns)
    if not predicted.size:
        raise MissingDataError(f"no gene of {subject.model} has both a prediction and a mean expression")
    axes.scatter(predicted, observed, s=4, color=SUPPORTED, alpha=0.3, linewidths=0, rasterized=True)
    r = summarise(subject.columns).population_average_r
    axes.set_title("Over genes: too few for R" if np.isnan(r) else f"Over genes: R = {signed(r)}")
    axes.set_xlabel(f"{what} of {plain(subject.model)}")
    axes.set_ylabel("mean observed expression")
    return f"{counted(predicted.size, 'gene')} with both"


GENES_PANELS: tuple[Panel[GenesSubject], ...] = (
    Panel(
        "significance",
        "Significance of R",
        "A point a gene; where a dashed line is drawn, genes above it are significant at its false discovery rate.",
        draw_significance,
    ),
    Panel("models", "R of two models", "A point a gene; above the dotted line the model's R is higher.", draw_models),
    Panel(
        "support",
        "Support of drivers by R",
        "A point a gene with drivers whose support is known; the line is the mean in bins of R.",
        draw_support,
    ),
    Panel(
        "drivers",
        "Drivers around the TSS",
        "All drivers of all genes; supported: ISM and eQTL slope have the same sign.",
        draw_drivers_at_tss,
    ),
    Panel("driver-count", "Drivers per gene", "Genes by their number of drivers.", draw_driver_count),
    Panel(
        "population",
        "Population average against observed mean",
        "A point a gene: what models are trained for, differences between genes.",
        draw_population_average,
    ),
)
