"""Models by name: the entry points of the group ``pdstore.models``, of pdstore and of any other package."""

import contextlib
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple, cast

from pdstore.errors import ModelError, UsageError
from pdstore.haplotypes.window import Variants, WindowSpec
from pdstore.models.device import in_model_thread, set_cuda_arithmetic
from pdstore.models.protocol import (
    NO_OPTIONS,
    About,
    DosageModel,
    Model,
    ModelDescription,
    ModelOptions,
    SequenceModel,
    require_gradient,
)
from pdstore.models.weights import Stamp, weights_stamp

ENTRY_POINT_GROUP = "pdstore.models"

_LOADED: "dict[tuple[ModelReference, Stamp], Model]" = {}
"""The one model that is loaded: weights may be replaced under the name of a file while a worker lives."""


def model_names() -> list[str]:
    """Names of the registered models, sorted."""
    return sorted({entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)})


@cache
def model_class(name: str) -> type[Model]:
    """The model registered under a name.

    Raises
    ------
    ModelError
        There is no such model, and the message lists the models there are; two packages register the name; or the
        package that does cannot be imported.
    """
    entries = list(entry_points(group=ENTRY_POINT_GROUP, name=name))
    if len({entry.value for entry in entries}) > 1:
        raise ModelError(f"model {name!r} is registered twice: {' and '.join(sorted(e.value for e in entries))}")
    if not entries:
        close = difflib.get_close_matches(name, model_names(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ModelError(f"there is no model {name!r}: the models are {', '.join(model_names())}{hint}")
    try:
        loaded: type[Model] = entries[0].load()
    except Exception as error:  # Another package's code: whatever it raises, the other models work.
        package = entries[0].dist.name if entries[0].dist else "a package"
        raise ModelError(
            f"model {name!r}, of {package}, cannot be imported: {type(error).__name__}: {error}; repair or uninstall it"
        ) from error
    return loaded


READOUTS_OF_TRACKS: Mapping[str, About] = {
    "attentive_chrome": About(
        reads="tracks of five histone marks in bins around the TSS, of a model that filled them",
        gives="log odds that a gene is highly expressed",
        weights="trained on a store; fill --readout attentive_chrome --readout-weights FILE",
        licence="pdstore: Apache 2.0",
        reference="Singh et al. 2017, NeurIPS, arXiv:1708.00339",
    ),
    "elastic_net": About(
        reads="tracks, of a model that filled them",
        gives="expression, in the unit that it was trained on",
        weights="trained on a store, or published; fill --readout elastic_net --readout-weights FILE",
        licence="pdstore: Apache 2.0",
        reference="Sasse et al. 2023, Nature Genetics 55:2060",
    ),
}
"""What predicts from stored tracks, and is no model of `fill` but a readout: name → what it is."""


class Registered(NamedTuple):
    """A registered model.

    Attributes
    ----------
    name, package : str
        Its name, and the package that registers it, with its version.
    about : About or None
        What it tells of itself, if anything.
    window : WindowSpec or None
        The window it reads, where that needs no weights.
    weights_found : bool
        Whether it has weights without being given any.
    problem : str or None
        Why it cannot be used.
    """

    name: str
    package: str
    about: About | None = None
    window: WindowSpec | None = None
    weights_found: bool = False
    problem: str | None = None


def registered_models() -> list[Registered]:
    """All registered models, by name; of those that cannot be imported, why."""
    return [_registered(name) for name in model_names()]


def _registered(name: str) -> Registered:
    found = {entry.dist.name: entry.dist for entry in entry_points(group=ENTRY_POINT_GROUP, name=name) if entry.dist}
    package = " and ".join(f"{dist.name} {dist.version}" for dist in found.values())
    try:
        model = model_class(name)
        window, weights_found = _without_weights(model)
    except ModelError as error:
        return Registered(name, package, problem=str(error))
    return Registered(name, package, getattr(model, "about", None), window, weights_found)


def _without_weights(model: type[Model]) -> tuple[WindowSpec | None, bool]:
    """A model's window, where it needs no weights; and whether it has weights without being given any."""
    window, weights_found = None, False
    try:
        with contextlib.suppress(ModelError):
            window = model.window_of(None)
        with contextlib.suppress(ModelError):
            model.describe(None, NO_OPTIONS, "cpu")
            weights_found = True
    except Exception as error:  # Another package's code, as above.
        raise ModelError(f"{model} cannot be asked what it is: {type(error).__name__}: {error}") from error
    return window, weights_found


def windows_without_weights() -> dict[str, WindowSpec]:
    """The windows of the registered models of sequences that know theirs without weights, by name of the model."""
    return {
        registered.name: registered.window
        for registered in registered_models()
        if registered.window is not None and not ModelReference(registered.name, None).takes_dosages
    }


@dataclass(frozen=True)
class ModelReference:
    """A model by name, weights and options, and the variants it is asked about: small enough to send to a worker, which
    loads it once.

    Attributes
    ----------
    name : str
        Name in the registry.
    weights : Path or None
        Its weights.
    device : str
        Torch device.
    variants : {"snv", "all"}
        Which variants are applied to its windows.
    options : ModelOptions
        What else is asked of it.
    label : str
        Name of its groups in a store; the registry's name, and "-ensemble" behind it for an ensemble, where not given.
    """

    name: str
    weights: Path | None
    device: str = "cpu"
    variants: Variants = "snv"
    options: ModelOptions = field(default_factory=ModelOptions)
    label: str = ""

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", f"{self.name}-ensemble" if self.options.ensemble else self.name)
        elif not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.label) or self.label == "zarr.json":
            raise UsageError(
                f"{self.label!r} cannot name a set of predictions: letters, digits, '.', '_' and '-' only, a letter or "
                "digit first"
            )

    @property
    def window(self) -> WindowSpec:
        """The window that the model reads, with the variants applied to it; the model is not loaded for it."""
        return _window(self, weights_stamp(self.weights))

    def describe(self) -> ModelDescription:
        """What the model is, before its network is loaded; raises `UsageError` for options that it does not know."""
        return _describe(self, weights_stamp(self.weights))

    def digest(self) -> str:
        """SHA-256 of the weights, read anew: a file may change under one name."""
        return model_class(self.name).digest(self.weights)

    def require_gradient(self) -> None:
        """Raise `UsageError` where the model gives no gradients, or not with these options."""
        require_gradient(model_class(self.name), self.options)

    @property
    def takes_dosages(self) -> bool:
        """Whether it is a `DosageModel`, rather than a `SequenceModel`."""
        return hasattr(model_class(self.name), "allele_weights")

    def load(self) -> SequenceModel:
        """The model of sequences, loaded once a process."""
        return cast(SequenceModel, self._load())

    def load_dosage_model(self) -> DosageModel:
        """The model of dosages, loaded once a process."""
        return cast(DosageModel, self._load())

    def _load(self) -> Model:
        stamp = weights_stamp(self.weights)
        loaded = _LOADED.get((self, stamp))
        return loaded if loaded is not None else in_model_thread(_load, self, stamp)


def options_of_protocol(model: str, protocol: str, given: ModelOptions) -> ModelOptions:
    """Options with an article's choices.

    Parameters
    ----------
    model : str
        Name of the model.
    protocol : str
        Name of the choices: "huang2023".
    given : ModelOptions
        What is asked for beside them.

    Raises
    ------
    UsageError
        The model has no such choices, or one of them is given, too.
    """
    known: Mapping[str, Mapping[str, Any]] = getattr(model_class(model), "protocols", {})
    if protocol not in known:
        there = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise UsageError(f"model {model} has no --protocol {protocol}: {there}")
    for option in given.given():
        if option in known[protocol]:
            raise UsageError(f"--protocol {protocol} says what --{option} is: leave one of them out")
    return replace(given, **known[protocol])


@lru_cache
def _window(reference: ModelReference, stamp: Stamp) -> WindowSpec:
    return replace(model_class(reference.name).window_of(reference.weights), variants=reference.variants)


@lru_cache
def _describe(reference: ModelReference, stamp: Stamp) -> ModelDescription:
    model = model_class(reference.name)
    for option in reference.options.given():
        if option not in model.takes:
            raise UsageError(f"model {reference.name} has no option --{option.replace('_', '-')}")
    return model.describe(reference.weights, reference.options, reference.device)


def _load(reference: ModelReference, stamp: Stamp) -> Model:
    """Load the model, in the model thread; the one before is let go first."""
    if (reference, stamp) not in _LOADED:
        _LOADED.clear()
        if reference.device.startswith("cuda"):
            set_cuda_arithmetic(tf32=reference.options.precision == "tf32")
        model = model_class(reference.name).load(reference.weights, reference.options, reference.device)
        _LOADED[reference, stamp] = model
    return _LOADED[reference, stamp]
