"""What of a store may be shared without anybody's genome: a summary, written anew rather than copied.

Only what is named here gets into it. Variants have to be carried, and not carried, by a least number of people.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.disclosure import carriers_and_others, scatter_counts
from pdstore.analysis.support import fraction_supported, support
from pdstore.errors import StoreError
from pdstore.schema import SUMMARY, schema_of
from pdstore.store import Store, create_store, genes_written, mark_complete

SMALL_COHORT = 100
"""Of fewer people, who knows a person's genome may find out from summaries whether that person is among them."""

_BINS, _REACH = 10, 3.0
"""Cells along an axis of a scatter, and how many standard deviations it reaches from the mean."""

_VARIANTS = (
    "contig",
    "position",
    "ref",
    "alt",
    "kind",
    "allele_frequency",
    "carriers",
    "record_position",
    "record_length",
    "length_change",
)
_OF_MEASURED = (
    "observed_mean",
    "observed_sd",
    "pearson_r",
    "p_value",
    "null_mean",
    "null_sd",
    "null_t",
    "null_p",
    "fdr",
    "empirical_p",
    "empirical_fdr",
    "r_ci_low",
    "r_ci_high",
)
"""Statistics that expression goes into: of few people they would be these people's values."""
_OTHER_STATISTICS = (
    "n_samples",
    "prediction_mean",
    "prediction_sd",
    "reference_prediction",
    "linear_approximation_r",
)
_ROWS = {
    "eqtl": ("slope", "pearson_r", "p_value"),
    "statistics": ("pearson_r_with_prediction", "driver_rank", "driver_increment", "backward_rank"),
    "attributions": ("ism",),
}
"""Parent of groups → their arrays over genes and variants of the window."""
_NO_PROVENANCE = ("counts", "haplotypes_per_block", "variants_per_block")
"""Attributes that tell of blocks, or count people's calls."""
_LEAST_NAME = 4
"""Letters of a person's name that is looked for in what would be shown; shorter ones stand in any text."""
_RECORDS_AT_ONCE = 1_000


@dataclass(frozen=True)
class Withheld:
    """What a summary does not show.

    Attributes
    ----------
    people : int
        People of the cohort.
    variants_shown, variants : int
        Variants of windows that are shown, and all of them.
    drivers : int
        Drivers that are not shown, by gene and model.
    genes_without_correlation : int
        Genes whose expression is measured in some people, but too few.
    slopes : int
        eQTL slopes of shown variants that are not, as too few of the people with expression carry them or do not.
    """

    people: int
    variants_shown: int
    variants: int
    drivers: int
    genes_without_correlation: int
    slopes: int


def write_summary(source: Store, target: Path, min_carriers: int, progress: Callable[[str], None]) -> Withheld:
    """Write the summary of a store.

    Parameters
    ----------
    source : Store
        A store of people.
    target : Path
        Folder of the summary; it must not exist.
    min_carriers : int
        Least number of people that carry a variant, and that do not; and of people behind any other number.
    progress : callable
        Told the step that begins.

    Raises
    ------
    StoreError
        There are too few people for any summary, or a person's name is in what would be shown.
    """
    return _Summary(source, create_store(target), min_carriers).write(progress)


class _Summary:
    """A summary being written."""

    def __init__(self, source: Store, target: Store, min_carriers: int) -> None:
        self._source = source
        self._target = target
        self._min = min_carriers
        self._people, self._genes = (
            source.array("expression/observed").shape[1],
            source.array("genes/gene_tss").shape[0],
        )
        self._drivers_withheld = self._slopes_withheld = 0
        if self._people < 2 * min_carriers:
            raise StoreError(
                f"store {source.url} has {self._people} people: a summary shows what at least {min_carriers} carry and "
                f"{min_carriers} do not, which needs {2 * min_carriers}"
            )

    def write(self, progress: Callable[[str], None]) -> Withheld:
        self._refuse_names()
        progress("finding the variants that may be shown")
        in_reach, shown = self._in_reach, self._shown
        self._copy("genes")
        variants = {name: self._source.read(f"variants/{name}")[shown] for name in _VARIANTS}
        self._write("variants", variants | {"contig_id": self._source.read("variants/contig_id")})
        for name in self._source.members("windows"):
            progress(f"windows/{name}")
            self._write_window(name)
        for name in self._source.members("eqtl"):
            progress(f"eqtl/{name}")
            self._write_rows(f"eqtl/{name}", name)
        for name in self._source.members("predictions"):
            progress(f"predictions, attributions and statistics of {name}")
            self._write_model(name)
        if "lead_eqtl" in self._source:
            self._copy("lead_eqtl")
        of = self._source.attributes
        counts = {part: of.get("counts", {}).get(part, {}) for part in ("taken", "left_out")}
        kept = {name: of.get(name) for name in ("pdstore_version", "genome_build", "inputs", "options")}
        mark_complete(self._target, kept | {"level": SUMMARY, "counts": counts | {"notes": []}})
        few = (self._measured.sum(axis=1) > 0) & self._too_few
        return Withheld(
            people=self._people,
            variants_shown=int(shown.sum()),
            variants=int(in_reach.sum()),
            drivers=self._drivers_withheld,
            genes_without_correlation=int(few.sum()),
            slopes=self._slopes_withheld,
        )

    @property
    def _residualised(self) -> bool:
        return "expression/residual" in self._source

    @cached_property
    def _expression(self) -> NDArray[np.float64]:
        """What statistics see: shape (genes, people)."""
        array = "residual" if self._residualised else "observed"
        return self._source.read(f"expression/{array}").astype(np.float64)

    @cached_property
    def _measured(self) -> NDArray[np.bool_]:
        """Whether a gene is measured in a person: shape (genes, people)."""
        measured: NDArray[np.bool_] = ~np.isnan(self._expression)
        return measured

    @cached_property
    def _too_few(self) -> NDArray[np.bool_]:
        """Whether a gene is measured in too few people: shape (genes,)."""
        few: NDArray[np.bool_] = self._measured.sum(axis=1) < self._min
        return few

    @cached_property
    def _in_reach(self) -> NDArray[np.bool_]:
        """Which rows of variants/ lie in the window of a gene: what is in none is of no use, and tells who is in it."""
        edges = np.zeros(self._source.array("variants/position").shape[0] + 1, dtype=np.int64)
        for name in self._source.members("windows"):
            start, count = self._reach(name)
            np.add.at(edges, start, 1)
            np.add.at(edges, start + count, -1)
        inside: NDArray[np.bool_] = np.cumsum(edges)[:-1] > 0
        return inside

    @cached_property
    def _shown(self) -> NDArray[np.bool_]:
        """Which rows of variants/ may be shown."""
        shown = np.zeros(len(self._in_reach), dtype=bool)
        rows = np.flatnonzero(self._in_reach)
        for part in range(0, len(rows), _RECORDS_AT_ONCE):
            of_part = rows[part : part + _RECORDS_AT_ONCE]
            shown[of_part] = self._may_be_shown(of_part, np.ones(self._people, dtype=bool))
        return shown

    def _may_be_shown(self, rows: NDArray[np.int64], people: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether enough of some people carry, and enough do not carry, alleles of variants/."""
        if not len(rows):
            return np.zeros(0, dtype=bool)
        within = slice(int(rows[0]), int(rows[-1]) + 1)
        record, allele = (
            self._source.read(f"variants/{name}", within)[rows - rows[0]]
            for name in ("genotype_record", "allele_index")
        )
        first = int(record.min())
        calls = self._source.read("genotypes/call_genotype", slice(first, int(record.max()) + 1))[:, people]
        carriers, others = carriers_and_others(calls[record - first], allele)
        enough: NDArray[np.bool_] = (carriers >= self._min) & (others >= self._min)
        return enough

    def _reach(self, window: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First row of variants/ and number of rows of each gene's window."""
        start = self._source.read(f"windows/{window}/variant_start")
        return start, np.maximum(self._source.read(f"windows/{window}/variant_count").astype(np.int64), 0)

    def _write_window(self, name: str) -> None:
        group = f"windows/{name}"
        start, count = self._reach(name)
        shown_before = np.concatenate([[0], np.cumsum(self._shown)])
        columns = {
            array: self._source.read(f"{group}/{array}") for array in ("window_start", "reach_before", "reach_after")
        }
        columns["variant_start"] = shown_before[start]
        columns["variant_count"] = (shown_before[start + count] - shown_before[start]).astype(np.int32)
        self._write(group, columns)

    def _write_rows(self, group: str, window: str) -> None:
        """Arrays over genes and variants of the window, of those that are shown."""
        parent = group.split("/")[0]
        start, count = self._reach(window)
        widest = max(1, int(self._target.read(f"windows/{window}/variant_count").max()))
        present = [name for name in _ROWS[parent] if f"{group}/{name}" in self._source]
        self._create(group, {"genes": self._genes, "window_variants": widest}, present)
        for name in present:
            missing = self._source.array(f"{group}/{name}").fill_value
            for gene in sorted(genes_written(self._source, f"{group}/{name}")):
                columns = np.flatnonzero(self._shown[start[gene] : start[gene] + count[gene]])
                values = self._source.read(f"{group}/{name}", gene)[columns]
                if parent == "eqtl":
                    hidden = ~self._of_measured(gene, start[gene] + columns)
                    self._slopes_withheld += int((hidden & ~np.isnan(values)).sum()) if name == "slope" else 0
                    values = np.where(hidden, np.nan, values)
                row = np.full(widest, missing, dtype=values.dtype)
                row[: len(values)] = values
                self._target.write(f"{group}/{name}", gene, row)

    def _of_measured(self, gene: int, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether enough of the people in whom a gene is measured carry, and do not carry, alleles that are shown."""
        measured = self._measured[gene]
        if measured.all():
            return np.ones(len(rows), dtype=bool)
        return self._may_be_shown(rows, measured)

    def _write_model(self, name: str) -> None:
        predictions, attributions, statistics = (f"{of}/{name}" for of in ("predictions", "attributions", "statistics"))
        window = str(self._source.group(predictions).attrs.get("window"))
        self._create(predictions, {}, [])
        if attributions in self._source:
            self._write_rows(attributions, window)
            self._write_ism_windows(name)
        if statistics in self._source:
            self._write_rows(statistics, window)
            self._write_statistics(name, window)
        if f"{predictions}/expression" in self._source:
            self._write_scatter(name)

    def _write_ism_windows(self, name: str) -> None:
        """ISM around drivers, of those that are shown: rows are drivers by rank."""
        group, ranks = f"attributions/{name}", f"statistics/{name}/driver_rank"
        path = f"{group}/ism_window"
        if path not in self._source or ranks not in self._source:
            return
        dims = schema_of(group).arrays["ism_window"].dims
        self._create(group, dict(zip(dims, self._source.array(path).shape, strict=True)), ["ism_window"])
        for gene in sorted(genes_written(self._source, path) & genes_written(self._target, ranks)):
            values = self._source.read(path, gene)
            shown = np.isin(np.arange(1, len(values) + 1), self._target.read(ranks, gene))
            values[~shown] = np.nan
            self._target.write(path, gene, values)

    def _write_statistics(self, name: str, window: str) -> None:
        """Arrays over genes: of expression where enough people have it, of drivers those that are shown."""
        group = f"statistics/{name}"
        columns = {
            array: self._source.read_if_filled(f"{group}/{array}") for array in (*_OF_MEASURED, *_OTHER_STATISTICS)
        }
        few = self._too_few | (columns["n_samples"] < self._min)
        for array in _OF_MEASURED:
            columns[array][few] = np.nan
        self._write(group, columns | self._drivers(name, window))

    def _drivers(self, name: str, window: str) -> dict[str, NDArray[Any]]:
        """The arrays over genes that tell of drivers, of those that are shown."""
        ranks, increments = f"statistics/{name}/driver_rank", f"statistics/{name}/driver_increment"
        # Undefined, or not filled, stays so.
        count = self._source.read_if_filled(f"statistics/{name}/driver_count")
        columns: dict[str, NDArray[Any]] = {
            "driver_count": count,
            "drivers_withheld": np.full(self._genes, -1, dtype=np.int32),
            "fraction_supported": np.full(self._genes, np.nan),
            "weighted_fraction_supported": np.full(self._genes, np.nan),
        }
        for gene in sorted(genes_written(self._target, ranks)):
            is_driver = self._target.read(ranks, gene) > 0
            ism = self._target.read(f"attributions/{name}/ism", gene)[is_driver]
            slope = self._target.read_if_filled(f"eqtl/{window}/slope", gene)[is_driver]
            increment = self._target.read(increments, gene)[is_driver]
            if count[gene] >= 0:
                withheld = int(count[gene] - is_driver.sum())
                self._drivers_withheld += withheld
                columns["driver_count"][gene], columns["drivers_withheld"][gene] = is_driver.sum(), withheld
            of_drivers = support(ism, slope)
            columns["fraction_supported"][gene] = fraction_supported(of_drivers)
            columns["weighted_fraction_supported"][gene] = fraction_supported(of_drivers, increment)
        return columns

    def _write_scatter(self, name: str) -> None:
        """People by cell of a grid, of each gene that has predictions."""
        group, predictions = f"scatter/{name}", f"predictions/{name}/expression"
        sizes = {"genes": self._genes, "observed_bins": _BINS, "prediction_bins": _BINS}
        sizes |= {"observed_edges": _BINS + 1, "prediction_edges": _BINS + 1}
        attributes = {"model": name, "standard_deviations": _REACH, "min_people": self._min}
        attributes |= {"residualised": self._residualised}
        self._target.create_group(group, sizes, attributes)
        edges = {axis: np.full((self._genes, _BINS + 1), np.nan) for axis in ("observed_edge", "prediction_edge")}
        for gene in sorted(genes_written(self._source, predictions)):
            people, *of_gene = scatter_counts(
                self._expression[gene], self._source.read(predictions, gene), _BINS, _REACH, self._min
            )
            self._target.write(f"{group}/people", gene, people)
            for axis, values in zip(edges, of_gene, strict=True):
                edges[axis][gene] = values
        for axis, values in edges.items():
            self._target.write(f"{group}/{axis}", ..., values)

    def _copy(self, group: str) -> None:
        """Every array of a group, whole."""
        present = [name for name in schema_of(group).arrays if f"{group}/{name}" in self._source]
        self._write(group, {name: self._source.read(f"{group}/{name}") for name in present})

    def _write(self, group: str, columns: Mapping[str, NDArray[Any]]) -> None:
        """Write whole arrays of a group."""
        sizes: dict[str, int] = {}
        for name, values in columns.items():
            sizes |= dict(zip(schema_of(group).arrays[name].dims, values.shape, strict=True))
        self._create(group, sizes, list(columns))
        for name, values in columns.items():
            self._target.write(f"{group}/{name}", ..., values)

    def _create(self, group: str, sizes: Mapping[str, int], arrays: Collection[str]) -> None:
        """A group with some of its arrays, and what its schema says of its provenance."""
        schema, of = schema_of(group), self._source.group(group).attrs.asdict()
        attributes = {name: of[name] for name in schema.attributes if name in of and name not in _NO_PROVENANCE}
        self._target.create_group(group, sizes, attributes, without=set(schema.arrays) - set(arrays))

    def _refuse_names(self) -> None:
        """Raise `StoreError` where a name of what would be shown, or an attribute, holds the name of a person."""
        people = {str(name) for name in self._source.read("genotypes/sample_id")}
        people = {name for name in people if len(name) >= _LEAST_NAME}
        groups = [f"{of}/{name}" for of in ("windows", "predictions") for name in self._source.members(of)]
        told = [*groups, *_texts(self._source.attributes)]
        told += [text for path in groups for text in _texts(self._source.group(path).attrs.asdict())]
        for text in told:
            if people & set(re.findall(r"[^\s/,;:=]+", text)):
                raise StoreError(
                    f"store {self._source.url}: the name of a set, or an attribute, holds the name of a person, which "
                    "a summary must not; fill the set again under another name (--as)"
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
