"""Where a store is published to: a new folder, a new zip file, or a prefix in S3. What is there at the end is whole."""

import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from pdstore.errors import RemoteError, StoreError, UsageError
from pdstore.location.manifest import MANIFEST
from pdstore.sharing.page import content_type
from pdstore.sources.text import new_file
from pdstore.store import new_store

Put = Callable[[str, bytes], None]
"""Takes a file's key, relative to the root, and its bytes."""

_AT_ONCE, _DELETED_AT_ONCE = 16, 1_000
_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip file can tell: the same store makes the same bytes."""


def destination(url: str) -> AbstractContextManager[Put]:
    """Where files are put; they appear under `url` when the context ends, and not at all when it fails.

    In S3 they appear one by one, the manifest last. Give the root's metadata next to last: until then it is no store.

    Raises
    ------
    StoreError
        Something else is there already.
    UsageError
        It is a URL to which nothing can be published.
    """
    if url.startswith("s3://"):
        return _in_s3(url)
    if "://" in url:
        raise UsageError(f"{url}: publish to a folder, a .zarr.zip or s3://…; a folder can be copied to a web server")
    return _in_zip(Path(url)) if url.endswith(".zip") else _in_folder(Path(url))


@contextmanager
def _in_folder(path: Path) -> Iterator[Put]:
    with new_store(path, "publish") as (building, _, _):

        def put(key: str, content: bytes) -> None:
            file = building / key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

        yield put


@contextmanager
def _in_zip(path: Path) -> Iterator[Put]:
    with new_file(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as file:

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

    from pdstore.location.remote import first_line, object_store

    files: Any = object_store(url)
    try:
        there = next(iter(obstore.list(files, chunk_size=1)), [])
    except (BaseError, OSError) as error:
        raise RemoteError(f"{url} cannot be listed: {first_line(error)}") from error
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
                raise RemoteError(f"{url} cannot be written to: {first_line(error)}") from error
            raise
