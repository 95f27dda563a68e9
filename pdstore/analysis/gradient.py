"""From the gradient at the reference to single alleles."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def gradient_x_input(
    gradient: ArrayLike, offset: ArrayLike, reference: ArrayLike, alternate: ArrayLike
) -> NDArray[np.float64]:
    """First-order effect of single-base alleles: gradient times the change of the input, gradient[alt] - gradient[ref].

    Parameters
    ----------
    gradient : array, shape=(positions, 4), any real dtype
        Derivative of a readout with respect to the one-hot window, A, C, G, T.
    offset : array, shape=(alleles,), int
        0-based position of each allele in the window.
    reference, alternate : array, shape=(alleles, 4), bool
        The bases there, one-hot, in the window's reading direction; N is all zeros.

    Returns
    -------
    effect : array, shape=(alleles,), float64
        In the unit of the readout; to be held beside ISM, which it approximates. NaN where the gradient is NaN.
    """
    change = np.asarray(alternate, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    effect: NDArray[np.float64] = (np.asarray(gradient, dtype=np.float64)[np.asarray(offset)] * change).sum(axis=-1)
    return effect
