"""Weights of the fine-tuned readout: the published file, joined with the published tracks, and what is refused."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from pdstore.errors import InputError
from pdstore.models.tracks import read_track_descriptions
from pdstore.sources.readout_weights import read_readout_weights

NAMES = ["DNASE:liver", "CAGE:brain, adult,"]
LINES = ["tracks,weights", "DNASE:liver,0.5", "CAGE:brain; adult;,-2", "offset,1.25"]


@pytest.fixture(scope="module")
def published(shared_data: Path) -> Path:
    return shared_data / "sasse2023" / "GTExWeights.csv.gz"


@pytest.fixture(scope="module")
def tracks(shared_data: Path) -> list[str]:
    return read_track_descriptions(shared_data / "enformer" / "targets_human.txt.gz")


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def refused(path: Path, names: list[str], *words: str) -> None:
    with pytest.raises(InputError) as error:
        read_readout_weights(path, names)
    message = str(error.value)
    assert "\n" not in message
    for word in (f"readout weights {path}", *words):
        assert word in message


# --- The published file ----------------------------------------------------------------------------------------------


def test_published_weights_are_joined_with_the_published_tracks(published: Path, tracks: list[str]) -> None:
    weights = read_readout_weights(published, tracks)
    assert weights.shape == (5314,)
    assert weights.dtype == np.float64
    assert tracks[4980] == "CAGE:brain, adult,"
    assert weights[4980] == 0.051381
    assert weights[-1] == 3.87769
    with gzip.open(published, "rt", newline="") as file:
        np.testing.assert_array_equal(weights, [float(row["weights"]) for row in csv.DictReader(file)])


def test_published_weights_are_joined_by_order_where_tracks_have_no_description(
    published: Path, tracks: list[str]
) -> None:
    by_order = read_readout_weights(published, [f"human:{index}" for index in range(5313)])
    np.testing.assert_array_equal(by_order, read_readout_weights(published, tracks))


def test_published_weights_are_refused_for_other_tracks_with_the_line(published: Path, tracks: list[str]) -> None:
    swapped = list(tracks)
    swapped[4979], swapped[4980] = swapped[4980], swapped[4979]
    # Line 1 is the header.
    refused(published, swapped, "line 4981", "track 4979", "same order")
    refused(published, ["CAGE:brain, adult,"], "5,313 tracks", "1 tracks", "the same --tracks")
    refused(published, tracks[:-1], "5,313 tracks", "5,312 tracks")
    refused(published, [*tracks, "CAGE:another"], "5,313 tracks", "5,314 tracks")


# --- Other files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [NAMES, ["DNASE:liver", "CAGE:brain; adult;"], ["human:0", "human:1"]])
def test_semicolon_and_comma_are_one_letter(tmp_path: Path, names: list[str]) -> None:
    for name in ("CAGE:brain; adult;", '"CAGE:brain, adult,"'):
        path = write(tmp_path / "weights.csv", *LINES[:2], f"{name},-2", LINES[3])
        np.testing.assert_array_equal(read_readout_weights(path, names), [0.5, -2, 1.25])


def test_gzip_and_other_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.csv"
    path.write_bytes(gzip.compress("\r\n".join([*LINES, ""]).encode()))
    np.testing.assert_array_equal(read_readout_weights(path, NAMES), [0.5, -2, 1.25])


@pytest.mark.parametrize(
    ("line", "replaced", "words"),
    [
        (2, "DNASE:liver", ["line 2", "'DNASE:liver'", "a track and its weight"]),
        (3, "CAGE:brain, adult,,-2", ["line 3", "a track and its weight"]),
        (3, "CAGE:brain; adult;,", ["line 3", "a track and its weight"]),
        (3, "CAGE:brain; adult;,high", ["line 3", "high"]),
        (3, "CAGE:brain; adult;,nan", ["line 3", "'nan'", "no finite number"]),
        (4, "offset,-inf", ["line 4", "'-inf'", "no finite number"]),
        (4, "offset,", ["line 4"]),
        (2, "DNASE:lung,0.5", ["line 2", "'DNASE:lung'", "'DNASE:liver'", "same order"]),
        (3, "", ["line 3"]),
    ],
)
def test_lines_that_are_no_weights_are_refused(tmp_path: Path, line: int, replaced: str, words: list[str]) -> None:
    lines = list(LINES)
    lines[line - 1] = replaced
    refused(write(tmp_path / "weights.csv", *lines), NAMES, *words)


@pytest.mark.parametrize("lines", [[], LINES[:1], LINES[:3], [*LINES, "more,1"], LINES[1:]])
def test_another_number_of_lines_is_refused(tmp_path: Path, lines: list[str]) -> None:
    refused(write(tmp_path / "weights.csv", *lines), NAMES, "2 tracks", "the same --tracks")


def test_files_that_are_not_there_or_no_text_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "absent.csv", NAMES, "no such file")
    refused(tmp_path, NAMES, "is a folder")
    (tmp_path / "binary.csv").write_bytes(b"tracks,weights\n\xff,1\n")
    with pytest.raises(InputError, match="not a text file"):
        read_readout_weights(tmp_path / "binary.csv", NAMES)
