"""The inner loop: reference and inserted elements, copied piece by piece into windows. Imports numba."""

from typing import Any

import numba
from numpy.typing import NDArray


@numba.njit(nogil=True)
def splice(
    reference: NDArray[Any],
    inserted: NDArray[Any],
    start: NDArray[Any],
    replaced: NDArray[Any],
    inserted_start: NDArray[Any],
    descends: bool,
    applied: NDArray[Any],
    first_base: NDArray[Any],
    windows: NDArray[Any],
) -> None:
    """Write windows of haplotypes.

    Parameters
    ----------
    reference : ndarray, shape (positions,)
        What the haplotypes are made of: letters, one-hot words, positions ...
    inserted : ndarray of the same type, shape (inserted_bases,)
        What alleles put there, one allele after the other.
    start, replaced, inserted_start : ndarray of int64
        As of `StretchAlleles`.
    descends : bool
        Whether `start` descends.
    applied : ndarray of bool, shape (haplotypes, alleles)
        Which alleles each haplotype has; they share no base.
    first_base : ndarray of int64, shape (haplotypes,)
        0-based offset in the haplotype of the window's first base.
    windows : ndarray of the same type as `reference`, shape (haplotypes, length)
        Is written to.
    """
    alleles = len(start)
    length = windows.shape[1]
    for haplotype in range(len(windows)):
        window = windows[haplotype]
        # Next element of the reference, and where in the window it goes: negative before the window begins.
        source, target = 0, -first_base[haplotype]
        for rank in range(alleles):
            allele = alleles - 1 - rank if descends else rank
            if not applied[haplotype, allele]:
                continue
            if target >= length:
                break
            target = _copy(reference, source, start[allele] - source, window, target)
            first = inserted_start[allele]
            target = _copy(inserted, first, inserted_start[allele + 1] - first, window, target)
            source = start[allele] + replaced[allele]
        if target < length:
            _copy(reference, source, len(reference) - source, window, target)


@numba.njit(nogil=True)
def _copy(elements: NDArray[Any], first: int, count: int, window: NDArray[Any], target: int) -> int:
    """Copy what of the elements falls into the window; returns where the next element would go."""
    skipped = max(0, -target)
    copied = min(count, len(window) - target) - skipped
    if copied > 0:
        # Slices first: a loop over them, from 0, is what the compiler turns into wide moves.
        to = window[target + skipped : target + skipped + copied]
        of = elements[first + skipped : first + skipped + copied]
        for element in range(copied):
            to[element] = of[element]
    return target + count
