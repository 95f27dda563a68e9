"""statistics/<model>/: the benchmark, gene by gene."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.correlation import bootstrap_interval, pearson_p, pearson_r
from pdstore.analysis.drivers import backward_drivers, forward_drivers
from pdstore.analysis.fdr import benjamini_hochberg
from pdstore.analysis.null import empirical_p, null_correlations, published_test
from pdstore.analysis.support import fraction_supported, support
from pdstore.errors import MissingDataError
from pdstore.haplotypes.build import alternate_dosage, diploid_dosage
from pdstore.models.registry import ModelReference
from pdstore.schema import filled_array
from pdstore.stages.expression import read_expression
from pdstore.stages.gene_window import read_calls, read_gene_window, window_variant_sizes
from pdstore.stages.model_group import derived_from, require_same_window
from pdstore.stages.readouts import stored_readout
from pdstore.stages.stage import Block, Pending, gene_label, pending_genes
from pdstore.store import Store, genes_written

SEED = 0
NULL_DRAWS = 50
EMPIRICAL_DRAWS = 1_000
MAX_EMPIRICAL_DRAWS = 100_000
BOOTSTRAP_RESAMPLES = 1_000

FDR_OF = {"fdr": "null_p", "empirical_fdr": "empirical_p"}
"""False discovery rate → the p-value that it corrects over genes."""


GENE_STATISTICS = (
    "n_samples",
    "observed_mean",
    "observed_sd",
    "prediction_mean",
    "prediction_sd",
    "reference_prediction",
    "pearson_r",
    "p_value",
    "null_mean",
    "null_sd",
    "null_t",
    "null_p",
    "empirical_p",
    "r_ci_low",
    "r_ci_high",
    "linear_approximation_r",
    "driver_count",
    "fraction_supported",
    "weighted_fraction_supported",
)
"""What a block finds of its gene, each gathered into an array over genes."""


@dataclass(frozen=True)
class Statistics:
    """The stage "statistics": a block is a gene; false discovery rates are gathered over all of them."""

    model: ModelReference
    name = "statistics"
    unit = "genes"
    runs_model = False

    @property
    def group(self) -> str:
        return f"statistics/{self.model.label}"

    @property
    def _mark(self) -> str:
        return filled_array(self.group)

    def prepare(self, store: Store) -> None:
        require_same_window(store, self.model)
        sizes = window_variant_sizes(store, self.model.window) | {"statistics": len(GENE_STATISTICS)}
        attributes = {
            "model": self.model.name,
            "window": self.model.window.name,
            **derived_from(store, self.model.label),
            "seed": SEED,
            "null_draws": NULL_DRAWS,
            "empirical_draws": EMPIRICAL_DRAWS,
            "max_empirical_draws": MAX_EMPIRICAL_DRAWS,
            "bootstrap_resamples": BOOTSTRAP_RESAMPLES,
            "pdstore_version": version("pdstore"),
        }
        store.create_group(self.group, sizes, attributes, without={"drivers_withheld"})
        if not store.chunks_written(f"{self.group}/statistic_name"):
            store.write(f"{self.group}/statistic_name", ..., np.array(GENE_STATISTICS, dtype=object))

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        pending = pending_genes(store, self._mark, genes)
        label, window = self.model.label, self.model.window.name
        for path in (f"predictions/{label}", f"attributions/{label}", f"eqtl/{window}"):
            missing = {gene for (gene,) in pending.todo} - genes_written(store, filled_array(path))
            if missing:
                stage = path.split("/")[0]
                raise MissingDataError(
                    f"{stage} of gene {gene_label(store, min(missing))} are not filled: run pdstore fill {stage}"
                )
        return pending

    def run(self, store: Store, block: Block) -> None:
        (gene,) = block
        window = read_gene_window(store, self.model.window, gene)
        columns = window.scored_columns
        calls = read_calls(store, window)
        carried = calls.carried[window.scored]
        dosage, weighted_dosage = alternate_dosage(carried), diploid_dosage(carried, calls.absent)
        prediction = store.read(f"predictions/{self.model.label}/expression", gene)
        measured = store.read("expression/observed", gene).astype(np.float64)
        observed = read_expression(store, gene)
        ism = store.read(f"attributions/{self.model.label}/ism", gene)[columns]
        slope = store.read(f"eqtl/{self.model.window.name}/slope", gene)[columns]

        drivers = forward_drivers(ism, weighted_dosage, prediction, window.position[columns])
        for name, values, missing in (
            ("pearson_r_with_prediction", drivers.pearson_r_with_prediction, np.nan),
            ("driver_increment", drivers.increment, np.nan),
            ("driver_rank", drivers.rank, 0),
            ("backward_rank", backward_drivers(ism, weighted_dosage, prediction, window.position[columns]), 0),
        ):
            row = np.full(store.array(f"{self.group}/{name}").shape[1], missing, dtype=values.dtype)
            row[columns] = values
            store.write(f"{self.group}/{name}", gene, row)
        is_driver = drivers.rank > 0
        supported = support(ism, slope)[is_driver]
        rng = np.random.default_rng([SEED, zlib.crc32(str(store.read("genes/gene_id", gene)).encode())])
        found = correlation_statistics(dosage, prediction, observed, rng) | {
            "observed_mean": _of_present(np.mean, measured),
            "observed_sd": _of_present(np.std, measured),
            "prediction_mean": _of_present(np.mean, prediction),
            "prediction_sd": _of_present(np.std, prediction),
            "reference_prediction": self._reference_prediction(store, gene),
            "linear_approximation_r": drivers.linear_approximation_r,
            "driver_count": is_driver.sum() if drivers.selected else -1,
            "fraction_supported": fraction_supported(supported),
            "weighted_fraction_supported": fraction_supported(supported, drivers.increment[is_driver]),
        }
        store.write(self._mark, gene, [found.get(name, np.nan) for name in GENE_STATISTICS])

    def _reference_prediction(self, store: Store, gene: int) -> float:
        group = f"predictions/{self.model.label}"
        if self.model.takes_dosages:
            # It knows differences between people, and no level.
            return np.nan
        return float(stored_readout(store, group).of(store.read(f"{group}/reference_tracks", gene)))

    def gather(self, store: Store) -> None:
        """Everything over genes."""
        gather_statistics(store, self.group)

    def describe(self, store: Store, block: Block) -> str:
        return f"statistics of gene {gene_label(store, block[0])}"


def gather_statistics(store: Store, group: str) -> None:
    """The arrays over genes, n_samples last; then the false discovery rates over all genes with a p-value."""
    mark = filled_array(group)
    n_samples = store.read_if_filled(f"{group}/n_samples")
    done = sorted(genes_written(store, mark))
    if (n_samples[done] < 0).any():
        found = store.read_if_filled(mark)
        for column, name in reversed(list(enumerate(GENE_STATISTICS))):
            values = store.read_if_filled(f"{group}/{name}")
            values[done] = found[done, column]
            store.write(f"{group}/{name}", ..., values)
    if done:
        gather_fdr(store, group)


def gather_fdr(store: Store, group: str) -> None:
    """False discovery rates over all genes of a group of statistics that have a p-value."""
    for name, p_name in FDR_OF.items():
        fdr = benjamini_hochberg(store.read(f"{group}/{p_name}"))
        # Where no gene has a p-value, all are NaN, as before they are filled: the chunk must be there all the same.
        unwritten = not store.chunks_written(f"{group}/{name}")
        if unwritten or not np.array_equal(fdr, store.read_if_filled(f"{group}/{name}"), equal_nan=True):
            store.write(f"{group}/{name}", ..., fdr)


def _of_present(statistic: Callable[[NDArray[np.float64]], Any], values: NDArray[np.float64]) -> float:
    present = values[~np.isnan(values)]
    return float(statistic(present)) if present.size else np.nan


def correlation_statistics(
    dosage: NDArray[np.int8], prediction: NDArray[np.float64], observed: NDArray[np.float64], rng: np.random.Generator
) -> dict[str, Any]:
    """How well one gene's prediction correlates with what was measured, by name of the array that holds it.

    Parameters
    ----------
    dosage : ndarray of int8, shape (snvs, people)
        Copies of the alternate allele.
    prediction, observed : ndarray of float64, shape (people,)
        NaN where missing; only people with both count.
    rng : numpy.random.Generator
        Draws of the null and of the bootstrap.

    Returns
    -------
    dict
        NaN where undefined: no variance, or fewer than three people.
    """
    both = ~np.isnan(prediction) & ~np.isnan(observed)
    dosage, prediction, observed = dosage[:, both], prediction[both], observed[both]
    r = float(pearson_r(prediction, observed))
    if np.isnan(r):
        return {"n_samples": int(both.sum())}
    null = null_correlations(dosage, observed, NULL_DRAWS, rng)
    t, p = published_test(abs(r), null.mean(), null.std(), NULL_DRAWS)
    low, high = bootstrap_interval(prediction, observed, rng, BOOTSTRAP_RESAMPLES)
    return {
        "n_samples": int(both.sum()),
        "pearson_r": r,
        "p_value": float(pearson_p(r, int(both.sum()))),
        "null_mean": null.mean(),
        "null_sd": null.std(),
        "null_t": t,
        "null_p": p,
        "empirical_p": empirical_p(r, dosage, observed, rng, EMPIRICAL_DRAWS, MAX_EMPIRICAL_DRAWS),
        "r_ci_low": low,
        "r_ci_high": high,
    }
