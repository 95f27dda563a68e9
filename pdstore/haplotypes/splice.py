"""The inner loop: reference and inserted elements, copied piece by piece into windows. Imports numba."""

from collections.abc import Callable
from typing import Any

import numba
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without the interpreter's lock; kept for the next process, where there is a place to keep it."""
    try:
        compiled: Callable[..., Any] = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:
        compiled = numba.njit(nogil=True)(function)
    return compiled


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


@_compiled
def _copy(elements: NDArray[Any], first: int, count: int, window: NDArray[Any], target: int) -> int:
    """Copy what of the elements falls into the window; returns where the next element would go."""
    skipped = max(0, -target)
    copied = min(count, len(window) - target) - skipped
    if copied > 0:
        _memcpy(window, target + skipped, elements, first + skipped, copied)  # type: ignore[call-arg]
    return target + count


@_compiled
def splice(
    reference: NDArray[Any],
    inserted: NDArray[Any],
    start: NDArray[Any],
    replaced: NDArray[Any],
    inserted_start: NDArray[Any],
    tss_shift: NDArray[Any],
    moving: NDArray[Any],
    descends: bool,
    applied: NDArray[Any],
    first_base: int,
    windows: NDArray[Any],
) -> bool:
    """Write windows of haplotypes.

    Parameters
    ----------
    reference : ndarray, shape (positions,)
        What the haplotypes are made of: letters, one-hot words, positions ...
    inserted : ndarray of the same type, shape (inserted_bases,)
        What alleles put there, one allele after the other.
    start, replaced, inserted_start, tss_shift, moving : ndarray of int64
        As of `StretchAlleles`.
    descends : bool
        Whether `start` descends.
    applied : ndarray of bool, shape (haplotypes, alleles)
        Which alleles each haplotype has; they lie within the reference and share no base.
    first_base : int
        0-based offset of the window's first base in a haplotype whose TSS is where the reference has it.
    windows : ndarray of the same type as `reference`, shape (haplotypes, length)
        Is written to.

    Returns
    -------
    bool
        False where the reference is too short for one of the haplotypes; the windows are then not all written.
    """
    alleles, length = len(start), windows.shape[1]
    for haplotype in range(len(windows)):
        window, has = windows[haplotype], applied[haplotype]
        offset, haplotype_length = first_base, len(reference)
        for allele in moving:
            if has[allele]:
                offset += tss_shift[allele]
                haplotype_length += inserted_start[allele + 1] - inserted_start[allele] - replaced[allele]
        if offset < 0 or offset + length > haplotype_length:
            return False
        # Next element of the reference, and where in the window it goes: negative before the window begins.
        source, target = 0, -offset
        rank = 0
        for turn in range(len(moving) + 1):
            if turn < len(moving):
                allele = moving[len(moving) - 1 - turn] if descends else moving[turn]
                if not has[allele]:
                    continue
                last_rank, end = alleles - 1 - allele if descends else allele, start[allele]
            else:
                last_rank, end, allele = alleles, len(reference), -1
            # All up to the next allele that moves what follows, at once; substitutions are set in the copy.
            moved = target - source
            target = _copy(reference, source, end - source, window, target)
            while rank < last_rank:
                substitution = alleles - 1 - rank if descends else rank
                rank += 1
                if has[substitution]:
                    where, first = start[substitution] + moved, inserted_start[substitution]
                    for element in range(inserted_start[substitution + 1] - first):
                        if 0 <= where + element < length:
                            window[where + element] = inserted[first + element]
            if allele >= 0:
                first = inserted_start[allele]
                target = _copy(inserted, first, inserted_start[allele + 1] - first, window, target)
                source = start[allele] + replaced[allele]
                rank = last_rank + 1
    return True
