"""The readout of a model's groups: how stored tracks become the numbers derived from them, and how to change that."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pdstore.analysis.readout import ELASTIC_NET, READOUT_NAMES, read_out, readout_gradient
from pdstore.errors import ProvenanceError, UsageError
from pdstore.models.attentive_chrome import WEIGHTS, marks_gradient, read_attentive_chrome, read_out_marks
from pdstore.models.registry import ModelReference
from pdstore.schema import create_array, schema_of
from pdstore.sources.readout_weights import read_readout_weights
from pdstore.stages.model_group import arrays_of_stages, is_filled
from pdstore.store import Store

_DERIVED = {"predictions": "expression", "attributions": "ism"}
"""Parent of a model's groups → the array that is read out of its tracks."""


ATTENTIVE_CHROME = "attentive_chrome"
"""The readout that is a network: of histone marks in bins around the TSS."""

NAMES = (*READOUT_NAMES, ATTENTIVE_CHROME)
_WEIGHTED = (ELASTIC_NET, ATTENTIVE_CHROME)


@dataclass(frozen=True, eq=False)
class Readout:
    """How a model's tracks become one number.

    Attributes
    ----------
    name : str
        A name in `NAMES`.
    weights : ndarray of float64, shape (weights,), or None
        Of the elastic net a weight a track, and the intercept last; of AttentiveChrome as
        `pdstore.models.attentive_chrome.read_attentive_chrome` gives them.
    """

    name: str
    weights: NDArray[np.float64] | None = None

    @property
    def attributes(self) -> dict[str, str]:
        """What groups record of it."""
        digest = "none" if self.weights is None else hashlib.sha256(self.weights.astype("<f8").tobytes()).hexdigest()
        return {"readout": self.name, "readout_weights_sha256": digest}

    def of(self, tracks: NDArray[np.float32]) -> NDArray[np.float64]:
        """One number for each output: float32, shape (..., bins, tracks) → float64, shape (...)."""
        if self.name == ATTENTIVE_CHROME and self.weights is not None:
            return _needing_torch(read_out_marks, tracks, self.weights)
        return read_out(tracks, self.name, self.weights)

    def gradient(self, tracks: NDArray[np.float32]) -> NDArray[np.float64]:
        """Its derivative with respect to tracks: float32, shape (bins, tracks) → float64, of the same shape."""
        if self.name == ATTENTIVE_CHROME and self.weights is not None:
            return _needing_torch(marks_gradient, tracks, self.weights)
        return readout_gradient(tracks, self.name, self.weights)


def chosen_readout(store: Store, model: ModelReference, name: str | None, weights: Path | None) -> Readout | None:
    """The readout that is asked for; None where none is, and each set of predictions keeps its own.

    Parameters
    ----------
    store : Store
        The store.
    model : ModelReference
        The model.
    name : str or None
        Name of the readout.
    weights : Path or None
        CSV of the elastic net's weights, or AttentiveChrome's file; those that the store holds where not given.

    Raises
    ------
    UsageError
        There is no such readout, or it has no weights, or takes none.
    InputError
        The weights are not those of the tracks that the store holds, or will hold.
    ModelError
        AttentiveChrome's file is none.
    """
    if name is not None and name not in NAMES:
        raise UsageError(f"there is no readout {name!r}: choose one of {', '.join(NAMES)}")
    if weights is not None and name not in _WEIGHTED:
        raise UsageError(f"--readout-weights are those of --readout {' and '.join(_WEIGHTED)}")
    if name is None:
        return None
    if model.takes_dosages:
        raise UsageError(f"model {model.name} has no tracks to read out: leave --readout out")
    if name not in _WEIGHTED:
        return Readout(name)
    predictions = f"predictions/{model.label}"
    if weights is not None:
        held = is_filled(store, predictions) and store.chunks_written(f"{predictions}/track_name")
        names = store.read(f"{predictions}/track_name").tolist() if held else model.describe().track_names
        if name == ATTENTIVE_CHROME:
            bins = store.array(f"{predictions}/reference_tracks").shape[1] if held else model.describe().bins
            return Readout(name, read_attentive_chrome(weights, names, bins))
        return Readout(name, read_readout_weights(weights, names))
    path = f"{predictions}/readout_weight"
    if not is_filled(store, predictions) or path not in store or not store.chunks_written(path):
        raise UsageError(f"readout {name} needs weights: give them with --readout-weights")
    # Those of the readout before stay, for the next time.
    tracks = store.array(f"{predictions}/track_name").shape[0]
    if store.array(path).shape != (WEIGHTS if name == ATTENTIVE_CHROME else tracks + 1,):
        raise UsageError(f"readout {name} needs weights: give them with --readout-weights")
    return Readout(name, store.read(path))


def _needing_torch(
    function: Callable[[NDArray[np.float32], NDArray[np.float64]], NDArray[np.float64]],
    tracks: NDArray[np.float32],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    try:
        return function(tracks, weights)
    except ImportError as error:
        raise UsageError(
            f"readout {ATTENTIVE_CHROME} is computed with torch: install pdstore with the extra fill ({error})"
        ) from error


def stored_readout(store: Store, group: str) -> Readout:
    """The readout of a model's group.

    Raises
    ------
    ProvenanceError
        A kill came while the weights of an elastic net were changed.
    """
    attributes = store.group(group).attrs.asdict()
    name = str(attributes.get("readout"))
    readout = Readout(name, store.read(f"{group}/readout_weight") if name in _WEIGHTED else None)
    if readout.attributes["readout_weights_sha256"] != attributes.get("readout_weights_sha256"):
        raise ProvenanceError(
            f"{group}: the weights of its readout were being changed when a fill was stopped; fill again with "
            f"--readout {name} --readout-weights FILE"
        )
    return readout


def differs(store: Store, group: str, readout: Readout) -> bool:
    """Whether a model's group, if the store has it, is read out in another way."""
    if not is_filled(store, group):
        return False
    stored = store.group(group).attrs.asdict()
    return any(stored.get(name) != value for name, value in readout.attributes.items())


def set_readout(store: Store, group: str, readout: Readout | None) -> bool:
    """Let what a group derives from its tracks be read out in another way: no model is run for it.

    What was derived before is deleted, and the statistics with it; the steps of a fill derive it anew. So is what
    optional stages filled, which keep no tracks: that takes the model again. May be called again after an interruption.

    Parameters
    ----------
    store : Store
        The store.
    group : str
        Path of a model's group in predictions/ or attributions/.
    readout : Readout or None
        The readout; None for the group's own, and for attributions that of the predictions.

    Returns
    -------
    bool
        Whether the readout changed.
    """
    parent, label = group.split("/")
    if parent == "attributions" and is_filled(store, f"predictions/{label}"):
        readout = stored_readout(store, f"predictions/{label}")
    if readout is None or not differs(store, group, readout):
        return False
    store.delete(f"statistics/{label}")
    store.delete(f"{group}/{_DERIVED[parent]}/c")
    for path in arrays_of_stages(store, group):
        store.delete(f"{path}/c")
    if readout.weights is not None:
        weights = f"{group}/readout_weight"
        if weights in store and store.array(weights).shape != readout.weights.shape:
            store.delete(weights)
        if weights not in store:
            schema = schema_of(group).arrays["readout_weight"]
            create_array(store.group(group), schema, {"readout_weights": len(readout.weights)}, {})
        store.write(weights, ..., readout.weights)
    store.set_attributes(group, readout.attributes)
    return True
