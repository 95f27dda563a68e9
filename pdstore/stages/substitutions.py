"""Effects of substitutions at bases of a window: what the stages ism_window and ism_tss share."""

import numpy as np
from numpy.typing import NDArray

from pdstore.haplotypes.onehot import NUCLEOTIDES
from pdstore.haplotypes.substitutions import substituted_windows
from pdstore.models.protocol import SequenceModel, predict_in_batches
from pdstore.stages.readouts import Readout

SUBSTITUTIONS = len(NUCLEOTIDES) - 1
"""Of a base."""


def substitution_effects(
    model: SequenceModel,
    readout: Readout,
    background: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    reverses: bool,
) -> NDArray[np.float32]:
    """Readout of a window with one base replaced, minus that of the window as it is.

    Parameters
    ----------
    model : SequenceModel
        The model.
    readout : Readout
        How its tracks become one number.
    background : ndarray of bool, shape (positions, 4)
        One-hot window in which bases are replaced, in its reading direction.
    offsets : ndarray of int64, shape (offsets,)
        0-based offsets in the window.
    reverses : bool
        Whether the window is the reverse complement of the + strand.

    Returns
    -------
    ndarray of float32, shape (offsets, 4)
        A, C, G, T of the + strand, as of the readout; NaN for the window's own base, N, and outside the window.
    """
    effects = np.full((len(offsets), len(NUCLEOTIDES)), np.nan, dtype=np.float32)
    windows, place, nucleotide = substituted_windows(background, offsets)
    if len(place):
        # The background's own output is of the same call: computed otherwise, it would differ in the last bits. And an
        # engine takes it for the reference, of which it computes, and checks, what differs.
        values = readout.of(predict_in_batches(model, windows, background))
        effects[place, nucleotide] = values[1:] - values[0]
    # Reversing A, C, G, T complements.
    return effects[:, ::-1] if reverses else effects
