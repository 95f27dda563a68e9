"""Lines of text files, and what is said of files that are damaged."""

import gzip
from pathlib import Path

import pytest

from pdstore.errors import InputError
from pdstore.sources.text import existing_file, read_lines

TEXT = "one\ttwo\nthree\tfour\n" * 500


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("packed", [False, True])
def test_lines_are_the_same_gzipped_or_not_from_unix_or_windows(tmp_path: Path, end: str, mark: bytes, packed: bool):
    data = mark + TEXT.replace("\n", end).encode()
    path = tmp_path / "table"  # gzip is known by its first bytes, not by its name
    path.write_bytes(gzip.compress(data) if packed else data)
    assert list(read_lines(path)) == list(enumerate(TEXT.splitlines(), 1))


def test_a_truncated_gzip_file_is_refused_with_the_line_where_it_ends(tmp_path: Path):
    path = tmp_path / "table.gz"
    path.write_bytes(gzip.compress(TEXT.encode())[:-9])
    with pytest.raises(InputError, match=r"table\.gz: truncated or damaged gzip file after line \d+"):
        list(read_lines(path))


def test_a_flipped_bit_in_a_gzip_file_is_refused(tmp_path: Path):
    data = bytearray(gzip.compress(TEXT.encode()))
    data[-6] ^= 1  # in the checksum: the text itself unpacks
    path = tmp_path / "table.gz"
    path.write_bytes(data)
    with pytest.raises(InputError, match="truncated or damaged"):
        list(read_lines(path))


def test_what_is_not_utf8_is_refused(tmp_path: Path):
    path = tmp_path / "table"
    path.write_bytes("a\tb\n".encode("utf-16"))
    with pytest.raises(InputError, match="not a text file"):
        list(read_lines(path))


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path):
    for path, reason in ((tmp_path / "absent", "no such file"), (tmp_path, "is a folder, not a file")):
        with pytest.raises(InputError, match=f"genes {path}: {reason}"):
            existing_file(path, "genes")
