"""The readout of a model's groups: how stored tracks become the numbers derived from them, and how to change that."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.readout import ELASTIC_NET, READOUT_NAMES, read_out
from pdstore.errors import UsageError
from pdstore.schema import create_array, schema_of
from pdstore.sources.readout_weights import read_readout_weights
from pdstore.stages.model_group import is_filled, stored_readout
from pdstore.store import Store

_DERIVED = {"predictions": "expression", "attributions": "ism"}
"""Parent of a model's groups → the array that is read out of its tracks."""


def read_out_tracks(store: Store, group: str, tracks: NDArray[np.float32]) -> NDArray[np.float64]:
    """One number for each output of a group's model, by the group's readout.

    Parameters
    ----------
    store : Store
        The store.
    group : str
        Path of a model's group in predictions/ or attributions/.
    tracks : ndarray of float32, shape (..., bins, tracks)
        Outputs.

    Returns
    -------
    ndarray of float64, shape (...)
    """
    readout = str(store.group(group).attrs["readout"])
    weights = store.read(f"{group}/readout_weight") if readout == ELASTIC_NET else None
    return read_out(tracks, readout, weights)


def check_readout(readout: str | None, weights: Path | None) -> None:
    """Raise `UsageError` for a readout that does not exist, or weights that it does not take."""
    if readout is not None and readout not in READOUT_NAMES:
        raise UsageError(f"there is no readout {readout!r}: choose one of {', '.join(READOUT_NAMES)}")
    if weights is not None and readout != ELASTIC_NET:
        raise UsageError(f"--readout-weights are those of --readout {ELASTIC_NET}")


def set_readout(store: Store, group: str, readout: str | None, weights: Path | None) -> bool:
    """Let what a group derives from its tracks be read out in another way: no model is run for it.

    What was derived before is deleted, and the statistics with it; the steps of a fill derive it anew. May be called
    again after an interruption.

    Parameters
    ----------
    store : Store
        The store.
    group : str
        Path of a model's group in predictions/ or attributions/.
    readout : str or None
        The readout; None for that of the label's predictions.
    weights : Path or None
        Weights of an elastic net; those that the store holds where not given.

    Returns
    -------
    bool
        Whether the readout changed.

    Raises
    ------
    UsageError
        The elastic net has no weights.
    InputError
        The weights are not those of the tracks that the store holds.
    """
    parent, label = group.split("/")
    before = str(store.group(group).attrs["readout"])
    wanted = readout or stored_readout(store, label)
    terms = _elastic_net_weights(store, label, weights) if wanted == ELASTIC_NET else None
    held = store.read(f"{group}/readout_weight") if f"{group}/readout_weight" in store and terms is not None else None
    if wanted == before and (terms is None or (held is not None and np.array_equal(terms, held))):
        return False
    store.delete(f"statistics/{label}")
    store.delete(f"{group}/{_DERIVED[parent]}/c")
    if terms is not None:
        if held is None:
            schema = schema_of(group).arrays["readout_weight"]
            create_array(store.group(group), schema, {"readout_weights": len(terms)}, {})
        store.write(f"{group}/readout_weight", ..., terms)
    store.set_attribute(group, "readout", wanted)
    return True


def _elastic_net_weights(store: Store, label: str, weights: Path | None) -> NDArray[np.float64]:
    if weights is not None:
        names = store.read(f"predictions/{label}/track_name").tolist()
        return read_readout_weights(weights, names)
    for parent in _DERIVED:
        path = f"{parent}/{label}/readout_weight"
        if is_filled(store, f"{parent}/{label}") and path in store:
            return store.read(path)
    raise UsageError(f"readout {ELASTIC_NET} needs weights: give them with --readout-weights")
