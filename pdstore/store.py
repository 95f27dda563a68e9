"""A store: a Zarr v3 hierarchy, its groups as zarr or as xarray Datasets."""

import glob
import os
import re
import shlex
import shutil
import tempfile
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import zarr
from numpy.typing import NDArray

from pdstore.errors import MissingDataError, ProvenanceError, StoreError
from pdstore.lease import check_lease
from pdstore.location.keys import is_safe_key
from pdstore.location.local import Folder
from pdstore.location.locate import locate
from pdstore.location.protocol import Location
from pdstore.reading import NO_METADATA, how_to_mend, metadata_damage_named, read_selections
from pdstore.schema import FORMAT_VERSION, SUMMARY, create_array, group_schemas, schema_of

if TYPE_CHECKING:
    import xarray

Mode = Literal["r", "r+"]

RECORDS = ("pdstore_version", "order", "counts", "haplotypes_per_block", "variants_per_block")
"""Attributes that record what happened, rather than what a group is made from: a newer pdstore may go on with it."""


class Store:
    """A pdstore store.

    Made by `open_store` or `create_store`.

    Attributes
    ----------
    location : Location
        Where it lies.
    root : zarr.Group
        Its root group.
    lease : str or None
        Token of the lease under which it is written; nothing is written once that is lost. Without one, as in `init`
        and in notebooks, whoever writes sees to it that nobody else does.
    """

    def __init__(self, location: Location, root: zarr.Group, lease: str | None = None) -> None:
        self.location = location
        self.root = root
        self.lease = lease

    def __repr__(self) -> str:
        return f"<pdstore.Store {self.url}: {', '.join(sorted(self.root.group_keys()))}>"

    @property
    def url(self) -> str:
        """Where it lies, as a person would name it."""
        return self.location.url

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
                f"store {self.url} is a summary: people's genotypes and predictions are in the store that it is made of"
            )

    def group(self, path: str) -> zarr.Group:
        """A group as zarr; raises `MissingDataError` where the store has none of this path."""
        node = self._node(path)
        if not isinstance(node, zarr.Group):
            if node is not None:
                raise MissingDataError(f"store {self.url}: {path} is an array; its group is {path.rpartition('/')[0]}")
            held = f"store {self.url} has no group {path}: it has {', '.join(self._groups_near(path))}"
            is_known = any(schema.matches(path) for schema in group_schemas())
            raise MissingDataError(f"{held}; {how_to_mend(path)}" if is_known else held)
        return node

    def _groups_near(self, path: str) -> list[str]:
        """Paths of the groups beside one that is not there, or of all, where none is beside it."""
        parents = [path.split("/")[0]] if "/" in path else []
        beside = [f"{parent}/{name}" for parent in parents for name in self.members(parent)]
        tops = sorted(self.root.group_keys())
        return beside or [f"{top}/{name}".rstrip("/") for top in tops for name in self.members(top) or [""]]

    def array(self, path: str) -> zarr.Array[Any]:
        """An array as zarr, set to write chunks even where they hold the fill value only.

        Zarr would otherwise delete such a chunk, and a chunk that exists is the mark of a block that is done.
        """
        node = self._node(path)
        if not isinstance(node, zarr.Array):
            raise MissingDataError(f"store {self.url} has no array {path}: {how_to_mend(path)}")
        return node.with_config({"write_empty_chunks": True})

    def __contains__(self, path: str) -> bool:
        """Whether there is a group or an array of this path."""
        return self._node(path) is not None

    def _node(self, path: str) -> zarr.Group | zarr.Array[Any] | None:
        with metadata_damage_named(self.url, path):
            node: zarr.Group | zarr.Array[Any] | None = self.root.get(path)
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
        (values,) = read_required(self, {path: selection}).values()
        return values

    def read_if_filled(self, path: str, selection: Any = ...) -> NDArray[Any]:
        """Like `read`, but what is not filled yet reads as the fill value: NaN, or -1."""
        (values,) = read_required(self, {path: selection}, may_be_unfilled=True).values()
        return values

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
        return self._names(path, zarr.Group)

    def arrays(self, path: str) -> list[str]:
        """Names of the arrays in a group, sorted; none where there is no such group."""
        return self._names(path, zarr.Array)

    def _names(self, path: str, kind: type) -> list[str]:
        node = self.root.get(path)
        return (
            sorted(name for name, of in node.members() if isinstance(of, kind)) if isinstance(node, zarr.Group) else []
        )

    def dataset(self, path: str) -> "xarray.Dataset":
        """A group as an xarray Dataset, read lazily."""
        import xarray

        self.group(path)
        dataset: xarray.Dataset = xarray.open_zarr(
            self.root.store,
            group=path,
            consolidated=self.root.metadata.consolidated_metadata is not None,
            zarr_format=3,
            chunks=None,
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
        """Grid coordinates of the chunks of an array that are in the store."""
        return set(self.chunk_sizes(path))

    def chunk_sizes(self, path: str) -> dict[tuple[int, ...], int]:
        """The same, with the bytes of each on disk."""
        array = self.array(path)
        grid = tuple(-(-size // chunk) for size, chunk in zip(array.shape, array.chunks, strict=True))
        return self.location.chunks(path, grid)

    def size_on_disk(self, path: str) -> int:
        """Bytes of all files below a path."""
        return sum(self.location.sizes(path).values())


def genes_written(store: Store, path: str) -> set[int]:
    """Genes that are filled, by the array that says so: those whose first chunk is in the store."""
    return {chunk[0] for chunk in store.chunks_written(path) if not any(chunk[1:])}


def open_store(url: str | Path, mode: Mode = "r", lease: str | None = None, cache: Path | None = None) -> Store:
    """Open a store.

    Parameters
    ----------
    url : str or Path
        A folder, a ``.zarr.zip``, ``https://…`` or ``s3://bucket/prefix`` (with the credentials of the environment, or
        public).
    mode : {"r", "r+"}
        Read only, or read and write: of a folder that is not published.
    lease : str, optional
        Token of the lease under which it is written.
    cache : Path, optional
        Folder that keeps what is read of a remote store.

    Returns
    -------
    Store

    Raises
    ------
    StoreError
        There is nothing at `url`, it is no pdstore store, it has a format that this pdstore does not read, or it is
        published and to be written.
    RemoteError
        A server does not answer.

    Examples
    --------
    >>> store = open_store("pdstore-demo/demo.zarr")  # doctest: +SKIP
    >>> store.dataset("genes")  # doctest: +SKIP
    """
    store = open_any_format(url, mode, lease, cache)
    found = store.root.attrs["pdstore_format"]
    if found != FORMAT_VERSION:
        older = type(found) is int and found < FORMAT_VERSION
        folder = isinstance(store.location, Folder)
        what_to_do = (
            "update pdstore"
            if not older
            else f"bring it there with pdstore migrate -s {shlex.quote(store.url)}"
            if folder
            else "get a newer copy, or unpack it into a folder and run pdstore migrate"
        )
        raise StoreError(
            f"store {store.url} has format {found}, but this pdstore reads format {FORMAT_VERSION}; {what_to_do}"
        )
    return store


def open_any_format(url: str | Path, mode: Mode = "r", lease: str | None = None, cache: Path | None = None) -> Store:
    """`open_store` of a store of any format, whose arrays may be others than schemas/ says: for `migrate`."""
    location = locate(url, cache)
    name = location.url
    if mode == "r+" and not isinstance(location, Folder):
        raise StoreError(f"store {name}: only a store in a folder can be written to")
    try:
        root = zarr.open_group(location.zarr_store(mode == "r"), mode=mode, zarr_format=3)
    except FileNotFoundError as error:
        raise StoreError(f"{name} is not a pdstore store: it holds no Zarr group of format 3") from error
    except (*NO_METADATA, KeyError) as error:
        raise StoreError(f"{name} is not a pdstore store, or is damaged: its zarr.json is none of a group") from error
    if root.attrs.get("pdstore_format") is None:
        raise StoreError(f"{name} is not a pdstore store: its attributes have no pdstore_format")
    consolidated = root.metadata.consolidated_metadata
    for path in consolidated.flattened_metadata if consolidated is not None else ():
        if not is_safe_key(path):
            raise StoreError(f"store {name}: its metadata name {path!r}, which lies outside the store")
    if mode == "r+" and "published" in root.attrs:
        raise StoreError(f"store {name} is published, and not to be changed: change the store that it was made of")
    return Store(location, root, lease)


def check_new_store(target: Path) -> None:
    """Raise `StoreError` where no store can be made: something is there, or no folder for it, or another store is."""
    # As Path writes a URL.
    if re.match(r"[a-z0-9]+:/", str(target)):
        raise StoreError(f"{target} is a URL, but this makes a store in a folder of this machine")
    if os.path.lexists(target):
        raise StoreError(f"{target} exists already; name another folder, or remove it first")
    if not target.absolute().parent.is_dir():
        raise StoreError(f"store {target}: no folder {target.parent} to put it in")
    outer = next((parent for parent in target.resolve().parents if (parent / "zarr.json").exists()), None)
    if outer is not None:
        raise StoreError(f"{target} lies inside the store {outer}, which it would be no part of; name another folder")


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
    check_new_store(target)
    parent = target.absolute().parent
    prefix = f".{target.name}.{command}-"
    leftovers = sorted(parent.glob(f"{glob.escape(prefix)}*"))
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as scratch:
        yield Path(scratch) / "store", Path(scratch), leftovers
        os.rename(Path(scratch) / "store", target)


def create_store(path: Path) -> Store:
    """An empty hierarchy in a new folder: it becomes a store when `mark_complete` has written its attributes."""
    return Store(Folder(path), zarr.create_group(str(path), zarr_format=3))


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

    return read_selections(store.root, store.url, selections, may_be_unfilled)


def read_required(
    store: Store, selections: Mapping[str, Any], may_be_unfilled: bool = False
) -> dict[str, NDArray[Any]]:
    """`read_together` of what must be there: raises `MissingDataError` where the store lacks an array, too."""
    required = {}
    for path, values in read_together(store, selections, may_be_unfilled).items():
        if values is None:
            raise MissingDataError(f"store {store.url} has no array {path}: {how_to_mend(path)}")
        required[path] = values
    return required


def _check_provenance(path: str, stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name not in RECORDS and stored.get(name) != value:
            raise ProvenanceError(
                f"{path} was filled with {name} {stored.get(name)!r}, but {value!r} is given now; "
                "use the same, or fill another store"
            )
