"""Letters to one-hot: A, C, G, T; every other letter, and every base outside a contig, is all zeros."""

import numpy as np
from numpy.typing import NDArray

NUCLEOTIDES = "ACGT"

_NOT_A_NUCLEOTIDE = len(NUCLEOTIDES)
# Index of each ASCII letter in NUCLEOTIDES, either case.
_NUCLEOTIDE_INDEX = np.full(256, _NOT_A_NUCLEOTIDE, dtype=np.int8)
for _index, _letter in enumerate(NUCLEOTIDES):
    _NUCLEOTIDE_INDEX[[ord(_letter), ord(_letter.lower())]] = _index
# One row a nucleotide, and a last row of zeros for everything else.
_ONE_HOT_ROWS = np.vstack([np.eye(len(NUCLEOTIDES), dtype=bool), np.zeros(len(NUCLEOTIDES), dtype=bool)])


def nucleotide_index(letters: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Index of each letter in A, C, G, T.

    Parameters
    ----------
    letters : ndarray of uint8, any shape
        ASCII letters, either case.

    Returns
    -------
    ndarray of int8, same shape
        0 to 3, and 4 for any other letter.
    """
    return _NUCLEOTIDE_INDEX[letters]


def one_hot(letters: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """One-hot code of a sequence.

    Parameters
    ----------
    letters : ndarray of uint8, shape (..., positions)
        ASCII letters, either case.

    Returns
    -------
    ndarray of bool, shape (..., positions, 4)
        Channels in the order A, C, G, T; a letter that is none of them is all zeros.
    """
    return _ONE_HOT_ROWS[nucleotide_index(letters)]


def reverse_complement(onehot: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Reverse complement of one-hot sequences, as a view.

    Parameters
    ----------
    onehot : ndarray of bool, shape (..., positions, 4)
        Channels in the order A, C, G, T: reversing that order complements.

    Returns
    -------
    ndarray of bool, same shape
    """
    return onehot[..., ::-1, ::-1]
