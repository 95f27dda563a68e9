"""A published store on a web server, or in S3; and what is kept of it here."""

import hashlib
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.sync import sync
from zarr.storage import ObjectStore, WrapperStore

from pdstore.errors import RemoteError, StoreError, UsageError
from pdstore.location.keys import below, chunks_of, is_safe_key, is_whole
from pdstore.location.manifest import LARGEST_MANIFEST, MANIFEST, Manifest, parse_manifest
from pdstore.location.protocol import read_file
from pdstore.sources.text import replacing_file

if TYPE_CHECKING:
    from obstore.store import HTTPStore, S3Store

ROOT = "zarr.json"
"""Key of the root's metadata."""

LARGEST_FILE = 1 << 30
"""Bytes of a file of a store, at most: a longer one is refused before it is read."""

_PIECE = 1 << 20
_PATIENCE: Any = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=30),
    "timeout": timedelta(days=1),
}
"""A file may take long, as long as bytes arrive."""
_LONGEST_REASON = 200
"""Letters of what obstore says."""
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


class Remote:
    """A published store on a web server, or in S3.

    A web server may redirect what is asked of it to any other address, and that is asked then: obstore has no option
    against it. So whoever runs the server can have this machine send GET requests, without a password, to machines that
    only this one reaches. What they answer is read as Zarr, or refused, and sent to nobody.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._files = object_store(url)

    @property
    def url(self) -> str:
        return self._url

    def zarr_store(self, read_only: bool) -> Store:
        return _RemoteStore(self._files, self._url)

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest, read once."""
        return parse_manifest(sync(read_file(self, MANIFEST, LARGEST_MANIFEST)), self._url)

    def sizes(self, path: str = "") -> Mapping[str, int]:
        return below({key: record.size for key, record in self.manifest.files.items()}, path)

    def chunks(self, path: str, grid: tuple[int, ...]) -> dict[tuple[int, ...], int]:
        return chunks_of(self.sizes(f"{path}/c"), path, grid)

    async def pieces(self, key: str) -> AsyncIterator[bytes]:
        try:
            found = await obstore.get_async(self._files, key)
            async for piece in found.stream(min_chunk_size=_PIECE):
                yield bytes(piece)
        except BaseError as error:
            raise _remote_error(self._url, key, error) from error

    def digest(self, key: str) -> str | None:
        record = self.manifest.files.get(key)
        return None if record is None else record.sha256


class Cached:
    """A remote store whose files are kept in a folder once they were read.

    The folder is named by URL and root metadata, which are always asked for and hold a digest of all the rest: what is
    published anew under the same URL is read anew.
    """

    def __init__(self, remote: Remote, folder: Path) -> None:
        self._remote = remote
        self._folder = folder

    @property
    def url(self) -> str:
        return self._remote.url

    def zarr_store(self, read_only: bool) -> Store:
        root = sync(read_file(self._remote, ROOT, LARGEST_FILE))
        folder = self._folder / hashlib.sha256(self.url.encode() + b"\n" + root).hexdigest()
        try:
            # Of a full store it holds people's genotypes.
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise UsageError(f"cache {self._folder}: is no folder that can be written to ({error.strerror})") from error
        return _CachingStore(self._remote.zarr_store(read_only), folder, root)

    def sizes(self, path: str = "") -> Mapping[str, int]:
        return self._remote.sizes(path)

    def chunks(self, path: str, grid: tuple[int, ...]) -> dict[tuple[int, ...], int]:
        return self._remote.chunks(path, grid)

    def pieces(self, key: str) -> AsyncIterator[bytes]:
        return self._remote.pieces(key)

    def digest(self, key: str) -> str | None:
        return self._remote.digest(key)


def object_store(url: str) -> "HTTPStore | S3Store":
    """The files below a URL, by obstore. S3 is asked with the credentials of the environment, without them as public.

    Raises
    ------
    StoreError
        The URL is of another kind, or has what does not belong in one.
    """
    from obstore import store

    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise StoreError(f"store {url}: is no URL ({error})") from error
    if parts.scheme not in ("http", "https", "s3") or not parts.netloc:
        raise StoreError(f"store {url}: is no folder, .zarr.zip, https:// or s3:// that can be opened")
    if "@" in parts.netloc or parts.query:
        host = parts.netloc.rpartition("@")[2]
        raise StoreError(
            f"store {parts.scheme}://{host}{parts.path}: a store's URL has no password and no ?…; credentials of S3 "
            "are taken from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
        )
    retry: Any = {
        "max_retries": 4,
        "retry_timeout": timedelta(seconds=60),
        "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=5), "base": 2},
    }
    if parts.scheme == "s3" and (parts.fragment or "%" in url or not is_safe_key(parts.path.strip("/") or "root")):
        raise StoreError(f"store {url}: a prefix in S3 has no #, no %, and no empty, . or .. part here")
    # What a browser's address bar shows of the same store.
    path = parts.path.removesuffix("/index.html").rstrip("/")
    where = f"{parts.scheme}://{parts.netloc}{path}"
    options: Any = {"allow_http": True, **_PATIENCE}
    try:
        if parts.scheme != "s3":
            return store.HTTPStore(where, client_options=options, retry_config=retry)
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3", os.environ.get("AWS_ENDPOINT_URL", ""))
        anonymous = {"skip_signature": True} if not any(os.environ.get(name) for name in _CREDENTIALS) else {}
        return store.S3Store.from_url(
            where,
            client_options=options | {"allow_http": endpoint.startswith("http://")},
            retry_config=retry,
            **anonymous,  # type: ignore[arg-type]
        )
    except (BaseError, ValueError) as error:
        raise StoreError(f"store {url}: {reason(error)}") from error


class _RemoteStore(ObjectStore):  # type: ignore[type-arg]
    """Files of a server: its errors in a line, and nothing of absurd size."""

    def __init__(self, store: Any, url: str) -> None:
        super().__init__(store, read_only=True)
        self._url = url

    def with_read_only(self, read_only: bool = False) -> "_RemoteStore":
        return _RemoteStore(self.store, self._url)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        try:
            if byte_range is not None:
                return await super().get(key, prototype, byte_range)
            found = await obstore.get_async(self.store, key)
            if found.meta["size"] > LARGEST_FILE:
                raise StoreError(f"store {self._url}: {key} has {found.meta['size']:,} bytes: it is not read")
            return prototype.buffer.from_bytes(await found.bytes_async())  # type: ignore[arg-type]
        except FileNotFoundError:
            return None
        except BaseError as error:
            # S3 says so of what is not there, too, to those who may not list.
            if key != "zarr.json" and isinstance(error, PermissionError):
                return None
            raise _remote_error(self._url, key, error) from error


class _CachingStore(WrapperStore[Store]):
    """Files that are kept in a folder."""

    def __init__(self, store: Store, folder: Path, root: bytes) -> None:
        super().__init__(store)
        self._folder = folder
        self._root = root

    def _with_store(self, store: Store) -> "_CachingStore":
        return _CachingStore(store, self._folder, self._root)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        if byte_range is not None or not is_safe_key(key):
            return await self._store.get(key, prototype, byte_range)
        if key == ROOT:
            return prototype.buffer.from_bytes(self._root)
        kept = self._folder / key
        with suppress(FileNotFoundError):
            content = kept.read_bytes()
            if "/c/" not in key or is_whole(content):
                return prototype.buffer.from_bytes(content)
        found = await self._store.get(key, prototype)
        if found is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            with replacing_file(kept) as partial:
                partial.write_bytes(found.to_bytes())
        return found


def _remote_error(url: str, key: str, error: Exception) -> StoreError | FileNotFoundError:
    if isinstance(error, FileNotFoundError):
        return error
    if isinstance(error, PermissionError) or "403" in str(error):
        return RemoteError(f"store {url}: no permission to read {key}")
    return RemoteError(f"store {url}: {key} cannot be read: {reason(error)}")


def reason(error: Exception) -> str:
    """What went wrong with a server, in a line; obstore tells it in many."""
    told = " ".join(str(error).split())
    if "error sending request" in told:
        return "the server does not answer: no such host, no connection, or no TLS where https is asked for"
    said = [match[1] for match in re.finditer(r"<(?:Code|Message)>([^<]*)<", told)]
    status = re.search(r"status code: (\d+ [A-Z][A-Za-z ]*)", told)
    if status or said:
        return ": ".join([f"the server answers {status[1].strip()}" if status else "the server says", *said])
    return told.split(" Debug source")[0][:_LONGEST_REASON]
