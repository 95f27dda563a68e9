"""Contig names of one source in the words of another."""

import pytest

from pdstore.sources.contigs import match_contigs


@pytest.mark.parametrize(
    ("name", "reference", "match"),
    [
        ("chr1", ["1", "2"], "1"),
        ("1", ["chr1", "chr2"], "chr1"),
        ("1", ["chr1", "1"], "1"),  # the same name before a like one
        ("chrM", ["MT"], "MT"),
        ("MT", ["chrM"], "chrM"),
        ("M", ["MT"], "MT"),
        ("X", ["chrX"], "chrX"),
        ("chr1", ["chr10", "11"], None),
        ("GL000192.1", ["1"], None),
    ],
)
def test_a_contig_is_found_under_its_other_name_and_under_no_other_contigs(name, reference, match):
    assert match_contigs([name], reference) == ({} if match is None else {name: match})
