"""What a group that a model fills records of the model."""

from typing import Any

from pdstore.errors import ProvenanceError
from pdstore.models.protocol import SequenceModel
from pdstore.models.registry import ModelReference
from pdstore.models.weights import weights_sha256
from pdstore.store import Store

_GROUPS_OF_A_MODEL = ("predictions", "attributions")


def model_attributes(model: SequenceModel) -> dict[str, Any]:
    """Attributes that say which model made a group, and how."""
    return {
        "model": model.name,
        "window": model.window.name,
        "readout": model.readout,
        "weights_sha256": model.weights_digest,
        "model_options": dict(model.options),
    }


def check_model(store: Store, group: str, last_written: str, model: ModelReference) -> bool:
    """Whether a group is there and whole; what is there must be of the same weights and window.

    Predictions and attributions of one name are of one model: either is held against what is given now. The model is
    loaded only where no weights file is given.

    Raises
    ------
    ProvenanceError
        A group was filled with other weights or for another window; both are named.
    """
    name = group.split("/")[1]
    filled = [f"{parent}/{name}" for parent in _GROUPS_OF_A_MODEL if name in store.members(parent)]
    if not filled:
        return False
    digest = weights_sha256(model.weights) if model.weights is not None else model.load().weights_digest
    given = {"window": model.window.name, "weights_sha256": digest}
    for path in filled:
        stored = store.group(path).attrs.asdict()
        for attribute, value in given.items():
            if stored and stored.get(attribute) != value:
                raise ProvenanceError(
                    f"{path} was filled with {attribute} {stored.get(attribute)}, but {value} is given now; give the "
                    "same weights, or fill another store"
                )
    array = last_written.removeprefix(f"{group}/")
    return group in filled and array in store.group(group) and bool(store.chunks_written(last_written))


def next_order(store: Store) -> int:
    """How many models were filled before: a query without --model answers of the first."""
    return len(store.members("predictions"))
