"""Letters to one-hot: A, C, G, T; every other letter, and every base outside a contig, is all zeros."""

import numpy as np
from numpy.typing import NDArray

NUCLEOTIDES = "ACGT"

# One row an ASCII letter, either case: every other letter has a row of zeros.
_ONE_HOT_ROWS = np.zeros((256, len(NUCLEOTIDES)), dtype=bool)
for _index, _letter in enumerate(NUCLEOTIDES):
    _ONE_HOT_ROWS[[ord(_letter), ord(_letter.lower())], _index] = True
# The four channels of a base as one number, whatever the byte order.
_WORDS = _ONE_HOT_ROWS.view(np.uint32).ravel()

_COMPLEMENT = np.arange(256, dtype=np.uint8)
_COMPLEMENT[np.frombuffer(b"ACGTacgt", dtype=np.uint8)] = np.frombuffer(b"TGCAtgca", dtype=np.uint8)


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
    return _ONE_HOT_ROWS[letters]


def one_hot_words(letters: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """`one_hot` with the four channels of a base packed into one number, which copies four times as fast.

    Parameters
    ----------
    letters : ndarray of uint8, shape (..., positions)
        ASCII letters, either case.

    Returns
    -------
    ndarray of uint32, shape (..., positions)
        ``words.view(bool).reshape(*words.shape, 4)`` is the one-hot code.
    """
    return _WORDS[letters]


def complement(letters: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Complement of each letter: ASCII, either case; N and every other letter stays."""
    return _COMPLEMENT[letters]


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
