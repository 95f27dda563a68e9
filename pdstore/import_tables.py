"""Published tables → a summary-level store: what an article found, without people."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.support import fraction_supported, support
from pdstore.haplotypes.window import WindowSpec
from pdstore.schema import SUMMARY, schema_of
from pdstore.sources.published import Driver, PublishedGene, PublishedTables, read_huang2023, read_sasse2023
from pdstore.sources.text import file_sha256
from pdstore.stages.genes import write_genes
from pdstore.store import Store, create_store, mark_complete, new_store

SOURCES: dict[str, Callable[[Path], PublishedTables]] = {"sasse2023": read_sasse2023, "huang2023": read_huang2023}
"""Name of an article → what reads its tables."""

ENFORMER_WINDOW = WindowSpec(196_608, 98_303, "forward")


def import_tables(target: Path, source: str, folder: Path) -> list[str]:
    """Make a summary-level store from published tables.

    Parameters
    ----------
    target : Path
        The new store.
    source : str
        A key of `SOURCES`.
    folder : Path
        Where the tables lie, gzipped or not.

    Returns
    -------
    list of str
        What was taken, and what a user should know of it.

    Raises
    ------
    InputError
        A table is missing, or is not as it was published; nothing is left behind.
    StoreError
        Something is at `target` already.
    """
    tables = SOURCES[source](folder)
    notes = [f"{len(tables.genes):,} genes", *tables.notes]
    with new_store(target, "import") as (building, _, _):
        store = create_store(building)
        write_genes(store, [published.gene for published in tables.genes])
        _write_models(store, tables)
        if tables.has_drivers:
            _write_drivers(store, tables.genes, tables.models[0])
        inputs = {role: file_sha256(path) for role, path in tables.files.items()}
        attributes = {
            "pdstore_version": version("pdstore"),
            "level": SUMMARY,
            "genome_build": tables.genome_build,
            "inputs": inputs,
            "options": {"source": source},
            "counts": {"taken": {"genes": len(tables.genes)}, "left_out": {}, "notes": tables.notes},
        }
        mark_complete(store, attributes)
    return notes


def _write_models(store: Store, tables: PublishedTables) -> None:
    """What the tables say of genes, by model; of each array what any gene has."""
    window = {"window": ENFORMER_WINDOW.name} if tables.has_drivers else {}
    for order, model in enumerate(tables.models):
        # Without arrays: it says which models there are.
        _write(store, f"predictions/{model}", {}, {"model": model, "order": order, **window})
        of_genes = [published.statistics.get(model, {}) for published in tables.genes]
        _write(store, f"statistics/{model}", _columns(of_genes), {"model": model, **window})
    _write(store, "lead_eqtl", _columns([published.lead_eqtl for published in tables.genes]), {})


def _columns(of_genes: Sequence[dict[str, float]]) -> dict[str, NDArray[np.float64]]:
    names = dict.fromkeys(name for values in of_genes for name in values)
    return {name: np.array([values.get(name, np.nan) for values in of_genes]) for name in names}


def _write_drivers(store: Store, genes: Sequence[PublishedGene], model: str) -> None:
    """variants/ with the drivers of all genes; and of each gene its drivers, in a row from its first to its last."""
    contigs = list(dict.fromkeys(published.gene.contig for published in genes))
    places = [(contigs.index(published.gene.contig), driver) for published in genes for driver in published.drivers]
    carriers = {(contig, driver.position): driver.carriers for contig, driver in places}
    sites = sorted(carriers)
    row_of = {site: row for row, site in enumerate(sites)}
    of_variants = np.array([(*site, carriers[site]) for site in sites], dtype=np.int32).reshape(-1, 3)
    columns = dict(zip(("contig", "position", "carriers"), of_variants.T, strict=True))
    _write(store, "variants", columns | {"contig_id": np.array(contigs, dtype=object)}, {})

    rows = [
        np.array([row_of[contigs.index(published.gene.contig), driver.position] for driver in published.drivers])
        for published in genes
    ]
    window = {"length": ENFORMER_WINDOW.length, "tss_offset": ENFORMER_WINDOW.tss_offset}
    reach: dict[str, NDArray[Any]] = {
        "variant_start": np.array([of.min() if of.size else 0 for of in rows], dtype=np.int64),
        "variant_count": np.array([np.ptp(of) + 1 if of.size else 0 for of in rows], dtype=np.int32),
    }
    _write(store, f"windows/{ENFORMER_WINDOW.name}", reach, window)
    widest = int(reach["variant_count"].max(initial=1))
    for path in _OF_DRIVERS:
        group, array = path.format(model=model, window=ENFORMER_WINDOW.name).rsplit("/", 1)
        others = set(schema_of(group).arrays) - {array}
        attributes = {"model": model, "window": ENFORMER_WINDOW.name}
        store.create_group(group, {"genes": len(genes), "window_variants": widest}, attributes, without=others)
    for index, (published, of) in enumerate(zip(genes, rows, strict=True)):
        if published.drivers:
            for path, (value_of, missing) in _OF_DRIVERS.items():
                values = np.full(widest, missing)
                values[of - of.min()] = [value_of(published, driver) for driver in published.drivers]
                store.write(path.format(model=model, window=ENFORMER_WINDOW.name), index, values)
    _write(store, f"statistics/{model}", _support(genes), {})


def _rank(published: PublishedGene, driver: Driver) -> int:
    """1 for the main driver, then by falling increment."""
    ordered = sorted(published.drivers, key=lambda other: (not other.is_main, -other.values["driver_increment"]))
    return 1 + ordered.index(driver)


def _value(name: str) -> tuple[Callable[[PublishedGene, Driver], float], float]:
    return lambda _, driver: driver.values[name], np.nan


_OF_DRIVERS: dict[str, tuple[Callable[[PublishedGene, Driver], float], float]] = {
    "attributions/{model}/ism": _value("ism"),
    "eqtl/{window}/slope": _value("slope"),
    "eqtl/{window}/pearson_r": _value("genotype_r"),
    "statistics/{model}/pearson_r_with_prediction": _value("pearson_r_with_prediction"),
    "statistics/{model}/driver_increment": _value("driver_increment"),
    "statistics/{model}/driver_rank": (_rank, 0),
}
"""Array → what it holds of a driver, and of what is none."""


def _support(genes: Sequence[PublishedGene]) -> dict[str, NDArray[Any]]:
    """Support of each gene by our rule; the tables have it by driver."""
    found = []
    for published in genes:
        values = [driver.values for driver in published.drivers]
        supported = support([of["ism"] for of in values], [of["slope"] for of in values])
        increments = [of["driver_increment"] for of in values]
        found.append((len(values) or -1, fraction_supported(supported), fraction_supported(supported, increments)))
    counts, fractions, weighted = zip(*found, strict=True)
    return {
        "driver_count": np.array(counts, dtype=np.int32),
        "fraction_supported": np.array(fractions),
        "weighted_fraction_supported": np.array(weighted),
    }


def _write(store: Store, group: str, columns: dict[str, Any], attributes: dict[str, Any]) -> None:
    """Write whole arrays of a group, and no other; those without any value are left out."""
    schema = schema_of(group)
    present = {
        name: values for name, values in columns.items() if values.dtype.kind != "f" or not np.isnan(values).all()
    }
    if not present and not attributes:
        return
    sizes: dict[str, int] = {}
    for name, values in present.items():
        sizes |= dict(zip(schema.arrays[name].dims, values.shape, strict=True))
    store.create_group(group, sizes, attributes, without=set(schema.arrays) - set(present))
    for name, values in present.items():
        store.write(f"{group}/{name}", ..., values)
