"""Merges of stores that lost a chunk, were edited by hand, or lie where they cannot be written to or listed."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from builders import PEOPLE, expression_table, listing, write_cohort, write_table
from filled_stores import WEIGHTS, chunks, made
from quiet import Quiet

from pdstore.add import NewPeople, add_people
from pdstore.errors import DamagedDataError, DiskFullError, PdstoreError, StoreError, UsageError
from pdstore.location.room import require_room, room_named
from pdstore.merge import Merged, merge
from pdstore.schema import create_array, deviations, schema_of
from pdstore.sharing.publish import publish
from pdstore.stages.stage import neighbours
from pdstore.store import open_store

Fill = Callable[..., None]

WINDOWS = "windows/200bp_tss100_gene_snv"
EQTL = "eqtl/200bp_tss100_gene_snv"


def merged(*stores: Path | str, out: Path) -> Merged:
    return merge([str(store) for store in stores], out, Quiet())


def copied(store: Path, folder: Path) -> Path:
    return Path(shutil.copytree(store, folder / "copy.zarr"))


@pytest.fixture(scope="module")
def small(fill_now: Fill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled store of the builders' four genes: not to be written to."""
    return made(tmp_path_factory.mktemp("small") / "cohort", fill_now)


@pytest.fixture(scope="module")
def halves(fill_now: Fill, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same store, filled for the first two genes, and for the last two: not to be written to."""
    folder = tmp_path_factory.mktemp("halves")
    first, second = (made(folder / name, fill_now, rows=rows) for name, rows in (("a", [0, 1]), ("b", [2, 3])))
    return first, second


@pytest.mark.parametrize(
    "array",
    [
        "predictions/cnn/tracks",
        "predictions/cnn/reference_tracks",
        "attributions/cnn/alternate_tracks",
        "statistics/cnn/driver_rank",
        f"{EQTL}/slope",
        f"{WINDOWS}/haplotype_index",
        f"{WINDOWS}/gene_counts",
    ],
)
def test_a_chunk_of_a_filled_gene_that_no_store_has_is_named(
    halves: tuple[Path, Path], small: Path, tmp_path: Path, array: str
) -> None:
    torn = copied(halves[1], tmp_path)
    shutil.rmtree(torn / array / "c" / "3")
    before = listing(tmp_path)
    with pytest.raises(DamagedDataError) as caught:
        merged(halves[0], torn, out=tmp_path / "out.zarr")
    assert str(caught.value).startswith(f"{array} of gene DELTA (ENSG00000000022) has lost a chunk in {torn}: ")
    assert "\n" not in str(caught.value)
    assert listing(tmp_path) == before, "something is left behind"
    merged(torn, small, out=tmp_path / "out.zarr")
    assert chunks(tmp_path / "out.zarr") == chunks(small), "another store has it"


def in_blocks_of(store: Path, path: Path, haplotypes: int) -> Path:
    """A copy of a store whose predictions are in blocks of so many haplotypes."""
    shutil.copytree(store, path)
    opened = open_store(path, "r+")
    group, schema = opened.group("predictions/cnn"), schema_of("predictions/cnn").arrays["tracks"]
    group.attrs["haplotypes_per_block"] = haplotypes
    tracks = opened.read("predictions/cnn/tracks")
    del group["tracks"]
    create_array(group, schema, dict(zip(schema.dims, tracks.shape, strict=True)), group.attrs.asdict())
    for row, count in enumerate(opened.read(f"{WINDOWS}/haplotype_count").tolist()):
        rows = -(-count // haplotypes) * haplotypes
        open_store(path, "r+").write("predictions/cnn/tracks", (row, slice(0, rows)), tracks[row, :rows])
    return path


def test_a_block_that_one_store_lost_is_taken_from_another(small: Path, tmp_path: Path) -> None:
    stores = [in_blocks_of(small, tmp_path / f"{name}.zarr", 2) for name in ("a", "b")]
    expected = chunks(stores[0])
    assert "predictions/cnn/tracks/c/0/1/0/0" in expected, "the gene has two blocks"
    for store, block in zip(stores, (1, 0), strict=True):
        shutil.rmtree(store / f"predictions/cnn/tracks/c/0/{block}")
    merged(*stores, out=tmp_path / "out.zarr")
    assert chunks(tmp_path / "out.zarr") == expected


@pytest.mark.parametrize("array", ["pearson_r", "n_samples", "fdr"])
def test_what_is_over_all_genes_follows_from_genes_where_a_store_lost_it(
    halves: tuple[Path, Path], small: Path, tmp_path: Path, array: str
) -> None:
    torn = copied(halves[0], tmp_path)
    shutil.rmtree(torn / f"statistics/cnn/{array}/c")
    merged(torn, halves[1], out=tmp_path / "out.zarr")
    assert chunks(tmp_path / "out.zarr") == chunks(small)


def test_numbers_of_haplotypes_follow_from_genes_where_a_store_lost_them(
    halves: tuple[Path, Path], small: Path, tmp_path: Path
) -> None:
    torn = copied(halves[0], tmp_path)
    shutil.rmtree(torn / WINDOWS / "haplotype_count/c")
    merged(torn, halves[1], out=tmp_path / "out.zarr")
    assert chunks(tmp_path / "out.zarr") == chunks(small)
    held, counted = (open_store(path).group(WINDOWS).attrs["counts"] for path in (tmp_path / "out.zarr", small))
    assert held == counted


def test_outputs_that_were_kept_for_new_people_are_kept(fill_now: Fill, tmp_path: Path) -> None:
    grown = []
    # On contig 2, all three carry the reference allele alone.
    three = [PEOPLE[person] for person in (0, 3, 5)]
    for name, rows in (("a", [0, 1]), ("b", [2, 3]), ("all", None)):
        table = [[row[0], *(row[1 + PEOPLE.index(person)] for person in three)] for row in expression_table()]
        measured = write_table(tmp_path / f"{name}.tsv", table)
        grown.append(made(tmp_path / name, fill_now, rows=rows, expression=measured))
        everybody = write_cohort(tmp_path / f"{name}-more")
        add_people(str(grown[-1]), NewPeople(everybody.vcf, everybody.expression), Quiet())
    merged(*grown[:2], out=tmp_path / "out.zarr")
    kept = [{key: of for key, of in chunks(path).items() if "/kept_tracks/" in key} for path in grown]
    assert kept[0], "a block of the first store waits for a fill"
    assert kept[1], "one of the second, too"
    out = chunks(tmp_path / "out.zarr")
    assert {key: of for key, of in out.items() if "/kept_tracks/" in key} == kept[0] | kept[1]
    for path in (tmp_path / "out.zarr", grown[2]):
        fill_now(open_store(path, "r+"), WEIGHTS)
    assert "predictions/cnn/kept_tracks" not in open_store(tmp_path / "out.zarr")
    assert deviations(open_store(tmp_path / "out.zarr").root) == []
    assert chunks(tmp_path / "out.zarr") == chunks(grown[2])


@pytest.mark.parametrize(
    ("group", "name", "value", "said"),
    [
        ("", "inputs", "none", "its attribute inputs is 'none', which pdstore never writes"),
        ("", "counts", [1], "its attribute counts is [1], which pdstore never writes"),
    ],
)
def test_attributes_that_somebody_edited_are_named(
    halves: tuple[Path, Path], tmp_path: Path, group: str, name: str, value: Any, said: str
) -> None:
    edited = copied(halves[1], tmp_path)
    zarr.open_group(edited / group, mode="r+").attrs[name] = value
    with pytest.raises(DamagedDataError) as caught:
        merged(halves[0], edited, out=tmp_path / "out.zarr")
    assert f"store {edited}: {said}" in str(caught.value)


def test_metadata_that_are_cut_off_are_named(halves: tuple[Path, Path], tmp_path: Path) -> None:
    cut = copied(halves[1], tmp_path)
    (cut / EQTL / "slope/zarr.json").write_text("{")
    with pytest.raises(DamagedDataError, match=f"{cut}: the metadata of {EQTL}/slope are damaged"):
        merged(halves[0], cut, out=tmp_path / "out.zarr")


def test_names_of_counts_that_this_pdstore_does_not_use_name_one_store(
    halves: tuple[Path, Path], tmp_path: Path
) -> None:
    renamed = copied(halves[0], tmp_path)
    names = open_store(renamed).read(f"{WINDOWS}/count_name")
    open_store(renamed, "r+").write(f"{WINDOWS}/count_name", ..., np.array([*names[:-1], "others"], dtype=object))
    with pytest.raises(PdstoreError, match=f"{WINDOWS}/count_name is not the same in {renamed} as here"):
        merged(renamed, halves[1], out=tmp_path / "out.zarr")


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path) -> None:
    require_room(tmp_path, [1_000, 2_000])
    with pytest.raises(DiskFullError, match=r"takes about 1\.\d*e\+09 GB, but .* GB are free at"):
        require_room(tmp_path, [1 << 60])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_disk_that_fills_up_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskFullError, match=f"no room is left at {tmp_path} .*nothing half-done was kept"),
        room_named(tmp_path),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        full.write(b"x")
    with pytest.raises(FileNotFoundError), room_named(tmp_path):
        (tmp_path / "nothing").read_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_whose_folder_cannot_be_written_to_is_merged(
    halves: tuple[Path, Path], small: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    store = copied(halves[1], theirs)
    theirs.chmod(0o555)
    try:
        merged(halves[0], store, out=tmp_path / "out.zarr")
    finally:
        theirs.chmod(0o755)
    assert chunks(tmp_path / "out.zarr") == chunks(small)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A web server of a folder; gives its URL."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *said: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_published_store_is_merged_from_a_web_server(halves: tuple[Path, Path], small: Path, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    publish(str(halves[1]), str(tmp_path / "web/shared.zarr"), "full", Quiet(), individual_level=True)
    with served(tmp_path / "web") as url:
        merged(halves[0], f"{url}/shared.zarr", out=tmp_path / "out.zarr")
        with pytest.raises(UsageError, match="each once"):
            merged(f"{url}/shared.zarr", f"{url}/shared.zarr/", out=tmp_path / "twice.zarr")
    assert chunks(tmp_path / "out.zarr") == chunks(small)


def test_a_store_on_a_web_server_that_is_not_published_is_refused(halves: tuple[Path, Path], tmp_path: Path) -> None:
    with served(halves[1].parent) as url, pytest.raises(StoreError, match=r"is not published: .* cannot be listed"):
        merged(halves[0], f"{url}/{halves[1].name}", out=tmp_path / "out.zarr")


def test_a_zip_given_twice_by_two_paths_is_one_store(halves: tuple[Path, Path], tmp_path: Path) -> None:
    publish(str(halves[1]), str(tmp_path / "shared.zarr.zip"), "full", Quiet(), individual_level=True)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="each once"):
        merged(tmp_path / "shared.zarr.zip", tmp_path / "folder/../shared.zarr.zip", out=tmp_path / "out.zarr")


def test_genes_that_follow_each_other_are_read_at_once() -> None:
    assert list(neighbours([])) == []
    assert list(neighbours([3])) == [slice(3, 4)]
    assert list(neighbours([0, 1, 2, 5, 7, 8])) == [slice(0, 3), slice(5, 6), slice(7, 9)]
    genes = [gene for part in neighbours(list(range(10, 210))) for gene in range(part.start, part.stop)]
    assert genes == list(range(10, 210))
    assert max(part.stop - part.start for part in neighbours(list(range(10, 210)))) < 200
