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


def test_window_may_begin_before_the_contig() -> None:
    assert WindowSpec(100, 50, "forward").start(1, "+") == -50


@pytest.mark.parametrize(("length", "offset", "strand"), [(10, 10, "gene"), (10, -1, "gene"), (10, 5, "reverse")])
def test_impossible_window_is_refused(length: int, offset: int, strand: str) -> None:
    with pytest.raises(UsageError):
        WindowSpec(length, offset, strand)  # type: ignore[arg-type]
