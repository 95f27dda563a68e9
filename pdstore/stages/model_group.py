"""What a group that a model fills records of the model."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from pdstore.errors import ProvenanceError
from pdstore.models.device import device_type
from pdstore.models.protocol import NO_READOUT, Model
from pdstore.models.registry import ModelReference
from pdstore.schema import schema_of
from pdstore.store import Store

GROUPS_OF_A_MODEL = ("predictions", "attributions")

COMMON = ("weights_sha256", "model_options", "readout", "readout_weights_sha256")
"""Attributes that what statistics are computed from must have in common."""


_OF_TRACKS = ("tracks", "alternate_tracks", "reference_tracks", "track_name", "readout_weight")
_OF_DOSAGES = ("gene_counts", "count_name")


def provenance(model: ModelReference) -> dict[str, Any]:
    """Attributes that say which model makes a group, for which window, and how."""
    return {
        "model": model.name,
        "window": model.window.name,
        "weights_sha256": model.digest(),
        "model_options": dict(model.describe().options),
        "device": device_type(model.device),
    }


def check_model(store: Store, model: ModelReference) -> None:
    """Hold a model against what the store holds under its label; its weights are looked at whether or not it is there.

    Raises
    ------
    ProvenanceError
        A group was filled with another model, other weights or options, or for another window; both are named.
    """
    given = provenance(model)
    for path in _filled_groups(store, model.label):
        _require_same(path, store.group(path).attrs.asdict(), given)


def require_same_model(store: Store, group: str, reference: ModelReference, model: Model) -> None:
    """Raise `ProvenanceError` where the model that a worker loaded is not what a group was begun with."""
    given = {
        "model": model.name,
        "window": reference.window.name,
        "weights_sha256": model.weights_digest,
        "model_options": dict(model.description.options),
        "device": device_type(reference.device),
    }
    _require_same(group, store.group(group).attrs.asdict(), given)


def require_same_window(store: Store, model: ModelReference) -> None:
    """Raise `ProvenanceError` where predictions or attributions of a label are of another window, or other variants."""
    for path in _filled_groups(store, model.label):
        _require_same(path, store.group(path).attrs.asdict(), {"window": model.window.name})


def create_model_group(
    store: Store, path: str, model: ModelReference, sizes: Mapping[str, int], attributes: Mapping[str, Any]
) -> None:
    """Create a group of a model, or what is missing of it: a kill may have come before its last array.

    Parameters
    ----------
    store : Store
        The store.
    path : str
        Path of the group.
    model : ModelReference
        The model.
    sizes : mapping of str to int
        Sizes of the dimensions that the model does not determine.
    attributes : mapping
        Attributes beside the model's provenance; those of a group that is there stay as they are.
    """
    described = model.describe()
    all_sizes = {**sizes, "bins": described.bins, "model_tracks": len(described.track_names)}
    if is_filled(store, path):
        attributes = store.group(path).attrs.asdict()
    given = {"pdstore_version": version("pdstore"), **attributes, **provenance(model)}
    without = _OF_TRACKS if described.readout == NO_READOUT else ("readout_weight", *_OF_DOSAGES)
    sparse = (name for name, array in schema_of(path).arrays.items() if array.sparse)
    store.create_group(path, all_sizes, given, (*without, *sparse))


def derived_from(store: Store, label: str) -> dict[str, Any]:
    """What predictions and attributions of a label have in common: weights, options of the model, and readout.

    Raises
    ------
    MissingDataError
        Either is not filled.
    ProvenanceError
        They differ.
    """
    found: dict[str, Any] = {}
    for name in COMMON:
        predictions, attributions = (store.group(f"{parent}/{label}").attrs.get(name) for parent in GROUPS_OF_A_MODEL)
        if predictions != attributions:
            raise ProvenanceError(
                f"predictions/{label} have {name} {predictions}, attributions/{label} {attributions}; fill both with "
                "the same"
            )
        found[name] = predictions
    return found


def is_filled(store: Store, path: str) -> bool:
    """Whether a store has a group of this path."""
    parent, name = path.split("/")
    return name in store.members(parent)


def arrays_of_stages(store: Store, group: str, stage: str | None = None) -> list[str]:
    """Paths of the arrays of a group that optional stages fill, or one of them, as far as the store has them."""
    named = {name: array.stage for name, array in schema_of(group).arrays.items() if array.stage is not None}
    paths = [f"{group}/{name}" for name, of in named.items() if stage in (None, of)]
    return [path for path in paths if path in store]


def next_order(store: Store) -> int:
    """How many models were filled before: a query without --model answers of the first."""
    orders = [store.group(f"predictions/{name}").attrs.get("order") for name in store.members("predictions")]
    return max((order + 1 for order in orders if isinstance(order, int)), default=0)


def _filled_groups(store: Store, label: str) -> list[str]:
    paths = (f"{parent}/{label}" for parent in GROUPS_OF_A_MODEL)
    return [path for path in paths if is_filled(store, path)]


def _require_same(path: str, stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for attribute, value in given.items():
        if stored.get(attribute) != value:
            held, wanted = differing(stored.get(attribute), value)
            # Of options the differing ones are named.
            what = "" if isinstance(value, dict) else f"{attribute} "
            raise ProvenanceError(
                f"{path} was filled with {what}{held}, but {wanted} is given now; give the same, or fill a "
                "second set beside it with --as NAME"
            )


def differing(stored: Any, given: Any) -> tuple[str, str]:
    """Both values in words; of mappings what differs alone."""
    if not (isinstance(stored, dict) and isinstance(given, dict)):
        return str(stored), str(given)
    names = [name for name in sorted({*stored, *given}) if stored.get(name) != given.get(name)]
    # What an option was before it had a name.
    unnamed = {"engine": "plain"}
    held, wanted = (
        ", ".join(f"{name} {of.get(name, unnamed.get(name, 'nothing'))}" for name in names) for of in (stored, given)
    )
    return held, wanted
