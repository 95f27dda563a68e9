"""Read many selections of a store's arrays at once: what is not there, damaged or absurd is an error and no number."""

import asyncio
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.indexing import BasicIndexer
from zarr.storage import StorePath, WrapperStore

from pdstore.errors import DamagedDataError, MissingDataError
from pdstore.schema import group_schemas

_LARGEST_READ = 8 << 30
"""Bytes, at most, of what is read at once, and of a chunk: metadata of a damaged or hostile store may ask for more."""

_MOST_CHUNKS = 10_000_000
"""Chunks, at most, of what is read at once."""

NO_METADATA = (ValueError, TypeError, AttributeError, RecursionError)
"""What Zarr says of metadata that are cut off, or not its own."""


def read_selections(
    root: zarr.Group, url: str, selections: Mapping[str, Any], may_be_unfilled: bool
) -> dict[str, NDArray[Any] | None]:
    """`pdstore.store.read_together`, of the store at `url` whose root group is `root`."""

    async def read(path: str, selection: Any) -> NDArray[Any] | None:
        with metadata_damage_named(url, path):
            try:
                array = await root._async_group.getitem(path)
            except KeyError:
                return None
        if not isinstance(array, zarr.AsyncArray):
            return None
        _refuse_absurd(url, path, array.metadata, selection)
        if not may_be_unfilled:
            of_files = StorePath(_Strict(array.store_path.store, url), array.store_path.path)
            array = replace(array, store_path=of_files)
        with _damage_named(url, path):
            return np.asarray(await array.getitem(selection))

    async def gather(items: Iterable[tuple[str, Any]]) -> list[NDArray[Any] | BaseException | None]:
        return await asyncio.gather(*(read(path, selection) for path, selection in items), return_exceptions=True)

    values: dict[str, NDArray[Any] | None] = {}
    for path, value in zip(selections, zarr.core.sync.sync(gather(selections.items())), strict=True):
        if isinstance(value, BaseException):
            raise value
        values[path] = value
    return values


@contextmanager
def metadata_damage_named(url: str, path: str) -> Iterator[None]:
    """Say whose metadata cannot be read."""
    try:
        yield
    except NO_METADATA as error:
        raise DamagedDataError(
            f"store {url}: the metadata of {path} are damaged; get the store again from a copy"
        ) from error


@contextmanager
def _damage_named(url: str, path: str) -> Iterator[None]:
    """Say which array cannot be decoded: Zarr says only that a checksum differs."""
    try:
        yield
    except (ValueError, RuntimeError, MemoryError) as error:
        raise DamagedDataError(
            f"store {url}: {path} is damaged ({str(error).split('.')[0]}); get the store again from a copy, or "
            "make and fill it again"
        ) from error


def how_to_mend(path: str) -> str:
    """What to do where something of a path is missing: most groups are filled, the others are made by init."""
    parent = path.split("/")[0]
    is_filled = any(schema.path.startswith(f"{parent}/{{") for schema in group_schemas())
    return f"run pdstore {'fill' if is_filled else 'init'}, or get the store again from a copy"


class _Strict(WrapperStore[Any]):
    """Files that must be there: Zarr would read a chunk that is not as its fill value."""

    def __init__(self, store: Any, url: str) -> None:
        super().__init__(store)
        self._url = url

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        found: Buffer | None = await self._store.get(key, prototype, byte_range)
        if found is None:
            raise MissingDataError(f"store {self._url}: {key} is not filled, or was lost; {how_to_mend(key)}")
        return found


def _refuse_absurd(url: str, path: str, metadata: Any, selection: Any) -> None:
    """Raise `DamagedDataError` of a selection that no store of ours has, before memory is taken for it."""
    indexer = BasicIndexer(selection, metadata.shape, metadata.chunk_grid)
    item = np.dtype(metadata.dtype.to_native_dtype()).itemsize
    chunk = math.prod(metadata.chunk_grid.chunk_shape)
    chunks = math.prod(int(getattr(dim, "nchunks", 1)) for dim in indexer.dim_indexers)
    if max(math.prod(indexer.shape), chunk) * item > _LARGEST_READ or chunks > _MOST_CHUNKS:
        raise DamagedDataError(
            f"store {url}: {path} claims shape {metadata.shape} in chunks of {metadata.chunk_grid.chunk_shape}, which "
            "no store has; get the store again from its publisher"
        )
