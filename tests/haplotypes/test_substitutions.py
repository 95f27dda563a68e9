"""Substitutions in windows, and where bases lie in them, against plain strings."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_haplotypes import COMPLEMENT

from pdstore.haplotypes.alleles import Stretch, StretchAlleles, stretch_alleles
from pdstore.haplotypes.build import haplotype_letters
from pdstore.haplotypes.onehot import complement, one_hot
from pdstore.haplotypes.substitutions import offsets_around_allele, offsets_around_tss, substituted_windows
from pdstore.haplotypes.window import WindowSpec

FAR = 60
"""Bases of N around a contig: more than windows and alleles reach."""


def letters(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


@given(st.text("ACGTN", min_size=1, max_size=12), st.lists(st.integers(-3, 14), unique=True, max_size=8))
def test_every_other_base_is_put_at_every_offset(text: str, offsets: list[int]) -> None:
    found = substituted_windows(one_hot(letters(text)), np.array(offsets, dtype=np.int64))
    expected = [
        (place, "ACGT".index(base), text[:offset] + base + text[offset + 1 :])
        for place, offset in enumerate(offsets)
        if 0 <= offset < len(text) and text[offset] != "N"
        for base in "ACGT"
        if base != text[offset]
    ]
    assert list(zip(found.place.tolist(), found.nucleotide.tolist(), strict=True)) == [of[:2] for of in expected]
    np.testing.assert_array_equal(found.windows, [one_hot(letters(one)) for one in (text, *(of[2] for of in expected))])


class Placed(NamedTuple):
    """A contig with one allele, and a window over it."""

    contig: str
    position: int
    ref: str
    alt: str
    window: WindowSpec
    tss: int
    reverses: bool

    @property
    def is_anchored(self) -> bool:
        return len(self.ref) != len(self.alt) and self.ref[0] == self.alt[0]

    @property
    def parts(self) -> tuple[Stretch, StretchAlleles]:
        text = "N" * FAR + self.contig + "N" * FAR
        at = self.tss - 1 + FAR
        stretch = (
            Stretch(complement(letters(text))[::-1].copy(), -FAR, len(text) - 1 - at, True)
            if self.reverses
            else Stretch(letters(text), -FAR, at, False)
        )
        of = (np.array([text], dtype=object) for text in (self.ref, self.alt))
        return stretch, stretch_alleles(stretch, np.array([self.position]), *of, np.array([self.is_anchored]))


@st.composite
def placed(draw: st.DrawFn) -> Placed:
    contig = draw(st.text("ACGT", min_size=10, max_size=30))
    position = draw(st.integers(1, len(contig) - 4))
    ref = contig[position - 1 : position - 1 + draw(st.integers(1, 4))]
    # An allele of another kind now and then: an SNV, an MNV, an insertion or deletion behind its anchor, a complex one.
    alt = draw(st.sampled_from(["substitution", "anchored", "complex"]))
    if alt == "substitution":
        alt = "".join("ACGT"["ACGT".index(base) - 1] for base in ref)
    elif alt == "anchored":
        alt = ref[0] + draw(st.text("ACGT", max_size=5))
    else:
        alt = draw(st.text("ACGT", min_size=1, max_size=5))
    length = draw(st.integers(5, 24))
    reverses = draw(st.booleans())
    window = WindowSpec(length, draw(st.integers(0, length - 1)), "gene" if reverses else "forward", "all")
    return Placed(contig, position, ref, alt, window, draw(st.integers(1, len(contig))), reverses)


@settings(max_examples=200, deadline=None)
@given(placed(), st.booleans(), st.integers(0, 9))
def test_bases_around_an_allele_are_those_of_the_haplotype(case: Placed, is_applied: bool, reach: int) -> None:
    stretch, alleles = case.parts
    before, after = case.contig[: case.position - 1], case.contig[case.position - 1 + len(case.ref) :]
    haplotype = before + (case.alt if is_applied else case.ref) + after
    middle = case.position - 1 + case.is_anchored
    expected = [
        "N" if not 0 <= at < len(haplotype) else haplotype[at] for at in range(middle - reach, middle + reach + 1)
    ]

    offsets = offsets_around_allele(case.window, stretch, alleles, 0, is_applied, reach)
    assert len(offsets) == 2 * reach + 1
    (row,) = haplotype_letters(case.window, stretch, alleles, np.array([[is_applied]]))
    text = row.tobytes().decode().translate(COMPLEMENT) if case.reverses else row.tobytes().decode()
    inside = (offsets >= 0) & (offsets < case.window.length)
    assert [text[offset] for offset in offsets[inside]] == np.array(expected)[inside].tolist()
    assert (np.diff(offsets) == (-1 if case.reverses else 1)).all()


@settings(max_examples=100, deadline=None)
@given(placed(), st.integers(0, 9))
def test_bases_around_the_tss_are_those_of_the_contig(case: Placed, reach: int) -> None:
    (row,) = haplotype_letters(case.window, *case.parts, np.array([[False]]))
    text = row.tobytes().decode().translate(COMPLEMENT) if case.reverses else row.tobytes().decode()
    for place, offset in enumerate(offsets_around_tss(case.window, case.reverses, reach).tolist()):
        at = case.tss - 1 - reach + place
        if 0 <= offset < case.window.length:
            assert text[offset] == (case.contig[at] if 0 <= at < len(case.contig) else "N")


@pytest.mark.parametrize("reverses", [False, True])
def test_the_middle_of_an_indel_is_the_base_behind_its_anchor(reverses: bool) -> None:
    window = WindowSpec(12, 6, "gene" if reverses else "forward", "all")
    for ref, alt, behind in (("G", "GTTT", "T"), ("GAC", "G", "C")):
        case = Placed("AACCGACCTTGGA", 5, ref, alt, window, 7, reverses)
        stretch, alleles = case.parts
        (row,) = haplotype_letters(window, stretch, alleles, np.array([[True]]))
        (offset,) = offsets_around_allele(window, stretch, alleles, 0, True, 0)
        letter = chr(row[offset])
        assert (letter.translate(COMPLEMENT) if reverses else letter) == behind
