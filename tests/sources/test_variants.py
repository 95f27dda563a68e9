"""Alternate alleles in their shortest form, and what is wrong with records."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdstore.sources.variants import (
    AMBIGUOUS,
    APPLIED_KINDS,
    BREAKEND,
    COMPLEX,
    DELETION,
    INSERTION,
    KINDS,
    MNV,
    OVERLAPPING_DELETION,
    SNV,
    SYMBOLIC,
    allele_kind,
    alternate_alleles,
    first_out_of_order,
    first_wrong_reference,
    trimmed,
    unphased_heterozygotes,
)

BASES = st.text("ACGT", min_size=1, max_size=8)


def put(sequence: str, start: int, ref: str, alt: str) -> str:
    assert sequence[start : start + len(ref)] == ref
    return sequence[:start] + alt + sequence[start + len(ref) :]


@given(before=st.text("ACGT", max_size=5), ref=BASES, alt=BASES, after=st.text("ACGT", max_size=5))
def test_a_trimmed_allele_makes_the_same_haplotype_and_is_the_shortest(before: str, ref: str, alt: str, after: str):
    shift, short_ref, short_alt = trimmed(ref, alt)
    sequence = before + ref + after
    assert put(sequence, len(before) + shift, short_ref, short_alt) == before + alt + after
    assert short_ref
    assert short_alt
    if min(len(short_ref), len(short_alt)) > 1:
        assert short_ref[0] != short_alt[0]
        assert short_ref[-1] != short_alt[-1]
    # Trimming what is trimmed changes nothing.
    assert trimmed(short_ref, short_alt) == (0, short_ref, short_alt)


@pytest.mark.parametrize(
    ("ref", "alt", "result", "kind"),
    [
        ("A", "G", (0, "A", "G"), SNV),
        ("ATG", "ACG", (1, "T", "C"), SNV),
        ("ATG", "ATC", (2, "G", "C"), SNV),
        ("TGC", "T", (0, "TGC", "T"), DELETION),
        ("CAA", "CA", (0, "CA", "C"), DELETION),
        ("G", "GTT", (0, "G", "GTT"), INSERTION),
        ("GTC", "GTTC", (0, "G", "GT"), INSERTION),
        ("GC", "AT", (0, "GC", "AT"), MNV),
        ("GCA", "ACG", (0, "GCA", "ACG"), MNV),  # a base between them may stay
        ("TGCA", "TATA", (1, "GC", "AT"), MNV),
        ("GC", "ATT", (0, "GC", "ATT"), COMPLEX),
        ("TGCA", "TAA", (1, "GC", "A"), COMPLEX),
        ("A", "TA", (0, "A", "TA"), COMPLEX),  # not anchored as VCF asks
        ("TA", "A", (0, "TA", "A"), COMPLEX),  # not anchored as VCF asks
        ("A", "A", (0, "A", "A"), AMBIGUOUS),
        ("T", "<DEL>", (0, "T", "<DEL>"), SYMBOLIC),
        ("T", "<INS:ME:ALU>", (0, "T", "<INS:ME:ALU>"), SYMBOLIC),
        ("T", "<*>", (0, "T", "<*>"), SYMBOLIC),
        ("TA", "*", (0, "TA", "*"), OVERLAPPING_DELETION),
        ("T", "T[2:321681[", (0, "T", "T[2:321681["), BREAKEND),
        ("T", "]2:321681]T", (0, "T", "]2:321681]T"), BREAKEND),
        ("T", "T[<ctg1>:7[", (0, "T", "T[<ctg1>:7["), BREAKEND),
        ("T", ".TC", (0, "T", ".TC"), BREAKEND),
        ("T", "TC.", (0, "T", "TC."), BREAKEND),
        ("AN", "GN", (0, "AN", "GN"), AMBIGUOUS),
        ("A", "R", (0, "A", "R"), AMBIGUOUS),
        ("N", "A", (0, "N", "A"), AMBIGUOUS),
    ],
)
def test_alleles_are_trimmed_from_the_end_first_and_named_for_what_they_are(ref: str, alt: str, result, kind: int):
    assert trimmed(ref, alt) == result
    assert allele_kind(*result[1:]) == kind


def test_every_alternate_allele_has_a_row_with_its_own_position():
    records = np.array([["c", "t", "a"], ["ATG", "ACG", ""], ["G", ".", ""], ["GC", "AT", "GG"]], dtype=object)
    alleles = alternate_alleles(np.array([50, 80, 90, 350], dtype=np.int32), records)
    assert alleles.record.tolist() == [0, 0, 1, 3, 3]
    assert alleles.allele_index.tolist() == [1, 2, 1, 1, 2]
    assert alleles.position.tolist() == [50, 50, 81, 350, 351]
    assert alleles.ref.tolist() == ["C", "C", "T", "GC", "C"]
    assert alleles.alt.tolist() == ["T", "A", "C", "AT", "G"]
    assert alleles.kind.tolist() == [SNV, SNV, SNV, MNV, SNV]
    assert alleles.record_position.tolist() == [50, 50, 80, 350, 350]
    assert alleles.record_length.tolist() == [1, 1, 3, 2, 2]


def test_alleles_are_upper_case():
    alleles = alternate_alleles(np.array([7], dtype=np.int32), np.array([["at", "aG", "a"]], dtype=object))
    assert alleles.ref.tolist() == ["T", "AT"]
    assert alleles.alt.tolist() == ["G", "A"]
    assert alleles.kind.tolist() == [SNV, DELETION]


def test_no_records_have_no_alleles():
    alleles = alternate_alleles(np.empty(0, dtype=np.int32), np.empty((0, 2), dtype=object))
    assert [len(column) for column in alleles] == [0] * len(alleles)


def test_every_kind_has_a_name_and_those_that_are_spelt_out_are_applied():
    assert [KINDS[kind] for kind in APPLIED_KINDS["snv"]] == ["SNV"]
    assert [KINDS[kind] for kind in APPLIED_KINDS["all"]] == ["SNV", "insertion", "deletion", "MNV", "complex"]
    assert [KINDS[kind] for kind in (SYMBOLIC, BREAKEND, OVERLAPPING_DELETION, AMBIGUOUS)] == [
        "symbolic",
        "breakend",
        "overlapping deletion (*)",
        "ambiguous",
    ]


@pytest.mark.parametrize(
    ("contig", "position", "row"),
    [
        ([], [], None),
        ([0, 0, 1, 1], [5, 5, 1, 2], None),
        ([1, 1, 0], [5, 6, 1], None),  # contigs in any order
        ([0, 0, 0], [5, 4, 3], 1),
        ([0, 1, 0], [1, 1, 2], 2),  # a contig comes back
        ([0, 1, 0, 0], [1, 1, 2, 1], 2),
    ],
)
def test_the_first_record_out_of_order_is_found(contig, position, row):
    assert first_out_of_order(np.array(contig, dtype=np.int32), np.array(position, dtype=np.int32)) == row


@pytest.mark.parametrize(
    ("call", "phased", "unphased"),
    [
        ((0, 1), False, True),
        ((1, 2), False, True),
        ((0, 1), True, False),
        ((1, 1), False, False),
        ((0, 0), False, False),
        ((-1, -1), False, False),
        ((-1, 1), False, True),  # a missing allele is read as reference: which haplotype has the other is not known
        ((-1, 0), False, False),
        ((-1, 1), True, False),
        ((1, -2), False, False),  # haploid
    ],
)
def test_calls_that_need_a_phase_and_have_none_are_found(call, phased: bool, unphased: bool):
    found = unphased_heterozygotes(np.array([[call]], dtype=np.int8), np.array([[phased]]))
    assert found.tolist() == [[unphased]]


@pytest.mark.parametrize(
    ("position", "ref", "row"),
    [
        ([1, 3], ["AC", "g"], None),
        ([1, 2], ["A", "CT"], 1),
        ([1, 5], ["A", "A"], None),  # the contig has R there, which A may be
        ([6], ["A"], 0),  # it has N
        ([6], ["N"], None),
        ([0], ["A"], 0),
        ([6, 1], ["NN", "A"], 0),  # beyond the end
    ],
)
def test_the_first_reference_allele_that_the_contig_lacks_is_found(position, ref, row):
    sequence = np.frombuffer(b"ACGTRN", dtype=np.uint8)
    assert first_wrong_reference(sequence, np.array(position, dtype=np.int32), np.array(ref, dtype=object)) == row
