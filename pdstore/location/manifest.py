"""The manifest of a published store: every file with its size and digest."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pdstore.errors import DamagedDataError
from pdstore.location.keys import is_safe_key

MANIFEST = "manifest.json"
"""Key of the manifest; the one file that it does not list."""

LARGEST_MANIFEST = 1 << 28
"""Bytes; a longer one is not read."""

_VERSION = 1


@dataclass(frozen=True)
class FileRecord:
    """What a file is to be.

    Attributes
    ----------
    size : int
        Bytes.
    sha256 : str
        Hexadecimal.
    """

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What was published.

    Attributes
    ----------
    described : mapping
        What it is of: level, formats, versions, digests of the inputs, options.
    files : mapping of str to FileRecord
        Key, relative to the store's root → the file.
    """

    described: Mapping[str, Any]
    files: Mapping[str, FileRecord]

    def to_bytes(self) -> bytes:
        """The manifest as JSON, the same bytes for the same content."""
        files = {key: {"size": of.size, "sha256": of.sha256} for key, of in sorted(self.files.items())}
        document = {"pdstore_manifest": _VERSION, **self.described, "files": files}
        return (json.dumps(document, indent=0, allow_nan=False, ensure_ascii=False) + "\n").encode()


def parse_manifest(content: bytes, url: str) -> Manifest:
    """The manifest of a store; raises `DamagedDataError` where it is none, and says why.

    Parameters
    ----------
    content : bytes
        Of the file.
    url : str
        Of the store, for the message.
    """

    def no(why: str) -> DamagedDataError:
        return DamagedDataError(f"store {url}: {MANIFEST} {why}; get the store again from its publisher")

    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise no("is cut off, or no JSON") from error
    if not isinstance(document, dict) or not isinstance(document.get("files"), dict):
        raise no("lists no files")
    version = document.pop("pdstore_manifest", None)
    if version != _VERSION:
        raise no(f"has version {version!r}, but this pdstore reads version {_VERSION}")
    files = {}
    for key, record in document.pop("files").items():
        if not is_safe_key(key):
            raise no(f"names {key!r}, which lies outside the store")
        size, sha256 = (record.get(what) for what in ("size", "sha256")) if isinstance(record, dict) else (None, None)
        if type(size) is not int or size < 0 or not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
            raise no(f"has no size and SHA-256 of {key!r}")
        files[key] = FileRecord(size, sha256)
    return Manifest(document, files)
