"""schemas/ and stores that deviate from it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import xarray
import zarr
from zarr.codecs import ZstdCodec

from pdstore.errors import SchemaError
from pdstore.schema import deviations, group_schemas, layout_table, schema_of
from pdstore.store import open_store

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def store_copy(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "copy.zarr"))


def test_a_filled_store_is_as_its_schemas_say(filled: Path) -> None:
    assert deviations(open_store(filled).root) == []


def test_a_store_that_init_made_is_as_its_schemas_say(unfilled: Path) -> None:
    assert deviations(open_store(unfilled).root) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda root: root.__delitem__("genes/gene_tss"), "genes/gene_tss: missing array"),
        (lambda root: root.__delitem__("expression"), "expression: missing group"),
        (lambda root: root.create_group("genes/more"), "genes/more: unknown group"),
        (lambda root: root.create_group("secrets"), "secrets: unknown group"),
        (
            lambda root: root["windows"].create_array("a", shape=(1,), dtype="i4"),
            "windows: a parent group holds arrays: a",
        ),
        (lambda root: root["genes"].create_array("a", shape=(1,), dtype="i4"), "genes/a: unknown array"),
        (
            lambda root: root["genes"].create_array("gene_tss", shape=(24,), dtype="f4", overwrite=True),
            "genes/gene_tss: dimensions (), expected ('genes',)",
        ),
        (
            lambda root: root["genes"].create_array(
                "gene_tss", shape=(24,), dtype="f4", dimension_names=["genes"], overwrite=True
            ),
            "genes/gene_tss: data type float32, expected int64",
        ),
        (
            lambda root: root["genes"].create_array(
                "gene_tss", shape=(24,), chunks=(5,), dtype="i8", dimension_names=["genes"], overwrite=True
            ),
            "genes/gene_tss: chunks (5,), expected (24,)",
        ),
        (
            lambda root: root["genes"].create_array(
                "gene_tss", shape=(24,), dtype="i8", compressors=ZstdCodec(), dimension_names=["genes"], overwrite=True
            ),
            "genes/gene_tss: codecs ('zstd-0',), expected ('zstd-3', 'crc32c')",
        ),
        (
            lambda root: root["genes"].create_array(
                "gene_tss", shape=(25,), dtype="i8", dimension_names=["genes"], overwrite=True
            ),
            "genes/gene_tss: genes has size 25, but 24 in",
        ),
        (
            lambda root: root["predictions/cnn"].attrs.__delitem__("readout"),
            "predictions/cnn: missing attribute 'readout'",
        ),
    ],
)
def test_every_deviation_is_named(store_copy: Path, change: Callable[[zarr.Group], None], expected: str) -> None:
    root = zarr.open_group(str(store_copy), mode="r+")
    change(root)
    found = deviations(open_store(store_copy).root)
    assert any(line.startswith(expected) for line in found), found


def test_every_array_ends_in_a_checksum() -> None:
    for group in group_schemas():
        for array in group.arrays.values():
            assert array.codecs[-1] == "crc32c", f"{group.path}/{array.name}"
            assert len(array.dims) == len(array.chunks), f"{group.path}/{array.name}"


def test_a_flipped_bit_is_an_error_and_not_a_number(store_copy: Path) -> None:
    chunk = store_copy / "expression" / "observed" / "c" / "0" / "0"
    damaged = bytearray(chunk.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    chunk.write_bytes(damaged)
    with pytest.raises(Exception, match=r"(?i)checksum"):
        open_store(store_copy).read("expression/observed")


def test_a_group_that_no_schema_knows_is_refused() -> None:
    assert schema_of("predictions/enformer").path == "predictions/{model}"
    with pytest.raises(SchemaError):
        schema_of("predictions/a/b")


def test_the_readme_shows_the_layout_that_schemas_declare() -> None:
    assert layout_table() in (PROJECT / "README.md").read_text()


def test_schemas_are_json_with_every_field() -> None:
    for path in (PROJECT / "schemas").glob("*.json"):
        for array in json.loads(path.read_text())["arrays"].values():
            assert {"dims", "dtype", "chunks", "shards", "codecs", "fill_value", "units", "description"} <= set(array)


def test_xarray_opens_the_whole_store(filled: Path) -> None:
    tree = xarray.open_datatree(filled, engine="zarr", consolidated=False, zarr_format=3)
    assert {"/genotypes", "/predictions/cnn", "/statistics/cnn"} <= set(tree.groups)
    assert tree["/predictions/cnn"]["expression"].dims == ("genes", "samples")
