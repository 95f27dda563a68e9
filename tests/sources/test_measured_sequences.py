"""Sequences of reporter assays: what is read, aligned, refused."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from pdstore.errors import InputError, UsageError
from pdstore.sources.measured_sequences import read_measured_sequences


def text(letters: np.ndarray) -> list[str]:
    return [bytes(row).decode() for row in letters]


def test_sequences_expression_and_folds_are_read(tmp_path: Path) -> None:
    path = tmp_path / "promoters.tsv.gz"
    path.write_bytes(gzip.compress(b"ACGTN\t11\ta\nTTTTT\t3.25\tb\n"))
    found = read_measured_sequences(path)
    assert text(found.letters) == ["ACGTN", "TTTTT"]
    assert found.expression.tolist() == [11, 3.25]
    assert found.fold is not None
    assert found.fold.tolist() == ["a", "b"]
    assert found.shorter == 0
    path.write_bytes(b"ACGTN\t-1e3\n")
    assert read_measured_sequences(path).fold is None


def test_the_last_bases_are_kept_and_others_stand_before(tmp_path: Path) -> None:
    path = tmp_path / "promoters.tsv"
    path.write_text("ACGT\t1\nA\t2\nACGTACGT\t3\n")
    assert (read_measured_sequences(path, 6).shorter, read_measured_sequences(path, 6, "GGCC").shorter) == (2, 1)
    assert text(read_measured_sequences(path, 6).letters) == ["NNACGT", "NNNNNA", "GTACGT"]
    assert text(read_measured_sequences(path, 6, "GGCC").letters) == ["CCACGT", "NGGCCA", "GTACGT"]
    path.write_text("ACGT\t1\nAAAA\t2\n")
    assert text(read_measured_sequences(path, upstream="GG").letters) == ["GGACGT", "GGAAAA"]


def test_the_yeasts_construct_lies_in_150_bases(tmp_path: Path) -> None:
    """As the challenge has it: bases of the plasmid, 80 that were drawn, 13 of the adapter behind them."""
    rng = np.random.default_rng(0)
    plasmid, drawn = ("".join(rng.choice(list("ACGT"), size)) for size in (300, 80))
    path = tmp_path / "promoters.tsv"
    path.write_text(f"TGCATTTTTTTCACATC{drawn}GGTTACGGCTGTT\t11\n")
    (window,) = text(read_measured_sequences(path, 150, plasmid, 17).letters)
    assert window == plasmid[-40:] + "TGCATTTTTTTCACATC" + drawn + "GGTTACGGCTGTT"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("ACGT\t1\nACgT\t2\n", "line 2, base 3: 'g', expected A, C, G, T or N; make it upper case"),
        ("ACGT\t1\nACRT\t2\n", "line 2, base 3: 'R', expected A, C, G, T or N$"),
        ("seq\tvalue\nACGT\t1\n", "line 1, base 1: 's', expected .*; there must be no header"),
        ("ACGT\t1\nACGTA\t2\n", "line 2: 5 bases, but line 1 has 4; with --window"),
        ("ACGT\tnan\n", "line 1: expression 'nan' is not a number; leave what is not measured out"),
        ("ACGT\tNA\n", "line 1: expression 'NA' is not a number; leave what is not measured out"),
        ("ACRT\t1\n", "line 1, base 3: 'R', expected A, C, G, T or N$"),
        ("ACGT,1\n", "line 1: 1 columns separated by tabs, expected 2 or 3: .*; separate them by tabs, not commas"),
        ("ACGT\tinf\n", "line 1: expression 'inf'"),
        ("ACGT\thigh\n", "line 1: expression 'high' is not a number"),
        ("ACGT\t1\n\t2\n", "line 2: no sequence"),
        ("ACGT\t1\n\nACGT\t2\n", "line 2: is empty"),
        ("ACGT 1\n", "line 1: 1 columns separated by tabs, expected 2 or 3"),
        ("ACGT\t1\ta\nACGT\t2\n", "line 2: 2 columns separated by tabs, expected 3 as before"),
        ("ACGT\t17.5\n", "line 1: expression 17.5 is not one of the yeast's classes, 0 to 17: train with --final"),
        ("", "is empty"),
    ],
)
def test_what_is_no_line_is_refused_by_its_number(tmp_path: Path, lines: str, message: str) -> None:
    path = tmp_path / "promoters.tsv"
    path.write_text(lines)
    with pytest.raises(InputError, match=message) as error:
        read_measured_sequences(path, highest=17)
    assert str(path) in str(error.value)


def test_upstream_is_bases(tmp_path: Path) -> None:
    path = tmp_path / "promoters.tsv"
    path.write_text("ACGT\t1\n")
    with pytest.raises(UsageError, match="--upstream has 'X'"):
        read_measured_sequences(path, upstream="AXC")
    with pytest.raises(InputError, match="no such file"):
        read_measured_sequences(tmp_path / "absent")
