"""From a model's tracks at the central bins to one number a haplotype, and from haplotypes to people."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pdstore.errors import UsageError

Readout = Callable[[NDArray[np.float64]], NDArray[np.float64]]

NO_SECOND_HAPLOTYPE = -2


def _positive(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """NaN where there is no logarithm, so that one bad bin cannot pass as a very low prediction."""
    return np.where(x > 0, x, np.nan)


def _log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(_positive(x))


def _log2_sum_slope(x: NDArray[np.float64]) -> NDArray[np.float64]:
    slope: NDArray[np.float64] = 1 / (_positive(x.sum(axis=-2, keepdims=True)) * np.log(2))
    return np.broadcast_to(slope, x.shape)


# Each takes (..., bins, tracks) to (..., tracks).
READOUTS: Mapping[str, Readout] = {
    "sum": lambda tracks: tracks.sum(axis=-2),
    "sum_log": lambda tracks: _log(tracks).sum(axis=-2),
    "log2_sum": lambda tracks: _log(tracks.sum(axis=-2)) / np.log(2),
}


# Each takes (..., bins, tracks) to its derivative, of the same shape.
READOUT_SLOPES: Mapping[str, Readout] = {
    "sum": np.ones_like,
    "sum_log": lambda tracks: 1 / _positive(tracks),
    "log2_sum": _log2_sum_slope,
}


ELASTIC_NET = "elastic_net"
"""The readout that needs weights: the fine-tuned one of Sasse et al. 2023."""

READOUT_NAMES = (*READOUTS, ELASTIC_NET)


def read_out(tracks: ArrayLike, readout: str, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """One number a haplotype from the tracks at its central bins, the mean over tracks of each track's readout.

    Parameters
    ----------
    tracks : array, shape=(..., bins, tracks), any real dtype, the model's own unit
        Output at the central bins.
    readout : str
        ``sum``, the sum over bins (the scripts of Sasse et al. 2023); ``sum_log``, the sum over bins of the natural
        logarithm (their Methods); ``log2_sum``, log2 of the sum over bins; ``elastic_net``, the weighted sum of the
        tracks' ``log2_sum`` and an intercept (their fine-tuned readout).
    weights : array, shape=(tracks + 1,), float64, optional
        Of the elastic net: a weight a track, and the intercept last.

    Returns
    -------
    value : array, shape=(...), float64
        NaN where a track's logarithm does not exist.

    Raises
    ------
    UsageError
        If there is no such readout, or weights are missing, superfluous, or not as many as there are tracks.
    """
    values = np.asarray(tracks, dtype=np.float64)
    terms = _terms(values, readout, weights)
    if terms is None:
        mean: NDArray[np.float64] = READOUTS[readout](values).mean(axis=-1)
        return mean
    weighted: NDArray[np.float64] = READOUTS["log2_sum"](values) @ terms[:-1] + terms[-1]
    return weighted


def readout_gradient(tracks: ArrayLike, readout: str, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """Derivative of `read_out` with respect to the tracks.

    With x[b, t] the output at bin b of track t, s[t] its sum over bins, and T tracks::

        sum          1 / T
        sum_log      1 / (T x[b, t])
        log2_sum     1 / (T s[t] ln 2)
        elastic_net  weights[t] / (s[t] ln 2)

    Parameters
    ----------
    tracks, readout, weights
        As of `read_out`.

    Returns
    -------
    gradient : array, shape=(..., bins, tracks), float64
        In units of the readout a unit of the tracks. NaN where a track's logarithm does not exist.

    Raises
    ------
    UsageError
        As `read_out`.
    """
    values = np.asarray(tracks, dtype=np.float64)
    terms = _terms(values, readout, weights)
    if terms is not None:
        return _log2_sum_slope(values) * terms[:-1]
    mean: NDArray[np.float64] = READOUT_SLOPES[readout](values) / values.shape[-1]
    return mean


def _terms(values: NDArray[np.float64], readout: str, weights: ArrayLike | None) -> NDArray[np.float64] | None:
    """Weights of the elastic net, None of another readout; raises as `read_out` does."""
    if readout not in READOUT_NAMES:
        raise UsageError(f"unknown readout {readout!r}: choose one of {', '.join(READOUT_NAMES)}")
    if (weights is None) == (readout == ELASTIC_NET):
        raise UsageError(f"readout {readout} {'needs weights' if weights is None else 'takes no weights'}")
    if weights is None:
        return None
    terms = np.asarray(weights, dtype=np.float64)
    if terms.shape != (values.shape[-1] + 1,):
        raise UsageError(f"{len(terms) - 1} weights of tracks, but there are {values.shape[-1]} tracks")
    return terms


def person_prediction(haplotype_readout: ArrayLike, haplotype_index: ArrayLike) -> NDArray[np.float64]:
    """A person's prediction: the mean over the haplotypes that the person has.

    Parameters
    ----------
    haplotype_readout : array, shape=(haplotypes,), any real dtype
        Readout of each distinct haplotype of one gene, NaN where it was not predicted.
    haplotype_index : array, shape=(people, ploidy), int
        Which haplotype each of a person's is; -1 not filled, -2 no second haplotype.

    Returns
    -------
    prediction : array, shape=(people,), float64
        NaN where a haplotype is not filled or not predicted, or where the person has none.

    Raises
    ------
    IndexError
        If an index names no haplotype.
    """
    readouts = np.asarray(haplotype_readout, dtype=np.float64)
    index = np.asarray(haplotype_index)
    if index.size and not NO_SECOND_HAPLOTYPE <= index.min() <= index.max() < len(readouts):
        raise IndexError(
            f"haplotype_index runs from {index.min()} to {index.max()}, "
            f"but there are {len(readouts)} haplotypes (and -1 not filled, -2 no second haplotype)"
        )
    # Counted from the end, -1 finds NaN and -2 nothing to add.
    values = np.concatenate([readouts, [0.0, np.nan]])[index]
    present = (index != NO_SECOND_HAPLOTYPE).sum(axis=1)
    mean: NDArray[np.float64] = values.sum(axis=1) / np.where(present > 0, present, np.nan)
    return mean
