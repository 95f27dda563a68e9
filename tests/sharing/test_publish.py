"""What `pdstore publish` makes: the same bytes of the same store, nothing of what is beside it, or nothing at all."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import xarray
import yaml
import zarr
from quiet import Quiet

from pdstore.errors import DamagedDataError, LeaseError, PdstoreError, SchemaError, StoreError, UsageError
from pdstore.lease import held_lease
from pdstore.query import query_gene
from pdstore.schema import deviations
from pdstore.sharing.publish import publish
from pdstore.sharing.verify import verify
from pdstore.store import open_store


@pytest.fixture
def copy(filled: Path, tmp_path: Path) -> Path:
    """A filled store that may be written to."""
    return Path(shutil.copytree(filled, tmp_path / "copy.zarr"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("level", ["summary", "full"])
def test_the_same_store_makes_the_same_bytes(level: str, filled: Path, copy: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    digests = {
        publish(str(store), str(target), level, Quiet(), individual_level=True).digest
        for store, target in zip((filled, copy), folders, strict=True)
    }
    assert len(digests) == 1
    assert contents(folders[0]) == contents(folders[1])
    zips = [tmp_path / "first.zarr.zip", tmp_path / "second.zarr.zip"]
    for store, target in zip((filled, copy), zips, strict=True):
        digests.add(publish(str(store), str(target), level, Quiet(), individual_level=True).digest)
    assert len(digests) == 1
    assert zips[0].read_bytes() == zips[1].read_bytes()
    with zipfile.ZipFile(zips[0]) as file:
        assert {name: file.read(name) for name in file.namelist()} == contents(folders[0])


def test_what_is_published_can_be_published_again(full: Path, summary: Path, tmp_path: Path) -> None:
    for store in (full, summary):
        level = "full" if store is full else "summary"
        publish(str(store), str(tmp_path / store.name), level, Quiet(), individual_level=True)
        assert contents(tmp_path / store.name) == contents(store)
    publish(str(full), str(tmp_path / "of-full"), "summary", Quiet())
    assert query_gene(open_store(tmp_path / "of-full"), "GSTM3") == query_gene(open_store(summary), "GSTM3")


def test_the_manifest_has_the_digest_of_every_file(full: Path, summary: Path) -> None:
    for store in (full, summary):
        files = contents(store)
        manifest = json.loads(files.pop("manifest.json"))
        listed = {key: (of["size"], of["sha256"]) for key, of in manifest["files"].items()}
        assert listed == {key: (len(content), hashlib.sha256(content).hexdigest()) for key, content in files.items()}
        del files["zarr.json"]
        lines = "".join(f"{hashlib.sha256(files[key]).hexdigest()}  {key}\n" for key in sorted(files))
        assert manifest["content_sha256"] == hashlib.sha256(lines.encode()).hexdigest()
        assert manifest["inputs"] == open_store(store).attributes["inputs"]


def test_a_full_store_holds_all_that_the_store_held(filled: Path, full: Path) -> None:
    source, copied = (zarr.open_group(str(path), mode="r") for path in (filled, full))
    nodes = [{path for path, _ in group.members(max_depth=None)} for group in (source, copied)]
    assert nodes[0] == nodes[1]
    before, after = contents(filled), contents(full)
    chunks = [key for key in before if "/c/" in key]
    assert chunks
    assert all(after[key] == before[key] for key in chunks)
    assert deviations(copied) == []


def test_others_read_it_without_a_warning(full: Path, recwarn: pytest.WarningsRecorder) -> None:
    tree = xarray.open_datatree(full, engine="zarr")
    assert tree["statistics/cnn"]["pearson_r"].shape == (24,)
    assert xarray.open_zarr(full, group="variants")["position"].size
    assert not [warning for warning in recwarn if "onsolidated" in str(warning.message)]


def test_a_published_store_is_not_to_be_changed(full: Path, pdstore: "object") -> None:
    with pytest.raises(StoreError, match="is published, and not to be changed"):
        open_store(full, "r+")
    before = contents(full)
    for command in (["fill", "statistics", "--model", "cnn"], ["clear", "--model", "cnn", "--yes"]):
        refused = pdstore(*command, "-s", full)  # type: ignore[operator]
        assert refused.returncode == 2, refused.stderr
    assert contents(full) == before


def test_documents_say_what_it_is(full: Path, tmp_path: Path, filled: Path) -> None:
    publish(
        str(filled), str(tmp_path / "titled"), "summary", Quiet(), title='A "title": <b>', authors=["Doe, Jo", "Lab"]
    )
    citation = yaml.safe_load((tmp_path / "titled" / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["title"] == 'A "title": <b>'
    assert citation["authors"] == [{"family-names": "Doe", "given-names": "Jo"}, {"name": "Lab"}]
    assert {reference["type"] for reference in citation["references"]} == {"software", "article"}
    readme = (tmp_path / "titled" / "README.md").read_text()
    assert 'A "title": \\<b\\>' in readme
    assert "- statistics/cnn: 24 of 24 genes" in readme
    assert "names, measured expression, haplotypes and predictions of 40 people" in (full / "README.md").read_text()


def test_a_target_inside_a_store_is_refused(filled: Path, full: Path, copy: Path) -> None:
    for store in (copy, full):
        before = contents(store)
        for target in ("in", "genes/in", "in.zarr.zip"):
            with pytest.raises(StoreError, match="lies inside the store"):
                publish(str(copy), str(store / target), "summary", Quiet())
        assert contents(store) == before


LOST = [
    *("genes/gene_name", "genotypes/call_genotype", "genotypes/sample_id", "expression/observed", "reference/sequence"),
    *("variants/position", "variants/alt", "predictions/cnn/tracks", "predictions/cnn/expression"),
    *("predictions/cnn/reference_tracks", "predictions/cnn/track_name", "attributions/cnn/ism"),
    *("attributions/cnn/alternate_tracks", "statistics/cnn/pearson_r", "statistics/cnn/n_samples"),
    *(
        "statistics/cnn/driver_rank",
        "statistics/cnn/driver_increment",
        "statistics/cnn/fdr",
        "statistics/cnn/gene_values",
    ),
    *("windows/{window}/haplotype_onehot", "windows/{window}/haplotype_index", "windows/{window}/variant_start"),
    *(
        "windows/{window}/haplotype_count",
        "windows/{window}/gene_counts",
        "eqtl/{window}/slope",
        "eqtl/{window}/p_value",
    ),
]


@pytest.mark.parametrize("level", ["summary", "full"])
def test_a_store_that_lost_a_chunk_is_not_published(copy: Path, tmp_path: Path, level: str) -> None:
    (window,) = open_store(copy).members("windows")
    for path in LOST:
        array = copy / path.format(window=window)
        chunk = sorted(file for file in (array / "c").rglob("*") if file.is_file())[-1]
        kept = chunk.rename(tmp_path / "kept")
        refused(StoreError, r"lost|damaged|is not filled", copy, tmp_path / "published", level)
        kept.rename(chunk)
    publish(str(copy), str(tmp_path / "published"), level, Quiet(), individual_level=level == "full")  # type: ignore[arg-type]


def test_a_store_that_is_half_filled_says_so_and_one_that_is_not_has_no_summary(
    copy: Path, unfilled: Path, tmp_path: Path, pdstore: "object"
) -> None:
    cleared = pdstore("clear", "--model", "cnn", "--genes", "GSTM3", "--yes", "-s", copy)  # type: ignore[operator]
    assert cleared.returncode == 0, cleared.stderr
    published = publish(str(copy), str(tmp_path / "half"), "full", Quiet(), individual_level=True)
    assert "statistics/cnn is filled for 23 of 24 genes" in published.notes
    publish(str(copy), str(tmp_path / "half-summary"), "summary", Quiet())
    summary = open_store(tmp_path / "half-summary")
    answer = query_gene(summary, "GSTM3")
    assert (answer["n_samples"], answer["drivers"], answer["correlation"]["pearson_r"]) == (None, None, None)
    shown = pdstore("query", "GSTM3", "-s", tmp_path / "half-summary")  # type: ignore[operator]
    assert "not in this summary: not filled, or too few people are behind it" in shown.stdout
    with pytest.raises(StoreError, match="has no statistics that a summary could show: run pdstore fill"):
        publish(str(unfilled), str(tmp_path / "nothing"), "summary", Quiet())
    assert publish(str(unfilled), str(tmp_path / "sources"), "full", Quiet(), individual_level=True).files


def refused(error: type[PdstoreError], match: str, store: Path, target: Path, level: str = "full") -> None:
    with pytest.raises(error, match=match):
        publish(str(store), str(target), level, Quiet(), individual_level=True)  # type: ignore[arg-type]
    assert not target.exists()
    assert not [path for path in target.parent.iterdir() if "publish" in path.name or "partial" in path.name]


@pytest.mark.parametrize("target", ["published", "published.zarr.zip"])
def test_a_damaged_store_is_not_published(copy: Path, tmp_path: Path, target: str) -> None:
    chunk = copy / "expression/observed/c/0/0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    refused(DamagedDataError, "expression/observed/c/0/0 is damaged", copy, tmp_path / target)
    refused(DamagedDataError, "expression/observed is damaged", copy, tmp_path / target, "summary")


def test_a_link_is_not_followed(copy: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("nobody's business")
    (copy / "genes/gene_id/c/1").symlink_to(secret)
    refused(StoreError, "genes/gene_id/c/1 is a symbolic link", copy, tmp_path / "published")


def test_what_is_no_part_of_a_store_is_counted_and_left_out(copy: Path, tmp_path: Path) -> None:
    for stray in ("notes.txt", "genes/gene_id/c/07", "genes/gene_id/c/9", "eqtl/zarr.json.1f.partial", ".DS_Store"):
        (copy / stray).write_text("nobody's business")
    published = publish(str(copy), str(tmp_path / "published"), "full", Quiet(), individual_level=True)
    assert published.strays == 5
    assert not any(b"nobody's business" in content for content in contents(tmp_path / "published").values())


def test_what_deviates_or_is_stale_is_not_published(copy: Path, tmp_path: Path) -> None:
    group = zarr.open_group(str(copy), mode="r+")
    group["attributions/cnn"].attrs["weights_sha256"] = "0" * 64
    refused(StoreError, "attributions/cnn is stale: its weights_sha256", copy, tmp_path / "published", "summary")
    group.create_array("extra", shape=(1,), dtype="i4")
    refused(SchemaError, "extra", copy, tmp_path / "published")


def test_a_store_that_is_being_filled_is_not_published(copy: Path, tmp_path: Path) -> None:
    with held_lease(str(copy), "fill"):
        refused(LeaseError, "is in use by pdstore fill", copy, tmp_path / "published")


def test_what_is_there_stays(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "there.zip").write_text("mine")
    (tmp_path / "there").mkdir()
    for target in ("there", "there.zip"):
        with pytest.raises(PdstoreError, match="exists already"):
            publish(str(filled), str(tmp_path / target), "summary", Quiet())
    assert (tmp_path / "there.zip").read_text() == "mine"
    assert list((tmp_path / "there").iterdir()) == []


def test_levels_that_a_store_does_not_have(filled: Path, summary: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "published")
    with pytest.raises(UsageError, match=r"genomes of 40 people.*--yes-individual-level"):
        publish(str(filled), target, "full", Quiet())
    with pytest.raises(UsageError, match="is a summary"):
        publish(str(summary), target, "full", Quiet(), individual_level=True)
    with pytest.raises(UsageError, match="--min-carriers is of a summary"):
        publish(str(summary), target, "summary", Quiet(), min_carriers=7)
    with pytest.raises(UsageError, match="publish to a folder"):
        publish(str(filled), "https://example.org/store", "summary", Quiet())
    assert list(tmp_path.iterdir()) == []


def test_a_killed_publication_leaves_no_store(filled: Path, tmp_path: Path) -> None:
    """An interruption at any file; the command line's Ctrl-C is the same exception."""

    class Interrupted(Quiet):
        def copied(self, size: int) -> None:
            raise KeyboardInterrupt

    for target in (tmp_path / "published", tmp_path / "published.zarr.zip"):
        with pytest.raises(KeyboardInterrupt):
            publish(str(filled), str(target), "summary", Interrupted())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["published", "published.zarr.zip"])
def test_what_a_kill_left_is_removed_by_the_next_publication_to_the_same_place(
    copy: Path, tmp_path: Path, name: str
) -> None:
    program = [sys.executable, "-c", "from pdstore_cli.main import run; run()", "publish", str(tmp_path / name)]
    arguments = ["--level", "full", "--yes-individual-level", "-s", str(copy)]
    process = subprocess.Popen([*program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # Killed while it copies; of a zip the partial file is not empty then.
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and process.poll() is None:
        left = [path for path in tmp_path.glob(f".{name}.*") if ".lease" not in path.name]
        if any(path.stat().st_size > 10_000 if path.is_file() else (path / "store").is_dir() for path in left):
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert left
    # Of another store of the same folder, whose name begins alike.
    other = tmp_path / f".{name}2.publish-abcdefgh"
    other.mkdir()
    done = subprocess.run([*program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"removing {left[0]}, which a publication left that was killed" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([other.name, copy.name, name])
    assert verify(tmp_path / name).findings == []


def test_two_publications_to_one_place_do_not_meet(filled: Path, tmp_path: Path) -> None:
    for target in (tmp_path / "published", tmp_path / "published.zarr.zip"):
        with held_lease(str(target), "publish"), pytest.raises(LeaseError, match="is in use by"):
            publish(str(filled), str(target), "summary", Quiet())


@pytest.mark.parametrize("said", [{"authors": ["Doe, Jo", " "]}, {"authors": [""]}, {"title": ""}])
def test_nobody_is_no_author(filled: Path, tmp_path: Path, said: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"--author names nobody|--title is empty"):
        publish(str(filled), str(tmp_path / "published"), "summary", Quiet(), **said)
    assert list(tmp_path.iterdir()) == []


def test_vcztools_reads_a_full_store(full: Path) -> None:
    program = Path(sys.executable).with_name("vcztools")
    printed = subprocess.run(
        [program, "query", "-l", str(full / "genotypes")], capture_output=True, text=True, check=False
    )
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.split() == [str(name) for name in open_store(full).read("genotypes/sample_id")]
