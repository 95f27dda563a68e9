"""Where windows lie."""

import pytest

from pdstore.errors import UsageError
from pdstore.haplotypes.window import WindowSpec


def test_enformer_window_is_the_published_one() -> None:
    window = WindowSpec(length=196_608, tss_offset=98_303, strand="forward")
    for strand in "+-":
        start = window.start(1_306_065, strand)
        # METHODS: TSS-98,303 ... TSS+98,304, 1-based, forward strand whatever the gene's.
        assert (start + 1, start + window.length) == (1_306_065 - 98_303, 1_306_065 + 98_304)
    assert window.name == "196608bp_tss98303_forward_snv"


def test_xpresso_window_is_mirrored_on_the_minus_strand() -> None:
    window = WindowSpec(length=10_500, tss_offset=6_999, strand="gene")
    plus, minus = window.start(20_000, "+"), window.start(20_000, "-")
    assert (plus + 1, plus + 10_500) == (20_000 - 6_999, 20_000 + 3_500)
    assert (minus + 1, minus + 10_500) == (20_000 - 3_500, 20_000 + 6_999)


def test_windows_of_all_variants_lie_where_those_of_snvs_do_under_another_name() -> None:
    snv, both = WindowSpec(100, 40, "gene"), WindowSpec(100, 40, "gene", "all")
    assert (snv.variants, snv.name, both.name) == ("snv", "100bp_tss40_gene_snv", "100bp_tss40_gene_all")
    assert [snv.start(500, strand) for strand in "+-"] == [both.start(500, strand) for strand in "+-"]


def test_only_gene_windows_of_minus_genes_are_reversed() -> None:
    gene, forward = WindowSpec(10, 5, "gene"), WindowSpec(10, 5, "forward")
    assert [window.reverses(strand) for window in (gene, forward) for strand in "+-"] == [False, True, False, False]


def test_window_may_begin_before_the_contig() -> None:
    assert WindowSpec(100, 50, "forward").start(1, "+") == -50


@pytest.mark.parametrize(("length", "offset", "strand"), [(10, 10, "gene"), (10, -1, "gene"), (10, 5, "reverse")])
def test_impossible_window_is_refused(length: int, offset: int, strand: str) -> None:
    with pytest.raises(UsageError):
        WindowSpec(length, offset, strand)  # type: ignore[arg-type]


def test_variants_of_another_kind_are_refused() -> None:
    with pytest.raises(UsageError, match="'indel' are neither 'snv' nor 'all'"):
        WindowSpec(10, 5, "gene", "indel")  # type: ignore[arg-type]
