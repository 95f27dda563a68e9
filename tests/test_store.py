"""Opening a store, and what is in it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from pdstore.errors import DamagedDataError, MissingDataError, ProvenanceError, StoreError
from pdstore.schema import FORMAT_VERSION
from pdstore.store import create_store, mark_complete, open_store, read_together


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such folder"):
        open_store(tmp_path / "absent.zarr")
    with pytest.raises(StoreError, match="not a pdstore store"):
        open_store(tmp_path)
    zarr.create_group(str(tmp_path / "other.zarr"), zarr_format=3)
    with pytest.raises(StoreError, match="not a pdstore store"):
        open_store(tmp_path / "other.zarr")
    zarr.create_group(str(tmp_path / "old.zarr"), zarr_format=2)
    with pytest.raises(StoreError, match="not a pdstore store"):
        open_store(tmp_path / "old.zarr")


def test_another_format_is_refused_with_both_versions(tmp_path: Path) -> None:
    mark_complete(create_store(tmp_path / "new.zarr"), {"pdstore_format": FORMAT_VERSION + 1})
    versions = f"format {FORMAT_VERSION + 1}, but this pdstore reads format {FORMAT_VERSION}"
    with pytest.raises(StoreError, match=versions):
        open_store(tmp_path / "new.zarr")


def test_a_store_opened_to_read_cannot_be_written(filled: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        open_store(filled).write("genes/gene_tss", 0, 1)


def test_a_chunk_of_fill_values_is_written_and_counts_as_written(unfilled: Path, tmp_path: Path) -> None:
    store = open_store(shutil.copytree(unfilled, tmp_path / "copy.zarr"), "r+")
    store.create_group("eqtl/test", {"genes": 24, "window_variants": 3}, {})
    assert store.chunks_written("eqtl/test/slope") == set()
    store.write("eqtl/test/slope", 5, np.full(3, np.nan))
    assert store.chunks_written("eqtl/test/slope") == {(5, 0)}


def test_leftovers_of_a_kill_are_no_chunks(unfilled: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(unfilled, tmp_path / "copy.zarr"))
    store = open_store(path, "r+")
    store.create_group("eqtl/test", {"genes": 24, "window_variants": 3}, {})
    store.write("eqtl/test/slope", 5, np.zeros(3))
    folder = path / "eqtl" / "test" / "slope" / "c"
    (folder / "6").mkdir()
    (folder / "6" / "0").touch()
    (folder / "7").mkdir()
    (folder / "7" / "0.1f0c.partial").write_bytes(b"half a chunk")
    assert store.chunks_written("eqtl/test/slope") == {(5, 0)}


def test_a_group_of_other_provenance_is_refused_with_both_values(unfilled: Path, tmp_path: Path) -> None:
    store = open_store(shutil.copytree(unfilled, tmp_path / "copy.zarr"), "r+")
    sizes = {"genes": 24, "window_variants": 3}
    store.create_group("eqtl/test", sizes, {"window": "a"})
    store.create_group("eqtl/test", sizes, {"window": "a"})
    with pytest.raises(ProvenanceError, match=r"window 'a', but 'b'"):
        store.create_group("eqtl/test", sizes, {"window": "b"})


def test_what_the_store_lacks_is_said(filled: Path) -> None:
    store = open_store(filled)
    for ask in (store.group, store.array):
        with pytest.raises(MissingDataError, match="predictions/enformer"):
            ask("predictions/enformer")
    assert read_together(store, {"predictions/enformer/tracks": ...}) == {"predictions/enformer/tracks": None}
    assert store.members("absent") == []


def test_a_lost_chunk_is_an_error_and_not_a_fill_value(filled: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "copy.zarr"))
    shutil.rmtree(path / "genotypes" / "call_genotype" / "c")
    with pytest.raises(MissingDataError, match="genotypes/call_genotype/c/0/0/0 is not filled, or was lost"):
        open_store(path).read("genotypes/call_genotype", slice(0, 3))
    # Where not filled is an answer, it is asked for by name.
    assert (open_store(path).read_if_filled("genotypes/call_genotype", slice(0, 3)) == -1).all()


def test_a_damaged_chunk_names_its_array(filled: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "copy.zarr"))
    for array in ("expression/observed/c/0/0", "genes/gene_id/c/0"):
        (path / array).write_bytes(b"damaged!!!")
    with pytest.raises(DamagedDataError, match="expression/observed is damaged"):
        open_store(path).read("expression/observed", 0)
    with pytest.raises(DamagedDataError, match="genes/gene_id is damaged"):
        read_together(open_store(path), {"genes/gene_tss": ..., "genes/gene_id": ...})


def test_a_group_that_is_not_there_is_told_with_those_that_are(filled: Path) -> None:
    store = open_store(filled)
    (window,) = store.members("windows")
    held = ["attributions/cnn", f"eqtl/{window}", "expression", "genes", "genotypes", "predictions/cnn", "reference"]
    held += ["statistics/cnn", "variants", f"windows/{window}"]
    for path, known in (("nosuch", held), ("nosuch/cnn", held), ("predictions/enformer", ["predictions/cnn"])):
        with pytest.raises(MissingDataError) as refused:
            store.dataset(path)
        said = f"store {filled} has no group {path}: it has {', '.join(known)}"
        assert str(refused.value).split(";")[0] == said
    assert "run pdstore fill" in str(refused.value)
    with pytest.raises(MissingDataError, match="genes/gene_id is an array; its group is genes"):
        store.dataset("genes/gene_id")


def test_xarray_and_zarr_read_the_same(filled: Path) -> None:
    store = open_store(filled)
    dataset = store.dataset("expression")
    assert dataset["observed"].dims == ("genes", "samples")
    np.testing.assert_array_equal(dataset["observed"].values, store.read("expression/observed"))
    assert dataset["observed"].attrs["units"] == "as in the source"
