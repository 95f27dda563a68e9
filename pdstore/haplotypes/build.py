"""Reference window + the alleles of people's haplotypes → the distinct haplotype windows."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class WindowSnvs(NamedTuple):
    """The SNVs of one gene's window, in the order of position.

    Attributes
    ----------
    offset : ndarray of int64, shape (snvs,)
        0-based offset in the window, in its reading direction.
    alternate : ndarray of int8, shape (snvs,)
        Index of the alternate base in A, C, G, T, in the reading direction.
    """

    offset: NDArray[np.int64]
    alternate: NDArray[np.int8]


class DistinctHaplotypes(NamedTuple):
    """What `distinct_haplotypes` finds.

    Attributes
    ----------
    alleles : ndarray of bool, shape (haplotypes, snvs)
        The distinct rows, sorted: neighbours are alike, which compresses well.
    haplotype_index : ndarray of int32, shape (people, ploidy)
        Row of `alleles` of each person's haplotype; -2 where the person has no such haplotype.
    """

    alleles: NDArray[np.bool_]
    haplotype_index: NDArray[np.int32]


def carried_alleles(
    calls: NDArray[np.int8], record: NDArray[np.int64], allele_index: NDArray[np.int8]
) -> NDArray[np.bool_]:
    """Which haplotypes carry which alternate allele.

    Parameters
    ----------
    calls : ndarray of int8, shape (records, people, ploidy)
        Allele of each haplotype: 0 reference, -1 missing (read as reference), -2 no second haplotype.
    record : ndarray of int64, shape (alleles,)
        Row of `calls` of each allele, 0-based.
    allele_index : ndarray of int8, shape (alleles,)
        Which alternate allele of that record, from 1.

    Returns
    -------
    ndarray of bool, shape (alleles, people, ploidy)
    """
    carried: NDArray[np.bool_] = calls[record] == allele_index[:, None, None]
    return carried


def alternate_dosage(carried: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Copies of each alternate allele in each person.

    Parameters
    ----------
    carried : ndarray of bool, shape (alleles, people, ploidy)
        Which haplotypes carry the allele.

    Returns
    -------
    ndarray of int8, shape (alleles, people)
        0, 1 or 2: METHODS, "eQTL effect size".
    """
    dosage: NDArray[np.int8] = carried.sum(axis=-1, dtype=np.int8)
    return dosage


def distinct_haplotypes(carried: NDArray[np.bool_], absent: NDArray[np.bool_]) -> DistinctHaplotypes:
    """The distinct haplotypes among people's.

    Parameters
    ----------
    carried : ndarray of bool, shape (snvs, people, ploidy)
        Which haplotypes carry the SNV's alternate allele.
    absent : ndarray of bool, shape (people, ploidy)
        True where a person has no such haplotype (haploid calls).

    Returns
    -------
    DistinctHaplotypes
    """
    snvs, people, ploidy = carried.shape
    rows = carried.reshape(snvs, people * ploidy).T
    present = ~absent.ravel()
    index = np.full(people * ploidy, -2, dtype=np.int32)
    # Packed rows compare as byte strings, in the same order as the bits; a constant byte makes zero SNVs a valid row.
    packed = np.packbits(np.pad(rows[present], ((0, 0), (0, 1)), constant_values=True), axis=1)
    keys = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    index[present] = inverse.astype(np.int32)
    return DistinctHaplotypes(rows[present][first], index.reshape(people, ploidy))


def haplotype_windows(reference: NDArray[np.bool_], alleles: NDArray[np.bool_], snvs: WindowSnvs) -> NDArray[np.bool_]:
    """Haplotype windows: the reference with each haplotype's alternate alleles.

    Where a haplotype carries two alleles of one base (two records of a VCF), the first one wins, as in
    ``bcftools consensus``.

    Parameters
    ----------
    reference : ndarray of bool, shape (positions, 4)
        One-hot reference window in its reading direction, A, C, G, T.
    alleles : ndarray of bool, shape (haplotypes, snvs)
        Which haplotypes carry which SNV.
    snvs : WindowSnvs
        Where the SNVs lie and what they put there.

    Returns
    -------
    ndarray of bool, shape (haplotypes, positions, 4)
    """
    windows = np.repeat(reference[None], len(alleles), axis=0)
    # Last SNV first: of repeated indices, numpy keeps the last assignment, here the first SNV.
    snv, haplotype = (which[::-1] for which in np.nonzero(alleles.T))
    windows[haplotype, snvs.offset[snv]] = np.eye(4, dtype=bool)[snvs.alternate[snv]]
    return windows
