"""What pdstore asks of a model; nothing else in pdstore knows which model it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Protocol, Self, cast, get_args

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import ModelError, UsageError
from pdstore.haplotypes.window import WindowSpec
from pdstore.models.device import in_model_thread

Precision = Literal["float32", "tf32", "bf16", "delta-bf16"]
EngineName = Literal["incremental", "plain"]


@dataclass(frozen=True)
class ModelOptions:
    """What is asked of a model beside its weights; what is left at its default is the model's to choose.

    Attributes
    ----------
    targets : Path, optional
        Table of the output tracks.
    tracks : str, optional
        Which tracks: indices ("4980", "0-99,4980"), a glob over descriptions, or "all".
    bins : str, optional
        Which bins of the output, 0-based: "447-449".
    head : str, optional
        Which of several heads.
    use_tf_gamma : bool, optional
        Whether the relative positions of an Enformer are TensorFlow's.
    precision : {"float32", "tf32", "bf16", "delta-bf16"}
        Arithmetic of the network; delta-bf16 is bfloat16 for differences from the reference alone.
    ensemble : bool
        Whether an output is the mean over shifts of the window and its reverse complement.
    batch_size : int, optional
        Windows in the network at once; changes outputs in their last bits only.
    engine : {"incremental", "plain"}, optional
        Whether what windows share with the reference is computed once; changes outputs in their last bits only.
    """

    targets: Path | None = None
    tracks: str | None = None
    bins: str | None = None
    head: str | None = None
    use_tf_gamma: bool | None = None
    precision: Precision = "float32"
    ensemble: bool = False
    batch_size: int | None = None
    engine: EngineName | None = None

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise UsageError(f"precision {self.precision!r} is none of {', '.join(get_args(Precision))}")
        if self.engine not in (None, *get_args(EngineName)):
            raise UsageError(f"engine {self.engine!r} is none of {', '.join(get_args(EngineName))}")
        if self.batch_size is not None and self.batch_size < 1:
            raise UsageError(f"batch size {self.batch_size}: at least one window is needed")

    def given(self) -> list[str]:
        """Names of the options that differ from their default."""
        return [option.name for option in fields(self) if getattr(self, option.name) != option.default]


NO_OPTIONS = ModelOptions()
"""Nothing is asked of a model beside its weights."""


class About(NamedTuple):
    """What `pdstore models` tells of a model.

    Attributes
    ----------
    reads, gives : str
        What goes in, and what comes out.
    weights : str
        Where weights come from.
    licence : str
        Of the code, and of published weights as far as it is known.
    reference : str
        The article.
    """

    reads: str
    gives: str
    weights: str
    licence: str
    reference: str


NO_READOUT = "none"
"""The readout of a model without tracks: it predicts the one number itself."""


@dataclass(frozen=True)
class ModelDescription:
    """What is known of a model before its network is loaded.

    Attributes
    ----------
    window : WindowSpec
        The window it reads.
    bins : int
        Target bins of an output.
    track_names : tuple of str
        Names of the output tracks.
    readout : str
        How its tracks become one number where nobody says otherwise: a name in `pdstore.analysis.readout.READOUTS`,
        or `NO_READOUT`.
    options : mapping
        What changes its outputs beside the weights; recorded in the store.
    windows_per_block : int
        Windows of a block of work: some minutes' worth at most, because a kill loses the blocks it interrupts.
    """

    window: WindowSpec
    bins: int
    track_names: tuple[str, ...]
    readout: str
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    windows_per_block: int = 64


class Model(Protocol):
    """What every model tells of itself.

    A model may have class attributes: `about`, an `About`; and `protocols`, names of an article's choices of options →
    fields of `ModelOptions` and their values.

    Attributes
    ----------
    name : str
        Name in the registry.
    takes : frozenset of str
        Which fields of `ModelOptions` it knows.
    description : ModelDescription
        What `describe` gave.
    weights_digest : str
        SHA-256 of the weights, hexadecimal.
    """

    name: ClassVar[str]
    takes: ClassVar[frozenset[str]]
    weights_digest: str

    @property
    def description(self) -> ModelDescription: ...

    @classmethod
    def window_of(cls, weights: Path | None) -> WindowSpec:
        """The window that the model reads; raises `ModelError` where that needs weights, and none are given."""
        ...

    @classmethod
    def describe(cls, weights: Path | None, options: ModelOptions, device: str) -> ModelDescription:
        """What a loaded model would be, from what can be read in seconds: shapes, not values.

        Raises
        ------
        ModelError
            The weights are missing or not this model's.
        UsageError
            An option does not fit them.
        """
        ...

    @classmethod
    def digest(cls, weights: Path | None) -> str:
        """SHA-256 of the weights, hexadecimal."""
        ...

    @classmethod
    def load(cls, weights: Path | None, options: ModelOptions, device: str) -> Self:
        """The model, ready to predict; raises as `describe` does."""
        ...


class Engine(Protocol):
    """What predicts windows that are nearly alike faster than one by one."""

    def predict(self, reference: NDArray[np.bool_], onehot: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Outputs for windows.

        Parameters
        ----------
        reference : ndarray of bool, shape (positions, 4)
            A window that they are nearly like; A, C, G, T; N is all zeros.
        onehot : ndarray of bool, shape (windows, positions, 4)
            Any number of windows.

        Returns
        -------
        ndarray of float32, shape (windows, bins, tracks)
        """
        ...


class SequenceModel(Model, Protocol):
    """A model from sequence windows to tracks.

    A model may have an attribute `engine`, an `Engine` or None, for windows that are nearly a reference window; and a
    method `gradient`, as a `DifferentiableModel` has it.

    Attributes
    ----------
    batch_size : int
        Windows that `predict` is given at once.
    """

    batch_size: int

    def predict(self, onehot: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Outputs for windows.

        Parameters
        ----------
        onehot : ndarray of bool, shape (batch, positions, 4)
            A, C, G, T; N is all zeros.

        Returns
        -------
        ndarray of float32, shape (batch, bins, tracks)
        """
        ...


class DifferentiableModel(SequenceModel, Protocol):
    """A model of sequences that also gives gradients."""

    def gradient(self, onehot: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """Gradient of the weighted sum of a window's outputs with respect to its one-hot bases.

        Parameters
        ----------
        onehot : ndarray of bool, shape (positions, 4)
            One window; A, C, G, T; N is all zeros.
        weights : ndarray of float64, shape (bins, tracks)
            Weight of each output.

        Returns
        -------
        ndarray of float32, shape (positions, 4)
            Of all four bases at each position: weighted outputs a unit of that channel.
        """
        ...


class GeneAlleles(NamedTuple):
    """The alternate alleles around a gene.

    Attributes
    ----------
    contig : str
        As the store names it.
    position : ndarray of int64, shape (alleles,)
        1-based.
    ref, alt : ndarray of object (str), shape (alleles,)
        Trimmed alleles, upper case.
    """

    contig: str
    position: NDArray[np.int64]
    ref: NDArray[np.object_]
    alt: NDArray[np.object_]


class AlleleWeights(NamedTuple):
    """A gene's model: a person's prediction is offset + the sum of weight x dosage of the alternate allele.

    Attributes
    ----------
    weight : ndarray of float64, shape (folds + 1, alleles)
        Expression per alternate allele; NaN for alleles that the model does not know. The first row is the model's, the
        others are of people it was trained on.
    offset : ndarray of float64, shape (folds + 1,)
        Expression of a person without alternate alleles.
    counts : ndarray of int64, shape (counts,)
        What became of the model's weights, in the order of `DosageModel.counts`.
    """

    weight: NDArray[np.float64]
    offset: NDArray[np.float64]
    counts: NDArray[np.int64]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which alleles have a weight: bool, shape (alleles,)."""
        known: NDArray[np.bool_] = ~np.isnan(self.weight[0])
        return known


class DosageModel(Model, Protocol):
    """A model from dosages of the alleles around a gene to one number a person: linear, gene by gene.

    Attributes
    ----------
    counts : tuple of str
        What it counts of a gene's weights: how many there are, how many are used, and why not the others.
    build : str or None
        Genome build that its weights name.
    """

    counts: ClassVar[tuple[str, ...]]
    build: str | None

    def has_weights(self, gene_id: str) -> bool:
        """Whether the model knows a gene."""
        ...

    def allele_weights(self, gene_id: str, alleles: GeneAlleles) -> AlleleWeights:
        """A gene's weights for the alleles around it; NaN for all, and counts of 0, where it has none."""
        ...

    def fold_of(self, people: Sequence[str]) -> NDArray[np.int64]:
        """Which row of `AlleleWeights` is each person's: one that was trained without them. int64, shape (people,)."""
        ...


def predict_in_batches(
    model: SequenceModel, windows: NDArray[np.bool_], reference: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Outputs for any number of windows: by the model's engine, or in batches of the one size `model.batch_size`.

    The last batch is filled up with windows of zeros: matrix products of other sizes differ in the last bits, and a
    block's result must depend on the block alone. All calls of a process run in one thread.

    Parameters
    ----------
    model : SequenceModel
        The model.
    windows : ndarray of bool, shape (windows, positions, 4)
        A, C, G, T; N is all zeros.
    reference : ndarray of bool, shape (positions, 4)
        The reference window, which they are nearly like.

    Returns
    -------
    ndarray of float32, shape (windows, bins, tracks)
    """
    engine: Engine | None = getattr(model, "engine", None)
    if engine is not None:
        return in_model_thread(engine.predict, reference, windows)
    return in_model_thread(_predict_in_batches, model, windows)


def _predict_in_batches(model: SequenceModel, windows: NDArray[np.bool_]) -> NDArray[np.float32]:
    of_a_window = (model.description.bins, len(model.description.track_names))
    outputs = np.empty((len(windows), *of_a_window), dtype=np.float32)
    for start in range(0, len(windows), model.batch_size):
        batch = windows[start : start + model.batch_size]
        padding = model.batch_size - len(batch)
        padded = np.concatenate([batch, np.zeros((padding, *batch.shape[1:]), dtype=bool)]) if padding else batch
        predicted = model.predict(padded)
        if predicted.shape != (model.batch_size, *of_a_window):
            raise ModelError(
                f"model {model.name} gave outputs of shape {predicted.shape} for {model.batch_size} windows, but "
                f"declares {of_a_window} bins and tracks"
            )
        outputs[start : start + len(batch)] = predicted[: len(batch)]
    return outputs


def require_gradient(model: type[Model] | Model, options: ModelOptions) -> None:
    """Raise `UsageError` where a model gives no gradients."""
    if not hasattr(model, "gradient"):
        raise UsageError(f"model {model.name} gives no gradients: leave the stage gradient out")
    if options.precision == "bf16":
        raise UsageError(
            "gradients have no --precision bf16: fill them of a set of --precision float32 (a second one beside it "
            "with --as NAME)"
        )


def input_gradient(
    model: SequenceModel, onehot: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float32]:
    """`DifferentiableModel.gradient`, in the thread of this process that runs models."""
    differentiable = cast(DifferentiableModel, model)
    gradient = in_model_thread(differentiable.gradient, onehot, weights)
    if gradient.shape != onehot.shape:
        raise ModelError(
            f"model {model.name} gave a gradient of shape {gradient.shape} for a window of shape {onehot.shape}"
        )
    return gradient
