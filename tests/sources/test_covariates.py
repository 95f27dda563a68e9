"""Covariates in both orientations; what cannot be used is refused without a person's name or value."""

from pathlib import Path

import numpy as np
import pytest

from pdstore.errors import InputError
from pdstore.sources.covariates import read_covariates

PEOPLE = ["HGq1", "HGq2", "HGq3"]
BY_PEOPLE = "id\tage\tsex\nHGq3\t31\t1\nHGq1\t54.5\t0\nother\t1\t1\nHGq2\t29\t1\n"
BY_COVARIATES = "id\tHGq3\tHGq1\tother\tHGq2\nage\t31\t54.5\t1\t29\nsex\t1\t0\t1\t1\n"
VALUES = [[54.5, 0], [29, 1], [31, 1]]


def write(folder: Path, text: str) -> Path:
    path = folder / "covariates.tsv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text", [BY_PEOPLE, BY_COVARIATES, BY_PEOPLE.replace("\t", ","), BY_PEOPLE.replace("id\t", "")]
)
def test_either_orientation_is_read_in_the_order_of_the_people(tmp_path: Path, text: str) -> None:
    found = read_covariates(write(tmp_path, text), PEOPLE)
    assert found.names == ("age", "sex")
    np.testing.assert_array_equal(found.values, VALUES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BY_PEOPLE.replace("HGq2\t29\t1\n", ""), "1 of the 3 people with genotypes and expression are not in it"),
        (BY_PEOPLE.replace("54.5", "NA"), "line 3, column 2: 'age' is no number there"),
        (BY_COVARIATES.replace("54.5", "old"), "line 2, column 3: 'age' is no number there"),
        (BY_PEOPLE.replace("54.5", "inf"), "line 3, column 2: 'age' is no number there"),
        (BY_PEOPLE.replace("\t0\n", "\t1\n"), "'sex' is 1 in everybody; leave it out"),
        (BY_PEOPLE.replace("sex", "age"), "'age' stands there twice"),
        (BY_PEOPLE.replace("sex", ""), "a covariate has no name"),
        (BY_PEOPLE + "HGq1\t1\t1\n", "a person stands there twice"),
        (BY_PEOPLE + "HGq9\t1\n", "line 6: 2 columns, but the header has 3"),
        ("HGq1\n", "no header with several columns"),
        ("", "no header with several columns"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        read_covariates(write(tmp_path, text), PEOPLE)
    said = str(error.value).removeprefix(f"covariates {tmp_path}")
    assert not any(private in said for private in ("HGq", "54.5", "old", "31"))
    assert "\n" not in said
