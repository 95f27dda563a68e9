"""What a group that a model fills records of the model."""

from typing import Any

from pdstore.errors import ProvenanceError
from pdstore.models.protocol import SequenceModel
from pdstore.models.registry import ModelReference
from pdstore.models.weights import weights_sha256
from pdstore.store import Store


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
    """Whether a group is there, whole, and of this model; the model is not loaded for it.

    Raises
    ------
    ProvenanceError
        The group was filled with other weights or for another window; both are named.
    """
    parent, name = group.split("/")
    if name not in store.members(parent) or not store.group(group).attrs.keys():
        return False
    stored = store.group(group).attrs.asdict()
    given = {"window": model.window.name}
    if model.weights is not None:
        given["weights_sha256"] = weights_sha256(model.weights)
    for attribute, value in given.items():
        if stored.get(attribute) != value:
            raise ProvenanceError(
                f"{group} was filled with {attribute} {stored.get(attribute)}, but {value} is given now; give the same "
                "weights, or fill another store"
            )
    array = last_written.removeprefix(f"{group}/")
    return array in store.group(group) and bool(store.chunks_written(last_written))


def next_order(store: Store) -> int:
    """How many models were filled before: a query without --model answers of the first."""
    return len(store.members("predictions"))
