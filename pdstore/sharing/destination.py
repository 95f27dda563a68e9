"""Where a store is published to: a new folder, a new zip file, or a prefix in S3. What is there at the end is whole."""

import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from pdstore.errors import RemoteError, StoreError, UsageError
from pdstore.lease import held_lease
from pdstore.location.manifest import MANIFEST
from pdstore.sharing.page import content_type
from pdstore.sources.text import new_file
from pdstore.store import check_new_store, new_store

Put = Callable[[str, bytes], None]
"""Takes a file's key, relative to the root, and its bytes."""

_AT_ONCE, _DELETED_AT_ONCE = 16, 1_000
_REMOVING = "removing {}, which a publication left that was killed"
_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip file can tell: the same store makes the same bytes."""


def destination(url: str, step: Callable[[str], None]) -> AbstractContextManager[Put]:
    """Where files are put; they appear under `url` when the context ends, and not at all when it fails.

    In S3 they appear one by one, the manifest last. Give the root's metadata next to last: until then it is no store.
    What a kill left of another publication to the same folder or file is removed; `step` is told.

    Raises
    ------
    StoreError
        Something else is there already.
    UsageError
        It is a URL to which nothing can be published.
    LeaseError
        Another publication to the same place still runs.
    """
    if url.startswith("s3://"):
        return _in_s3(url)
    if "://" in url:
        raise UsageError(f"{url}: publish to a folder, a .zarr.zip or s3://…; a folder can be copied to a web server")
    return _in_zip(Path(url), step) if url.endswith(".zip") else _in_folder(Path(url), step)


@contextmanager
def _in_folder(path: Path, step: Callable[[str], None]) -> Iterator[Put]:
    check_new_store(path)
    # Whoever publishes to the same place holds its lease: what else is there was left by a kill.
    with held_lease(str(path), "publish"), new_store(path, "publish") as (building, _, leftovers):
        for leftover in leftovers:
            step(_REMOVING.format(leftover))
            shutil.rmtree(leftover)

        def put(key: str, content: bytes) -> None:
            file = building / key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

        yield put


@contextmanager
def _in_zip(path: Path, step: Callable[[str], None]) -> Iterator[Put]:
    check_new_store(path)
    with held_lease(str(path), "publish"), new_file(path) as partial:
        for leftover in sorted(path.absolute().parent.iterdir()):
            if re.fullmatch(rf"\.{re.escape(path.name)}\.[0-9a-f]{{32}}\.partial", leftover.name):
                step(_REMOVING.format(leftover))
                leftover.unlink()
        # Nobody else reads what is not whole yet.
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL, 0o600))
        yield from _in_zip_at(partial)
        partial.chmod(0o666 & ~_umask())


def _in_zip_at(partial: Path) -> Iterator[Put]:
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as file:

        def put(key: str, content: bytes) -> None:
            entry = zipfile.ZipInfo(key, _TIME)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            file.writestr(entry, content)

        yield put


@contextmanager
def _in_s3(url: str) -> Iterator[Put]:
    # Imported here: who publishes to a folder needs no client of S3.
    import obstore
    from obstore.exceptions import BaseError

    from pdstore.location.remote import object_store, reason

    files: Any = object_store(url)
    try:
        there = next(iter(obstore.list(files, chunk_size=1)), [])
    except (BaseError, OSError) as error:
        raise RemoteError(f"{url} cannot be listed: {reason(error)}") from error
    if there:
        raise StoreError(
            f"{url}: files are there already, such as {there[0]['path']}; remove them first, or publish to an empty "
            "prefix"
        )
    put_there: list[str] = []
    running: set[Future[Any]] = set()

    def settle(most: int) -> None:
        while len(running) > most:
            done, _ = wait(running, return_when="FIRST_COMPLETED")
            running.difference_update(done)
            for future in done:
                future.result()

    with ThreadPoolExecutor(_AT_ONCE) as pool:

        def put(key: str, content: bytes) -> None:
            # The manifest says that the rest is there.
            settle(0 if key == MANIFEST else _AT_ONCE - 1)
            put_there.append(key)
            running.add(pool.submit(obstore.put, files, key, content, attributes={"Content-Type": content_type(key)}))

        try:
            yield put
            settle(0)
        except BaseException as error:
            wait(running)
            for first in range(0, len(put_there), _DELETED_AT_ONCE):
                obstore.delete(files, put_there[first : first + _DELETED_AT_ONCE])
            if isinstance(error, BaseError):
                raise RemoteError(f"{url} cannot be written to: {reason(error)}") from error
            raise


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
