"""The inner loop: reference and inserted elements, copied piece by piece into windows. Imports numba."""

from typing import Any

import numba
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray


@intrinsic
def _memcpy(context: Any, to: Any, target: Any, of: Any, first: Any, count: Any) -> Any:
    """``to[target:target + count] = of[first:first + count]`` of contiguous arrays that do not overlap.

    Within its bounds, which are not checked. A plain loop takes up to half as long again: the compiler cannot know that
    the arrays do not overlap.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, target, of, first, count = arguments
        elements = [
            context.make_array(signature.args[i])(context, builder, array).data for i, array in ((0, to), (2, of))
        ]
        size = context.get_abi_sizeof(context.get_data_type(signature.args[0].dtype))
        cgutils.raw_memcpy(builder, builder.gep(elements[0], [target]), builder.gep(elements[1], [first]), count, size)
        return context.get_dummy_value()

    return types.void(to, types.intp, of, types.intp, types.intp), generate


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
        Which alleles each haplotype has; they lie within the reference and share no base.
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
        _memcpy(window, target + skipped, elements, first + skipped, copied)  # type: ignore[call-arg]
    return target + count
