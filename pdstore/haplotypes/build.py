"""Reference around a TSS + the alleles of people's haplotypes → the distinct haplotype windows."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pdstore.haplotypes.alleles import Stretch, StretchAlleles
from pdstore.haplotypes.onehot import one_hot_words
from pdstore.haplotypes.window import WindowSpec


class DistinctHaplotypes(NamedTuple):
    """What `distinct_haplotypes` finds.

    Attributes
    ----------
    applied : ndarray of bool, shape (haplotypes, alleles)
        The distinct rows, sorted: neighbours are alike, which compresses well.
    haplotype_index : ndarray of int32, shape (people, ploidy)
        Row of `applied` of each person's haplotype; -2 where the person has no such haplotype.
    """

    applied: NDArray[np.bool_]
    haplotype_index: NDArray[np.int32]


class ReferenceMap(NamedTuple):
    """Where on the reference the bases of haplotype windows lie.

    Attributes
    ----------
    position : ndarray of int64, shape (haplotypes, positions)
        0-based position on the contig; may lie outside it, where the window does. An inserted base has the position
        of the base that it follows on the + strand.
    is_inserted : ndarray of bool, shape (haplotypes, positions)
        Whether the base is inserted.
    """

    position: NDArray[np.int64]
    is_inserted: NDArray[np.bool_]


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


def diploid_dosage(carried: NDArray[np.bool_], absent: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Copies of each alternate allele, the one haplotype of a haploid person counted as often as ploidy.

    So weighs an allele in a person's prediction, which is a mean over the haplotypes there are.

    Parameters
    ----------
    carried : ndarray of bool, shape (alleles, people, ploidy)
        Which haplotypes carry the allele.
    absent : ndarray of bool, shape (people, ploidy)
        True where a person has no such haplotype.

    Returns
    -------
    ndarray of float64, shape (alleles, people)
        0 for people without a haplotype.
    """
    haplotypes = np.maximum((~absent).sum(axis=1), 1)
    dosage: NDArray[np.float64] = alternate_dosage(carried) * (absent.shape[1] / haplotypes)
    return dosage


def distinct_haplotypes(applied: NDArray[np.bool_], absent: NDArray[np.bool_]) -> DistinctHaplotypes:
    """The distinct haplotypes among people's.

    Parameters
    ----------
    applied : ndarray of bool, shape (alleles, people, ploidy)
        Which haplotypes have the alternate allele.
    absent : ndarray of bool, shape (people, ploidy)
        True where a person has no such haplotype (haploid calls).

    Returns
    -------
    DistinctHaplotypes
    """
    alleles, people, ploidy = applied.shape
    rows = applied.reshape(alleles, people * ploidy).T
    present = ~absent.ravel()
    index = np.full(people * ploidy, -2, dtype=np.int32)
    # Packed rows compare as byte strings, in the same order as the bits; a constant byte makes no alleles a valid row.
    packed = np.packbits(np.pad(rows[present], ((0, 0), (0, 1)), constant_values=True), axis=1)
    keys = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    index[present] = inverse.astype(np.int32)
    return DistinctHaplotypes(np.ascontiguousarray(rows[present][first]), index.reshape(people, ploidy))


def numbered_haplotypes(
    applied: NDArray[np.bool_], absent: NDArray[np.bool_], known: NDArray[np.int32]
) -> DistinctHaplotypes:
    """The distinct haplotypes among people's, where the first people's have their numbers already.

    Parameters
    ----------
    applied : ndarray of bool, shape (alleles, people, ploidy)
        Which haplotypes have the alternate allele.
    absent : ndarray of bool, shape (people, ploidy)
        True where a person has no such haplotype (haploid calls).
    known : ndarray of int32, shape (people who are numbered, ploidy)
        Numbers of the first people's haplotypes, from 0; -2 where absent.

    Returns
    -------
    DistinctHaplotypes
        In the order of the numbers, new haplotypes last and sorted.

    Raises
    ------
    ValueError
        The numbers are not those of distinct haplotypes.
    """
    found = distinct_haplotypes(applied, absent)
    sorted_row = found.haplotype_index[: len(known)].ravel()
    pairs = np.unique(np.column_stack([sorted_row, known.ravel()]), axis=0)
    of_haplotypes = pairs[(pairs >= 0).any(axis=1)]
    numbered = len(of_haplotypes)
    if (
        any(len(np.unique(column)) < numbered for column in of_haplotypes.T)
        or (np.sort(of_haplotypes[:, 1]) != np.arange(numbered)).any()
    ):
        raise ValueError("the numbers are not those of the people's distinct haplotypes")
    number = np.full(len(found.applied), -1, dtype=np.int32)
    number[of_haplotypes[:, 0]] = of_haplotypes[:, 1]
    number[number < 0] = np.arange(numbered, len(number))
    index = found.haplotype_index
    index[index >= 0] = number[index[index >= 0]]
    return DistinctHaplotypes(found.applied[np.argsort(number)], index)


def haplotype_windows(
    window: WindowSpec, stretch: Stretch, alleles: StretchAlleles, applied: NDArray[np.bool_], threads: int = 1
) -> NDArray[np.bool_]:
    """Haplotype windows, one-hot: METHODS, "Windows".

    Parameters
    ----------
    window : WindowSpec
        Length and offset of the TSS.
    stretch : Stretch
        Reference around the TSS, wide enough for what slides in.
    alleles : StretchAlleles
        What the alleles replace in it.
    applied : ndarray of bool, shape (haplotypes, alleles)
        Which alleles each haplotype has; they share no base, as after `first_wins`.
    threads : int
        Threads to build with.

    Returns
    -------
    ndarray of bool, shape (haplotypes, positions, 4)
        In the order A, C, G, T.

    Raises
    ------
    ValueError
        The stretch is too short for one of the haplotypes, or `applied` is not of these alleles.
    """
    words = _spliced(window, stretch, alleles, applied, stretch.words, one_hot_words(alleles.inserted), threads)
    return words.view(bool).reshape(*words.shape, words.itemsize)


def haplotype_letters(
    window: WindowSpec, stretch: Stretch, alleles: StretchAlleles, applied: NDArray[np.bool_], threads: int = 1
) -> NDArray[np.uint8]:
    """Haplotype windows as ASCII letters: uint8, shape (haplotypes, positions); otherwise as `haplotype_windows`."""
    return _spliced(window, stretch, alleles, applied, stretch.letters, alleles.inserted, threads)


def reference_map(
    window: WindowSpec, stretch: Stretch, alleles: StretchAlleles, applied: NDArray[np.bool_]
) -> ReferenceMap:
    """Where on the reference each base of haplotype windows lies; parameters are those of `haplotype_windows`.

    REF and ALT are aligned at their first base on the + strand: in a complex allele, the i-th letter of ALT stands for
    the i-th of REF, and what ALT has more is inserted.
    """
    position = _spliced(window, stretch, alleles, applied, stretch.positions, alleles.inserted_position)
    not_inserted = np.zeros(len(stretch.letters), dtype=bool)
    return ReferenceMap(position, _spliced(window, stretch, alleles, applied, not_inserted, alleles.is_new))


def _spliced(
    window: WindowSpec,
    stretch: Stretch,
    alleles: StretchAlleles,
    applied: NDArray[np.bool_],
    reference: NDArray[Any],
    inserted: NDArray[Any],
    threads: int = 1,
) -> NDArray[Any]:
    # Imported here: numba takes a second, and a fill that has nothing to do needs none of it.
    from pdstore.haplotypes.splice import splice

    if applied.ndim != 2 or applied.shape[1:] != alleles.start.shape:
        raise ValueError(f"applied has shape {applied.shape}, expected (haplotypes, {len(alleles.start)})")
    if threads < 1:
        raise ValueError(f"threads is {threads}, expected 1 or more")
    if len(alleles.start) and (alleles.start.min() < 0 or (alleles.start + alleles.replaced).max() > len(reference)):
        raise ValueError(f"the alleles are not of this stretch of {len(reference)} bp")
    # The inner loop checks no bounds, and takes memory as it lies.
    applied, reference = np.ascontiguousarray(applied), np.ascontiguousarray(reference)
    inserted = np.ascontiguousarray(inserted, dtype=reference.dtype)
    windows = np.empty((len(applied), window.length), dtype=reference.dtype)

    def write(part: slice) -> None:
        wide_enough = splice(
            reference,
            inserted,
            alleles.start,
            alleles.replaced,
            alleles.inserted_start,
            alleles.tss_shift,
            alleles.moving,
            alleles.reverses,
            applied[part],
            stretch.tss - window.tss_offset,
            windows[part],
        )
        if not wide_enough:
            raise ValueError(f"a stretch of {len(reference)} bp is too short for windows of {window.length} bp")

    if threads == 1 or len(applied) < 2:
        write(slice(None))
        return windows
    bounds = np.linspace(0, len(applied), threads + 1).astype(int).tolist()
    *parts, own_part = [slice(*pair) for pair in pairwise(bounds)]
    others = [_threads(os.getpid(), threads - 1).submit(write, part) for part in parts]
    write(own_part)
    for other in others:
        other.result()
    return windows


@cache
def _threads(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads that are kept, since starting them takes longer than a batch; a forked process needs its own."""
    return ThreadPoolExecutor(threads)
