"""What a store holds: what is filled, what is missing, what is stale, and everything that was counted on the way."""

from typing import Any

from pdstore.schema import filled_array
from pdstore.store import Store, genes_written

FILLED = ("windows", "predictions", "attributions", "eqtl", "statistics")
"""Parents of the groups that `fill` makes, in the order in which data flows."""


def store_status(store: Store) -> dict[str, Any]:
    """The state of a store.

    Parameters
    ----------
    store : Store
        The store.

    Returns
    -------
    dict
        ``store``, ``genome_build``, ``people``, ``genes``, ``variants``, ``bytes``; ``sources``: what `init` took,
        left out and noted; ``groups``: one object a group that `fill` makes, with ``group``, ``filled`` and ``genes``
        (numbers of genes), ``bytes`` (on disk), ``state`` (``"filled"``, ``"partly filled"``, ``"empty"`` or
        ``"stale"``), ``reason`` (why it is stale, else null) and ``counts`` (null where it counts nothing).
    """
    attributes = store.attributes
    genes = store.array("genes/gene_tss").shape[0]
    return {
        "store": store.url,
        "genome_build": attributes.get("genome_build"),
        "people": store.array("expression/observed").shape[1],
        "genes": genes,
        "variants": store.array("variants/position").shape[0],
        "bytes": store.size_on_disk(""),
        "sources": attributes.get("counts"),
        "groups": [
            _group_status(store, f"{parent}/{name}", genes) for parent in FILLED for name in store.members(parent)
        ],
    }


def _group_status(store: Store, path: str, genes: int) -> dict[str, Any]:
    array = filled_array(path)
    # A kill may have come before the array was made.
    filled = len(genes_written(store, array)) if array in store.root else 0
    reason = _stale_because(store, path)
    state = "stale" if reason else "empty" if not filled else "filled" if filled == genes else "partly filled"
    return {
        "group": path,
        "filled": filled,
        "genes": genes,
        "bytes": store.size_on_disk(path),
        "state": state,
        "reason": reason,
        "counts": store.group(path).attrs.asdict().get("counts"),
    }


def _stale_because(store: Store, path: str) -> str | None:
    """Why what a group holds no longer follows from the rest of the store; None where it does."""
    attributes = store.group(path).attrs.asdict()
    window = attributes.get("window")
    if window is not None and window not in store.members("windows"):
        return f"its windows, {window}, are not in the store"
    model, weights = path.split("/")[1], attributes.get("weights_sha256")
    for parent in FILLED:
        if weights is None or model not in store.members(parent):
            continue
        other = store.group(f"{parent}/{model}").attrs.asdict()
        for name, value in (("weights_sha256", weights), ("window", window)):
            if other.get(name, value) != value:
                return f"its {name} is {value}, that of {parent}/{model} is {other[name]}"
    return None
