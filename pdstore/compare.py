"""Two models, or two stores, gene by gene: whose R is higher, and where the sign changes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import MissingDataError, UsageError
from pdstore.gene_table import Columns, gene_columns
from pdstore.location.locate import names_location
from pdstore.query import FdrKind, chosen_model, filled_models, window_of
from pdstore.store import Store, genes_written, open_store


@dataclass(frozen=True)
class Comparison:
    """Genes of which both have an R.

    Attributes
    ----------
    names : tuple of str
        Of both.
    gene, id : ndarray of str, shape (genes,)
        Symbols and identifiers.
    r : ndarray of float64, shape (2, genes)
        R of each.
    status : ndarray of str, shape (2, genes)
        Correlation status of each; empty where unknown.
    left_out : tuple of int
        Genes of each without an R in the other, or at all.
    """

    names: tuple[str, str]
    gene: NDArray[np.object_]
    id: NDArray[np.object_]
    r: NDArray[np.float64]
    status: NDArray[np.object_]
    left_out: tuple[int, int]

    @property
    def changes_sign(self) -> NDArray[np.bool_]:
        """Whether R of both has opposite signs: bool, shape (genes,)."""
        changes: NDArray[np.bool_] = self.r[0] * self.r[1] < 0
        return changes

    @property
    def better(self) -> NDArray[np.int64]:
        """0 or 1, whose R is higher, -1 where both are equal: int64, shape (genes,)."""
        return np.where(self.r[0] == self.r[1], -1, (self.r[1] > self.r[0]).astype(np.int64))


def compare(
    store: str | None,
    first: str,
    second: str,
    alpha: float = 0.05,
    fdr_kind: FdrKind = "published",
    cache: Path | None = None,
) -> Comparison:
    """Compare two models by their R over people.

    Parameters
    ----------
    store : str or None
        The store whose models are compared.
    first, second : str
        Name of a model of the store; or another store, its first model, or the one that follows it: ``b.zarr#cnn``.
        With ``@READOUT`` behind it R is that of predictions read out anew from the stored tracks: ``enformer@sum_log``.
    alpha : float
        False discovery rate below which a correlation is called.
    fdr_kind : {"published", "empirical"}
        Which false discovery rate.
    cache : Path, optional
        Folder that keeps what is read of a remote store.

    Returns
    -------
    Comparison
        Of the genes that both have, by identifier, in the order of the first.

    Raises
    ------
    UsageError
        Neither a model nor a store goes by a name, or there is no such readout.
    MissingDataError
        They have no gene with an R in common.
    """
    asked = [given.partition("@") for given in (first, second)]
    sides = [_side(store, given, cache) for given, _, _ in asked]
    tables = [gene_columns(of, model, alpha, fdr_kind) for of, model in sides]
    labels = [model + at + readout for (_, model), (_, at, readout) in zip(sides, asked, strict=True)]
    for table, (of, model), (_, at, readout) in zip(tables, sides, asked, strict=True):
        if at:
            table["pearson_r"] = _r_with_readout(of, model, readout)
            table["status"] = np.full(len(table["id"]), "", dtype=object)
    if labels[0] == labels[1]:
        labels = [f"{Path(of.url).name}#{label}" for (of, _), label in zip(sides, labels, strict=True)]
    names = (labels[0], labels[1])
    rows = [_rows_with_r(table) for table in tables]
    common = [gene for gene in rows[0] if gene in rows[1]]
    if not common:
        raise MissingDataError(f"there is no gene of which both {names[0]} and {names[1]} have R")
    chosen = [np.array([of[gene] for gene in common]) for of in rows]
    both = list(zip(tables, chosen, strict=True))
    return Comparison(
        names,
        tables[0]["gene"][chosen[0]],
        tables[0]["id"][chosen[0]],
        np.array([table["pearson_r"][index] for table, index in both]),
        np.array([table["status"][index] for table, index in both], dtype=object),
        (len(tables[0]["id"]) - len(common), len(tables[1]["id"]) - len(common)),
    )


def summarise_comparison(comparison: Comparison) -> dict[str, int | float | None]:
    """What a comparison comes to.

    Returns
    -------
    dict
        ``genes``; ``mean_r_first``, ``mean_r_second``; ``r_of_r``: Pearson's R between both over genes;
        ``first_higher`` and ``second_higher``: genes; ``wilcoxon_p``: two-sided p of Wilcoxon's signed-rank test of the
        difference, None for no difference; ``sign_changes``: genes; ``sign_changes_significant``: those in which both
        are significant, None where the significance of either is not known.
    """
    from scipy.stats import wilcoxon

    r, better = comparison.r, comparison.better
    changes = comparison.changes_sign
    known = (comparison.status != "").any(axis=1).all()
    significant = np.isin(comparison.status, ["correlated", "anticorrelated"]).all(axis=0)
    varies = r.shape[1] > 1 and bool(np.ptp(r[0]) and np.ptp(r[1]))
    return {
        "genes": r.shape[1],
        "mean_r_first": float(r[0].mean()),
        "mean_r_second": float(r[1].mean()),
        "r_of_r": float(np.corrcoef(r[0], r[1])[0, 1]) if varies else None,
        "first_higher": int((better == 0).sum()),
        "second_higher": int((better == 1).sum()),
        "wilcoxon_p": float(wilcoxon(r[0], r[1]).pvalue) if (better >= 0).any() else None,
        "sign_changes": int(changes.sum()),
        "sign_changes_significant": int((changes & significant).sum()) if known else None,
    }


def _side(store: str | None, given: str, cache: Path | None) -> tuple[Store, str]:
    """A store and one of its models."""
    if store is not None and names_location(store):
        opened = open_store(store, cache=cache)
        if given in filled_models(opened):
            return opened, given
    path, _, model = given.partition("#")
    if not names_location(path):
        if store is None or not names_location(store):
            of = "" if store is None else f", and {store} is no store whose model it could be"
            raise UsageError(f"{given!r} is no store{of}: give STORE, STORE#MODEL, or a model's name with --store")
        held = ", ".join(filled_models(open_store(store, cache=cache))) or "none"
        raise UsageError(
            f"{given!r} is neither a model of {store}, which holds {held}, nor a store: give one of its models, STORE, "
            "or STORE#MODEL"
        )
    opened = open_store(path, cache=cache)
    return opened, chosen_model(opened, model or None)


def _r_with_readout(store: Store, model: str, name: str) -> NDArray[np.float64]:
    """R of each gene, its predictions read out of the stored tracks in another way; NaN where they are not filled."""
    from pdstore.analysis.correlation import pearson_r
    from pdstore.analysis.readout import READOUTS
    from pdstore.stages.expression import read_expression
    from pdstore.stages.predictions import read_person_prediction
    from pdstore.stages.readouts import Readout, stored_readout

    store.require_people()
    group, windows = f"predictions/{model}", f"windows/{window_of(store, model)}"
    if f"{group}/tracks" not in store:
        raise UsageError(f"{model} has no stored tracks to read out: compare {model}, not {model}@{name}")
    stored = stored_readout(store, group)
    if name not in (*READOUTS, stored.name):
        known = ", ".join(dict.fromkeys((*READOUTS, stored.name)))
        raise UsageError(f"the tracks of {model} cannot be read out by {name!r}, only by one of {known}")
    readout = stored if name == stored.name else Readout(name)
    r = np.full(store.array("genes/gene_tss").shape[0], np.nan)
    for gene in sorted(genes_written(store, f"{group}/expression")):
        predicted = read_person_prediction(store, group, windows, gene, readout)
        observed = read_expression(store, gene)
        both = ~np.isnan(predicted) & ~np.isnan(observed)
        r[gene] = pearson_r(predicted[both], observed[both])
    return r


def _rows_with_r(table: Columns) -> dict[str, int]:
    return {str(table["id"][row]): int(row) for row in np.flatnonzero(~np.isnan(table["pearson_r"]))}
