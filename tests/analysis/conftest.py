"""Simulated genes and the published tables, for the tests of the statistics."""

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

# A busy machine is no failure.
settings.register_profile("any speed", deadline=None)
settings.load_profile("any speed")

Table = dict[str, NDArray[np.str_]]


class SimulatedGene(NamedTuple):
    """Simulated: dosage (snvs, people), ISM and position (snvs,), prediction and observed expression (people,)."""

    dosage: NDArray[np.int8]
    ism: NDArray[np.float64]
    position: NDArray[np.int64]
    prediction: NDArray[np.float64]
    observed: NDArray[np.float64]


def _simulate_gene(seed: int, snvs: int = 40, people: int = 150) -> SimulatedGene:
    """A gene whose window has linkage, a few strong SNVs, an SNV that does not vary, and tied |ISM|."""
    rng = np.random.default_rng(seed)
    frequency = rng.beta(0.5, 1.5, size=(snvs, 1))
    dosage = rng.binomial(2, frequency, size=(snvs, people)).astype(np.int8)
    dosage[1::4] = dosage[::4][: len(dosage[1::4])]
    dosage[2] = 0
    ism = rng.standard_normal(snvs) * rng.choice([0.02, 0.2, 2.0], size=snvs, p=[0.8, 0.1, 0.1])
    ism[5], ism[9] = 0.5, -0.5
    position = np.sort(rng.choice(196_608, size=snvs, replace=False))
    prediction = 3 + ism @ dosage + rng.normal(0, 0.5, size=people)
    observed = 0.3 * prediction + rng.standard_normal(people)
    return SimulatedGene(dosage, ism, position, prediction, observed)


@pytest.fixture(scope="session")
def simulate_gene() -> Callable[..., SimulatedGene]:
    """The simulation, a function of its seed."""
    return _simulate_gene


@pytest.fixture
def published_table(shared_data: Path) -> Callable[[int], Table]:
    """Columns of Sasse et al. 2023, Supplementary Table 1 or 2, as text."""

    def read(number: int) -> Table:
        path = shared_data / "sasse2023" / f"SupplementaryTable{number}.tsv.gz"
        with gzip.open(path, "rt") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    return read
