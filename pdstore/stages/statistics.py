"""statistics/<model>/: the benchmark, gene by gene."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.correlation import bootstrap_interval, pearson_p, pearson_r
from pdstore.analysis.drivers import forward_drivers
from pdstore.analysis.fdr import benjamini_hochberg
from pdstore.analysis.null import empirical_p, null_correlations, published_test
from pdstore.analysis.support import fraction_supported, support
from pdstore.errors import MissingDataError
from pdstore.haplotypes.build import alternate_dosage
from pdstore.models.registry import ModelReference
from pdstore.stages.gene_window import read_carried, read_gene_window, window_variant_sizes
from pdstore.stages.stage import Block, Pending, gene_label
from pdstore.store import Store

SEED = 0
NULL_DRAWS = 50
EMPIRICAL_DRAWS = 1_000
MAX_EMPIRICAL_DRAWS = 100_000
BOOTSTRAP_RESAMPLES = 1_000

FDR_OF = {"fdr": "null_p", "empirical_fdr": "empirical_p"}
"""False discovery rate → the p-value that it corrects over genes."""


@dataclass(frozen=True)
class Statistics:
    """The stage "statistics": a block is a run of genes, one chunk of the arrays over genes."""

    model: ModelReference
    name = "statistics"

    @property
    def group(self) -> str:
        return f"statistics/{self.model.name}"

    def prepare(self, store: Store) -> None:
        attributes = {
            "model": self.model.name,
            "window": self.model.window.name,
            "seed": SEED,
            "null_draws": NULL_DRAWS,
            "empirical_draws": EMPIRICAL_DRAWS,
            "max_empirical_draws": MAX_EMPIRICAL_DRAWS,
            "bootstrap_resamples": BOOTSTRAP_RESAMPLES,
            "pdstore_version": version("pdstore"),
        }
        store.create_group(self.group, window_variant_sizes(store, self.model.window), attributes)

    def pending(self, store: Store, genes: Sequence[int]) -> Pending:
        ready = self._ready(store)
        for gene in genes:
            if gene not in ready:
                raise MissingDataError(
                    f"gene {gene_label(store, gene)} lacks predictions, attributions or eQTL slopes: run pdstore fill"
                )
        n_samples = store.read(f"{self.group}/n_samples")
        run_length = store.array(f"{self.group}/n_samples").chunks[0]
        blocks = {gene // run_length for gene in genes}
        todo = {gene // run_length for gene in genes if n_samples[gene] < 0}
        return Pending([(block,) for block in sorted(todo)], len(blocks - todo))

    def run(self, store: Store, block: Block) -> None:
        """Compute the genes of the block that are ready and not done; those that are done keep their values."""
        rows = self._rows(store, block)
        names = [name for name, array in store.group(self.group).arrays() if array.ndim == 1]
        values = {name: store.read(f"{self.group}/{name}", rows) for name in names}
        ready = self._ready(store)
        for gene in range(rows.start, rows.stop):
            if gene in ready and values["n_samples"][gene - rows.start] < 0:
                for name, value in self._run_gene(store, gene).items():
                    values[name][gene - rows.start] = value
        # n_samples marks a gene as done.
        for name in (*sorted(set(names) - set(FDR_OF) - {"n_samples"}), "n_samples"):
            store.write(f"{self.group}/{name}", rows, values[name])

    def gather(self, store: Store) -> None:
        """False discovery rates over all genes that have a p-value."""
        for fdr_name, p_name in FDR_OF.items():
            p_value = store.read(f"{self.group}/{p_name}")
            fdr = store.read(f"{self.group}/{fdr_name}")
            if (np.isnan(fdr) & ~np.isnan(p_value)).any():
                store.write(f"{self.group}/{fdr_name}", ..., benjamini_hochberg(p_value))

    def describe(self, store: Store, block: Block) -> str:
        rows = self._rows(store, block)
        return f"statistics of genes {gene_label(store, rows.start)} to {gene_label(store, rows.stop - 1)}"

    def _run_gene(self, store: Store, gene: int) -> dict[str, Any]:
        """Statistics of one gene: writes those per variant, returns those per gene."""
        window = read_gene_window(store, self.model.window, gene)
        columns = np.flatnonzero(window.is_snv)
        dosage = alternate_dosage(read_carried(store, window)[0])
        prediction = store.read(f"predictions/{self.model.name}/expression", gene)
        observed = store.read("expression/observed", gene).astype(np.float64)
        ism = store.read(f"attributions/{self.model.name}/ism", gene)[columns]
        slope = store.read(f"eqtl/{self.model.window.name}/slope", gene)[columns]

        drivers = forward_drivers(ism, dosage, prediction, window.position[columns])
        for name, values, missing in (
            ("pearson_r_with_prediction", drivers.pearson_r_with_prediction, np.nan),
            ("driver_increment", drivers.increment, np.nan),
            ("driver_rank", drivers.rank, 0),
        ):
            row = np.full(store.array(f"{self.group}/{name}").shape[1], missing, dtype=values.dtype)
            row[columns] = values
            store.write(f"{self.group}/{name}", gene, row)
        is_driver = drivers.rank > 0
        rng = np.random.default_rng([SEED, zlib.crc32(str(store.read("genes/gene_id", gene)).encode())])
        return correlation_statistics(dosage, prediction, observed, rng) | {
            "linear_approximation_r": drivers.linear_approximation_r,
            "driver_count": int(is_driver.sum()) if drivers.selected else -1,
            "fraction_supported": fraction_supported(support(ism, slope)[is_driver]),
        }

    def _ready(self, store: Store) -> set[int]:
        """Genes of which everything that the statistics need is in the store."""
        model = self.model.name
        inputs = (
            f"predictions/{model}/expression",
            f"attributions/{model}/alternate_tracks",
            f"eqtl/{self.model.window.name}/p_value",
        )
        return set.intersection(*({chunk[0] for chunk in store.chunks_written(path)} for path in inputs))

    def _rows(self, store: Store, block: Block) -> slice:
        array = store.array(f"{self.group}/n_samples")
        start = block[0] * array.chunks[0]
        return slice(start, min(start + array.chunks[0], array.shape[0]))


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
