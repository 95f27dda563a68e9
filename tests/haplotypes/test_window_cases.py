"""What each kind of allele does to a window, spelt out: the TSS is G at 10, and has 3 of 8 bases before it."""

import pytest
from plain_haplotypes import Case, PlainRecord, placed

from pdstore.haplotypes.window import Variants, WindowSpec

#            123456789 123456789 0
REFERENCE = "ACGTTGCAAGTCCTGAGCTA"


def window_of(
    *alleles: tuple[int, str, str], tss: int = 10, strand: str = "+", call: int = 1, variants: Variants = "all"
) -> str:
    """The window of a haplotype that carries every allele: 1-based position, reference and alternate."""
    records = tuple(PlainRecord(position, ref, tuple(alt.split(",")), (call, 0)) for position, ref, alt in alleles)
    return placed(Case(REFERENCE, records), WindowSpec(8, 3, "gene", variants), tss, strand).spelt()[0]


def test_no_allele_leaves_the_reference() -> None:
    assert window_of() == "CAAGTCCT"
    assert window_of(strand="-") == "GGACTTGC"
    assert window_of((10, "G", "T"), call=0) == "CAAGTCCT"
    assert window_of((10, "G", "T"), call=-1) == "CAAGTCCT"  # missing
    assert window_of((10, "G", "T"), call=-2) == "CAAGTCCT"  # no such haplotype


def test_snvs_and_mnvs_move_nothing() -> None:
    assert window_of((10, "G", "T")) == "CAATTCCT"
    assert window_of((9, "AGT", "CCA")) == "CACCACCT"
    assert window_of((9, "AGT", "CCA"), strand="-") == "GGTGGTGC"
    assert window_of((9, "AGT", "ACT")) == "CAACTCCT"  # an SNV, when trimmed


def test_of_alleles_at_one_position_an_insertion_follows_an_snv() -> None:
    assert window_of((12, "C", "G"), (12, "C", "CTT")) == "CAAGTGTT"


def test_of_two_insertions_at_one_position_the_first_wins() -> None:
    assert window_of((12, "C", "CT"), (12, "C", "CG")) == "CAAGTCTC"
    assert window_of((12, "C", "CG"), (12, "C", "CT")) == "CAAGTCGC"


def test_an_snv_after_an_insertion_at_one_position_is_left_out() -> None:
    assert window_of((12, "C", "CTT"), (12, "C", "G")) == "CAAGTCTT"
    assert window_of((12, "C", "CT"), (12, "CC", "C")) == "CAAGTCTC"  # nor is a deletion


def test_an_snv_in_a_deletion_is_left_out() -> None:
    assert window_of((11, "TCC", "T"), (13, "C", "A")) == "CAAGTTGA"
    assert window_of((11, "TCC", "T"), (12, "C", "A")) == "CAAGTTGA"


def test_a_deletion_may_keep_the_last_base_of_the_allele_before() -> None:
    assert window_of((12, "C", "A"), (12, "CCT", "C")) == "CAAGTAGA"
    assert window_of((11, "TC", "GA"), (12, "CCT", "C")) == "CAAGGAGA"
    assert window_of((11, "TCC", "T"), (13, "CTG", "C")) == "CAAGTAGC"


def test_an_insertion_follows_a_deletion_that_ends_there() -> None:
    assert window_of((11, "TCC", "T"), (13, "C", "CAA")) == "CAAGTAAT"


def test_insertions_at_the_windows_edges_grow_outwards() -> None:
    assert window_of((7, "C", "CTT")) == "TAAGTCCT"
    assert window_of((6, "G", "GTT")) == "CAAGTCCT"
    assert window_of((13, "C", "CGG")) == "CAAGTCCG"
    assert window_of((14, "T", "TGG")) == "CAAGTCCT"


def test_variants_at_the_contigs_first_base() -> None:
    assert window_of(tss=1) == "NNNACGTT"
    assert window_of((1, "A", "T"), tss=1) == "NNNTCGTT"
    assert window_of((1, "A", "AGG"), tss=1) == "NNNAGGCG"
    assert window_of((1, "AC", "A"), tss=1) == "NNNAGTTG"
    assert window_of((1, "AC", "C"), tss=1) == "NNNCGTTG"
    assert window_of((1, "ACG", "A"), tss=5) == "NATTGCAA"


def test_variants_at_the_contigs_last_base() -> None:
    assert window_of(tss=20) == "GCTANNNN"
    assert window_of((20, "A", "T"), tss=20) == "GCTTNNNN"
    assert window_of((20, "A", "AGG"), tss=20) == "GCTAGGNN"
    assert window_of((19, "TA", "T"), tss=18) == "GAGCTNNN"


def test_a_tss_deleted_with_the_rest_of_the_contig_is_n() -> None:
    assert window_of((19, "TA", "T"), tss=20) == "GCTNNNNN"


def test_alleles_across_the_windows_edges() -> None:
    assert window_of((6, "GCA", "G")) == "TGAGTCCT"
    assert window_of((13, "CTG", "C")) == "CAAGTCCA"
    assert window_of((6, "GCA", "TTTT")) == "TTAGTCCT"
    assert window_of((13, "CTG", "AAAAA")) == "CAAGTCAA"


def test_where_the_tss_is_deleted_the_next_base_in_the_reading_direction_takes_its_place() -> None:
    assert window_of((9, "AGT", "A")) == "CAACCTGA"
    assert window_of((9, "AGT", "A"), strand="-") == "AGGTTGCA"


def test_a_deletion_over_the_tss_may_be_longer_than_the_windows_side() -> None:
    assert window_of((5, "TGCAAGTC", "T")) == "GTTCTGAG"
    assert window_of((5, "TGCAAGTC", "T"), strand="-") == "CAGAACGT"


def test_insertions_beside_the_tss_leave_it_in_place() -> None:
    assert window_of((9, "A", "ATT")) == "ATTGTCCT"
    assert window_of((10, "G", "GAA")) == "CAAGAATC"
    assert window_of((9, "A", "ATT"), strand="-") == "GGACAATT"
    assert window_of((10, "G", "GCA"), strand="-") == "ATGCTTGC"


def test_a_complex_allele_over_the_tss_is_aligned_at_its_first_base() -> None:
    assert window_of((9, "AGT", "CC")) == "CACCCCTG"
    assert window_of((9, "AGT", "CC"), strand="-") == "AGGGGTGC"


def test_a_complex_allele_without_a_letter_for_the_tss_deletes_it() -> None:
    assert window_of((9, "AGT", "C")) == "CACCCTGA"
    assert window_of((9, "AGT", "C"), strand="-") == "AGGGTGCA"


def test_a_deletion_pulls_in_reference_and_the_variants_there() -> None:
    assert window_of((16, "A", "C")) == "CAAGTCCT"
    assert window_of((11, "TCC", "T"), (16, "A", "C")) == "CAAGTTGC"
    assert window_of((11, "TCC", "T"), (15, "G", "GTT")) == "CAAGTTGT"
    # Two deletions, one pulled in by the other.
    assert window_of((11, "TCC", "T"), (15, "GAG", "G")) == "CAAGTTGC"
    assert window_of((5, "TG", "T"), (7, "CAA", "C")) == "TTCGTCCT"


@pytest.mark.parametrize("alt", ["*", "<DEL>", "G[2:7[", "N", "GR"])
def test_alleles_that_are_not_spelt_out_are_skipped(alt: str) -> None:
    assert window_of((10, "G", alt)) == "CAAGTCCT"


def test_an_allele_that_is_skipped_is_in_nobodys_way() -> None:
    assert window_of((9, "AGT", "*"), (10, "G", "T")) == "CAATTCCT"


def test_a_record_has_the_allele_that_is_called() -> None:
    assert [window_of((9, "AGT", "A,AGTCC,CC,*"), call=call) for call in range(5)] == [
        "CAAGTCCT",
        "CAACCTGA",
        "CAAGTCCC",
        "CACCCCTG",
        "CAAGTCCT",
    ]


def test_with_snvs_only_a_record_claims_the_base_that_it_changes_alone() -> None:
    assert window_of((9, "AG", "AT"), (9, "A", "C"), variants="snv") == "CACTTCCT"
    assert window_of((9, "AG", "AT"), (9, "A", "C")) == "CAATTCCT"  # with all, its whole record


def test_with_snvs_only_they_alone_are_applied_wherever_others_stand() -> None:
    alleles = ((8, "A", "C"), (9, "AGT", "A"), (10, "GTC", "GAC"), (12, "C", "CTT"), (12, "C", "G"), (12, "C", "T"))
    assert window_of(*alleles, variants="snv") == "CCAGAGCT"
