"""Find where a store lies by its URL."""

import os
import zipfile
from pathlib import Path

from pdstore.errors import StoreError
from pdstore.location.local import Folder, Zip
from pdstore.location.protocol import Location


def names_location(text: str) -> bool:
    """Whether a text is a URL, or a folder or file that is there, rather than a name of something else."""
    return "://" in text or os.path.exists(text)


def require_no_url(store: str | Path) -> None:
    """Raise `StoreError` where a URL is given for a store that is to be written to."""
    if "://" in str(store):
        raise StoreError(f"store {store}: only a store in a folder can be written to")


def absolute(url: str | Path) -> str:
    """Where a store lies, as a process in another folder names it."""
    return str(url) if "://" in str(url) else str(Path(url).absolute())


def locate(url: str | Path, cache: Path | None = None) -> Location:
    """Where a store lies.

    Parameters
    ----------
    url : str or Path
        A folder, a ``.zarr.zip``, ``https://…``, ``http://…`` or ``s3://bucket/prefix``.
    cache : Path, optional
        Folder that keeps what is read of a remote store.

    Raises
    ------
    StoreError
        There is nothing of the kind.
    """
    text = str(url)
    if "://" in text:
        # Imported here: who reads a folder needs no client of web servers.
        from pdstore.location.remote import Cached, Remote

        if text.endswith(".zip"):
            raise StoreError(f"store {text}: a zip file is read on this machine only: download it first")
        remote = Remote(text)
        return remote if cache is None else Cached(remote, cache)
    if os.path.isfile(text):
        if not zipfile.is_zipfile(text):
            raise StoreError(f"store {text}: is a file, but no zip file, or one that is cut off; get it again")
        return Zip(text)
    if not os.path.isdir(text):
        raise StoreError(f"store {text}: no such folder; make a store with pdstore init, or name another with --store")
    return Folder(text)
