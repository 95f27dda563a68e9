"""How far a driver's neighbourhood acts in the driver's direction: the extent of the motif that it may lie in."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

FRACTIONS = (0.05, 0.1, 0.2, 0.5)
"""Thresholds of Sasse et al. 2023, as fractions of the gene's largest |ISM| within 1,000 bp of the TSS."""


def base_scores(ism_window: ArrayLike) -> NDArray[np.float64]:
    """Score of each base: minus the mean effect of its three substitutions, so that what activates is positive.

    Parameters
    ----------
    ism_window : array, shape=(..., positions, 3), any real dtype, readout units
        Effects of the three substitutions at each base.

    Returns
    -------
    scores : array, shape=(..., positions), float64, readout units
    """
    scores: NDArray[np.float64] = -np.asarray(ism_window, dtype=np.float64).mean(axis=-1)
    return scores


def motif_extent(
    scores: ArrayLike, centre: int, largest_ism: ArrayLike, fractions: ArrayLike = FRACTIONS
) -> NDArray[np.int64]:
    """Bases in a row, the driver's among them, whose scores have the driver's sign and a size above a threshold.

    Parameters
    ----------
    scores : array, shape=(..., positions), any real dtype, readout units
        `base_scores` around a driver; NaN counts as below any threshold.
    centre : int
        The driver's offset among the positions, 0-based.
    largest_ism : array, shape=(...), any real dtype, readout units
        The gene's largest |ISM| within 1,000 bp of the TSS.
    fractions : array, shape=(thresholds,), default=(0.05, 0.1, 0.2, 0.5)
        Thresholds as fractions of it; a size at the threshold is above it.

    Returns
    -------
    extent : array, shape=(..., thresholds), int64, bp
        0 where the driver's own base is below the threshold.

    Raises
    ------
    ValueError
        If `centre` is not among the positions.

    Notes
    -----
    Sasse et al. 2023, Methods: whether a driver lies in a stretch of bases that act alike, as a motif would.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if not 0 <= centre < scores.shape[-1]:
        raise ValueError(f"centre {centre} lies outside the {scores.shape[-1]} positions")
    threshold = np.asarray(largest_ism, dtype=np.float64)[..., None] * np.asarray(fractions, dtype=np.float64)
    own_sign = np.sign(scores[..., centre, None])
    alike = (scores * own_sign > 0)[..., None, :] & (np.abs(scores)[..., None, :] >= threshold[..., None])
    left, right = alike[..., centre::-1], alike[..., centre:]
    extent: NDArray[np.int64] = np.cumprod(left, axis=-1).sum(axis=-1) + np.cumprod(right, axis=-1).sum(axis=-1)
    return np.where(extent > 0, extent - 1, 0)
