"""What of a store may be shared without anybody's genome: a summary, written anew rather than copied.

Only what is named here gets into it, and of that what `pdstore.sharing.shown` says.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.disclosure import scatter_counts
from pdstore.analysis.fdr import benjamini_hochberg
from pdstore.analysis.support import fraction_supported, support
from pdstore.chunk_files import region
from pdstore.schema import SUMMARY, filled_array, schema_of
from pdstore.sharing.shown import Shown
from pdstore.stages.model_group import arrays_of_stages
from pdstore.store import Store, create_store, genes_written, mark_complete

SMALL_COHORT = 100
"""Of fewer people, who knows a person's genome may find out from summaries whether that person is among them."""

_BINS, _REACH = 10, 3.0
"""Cells along an axis of a scatter, and how many standard deviations it reaches from the mean."""

# Not carriers: with the allele frequency they tell of homozygotes, who may be few.
_VARIANTS = (
    "contig",
    "position",
    "ref",
    "alt",
    "kind",
    "allele_frequency",
    "record_position",
    "record_length",
    "length_change",
)
_OF_EXPRESSION = ("observed_mean", "observed_sd")
_OF_PREDICTION = ("prediction_mean", "prediction_sd", "linear_approximation_r")
_OF_CORRELATION = (
    "pearson_r",
    "p_value",
    "null_mean",
    "null_sd",
    "null_t",
    "null_p",
    "empirical_p",
    "r_ci_low",
    "r_ci_high",
)
_FDR_OF = {"fdr": "null_p", "empirical_fdr": "empirical_p"}
_EQTL = ("slope", "pearson_r", "p_value")
_OF_TERMS = ("pearson_r_with_prediction", "driver_rank", "driver_increment", "backward_rank")
_NO_PROVENANCE = ("counts", "haplotypes_per_block", "variants_per_block")
"""Attributes that tell of blocks, or count people's calls."""


@dataclass(frozen=True)
class Withheld:
    """What a summary does not show, for too few people are behind it.

    Attributes
    ----------
    people : int
        People of the cohort.
    variants_shown, variants : int
        Variants of windows that are shown, and all of them.
    drivers : int
        Drivers that are not shown, by gene and model.
    genes : int
        Genes without the correlation of a model that the store has.
    slopes : int
        eQTL slopes of shown drivers that are not shown.
    """

    people: int
    variants_shown: int
    variants: int
    drivers: int
    genes: int
    slopes: int


def write_summary(
    source: Store, target: Path, min_carriers: int, all_slopes: bool, progress: Callable[[str], None]
) -> Withheld:
    """Write the summary of a store.

    Parameters
    ----------
    source : Store
        A store of people.
    target : Path
        Folder of the summary; it must not exist.
    min_carriers : int
        Least number of people that carry a variant, and that do not; and of people behind any other number.
    all_slopes : bool
        Whether to show the eQTL slopes of all variants that are shown, not of drivers alone.
    progress : callable
        Told the step that begins.

    Raises
    ------
    StoreError
        There are too few people for any summary, or a person's name is in what would be shown.
    """
    return _Summary(Shown(source, min_carriers), create_store(target), all_slopes).write(progress)


class _Summary:
    """A summary being written."""

    def __init__(self, shown: Shown, target: Store, all_slopes: bool) -> None:
        self._source, self._target, self._shown = shown.store, target, shown
        self._all_slopes = all_slopes
        self._drivers_withheld = self._slopes_withheld = 0
        self._genes_withheld = np.zeros(shown.genes, dtype=bool)

    def write(self, progress: Callable[[str], None]) -> Withheld:
        self._shown.refuse_names()
        progress("finding what may be shown")
        shown = self._shown.variants
        self._copy("genes")
        variants = {name: self._source.read(f"variants/{name}")[shown] for name in _VARIANTS}
        self._write("variants", variants | {"contig_id": self._source.read("variants/contig_id")})
        for name in self._source.members("windows"):
            progress(f"windows/{name}")
            self._write_window(name)
        models = self._source.members("predictions")
        for name in models:
            progress(f"predictions and attributions of {name}")
            self._write_terms(name)
        for name in self._source.members("eqtl"):
            progress(f"eqtl/{name}")
            self._write_eqtl(name)
        for name in models:
            progress(f"statistics of {name}")
            self._write_statistics(name)
        of = self._source.attributes
        counts = {part: of.get("counts", {}).get(part, {}) for part in ("taken", "left_out")}
        kept = {name: of.get(name) for name in ("pdstore_version", "genome_build", "inputs", "options")}
        mark_complete(self._target, kept | {"level": SUMMARY, "counts": counts | {"notes": []}})
        return Withheld(
            people=self._shown.people,
            variants_shown=int(shown.sum()),
            variants=int(self._shown.in_reach.sum()),
            drivers=self._drivers_withheld,
            genes=int(self._genes_withheld.sum()),
            slopes=self._slopes_withheld,
        )

    def _write_window(self, name: str) -> None:
        group = f"windows/{name}"
        start, count = self._shown.reach(name)
        before = np.concatenate([[0], np.cumsum(self._shown.variants)])
        columns = {of: self._source.read(f"{group}/{of}") for of in ("window_start", "reach_before", "reach_after")}
        columns["variant_start"] = before[start]
        columns["variant_count"] = (before[start + count] - before[start]).astype(np.int32)
        self._write(group, columns)

    def _write_terms(self, name: str) -> None:
        """A model's ISM, and whose terms make its predictions; of genes whose predictions may be shown."""
        window = str(self._source.group(f"predictions/{name}").attrs.get("window"))
        self._create(f"predictions/{name}", {}, [])
        everywhere = np.ones(self._shown.genes, dtype=bool)
        if f"attributions/{name}" in self._source:
            self._write_rows(f"attributions/{name}", ("ism",), window, everywhere)
        if f"statistics/{name}" in self._source:
            self._write_rows(f"statistics/{name}", _OF_TERMS, window, self._shown.predictions[name], name)
        self._write_arrays_of_stages(f"attributions/{name}", window)

    def _among_predicted(self, model: str, gene: int, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether enough of the people with a prediction carry, and do not carry, alleles that are shown."""
        predicted = ~np.isnan(self._shown.prediction(model, gene))
        return np.ones(len(rows), dtype=bool) if predicted.all() else self._shown.variants_among(rows, predicted)

    def _write_rows(
        self, group: str, names: Collection[str], window: str, genes: NDArray[np.bool_], model: str | None = None
    ) -> None:
        """Arrays over genes and variants of the window, of some genes and the variants that are shown.

        Of a model's terms, which correlations with its predictions tell of, those that enough predicted people carry.
        """
        self._create(group, self._window_sizes(window), names)
        start, count = self._shown.reach(window)
        for name in names:
            missing = self._target.array(f"{group}/{name}").fill_value
            for gene in sorted(genes_written(self._source, f"{group}/{name}") & set(np.flatnonzero(genes).tolist())):
                is_shown = self._shown.variants[start[gene] : start[gene] + count[gene]]
                values = self._source.read(f"{group}/{name}", gene)[: len(is_shown)][is_shown]
                if model is not None:
                    hidden = ~self._among_predicted(model, gene, start[gene] + np.flatnonzero(is_shown))
                    values[hidden] = 0 if name == "driver_rank" else missing
                self._write_row(f"{group}/{name}", gene, values)

    def _write_eqtl(self, name: str) -> None:
        """Slopes of drivers, or of all shown variants: each among enough people with expression."""
        group = f"eqtl/{name}"
        self._create(group, self._window_sizes(name), _EQTL)
        start, count = self._shown.reach(name)
        for gene in sorted(genes_written(self._source, f"{group}/p_value")):
            is_shown = self._shown.variants[start[gene] : start[gene] + count[gene]]
            wanted = np.ones(int(is_shown.sum()), dtype=bool) if self._all_slopes else self._drivers_at(name, gene)
            allowed = np.zeros(len(wanted), dtype=bool)
            if self._shown.expressions[gene]:
                rows = start[gene] + np.flatnonzero(is_shown)
                allowed[wanted] = self._shown.variants_among(rows[wanted], self._shown.measured[gene])
            for array in _EQTL:
                values = self._source.read(f"{group}/{array}", gene)[: len(is_shown)][is_shown]
                if array == "slope":
                    self._slopes_withheld += int((wanted & ~allowed & ~np.isnan(values)).sum())
                self._write_row(f"{group}/{array}", gene, np.where(allowed, values, np.nan))

    def _drivers_at(self, window: str, gene: int) -> NDArray[np.bool_]:
        """Which shown variants of a gene's window are drivers of some model."""
        drivers = np.zeros(int(self._target.read(f"windows/{window}/variant_count", gene)), dtype=bool)
        for name in self._source.members("statistics"):
            path = f"statistics/{name}/driver_rank"
            if self._target.group(f"predictions/{name}").attrs.get("window") == window and path in self._target:
                drivers |= self._target.read_if_filled(path, gene)[: len(drivers)] > 0
        return drivers

    def _write_arrays_of_stages(self, group: str, window: str) -> None:
        """What optional stages filled: of the reference all, of variants that of drivers that are shown."""
        for path in arrays_of_stages(self._source, group) if group in self._source else []:
            name = path.rpartition("/")[2]
            sizes = dict(zip(schema_of(group).arrays[name].dims, self._source.array(path).shape, strict=True))
            self._create(group, sizes | self._window_sizes(window), [name])
            chunks = self._source.chunks_written(path)
            wanted: list[tuple[tuple[Any, ...], tuple[Any, ...]]]
            if "window_variants" in sizes:
                ranks = f"statistics/{group.partition('/')[2]}/driver_rank"
                places = self._places_of_drivers(window, ranks) if ranks in self._target else []
                wanted = [(held, shown) for held, shown in places if (*held, *(0,) * (len(sizes) - 2)) in chunks]
            else:
                wanted = [(where, where) for where in (region(self._source, path, chunk) for chunk in sorted(chunks))]
            for held, shown in wanted:
                self._target.write(path, shown, self._source.read(path, held))

    def _places_of_drivers(self, window: str, ranks: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """Gene and column of each driver that is shown, in the source and here."""
        start, count = self._shown.reach(window)
        places = []
        for gene in sorted(genes_written(self._target, ranks)):
            columns = np.flatnonzero(self._shown.variants[start[gene] : start[gene] + count[gene]])
            is_driver = self._target.read(ranks, gene)[: len(columns)] > 0
            places += [((gene, int(columns[shown])), (gene, int(shown))) for shown in np.flatnonzero(is_driver)]
        return places

    def _write_statistics(self, name: str) -> None:
        """Arrays over genes: of what enough people are behind, and of drivers those that are shown."""
        group = f"statistics/{name}"
        if group not in self._source or not genes_written(self._source, filled_array(group)):
            return
        window = str(self._source.group(f"predictions/{name}").attrs.get("window"))
        of_predictions = self._shown.predictions[name]
        hidden = dict.fromkeys(_OF_EXPRESSION, ~self._shown.expressions)
        hidden |= dict.fromkeys(_OF_PREDICTION, ~of_predictions)
        hidden |= dict.fromkeys(_OF_CORRELATION, ~self._shown.correlations[name])
        columns = {array: self._source.read(f"{group}/{array}") for array in (*hidden, "reference_prediction")}
        people = self._source.read(f"{group}/n_samples")
        self._genes_withheld |= ~np.isnan(columns["pearson_r"]) & hidden["pearson_r"]
        for array, genes in hidden.items():
            columns[array][genes] = np.nan
        for array, p_values in _FDR_OF.items():
            columns[array] = benjamini_hochberg(columns[p_values])
        # Of genes that nobody is measured in, that is no secret.
        columns["n_samples"] = np.where(hidden["pearson_r"] & (people != 0), -1, people).astype(np.int32)
        self._write(group, columns | self._drivers(name, window))
        self._write_scatter(name)

    def _drivers(self, name: str, window: str) -> dict[str, NDArray[Any]]:
        """The arrays over genes that tell of drivers, of those that are shown."""
        ranks, increments = f"statistics/{name}/driver_rank", f"statistics/{name}/driver_increment"
        count = self._source.read(f"statistics/{name}/driver_count")
        columns: dict[str, NDArray[Any]] = {
            "driver_count": np.full(self._shown.genes, -1, dtype=np.int32),
            "drivers_withheld": np.full(self._shown.genes, -1, dtype=np.int32),
            "fraction_supported": np.full(self._shown.genes, np.nan),
            "weighted_fraction_supported": np.full(self._shown.genes, np.nan),
        }
        # Undefined stays so.
        for gene in sorted(genes_written(self._target, ranks) & set(np.flatnonzero(count >= 0).tolist())):
            is_driver = self._target.read(ranks, gene) > 0
            ism = self._target.read(f"attributions/{name}/ism", gene)[is_driver]
            slope = self._target.read(f"eqtl/{window}/slope", gene)[is_driver]
            of_drivers = support(ism, slope)
            withheld = int(count[gene] - is_driver.sum())
            self._drivers_withheld += withheld
            found = {
                "driver_count": is_driver.sum(),
                "drivers_withheld": withheld,
                "fraction_supported": fraction_supported(of_drivers),
                "weighted_fraction_supported": fraction_supported(
                    of_drivers, self._target.read(increments, gene)[is_driver]
                ),
            }
            for array, value in found.items():
                columns[array][gene] = value
        return columns

    def _write_scatter(self, name: str) -> None:
        """People by cell of a grid, of each gene whose correlation is shown."""
        group, genes = f"scatter/{name}", self._shown.genes
        sizes = {"genes": genes, "observed_bins": _BINS, "prediction_bins": _BINS}
        sizes |= {"observed_edges": _BINS + 1, "prediction_edges": _BINS + 1}
        attributes = {"model": name, "standard_deviations": _REACH, "min_people": self._shown.least}
        attributes |= {"residualised": self._shown.is_residualised}
        self._target.create_group(group, sizes, attributes)
        edges = {axis: np.full((genes, _BINS + 1), np.nan) for axis in ("observed_edge", "prediction_edge")}
        for gene in np.flatnonzero(self._shown.correlations[name]).tolist():
            people, *of_gene = scatter_counts(
                self._shown.expression[gene], self._shown.prediction(name, gene), _BINS, _REACH, self._shown.least
            )
            self._target.write(f"{group}/people", gene, people)
            for axis, values in zip(edges, of_gene, strict=True):
                edges[axis][gene] = values
        for axis, values in edges.items():
            self._target.write(f"{group}/{axis}", ..., values)

    def _window_sizes(self, window: str) -> dict[str, int]:
        widest = int(self._target.read(f"windows/{window}/variant_count").max())
        return {"genes": self._shown.genes, "window_variants": max(1, widest)}

    def _write_row(self, path: str, gene: int, values: NDArray[Any]) -> None:
        """A gene's values of its variants, padded."""
        array = self._target.array(path)
        row = np.full(array.shape[1], array.fill_value, dtype=array.dtype)
        row[: len(values)] = values
        self._target.write(path, gene, row)

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
