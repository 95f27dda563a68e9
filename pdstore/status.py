"""What a store holds: what is filled, what is missing, what is stale, and everything that was counted on the way."""

from typing import Any

from pdstore.errors import DamagedDataError, MissingDataError
from pdstore.schema import schema_of
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
        (numbers of genes), ``bytes`` (on disk), ``state`` (``"filled"``, ``"partly filled"``, ``"empty"``, ``"stale"``
        or ``"damaged"``), ``reason`` (why it is stale or damaged, else null) and ``counts`` (null where it counts
        nothing).
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
    status: dict[str, Any] = {"group": path, "filled": 0, "genes": genes, "bytes": store.size_on_disk(path)}
    try:
        filled = _genes_filled(store, path)
        reason = _stale_because(store, path)
        counts = store.group(path).attrs.asdict().get("counts")
    except (DamagedDataError, MissingDataError) as error:
        # The one command that must still answer for the other groups.
        return status | {"state": "damaged", "reason": str(error), "counts": None}
    state = "stale" if reason else "empty" if not filled else "filled" if filled == genes else "partly filled"
    if isinstance(counts, dict):
        counts = {str(what): count for what, count in counts.items() if isinstance(count, int)}
    else:
        counts = None
    return status | {"filled": filled, "state": state, "reason": reason, "counts": counts}


def _genes_filled(store: Store, path: str) -> int:
    """Genes whose blocks are done and gathered."""
    schema = schema_of(path)
    array = f"{path}/{schema.filled_array}"
    if array not in store:
        # A kill came before the array was made.
        return 0
    filled = genes_written(store, array)
    if schema.gathered_array is not None:
        gathered = store.read_if_filled(f"{path}/{schema.gathered_array}")
        filled = {gene for gene in filled if gathered[gene] >= 0}
    return len(filled)


def _stale_because(store: Store, path: str) -> str | None:
    """Why what a group holds does not follow from the groups before it; None where it does."""
    parent, name = path.split("/")
    attributes = store.group(path).attrs.asdict()
    window = attributes.get("window", name if parent == "eqtl" else None)
    if window is not None and window not in store.members("windows"):
        return f"its windows, {window}, are not in the store"
    for earlier in FILLED[: FILLED.index(parent)]:
        if "weights_sha256" not in attributes or name not in store.members(earlier):
            continue
        other = store.group(f"{earlier}/{name}").attrs.asdict()
        for what in ("weights_sha256", "window"):
            if other.get(what, attributes.get(what)) != attributes.get(what):
                return f"its {what} is {attributes.get(what)}, that of {earlier}/{name} is {other[what]}"
    return None
