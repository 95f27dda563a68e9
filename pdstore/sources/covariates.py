"""Covariates of people: in rows or in columns, as TSV or CSV."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import InputError
from pdstore.sources.expression import table_rows
from pdstore.sources.text import existing_file


@dataclass(frozen=True)
class Covariates:
    """Covariates of the people of a store.

    Attributes
    ----------
    names : tuple of str
        What they are called.
    values : ndarray of float64, shape (people, covariates)
        No NaN.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]


def read_covariates(path: Path, people: Sequence[str]) -> Covariates:
    """Read covariates.

    Parameters
    ----------
    path : Path
        People by covariates, or covariates by people as QTL tools have them, with a header; tab- or comma-separated;
        gzipped or not. Every value is a number: code categories as columns of 0 and 1.
    people : sequence of str
        Names, in this file, of the people who are needed.

    Raises
    ------
    InputError
        Someone has no row, a value is missing or no number, a column does not vary, or a name stands there twice:
        with file and line, never with a person's name.
    """
    existing_file(path, "covariates")
    rows = list(table_rows(path, "covariates"))
    if not rows or len(rows[0][1]) < 2:
        raise InputError(f"covariates {path}: no header with several columns in line 1; is it tab- or comma-separated?")
    (_, header), *body = rows
    wanted = set(people)
    in_columns = len(wanted & set(header[1:])) > len(wanted & {fields[0] for _, fields in body})
    found = header[1:] if in_columns else [fields[0] for _, fields in body]
    names = [fields[0] for _, fields in body] if in_columns else header[1:]
    place = {name: index for index, name in enumerate(found)}
    missing = len(wanted - set(place))
    if missing:
        raise InputError(
            f"covariates {path}: {missing:,} of the {len(people):,} people with genotypes and expression are not in "
            "it; leave these people out of the expression, or add them here"
        )
    if len(place) != len(found):
        raise InputError(f"covariates {path}: a person stands there twice")
    for name in names:
        if not name or names.count(name) > 1:
            what = f"{name!r} stands there twice" if name else "a covariate has no name"
            raise InputError(f"covariates {path}: {what}")
    values = np.empty((len(people), len(names)))
    for row, person in enumerate(people):
        for column in range(len(names)):
            across, down = (place[person], column) if in_columns else (column, place[person])
            line, fields = body[down]
            values[row, column] = _number(path, line, across + 2, fields[across + 1], names[column])
    for column, name in enumerate(names):
        if np.ptp(values[:, column]) == 0:
            raise InputError(f"covariates {path}: {name!r} is {values[0, column]:g} in everybody; leave it out")
    return Covariates(tuple(names), values)


def _number(path: Path, line: int, column: int, text: str, name: str) -> float:
    try:
        value = float(text.replace("_", "?"))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        # Not the value itself: it is a person's.
        raise InputError(
            f"covariates {path}, line {line}, column {column}: {name!r} is no number there; code categories as columns "
            "of 0 and 1, and give a value for everybody"
        )
    return value
