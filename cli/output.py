"""What all commands print alike. Results go to stdout, everything else to stderr."""

import sys
import unicodedata
from enum import StrEnum
from typing import Annotated

import typer

StoreOption = Annotated[
    str, typer.Option("--store", "-s", envvar="PDSTORE_STORE", help="The store.", show_default=True, metavar="STORE")
]
DEFAULT_STORE = "./pdstore.zarr"


class Format(StrEnum):
    """How an answer is printed."""

    table = "table"
    json = "json"
    csv = "csv"


def plain(text: str) -> str:
    """Text without control characters: a name in a shared store must not steer a terminal."""
    return "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in text)


def note(message: str) -> None:
    """Tell the user something that is no result."""
    print(f"pdstore: {plain(message)}", file=sys.stderr)


def number(value: float | int | None, digits: int = 3) -> str:
    """A number for a person; a dash where the store has none."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    if value != 0 and abs(value) < 10**-digits:
        return f"{value:.1e}"
    return f"{value:.{digits}f}"


_SIZE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(number_of_bytes: float) -> str:
    """Bytes for a person."""
    for unit in _SIZE_UNITS:
        if number_of_bytes < 1000 or unit == _SIZE_UNITS[-1]:
            return f"{number_of_bytes:.0f} {unit}" if unit == "B" else f"{number_of_bytes:.1f} {unit}"
        number_of_bytes /= 1000
    raise AssertionError("the last unit takes every size")
