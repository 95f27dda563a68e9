"""Alleles that overlap on one haplotype: the first wins; and how wide a window's alleles reach."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Footprints(NamedTuple):
    """The reference bases that alleles lay claim to, one row an allele, in the order of the contig.

    Attributes
    ----------
    first, last : ndarray of int64, shape (alleles,)
        First and last base of the allele's record.
    record : ndarray of int64, shape (alleles,)
        Which record of the VCF it comes from: the order in which alleles are applied.
    anchored : ndarray of bool, shape (alleles,)
        Whether it is an insertion or a deletion after its first base, which it keeps.
    lengthens : ndarray of bool, shape (alleles,)
        Whether its alternate allele is longer than the reference's.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    record: NDArray[np.int64]
    anchored: NDArray[np.bool_]
    lengthens: NDArray[np.bool_]

    def of(self, alleles: NDArray[np.int64]) -> "Footprints":
        """Those of some of the alleles."""
        return Footprints(
            self.first[alleles],
            self.last[alleles],
            self.record[alleles],
            self.anchored[alleles],
            self.lengthens[alleles],
        )


class Reach(NamedTuple):
    """The reference that a window's haplotypes may hold, and the alleles in it.

    Attributes
    ----------
    alleles : slice
        Rows of the alleles.
    start, end : int
        0-based, half-open.
    """

    alleles: slice
    start: int
    end: int


def cluster_of(footprints: Footprints) -> NDArray[np.int64]:
    """Which cluster each allele is in: alleles of different clusters share no base.

    Returns
    -------
    ndarray of int64, shape (alleles,)
        Ascending from 0: clusters follow one another on the contig.
    """
    if not len(footprints.first):
        return np.empty(0, dtype=np.int64)
    reached = np.maximum.accumulate(footprints.last)
    still_to_come = np.minimum.accumulate(footprints.first[::-1])[::-1]
    begins = np.r_[False, reached[:-1] < still_to_come[1:]]
    return np.cumsum(begins)


def first_wins(carried: NDArray[np.bool_], footprints: Footprints) -> NDArray[np.bool_]:
    """Which carried alleles are applied, as ``bcftools consensus`` decides.

    A record that begins at or before the last base of the one applied before it is left out; but an insertion or
    deletion may keep, as its first base, the last base of an allele that is no insertion.

    Parameters
    ----------
    carried : ndarray of bool, shape (alleles, ...)
        Which haplotypes carry the allele.
    footprints : Footprints
        Of the same alleles.

    Returns
    -------
    ndarray of bool, same shape
    """
    applied = carried.copy()
    cluster = cluster_of(footprints)
    shared = np.flatnonzero(np.bincount(cluster)[cluster] > 1) if len(cluster) else cluster
    if not len(shared):
        return applied
    flat = applied.reshape(len(applied), -1)
    last_base = np.full(flat.shape[1], np.iinfo(np.int64).min)
    after_insertion = np.zeros(flat.shape[1], dtype=bool)
    for allele in shared[np.argsort(footprints.record[shared], kind="stable")]:
        haplotypes = np.flatnonzero(flat[allele])
        overlaps = footprints.first[allele] <= last_base[haplotypes]
        if footprints.anchored[allele]:
            overlaps &= (footprints.first[allele] < last_base[haplotypes]) | after_insertion[haplotypes]
        flat[allele, haplotypes[overlaps]] = False
        winners = haplotypes[~overlaps]
        last_base[winners] = footprints.last[allele]
        after_insertion[winners] = footprints.lengthens[allele]
    return applied


class Reaches:
    """How far haplotype windows reach on one contig.

    Parameters
    ----------
    footprints : Footprints
        Of the contig's alleles, 0-based.
    lost : ndarray of int64, shape (alleles,)
        Bases that a haplotype loses by the allele.
    """

    def __init__(self, footprints: Footprints, lost: NDArray[np.int64]) -> None:
        cluster = cluster_of(footprints)
        begins = np.flatnonzero(np.diff(cluster, prepend=-1))
        self._first_allele = begins
        self._alleles = len(cluster)
        self._start = np.minimum.reduceat(footprints.first, begins) if len(begins) else begins
        self._end = np.maximum.reduceat(footprints.last, begins) + 1 if len(begins) else begins
        # A haplotype has one allele of a record, and loses no more of a cluster than all of it.
        most = np.zeros(len(begins), dtype=np.int64)
        if len(begins):
            order = np.lexsort((lost, footprints.record))
            of_record = order[np.flatnonzero(np.diff(footprints.record[order], append=-1))]
            np.add.at(most, cluster[of_record], lost[of_record])
        self._lost_before = np.r_[0, np.cumsum(np.minimum(most, self._end - self._start))]

    def of(self, start: int, end: int, tss: int) -> Reach:
        """The reach of the window [start, end) around `tss`: 0-based.

        Grows from the window to both sides until what lies between TSS and end has, with every deletion applied, as
        many bases as the window wants there; clusters of overlapping alleles are in it whole.
        """
        low, high = start, end
        first, last = self._ends_after(low), self._starts_before(high)
        from_tss, to_tss = self._ends_after(tss), self._starts_before(tss + 1)
        while True:
            wanted = start - self._lost(first, to_tss)
            grown = min(wanted, low, int(self._start[first]) if first < last else low)
            if grown == low:
                break
            low, first = grown, self._ends_after(grown)
        while True:
            wanted = end + self._lost(from_tss, last)
            grown = max(wanted, high, int(self._end[last - 1]) if first < last else high)
            if grown == high:
                break
            high, last = grown, self._starts_before(grown)
        rows = np.r_[self._first_allele, self._alleles]
        return Reach(slice(int(rows[first]), int(rows[max(first, last)])), low, high)

    def _ends_after(self, position: int) -> int:
        return int(np.searchsorted(self._end, position, side="right"))

    def _starts_before(self, position: int) -> int:
        return int(np.searchsorted(self._start, position, side="left"))

    def _lost(self, first: int, last: int) -> int:
        return int(self._lost_before[max(first, last)] - self._lost_before[first])
