"""VCF and BCF: what is refused before anything is converted, and what is converted."""

import errno
import gzip
import subprocess
from pathlib import Path

import numpy as np
import pytest
import zarr
from builders import CONTIGS, PEOPLE, RECORDS, bgzip, listing, vcf_text, write_vcf

from pdstore.errors import InputError
from pdstore.sources.vcf import convert_to_vcf_zarr, read_vcf_headers


def calls_of(text: str) -> list[list[int]]:
    return [[-1 if allele == "." else int(allele) for allele in call.split("|")] for call in text.split()]


CALLS = np.array([calls_of(record.calls) for record in RECORDS])


def converted(paths: list[Path], folder: Path) -> zarr.Group:
    read_vcf_headers(paths)
    return convert_to_vcf_zarr(paths, folder / "genotypes.zarr", 10_000)


def by_place(group: zarr.Group) -> dict[tuple[str, int], list[list[int]]]:
    """Calls of each record: the order of contigs is the header's, and of no meaning."""
    contig = np.asarray(group["contig_id"])[np.asarray(group["variant_contig"])]
    places = zip(contig.tolist(), np.asarray(group["variant_position"]).tolist(), strict=True)
    return dict(zip(places, np.asarray(group["call_genotype"]).tolist(), strict=True))


EXPECTED = {(record.contig, record.position): calls.tolist() for record, calls in zip(RECORDS, CALLS, strict=True)}


@pytest.mark.parametrize(
    ("name", "contigs"),
    [
        *((name, contigs) for name in ("x.vcf", "x.vcf.gz", "x.bcf") for contigs in (None, {"1": None, "2": None})),
        # A header may declare no contig; only a BCF must.
        ("x.vcf", {}),
        ("x.vcf.gz", {}),
    ],
)
def test_every_record_of_a_file_of_several_contigs_without_index_is_converted(tmp_path: Path, name: str, contigs):
    path = write_vcf(tmp_path / name, contigs=contigs)
    group = converted([path], tmp_path)
    assert by_place(group) == EXPECTED
    assert np.asarray(group["sample_id"]).tolist() == list(PEOPLE)
    assert listing(tmp_path)[-1] == name, "an index or a part is left beside the VCF"


def test_plain_gzip_is_read_as_bgzip_is(tmp_path: Path):
    path = tmp_path / "x.vcf.gz"
    path.write_bytes(gzip.compress(vcf_text().encode()))
    assert by_place(converted([path], tmp_path)) == EXPECTED


@pytest.mark.parametrize(("name", "index"), [("x.vcf.gz", "--tbi"), ("x.vcf.gz", "--csi"), ("x.bcf", "--csi")])
def test_indexed_files_are_read(tmp_path: Path, bcftools: str, name: str, index: str):
    path = write_vcf(tmp_path / name)
    subprocess.run([bcftools, "index", index, path], check=True)
    assert by_place(converted([path], tmp_path)) == EXPECTED


@pytest.mark.parametrize("names", [("chr1.vcf.gz", "chr2.vcf.gz"), ("b.vcf", "a.bcf")])
@pytest.mark.parametrize("own_header", [True, False])
def test_a_file_a_chromosome_makes_one_whole(tmp_path: Path, names: tuple[str, str], own_header: bool):
    paths = []
    for name, contig in zip(names, CONTIGS, strict=True):
        records = [record for record in RECORDS if record.contig == contig]
        contigs = {contig: len(CONTIGS[contig])} if own_header else None
        paths.append(write_vcf(tmp_path / name, records, contigs=contigs))
    assert by_place(converted(paths, tmp_path)) == EXPECTED


def damaged(path: Path) -> Path:
    """A bgzip file with bytes changed in its middle; its end is whole."""
    data = bgzip(vcf_text([RECORDS[0]] * 3000).encode())
    middle = len(data) // 2
    path.write_bytes(data[:middle] + b"\xff\x13\x77\x01" + data[middle + 4 :])
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


REFUSED_HEADERS = {
    "no GT": (lambda f: write_vcf(f / "x.vcf", [], gt_declared=False), "no GT in its header"),
    "a person twice": (
        lambda f: write_vcf(f / "x.vcf", people=[*PEOPLE[:5], PEOPLE[0]]),
        "two samples have the same name",
    ),
    "a person twice, bgzip": (
        lambda f: write_vcf(f / "x.vcf.gz", people=[*PEOPLE[:5], PEOPLE[0]]),
        "two samples have the same name",
    ),
    "bgzip without its end": (lambda f: written(f / "x.vcf.gz", bgzip(vcf_text().encode())[:-28]), "truncated"),
    "bgzip cut in a block": (lambda f: written(f / "x.vcf.gz", bgzip(vcf_text().encode())[:300]), "truncated"),
    "gzip cut": (lambda f: written(f / "x.vcf.gz", gzip.compress(vcf_text().encode())[:-60]), "truncated"),
    "BCF cut": (lambda f: written(f / "x.bcf", write_vcf(f / "y.bcf").read_bytes()[:-28]), "truncated"),
    "empty": (lambda f: written(f / "x.vcf", b""), "empty file"),
    "no VCF": (lambda f: written(f / "x.vcf", b"hello\nworld\n"), "not a VCF or BCF"),
    "absent": (lambda f: f / "x.vcf", "no such file"),
}


@pytest.mark.parametrize("case", REFUSED_HEADERS)
def test_files_that_cannot_be_used_are_refused_by_name_before_anything_is_converted(tmp_path: Path, case: str):
    make, words = REFUSED_HEADERS[case]
    path = make(tmp_path)
    with pytest.raises(InputError, match=words) as caught:
        read_vcf_headers([path])
    assert str(path) in str(caught.value)
    assert not [name for name in PEOPLE if name in str(caught.value)]


def test_files_of_other_people_or_in_another_order_are_refused(tmp_path: Path):
    first = write_vcf(tmp_path / "a.vcf", RECORDS[:7])
    for people in (PEOPLE[::-1], [*PEOPLE[:5], "HGq7099"]):
        with pytest.raises(InputError, match=r"b\.vcf: its 6 samples differ"):
            read_vcf_headers([first, write_vcf(tmp_path / "b.vcf", RECORDS[7:], people=people)])
    with pytest.raises(InputError, match="no VCF is given"):
        read_vcf_headers([])


REFUSED_RECORDS = {
    "damaged in the middle": (damaged, "a record cannot be read: .*bgzf"),
    "cut in a line": (
        lambda p: written(p.with_suffix(""), vcf_text().encode()[:-10]),
        "a record cannot be read: .*2:120",
    ),
    "too few calls": (lambda p: write_vcf(p, [RECORDS[0]._replace(calls="0|1 0|1")]), "number of samples"),
    "a GT that is none": (lambda p: write_vcf(p, [RECORDS[0]._replace(calls=" ".join(["0|x"] * 6))]), "1:20"),
    "a position that is none": (lambda p: write_vcf(p, [RECORDS[0]._replace(position="x")]), "position 'x'"),
    "a contig that comes back": (lambda p: write_vcf(p, [RECORDS[0], RECORDS[8], RECORDS[1]]), "out of order: 1:50"),
}


@pytest.mark.parametrize("case", REFUSED_RECORDS)
def test_records_that_cannot_be_read_are_refused_and_none_is_dropped(tmp_path: Path, case: str):
    make, words = REFUSED_RECORDS[case]
    path = make(tmp_path / "x.vcf.gz")
    with pytest.raises(InputError, match=words) as caught:
        converted([path], tmp_path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [name for name in PEOPLE if name in str(caught.value)]


def test_files_that_overlap_are_refused_with_what_to_do(tmp_path: Path):
    paths = [write_vcf(tmp_path / name) for name in ("a.vcf", "b.vcf")]
    with pytest.raises(InputError, match=r"cannot be joined: Overlapping.*bcftools concat"):
        converted(paths, tmp_path)


@pytest.mark.parametrize(
    ("options", "build"),
    [
        ({"header": ["##reference=file:///refs/hs37d5.fa"]}, "GRCh37"),
        ({"header": ["##contig=<ID=3,assembly=GRCh38>"]}, "GRCh38"),
        ({"contigs": {"1": 400, "2": 300, "chr20": 63025520}}, "GRCh37"),
        ({}, None),
    ],
)
def test_the_build_that_a_header_names_is_claimed(tmp_path: Path, options, build: str | None):
    header = read_vcf_headers([write_vcf(tmp_path / "x.vcf", **options)])
    assert header.sample_names == PEOPLE
    assert {claim.build for claim in header.builds} == ({build} if build else set())


def test_a_full_disk_is_not_blamed_on_the_vcf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def convert(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("bio2zarr.vcf.convert", convert)
    with pytest.raises(OSError, match="No space left"):
        convert_to_vcf_zarr([write_vcf(tmp_path / "x.vcf")], tmp_path / "converted", 100)
