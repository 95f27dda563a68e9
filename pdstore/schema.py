"""The layout of a store, as schemas/ declares it: reads it, creates arrays from it, holds a store against it."""

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

import zarr
import zarr.storage
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.core.metadata import ArrayV3Metadata
from zarr.errors import ZarrUserWarning

from pdstore.errors import SchemaError

# PackBits comes from numcodecs; the house allows its codecs on purpose.
warnings.filterwarnings("ignore", message="Numcodecs codecs are not in the Zarr version 3", category=ZarrUserWarning)

FORMAT_VERSION = 4
"""Version of the layout that this pdstore writes and reads."""

ROOT = ""
"""Path of the store's root group."""

SUMMARY = "summary"
"""Level of a store that holds nobody's data: of its groups and arrays it has those that its source has."""

_OF_PEOPLE = ("samples", "haplotypes", "ploidy")
"""Dimensions of what people have."""

_Chunk = int | str | None


@dataclass(frozen=True)
class ArraySchema:
    """One array of a group.

    Attributes
    ----------
    name : str
        Name of the array.
    dims : tuple of str
        Names of the dimensions.
    dtype : str
        NumPy's name of the data type, or "string".
    chunks : tuple of int, str or None
        Chunk length of each dimension; None is the whole dimension, a str the name of an attribute of the group.
    shards : tuple of int or None
        Shard shape, where the array is sharded.
    codecs : tuple of str
        "packbits", "zstd-LEVEL" and "crc32c", in the order of encoding.
    fill_value : Any
        What a missing value reads as; never data.
    units : str or None
        Unit of the values.
    description : str
        What the array holds.
    optional : bool
        Whether a group may lack it.
    sparse : bool
        Whether only some genes have chunks of it, whatever else is filled of them; what is absent is not filled. Such
        an array is made by who first writes to it, not with its group.
    stage : str or None
        Of a sparse array, the optional stage that fills it; None where it serves the group's own stage.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    chunks: tuple[_Chunk, ...]
    shards: tuple[int, ...] | None
    codecs: tuple[str, ...]
    fill_value: Any
    units: str | None
    description: str
    optional: bool = False
    sparse: bool = False
    stage: str | None = None

    def chunk_shape(self, shape: Sequence[int], attributes: Mapping[str, Any]) -> tuple[int, ...]:
        """Chunk shape for an array of `shape` in a group with `attributes`."""
        lengths = (attributes.get(chunk) if isinstance(chunk, str) else chunk for chunk in self.chunks)
        return tuple(
            max(1, size if length is None else min(int(length), size))
            for length, size in zip(lengths, shape, strict=True)
        )


@dataclass(frozen=True)
class GroupSchema:
    """One group of the store, or one family of groups: ``predictions/{model}``.

    Attributes
    ----------
    path, description : str
        Path in the store, and what the group is.
    attributes : mapping of str to str
        Name of each attribute → what it says.
    arrays : mapping of str to ArraySchema
        Name of each array → the array.
    filled_array : str or None
        Of a group that is filled gene by gene, the array whose first chunk of a gene says that the gene is filled.
    gathered_array : str or None
        The array over genes that is written after it, by the gather step: -1 where that is still to come.
    optional : bool
        Whether a store may lack it.
    optional_attributes : mapping of str to str
        The same of attributes that it may lack.
    """

    path: str
    description: str
    attributes: Mapping[str, str]
    arrays: Mapping[str, ArraySchema]
    filled_array: str | None = None
    gathered_array: str | None = None
    optional: bool = False
    optional_attributes: Mapping[str, str] = field(default_factory=dict)

    def matches(self, path: str) -> bool:
        """Whether `path` is this group, or one of this family."""
        return re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(self.path)), path) is not None


@cache
def group_schemas() -> tuple[GroupSchema, ...]:
    """Every group schema of schemas/, the root's first, then in alphabetical order."""
    documents = [
        json.loads(file.read_text()) for file in files("pdstore_schemas").iterdir() if file.name.endswith(".json")
    ]
    return tuple(sorted((_group_schema(document) for document in documents), key=lambda group: group.path))


def schema_of(path: str) -> GroupSchema:
    """The schema of a group; raises `SchemaError` where no schema knows the path."""
    for schema in group_schemas():
        if schema.matches(path):
            return schema
    raise SchemaError(f"group {path!r} is in no schema")


def filled_array(path: str) -> str:
    """Path of the array whose first chunk of a gene says that the gene is filled, in a group that is filled by gene."""
    return f"{path}/{schema_of(path).filled_array}"


def create_array(
    group: zarr.Group, schema: ArraySchema, sizes: Mapping[str, int], attributes: Mapping[str, Any]
) -> zarr.Array[Any]:
    """Create one array as its schema says.

    Parameters
    ----------
    group : zarr.Group
        Where it is created.
    schema : ArraySchema
        What is created.
    sizes : mapping of str to int
        Size of each dimension.
    attributes : mapping
        Attributes of the group: chunk lengths may be among them.
    """
    shape = tuple(sizes[dim] for dim in schema.dims)
    array_attributes: dict[str, Any] = {"description": schema.description} | (
        {"units": schema.units} if schema.units else {}
    )
    return group.create_array(
        schema.name,
        shape=shape,
        dtype=schema.dtype,
        chunks=schema.chunk_shape(shape, attributes),
        shards=schema.shards,
        filters=[_filter(name) for name in schema.codecs if name == "packbits"],
        compressors=[_compressor(name) for name in schema.codecs if name != "packbits"],
        fill_value=schema.fill_value,
        dimension_names=schema.dims,
        attributes=array_attributes,
    )


def encoded_size(schema: ArraySchema, values: NDArray[Any]) -> int:
    """Bytes that values take as one chunk of an array of a schema."""
    store = zarr.storage.MemoryStore()
    sizes = dict(zip(schema.dims, values.shape, strict=True))
    one_chunk = replace(schema, chunks=(None,) * len(schema.dims))
    create_array(zarr.group(store=store, zarr_format=3), one_chunk, sizes, {})[...] = values
    return sum(len(chunk) for key, chunk in store._store_dict.items() if "/c/" in key)


def deviations(root: zarr.Group) -> list[str]:
    """Every way in which a store deviates from schemas/, one line each.

    Checked are: groups that no schema knows, arrays that are missing or unknown, dimension names, data types, chunks,
    shards, codecs, fill values, missing attributes, and dimensions of different sizes that the schema calls the same.
    A summary may lack whatever its source lacks, but must not hold anything of people.
    """
    summary = root.attrs.get("level") == SUMMARY
    found: list[str] = []
    sizes: dict[tuple[str, str], tuple[int, str]] = {}
    nodes = dict(root.members(max_depth=None))
    paths = {ROOT: root} | {path: node for path, node in nodes.items() if isinstance(node, zarr.Group)}
    for path, group in sorted(paths.items()):
        arrays = _arrays_in(path, nodes)
        schema = next((schema for schema in group_schemas() if schema.matches(path)), None)
        if schema is None:
            if not any(other.path.startswith(f"{path}/") for other in group_schemas()):
                found.append(f"{path}: unknown group")
            elif arrays:
                found.append(f"{path}: a parent group holds arrays: {', '.join(sorted(arrays))}")
            continue
        found += _group_deviations(path, group, arrays, schema, summary)
        found += _size_deviations(path, arrays, schema, sizes)
    required = {schema.path for schema in group_schemas() if not ("{" in schema.path or schema.optional)}
    if summary:
        required = {ROOT, "genes"}
    found += [f"{path}: missing group" for path in sorted(required - set(paths))]
    return found


def group_deviations(path: str, group: zarr.Group) -> list[str]:
    """The same of one group of a store that is no summary, but for the sizes of dimensions."""
    return list(_group_deviations(path, group, dict(group.arrays()), schema_of(path), summary=False))


def layout_table() -> str:
    """The store's layout as a Markdown table, a row an array."""
    lines = ["| group | array | dimensions | type | unit | what |", "| --- | --- | --- | --- | --- | --- |"]
    for group in group_schemas():
        for array in group.arrays.values():
            lines.append(
                f"| `{group.path}` | `{array.name}` | {', '.join(array.dims)} | {array.dtype} | {array.units or ''} "
                f"| {array.description.replace('|', chr(92) + '|')} |"
            )
    return "\n".join(lines)


def _group_schema(document: Mapping[str, Any]) -> GroupSchema:
    arrays = {
        name: ArraySchema(
            name=name,
            dims=tuple(array["dims"]),
            dtype=array["dtype"],
            chunks=tuple(array["chunks"]),
            shards=tuple(array["shards"]) if array["shards"] else None,
            codecs=tuple(array["codecs"]),
            fill_value=float("nan") if array["fill_value"] == "NaN" else array["fill_value"],
            units=array["units"],
            description=array["description"],
            optional=array.get("optional", False),
            sparse=array.get("sparse", False),
            stage=array.get("stage"),
        )
        for name, array in document["arrays"].items()
    }
    return GroupSchema(
        document["group"],
        document["description"],
        document["attributes"],
        arrays,
        document.get("filled_array"),
        document.get("gathered_array"),
        document.get("optional", False),
        document.get("optional_attributes", {}),
    )


def _filter(name: str) -> Any:
    # Imported here: a query reads arrays without ever naming the codec.
    from zarr.codecs.numcodecs import PackBits

    return PackBits()


def _compressor(name: str) -> ZstdCodec | Crc32cCodec:
    return Crc32cCodec() if name == "crc32c" else ZstdCodec(level=int(name.removeprefix("zstd-")))


def _arrays_in(path: str, nodes: Mapping[str, Any]) -> dict[str, zarr.Array[Any]]:
    """Name of each array in a group → the array."""
    parents = ((*other.rpartition("/")[::2], node) for other, node in nodes.items())
    return {name: node for parent, name, node in parents if parent == path and isinstance(node, zarr.Array)}


def _group_deviations(
    path: str, group: zarr.Group, arrays: Mapping[str, zarr.Array[Any]], schema: GroupSchema, summary: bool
) -> Iterator[str]:
    where = path or "store"
    for name in schema.attributes:
        if name not in group.attrs and not (summary and path != ROOT):
            yield f"{where}: missing attribute {name!r}"
    for name in sorted(set(arrays) - set(schema.arrays)):
        yield f"{where}/{name}: unknown array"
    for name, expected in schema.arrays.items():
        if name in arrays:
            yield from _array_deviations(f"{where}/{name}", arrays[name], expected, group.attrs.asdict())
            if summary and set(expected.dims) & set(_OF_PEOPLE):
                yield f"{where}/{name}: is of people, but the store is a summary"
        elif not (expected.optional or (summary and path != "genes")):
            yield f"{where}/{name}: missing array"


def _array_deviations(
    where: str, array: zarr.Array[Any], expected: ArraySchema, attributes: Mapping[str, Any]
) -> Iterator[str]:
    if not isinstance(array.metadata, ArrayV3Metadata):
        yield f"{where}: Zarr format {array.metadata.zarr_format}, expected 3"
        return
    metadata = array.metadata.to_dict()
    dims = array.metadata.dimension_names or ()
    if dims != expected.dims:
        yield f"{where}: dimensions {dims}, expected {expected.dims}"
        return
    if metadata["data_type"] != expected.dtype:
        yield f"{where}: data type {metadata['data_type']}, expected {expected.dtype}"
    chunks = expected.chunk_shape(array.shape, attributes)
    if array.chunks != chunks:
        yield f"{where}: chunks {array.chunks}, expected {chunks}"
    if array.shards != expected.shards:
        yield f"{where}: shards {array.shards}, expected {expected.shards}"
    codecs = _codec_names(metadata["codecs"])
    if codecs != expected.codecs:
        yield f"{where}: codecs {codecs}, expected {expected.codecs}"
    # NaN differs from itself: compare what is written.
    if str(array.fill_value) != str(expected.fill_value):
        yield f"{where}: fill value {array.fill_value}, expected {expected.fill_value}"


def _codec_names(codecs: Any) -> tuple[str, ...]:
    """Codecs of an array's metadata in the words of schemas/; how values become bytes follows from the data type."""
    names = []
    for codec in codecs:
        name = codec["name"].removeprefix("numcodecs.")
        if name in ("bytes", "vlen-utf8"):
            continue
        names.append(f"zstd-{codec['configuration']['level']}" if name == "zstd" else name)
    return tuple(names)


def _size_deviations(
    path: str,
    arrays: Mapping[str, zarr.Array[Any]],
    schema: GroupSchema,
    sizes: dict[tuple[str, str], tuple[int, str]],
) -> Iterator[str]:
    for name, array in arrays.items():
        expected = schema.arrays.get(name)
        if expected is None or len(expected.dims) != array.ndim:
            continue
        for dim, size in zip(expected.dims, array.shape, strict=True):
            # People and genes are the same everywhere; every other dimension is its group's own.
            scope = ROOT if dim in ("genes", "samples") else path
            known_size, known_where = sizes.setdefault((scope, dim), (size, f"{path}/{name}"))
            if size != known_size:
                yield f"{path}/{name}: {dim} has size {size}, but {known_size} in {known_where}"
