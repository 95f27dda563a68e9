"""Genotypes as VCF Zarr of format 2: what vcztools and xarray read of it is what bcftools reads of the VCF."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from builders import (
    CONTIGS,
    PEOPLE,
    RECORDS,
    Record,
    expression_table,
    write_cohort,
    write_fasta,
    write_table,
    write_vcf,
)

import pdstore.vcf_zarr
from pdstore.errors import MissingDataError, UsageError
from pdstore.init import Sources, init_store
from pdstore.schema import schema_of
from pdstore.store import Store, create_store, mark_complete, open_store
from pdstore.vcf_zarr import export_vcf_zarr

Program = Callable[..., subprocess.CompletedProcess[str]]

# Beside the builders' SNVs, indels, multi-allelic, symbolic and missing calls: haploid ones.
HAPLOID = (*RECORDS, Record("2", 200, "T", "C", "1 0 . 0|1 1|1 0"))
KEPT = (PEOPLE[4], PEOPLE[0], PEOPLE[2])


class Silent:
    """An observer that shows nothing, and keeps the blocks it is told of."""

    def __init__(self) -> None:
        self.blocks: list[int] = []

    def waiting(self, what: str) -> None: ...
    def step_begins(self, name: str, unit: str, blocks: int, units: int, done: int) -> None: ...
    def block_done(self, units: int, worked: bool) -> None:
        self.blocks.append(units)

    def step_ends(self) -> None: ...


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    folder = tmp_path_factory.mktemp("vcz")
    contigs = CONTIGS | {"2": CONTIGS["2"][:199] + "T" + CONTIGS["2"][200:]}
    # A store keeps only the people with expression, in the VCF's order.
    return write_cohort(
        folder,
        fasta=write_fasta(folder / "T.fa", contigs),
        vcf=[write_vcf(folder / "haploid.vcf.gz", HAPLOID)],
        expression=write_table(folder / "three.tsv", expression_table(people=KEPT)),
    )


@pytest.fixture(scope="module")
def store(cohort: Sources, tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("vcz-store") / "store.zarr"
    init_store(path, cohort)
    return open_store(path)


def vcztools(command: str, path: Path, *arguments: str) -> str:
    program = [sys.executable, "-c", "from vcztools.cli import vcztools_main; vcztools_main()", command]
    return subprocess.run([*program, *arguments, str(path)], capture_output=True, text=True, check=True).stdout


def queried(bcftools: str, vcf: Path | str, people: list[str], given: bytes | None = None) -> list[str]:
    """CHROM, POS, ID, REF, ALT and genotypes of each record, as bcftools reads a VCF."""
    format = "%CHROM\t%POS\t%ID\t%REF\t%ALT\t%QUAL\t%FILTER[\t%GT]\n"
    asked = [bcftools, "query", "-s", ",".join(people), "-f", format, str(vcf)]
    return subprocess.run(asked, input=given, capture_output=True, check=True).stdout.decode().splitlines()


def test_vcztools_views_what_bcftools_reads_of_the_vcf(
    store: Store, cohort: Sources, tmp_path: Path, bcftools: str
) -> None:
    found = export_vcf_zarr(store, tmp_path / "out.vcz", Silent())
    assert (found.variants, found.samples, found.leftovers) == (len(HAPLOID), 3, [])
    people = vcztools("query", tmp_path / "out.vcz", "-l").split()
    assert people == [name for name in PEOPLE if name in KEPT]
    viewed = vcztools("view", tmp_path / "out.vcz").encode()
    expected = queried(bcftools, cohort.vcf[0], people)
    assert queried(bcftools, "-", people, viewed) == expected
    assert [line.split("\t")[7:] for line in expected][-1] == ["1", ".", "1|1"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.vcz"]


def test_the_arrays_are_those_of_the_store_in_format_2(store: Store, tmp_path: Path) -> None:
    export_vcf_zarr(store, tmp_path / "out.vcz", Silent())
    root = zarr.open_group(str(tmp_path / "out.vcz"), mode="r", zarr_format=2, use_consolidated=True)
    assert root.attrs["vcf_zarr_version"] == store.group("genotypes").attrs["vcf_zarr_version"]
    names = set(dict(store.group("genotypes").arrays()))
    assert set(dict(root.arrays())) == names | {"call_genotype_mask"}
    for name in names:
        np.testing.assert_array_equal(np.asarray(root[name]), store.read(f"genotypes/{name}"), err_msg=name)
        dims = store.array(f"genotypes/{name}").metadata.dimension_names
        assert root[name].attrs["_ARRAY_DIMENSIONS"] == list(dims or ())
    np.testing.assert_array_equal(np.asarray(root["call_genotype_mask"]), np.asarray(root["call_genotype"]) < 0)
    assert set(np.unique(root["call_genotype"])) == {-2, -1, 0, 1, 2}


def test_xarray_keeps_genotypes_whole_numbers(store: Store, tmp_path: Path) -> None:
    export_vcf_zarr(store, tmp_path / "out.vcz", Silent())
    dataset = xarray.open_zarr(tmp_path / "out.vcz", zarr_format=2, consolidated=True, chunks=None)
    assert dataset.call_genotype.dtype == np.int8
    assert dataset.call_genotype.dims == ("variants", "samples", "ploidy")
    np.testing.assert_array_equal(dataset.call_genotype, store.read("genotypes/call_genotype"))
    assert dataset.variant_allele.values.tolist() == store.read("genotypes/variant_allele").tolist()


def test_codecs_and_data_types_are_of_zarr_2(store: Store, tmp_path: Path) -> None:
    export_vcf_zarr(store, tmp_path / "out.vcz", Silent())
    metadata = json.loads((tmp_path / "out.vcz" / ".zmetadata").read_text())["metadata"]
    arrays = {key.partition("/")[0]: of for key, of in metadata.items() if key.endswith(".zarray")}
    assert len(arrays) == len(dict(store.group("genotypes").arrays())) + 1
    for name, of in arrays.items():
        assert of["zarr_format"] == 2
        assert of["compressor"]["id"] == "blosc", name
        assert of["fill_value"] is None, name
        assert re.fullmatch(r"\|O|\|[bi]1|<[if][48]", of["dtype"]), name
        assert of["filters"] == ([{"id": "vlen-utf8"}] if of["dtype"] == "|O" else None), name


def test_chunks_are_copied_one_by_one_and_all_written(
    cohort: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of 4 variants and 2 people; a chunk of reference calls alone is written too."""
    group = schema_of("genotypes")
    small = {
        name: replace(array, chunks=(4, *array.chunks[1:])) if array.dims[0] == "variants" else array
        for name, array in group.arrays.items()
    }
    monkeypatch.setitem(group.__dict__, "arrays", small)
    monkeypatch.setattr(pdstore.vcf_zarr, "_SAMPLES_A_CHUNK", 2)
    init_store(tmp_path / "store.zarr", cohort)
    store, observer = open_store(tmp_path / "store.zarr"), Silent()
    export_vcf_zarr(store, tmp_path / "out.vcz", observer)
    assert observer.blocks == [4, 4, 3]
    root: Any = zarr.open_group(str(tmp_path / "out.vcz"), mode="r", zarr_format=2)
    assert root["call_genotype"].chunks == (4, 2, 2)
    chunks = [path.name for path in (tmp_path / "out.vcz" / "call_genotype").iterdir() if path.name[0] != "."]
    assert sorted(chunks) == sorted(f"{row}.{column}.0" for row in range(3) for column in range(2))
    np.testing.assert_array_equal(root["call_genotype"][...], store.read("genotypes/call_genotype"))
    view = vcztools("view", tmp_path / "out.vcz", "-H", "-r", "2:100-250")
    assert [line.split("\t")[1] for line in view.splitlines()] == ["120", "200"]


def test_what_is_refused_leaves_nothing(store: Store, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="there exists already"):
        export_vcf_zarr(store, tmp_path / "there", Silent())
    with pytest.raises(UsageError, match="there is no folder"):
        export_vcf_zarr(store, tmp_path / "no" / "out.vcz", Silent())
    inside = Path(store.url) / "out.vcz"
    with pytest.raises(UsageError, match="lies in the store"):
        export_vcf_zarr(store, inside, Silent())
    assert not inside.exists()
    summary = create_store(tmp_path / "summary.zarr")
    mark_complete(summary, {"level": "summary"})
    with pytest.raises(MissingDataError, match="is a summary: nobody's genotypes are in it"):
        export_vcf_zarr(open_store(tmp_path / "summary.zarr"), tmp_path / "out.vcz", Silent())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["summary.zarr", "there"]
    assert list((tmp_path / "there").iterdir()) == []


def test_a_lost_chunk_is_an_error_and_nothing_is_left(store: Store, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(store.url, tmp_path / "copy.zarr"))
    (copy / "genotypes" / "call_genotype" / "c" / "0" / "0" / "0").unlink()
    with pytest.raises(MissingDataError, match="genotypes/call_genotype/c/0/0/0 is not filled, or was lost"):
        export_vcf_zarr(open_store(copy), tmp_path / "out.vcz", Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["copy.zarr"]


def test_the_program_says_what_it_holds_and_names_nobody(pdstore: Program, store: Store, tmp_path: Path) -> None:
    done = pdstore("export", "vcz", tmp_path / "out.vcz", "-s", store.url)
    assert (done.returncode, done.stdout) == (0, "")
    assert "wrote 11 records of 3 people" in done.stderr
    assert "holds people's genotypes and names" in done.stderr
    assert not [name for name in PEOPLE if name in done.stderr]
    (tmp_path / ".other.vcz.export-killed").mkdir()
    assert "left by another export" in pdstore("export", "vcz", "-o", tmp_path / "other.vcz", "-s", store.url).stderr
    for arguments, message in (
        ((tmp_path / "out.vcz",), "exists already"),
        ((), r"where to\? pdstore export vcz OUT"),
        ((tmp_path / "a", "-o", tmp_path / "b"), "Name one of both"),
        ((tmp_path / "a", "--model", "cnn"), "genotypes are of no model"),
    ):
        refused = pdstore("export", "vcz", *arguments, "-s", store.url)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert re.search(message, refused.stderr)


def test_the_real_cohort(shared_data: Path, tmp_path: Path, bcftools: str) -> None:
    source = shared_data / "geuvadis_chr20"
    vcf = source / "chr20.1000G_EUR502.phased.vcf.gz"
    init_store(
        tmp_path / "store.zarr",
        Sources([vcf], source / "chr20.fa", source / "genes.tsv", source / "expression.tsv.gz"),
    )
    began = time.monotonic()
    export_vcf_zarr(open_store(tmp_path / "store.zarr"), tmp_path / "out.vcz", Silent())
    assert time.monotonic() - began < 30
    people = vcztools("query", tmp_path / "out.vcz", "-l").split()
    assert len(people) == 345
    viewed = vcztools("view", tmp_path / "out.vcz").encode()
    assert queried(bcftools, "-", people, viewed) == queried(bcftools, vcf, people)
