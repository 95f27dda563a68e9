"""Files: text, gzipped or not, line by line, and new ones, whole or not at all; what is wrong is said in a line."""

import gzip
import hashlib
import os
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pdstore.errors import InputError, UsageError


def existing_file(path: Path, what: str) -> Path:
    """`path`, if it is a file; raises `InputError` where it is not."""
    if path.is_dir():
        raise InputError(f"{what} {path}: is a folder, not a file")
    if not path.is_file():
        raise InputError(f"{what} {path}: no such file")
    return path


def check_new_file(path: Path) -> None:
    """Raise `UsageError` where a file cannot be made: something is there, or there is no folder for it."""
    if os.path.lexists(path):
        raise UsageError(f"{path} exists already; name another file, or remove it first")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent} to put it in")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Where a new file is written: hidden beside `path`, whose name it gets when it is whole."""
    check_new_file(path)
    with _partial(path) as partial:
        yield partial
        try:
            # Unlike a rename, it replaces nothing that somebody made meanwhile.
            os.link(partial, path)
        except FileExistsError:
            check_new_file(path)
            raise
        except OSError:
            # Some file systems have no links.
            os.rename(partial, path)


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """The same of a file that may replace one."""
    with _partial(path) as partial:
        yield partial
        os.replace(partial, path)


@contextmanager
def _partial(path: Path) -> Iterator[Path]:
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def is_gzip(path: Path) -> bool:
    """Whether a file begins like gzip, whatever its name says."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a text file.

    Parameters
    ----------
    path : Path
        Plain or gzipped.

    Yields
    ------
    (int, str)
        1-based line number, and the line without its end.

    Raises
    ------
    InputError
        The gzip stream is damaged or ends early, or the file is not UTF-8 text.
    """
    number = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8-sig") if is_gzip(path) else path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                yield number, line.rstrip("\r\n")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: truncated or damaged gzip file after line {number}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file (line {number + 1} is not UTF-8)") from error
