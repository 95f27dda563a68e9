"""The drivers of all genes as columns."""

from collections.abc import Collection, Iterator

import numpy as np

from pdstore.analysis.support import SUPPORTED, UNSUPPORTED, support
from pdstore.errors import MissingDataError
from pdstore.gene_table import Columns
from pdstore.query import window_of
from pdstore.store import Store, read_together

_GENES_AT_ONCE = 256
_VARIANT_FIELDS = ("position", "ref", "alt", "allele_frequency", "carriers")
_PATHS = {
    "rank": "statistics/{model}/driver_rank",
    "increment": "statistics/{model}/driver_increment",
    "backward_rank": "statistics/{model}/backward_rank",
    "ism": "attributions/{model}/ism",
    "eqtl_slope": "eqtl/{window}/slope",
    "eqtl_pearson_r": "eqtl/{window}/pearson_r",
    "eqtl_p": "eqtl/{window}/p_value",
    "pearson_r_with_prediction": "statistics/{model}/pearson_r_with_prediction",
}


def driver_columns(
    store: Store, model: str, genes: Columns, fields: Collection[str] = tuple(_PATHS)
) -> Iterator[Columns]:
    """The drivers of all genes, those of some genes at a time.

    Parameters
    ----------
    store : Store
        The store.
    model : str
        A filled model.
    genes : dict
        `pdstore.gene_table.gene_columns` of it.
    fields : collection of str
        What is read of each driver: "rank" (from 1, the main driver), "increment", "backward_rank", "ism",
        "eqtl_slope", "eqtl_pearson_r", "eqtl_p", "pearson_r_with_prediction".

    Yields
    ------
    dict
        Name → values, one a driver, by gene and rank: gene, id, contig, tss, strand, what variants/ has of
        position (1-based), ref, alt, allele_frequency and carriers, distance_to_tss (bp, along the contig),
        strand_signed_distance (upstream negative), the fields that the store has, and support, where ism and
        eqtl_slope are among them.

    Raises
    ------
    MissingDataError
        No gene has a driver.
    """
    window = window_of(store, model)
    with_drivers = np.flatnonzero(np.nan_to_num(genes["driver_count"]) > 0)
    if window is None or not with_drivers.size:
        raise MissingDataError(f"store {store.url} holds no drivers of {model}")
    first = store.read_if_filled(f"windows/{window}/variant_start")
    wanted = {name: _PATHS[name].format(model=model, window=window) for name in _PATHS if name in {"rank", *fields}}
    for start in range(0, len(first), _GENES_AT_ONCE):
        some = slice(start, start + _GENES_AT_ONCE)
        if not ((start <= with_drivers) & (with_drivers < some.stop)).any():
            continue
        found = read_together(store, dict.fromkeys(wanted.values(), some), may_be_unfilled=True)
        rank = found[wanted["rank"]]
        if rank is None or not (rank > 0).any():
            continue
        gene, column = np.nonzero(rank > 0)
        order = np.lexsort((rank[gene, column], gene))
        gene, column = gene[order], column[order]
        columns = {name: genes[name][start + gene] for name in ("gene", "id", "contig", "tss", "strand")}
        rows = first[start + gene] + column
        span = slice(int(rows.min()), int(rows.max()) + 1)
        variants = read_together(store, {f"variants/{name}": span for name in _VARIANT_FIELDS})
        columns |= {
            name: values[rows - span.start]
            for name in _VARIANT_FIELDS
            if (values := variants[f"variants/{name}"]) is not None
        }
        columns["distance_to_tss"] = columns["position"] - columns["tss"]
        columns["strand_signed_distance"] = columns["distance_to_tss"] * np.where(columns["strand"] == "-", -1, 1)
        columns |= {name: values[gene, column] for name, path in wanted.items() if (values := found[path]) is not None}
        if "ism" in columns and "eqtl_slope" in columns:
            signs = support(columns["ism"], columns["eqtl_slope"])
            words = np.select([signs == SUPPORTED, signs == UNSUPPORTED], ["supported", "unsupported"], "undetermined")
            columns["support"] = words.astype(object)
        yield columns
