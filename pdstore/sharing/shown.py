"""What of a store of people a summary may show: of which variants, of which genes' expression, of which predictions."""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.disclosure import carriers_and_others, few_deviate, populations_tell_of_few
from pdstore.errors import StoreError
from pdstore.store import Store, genes_written

_LEAST_NAME = 4
"""Letters of a person's name that is looked for in what would be shown; shorter ones stand in any text."""
_BYTES_AT_ONCE = 1 << 26
"""Of genotypes."""


class Shown:
    """What may be shown of a store's people.

    Parameters
    ----------
    store : Store
        A store of people.
    least : int
        Of fewer people nothing is shown, and no number whose difference to another tells of fewer.

    Raises
    ------
    StoreError
        There are too few people for any summary.
    """

    def __init__(self, store: Store, least: int) -> None:
        self.store = store
        self.least = least
        self.genes, self.people = store.array("expression/observed").shape
        if self.people < 2 * least:
            raise StoreError(
                f"store {store.url} has {self.people} people: a summary shows what at least {least} carry and {least} "
                f"do not, which needs {2 * least}"
            )

    @property
    def is_residualised(self) -> bool:
        """Whether statistics see expression without what covariates explain."""
        return "expression/residual" in self.store

    @cached_property
    def expression(self) -> NDArray[np.float64]:
        """What statistics see: shape (genes, people)."""
        array = "residual" if self.is_residualised else "observed"
        return self.store.read(f"expression/{array}").astype(np.float64)

    @cached_property
    def measured(self) -> NDArray[np.bool_]:
        """Whether a gene is measured in a person: shape (genes, people)."""
        measured: NDArray[np.bool_] = ~np.isnan(self.expression)
        return measured

    def prediction(self, model: str, gene: int) -> NDArray[np.float64]:
        """Predictions of a gene: shape (people,); NaN where they are not filled."""
        if gene not in self._predicted[model]:
            return np.full(self.people, np.nan)
        return self.store.read(f"predictions/{model}/expression", gene)

    @cached_property
    def _predicted(self) -> dict[str, set[int]]:
        paths = {model: f"predictions/{model}/expression" for model in self._models}
        return {
            model: genes_written(self.store, path) if path in self.store else set() for model, path in paths.items()
        }

    @cached_property
    def _models(self) -> list[str]:
        return self.store.members("predictions")

    @cached_property
    def predictions(self) -> dict[str, NDArray[np.bool_]]:
        """Model → whether statistics of its predictions may be shown, shape (genes,)."""
        return {model: self._by_gene[0][:, column] for column, model in enumerate(self._models)}

    @cached_property
    def expressions(self) -> NDArray[np.bool_]:
        """Whether what is of a gene's expression may be shown: shape (genes,)."""
        return self._by_gene[1]

    @cached_property
    def correlations(self) -> dict[str, NDArray[np.bool_]]:
        """Model → whether its predictions' correlation with expression may be shown, shape (genes,)."""
        return {model: self._by_gene[2][:, column] for column, model in enumerate(self._models)}

    @cached_property
    def _by_gene(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
        predictions = np.zeros((self.genes, len(self._models)), dtype=bool)
        expressions, correlations = np.zeros(self.genes, dtype=bool), predictions.copy()
        everybody = np.ones(self.people, dtype=bool)
        for gene in range(self.genes):
            measured = self.measured[gene]
            values = [self.prediction(model, gene) for model in self._models]
            predicted = [~np.isnan(of_model) for of_model in values]
            both = [measured & people for people in predicted]
            if populations_tell_of_few([everybody, *predicted], self.least):
                continue
            varied = [not few_deviate(of[people], self.least) for of, people in zip(values, predicted, strict=True)]
            predictions[gene] = varied
            if measured.any() and not populations_tell_of_few([everybody, measured, *predicted, *both], self.least):
                expressions[gene] = not few_deviate(self.expression[gene, measured], self.least)
                among = [not few_deviate(of[people], self.least) for of, people in zip(values, both, strict=True)]
                correlations[gene] = np.array(varied, dtype=bool) & among & expressions[gene]
        return predictions, expressions, correlations

    @cached_property
    def in_reach(self) -> NDArray[np.bool_]:
        """Which rows of variants/ lie in the window of a gene: what is in none is of no use, and tells who is in it."""
        edges = np.zeros(self.store.array("variants/position").shape[0] + 1, dtype=np.int64)
        for name in self.store.members("windows"):
            start, count = self.reach(name)
            np.add.at(edges, start, 1)
            np.add.at(edges, start + count, -1)
        inside: NDArray[np.bool_] = np.cumsum(edges)[:-1] > 0
        return inside

    @cached_property
    def variants(self) -> NDArray[np.bool_]:
        """Which rows of variants/ may be shown."""
        shown = np.zeros(len(self.in_reach), dtype=bool)
        rows = np.flatnonzero(self.in_reach)
        shown[rows] = self.variants_among(rows, np.ones(self.people, dtype=bool))
        return shown

    def variants_among(self, rows: NDArray[np.int64], people: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether enough of some people carry, and enough do not carry, alleles of variants/ (rising rows)."""
        enough = np.zeros(len(rows), dtype=bool)
        if people.sum() < 2 * self.least or not len(rows):
            return enough
        record, allele = self._record[rows], self._allele[rows]
        most = max(1, _BYTES_AT_ONCE // (self.people * self.store.array("genotypes/call_genotype").shape[2]))
        order = np.argsort(record, kind="stable")
        # Parts of records that lie near each other, so that what is between them is not read.
        part = record[order] // most
        for of_part in np.split(order, np.flatnonzero(np.diff(part)) + 1):
            first = int(record[of_part].min())
            calls = self.store.read("genotypes/call_genotype", slice(first, int(record[of_part].max()) + 1))
            carriers, others = carriers_and_others(calls[record[of_part] - first][:, people], allele[of_part])
            enough[of_part] = (carriers >= self.least) & (others >= self.least)
        return enough

    @cached_property
    def _record(self) -> NDArray[np.int64]:
        return self.store.read("variants/genotype_record")

    @cached_property
    def _allele(self) -> NDArray[np.int8]:
        return self.store.read("variants/allele_index")

    def reach(self, window: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First row of variants/ and number of rows of each gene's window."""
        start = self.store.read(f"windows/{window}/variant_start")
        return start, np.maximum(self.store.read(f"windows/{window}/variant_count").astype(np.int64), 0)

    def refuse_names(self) -> None:
        """Raise `StoreError` where a name of what would be shown, or an attribute, holds the name of a person."""
        people = {str(name) for name in self.store.read("genotypes/sample_id")}
        groups = [f"{of}/{name}" for of in ("windows", "predictions") for name in self.store.members(of)]
        told = [*groups, *_texts(self.store.attributes)]
        told += [text for path in groups for text in _texts(self.store.group(path).attrs.asdict())]
        text = "\n".join(told).casefold()
        for name in people:
            # Most are in none: the regular expression is for the others.
            if len(name) < _LEAST_NAME or name.casefold() not in text:
                continue
            if re.search(rf"(?<![a-z0-9]){re.escape(name.casefold())}(?![a-z0-9])", text):
                raise StoreError(
                    f"store {self.store.url}: the name of a set, or an attribute, holds the name of a person, which a "
                    "summary must not; fill the set again under another name (--as)"
                )


def _texts(value: Any) -> Iterator[str]:
    """Every text in attributes."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
