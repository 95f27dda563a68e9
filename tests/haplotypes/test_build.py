"""Distinct haplotypes, dosages, and windows of a tiny stretch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from plain_haplotypes import stretch_of

from pdstore.haplotypes.alleles import Stretch, StretchAlleles, stretch_alleles
from pdstore.haplotypes.build import (
    alternate_dosage,
    carried_alleles,
    distinct_haplotypes,
    haplotype_letters,
    haplotype_windows,
    reference_map,
)
from pdstore.haplotypes.onehot import one_hot
from pdstore.haplotypes.window import WindowSpec


@given(hnp.arrays(bool, st.tuples(st.integers(0, 20), st.integers(1, 6), st.just(2))), st.data())
def test_every_persons_haplotype_is_found_again(applied: np.ndarray, data: st.DataObject) -> None:
    absent = data.draw(hnp.arrays(bool, applied.shape[1:]))
    found = distinct_haplotypes(applied, absent)
    assert len({row.tobytes() for row in found.applied}) == len(found.applied)
    for person, haplotype in np.ndindex(absent.shape):
        index = found.haplotype_index[person, haplotype]
        if absent[person, haplotype]:
            assert index == -2
        else:
            assert np.array_equal(found.applied[index], applied[:, person, haplotype])


@given(hnp.arrays(bool, st.tuples(st.integers(0, 20), st.integers(1, 6), st.just(2))))
def test_swapping_a_persons_haplotypes_swaps_their_rows(applied: np.ndarray) -> None:
    absent = np.zeros(applied.shape[1:], dtype=bool)
    straight, swapped = distinct_haplotypes(applied, absent), distinct_haplotypes(applied[:, :, ::-1], absent)
    assert np.array_equal(straight.applied, swapped.applied)
    assert np.array_equal(straight.haplotype_index, swapped.haplotype_index[:, ::-1])


def test_missing_and_absent_calls_carry_nothing() -> None:
    calls = np.array([[[0, 1], [-1, -1], [2, -2]]], dtype=np.int8)
    carried = carried_alleles(calls, np.array([0, 0]), np.array([1, 2], dtype=np.int8))
    assert carried.astype(int).tolist() == [[[0, 1], [0, 0], [0, 0]], [[0, 0], [0, 0], [1, 0]]]
    assert alternate_dosage(carried).tolist() == [[1, 0, 0], [0, 0, 1]]


WINDOW = WindowSpec(5, 2, "gene", "all")


def tiny(reverses: bool = False) -> tuple[Stretch, StretchAlleles]:
    """AC[GTNAC]GT around a TSS of T, with an SNV at its G, a deletion of its A and an insertion before that."""
    stretch = stretch_of("ACGTNACGT", 0, 9, 4 if not reverses else 6, reverses)
    ref, alt = np.array(["G", "N", "NA"], dtype=object), np.array(["A", "NCC", "N"], dtype=object)
    return stretch, stretch_alleles(stretch, np.array([3, 5, 5]), ref, alt, np.array([False, True, True]))


def test_windows_hold_the_reference_but_for_the_applied_alleles() -> None:
    stretch, alleles = tiny()
    applied = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 1]], dtype=bool)
    letters = haplotype_letters(WINDOW, stretch, alleles, applied)
    assert [row.tobytes() for row in letters] == [b"CGTNA", b"CATNA", b"CGTNC", b"CATNC"]
    assert np.array_equal(haplotype_windows(WINDOW, stretch, alleles, applied), one_hot(letters))
    where = reference_map(WINDOW, stretch, alleles, applied)
    assert where.position.tolist() == [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [1, 2, 3, 4, 4], [1, 2, 3, 4, 6]]
    assert where.is_inserted.astype(int).tolist() == [[0] * 5, [0] * 5, [0, 0, 0, 0, 1], [0] * 5]


def test_a_reversed_stretch_gives_the_reverse_complement() -> None:
    stretch, alleles = tiny(reverses=True)
    applied = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 1]], dtype=bool)
    letters = haplotype_letters(WINDOW, stretch, alleles, applied)
    # The TSS is A at 6, T on the - strand; where it is deleted, N follows.
    assert [row.tobytes() for row in letters] == [b"CGTNA", b"CGTNA", b"CGTGG", b"CGNAT"]
    where = reference_map(WINDOW, stretch, alleles, applied)
    assert where.position.tolist() == [[7, 6, 5, 4, 3], [7, 6, 5, 4, 3], [7, 6, 5, 4, 4], [7, 6, 4, 3, 2]]


def test_a_stretch_that_is_too_short_is_refused() -> None:
    stretch, alleles = tiny()
    with pytest.raises(ValueError, match="9 bp is too short for windows of 7 bp"):
        haplotype_letters(WindowSpec(7, 1, "gene", "all"), stretch, alleles, np.array([[False, False, True]]))


def test_no_haplotype_gives_no_window() -> None:
    stretch, alleles = tiny()
    nobody = np.zeros((0, 3), dtype=bool)
    assert haplotype_windows(WINDOW, stretch, alleles, nobody, threads=2).shape == (0, 5, 4)
    assert reference_map(WINDOW, stretch, alleles, nobody).position.shape == (0, 5)
