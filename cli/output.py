"""What all commands print alike. Results go to stdout, everything else to stderr."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pdstore.words import plain

StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        "-s",
        envvar="PDSTORE_STORE",
        help="The store: a folder, .zarr.zip, https:// or s3://.",
        show_default=True,
        metavar="STORE",
    ),
]


def _folder(store: str) -> str:
    from pdstore.location.locate import require_no_url

    require_no_url(store)
    return store


FolderOption = Annotated[
    str,
    typer.Option(
        "--store",
        "-s",
        envvar="PDSTORE_STORE",
        help="The store: a folder.",
        show_default=True,
        metavar="STORE",
        callback=_folder,
    ),
]
"""Of commands that write to the store."""

DEFAULT_STORE = "./pdstore.zarr"
CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache", envvar="PDSTORE_CACHE", help="Keep what is read of a remote store in this folder.", metavar="DIR"
    ),
]


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
