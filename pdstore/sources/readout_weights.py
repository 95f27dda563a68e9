"""Weights of the fine-tuned readout: an elastic net over a model's tracks, as Sasse et al. 2023 publish theirs."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import InputError
from pdstore.sources.text import existing_file, read_lines


def read_readout_weights(path: Path, track_names: Sequence[str]) -> NDArray[np.float64]:
    """Weights of an elastic net over the log2 sums of tracks.

    Parameters
    ----------
    path : Path
        CSV, gzipped or not: a header, then a track's description and its weight a line in the order of the model's
        outputs, and the intercept in the last line.
    track_names : sequence of str
        Names of the tracks that the weights are for, all of them and in the same order. Names without a description
        ("human:0") are joined by order alone.

    Returns
    -------
    ndarray of float64, shape (tracks + 1,)
        The weights, and the intercept last.

    Raises
    ------
    InputError
        Another number of tracks, another name in a line (";" and "," are one letter), or no number, with the line.
    """
    rows = [
        (number, row)
        for number, line in read_lines(existing_file(path, "readout weights"))
        for row in csv.reader([line])
    ][1:]
    while rows and not rows[-1][1]:
        rows.pop()
    if len(rows) != len(track_names) + 1:
        raise InputError(
            f"readout weights {path}: {max(len(rows) - 1, 0):,} tracks and an intercept, but the store holds "
            f"{len(track_names):,} tracks: an elastic net reads the tracks that it was trained on, no other ones: fill "
            "with the same --tracks"
        )
    values = np.empty(len(rows))
    for index, (number, row) in enumerate(rows):
        try:
            name, value = row
            values[index] = float(value)
        except ValueError as error:
            raise InputError(
                f"readout weights {path}, line {number}: {','.join(row)[:60]!r}, expected a track and its weight"
            ) from error
        if not math.isfinite(values[index]):
            raise InputError(f"readout weights {path}, line {number}: {value!r} is no finite number")
        if index < len(track_names) and not _same(name, track_names[index]):
            raise InputError(
                f"readout weights {path}, line {number}: track {name!r}, but track {index} of the store is "
                f"{track_names[index]!r}: they must stand in the same order"
            )
    return values


def _same(name: str, track: str) -> bool:
    head, _, index = track.partition(":")
    return (head.isidentifier() and index.isdigit()) or name.replace(";", ",") == track.replace(";", ",")
