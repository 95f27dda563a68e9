"""A store: a Zarr v3 hierarchy, its groups as zarr or as xarray Datasets."""

import asyncio
import glob
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import zarr
import zarr.api.asynchronous
from numpy.typing import NDArray
from zarr.core.indexing import BasicIndexer

from pdstore.errors import DamagedDataError, MissingDataError, ProvenanceError, StoreError
from pdstore.lease import check_lease
from pdstore.schema import FORMAT_VERSION, SUMMARY, create_array, group_schemas, schema_of

if TYPE_CHECKING:
    import xarray

Mode = Literal["r", "r+"]


# Attributes that record what happened, rather than what a group is made from: a newer pdstore may go on with a fill.
_RECORDS = ("pdstore_version", "order", "counts", "haplotypes_per_block", "variants_per_block")


class Store:
    """A pdstore store.

    Made by `open_store` or `create_store`.

    Attributes
    ----------
    url : str
        Where it lies.
    root : zarr.Group
        Its root group.
    lease : str or None
        Token of the lease under which it is written; nothing is written once that is lost. Without one, as in `init`
        and in notebooks, whoever writes sees to it that nobody else does.
    """

    def __init__(self, url: str, root: zarr.Group, lease: str | None = None) -> None:
        self.url = url
        self.root = root
        self.lease = lease

    def __repr__(self) -> str:
        return f"<pdstore.Store {self.url}: {', '.join(sorted(self.root.group_keys()))}>"

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the root: format, versions, provenance, counts."""
        return dict(self.root.attrs)

    @property
    def is_summary(self) -> bool:
        """Whether the store holds nobody's genotypes and expression, but what was found of them."""
        return self.root.attrs.get("level") == SUMMARY

    def require_people(self) -> None:
        """Raise `MissingDataError` where the store is a summary: nothing can be computed of it."""
        if self.is_summary:
            raise MissingDataError(
                f"store {self.url} is a summary, without people's genotypes and predictions; make a store of your own "
                "with pdstore init"
            )

    def group(self, path: str) -> zarr.Group:
        """A group as zarr; raises `MissingDataError` where the store has none of this path."""
        node = self._node(path)
        if not isinstance(node, zarr.Group):
            parent = path.rpartition("/")[0]
            others = ", ".join(f"{parent}/{name}" for name in self.members(parent)) if parent else ""
            held = f"it has {others}; " if others else ""
            raise MissingDataError(f"store {self.url} has no group {path}: {held}{_mend(path)}")
        return node

    def array(self, path: str) -> zarr.Array[Any]:
        """An array as zarr, set to write chunks even where they hold the fill value only.

        Zarr would otherwise delete such a chunk, and a chunk that exists is the mark of a block that is done.
        """
        node = self._node(path)
        if not isinstance(node, zarr.Array):
            raise MissingDataError(f"store {self.url} has no array {path}: {_mend(path)}")
        return node.with_config({"write_empty_chunks": True})

    def __contains__(self, path: str) -> bool:
        """Whether there is a group or an array of this path."""
        return self._node(path) is not None

    def _node(self, path: str) -> zarr.Group | zarr.Array[Any] | None:
        try:
            node: zarr.Group | zarr.Array[Any] | None = self.root.get(path)
        except (ValueError, KeyError, TypeError) as error:
            # What Zarr says of metadata that is cut off, or not its own.
            raise DamagedDataError(
                f"store {self.url}: the metadata of {path} are damaged; get the store again from a copy"
            ) from error
        return node

    def read(self, path: str, selection: Any = ...) -> NDArray[Any]:
        """Values of an array, or of a basic selection of it.

        Raises
        ------
        MissingDataError
            A chunk of it was never written, or is lost: its fill value is no data.
        DamagedDataError
            A checksum differs.
        """
        array = self.array(path)
        keys = _chunk_keys(path, array.shape, array.metadata, selection)
        _refuse_missing(self.url, keys, zarr.core.sync.sync(_exist(self.root.store, keys)))
        with _damage_named(self.url, path):
            return np.asarray(array[selection])

    def read_if_filled(self, path: str, selection: Any = ...) -> NDArray[Any]:
        """Like `read`, but what is not filled yet reads as the fill value: NaN, or -1."""
        with _damage_named(self.url, path):
            return np.asarray(self.array(path)[selection])

    def write(self, path: str, selection: Any, values: Any) -> None:
        """Write values of an array.

        Give whole chunks: of a part, Zarr reads the rest first, which may be what a kill left.

        Raises
        ------
        LeaseError
            The lease under which the store is written was lost.
        """
        self._check_lease()
        self.array(path)[selection] = values

    def delete(self, path: str) -> None:
        """Delete a group, an array's chunks (``path/c``) or those of a gene (``path/c/3``), if they are there.

        They vanish at once, by a new name outside the store, and are removed then.
        """
        self._check_lease()
        folder, store = Path(self.url, path), Path(self.url).resolve()
        removed = store.with_name(f".{store.name}.removed-{uuid.uuid4().hex}")
        if folder.is_dir():
            os.rename(folder, removed)
            shutil.rmtree(removed)

    def remove_leftovers(self) -> None:
        """Remove what a kill left of `delete`."""
        self._check_lease()
        store = Path(self.url).resolve()
        for folder in store.parent.glob(f".{glob.escape(store.name)}.removed-*"):
            shutil.rmtree(folder)

    def _check_lease(self) -> None:
        if self.lease is not None:
            check_lease(self.url, self.lease)

    def members(self, path: str) -> list[str]:
        """Names of the groups in a group, sorted; none where there is no such group."""
        node = self.root.get(path)
        return sorted(node.group_keys()) if isinstance(node, zarr.Group) else []

    def dataset(self, path: str) -> "xarray.Dataset":
        """A group as an xarray Dataset, read lazily."""
        import xarray

        self.group(path)
        dataset: xarray.Dataset = xarray.open_zarr(
            self.root.store, group=path, consolidated=False, zarr_format=3, chunks=None
        )
        return dataset

    def create_group(
        self, path: str, sizes: Mapping[str, int], attributes: Mapping[str, Any], without: Collection[str] = ()
    ) -> None:
        """Create a group and its arrays as schemas/ says, or hold the one that is there against `attributes`.

        May be called again after an interruption: what is missing is created, what is there stays.

        Parameters
        ----------
        path : str
            Path of the group.
        sizes : mapping of str to int
            Size of each dimension.
        attributes : mapping
            Attributes of the group: its provenance.
        without : collection of str
            Optional arrays that the group lacks.

        Raises
        ------
        ProvenanceError
            The group was made with other attributes; both values are named.
        """
        self._check_lease()
        schema = schema_of(path)
        node = self.root.get(path)
        if isinstance(node, zarr.Group) and node.attrs.keys():
            _check_provenance(path, node.attrs.asdict(), attributes)
            group = node
        else:
            # One write: a group never stands there without its attributes.
            group = self.root.create_group(path, attributes=dict(attributes), overwrite=isinstance(node, zarr.Group))
        for name, array in schema.arrays.items():
            if name not in group and name not in without:
                create_array(group, array, sizes, group.attrs.asdict())

    def set_attribute(self, path: str, name: str, value: Any) -> None:
        """Set one attribute of a group, in one write."""
        self.set_attributes(path, {name: value})

    def set_attributes(self, path: str, values: Mapping[str, Any]) -> None:
        """Set attributes of a group, all in one write."""
        self._check_lease()
        self.group(path).attrs.update(dict(values))

    def chunks_written(self, path: str) -> set[tuple[int, ...]]:
        """Grid coordinates of the chunks of an array that are in the store.

        Keys are parsed strictly: a kill leaves ``name.<uuid>.partial`` beside chunks, and an empty file is no chunk.
        """
        array = self.array(path)
        grid = tuple(-(-size // chunk) for size, chunk in zip(array.shape, array.chunks, strict=True))
        # Folders of the last dimensions hold one entry each, which is asked for by its name: a store of published size
        # has a hundred thousand of them.
        listed = max((dim + 1 for dim, number in enumerate(grid) if number > 1), default=1)
        return set(_chunks_below(Path(self.url, path, "c"), (), listed, len(grid)))

    def size_on_disk(self, path: str) -> int:
        """Bytes of all files below a path."""
        return sum(size for _, size in _files_with_size(Path(self.url, path)))


def genes_written(store: Store, path: str) -> set[int]:
    """Genes that are filled, by the array that says so: those whose first chunk is in the store."""
    return {chunk[0] for chunk in store.chunks_written(path) if not any(chunk[1:])}


def open_store(url: str | Path, mode: Mode = "r", lease: str | None = None) -> Store:
    """Open a store.

    Parameters
    ----------
    url : str or Path
        A folder.
    mode : {"r", "r+"}
        Read only, or read and write.
    lease : str, optional
        Token of the lease under which it is written.

    Returns
    -------
    Store

    Raises
    ------
    StoreError
        There is nothing at `url`, it is no pdstore store, or it has a format that this pdstore does not read.

    Examples
    --------
    >>> store = open_store("pdstore-demo/demo.zarr")  # doctest: +SKIP
    >>> store.dataset("genes")  # doctest: +SKIP
    """
    url = str(url)
    if "://" in url:
        raise StoreError(f"store {url}: this version opens folders only")
    if Path(url).is_file():
        raise StoreError(f"store {url}: is a file, but a store is a folder")
    if not Path(url).is_dir():
        raise StoreError(f"store {url}: no such folder; make a store with pdstore init, or name another with --store")
    try:
        root = zarr.open_group(url, mode=mode, zarr_format=3)
    except (FileNotFoundError, zarr.errors.GroupNotFoundError, ValueError) as error:
        raise StoreError(f"{url} is not a pdstore store: it holds no Zarr group of format 3") from error
    version = root.attrs.get("pdstore_format")
    if version is None:
        raise StoreError(f"{url} is not a pdstore store: its attributes have no pdstore_format")
    if version != FORMAT_VERSION:
        raise StoreError(
            f"store {url} has format {version}, but this pdstore reads format {FORMAT_VERSION}; make and fill it "
            "again, or use the pdstore that made it"
        )
    return Store(url, root, lease)


@contextmanager
def new_store(target: Path, command: str) -> Iterator[tuple[Path, Path, list[Path]]]:
    """Where a new store is built: in a hidden folder beside `target`, renamed when it is whole.

    Parameters
    ----------
    target : Path
        The new store.
    command : str
        What builds it; part of the hidden folder's name.

    Yields
    ------
    (Path, Path, list of Path)
        Where the store is to be built, a folder for what is needed meanwhile, and folders that kills left before.

    Raises
    ------
    StoreError
        Something is at `target` already, or there is no folder for it.
    """
    if os.path.lexists(target):
        raise StoreError(f"{target} exists already; name another store with --store, or remove it first")
    parent = target.absolute().parent
    if not parent.is_dir():
        raise StoreError(f"store {target}: no folder {target.parent} to put it in")
    prefix = f".{target.name}.{command}-"
    leftovers = sorted(parent.glob(f"{glob.escape(prefix)}*"))
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as scratch:
        yield Path(scratch) / "store", Path(scratch), leftovers
        os.rename(Path(scratch) / "store", target)


def create_store(path: Path) -> Store:
    """An empty hierarchy in a new folder: it becomes a store when `mark_complete` has written its attributes."""
    return Store(str(path), zarr.create_group(str(path), zarr_format=3))


def mark_complete(store: Store, attributes: Mapping[str, Any]) -> None:
    """Write the root's attributes, without which `open_store` refuses a hierarchy."""
    store.root.attrs.put({"pdstore_format": FORMAT_VERSION, **attributes})


def read_together(
    store: Store, selections: Mapping[str, Any], may_be_unfilled: bool = False
) -> dict[str, NDArray[Any] | None]:
    """Read many small selections at once.

    Parameters
    ----------
    store : Store
        The store.
    selections : mapping of str to selection
        Path of an array → what of it.
    may_be_unfilled : bool
        Whether what is not filled reads as the fill value, rather than as an error.

    Returns
    -------
    dict
        Path → values; None where the store has no such array.

    Raises
    ------
    MissingDataError
        A chunk is not there, unless `may_be_unfilled`.
    DamagedDataError
        A checksum differs.
    """

    async def read(path: str, selection: Any) -> NDArray[Any] | None:
        try:
            array = await zarr.api.asynchronous.open_array(store=store.root.store, path=path, zarr_format=3)
        except (FileNotFoundError, zarr.errors.ArrayNotFoundError):
            return None
        if not may_be_unfilled:
            keys = _chunk_keys(path, array.shape, array.metadata, selection)
            _refuse_missing(store.url, keys, await _exist(store.root.store, keys))
        with _damage_named(store.url, path):
            return np.asarray(await array.getitem(selection))

    async def gather(items: Iterable[tuple[str, Any]]) -> list[NDArray[Any] | BaseException | None]:
        return await asyncio.gather(*(read(path, selection) for path, selection in items), return_exceptions=True)

    values: dict[str, NDArray[Any] | None] = {}
    for path, value in zip(selections, zarr.core.sync.sync(gather(selections.items())), strict=True):
        if isinstance(value, BaseException):
            raise value
        values[path] = value
    return values


def read_required(store: Store, selections: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """`read_together` of what must be there: raises `MissingDataError` where the store lacks an array, too."""
    required = {}
    for path, values in read_together(store, selections).items():
        if values is None:
            raise MissingDataError(f"store {store.url} has no array {path}: {_mend(path)}")
        required[path] = values
    return required


@contextmanager
def _damage_named(url: str, path: str) -> Iterator[None]:
    """Say which array cannot be decoded: Zarr says only that a checksum differs."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise DamagedDataError(
            f"store {url}: {path} is damaged ({str(error).split('.')[0]}); get the store again from a copy, or "
            "make and fill it again"
        ) from error


def _check_provenance(path: str, stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name not in _RECORDS and stored.get(name) != value:
            raise ProvenanceError(
                f"{path} was filled with {name} {stored.get(name)!r}, but {value!r} is given now; "
                "use the same, or fill another store"
            )


def _chunk_keys(path: str, shape: tuple[int, ...], metadata: Any, selection: Any) -> list[str]:
    """Keys of the chunks that a basic selection touches."""
    chunks = BasicIndexer(selection, shape, metadata.chunk_grid)
    return [f"{path}/{metadata.encode_chunk_key(chunk.chunk_coords)}" for chunk in chunks]


def _refuse_missing(url: str, keys: Iterable[str], exist: Iterable[bool]) -> None:
    for key, exists in zip(keys, exist, strict=True):
        if not exists:
            raise MissingDataError(f"store {url}: {key} is not filled, or was lost; {_mend(key)}")


def _mend(path: str) -> str:
    """What to do where something of a path is missing: most groups are filled, the others are made by init."""
    parent = path.split("/")[0]
    is_filled = any(schema.path.startswith(f"{parent}/{{") for schema in group_schemas())
    return f"run pdstore {'fill' if is_filled else 'init'}, or get the store again from a copy"


async def _exist(store: Any, keys: Iterable[str]) -> list[bool]:
    exist: list[bool] = await asyncio.gather(*(store.exists(key) for key in keys))
    return exist


def _chunks_below(folder: Path, chunk: tuple[int, ...], listed: int, ndim: int) -> Iterator[tuple[int, ...]]:
    """Chunks below a folder of keys: the first `listed` dimensions are listed, of the others only chunk 0 is there."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return
    rest = ("0",) * (ndim - listed)
    for name in names:
        # As written: 07, or a digit of another script, is no coordinate.
        if not (name.isascii() and name.isdigit() and str(int(name)) == name):
            continue
        path, coordinates = f"{folder}/{name}", (*chunk, int(name))
        if len(coordinates) < listed:
            yield from _chunks_below(Path(path), coordinates, listed, ndim)
            continue
        with suppress(FileNotFoundError, NotADirectoryError):
            found = os.stat("/".join((path, *rest)))
            if stat.S_ISREG(found.st_mode) and found.st_size > 0:
                yield (*coordinates, *map(int, rest))


def _files_with_size(folder: Path) -> Iterator[tuple[str, int]]:
    """Files below a folder, relative to it, and their sizes: ten times as fast as listing through Zarr."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            # A writer beside us may rename its partial file meanwhile.
            with suppress(FileNotFoundError):
                yield path.relative_to(folder).as_posix(), path.stat().st_size
