"""Optional stages without dask, and drivers to fill them for."""

from collections.abc import Sequence

import numpy as np

from pdstore.stages.optional import OptionalStage
from pdstore.store import Store


def run_stage(store: Store, stage: OptionalStage, genes: Sequence[int]) -> int:
    """Fill an optional stage for rows of genes/; gives how many blocks it had to do."""
    stage.prepare(store)
    todo = stage.pending(store, genes).todo
    for block in todo:
        stage.run(store, block)
    return len(todo)


def call_drivers(store: Store, gene: int, columns: Sequence[int] | None = None) -> None:
    """Let variants of a gene's window be drivers, the first the main one; all that have an ISM, where none is named.

    Of few people, the statistics need not find one.
    """
    if columns is None:
        columns = np.flatnonzero(~np.isnan(store.read("attributions/cnn/ism", gene))).tolist()
    path = "statistics/cnn/driver_rank"
    ranks = np.zeros(store.array(path).shape[1], dtype=np.int32)
    ranks[list(columns)] = range(1, 1 + len(columns))
    store.write(path, gene, ranks)
    count = store.read("statistics/cnn/driver_count")
    count[gene] = len(columns)
    store.write("statistics/cnn/driver_count", ..., count)
