"""What a store holds: what is filled, what is missing, what is stale, and everything that was counted on the way."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from pdstore.errors import DamagedDataError, LeaseError, MissingDataError, SchemaError, StoreError
from pdstore.lease import read_lease
from pdstore.query import find_gene
from pdstore.schema import schema_of
from pdstore.stages.model_group import COMMON, arrays_of_stages
from pdstore.stages.optional import genes_done
from pdstore.stages.stage import run_length, runs_of
from pdstore.stages.windows import total_counts
from pdstore.store import Store, genes_written

FILLED = ("windows", "predictions", "attributions", "eqtl", "statistics")
"""Parents of the groups that `fill` makes, in the order in which data flows."""


ROWS_OF_A_GENE = {"predictions": ("tracks", "haplotype_count"), "attributions": ("alternate_tracks", "variant_count")}
"""Of groups whose blocks are runs of a gene's rows: the array, and the array of its windows that counts them."""


def store_status(store: Store, genes: Sequence[str] | None = None) -> dict[str, Any]:
    """The state of a store, also of one that is being filled.

    Parameters
    ----------
    store : Store
        The store.
    genes : sequence of str, optional
        Symbols or ids of genes whose state is shown one by one; an empty one means all.

    Returns
    -------
    dict
        ``store``, ``genome_build``, ``level`` (``"full"`` or ``"summary"``), ``people``, ``genes``, ``variants``,
        ``bytes``; ``writer``: who fills or clears it now, else null; ``sources``: what `init` took, left out and noted;
        ``groups``: one object a group that `fill` makes, with ``group``, ``filled`` and ``genes`` (numbers of genes),
        ``bytes`` on disk, ``state`` (``"filled"``, ``"partly filled"``, ``"empty"``, ``"in place"`` (windows that no
        model needs the sequence of), ``"stale"`` or ``"damaged"``),
        ``reason`` (why it is stale or damaged, else null) and ``counts`` (null where it counts nothing); ``optional``:
        one object an array of an optional stage that was begun, with ``array``, ``group``, ``filled`` (genes of which
        all is there, of every driver), ``genes``, ``bytes`` and ``state``. With genes also ``by_gene``: one object a
        gene, with
        ``gene``, ``id`` and ``groups``, which has for each group ``state`` (as above, or ``"missing"``), and ``blocks``
        and ``blocks_done`` of groups that a model fills (else null).
    """
    attributes = store.attributes
    number = store.array("genes/gene_tss").shape[0]
    groups = [
        _group_status(store, path, number) | {"bytes": store.size_on_disk(path)} for path in _filled_groups(store)
    ]
    status = {
        "store": store.url,
        "genome_build": attributes.get("genome_build"),
        "level": attributes.get("level"),
        "people": _size(store, "expression/observed", 1),
        "genes": number,
        "variants": _size(store, "variants/position", 0),
        "bytes": store.size_on_disk(""),
        "writer": _writer(store),
        "sources": attributes.get("counts"),
        "groups": groups,
        "optional": [array for group in groups for array in _optional_status(store, group)],
    }
    if genes is not None:
        rows = [find_gene(store, gene) for gene in genes] or list(range(number))
        ids, names = (store.read(f"genes/gene_{what}").tolist() for what in ("id", "name"))
        states = {group["group"]: _states_or_damaged(store, group, rows) for group in groups}
        status["by_gene"] = [
            {"gene": names[row], "id": ids[row], "groups": {path: of[index] for path, of in states.items()}}
            for index, row in enumerate(rows)
        ]
    return status


def require_sound(store: Store) -> None:
    """Raise `StoreError` where a store is not as its schemas say, or what it holds is stale or damaged."""
    found = store.deviations()
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise SchemaError(f"store {store.url}: {found[0]}{more}: see pdstore validate")
    number = store.array("genes/gene_tss").shape[0]
    for path in _filled_groups(store):
        group = _group_status(store, path, number)
        if group["state"] in ("stale", "damaged"):
            raise StoreError(
                f"store {store.url}: {path} is {group['state']}: {group['reason']}; fill it again, or drop it with "
                "pdstore clear"
            )


def _filled_groups(store: Store) -> list[str]:
    paths = [f"{parent}/{name}" for parent in FILLED for name in store.members(parent)]
    if store.is_summary:
        # A group without arrays only says which models there are; windows have no haplotypes.
        paths = [path for path in paths if store.arrays(path) and not path.startswith("windows/")]
    return paths


def _size(store: Store, path: str, axis: int) -> int:
    """Size of an array along an axis; a summary need not have it."""
    return 0 if store.is_summary and path not in store else int(store.array(path).shape[axis])


def _writer(store: Store) -> str | None:
    try:
        lease = read_lease(store.url)
    except LeaseError as error:
        return str(error)
    return None if lease is None else lease.holder


def _states_or_damaged(store: Store, group: dict[str, Any], genes: Sequence[int]) -> list[dict[str, Any]]:
    try:
        return _gene_states(store, group, genes)
    except (DamagedDataError, MissingDataError):
        return [{"state": "damaged", "blocks": None, "blocks_done": None} for _ in genes]


def _gene_states(store: Store, group: dict[str, Any], genes: Sequence[int]) -> list[dict[str, Any]]:
    """State of each gene in a group; blocks where a gene has several."""
    path = group["group"]
    if group["state"] == "damaged":
        return [{"state": "damaged", "blocks": None, "blocks_done": None} for _ in genes]
    filled = _filled_genes(store, path)
    array, counts = ROWS_OF_A_GENE.get(path.split("/")[0], ("", ""))
    done: dict[int, int] = {}
    lengths = None
    if array and f"{path}/{array}" in store and group["state"] != "stale":
        for gene, *_ in store.chunks_written(f"{path}/{array}"):
            done[gene] = done.get(gene, 0) + 1
        run = run_length(store, f"{path}/{array}")
        # Damaged windows are their own group's damage: how many blocks a gene has is not known then.
        with suppress(DamagedDataError, MissingDataError):
            lengths = store.read_if_filled(f"windows/{store.group(path).attrs.get('window')}/{counts}").tolist()
    states = []
    for gene in genes:
        state = "filled" if gene in filled else "partly filled" if gene in done else "missing"
        blocks = len(runs_of(gene, lengths[gene], run)) if lengths is not None and lengths[gene] >= 0 else None
        states.append(
            {
                "state": "stale" if group["state"] == "stale" and state != "missing" else state,
                "blocks": blocks,
                "blocks_done": None if blocks is None else done.get(gene, 0),
            }
        )
    return states


def _group_status(store: Store, path: str, genes: int) -> dict[str, Any]:
    status: dict[str, Any] = {"group": path, "filled": 0, "genes": genes}
    try:
        filled = len(_filled_genes(store, path))
        reason = _stale_because(store, path)
        counts = _counts(store, path)
    except (DamagedDataError, MissingDataError) as error:
        # The one command that must still answer for the other groups.
        return status | {"state": "damaged", "reason": str(error), "counts": None}
    state = "stale" if reason else "filled" if filled == genes else "partly filled"
    if state == "partly filled" and not filled and not _is_begun(store, path):
        state = "empty"
    if state == "empty" and _is_in_place(store, path):
        state = "in place"
    return status | {"filled": filled, "state": state, "reason": reason, "counts": counts}


def _is_begun(store: Store, path: str) -> bool:
    """Whether blocks of a gene are there, where a gene has several."""
    array, _ = ROWS_OF_A_GENE.get(path.split("/")[0], ("", ""))
    return bool(array) and f"{path}/{array}" in store and bool(store.chunks_written(f"{path}/{array}"))


def _optional_status(store: Store, group: dict[str, Any]) -> list[dict[str, Any]]:
    """State of the arrays of a group that optional stages fill."""
    path, genes = group["group"], group["genes"]
    found = []
    for array in arrays_of_stages(store, path):
        status = {"array": array, "group": path, "filled": 0, "genes": genes, "bytes": store.size_on_disk(array)}
        state = group["state"]
        if state not in ("stale", "damaged"):
            statistics = f"statistics/{path.partition('/')[2]}"
            try:
                known = _filled_genes(store, statistics) if statistics in store else set()
                status["filled"] = len(genes_done(store, array, known))
            except (DamagedDataError, MissingDataError):
                state = "damaged"
            else:
                begun = bool(store.chunks_written(array))
                whole = status["filled"] == genes
                state = "filled" if whole else "partly filled" if status["filled"] or begun else "empty"
        found.append(status | {"state": state})
    return found


def _counts(store: Store, path: str) -> dict[str, int] | None:
    """What a group counts: over all genes in an attribute, or gene by gene."""
    counts = store.group(path).attrs.asdict().get("counts")
    if isinstance(counts, dict):
        return {str(what): count for what, count in counts.items() if isinstance(count, int)}
    if path.startswith("predictions/") and f"{path}/gene_counts" in store:
        return total_counts(store, path, sorted(genes_written(store, f"{path}/gene_counts")))
    return None


def _is_in_place(store: Store, path: str) -> bool:
    """Whether windows are only of models that take dosages, and need no sequence."""
    parent, window = path.split("/")
    groups = [f"predictions/{label}" for label in store.members("predictions")]
    of_window = [group for group in groups if store.group(group).attrs.get("window") == window]
    return parent == "windows" and bool(of_window) and not any(f"{group}/tracks" in store for group in of_window)


def _filled_genes(store: Store, path: str) -> set[int]:
    """Genes whose blocks are done and gathered."""
    if store.is_summary:
        return _genes_with_values(store, path)
    schema = schema_of(path)
    array = f"{path}/{schema.filled_array}"
    if array not in store:
        # A kill came before the array was made.
        return set()
    filled = genes_written(store, array)
    if schema.gathered_array is not None:
        gathered = store.read_if_filled(f"{path}/{schema.gathered_array}")
        filled = {gene for gene in filled if gathered[gene] >= 0}
    return filled


def _genes_with_values(store: Store, path: str) -> set[int]:
    """Genes of which a group of a summary has a value."""
    found: set[int] = set()
    for name in store.arrays(path):
        array, schema = store.array(f"{path}/{name}"), schema_of(path).arrays[name]
        if schema.dims[0] != "genes" or schema.sparse:
            continue
        if array.ndim > 1:
            found |= genes_written(store, f"{path}/{name}")
        elif array.dtype.kind == "f":
            found |= set(np.flatnonzero(~np.isnan(store.read_if_filled(f"{path}/{name}"))).tolist())
        else:
            found |= set(np.flatnonzero(store.read_if_filled(f"{path}/{name}") != array.fill_value).tolist())
    return found


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
        for what in (*COMMON, "window"):
            if what in attributes and what in other and attributes[what] != other[what]:
                return f"its {what} is {attributes[what]}, that of {earlier}/{name} is {other[what]}"
    return None
