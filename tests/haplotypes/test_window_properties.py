"""Haplotype windows, against plain loops over strings and against each other."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_haplotypes import COMPLEMENT, Case, cases, placed, plain_window, specs, windowed_cases

from pdstore.haplotypes.build import haplotype_letters, haplotype_windows, reference_map
from pdstore.haplotypes.onehot import one_hot
from pdstore.haplotypes.window import WindowSpec

Windowed = tuple[Case, WindowSpec, int, str]


@settings(max_examples=400, deadline=None)
@given(windowed_cases())
def test_windows_and_their_reference_map_equal_those_of_plain_loops(windowed: Windowed) -> None:
    case, window, tss, strand = windowed
    expected = [
        plain_window(case, haplotype, window, tss, strand)
        for haplotype in range(len(case.records[0].calls) if case.records else 4)
    ]
    built = placed(case, window, tss, strand)
    assert built.spelt() == ["".join(base.letter for base in row) for row in expected]
    assert built.bases() == expected


@settings(max_examples=60, deadline=None)
@given(windowed_cases())
def test_bases_that_are_not_inserted_run_along_the_contig_without_a_repeat(windowed: Windowed) -> None:
    _, window, _, strand = windowed
    where = reference_map(*placed(*windowed).parts)
    direction = -1 if window.reverses(strand) else 1
    for positions, inserted in zip(where.position, where.is_inserted, strict=True):
        assert (np.diff(positions[~inserted]) * direction > 0).all()
        # An inserted base has the position of one that it follows on the + strand, so that it is never passed.
        assert (np.diff(positions) * direction >= 0).all()


@settings(max_examples=60, deadline=None)
@given(windowed_cases())
def test_bases_that_no_allele_replaces_are_those_of_the_reference(windowed: Windowed) -> None:
    case, window, tss, strand = windowed
    built = placed(case, window, tss, strand)
    changed = {
        at
        for record in case.records
        for at in range(record.position - 1, record.position - 1 + len(record.ref))
        if set(record.calls) - {0, -1}
    }
    for row in built.bases():
        for base in row:
            inside = 0 <= base.position < len(case.reference)
            if not inside:
                assert base.letter == "N"
            elif base.position not in changed:
                letter = case.reference[base.position]
                assert base.letter == (letter.translate(COMPLEMENT) if window.reverses(strand) else letter)
                assert not base.is_inserted


@settings(max_examples=100, deadline=None)
@given(cases(others=False))
def test_what_the_reference_map_places_at_a_record_is_the_allele(case: Case) -> None:
    length = len(case.reference)
    longest = length + sum(len(alt) for record in case.records for alt in record.alts)
    rows = placed(case, WindowSpec(2 * longest, longest, "forward", "all"), 1).bases()
    for record in case.records:
        span = range(record.position - 1, record.position - 1 + len(record.ref))
        alone = [other for other in case.records if {*span} & {at - 1 + other.position for at in range(len(other.ref))}]
        for row, call in zip(rows, record.calls if len(alone) == 1 else (), strict=False):
            there = [base for base in row if base.position in span]
            alt = record.alts[call - 1] if call > 0 else record.ref
            assert "".join(base.letter for base in there) == alt
            assert sum(base.is_inserted for base in there) == max(0, len(alt) - len(record.ref))


@settings(max_examples=60, deadline=None)
@given(windowed_cases())
def test_letters_and_one_hot_agree_with_any_number_of_threads(windowed: Windowed) -> None:
    built = placed(*windowed)
    letters = haplotype_letters(*built.parts)
    assert np.array_equal(haplotype_windows(*built.parts), one_hot(letters))
    for threads in (2, 3, 9):
        assert np.array_equal(haplotype_letters(*built.parts, threads=threads), letters)
        assert np.array_equal(haplotype_windows(*built.parts, threads=threads), one_hot(letters))


@settings(max_examples=60, deadline=None)
@given(windowed_cases())
def test_swapping_a_persons_haplotypes_swaps_their_windows(windowed: Windowed) -> None:
    case, *rest = windowed
    swapped = Case(
        case.reference,
        tuple(
            record._replace(calls=tuple(record.calls[haplotype ^ 1] for haplotype in range(len(record.calls))))
            for record in case.records
        ),
    )
    straight, other = placed(case, *rest).spelt(), placed(swapped, *rest).spelt()
    assert [straight[haplotype ^ 1] for haplotype in range(len(straight))] == other


@settings(max_examples=60, deadline=None)
@given(windowed_cases(), st.integers(-12, 12))
def test_windows_of_shifted_tss_agree_on_the_bases_that_they_share(windowed: Windowed, shift: int) -> None:
    case, window, tss, strand = windowed
    moved = min(max(tss + shift, 1), len(case.reference))
    rows, moved_rows = placed(case, window, tss, strand).bases(), placed(case, window, moved, strand).bases()
    for row, moved_row in zip(rows, moved_rows, strict=True):
        tss_of_moved = [k for k, base in enumerate(row) if base.position == moved - 1 and not base.is_inserted]
        if not tss_of_moved:
            continue  # outside the window, or deleted
        by = tss_of_moved[0] - window.tss_offset
        assert row[max(by, 0) : window.length + min(by, 0)] == moved_row[max(-by, 0) : window.length - max(by, 0)]


@settings(max_examples=60, deadline=None)
@given(windowed_cases())
def test_a_minus_genes_window_is_the_reverse_complement_of_the_mirrored_forward_window(windowed: Windowed) -> None:
    case, window, tss, _ = windowed
    length, offset, variants = window.length, window.tss_offset, window.variants
    gene = placed(case, WindowSpec(length, offset, "gene", variants), tss, "-")
    forward = placed(case, WindowSpec(length, length - 1 - offset, "forward", variants), tss, "-")
    tss_deleted = gene.applied[:, gene.alleles.deletes_tss].any(axis=1)
    assert tss_deleted.tolist() == forward.applied[:, forward.alleles.deletes_tss].any(axis=1).tolist()
    for backward, straight, deleted in zip(gene.spelt(), forward.spelt(), tss_deleted, strict=True):
        if not deleted:
            assert backward == straight.translate(COMPLEMENT)[::-1]


@settings(max_examples=60, deadline=None)
@given(windowed_cases())
def test_the_tss_keeps_its_offset_unless_it_is_deleted(windowed: Windowed) -> None:
    case, window, tss, strand = windowed
    built = placed(case, window, tss, strand)
    deleted = built.applied[:, built.alleles.deletes_tss].any(axis=1)
    for row, is_deleted in zip(built.bases(), deleted, strict=True):
        base = row[window.tss_offset]
        assert ((base.position, base.is_inserted) == (tss - 1, False)) == (not is_deleted)


@settings(max_examples=100, deadline=None)
@given(cases(), specs(), st.data(), st.sampled_from("+-"))
def test_a_haplotype_without_alleles_is_the_reference(
    case: Case, window: WindowSpec, data: st.DataObject, strand: str
) -> None:
    tss = data.draw(st.integers(1, len(case.reference)))
    nobody = Case(case.reference, tuple(record._replace(calls=(0, -1)) for record in case.records))
    start = window.start(tss, strand)
    expected = "".join(
        case.reference[at] if 0 <= at < len(case.reference) else "N" for at in range(start, start + window.length)
    )
    if window.reverses(strand):
        expected = expected.translate(COMPLEMENT)[::-1]
    assert set(placed(nobody, window, tss, strand).spelt()) == {expected}
    assert set(placed(Case(case.reference, ()), window, tss, strand).spelt()) == {expected}
