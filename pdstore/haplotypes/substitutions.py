"""Every substitution at some bases of a window, and where the bases around an allele or the TSS lie in it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pdstore.haplotypes.alleles import Stretch, StretchAlleles
from pdstore.haplotypes.onehot import NUCLEOTIDES
from pdstore.haplotypes.window import WindowSpec


class Substitutions(NamedTuple):
    """A window with one base at a time replaced by another.

    Attributes
    ----------
    windows : ndarray of bool, shape (1 + substitutions, positions, 4)
        First the window as it is, then one row a substitution.
    place : ndarray of int64, shape (substitutions,)
        Which of the offsets each changes, rising.
    nucleotide : ndarray of int64, shape (substitutions,)
        What it puts there: 0 A, 1 C, 2 G, 3 T, in the window's reading direction.
    """

    windows: NDArray[np.bool_]
    place: NDArray[np.int64]
    nucleotide: NDArray[np.int64]


def substituted_windows(window: NDArray[np.bool_], offsets: NDArray[np.int64]) -> Substitutions:
    """A window, and the same with each other base at some of its offsets.

    Parameters
    ----------
    window : ndarray of bool, shape (positions, 4)
        One-hot: A, C, G, T; N is all zeros, and nothing is put in its place.
    offsets : ndarray of int64, shape (offsets,)
        0-based, each once; nothing is put at those outside the window.

    Returns
    -------
    Substitutions
    """
    inside = (offsets >= 0) & (offsets < len(window))
    own = np.zeros((len(offsets), len(NUCLEOTIDES)), dtype=bool)
    own[inside] = window[offsets[inside]]
    place, nucleotide = np.nonzero(own.any(axis=1, keepdims=True) & ~own)
    windows = np.repeat(window[None], 1 + len(place), axis=0)
    windows[np.arange(1, len(windows)), offsets[place]] = np.eye(len(NUCLEOTIDES), dtype=bool)[nucleotide]
    return Substitutions(windows, place, nucleotide)


def offsets_around_tss(window: WindowSpec, reverses: bool, reach: int) -> NDArray[np.int64]:
    """Where the reference's bases around the TSS lie in a window.

    Parameters
    ----------
    window : WindowSpec
        The window.
    reverses : bool
        Whether it is reverse-complemented.
    reach : int
        Bases to either side, bp.

    Returns
    -------
    ndarray of int64, shape (2 * reach + 1,)
        0-based, in the order of the contig; outside the window where it does not reach so far.
    """
    return _in_order_of_the_contig(window.tss_offset, reverses, reach)


def offsets_around_allele(
    window: WindowSpec, stretch: Stretch, alleles: StretchAlleles, allele: int, is_applied: bool, reach: int
) -> NDArray[np.int64]:
    """Where the bases around an allele lie in the window of the reference, or of the haplotype with this allele alone.

    In the middle is the first base, along the contig, that the allele changes: of an insertion or deletion the one
    behind its anchor, which is the first inserted base where an insertion is applied, and the first that is left where
    a deletion is.

    Parameters
    ----------
    window : WindowSpec
        The window.
    stretch : Stretch
        Reference around the TSS.
    alleles : StretchAlleles
        What alleles replace in it.
    allele : int
        Row of `alleles`, 0-based.
    is_applied : bool
        Whether the haplotype has the allele.
    reach : int
        Bases to either side, bp.

    Returns
    -------
    ndarray of int64, shape (2 * reach + 1,)
        0-based, in the order of the contig; some may lie outside the window.
    """
    first, length, shift = int(alleles.start[allele]), int(alleles.replaced[allele]), 0
    if is_applied:
        length = int(alleles.inserted_start[allele + 1] - alleles.inserted_start[allele])
        shift = int(alleles.tss_shift[allele])
    # Read backwards, what comes first on the contig comes last.
    middle = first + length - 1 if alleles.reverses else first
    begin = stretch.tss + shift - window.tss_offset
    return _in_order_of_the_contig(middle - begin, alleles.reverses, reach)


def _in_order_of_the_contig(middle: int, reverses: bool, reach: int) -> NDArray[np.int64]:
    distance = np.arange(-reach, reach + 1, dtype=np.int64)
    return middle - distance if reverses else middle + distance
