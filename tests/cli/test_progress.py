"""What a fill says of its progress."""

import re

import pytest
from pdstore_cli import progress
from pdstore_cli.progress import FillProgress, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.04, "0.0 s"),
        (4.2, "4.2 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (42.4, "42 s"),
        (59.4, "59 s"),
        (60, "1 min 0 s"),
        (61.2, "1 min 1 s"),
        (200, "3 min 20 s"),
        (3540, "59 min 0 s"),
        (3600, "1 h 00 min"),
        (5 * 3600 + 7 * 60, "5 h 07 min"),
        (47 * 3600 + 59 * 60, "47 h 59 min"),
        (48 * 3600, "2.0 days"),
        (12.5 * 86400, "12.5 days"),
        (1234 * 86400, "1,234.0 days"),
    ],
)
def test_a_duration_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# Seconds that round up to the next unit, around every border.
AT_A_BORDER = [59.5, 59.6, 59.99, 60.0, 119.4, 119.6, 3569.0, 3570.0, 3599.0, 3599.4, 3599.6, 3600.0, 7199.0, 7199.9]
AT_A_BORDER += [47.99 * 3600, 47.9999 * 3600, 48 * 3600 - 0.1]


@pytest.mark.parametrize("seconds", AT_A_BORDER)
def test_a_duration_has_neither_sixty_of_a_unit_nor_none_of_its_first(seconds: float) -> None:
    text = duration(seconds)
    assert not re.search(r"\b60 (s|min)\b", text), text
    assert not text.startswith("0 "), text


@pytest.mark.parametrize("seconds", [*AT_A_BORDER, 0.3, 9.97, 30.2, 61.0, 1000.0, 4000.0, 90_000.0, 300_000.0])
def test_a_duration_is_right_to_its_last_unit(seconds: float) -> None:
    sizes = {"s": 1, "min": 60, "h": 3600, "days": 86400}
    parts = re.findall(r"([\d.,]+) (s|min|h|days)", duration(seconds))
    said = sum(float(number.replace(",", "")) * sizes[unit] for number, unit in parts)
    assert abs(said - seconds) <= sizes[parts[-1][1]]


def test_where_stderr_is_no_terminal_a_step_is_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with FillProgress() as told:
        told.step_begins("predictions", "haplotypes", 2, 1_070, 3)
        told.block_done(1_006, True)
        told.block_done(64, True)
        told.step_ends()
    out, err = capsys.readouterr()
    assert out == ""
    first, last = err.splitlines()
    assert first == "pdstore: predictions: 2 blocks (1,070 haplotypes) to do, 3 blocks done before"
    assert re.fullmatch(r"pdstore: predictions: 2 blocks in 0\.0 s, [\d,]+ haplotypes/s", last)


def test_where_stderr_is_no_terminal_a_line_comes_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with FillProgress() as told:
        told.step_begins("windows", "genes", 3, 3, 0)
        told.block_done(1, True)
        told.block_done(1, False)
        told.block_done(1, True)
        told.step_ends()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "pdstore: windows: 3 blocks to do, 0 blocks done before"
    assert [re.sub(r", [\d,.e+]+ genes/s, [\d.]+ s left", "", line) for line in lines[1:4]] == [
        "pdstore: windows: 1/3 blocks",
        "pdstore: windows: 2/3 blocks, 1 failed",
        "pdstore: windows: 3/3 blocks, 1 failed",
    ]
    assert lines[3].endswith(" 0.0 s left")
    assert len(lines) == 5


def test_a_step_with_nothing_to_do_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with FillProgress() as told:
        told.step_begins("eqtl", "genes", 0, 0, 24)
        told.step_ends()
    assert capsys.readouterr() == ("", "")


def test_each_step_counts_from_zero_and_waiting_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with FillProgress() as told:
        told.waiting("the first worker of the cluster")
        for name in ("windows", "eqtl"):
            told.step_begins(name, "genes", 1, 1, 0)
            told.block_done(1, True)
            told.step_ends()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "pdstore: waiting for the first worker of the cluster"
    assert [line.split(" in ")[0] for line in lines if " in " in line] == [
        "pdstore: windows: 1 blocks",
        "pdstore: eqtl: 1 blocks",
    ]
