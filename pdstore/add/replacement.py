"""A grown store is made beside the old one, of which it takes over the files, and takes its place when it is whole."""

import ctypes
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pdstore.counts import Counts
from pdstore.errors import StoreError
from pdstore.lease import check_lease, held_lease
from pdstore.location.local import Folder
from pdstore.location.locate import locate
from pdstore.store import Store, open_store

_REPLACED = "replaced"
"""Where the old store lies, in the hidden folder beside it, between two renames."""


@contextmanager
def replaced_store(url: str, added: Counts) -> Iterator[tuple[Store, Path, Path]]:
    """A store, and the store that takes its place where no error is raised.

    A kill leaves the old store or the new one, whole; what else it leaves, the next call removes.

    Parameters
    ----------
    url : str
        Folder of the store.
    added : Counts
        Told of what a kill left, and of what was done with it.

    Yields
    ------
    Store
        The old store, which nobody else may write to.
    Path
        Where the new store is to be made.
    Path
        A folder for temporary files, on the same file system.

    Raises
    ------
    LeaseError
        Somebody else writes to the store.
    StoreError
        There is no store, or it is no full one in a folder.
    """
    folder = Path(url).resolve()
    # A kill may have taken the store from its place.
    if not _leftovers(folder) and not isinstance(locate(url, None), Folder):
        raise StoreError(f"store {url}: only a store in a folder can be written to")
    with held_lease(str(folder), "add") as lease:
        _clean_up(folder, added)
        store = open_store(folder, "r+", lease)
        store.require_people()
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.add-", dir=folder.parent) as scratch:
            grown = Path(scratch) / "grown"
            yield store, grown, Path(scratch)
            _keep_other_files(store, grown)
            check_lease(str(folder), lease)
            _replace(folder, grown, Path(scratch))


def _leftovers(folder: Path) -> list[Path]:
    """Hidden folders that killed runs left beside a store."""
    return sorted(folder.parent.glob(f".{glob.escape(folder.name)}.add-*"))


def _clean_up(folder: Path, added: Counts) -> None:
    """Remove what a kill left, or put back what it took away."""
    for leftover in _leftovers(folder):
        if (leftover / _REPLACED).is_dir() and not folder.exists():
            os.rename(leftover / _REPLACED, folder)
            added.notes.append(f"{folder} was put back in its place: another add was killed while it replaced it")
        shutil.rmtree(leftover)
        added.notes.append(f"removed {leftover}, which another add left that was killed")


def _keep_other_files(store: Store, grown: Path) -> None:
    """Take over files in the store's folder that are no part of it: somebody put them there."""
    for key in store.location.sizes():
        if not key.endswith("zarr.json") and "/c/" not in key:
            (grown / key).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(store.url) / key, grown / key)


def _replace(folder: Path, grown: Path, scratch: Path) -> None:
    """Put the grown store in place of the old one, at once where the system can."""
    if _exchanged(folder, grown):
        return
    os.rename(folder, scratch / _REPLACED)
    os.rename(grown, folder)


def _exchanged(first: Path, second: Path) -> bool:
    """Exchange two names, as renameat2 of Linux does; False where there is no such thing."""
    here, exchange = -100, 2
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    failed: int = renameat2(here, os.fsencode(first), here, os.fsencode(second), exchange)
    return not failed
