"""What all commands print alike. Results go to stdout, everything else to stderr."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from pdstore.words import plain

StoreOption = Annotated[
    str, typer.Option("--store", "-s", envvar="PDSTORE_STORE", help="The store.", show_default=True, metavar="STORE")
]
DEFAULT_STORE = "./pdstore.zarr"


class Format(StrEnum):
    """How an answer is printed."""

    table = "table"
    json = "json"
    csv = "csv"


def note(message: str) -> None:
    """Tell the user something that is no result."""
    print(f"pdstore: {plain(message)}", file=sys.stderr)


_SIZE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(number_of_bytes: float) -> str:
    """Bytes for a person."""
    for unit in _SIZE_UNITS:
        if number_of_bytes < 1000 or unit == _SIZE_UNITS[-1]:
            return f"{number_of_bytes:.0f} {unit}" if unit == "B" else f"{number_of_bytes:.1f} {unit}"
        number_of_bytes /= 1000
    raise AssertionError("the last unit takes every size")
