"""One gene's answer, assembled from the store. Imports zarr and numpy, nothing heavier: a query must feel instant."""

import difflib
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.support import (
    SUPPORTED,
    UNDETERMINED,
    UNSUPPORTED,
    fraction_supported,
    gene_support_status,
    support,
)
from pdstore.errors import MissingDataError, StoreError, UnknownGeneError, UsageError
from pdstore.models.attentive_chrome import MARKS, MOST_BINS
from pdstore.models.tracks import parse_ranges
from pdstore.sources.genes import without_version
from pdstore.store import Store, read_together

FdrKind = Literal["published", "empirical"]
CorrelationStatus = Literal["correlated", "anticorrelated", "not significant"]

_SUPPORT_WORDS = {SUPPORTED: "supported", UNSUPPORTED: "unsupported", UNDETERMINED: "undetermined"}
_GENE_FIELDS = {
    "name": "gene_name",
    "id": "gene_id",
    "contig": "gene_contig",
    "tss": "gene_tss",
    "strand": "gene_strand",
}
_CORRELATION_FIELDS = {
    "pearson_r": "pearson_r",
    "p_value": "p_value",
    "null_mean": "null_mean",
    "null_sd": "null_sd",
    "null_t": "null_t",
    "null_p": "null_p",
    "fdr": "fdr",
    "empirical_p": "empirical_p",
    "empirical_fdr": "empirical_fdr",
    "ci_low": "r_ci_low",
    "ci_high": "r_ci_high",
}
_EXPRESSION_FIELDS = ("observed_mean", "observed_sd", "prediction_mean", "prediction_sd", "reference_prediction")
FDR_FIELD: dict[FdrKind, str] = {"published": "fdr", "empirical": "empirical_fdr"}
"""Kind of a false discovery rate → the array of statistics/ that holds it."""


_ATTENTION = ("mark_attention", "bin_attention", "bin_gradient_x_input")
"""What the stage attention fills."""


def find_gene(store: Store, name: str) -> int:
    """Row of a gene.

    Parameters
    ----------
    store : Store
        The store.
    name : str
        Symbol in any case, or identifier with or without version.

    Returns
    -------
    int
        Row of genes/, 0-based.

    Raises
    ------
    UnknownGeneError
        No gene has the name, and the closest names are given; or several share it, and their ids are given.
    """
    return _gene_of(store, name)[0]


def filled_models(store: Store) -> list[str]:
    """Names of the models that the store holds predictions of, the first filled first."""
    order = {name: store.group(f"predictions/{name}").attrs.get("order") for name in store.members("predictions")}
    return sorted((name for name in order if isinstance(order[name], int)), key=lambda name: (order[name], name))


def query_gene(
    store: Store,
    gene: str,
    model: str | None = None,
    alpha: float = 0.05,
    fdr_kind: FdrKind = "published",
    all_variants: bool = False,
) -> dict[str, Any]:
    """Everything that a store knows about a gene.

    Parameters
    ----------
    store : Store
        The store.
    gene : str
        Symbol in any case, or identifier with or without version.
    model : str, optional
        Name of a filled model; the first filled where not given.
    alpha : float
        False discovery rate below which a correlation is called.
    fdr_kind : {"published", "empirical"}
        Which false discovery rate: of the published test, or of the empirical p.
    all_variants : bool
        Whether to give every variant of the window that has an ISM or an eQTL slope, not the drivers alone.

    Returns
    -------
    dict
        As ``schemas/answers/query.schema.json`` says: ``gene``, ``model``, ``n_samples``, ``correlation``,
        ``expression`` (observed and predicted mean and sd over people, and the prediction for the reference),
        ``drivers``, ``support``, ``lead_eqtl`` (of a published table), ``withheld`` (of a summary: how many drivers it
        does not show, and of how few people it shows nothing), ``variants``, None where they were not asked for, and
        ``attention`` (of the readout attentive_chrome: share of each histone mark, and of its bins).
        Values that the store lacks are None.

    Raises
    ------
    UnknownGeneError
        No gene, or several genes, of that name.
    MissingDataError
        The store holds no predictions, or none of that model.
    """
    check_significance(alpha, fdr_kind)
    row, gene_id, symbol = _gene_of(store, gene)
    model = chosen_model(store, model)
    window = window_of(store, model)
    mark, gradient = f"statistics/{model}/n_samples", f"attributions/{model}/gradient_x_input"
    # Asked for only where it may be: over the web every array is a request.
    is_attentive = store.group(f"predictions/{model}").attrs.get("readout") == "attentive_chrome"
    attention = [f"attributions/{model}/{array}" for array in _ATTENTION] if is_attentive else []
    # Some genes may have a gradient or attention, and others none.
    found = read_together(store, {mark: row, gradient: row, **dict.fromkeys(attention, row)}, may_be_unfilled=True)
    n_samples = _number(found[mark], missing=-1)
    of_gene = {f"genes/{array}": row for array in ("gene_contig", "gene_tss", "gene_strand")}
    if window is not None:
        of_gene[f"windows/{window}/variant_start"] = row
    # Once the statistics are filled, everything of the gene is: what is not there then was lost.
    values = read_together(store, of_gene) | _statistics(store, model, row, n_samples is None)
    may_be_unfilled = n_samples is None
    if store.is_summary:
        may_be_unfilled = _number(values[f"statistics/{model}/driver_count"], missing=-1) is None
    values |= read_together(store, _computed(row, model, window), may_be_unfilled)
    values |= {gradient: found[gradient]}
    values |= {"genes/gene_id": np.array(gene_id), "genes/gene_name": np.array(symbol)}
    drivers = _drivers(store, values, model, window)
    variants = _all_variants(store, values, model, window) if all_variants else None
    return {
        "gene": {field: _plain(_present(values, f"genes/{array}")) for field, array in _GENE_FIELDS.items()},
        "model": model,
        "n_samples": n_samples,
        "correlation": _correlation(values, model, alpha, FDR_FIELD[fdr_kind]),
        "expression": {field: _number(values[f"statistics/{model}/{field}"]) for field in _EXPRESSION_FIELDS},
        "drivers": drivers,
        "support": _support(drivers),
        "lead_eqtl": _lead_eqtl(store, row) if store.is_summary else None,
        "withheld": _withheld(store, row, model) if store.is_summary else None,
        "variants": variants,
        "attention": _attention(store, model, *(found[path] for path in attention)) if attention else None,
    }


def variant_name(contig: str, position: int, *alleles: str) -> str:
    """Name of a variant: contig, 1-based position, and what is known of reference and alternate allele."""
    return ":".join([contig, str(position), *(allele for allele in alleles if allele)])


def check_significance(alpha: float, fdr_kind: str) -> None:
    """Raise `UsageError` where that cannot decide what is significant."""
    if fdr_kind not in FDR_FIELD:
        raise UsageError(f"there is no FDR of kind {fdr_kind!r}: it is {' or '.join(FDR_FIELD)}")
    if not 0 < alpha <= 1:
        raise UsageError(f"alpha is {alpha}, but a false discovery rate lies above 0 and is at most 1")


def _gene_of(store: Store, name: str) -> tuple[int, str, str]:
    """Row, identifier and symbol of a gene."""
    if not isinstance(name, str):
        raise UsageError(f"a gene is asked for by its name, not by a {type(name).__name__}; ask for several one by one")
    values = read_together(store, {"genes/gene_id": ..., "genes/gene_name": ...})
    ids, symbols = (_present(values, f"genes/{array}").tolist() for array in ("gene_id", "gene_name"))
    row = _find_gene(name, ids, symbols)
    return row, ids[row], symbols[row]


def _find_gene(name: str, ids: list[str], symbols: list[str]) -> int:
    wanted = name.strip().upper()
    stable = without_version(wanted)
    by_id = [row for row, gene_id in enumerate(ids) if gene_id.upper() in (wanted, stable)]
    by_symbol = [row for row, symbol in enumerate(symbols) if symbol.upper() == wanted]
    found = by_id or by_symbol
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownGeneError(
            f"{len(found)} genes are called {name}: ask for one of {', '.join(ids[i] for i in found)}"
        )
    known = {text.upper(): text for text in [*ids, *symbols]}
    close = [known[text] for text in difflib.get_close_matches(wanted, known, n=3, cutoff=0.6)]
    hint = f"the closest are {', '.join(close)}" if close else f"none of its {len(ids)} genes has a similar name"
    raise UnknownGeneError(f"no gene {name!r} in the store; {hint}")


def chosen_model(store: Store, model: str | None) -> str:
    """A filled model: the one that is asked for, or the first filled; raises `MissingDataError` where it is not."""
    models = filled_models(store)
    if not models:
        raise MissingDataError(f"store {store.url} holds no predictions yet: run pdstore fill")
    if model is None:
        return models[0]
    if model not in models:
        raise MissingDataError(
            f"store {store.url} holds no predictions of model {model!r}; it holds {', '.join(models)}"
        )
    return model


def window_of(store: Store, model: str) -> str | None:
    """Name of a model's window; None in a summary that knows none.

    Raises
    ------
    StoreError
        The store has not the window that it names.
    """
    window = store.group(f"predictions/{model}").attrs.get("window")
    if isinstance(window, str) and window in store.members("windows"):
        return window
    if window is None and store.is_summary:
        return None
    raise StoreError(f"store {store.url}: predictions/{model} names a window that the store does not hold")


def _computed(row: int, model: str, window: str | None) -> dict[str, Any]:
    """The arrays that stages fill, beside a gene's statistics, and that its answer needs, and what of each."""
    return (
        {f"statistics/{model}/{array}": row for array in ("driver_rank", "pearson_r_with_prediction")}
        | {f"attributions/{model}/ism": row}
        | ({f"eqtl/{window}/slope": row, f"eqtl/{window}/p_value": row} if window is not None else {})
    )


def _statistics(store: Store, model: str, row: int, may_be_unfilled: bool) -> dict[str, NDArray[Any] | None]:
    """A gene's statistics by path, None where the store has none: of one row, and in a summary of arrays over genes."""
    group = f"statistics/{model}"
    names = (*_CORRELATION_FIELDS.values(), *_EXPRESSION_FIELDS, "driver_count")
    if store.is_summary:
        # Written whole, of all genes: an array that is there is filled.
        return read_together(store, {f"{group}/{name}": row for name in names})
    if may_be_unfilled:
        return dict.fromkeys(f"{group}/{name}" for name in names)
    over_genes = {f"{group}/{name}": row for name in FDR_FIELD.values()}
    found = read_together(store, over_genes | {f"{group}/gene_values": row, f"{group}/statistic_name": ...})
    of_block = dict(
        zip(_present(found, f"{group}/statistic_name").tolist(), _present(found, f"{group}/gene_values"), strict=True)
    )
    return {f"{group}/{name}": found.get(f"{group}/{name}", of_block.get(name)) for name in names}


def _lead_eqtl(store: Store, row: int) -> dict[str, Any] | None:
    fields = ("distance", "minor_allele_frequency", "pearson_r", "p_value")
    values = read_together(store, {f"lead_eqtl/{field}": row for field in fields})
    numbers = {field: _number(values[f"lead_eqtl/{field}"]) for field in fields}
    return None if numbers["pearson_r"] is None else numbers


def _withheld(store: Store, row: int, model: str) -> dict[str, Any] | None:
    """What a summary does not show, for too few people are behind it; None of one that is of published tables."""
    path = f"statistics/{model}/drivers_withheld"
    count = read_together(store, {path: row})[path]
    if count is None:
        return None
    least = store.group(f"scatter/{model}").attrs.get("min_people")
    return {"drivers": _number(count, missing=-1), "min_people": least if isinstance(least, int) else None}


def _correlation(values: Mapping[str, Any], model: str, alpha: float, fdr_field: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        field: _number(values[f"statistics/{model}/{array}"]) for field, array in _CORRELATION_FIELDS.items()
    }
    fdr, r = fields[fdr_field], fields["pearson_r"]
    status = None
    if r is not None and fdr is not None:
        status = "not significant" if fdr >= alpha else "correlated" if r > 0 else "anticorrelated"
    return fields | {"status": status}


def _drivers(store: Store, values: Mapping[str, Any], model: str, window: str | None) -> list[dict[str, Any]] | None:
    """The drivers, the main one first; None where they are not filled, or where forward selection is undefined."""
    if window is None or _number(values[f"statistics/{model}/driver_count"], missing=-1) is None:
        return None
    rank = _present(values, f"statistics/{model}/driver_rank")
    columns = sorted(np.flatnonzero(rank > 0).tolist(), key=lambda column: rank[column])
    return _variants(store, values, model, window, columns)


def _all_variants(
    store: Store, values: Mapping[str, Any], model: str, window: str | None
) -> list[dict[str, Any]] | None:
    """The variants with an ISM or an eQTL slope, in the order of positions; None where neither is filled."""
    paths = [] if window is None else [f"attributions/{model}/ism", f"eqtl/{window}/slope"]
    found = [values[path] for path in paths if values[path] is not None]
    if window is None or not found:
        return None
    columns = np.flatnonzero(~np.isnan(found).all(axis=0)).tolist()
    return sorted(_variants(store, values, model, window, columns), key=lambda variant: variant["position"])


def _variants(
    store: Store, values: Mapping[str, Any], model: str, window: str, columns: list[int]
) -> list[dict[str, Any]]:
    """What the store knows of some variants of a gene's window."""
    if not columns:
        return []
    rank = values[f"statistics/{model}/driver_rank"]
    rows = int(_present(values, f"windows/{window}/variant_start")) + np.array(columns)
    low, high = int(rows.min()), int(rows.max()) + 1
    fields = ("position", "ref", "alt", "allele_frequency")
    variants = read_together(store, {f"variants/{field}": slice(low, high) for field in fields})
    position = _present(variants, "variants/position")
    contig, tss = str(_present(values, "genes/gene_contig")), int(_present(values, "genes/gene_tss"))
    per_variant = {
        "ism": f"attributions/{model}/ism",
        "gradient_x_input": f"attributions/{model}/gradient_x_input",
        "eqtl_slope": f"eqtl/{window}/slope",
        "eqtl_p": f"eqtl/{window}/p_value",
        "pearson_r_with_prediction": f"statistics/{model}/pearson_r_with_prediction",
    }
    found = []
    for column, row in zip(columns, rows - low, strict=True):
        alleles = [variants[f"variants/{allele}"] for allele in ("ref", "alt")]
        named = [str(letters[row]) for letters in alleles if letters is not None]
        numbers = {field: _element(values[path], column) for field, path in per_variant.items()}
        found.append(
            {
                "variant": variant_name(contig, int(position[row]), *named),
                "position": int(position[row]),
                "distance_to_tss": int(position[row]) - tss,
                "allele_frequency": _element(variants["variants/allele_frequency"], row),
                **numbers,
                "driver_rank": None if rank is None or rank[column] < 1 else int(rank[column]),
                "main": rank is not None and bool(rank[column] == 1),
                "support": _SUPPORT_WORDS[int(support(_or_nan(numbers["ism"]), _or_nan(numbers["eqtl_slope"])))],
            }
        )
    return found


def _attention(
    store: Store, model: str, marks: NDArray[Any] | None, bins: NDArray[Any] | None, effects: NDArray[Any] | None
) -> list[dict[str, Any]] | None:
    """What the answer for the reference is made of, a histone mark an element; None where that is not filled."""
    if marks is None or bins is None or effects is None or np.isnan(marks).any() or len(marks) != len(MARKS):
        return None
    kept = _kept_bins(store, f"predictions/{model}", bins.shape[1])
    return [
        {
            "mark": mark,
            "share": _number(share),
            "bin_index": kept,
            "bins": [_number(of_bin) for of_bin in of_mark],
            "gradient_x_input": [_number(of_bin) for of_bin in its_effects],
        }
        for mark, share, of_mark, its_effects in zip(MARKS, marks, bins, effects, strict=True)
    ]


def _kept_bins(store: Store, group: str, count: int) -> list[int]:
    """Which of a model's bins a store keeps; all where it does not say, as of a model that has no choice of them."""
    options = store.group(group).attrs.get("model_options")
    if not isinstance(options, dict) or "bins" not in options:
        return list(range(count))
    recorded = str(options["bins"])
    try:
        kept = parse_ranges(recorded, MOST_BINS, "bin")
    except UsageError as error:
        raise StoreError(f"{group}: its kept {error}") from error
    if len(kept) != count:
        raise StoreError(f"{group}: its kept bins are {recorded[:50]}, but it holds {count}")
    return kept


def _support(drivers: list[dict[str, Any]] | None) -> dict[str, Any]:
    if drivers is None:
        return dict.fromkeys(("status", "supported", "unsupported", "fraction_supported"))
    signs = {word: sign for sign, word in _SUPPORT_WORDS.items()}
    of_drivers = np.array([signs[driver["support"]] for driver in drivers], dtype=np.int8)
    return {
        "status": gene_support_status(of_drivers),
        "supported": int((of_drivers == SUPPORTED).sum()),
        "unsupported": int((of_drivers == UNSUPPORTED).sum()),
        "fraction_supported": _number(fraction_supported(of_drivers)),
    }


def _present(values: Mapping[str, NDArray[Any] | None], path: str) -> NDArray[Any]:
    value = values[path]
    if value is None:
        raise MissingDataError(f"the store has no array {path}")
    return value


def _number(value: Any, missing: int | None = None) -> float | int | None:
    """A number as JSON has it; None for NaN, for the value that means missing, and where the store has no array."""
    if value is None:
        return None
    number: float | int = np.asarray(value).item()
    if number == missing or (isinstance(number, float) and not math.isfinite(number)):
        return None
    return number


def _element(row: NDArray[Any] | None, column: int) -> float | int | None:
    return None if row is None else _number(row[column])


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _plain(value: NDArray[Any]) -> str | int:
    item: str | int = value.item()
    return item
