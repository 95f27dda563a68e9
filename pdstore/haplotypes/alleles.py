"""Alternate alleles → what they replace in the reference around a TSS, in the reading direction of a window."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pdstore.haplotypes.onehot import complement, one_hot_words


@dataclass(frozen=True)
class Stretch:
    """The reference around a TSS that haplotype windows are cut from, in the reading direction of the window.

    With indels it is longer than the window: where a haplotype has lost more bases than it gained, reference from
    beyond the window slides in.

    Attributes
    ----------
    letters : ndarray of uint8, shape (positions,)
        ASCII; N outside the contig.
    start : int
        First base on the contig, 0-based, + strand; may be negative.
    tss : int
        0-based offset of the TSS in `letters`.
    reverses : bool
        Whether `letters` are the reverse complement of the + strand.
    """

    letters: NDArray[np.uint8]
    start: int
    tss: int
    reverses: bool

    @cached_property
    def words(self) -> NDArray[np.uint32]:
        """The letters one-hot, as of `one_hot_words`: uint32, shape (positions,)."""
        return one_hot_words(self.letters)

    @cached_property
    def positions(self) -> NDArray[np.int64]:
        """0-based position on the contig of each letter: int64, shape (positions,)."""
        forward = np.arange(self.start, self.start + len(self.letters), dtype=np.int64)
        return forward[::-1].copy() if self.reverses else forward


class StretchAlleles(NamedTuple):
    """What alleles replace in a `Stretch`: one row an allele, in the order of the contig.

    Attributes
    ----------
    start : ndarray of int64, shape (alleles,)
        0-based offset of the first replaced base; an insertion stands before it.
    replaced : ndarray of int64, shape (alleles,)
        Reference bases that are replaced: 0 for an insertion.
    inserted : ndarray of uint8, shape (inserted_bases,)
        ASCII letters that are put there, one allele after the other.
    inserted_start : ndarray of int64, shape (alleles + 1,)
        Where each allele's letters begin in `inserted`.
    inserted_position : ndarray of int64, shape (inserted_bases,)
        0-based position on the contig of the base that each inserted letter stands for, or follows on the + strand.
    is_new : ndarray of bool, shape (inserted_bases,)
        Whether the letter follows that base, rather than standing for it.
    tss_shift : ndarray of int64, shape (alleles,)
        By how many bases the allele moves the TSS in the haplotype.
    deletes_tss : ndarray of bool, shape (alleles,)
        Whether the TSS itself is deleted: the haplotype's next base in the reading direction takes its place.
    moving : ndarray of int64, shape (moving_alleles,)
        The alleles that add or take bases, and so move what follows: ascending rows.
    reverses : bool
        Whether `start` descends, since the stretch is the reverse complement.
    """

    start: NDArray[np.int64]
    replaced: NDArray[np.int64]
    inserted: NDArray[np.uint8]
    inserted_start: NDArray[np.int64]
    inserted_position: NDArray[np.int64]
    is_new: NDArray[np.bool_]
    tss_shift: NDArray[np.int64]
    deletes_tss: NDArray[np.bool_]
    moving: NDArray[np.int64]
    reverses: bool


def stretch_alleles(
    stretch: Stretch,
    position: NDArray[np.integer],
    ref: NDArray[np.object_],
    alt: NDArray[np.object_],
    anchored: NDArray[np.bool_],
) -> StretchAlleles:
    """Place alleles in a stretch.

    Parameters
    ----------
    stretch : Stretch
        The reference; every allele lies within it.
    position : ndarray of int, shape (alleles,)
        1-based, in the order of the contig.
    ref, alt : ndarray of object (str), shape (alleles,)
        Letters of the + strand.
    anchored : ndarray of bool, shape (alleles,)
        Whether the allele is an insertion or a deletion after its first base, which it keeps.

    Returns
    -------
    StretchAlleles

    Raises
    ------
    ValueError
        An allele lies outside the stretch, or has no letters.
    """
    skipped = anchored.astype(np.int64)
    replaced = np.fromiter(map(len, ref), dtype=np.int64, count=len(ref)) - skipped
    length = np.fromiter(map(len, alt), dtype=np.int64, count=len(alt)) - skipped
    inserted_start = np.r_[0, np.cumsum(length)]
    forward_start = position.astype(np.int64) - 1 + skipped - stretch.start
    if (replaced < 0).any() or (length < 0).any():
        raise ValueError("an allele has no letters")
    outside = (forward_start < 0) | (forward_start + replaced > len(stretch.letters))
    if outside.any():
        where = int(position[outside][0])
        raise ValueError(f"the allele at {where} lies outside the stretch of {len(stretch.letters)} bp around the TSS")
    texts = [text[skip:] for text, skip in zip(alt.tolist(), skipped.tolist(), strict=True)]
    within = np.arange(inserted_start[-1]) - np.repeat(inserted_start[:-1], length)
    if stretch.reverses:
        start = len(stretch.letters) - forward_start - replaced
        texts = [text[::-1] for text in texts]
        # Offset of each letter in its allele on the + strand.
        within = np.repeat(length, length) - 1 - within
    else:
        start = forward_start
    inserted = np.array(bytearray("".join(texts), "ascii"), dtype=np.uint8)
    last_replaced = np.repeat(replaced - 1, length)
    first_position = np.repeat(forward_start + stretch.start, length)
    shift, deleted = _tss_shift(stretch, start, replaced, length)
    return StretchAlleles(
        start=start,
        replaced=replaced,
        inserted=complement(inserted) if stretch.reverses else inserted,
        inserted_start=inserted_start,
        inserted_position=first_position + np.minimum(within, last_replaced),
        is_new=within > last_replaced,
        tss_shift=shift,
        deletes_tss=deleted,
        moving=np.flatnonzero(length != replaced),
        reverses=stretch.reverses,
    )


def _tss_shift(
    stretch: Stretch, start: NDArray[np.int64], replaced: NDArray[np.int64], length: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """By how many bases each allele moves the TSS, and whether it deletes it.

    REF and ALT are aligned at their first base on the + strand: the i-th letter of ALT stands for the i-th of REF.
    """
    end = start + replaced
    covers = (start <= stretch.tss) & (stretch.tss < end)
    offset_in_ref = end - 1 - stretch.tss if stretch.reverses else stretch.tss - start
    deleted = covers & (offset_in_ref >= length)
    gained = length - replaced
    # The place of the TSS, or of the base after it, in the haplotype: minus where it is in the reference.
    if stretch.reverses:
        over_tss = np.where(deleted, start - stretch.tss, gained)
    else:
        over_tss = np.where(deleted, start + length - stretch.tss, 0)
    shift: NDArray[np.int64] = np.where(covers, over_tss, np.where(end <= stretch.tss, gained, 0))
    return shift, deleted
