"""The reference genome, and its refget digests."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from builders import CONTIGS, listing, write_fasta

from pdstore.errors import InputError
from pdstore.sources.fasta import Fasta, refget_digest


def letters(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def opened(path: Path) -> Fasta:
    scratch = path.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return Fasta(path, scratch)


@pytest.mark.parametrize("name", ["reference.fa", "reference.fa.gz", "reference.fa.bgz"])
def test_sequences_are_read_plain_gzipped_and_bgzipped_and_nothing_is_written_beside_them(tmp_path: Path, name: str):
    folder = tmp_path / "read_by_others"
    folder.mkdir()
    path = write_fasta(folder / name)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    fasta = Fasta(path, scratch)
    assert fasta.lengths == {name: len(bases) for name, bases in CONTIGS.items()}
    assert {name: fasta.sequence(name).tobytes().decode() for name in CONTIGS} == CONTIGS
    assert listing(folder) == [name]


def test_soft_masked_letters_and_windows_line_ends_are_read_as_the_same_sequence(tmp_path: Path):
    path = tmp_path / "reference.fa"
    path.write_bytes(b">1\r\nacgtn\r\nACGTN\r\nAC\r\n")
    assert opened(path).sequence("1").tobytes() == b"ACGTNACGTNAC"


def test_a_stale_index_beside_the_fasta_is_not_believed(tmp_path: Path):
    path = write_fasta(tmp_path / "reference.fa")
    (tmp_path / "reference.fa.fai").write_text("wrong\t7\t3\t60\t61\n")
    assert list(opened(path).lengths) == list(CONTIGS)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "does not begin with '>'"),
        (b"ACGT\n", "does not begin with '>'"),
        (b">1\nACGT\n>1\nACGT\n", "Duplicate key"),
        (b">1\nACGT\nAC\nACGT\n", "Line length"),
        (gzip.compress(b">1\nACGT\n" * 99, mtime=0)[:-9], "truncated or damaged gzip"),
        (b">1\nAC\xe9GT\n", "decode"),
    ],
)
def test_what_is_no_fasta_is_refused_in_one_line_with_its_name(tmp_path: Path, data: bytes, words: str):
    path = tmp_path / "reference.fa"
    path.write_bytes(data)
    with pytest.raises(InputError, match=words) as caught:
        opened(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_letters_that_are_not_ascii_are_refused(tmp_path: Path):
    path = tmp_path / "reference.fa"
    path.write_text(">1\nACGÉT\n", encoding="utf-8")
    with pytest.raises(InputError, match="contig 1 has letters that are not ASCII"):
        opened(path).sequence("1")


@pytest.mark.parametrize(
    ("sequence", "digest"),
    [
        # GA4GH refget sequences v2 and VRS, "sha512t24u": published vectors.
        ("ACGT", "SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2"),
        ("", "SQ.z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXc"),
    ],
)
def test_the_digest_is_that_of_the_published_vectors(sequence: str, digest: str):
    assert refget_digest(letters(sequence)) == digest
