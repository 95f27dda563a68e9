"""A flipped bit anywhere is found; what lies about itself is refused before anything of it is believed."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from pdstore.errors import DamagedDataError, StoreError
from pdstore.location.manifest import FileRecord, Manifest, parse_manifest
from pdstore.query import query_gene
from pdstore.sharing.verify import Finding, verify
from pdstore.store import open_store


@pytest.fixture
def copy(full: Path, tmp_path: Path) -> Path:
    """A published store that may be damaged."""
    return Path(shutil.copytree(full, tmp_path / "copy"))


def zipped(folder: Path) -> Path:
    path = folder.with_name(f"{folder.name}.zarr.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for entry in sorted(folder.rglob("*")):
            if entry.is_file():
                file.write(entry, entry.relative_to(folder).as_posix())
    return path


def test_a_whole_store_is_whole(summary: Path, full: Path, tmp_path: Path) -> None:
    for store in (summary, full):
        found = verify(store)
        assert found.findings == []
        assert found.files == sum(path.is_file() for path in store.rglob("*")) - 1
        assert verify(store, found.digest.upper()).digest == found.digest
    assert verify(zipped(Path(shutil.copytree(full, tmp_path / "zip")))).findings == []


def test_a_bit_flipped_in_every_kind_of_file_is_named(full: Path, copy: Path) -> None:
    manifest = json.loads((full / "manifest.json").read_text())["files"]
    # One chunk and one document of metadata of each array, and what is no part of the hierarchy.
    kinds = {(key.split("/c/")[0], "/c/" in key): key for key in manifest}
    rng = np.random.default_rng(0)
    for key in kinds.values():
        content = bytearray((copy / key).read_bytes())
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        (copy / key).write_bytes(content)
    findings = {finding.key: finding for finding in verify(copy).findings}
    assert findings.keys() == set(kinds.values())
    assert {finding.what for finding in findings.values()} == {"differs from its SHA-256 in the manifest"}
    assert len(findings) > 120


@pytest.mark.parametrize("array", ["statistics/cnn/driver_rank", "predictions/cnn/expression", "attributions/cnn/ism"])
def test_damage_names_array_and_gene(copy: Path, array: str) -> None:
    names = open_store(copy).read("genes/gene_name").tolist()
    (chunk,) = (copy / array / "c/17").rglob("0")
    chunk.write_bytes(chunk.read_bytes()[:-1])
    (copy / array / "c/3/0").unlink()
    (copy / "genes/gene_tss/c/0").write_bytes(b"longer than it was " * 99)
    (copy / "stray").write_text("")
    found = {finding.key: finding for finding in verify(copy).findings}
    assert found[f"{array}/c/3/0"] == Finding(f"{array}/c/3/0", "is missing", array, (names[3],))
    cut = found[chunk.relative_to(copy).as_posix()]
    assert (cut.array, cut.genes) == (array, (names[17],))
    assert cut.what.startswith(f"has {chunk.stat().st_size:,} bytes, but ")
    longer = found["genes/gene_tss/c/0"]
    assert longer.what.startswith("has more than the")
    assert (longer.array, longer.genes) == ("genes/gene_tss", tuple(names))
    assert found["stray"] == Finding("stray", "is not in the manifest")
    assert len(found) == 4


def test_checksums_catch_damage_on_ordinary_reads(copy: Path) -> None:
    gene = open_store(copy).read("genes/gene_name").tolist()[5]
    chunk = copy / "attributions/cnn/ism/c/5/0"
    content = bytearray(chunk.read_bytes())
    content[-6] ^= 4
    chunk.write_bytes(content)
    for store in (copy, zipped(copy)):
        with pytest.raises(DamagedDataError, match="attributions/cnn/ism is damaged"):
            query_gene(open_store(store), gene)


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.98, 0.9999])
def test_a_zip_that_is_cut_off_is_none(copy: Path, kept: float) -> None:
    path = zipped(copy)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    for read in (open_store, verify):
        with pytest.raises(StoreError, match="cut off"):
            read(path)


def test_a_zip_whose_bytes_are_damaged_names_the_file(copy: Path) -> None:
    path = zipped(copy)
    key = "statistics/cnn/pearson_r/c/0"
    content = bytearray(path.read_bytes())
    content[content.index((copy / key).read_bytes()) + 9] ^= 1
    path.write_bytes(content)
    (finding,) = verify(path).findings
    assert finding.key == key
    assert "differs from its checksum in the zip file" in finding.what
    with pytest.raises(DamagedDataError, match="statistics/cnn/pearson_r is damaged"):
        open_store(path).read("statistics/cnn/pearson_r")


def test_a_summary_that_lost_a_chunk_says_so_and_gives_no_number(summary: Path, tmp_path: Path) -> None:
    gene = open_store(summary).read("genes/gene_name").tolist()[5]
    for key in ("statistics/cnn/pearson_r/c/0", "statistics/cnn/driver_rank/c/5/0", "attributions/cnn/ism/c/5/0"):
        copy = Path(shutil.copytree(summary, tmp_path / key.replace("/", "-")))
        (copy / key).unlink()
        with pytest.raises(StoreError, match=f"{key} is not filled, or was lost"):
            query_gene(open_store(copy), gene)


def test_a_link_is_not_followed(copy: Path, tmp_path: Path) -> None:
    (copy / "viewer/notes.txt").symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match=r"viewer/notes\.txt is a symbolic link"):
        verify(copy)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_zip_that_could_grow_is_refused(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "bomb.zarr.zip"
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("zarr.json", b" " * 50_000_000)
    with pytest.raises(StoreError, match="is compressed or encrypted"):
        open_store(path)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a//b", "a/./b", "a\x07b"])
def test_a_zip_that_names_what_lies_outside_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "outside.zarr.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(name, b"")
    with pytest.raises(StoreError, match="lies outside the store"):
        open_store(path)


def change_manifest(copy: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((copy / "manifest.json").read_text())
    change(document)
    (copy / "manifest.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            lambda document: document["files"].update({"../../etc/passwd": {"size": 1, "sha256": "0" * 64}}),
            "lies outside",
        ),
        (lambda document: document["files"].update({"/etc/passwd": {"size": 1, "sha256": "0" * 64}}), "lies outside"),
        (lambda document: document["files"].update({"a": {"size": -1, "sha256": "0" * 64}}), "no size and SHA-256"),
        (lambda document: document["files"].update({"a": {"size": True, "sha256": "0" * 64}}), "no size and SHA-256"),
        (
            lambda document: document["files"].update({"a": {"size": 1, "sha256": "0" * 63 + "\n"}}),
            "no size and SHA-256",
        ),
        (lambda document: document["files"].update({"a": 7}), "no size and SHA-256"),
        (lambda document: document.update(files=[]), "lists no files"),
        (lambda document: document.update(pdstore_manifest=2), "has version 2"),
    ],
)
def test_a_manifest_that_is_none_is_refused(copy: Path, change: Callable[[dict[str, Any]], object], what: str) -> None:
    change_manifest(copy, change)
    with pytest.raises(DamagedDataError, match=what):
        verify(copy)


def test_a_manifest_that_lies_is_found_out(copy: Path) -> None:
    before = verify(copy).digest
    change_manifest(copy, lambda document: document["files"]["genes/gene_tss/c/0"].update(size=10**18))
    change_manifest(copy, lambda document: document["files"]["zarr.json"].update(sha256="0" * 64))
    assert {finding.key for finding in verify(copy).findings} == {"genes/gene_tss/c/0", "zarr.json"}
    with pytest.raises(DamagedDataError, match=f"but {before} is expected"):
        verify(copy, before)
    (copy / "manifest.json").write_text('{"files": {')
    with pytest.raises(DamagedDataError, match="is cut off, or no JSON"):
        verify(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(StoreError, match=r"there is no manifest\.json"):
        verify(copy)


KEYS = st.lists(st.text("abcé é/.", min_size=1, max_size=8).filter(lambda key: key.strip("/.")), max_size=5)


@given(KEYS, st.integers(0, 2**60))
def test_a_manifest_is_read_as_it_was_written(keys: list[str], size: int) -> None:
    safe = [key for key in keys if all(part not in ("", ".", "..") for part in key.split("/"))]
    manifest = Manifest({"level": "summary"}, {key: FileRecord(size, f"{size:064x}") for key in safe})
    assert parse_manifest(manifest.to_bytes(), "here") == manifest


def hostile(copy: Path, path: str, change: Callable[[dict[str, Any]], object]) -> Path:
    """A published store whose metadata of a node are changed, wherever they stand."""
    for file in copy.rglob("zarr.json"):
        document = json.loads(file.read_text())
        base = "" if file.parent == copy else f"{file.parent.relative_to(copy).as_posix()}/"
        nodes = {
            f"{base}{name}": of for name, of in document.get("consolidated_metadata", {}).get("metadata", {}).items()
        }
        for name, node in (nodes | {base.rstrip("/"): document}).items():
            if name == path:
                change(node)
        file.write_text(json.dumps(document))
    return copy


def test_arrays_of_absurd_size_are_refused_before_memory_is_taken(copy: Path) -> None:
    def grow(node: dict[str, Any]) -> None:
        node["shape"][0] = 10**15

    store = open_store(hostile(copy, "genes/gene_tss", grow))
    with pytest.raises(DamagedDataError, match=r"genes/gene_tss claims shape \(1000000000000000,\)"):
        store.read("genes/gene_tss")
    with pytest.raises(DamagedDataError, match="claims shape"):
        store.read_if_filled("genes/gene_tss")


def test_chunks_of_absurd_size_are_refused_before_memory_is_taken(copy: Path) -> None:
    def grow(node: dict[str, Any]) -> None:
        node["chunk_grid"]["configuration"]["chunk_shape"] = [10**13]

    store = open_store(hostile(copy, "genes/gene_tss", grow))
    with pytest.raises(DamagedDataError, match="in chunks of"):
        store.read("genes/gene_tss", 3)


@pytest.mark.parametrize("name", ["../../elsewhere", "genes/../../elsewhere", "genes\x1b[2J", "/elsewhere", "a\\b"])
def test_metadata_that_name_what_lies_outside_are_refused(copy: Path, name: str) -> None:
    file = copy / "zarr.json"
    document = json.loads(file.read_text())
    members = document["consolidated_metadata"]["metadata"]
    members[name] = members["genes"]
    file.write_text(json.dumps(document))
    # Zarr refuses some of them itself.
    with pytest.raises(StoreError, match=r"lies outside the store|is not a pdstore store"):
        open_store(copy)


def test_a_window_that_is_a_path_is_not_followed(copy: Path) -> None:
    hostile(copy, "predictions/cnn", lambda node: node["attributes"].update(window="../../genes"))
    with pytest.raises(StoreError, match="names a window that the store does not hold"):
        query_gene(open_store(copy), "GSTM3")


def test_a_root_that_is_no_json_is_no_store(copy: Path) -> None:
    for content in ("", "{", "[]", "[" * 100_000, '{"zarr_format": 3, "node_type": "array"}'):
        (copy / "zarr.json").write_text(content)
        with pytest.raises(StoreError, match="not a pdstore store"):
            open_store(copy)
    assert zarr.open_group(str(copy / "genes"), mode="r")
