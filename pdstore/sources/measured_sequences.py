"""Sequences and their measured expression, as reporter assays give them: a table without header."""

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import InputError, UsageError
from pdstore.sources.text import existing_file, read_lines

_OTHER = re.compile(r"[^ACGTN]")


class MeasuredSequences(NamedTuple):
    """What a file has.

    Attributes
    ----------
    letters : ndarray of uint8, shape (sequences, positions)
        ASCII A, C, G, T and N; N is also what lies before a sequence that is shorter.
    expression : ndarray of float64, shape (sequences,)
        Measured.
    fold : ndarray of object (str), shape (sequences,), or None
        The third column, where there is one.
    shorter : int
        Sequences with N before them.
    """

    letters: NDArray[np.uint8]
    expression: NDArray[np.float64]
    fold: NDArray[np.object_] | None
    shorter: int = 0


def read_measured_sequences(
    path: Path, window: int | None = None, upstream: str = "", highest: float = math.inf
) -> MeasuredSequences:
    """Read a table of sequences.

    Parameters
    ----------
    path : Path
        Tab-separated, gzipped or not, no header: sequence of A, C, G, T, N; expression; and, in all lines or in none,
        a fold.
    window : int, optional
        Bases of each sequence that are kept: the last ones. Without it all sequences must have one length.
    upstream : str
        Bases that stand before every sequence, as those of a plasmid do.
    highest : float
        The highest expression that there may be; the lowest is then 0. Any number by default.

    Raises
    ------
    InputError
        A line that is none, with its number: other letters, a length that differs, no number, columns.
    UsageError
        `upstream` or `window` cannot be.
    """
    if _OTHER.search(upstream):
        raise UsageError(f"--upstream has {_OTHER.search(upstream)[0]!r}: expected A, C, G, T and N")  # type: ignore[index]
    rows: list[bytes] = []
    expression, folds = [], []
    columns = 0
    for number, line in read_lines(existing_file(path, "sequences")):
        where = f"sequences {path}, line {number}"
        if not line.strip():
            raise InputError(f"{where}: is empty")
        fields = line.split("\t")
        if len(fields) not in (2, 3) or (columns and len(fields) != columns):
            expected = f"{columns} as before" if columns else "2 or 3: sequence, expression, fold"
            commas = "; separate them by tabs, not commas" if len(fields) == 1 and "," in line else ""
            raise InputError(f"{where}: {len(fields)} columns separated by tabs, expected {expected}{commas}")
        columns = len(fields)
        sequence = fields[0]
        other = _OTHER.search(sequence)
        if other is not None:
            hint = "; make it upper case" if other[0].upper() in "ACGTN" else ""
            if number == 1 and not _is_number(fields[1]):
                hint = "; there must be no header"
            raise InputError(f"{where}, base {other.start() + 1}: {other[0]!r}, expected A, C, G, T or N{hint}")
        if not sequence:
            raise InputError(f"{where}: no sequence")
        if window is None and rows and len(sequence) != len(rows[0]):
            raise InputError(
                f"{where}: {len(sequence):,} bases, but line 1 has {len(rows[0]):,}; with --window the last so many "
                "are kept, and --upstream or N stands before those that are shorter"
            )
        rows.append(sequence.encode())
        expression.append(_expression(fields[1], highest, where))
        folds.append(fields[2].strip() if columns == 3 else "")
    if not rows:
        raise InputError(f"sequences {path}: is empty")
    kept = window or len(upstream) + len(rows[0])
    return MeasuredSequences(
        letters=_aligned(rows, upstream.encode(), kept),
        expression=np.array(expression),
        fold=np.array(folds, dtype=object) if columns == 3 else None,
        shorter=sum(len(upstream) + len(row) < kept for row in rows),
    )


def _expression(text: str, highest: float, where: str) -> float:
    if not _is_number(text) or not math.isfinite(float(text)):
        raise InputError(f"{where}: expression {text[:30]!r} is not a number; leave what is not measured out")
    value = float(text)
    if highest < math.inf and not 0 <= value <= highest:
        raise InputError(
            f"{where}: expression {text} is not one of the yeast's classes, 0 to {highest:.0f}: train with --final "
            "value"
        )
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _aligned(rows: list[bytes], upstream: bytes, window: int) -> NDArray[np.uint8]:
    """The last bases of each, with what stands before them: uint8, shape (rows, window)."""
    letters = np.full((len(rows), window), ord("N"), dtype=np.uint8)
    for row, sequence in zip(letters, rows, strict=True):
        kept = (upstream + sequence)[-window:]
        row[window - len(kept) :] = np.frombuffer(kept, np.uint8)
    return letters
