"""Which tracks and bins are kept: indices, ranges, descriptions, globs, and the published table of tracks."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdstore.errors import InputError, UsageError
from pdstore.models.tracks import format_ranges, parse_ranges, read_track_descriptions, select_tracks

NAMES = ["DNASE:liver", "CAGE:brain, adult,", "CAGE:Brain, fetal", "CAGE:liver [x]", "RNA", "RNA"]


@pytest.fixture(scope="module")
def targets(shared_data: Path) -> Path:
    """The table of the published human head."""
    return shared_data / "enformer" / "targets_human.txt.gz"


@pytest.fixture(scope="module")
def published(targets: Path) -> list[str]:
    return read_track_descriptions(targets)


# --- The published table ---------------------------------------------------------------------------------------------


def test_published_table_has_5313_tracks(published: list[str], targets: Path) -> None:
    assert len(published) == 5313
    assert published[4980] == "CAGE:brain, adult,"
    # What `cut -f8` gives.
    with gzip.open(targets, "rt") as file:
        assert published == [line.rstrip("\n").split("\t")[7] for line in file][1:]


def test_published_track_is_found_by_its_description_in_any_case(published: list[str]) -> None:
    for asked in ("CAGE:brain, adult,", "cage:BRAIN, adult,"):
        assert select_tracks(asked, 5313, published) == [4980]


def test_globs_find_what_the_published_table_holds(published: list[str]) -> None:
    brain = select_tracks("CAGE:*brain*", 5313, published)
    assert brain == [i for i, name in enumerate(published) if name.startswith("CAGE:") and "brain" in name.lower()[5:]]
    assert 4980 in brain
    assert 1 < len(brain) < 100
    assert select_tracks("cage:*BRAIN*", 5313, published) == brain
    assert len(select_tracks("CAGE:*", 5313, published)) == 638
    assert select_tracks("all", 5313, published) == list(range(5313))


def test_a_description_that_is_nearly_right_is_told_what_is_close(published: list[str]) -> None:
    with pytest.raises(
        UsageError, match=r"no track is called 'CAGE:brain, adult'; the closest are .*CAGE:brain, adult,"
    ):
        select_tracks("CAGE:brain, adult", 5313, published)


# --- Selections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("all", [0, 1, 2, 3, 4, 5]),
        (" ALL ", [0, 1, 2, 3, 4, 5]),
        ("0", [0]),
        ("5", [5]),
        ("0-2,5", [0, 1, 2, 5]),
        (" 4 - 5 , 1,1 , 0-1 ", [0, 1, 4, 5]),
        ("3-3", [3]),
        ("rna", [4, 5]),
        ("CAGE:liver [x]", [3]),
        ("CAGE:liver [[]x]", [3]),
        ("*brain*", [1, 2]),
        ("cage:*", [1, 2, 3]),
        ("*, ?dult,", [1]),
        ("*", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_tracks_are_found_by_index_range_description_and_glob(asked: str, found: list[int]) -> None:
    assert select_tracks(asked, len(NAMES), NAMES) == found


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("6", ["track 6 does not exist", "0 to 5"]),
        ("0-6", ["track 6 does not exist"]),
        ("3-1", ["3 is above 1"]),
        ("0-999999999999", ["'0-999999999999' do not exist"]),
        ("0,-1", ["'0,-1'"]),
        ("1,,2", ["'1,,2'"]),
        ("", ["''"]),
        ("brain", ["'brain'", "a glob such as"]),
        ("CAGE:kidney*", ["'CAGE:kidney*'"]),
    ],
)
def test_tracks_that_do_not_exist_are_refused(asked: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        select_tracks(asked, len(NAMES), NAMES)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words)


def test_descriptions_need_a_table() -> None:
    assert select_tracks("0-1", 6, None) == [0, 1]
    with pytest.raises(UsageError, match=r"--targets, or give indices from 0 to 5, or all"):
        select_tracks("CAGE:*", 6, None)


@given(st.sets(st.integers(0, 60), min_size=1))
def test_formatted_ranges_are_read_as_what_they_were(numbers: set[int]) -> None:
    text = format_ranges(sorted(numbers))
    assert parse_ranges(text, 61, "bin") == sorted(numbers)
    # The shortest: as many parts as there are runs.
    assert len(text.split(",")) == sum(number - 1 not in numbers for number in numbers)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), min_size=1), st.sampled_from([",", " , ", ", "]))
def test_ranges_are_the_union_of_their_parts(parts: list[tuple[int, int]], separator: str) -> None:
    asked = separator.join(f"{begin}-{begin + more}" for begin, more in parts)
    wanted = {number for begin, more in parts for number in range(begin, begin + more + 1)}
    assert parse_ranges(asked, 50, "bin") == sorted(wanted)


@pytest.mark.parametrize(
    "asked", ["", " ", ",", "1,", ",1", "-1", "1-", "1--2", "1-2-3", "1;2", "a", "1.5", "all", "1\n2", "1 2"]
)
def test_ranges_that_are_none_are_refused(asked: str) -> None:
    with pytest.raises(UsageError, match="expected numbers and ranges such as 0-9,12"):
        parse_ranges(asked, 10, "bin")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("10", r"^bin 10 does not exist: there are 10, from 0 to 9$"),
        ("0-10", r"^bin 10 does"),
        ("4,3-2", r"3 is above 2"),
    ],
)
def test_ranges_beyond_what_there_is_are_refused(asked: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_ranges(asked, 10, "bin")


# --- Tables ----------------------------------------------------------------------------------------------------------


def test_a_table_needs_nothing_but_descriptions(tmp_path: Path) -> None:
    path = tmp_path / "targets.txt"
    path.write_text("description\nCAGE:brain, adult,\nCAGE:liver\n")
    assert read_track_descriptions(path) == ["CAGE:brain, adult,", "CAGE:liver"]
    path.write_bytes(gzip.compress(b"\xef\xbb\xbfdescription\tindex\r\nCAGE:brain, adult,\t0\r\n"))
    assert read_track_descriptions(path) == ["CAGE:brain, adult,"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["the column description"]),
        ("index\tname\n0\tliver\n", ["index, name", "the column description"]),
        ("index,description\n0,liver\n", ["tab-separated"]),
        ("index\tdescription\n0\tliver\n1\n", ["line 3", "1 columns", "has 2"]),
        ("index\tdescription\n0\tliver\tadult\n", ["line 2", "3 columns", "has 2"]),
        ("index\tdescription\n0\tliver\n\n", ["line 3", "1 columns"]),
        ("index\tdescription\n1\tliver\n", ["line 2", "'1'", "0 was expected"]),
        ("index\tdescription\n0\tliver\n0\tbrain\n", ["line 3", "'0'", "1 was expected"]),
    ],
)
def test_tables_that_are_none_are_refused(tmp_path: Path, content: str, words: list[str]) -> None:
    path = tmp_path / "targets.txt"
    path.write_text(content)
    with pytest.raises(UsageError) as error:
        read_track_descriptions(path)
    message = str(error.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message


def test_files_that_are_not_there_or_no_text_are_refused(tmp_path: Path, targets: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_track_descriptions(tmp_path / "absent")
    with pytest.raises(InputError, match="is a folder"):
        read_track_descriptions(tmp_path)
    (tmp_path / "binary").write_bytes(b"index\tdescription\n0\t\xff\n")
    with pytest.raises(InputError, match="not a text file"):
        read_track_descriptions(tmp_path / "binary")
    (tmp_path / "half.gz").write_bytes(targets.read_bytes()[:10_000])
    with pytest.raises(InputError, match="truncated or damaged gzip"):
        read_track_descriptions(tmp_path / "half.gz")
