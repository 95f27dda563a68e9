"""Which of a model's output tracks and bins are kept, and what the tracks are called."""

import difflib
import fnmatch
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pdstore.errors import UsageError
from pdstore.models.protocol import ModelOptions
from pdstore.sources.text import existing_file, read_lines

_RANGES = re.compile(r"\s*\d+(\s*-\s*\d+)?(\s*,\s*\d+(\s*-\s*\d+)?)*\s*")


class Outputs(NamedTuple):
    """What of a model's outputs is kept.

    Attributes
    ----------
    bins, tracks : list of int
        0-based, sorted.
    track_names : tuple of str
        Descriptions of the tracks; "human:4980" where nothing describes them.
    """

    bins: list[int]
    tracks: list[int]
    track_names: tuple[str, ...]


def select_outputs(
    options: ModelOptions, bins: int, tracks: int, *, middle: int, track: int | str | None, head: str, whose: str
) -> Outputs:
    """What is kept of a model's outputs: what is asked for, or what the model's article read.

    Parameters
    ----------
    options : ModelOptions
        What is asked for: `targets`, `tracks` and `bins`.
    bins, tracks : int
        How many there are.
    middle : int
        How many bins around the middle are kept where none are asked for.
    track : int or str or None
        The track that is kept where none is asked for: its index, or its description where `options.targets` has them.
        None, or an index that there is not: one must be asked for, unless there is one alone.
    head : str
        What tracks without description are called, before their index.
    whose : str
        Who has the tracks, for errors: "basenji2".

    Raises
    ------
    UsageError
        Bins or tracks that do not exist, or a target table of other length.
    """
    descriptions = None
    if options.targets is not None:
        descriptions = read_track_descriptions(options.targets)
        if len(descriptions) != tracks:
            raise UsageError(f"targets {options.targets}: {len(descriptions):,} tracks, but {whose} has {tracks:,}")
    asked = options.tracks
    if asked is None:
        if tracks == 1:
            asked = "all"
        elif track is None or (isinstance(track, int) and track >= tracks):
            raise UsageError(f"which of the {tracks:,} tracks of {whose}? Give --tracks")
        else:
            asked = str(track)
    chosen = select_tracks(asked, tracks, descriptions)
    centre = bins // 2
    of_middle = range(max(centre - middle // 2, 0), min(centre + (middle + 1) // 2, bins))
    return Outputs(
        list(of_middle) if options.bins is None else parse_ranges(options.bins, bins, "bin"),
        chosen,
        tuple(descriptions[track] if descriptions else f"{head}:{track}" for track in chosen),
    )


def read_track_descriptions(path: Path) -> list[str]:
    """Descriptions of a model's tracks, in the order of its outputs, from a Basenji target file.

    Parameters
    ----------
    path : Path
        Tab-separated, gzipped or not, with a header and the column ``description``; a column ``index`` must count from
        0, where there is one.

    Raises
    ------
    UsageError
        No such column, a row without it, or an index out of order; with the line.
    InputError
        There is no such file, or it is no text.
    """
    lines = read_lines(existing_file(path, "targets"))
    header = next(lines, (1, ""))[1].split("\t")
    if "description" not in header:
        raise UsageError(
            f"targets {path}: its columns are {', '.join(header)[:100]}; expected a tab-separated table with the "
            "column description"
        )
    column, index = header.index("description"), header.index("index") if "index" in header else None
    descriptions: list[str] = []
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) != len(header):
            raise UsageError(f"targets {path}, line {number}: {len(fields)} columns, but the header has {len(header)}")
        if index is not None and fields[index] != str(len(descriptions)):
            raise UsageError(
                f"targets {path}, line {number}: index {fields[index]!r}, but {len(descriptions)} was expected: tracks "
                "must stand in the order of the model's outputs"
            )
        descriptions.append(fields[column])
    return descriptions


def select_tracks(asked: str, tracks: int, descriptions: Sequence[str] | None) -> list[int]:
    """Indices of the tracks that are asked for.

    Parameters
    ----------
    asked : str
        "all"; indices and ranges, 0-based, both ends included ("0-99,4980"); or a description or a glob over
        descriptions, in any case ("CAGE:*brain*").
    tracks : int
        How many there are.
    descriptions : sequence of str, optional
        What they are called.

    Returns
    -------
    list of int
        Sorted, each once.

    Raises
    ------
    UsageError
        An index that does not exist, or a glob that matches nothing, or that has nothing to match.
    """
    if asked.strip().lower() == "all":
        return list(range(tracks))
    if _RANGES.fullmatch(asked):
        return parse_ranges(asked, tracks, "track")
    if not asked.strip() or re.fullmatch(r"[-+.,\d\s]+", asked):
        raise UsageError(f"tracks {asked!r}: expected indices such as 0-9,12, a description, a glob, or all")
    if descriptions is None:
        raise UsageError(
            f"tracks {asked!r} can be found by description in a target file only: give it with --targets, or give "
            f"indices from 0 to {tracks - 1}, or all"
        )
    lower = [description.lower() for description in descriptions]
    found = [index for index, description in enumerate(lower) if description == asked.lower()]
    found = found or [i for i, description in enumerate(lower) if fnmatch.fnmatchcase(description, asked.lower())]
    if not found:
        close = difflib.get_close_matches(asked, descriptions, n=3, cutoff=0.3)
        hint = f"; the closest are {', '.join(map(repr, close))}" if close else ""
        raise UsageError(f"no track is called {asked!r}{hint}; a glob such as '*brain*' finds parts of a name")
    return found


def parse_ranges(asked: str, size: int, what: str) -> list[int]:
    """Numbers and ranges such as "0-9,12", both ends included, each below `size`: sorted, each once."""
    if not _RANGES.fullmatch(asked):
        raise UsageError(f"{what}s {asked!r}: expected numbers and ranges such as 0-9,12")
    if any(len(number) > 9 for number in re.findall(r"\d+", asked)):
        raise UsageError(f"{what}s {asked[:50]!r} do not exist: there are {size}, from 0 to {size - 1}")
    numbers: set[int] = set()
    for part in asked.split(","):
        first, _, last = part.partition("-")
        begin, end = int(first), int(last or first)
        if begin > end:
            raise UsageError(f"{what}s {part.strip()!r}: {begin} is above {end}")
        if end >= size:
            raise UsageError(f"{what} {end} does not exist: there are {size}, from 0 to {size - 1}")
        numbers.update(range(begin, end + 1))
    return sorted(numbers)


def format_ranges(numbers: Sequence[int]) -> str:
    """Sorted numbers as `parse_ranges` reads them, runs as ranges."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
