"""All genes of a store at once: their statistics as columns, filtered and sorted, and what they come to."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.support import SupportStatus
from pdstore.errors import MissingDataError, UsageError
from pdstore.models.protocol import NO_READOUT
from pdstore.query import FDR_FIELD, CorrelationStatus, FdrKind, check_significance, chosen_model
from pdstore.store import Store, read_together

Columns = dict[str, NDArray[Any]]
"""Name of a column → values, one a gene: NaN, or an empty text, where the store has none."""

SortedBy = Literal["pearson_r", "abs_r", "fdr", "empirical_fdr", "p_value", "fraction_supported", "drivers", "gene"]

_OF_GENES = {"gene": "gene_name", "id": "gene_id", "contig": "gene_contig", "tss": "gene_tss", "strand": "gene_strand"}
WITHHELD = "drivers_withheld"
"""Of a summary of people alone: drivers that it does not show."""

_STATISTICS = (
    "n_samples",
    "pearson_r",
    "r_ci_low",
    "r_ci_high",
    "p_value",
    "null_mean",
    "null_sd",
    "null_t",
    "null_p",
    "fdr",
    "empirical_p",
    "empirical_fdr",
    "observed_mean",
    "observed_sd",
    "prediction_mean",
    "prediction_sd",
    "reference_prediction",
    "linear_approximation_r",
    "driver_count",
    "fraction_supported",
    "weighted_fraction_supported",
)
COUNTS = ("n_samples", "driver_count", WITHHELD)


@dataclass(frozen=True)
class Filter:
    """Which genes are wanted; all where nothing is given.

    Attributes
    ----------
    status, support : str or None
        Correlation status, support status.
    min_abs_r : float or None
        |R| of at least so much.
    max_fdr : float or None
        False discovery rate of at most so much.
    fdr_kind : {"published", "empirical"}
        Which false discovery rate.
    """

    status: CorrelationStatus | None = None
    support: SupportStatus | None = None
    min_abs_r: float | None = None
    max_fdr: float | None = None
    fdr_kind: FdrKind = "published"


@dataclass(frozen=True)
class Summary:
    """What the genes of a model come to.

    Attributes
    ----------
    genes : int
        Genes with an R.
    significant, anticorrelated : int
        Genes whose false discovery rate is below alpha; and those of them with R < 0.
    mean_r : float
        Mean R over genes; NaN where none has one.
    population_average_r : float
        Pearson's R over genes between the prediction for the reference, or the mean prediction where that is missing,
        and the mean observed expression; NaN where fewer than three genes have both.
    population_average_of : str
        Which prediction that is of: "reference prediction" or "mean prediction".
    supported_correlated, supported_anticorrelated : float
        Mean fraction of supported drivers over genes with R > 0, and with R < 0.
    """

    genes: int
    significant: int
    anticorrelated: int
    mean_r: float
    population_average_r: float
    population_average_of: str
    supported_correlated: float
    supported_anticorrelated: float


def gene_columns(
    store: Store, model: str | None = None, alpha: float = 0.05, fdr_kind: FdrKind = "published"
) -> Columns:
    """The statistics of every gene.

    Parameters
    ----------
    store : Store
        The store.
    model : str, optional
        Name of a filled model; the first filled where not given.
    alpha : float
        False discovery rate below which a correlation is called.
    fdr_kind : {"published", "empirical"}
        Which false discovery rate.

    Returns
    -------
    dict
        Columns in the order in which they are shown: of genes/ (TSS 1-based), of statistics/, ``status`` and
        ``support`` as a query gives them; ``drivers_withheld`` where the store, a summary, has it.

    Raises
    ------
    MissingDataError
        The store holds no statistics of the model.
    """
    check_significance(alpha, fdr_kind)
    model = chosen_model(store, model)
    if model not in store.members("statistics"):
        raise MissingDataError(
            f"store {store.url} holds no statistics of {model}: run pdstore fill statistics --model "
            f"{shlex.quote(model)} --weights FILE -s {shlex.quote(store.url)}"
        )
    of_genes = {f"genes/{array}": ... for array in _OF_GENES.values()}
    values = read_together(store, of_genes)
    statistics = (*_STATISTICS, WITHHELD) if f"statistics/{model}/{WITHHELD}" in store else _STATISTICS
    of_statistics = {f"statistics/{model}/{name}": ... for name in statistics}
    # Where no gene is filled yet, nothing is written.
    values |= read_together(store, of_statistics, may_be_unfilled=True)
    columns: Columns = {}
    for name, array in _OF_GENES.items():
        found = values[f"genes/{array}"]
        if found is None:
            raise MissingDataError(f"store {store.url} has no array genes/{array}: get the store again from a copy")
        columns[name] = found
    genes = len(columns["id"])
    for name in statistics:
        found = values[f"statistics/{model}/{name}"]
        numbers = np.full(genes, np.nan) if found is None else found.astype(np.float64)
        columns[name] = np.where(numbers < 0, np.nan, numbers) if name in COUNTS else numbers
    if not store.is_summary:
        # A gather that was killed may have written of a gene what its mark does not yet tell of.
        for name in statistics:
            columns[name] = np.where(np.isnan(columns["n_samples"]), np.nan, columns[name])
    columns["status"] = correlation_status(columns["pearson_r"], columns[FDR_FIELD[fdr_kind]], alpha)
    columns["support"] = support_status(columns["driver_count"], columns["fraction_supported"])
    return columns


def correlation_status(r: NDArray[np.float64], fdr: NDArray[np.float64], alpha: float) -> NDArray[np.object_]:
    """Status of each gene: by the sign of R where the false discovery rate is below alpha; empty where either is NaN.

    Parameters
    ----------
    r, fdr : ndarray of float64, shape (genes,)
    alpha : float

    Returns
    -------
    ndarray of str, shape (genes,)
    """
    by_sign = np.where(r > 0, "correlated", "anticorrelated")
    status = np.where(fdr < alpha, by_sign, "not significant")
    return np.where(np.isnan(r) | np.isnan(fdr), "", status).astype(object)


def support_status(driver_count: NDArray[np.float64], fraction: NDArray[np.float64]) -> NDArray[np.object_]:
    """Support of each gene by its number of drivers (NaN: undefined) and the fraction of them that is supported.

    Parameters
    ----------
    driver_count, fraction : ndarray of float64, shape (genes,)

    Returns
    -------
    ndarray of str, shape (genes,)
        As `pdstore.analysis.support.gene_support_status`; empty where the number of drivers is undefined.
    """
    conditions = [np.isnan(driver_count), driver_count == 0, np.isnan(fraction), fraction == 1, fraction == 0]
    names = ["", "no drivers", "undetermined", "supported", "unsupported"]
    return np.select(conditions, names, "mixed").astype(object)


def has_levels(store: Store, model: str) -> bool:
    """Whether predictions of a model say how much a gene is expressed: those of dosages say differences alone."""
    return store.group(f"predictions/{model}").attrs.get("readout") != NO_READOUT


def summarise(columns: Columns, levels: bool = True) -> Summary:
    """What all genes come to; `levels` is `has_levels` of the model."""
    r, status, fraction = columns["pearson_r"], columns["status"], columns["fraction_supported"]
    known = ~np.isnan(r)
    anticorrelated = int((status == "anticorrelated").sum())
    return Summary(
        genes=int(known.sum()),
        significant=anticorrelated + int((status == "correlated").sum()),
        anticorrelated=anticorrelated,
        mean_r=_mean(r),
        population_average_r=_population_average_r(columns) if levels else np.nan,
        population_average_of=population_average(columns)[0],
        supported_correlated=_mean(fraction[r > 0]),
        supported_anticorrelated=_mean(fraction[r < 0]),
    )


def select(columns: Columns, wanted: Filter, sort: SortedBy | None = None, top: int | None = None) -> Columns:
    """The genes that are wanted, sorted, and of those the first `top`.

    Parameters
    ----------
    columns : dict
        Of `gene_columns`.
    wanted : Filter
        Which genes. A gene without the value that is asked for is not wanted.
    sort : str, optional
        "gene" by name; "pearson_r" from the lowest; "fdr", "empirical_fdr" and "p_value" from the lowest, ties by |R|;
        "abs_r", "fraction_supported" and "drivers" from the highest. Genes without a value come last. The order of the
        store where not given.
    top : int, optional
        How many.
    """
    keep = np.ones(len(columns["id"]), dtype=np.bool_)
    abs_r = np.abs(columns["pearson_r"])
    if wanted.status is not None:
        keep &= columns["status"] == wanted.status
    if wanted.support is not None:
        keep &= columns["support"] == wanted.support
    if wanted.min_abs_r is not None:
        keep &= abs_r >= wanted.min_abs_r
    if wanted.max_fdr is not None:
        keep &= columns[FDR_FIELD[wanted.fdr_kind]] <= wanted.max_fdr
    rows = np.flatnonzero(keep)
    if sort is not None:
        if sort not in get_args(SortedBy):
            raise UsageError(f"genes cannot be sorted by {sort!r}: it is one of {', '.join(get_args(SortedBy))}")
        rows = rows[_order(columns, sort, rows, abs_r)]
    return {name: values[rows[:top]] for name, values in columns.items()}


def _order(columns: Columns, sort: SortedBy, rows: NDArray[np.int64], abs_r: NDArray[np.float64]) -> NDArray[np.int64]:
    if sort == "gene":
        return np.argsort(columns["gene"][rows].astype(object), kind="stable")
    values = {
        "abs_r": -abs_r,
        "drivers": -columns["driver_count"],
        "fraction_supported": -columns["fraction_supported"],
    }
    # NaN sorts last.
    order: NDArray[np.int64] = np.lexsort((-abs_r[rows], values.get(sort, columns.get(sort, abs_r))[rows]))
    return order


def population_average(columns: Columns) -> tuple[str, NDArray[np.float64], NDArray[np.float64]]:
    """Prediction for the population and its mean observed expression, of the genes that have both.

    Parameters
    ----------
    columns : dict
        Of `gene_columns`.

    Returns
    -------
    what : str
        Which prediction: for the reference, or the mean over people where no gene has that.
    predicted, observed : ndarray of float64, shape (genes,)
    """
    reference, observed = columns["reference_prediction"], columns["observed_mean"]
    by_reference = not np.isnan(reference).all()
    predicted = reference if by_reference else columns["prediction_mean"]
    both = ~np.isnan(predicted) & ~np.isnan(observed)
    return "reference prediction" if by_reference else "mean prediction", predicted[both], observed[both]


def _population_average_r(columns: Columns) -> float:
    _, predicted, observed = population_average(columns)
    if len(predicted) < 3 or not (np.ptp(predicted) and np.ptp(observed)):
        return np.nan
    return float(np.corrcoef(predicted, observed)[0, 1])


def _mean(values: NDArray[np.float64]) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else np.nan


def rows_of(columns: Columns) -> Sequence[dict[str, Any]]:
    """One object a gene, as JSON has it: None where there is no value."""
    plain = {name: [_plain(name, value) for value in values.tolist()] for name, values in columns.items()}
    return [dict(zip(plain, values, strict=True)) for values in zip(*plain.values(), strict=True)]


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, float):
        return None if np.isnan(value) else int(value) if name in COUNTS else value
    return None if value == "" else value
