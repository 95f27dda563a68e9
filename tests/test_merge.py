"""Stores that collaborators filled in parts are one store, merged: bit for bit what one fill of everything makes."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from builders import CONTIGS, GENES, PEOPLE, listing
from filled_stores import WEIGHTS, chunks, made
from quiet import Quiet

from pdstore.diff import diff
from pdstore.errors import DamagedDataError, LeaseError, PdstoreError, StoreError, UsageError
from pdstore.init import Sources, init_store
from pdstore.lease import held_lease
from pdstore.merge import Merged, merge
from pdstore.models.registry import ModelReference
from pdstore.schema import create_array, deviations, schema_of
from pdstore.sharing.publish import publish
from pdstore.sources.simulate import SimulatedCohort
from pdstore.status import store_status
from pdstore.store import Store, open_store

Program = Callable[..., subprocess.CompletedProcess[str]]
Fill = Callable[..., None]


def merged(*stores: Path, out: Path) -> Merged:
    return merge([str(store) for store in stores], out, Quiet())


def copied(store: Path, folder: Path) -> Path:
    return Path(shutil.copytree(store, folder / "copy.zarr"))


@pytest.fixture(scope="module")
def whole(
    cohort: SimulatedCohort, cnn: ModelReference, fill_now: Fill, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Four genes of the simulated cohort, filled in one go: not to be written to."""
    return simulated(tmp_path_factory.mktemp("whole"), cohort, slice(0, 4), cnn, fill_now)


def simulated(
    folder: Path, cohort: SimulatedCohort, genes: slice, cnn: ModelReference, fill_now: Fill, fill: slice = slice(None)
) -> Path:
    """A store of some genes of the simulated cohort, filled for some of them."""
    header, *lines = cohort.genes.read_text().splitlines(keepends=True)
    (folder / "genes.tsv").write_text("".join([header, *lines[genes]]))
    init_store(folder / "store.zarr", Sources([cohort.vcf], cohort.fasta, folder / "genes.tsv", cohort.expression))
    store = open_store(folder / "store.zarr", "r+")
    fill_now(store, cnn, list(range(len(lines[genes])))[fill])
    return folder / "store.zarr"


@pytest.fixture(scope="module")
def first_half(fill_now: Fill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same store, filled for the first two genes: not to be written to."""
    return made(tmp_path_factory.mktemp("first") / "cohort", fill_now, rows=[0, 1])


@pytest.fixture(scope="module")
def second_half(fill_now: Fill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same store, filled for the last two genes: not to be written to."""
    return made(tmp_path_factory.mktemp("second") / "cohort", fill_now, rows=[2, 3])


def attributes(store: Store) -> dict[str, dict[str, Any]]:
    groups = [group["group"] for group in store_status(store)["groups"]]
    return {path: store.group(path).attrs.asdict() for path in groups}


def is_whole(store: Store, expected: Path) -> None:
    """Whether a store is what one fill of everything makes."""
    reference = open_store(expected)
    assert deviations(store.root) == []
    assert diff(store, reference).is_empty
    assert chunks(Path(store.url)) == chunks(expected)
    assert attributes(store) == attributes(reference)
    assert {group["state"] for group in store_status(store)["groups"]} == {"filled"}


def test_two_halves_are_bit_for_bit_one_fill_of_all_genes(
    whole: Path, cohort: SimulatedCohort, cnn: ModelReference, fill_now: Fill, tmp_path: Path
) -> None:
    halves = []
    for half in (0, 1):
        (tmp_path / str(half)).mkdir()
        halves.append(simulated(tmp_path / str(half), cohort, slice(0, 4), cnn, fill_now, slice(half, None, 2)))
    found = merged(*halves, out=tmp_path / "out.zarr")
    is_whole(open_store(tmp_path / "out.zarr"), whole)
    for path in attributes(open_store(whole)):
        assert [found.taken[f"genes of {path} from {half}"] for half in halves] == [2, 2]
    assert found.left_out == {}
    assert (found.genes, found.people) == (4, 40)


def test_stores_of_other_genes_are_one_of_all(small: Path, fill_now: Fill, tmp_path: Path) -> None:
    parts = []
    for name, genes in (("a", GENES[:3]), ("b", GENES[1:])):
        parts.append(made(tmp_path / name, fill_now, genes))
    found = merged(*parts, out=tmp_path / "out.zarr")
    store = open_store(tmp_path / "out.zarr")
    is_whole(store, small)
    assert found.taken[f"genes from {parts[1]}, which the stores before it lack"] == 1
    assert found.taken["of these also in another store, with the same values: genes of predictions/cnn"] == 2
    assert store.attributes["counts"]["taken"]["genes"] == 4
    assert len(store.attributes["inputs"]["genes"]) == 2
    assert store.attributes["inputs"]["expression"] == open_store(small).attributes["inputs"]["expression"]


def test_windows_of_more_variants_and_contigs_of_another_store_are_taken_in(
    small: Path, fill_now: Fill, tmp_path: Path
) -> None:
    parts = []
    for number, genes in enumerate(([GENES[2], GENES[3]], [GENES[0], GENES[1]])):
        parts.append(made(tmp_path / str(number), fill_now, genes))
    sizes = [open_store(path).array("attributions/cnn/ism").shape[1] for path in (*parts, small)]
    assert sizes[0] < sizes[1] == sizes[2], "the first store's windows are narrower"
    merged(*reversed(parts), out=tmp_path / "ordered.zarr")
    is_whole(open_store(tmp_path / "ordered.zarr"), small)
    merged(*parts, out=tmp_path / "reversed.zarr")
    store = open_store(tmp_path / "reversed.zarr")
    assert store.read("genes/gene_name").tolist() == ["GAMMA", "DELTA", "ALPHA", "BETA"]
    assert diff(store, open_store(small)).is_empty
    assert store.read("reference/contig_id").tolist() == ["2", "1"]
    bases = store.read("reference/sequence").tobytes().decode()
    assert bases == CONTIGS["2"] + CONTIGS["1"]


def test_sets_of_predictions_stand_side_by_side(first_half: Path, small: Path, fill_now: Fill, tmp_path: Path) -> None:
    other = made(tmp_path / "other", fill_now, rows=[])
    fill_now(open_store(other, "r+"), replace(WEIGHTS, label="before"))
    fill_now(open_store(other, "r+"), replace(WEIGHTS, label="after"))
    merged(first_half, other, out=tmp_path / "out.zarr")
    store = open_store(tmp_path / "out.zarr")
    orders = {name: store.group(f"predictions/{name}").attrs["order"] for name in store.members("predictions")}
    assert orders == {"cnn": 0, "before": 1, "after": 2}
    states = {group["group"]: group["filled"] for group in store_status(store)["groups"]}
    assert states["predictions/cnn"] == 2
    assert states["predictions/before"] == states["statistics/after"] == 4
    assert states["eqtl/200bp_tss100_gene_snv"] == 4


def test_a_fill_goes_on_with_blocks_of_a_gene_that_was_begun(
    first_half: Path, second_half: Path, small: Path, fill_now: Fill, tmp_path: Path
) -> None:
    begun = copied(second_half, tmp_path)
    for path in ("predictions/cnn/expression", "attributions/cnn/ism", "statistics/cnn/gene_values"):
        shutil.rmtree(begun / path / "c" / "3")
    shutil.rmtree(begun / "statistics/cnn/n_samples/c")
    shutil.rmtree(begun / "eqtl/200bp_tss100_gene_snv/p_value/c/3")
    found = merged(first_half, begun, out=tmp_path / "out.zarr")
    assert found.taken[f"blocks of unfinished genes of predictions/cnn from {begun}"] == 1
    assert found.left_out["genes of eqtl/200bp_tss100_gene_snv that a kill left half-written"] == 1
    store = open_store(tmp_path / "out.zarr", "r+")
    tracks = tmp_path / "out.zarr/predictions/cnn/tracks/c/3/0/0/0"
    before = tracks.stat().st_ino, tracks.stat().st_mtime_ns
    fill_now(store, WEIGHTS)
    assert (tracks.stat().st_ino, tracks.stat().st_mtime_ns) == before, "its model did not run again"
    is_whole(store, small)


def test_blocks_of_another_size_are_left_out_and_whole_genes_rewritten(
    first_half: Path, second_half: Path, small: Path, fill_now: Fill, tmp_path: Path
) -> None:
    begun = in_blocks_of(second_half, tmp_path / "begun.zarr", 2)
    for path in ("predictions/cnn/expression", "statistics/cnn/gene_values"):
        shutil.rmtree(begun / path / "c" / "3")
    shutil.rmtree(begun / "statistics/cnn/n_samples/c")
    found = merged(first_half, begun, out=tmp_path / "out.zarr")
    (what,) = [what for what in found.left_out if what.startswith("blocks")]
    assert what.startswith("blocks of 2 of unfinished genes of predictions/cnn, where the new store's are of 12")
    fill_now(open_store(tmp_path / "out.zarr", "r+"), WEIGHTS)
    is_whole(open_store(tmp_path / "out.zarr"), small)


def in_blocks_of(store: Path, path: Path, haplotypes: int) -> Path:
    """A copy of a store whose predictions are in blocks of so many haplotypes."""
    shutil.copytree(store, path)
    group = open_store(path, "r+").group("predictions/cnn")
    group.attrs["haplotypes_per_block"] = haplotypes
    values = {row: open_store(path).read_if_filled("predictions/cnn/tracks", row) for row in (2, 3)}
    shape = group["tracks"].shape
    del group["tracks"]
    sizes = dict(zip(schema_of("predictions/cnn").arrays["tracks"].dims, shape, strict=True))
    create_array(group, schema_of("predictions/cnn").arrays["tracks"], sizes, group.attrs.asdict())
    for row, tracks in values.items():
        count = int((~np.isnan(tracks[:, 0, 0])).sum())
        rows = -(-count // haplotypes) * haplotypes
        open_store(path, "r+").write("predictions/cnn/tracks", (row, slice(0, rows)), tracks[:rows])
    return path


def test_a_gene_that_both_filled_with_the_same_values_in_other_bytes_is_fine(
    small: Path, second_half: Path, tmp_path: Path
) -> None:
    other = in_blocks_of(second_half, tmp_path / "other.zarr", 2)
    merged(small, other, out=tmp_path / "out.zarr")
    is_whole(open_store(tmp_path / "out.zarr"), small)


def changed(path: str, selection: Any, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def run(store: Path) -> None:
        opened = open_store(store, "r+")
        opened.write(path, selection, change(opened.read(path, selection)))

    return run


def attribute(path: str, name: str, value: Any) -> Callable[[Path], None]:
    def run(store: Path) -> None:
        zarr.open_group(store / path, mode="r+").attrs[name] = value

    return run


def inputs(**changes: Any) -> Callable[[Path], None]:
    def run(store: Path) -> None:
        root = zarr.open_group(store, mode="r+")
        root.attrs["inputs"] = root.attrs["inputs"] | changes

    return run


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            changed("genotypes/sample_id", ..., lambda names: names[::-1]),
            "has the people of {b} in another order",
        ),
        (
            changed("genotypes/sample_id", ..., lambda names: np.array([*names[:-1], "HGq7009"], dtype=object)),
            "has 6 people, of whom {b} lacks 1",
        ),
        (
            changed(
                "genotypes/call_genotype", ..., lambda calls: np.where(np.arange(10)[:, None, None] == 3, 0, calls)
            ),
            "genotypes/call_genotype is not the same in {a} and {b}, first at 1:100",
        ),
        (changed("variants/position", ..., lambda of: of + 1), "variants/position is not the same in {a} and {b}:"),
        (
            changed("reference/contig_digest", 1, lambda digest: "SQ.other"),
            "contig 2 SQ.",
        ),
        (attribute("", "genome_build", "GRCh37"), "{a} has genome build not given, but {b} has GRCh37"),
        (inputs(vcf=["0f"]), "but {b} has 0f"),
        (inputs(covariates="0f"), "{a} has the digest of its covariates none, but {b} has 0f"),
        (
            attribute("expression", "residualised", ["age"]),
            "{a} has expression with residualised none, but {b} has age",
        ),
        (changed("genes/gene_tss", 1, lambda tss: 261), "has gene_tss 260 in {a}, but 261 in {b}"),
        (
            changed("expression/observed", ..., lambda of: of + (np.arange(4)[:, None] == 2)),
            "expression/observed of gene ENSG00000000021 is not the same in {a} and {b}: it differs for 6 of 6 people",
        ),
        (
            attribute("predictions/cnn", "weights_sha256", "0f"),
            "attributions/cnn is stale: its weights",
        ),
        (
            attribute("statistics/cnn", "seed", 5),
            "statistics/cnn of {a} was filled with seed 0, but statistics/cnn of {b} with 5",
        ),
        (
            changed("predictions/cnn/track_name", ..., lambda of: np.array(["another"], dtype=object)),
            "predictions/cnn/track_name is not the same",
        ),
        (
            changed("predictions/cnn/expression", 2, lambda of: of + 1e-9),
            "predictions/cnn/expression of gene GAMMA (ENSG00000000021) holds other values in {a} than in {b}",
        ),
        (
            changed("windows/200bp_tss100_gene_snv/variant_start", ..., lambda of: of + 1),
            "windows/200bp_tss100_gene_snv/variant_start of gene ALPHA (ENSG00000000011) is 1 in {b}, but 0",
        ),
        (attribute("", "level", "summary"), "{b} is a summary"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(
    small: Path, tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    other = copied(small, tmp_path)
    change(other)
    before = listing(tmp_path)
    with pytest.raises(PdstoreError) as caught:
        merged(small, other, out=tmp_path / "out.zarr")
    message = str(caught.value)
    assert said.format(a=small, b=other) in message
    assert "\n" not in message
    assert not [name for name in PEOPLE if name in message]
    assert listing(tmp_path) == before, "something is left behind"


def test_a_flipped_bit_is_found(small: Path, tmp_path: Path) -> None:
    other = copied(small, tmp_path)
    chunk = other / "predictions/cnn/tracks/c/1/0/0/0"
    content = bytearray(chunk.read_bytes())
    content[10] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(DamagedDataError, match="predictions/cnn/tracks/c/1/0/0/0 is damaged"):
        merged(small, other, out=tmp_path / "out.zarr")


def test_a_store_that_is_written_and_one_that_is_given_twice_are_refused(
    small: Path, first_half: Path, tmp_path: Path
) -> None:
    other = copied(small, tmp_path)
    with held_lease(str(other), "fill"), pytest.raises(LeaseError, match="is in use by pdstore fill"):
        merged(first_half, other, out=tmp_path / "out.zarr")
    with pytest.raises(UsageError, match="each once"):
        merged(other, other, out=tmp_path / "out.zarr")
    with pytest.raises(StoreError, match="exists already"):
        merged(first_half, small, out=other)


def test_what_was_published_is_merged_and_is_not_published_then(
    first_half: Path, second_half: Path, small: Path, tmp_path: Path
) -> None:
    publish(str(second_half), str(tmp_path / "shared.zarr.zip"), "full", Quiet(), individual_level=True)
    merged(tmp_path / "shared.zarr.zip", first_half, out=tmp_path / "out.zarr")
    is_whole(open_store(tmp_path / "out.zarr", "r+"), small)
    assert "published" not in open_store(tmp_path / "out.zarr").attributes


def test_a_summary_has_nothing_to_merge(small: Path, first_half: Path, tmp_path: Path) -> None:
    publish(str(small), str(tmp_path / "summary.zarr"), "summary", Quiet(), min_carriers=3)
    with pytest.raises(PdstoreError, match="is a summary: it holds nobody's data"):
        merged(first_half, tmp_path / "summary.zarr", out=tmp_path / "out.zarr")


def test_the_program_says_what_it_took(first_half: Path, second_half: Path, tmp_path: Path, pdstore: Program) -> None:
    out = tmp_path / "out.zarr"
    done = pdstore("merge", first_half, second_half, "-s", out)
    assert done.returncode == 0, done.stderr
    assert f"        2  genes of predictions/cnn from {second_half}" in done.stdout.splitlines()
    assert done.stdout.splitlines()[:2] == ["        6  people", "        4  genes"]
    refused = pdstore("merge", first_half, second_half, "-s", out)
    assert refused.returncode == 2
    assert "exists already" in refused.stderr
