"""Stages that are filled only where they are named, since they take long, or much room."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Protocol

import numpy as np

from pdstore.models.registry import ModelReference
from pdstore.schema import schema_of
from pdstore.stages.attention import AttentionStage
from pdstore.stages.gradients import Gradients
from pdstore.stages.ism_tss import IsmTss
from pdstore.stages.ism_window import IsmWindow
from pdstore.stages.stage import Stage, Work
from pdstore.store import Store


class OptionalStage(Stage, Protocol):
    """A stage of a model of sequences that fills arrays of its attributions: those whose schema names the stage."""

    def work(self, store: Store, genes: Sequence[int], from_nothing: bool) -> Work:
        """What it has to do for some genes (rows of genes/), also where what it needs is still to be filled.

        From nothing, as if the store held none of it; a gene may then be there several times.
        """
        ...


OPTIONAL_STAGES: dict[str, Callable[[ModelReference], OptionalStage]] = {
    "attention": AttentionStage,
    "gradient": Gradients,
    "ism_window": IsmWindow,
    "ism_tss": IsmTss,
}
"""Stages by name, in the order in which they are filled, after all others."""


def genes_done(store: Store, path: str, known: set[int]) -> set[int]:
    """Genes of which an array of an optional stage is whole; one of a chunk a variant, where every driver has one.

    Parameters
    ----------
    store : Store
        The store.
    path : str
        Path of the array.
    known : set of int
        Rows of genes/ whose statistics, which say what variants are drivers, are filled.
    """
    group, _, name = path.rpartition("/")
    written: dict[int, set[tuple[int, ...]]] = {}
    for gene, *rest in store.chunks_written(path):
        written.setdefault(gene, set()).add(tuple(rest))
    schema = schema_of(group).arrays[name]
    if dict(zip(schema.dims, schema.chunks, strict=True)).get("window_variants") != 1:
        array = store.array(path)
        sizes = zip(array.shape[1:], array.chunks[1:], strict=True)
        whole = set(product(*(range(-(-size // chunk)) for size, chunk in sizes)))
        return {gene for gene, chunks in written.items() if chunks >= whole}
    statistics = f"statistics/{group.partition('/')[2]}"
    if not known:
        return set()
    count = store.read_if_filled(f"{statistics}/driver_count")
    done = {gene for gene in known if count[gene] <= 0}
    for gene in sorted(known & written.keys()):
        drivers = np.flatnonzero(store.read(f"{statistics}/driver_rank", gene) > 0).tolist()
        if {column for column, *_ in written[gene]} >= set(drivers):
            done.add(gene)
    return done
