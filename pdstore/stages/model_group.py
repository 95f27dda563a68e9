"""What a group that a model fills records of the model."""

from typing import Any

from pdstore.errors import ProvenanceError
from pdstore.models.protocol import SequenceModel
from pdstore.models.registry import ModelReference
from pdstore.models.weights import existing_weights, weights_sha256
from pdstore.store import Store

_GROUPS_OF_A_MODEL = ("predictions", "attributions")


def model_attributes(reference: ModelReference, model: SequenceModel) -> dict[str, Any]:
    """Attributes that say which model made a group, for which window, and how."""
    return {
        "model": model.name,
        "window": reference.window.name,
        "readout": model.readout,
        "weights_sha256": model.weights_digest,
        "model_options": dict(model.options),
    }


def check_model(store: Store, model: ModelReference) -> None:
    """Hold a model against what the store holds of it, or see that it can be loaded at all.

    Predictions and attributions of one name are of one model: either is held against what is given now. Where there is
    something to hold it against, the model is loaded only if no weights file is given.

    Raises
    ------
    ProvenanceError
        A group was filled with other weights or for another window; both are named.
    """
    filled = [path for path in (f"{parent}/{model.name}" for parent in _GROUPS_OF_A_MODEL) if _is_filled(store, path)]
    if not filled:
        model.load()
        return
    if model.weights is None:
        digest = model.load().weights_digest
    else:
        digest = weights_sha256(existing_weights(model.weights, model.name))
    given = {"window": model.window.name, "weights_sha256": digest}
    for path in filled:
        stored = store.group(path).attrs.asdict()
        for attribute, value in given.items():
            if stored.get(attribute) != value:
                raise ProvenanceError(
                    f"{path} was filled with {attribute} {stored.get(attribute)}, but {value} is given now; give the "
                    "same --weights and --variants, or fill another store"
                )


def require_same_model(store: Store, group: str, reference: ModelReference, model: SequenceModel) -> None:
    """Raise `ProvenanceError` where a loaded model is not what a group was begun with, its readout and options too."""
    stored = store.group(group).attrs.asdict()
    for attribute, value in model_attributes(reference, model).items():
        if stored.get(attribute) != value:
            raise ProvenanceError(
                f"{group} was begun with {attribute} {stored.get(attribute)!r}, but the model has {value!r} now"
            )


def require_same_window(store: Store, reference: ModelReference) -> None:
    """Raise `ProvenanceError` where predictions or attributions of a model are of another window, or other variants."""
    for parent in _GROUPS_OF_A_MODEL:
        path = f"{parent}/{reference.name}"
        filled = store.group(path).attrs.get("window") if _is_filled(store, path) else reference.window.name
        if filled != reference.window.name:
            raise ProvenanceError(
                f"{path} was filled with window {filled}, but {reference.window.name} is given now; give the same "
                "--variants, or fill another store"
            )


def filled_weights(store: Store, model: str) -> str:
    """SHA-256 of the weights that predictions and attributions of a model were filled with.

    Raises
    ------
    MissingDataError
        Either is not filled.
    ProvenanceError
        They differ.
    """
    digests = {parent: str(store.group(f"{parent}/{model}").attrs["weights_sha256"]) for parent in _GROUPS_OF_A_MODEL}
    predictions, attributions = digests.values()
    if predictions != attributions:
        raise ProvenanceError(
            f"predictions/{model} were filled with weights {predictions}, attributions/{model} with {attributions}; "
            "fill them with the same"
        )
    return predictions


def _is_filled(store: Store, path: str) -> bool:
    parent, name = path.split("/")
    return name in store.members(parent)


def is_created(store: Store, group: str, last_array: str) -> bool:
    """Whether a group has all its arrays: `last_array` is the one that its schema names last."""
    parent, name = group.split("/")
    return name in store.members(parent) and last_array in store.group(group)


def next_order(store: Store) -> int:
    """How many models were filled before: a query without --model answers of the first."""
    return sum("order" in store.group(f"predictions/{name}").attrs for name in store.members("predictions"))
