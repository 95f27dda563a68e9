"""Haplotype windows, against bcftools consensus and against plain loops."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pdstore.haplotypes.build import (
    WindowSnvs,
    alternate_dosage,
    carried_alleles,
    distinct_haplotypes,
    haplotype_windows,
)
from pdstore.haplotypes.onehot import one_hot, reverse_complement
from pdstore.haplotypes.window import WindowSpec
from pdstore.stages.windows import Windows
from pdstore.store import Store, open_store

ENFORMER = WindowSpec(196_608, 98_303, "forward")
XPRESSO = WindowSpec(10_500, 6_999, "gene")
PEOPLE = 60


@pytest.fixture(scope="module")
def windows_store(geuvadis: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The real cohort with Enformer's windows of every gene beside Xpresso's."""
    path = tmp_path_factory.mktemp("windows") / "geuvadis.zarr"
    shutil.copytree(geuvadis, path)
    store = open_store(path, "r+")
    stage = Windows(ENFORMER)
    stage.prepare(store)
    for block in stage.pending(store, range(4)).todo:
        stage.run(store, block)
    stage.gather(store)
    return store


def consensus(bcftools: str, folder: Path, vcf: Path, reference: str, start: int, sample: str, haplotype: int) -> str:
    """A person's haplotype as bcftools makes it; `start` is 0-based on contig 20."""
    fasta = folder / f"{start}-{len(reference)}.fa"
    if not fasta.exists():
        fasta.write_text(f">20:{start + 1}-{start + len(reference)}\n{reference}\n")
    command = [
        bcftools,
        "consensus",
        "-f",
        str(fasta),
        "-H",
        f"{haplotype}pIu",
        "-s",
        sample,
        "-i",
        'TYPE="snp"',
        str(vcf),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return "".join(done.stdout.splitlines()[1:])


@pytest.mark.parametrize(
    ("window", "gene", "people"),
    [
        (ENFORMER, 1, PEOPLE),
        (XPRESSO, 1, PEOPLE),
        (ENFORMER, 2, 5),
        (ENFORMER, 3, 5),
        (XPRESSO, 0, 5),
        (XPRESSO, 2, 5),
        (XPRESSO, 3, 5),
    ],
)
def test_both_haplotypes_of_real_people_equal_bcftools_consensus(
    windows_store: Store, bcftools: str, shared_data: Path, tmp_path: Path, window: WindowSpec, gene: int, people: int
) -> None:
    vcf = shared_data / "geuvadis_chr20" / "chr20.1000G_EUR502.phased.vcf.gz"
    fasta = (shared_data / "geuvadis_chr20" / "chr20.fa").read_text().replace("\n", "").removeprefix(">20")
    path = f"windows/{window.name}"
    start = int(windows_store.read(f"{path}/window_start", gene))
    minus = str(windows_store.read("genes/gene_strand", gene)) == "-"
    sample_ids = windows_store.read("genotypes/sample_id")
    index = windows_store.read(f"{path}/haplotype_index", gene)
    count = int(windows_store.read(f"{path}/haplotype_count", gene))
    stored = windows_store.read(f"{path}/haplotype_onehot", (gene, slice(0, count)))
    for person in np.linspace(0, len(sample_ids) - 1, people).astype(int):
        for haplotype in (0, 1):
            reference = fasta[start : start + window.length]
            sample = str(sample_ids[person])
            expected = one_hot(
                np.frombuffer(
                    consensus(bcftools, tmp_path, vcf, reference, start, sample, haplotype + 1).encode(), np.uint8
                )
            )
            if minus and window.strand == "gene":
                expected = reverse_complement(expected)
            assert np.array_equal(stored[index[person, haplotype]], expected)


def test_only_distinct_haplotypes_are_stored(windows_store: Store) -> None:
    for gene in range(4):
        path = f"windows/{XPRESSO.name}"
        count = int(windows_store.read(f"{path}/haplotype_count", gene))
        stored = windows_store.read(f"{path}/haplotype_onehot", (gene, slice(0, count)))
        assert len({row.tobytes() for row in stored}) == count
        assert set(windows_store.read(f"{path}/haplotype_index", gene).ravel()) == set(range(count))


@given(hnp.arrays(bool, st.tuples(st.integers(0, 20), st.integers(1, 6), st.just(2))), st.data())
def test_every_persons_haplotype_is_found_again(carried: np.ndarray, data: st.DataObject) -> None:
    absent = data.draw(hnp.arrays(bool, carried.shape[1:]))
    found = distinct_haplotypes(carried, absent)
    assert len({row.tobytes() for row in found.alleles}) == len(found.alleles)
    for person, haplotype in np.ndindex(absent.shape):
        index = found.haplotype_index[person, haplotype]
        if absent[person, haplotype]:
            assert index == -2
        else:
            assert np.array_equal(found.alleles[index], carried[:, person, haplotype])


@given(hnp.arrays(bool, st.tuples(st.integers(0, 20), st.integers(1, 6), st.just(2))))
def test_swapping_a_persons_haplotypes_swaps_their_rows(carried: np.ndarray) -> None:
    absent = np.zeros(carried.shape[1:], dtype=bool)
    straight, swapped = distinct_haplotypes(carried, absent), distinct_haplotypes(carried[:, :, ::-1], absent)
    assert np.array_equal(straight.alleles, swapped.alleles)
    assert np.array_equal(straight.haplotype_index, swapped.haplotype_index[:, ::-1])


def test_windows_hold_the_reference_but_for_the_carried_alleles() -> None:
    reference = one_hot(np.frombuffer(b"ACGTN", np.uint8))
    snvs = WindowSnvs(np.array([0, 3]), np.array([2, 0], dtype=np.int8))
    built = haplotype_windows(reference, np.array([[0, 0], [1, 0], [1, 1]], dtype=bool), snvs)
    assert [
        one_hot(np.frombuffer(text, np.uint8)).tolist() for text in (b"ACGTN", b"GCGTN", b"GCGAN")
    ] == built.tolist()


def test_of_two_alleles_at_one_base_the_first_wins() -> None:
    snvs = WindowSnvs(np.array([1, 1]), np.array([2, 3], dtype=np.int8))
    built = haplotype_windows(one_hot(np.frombuffer(b"AAA", np.uint8)), np.array([[True, True]]), snvs)
    assert built[0].argmax(axis=1).tolist() == [0, 2, 0]


def test_missing_and_absent_calls_carry_nothing() -> None:
    calls = np.array([[[0, 1], [-1, -1], [2, -2]]], dtype=np.int8)
    carried = carried_alleles(calls, np.array([0, 0]), np.array([1, 2], dtype=np.int8))
    assert carried.astype(int).tolist() == [[[0, 1], [0, 0], [0, 0]], [[0, 0], [0, 0], [1, 0]]]
    assert alternate_dosage(carried).tolist() == [[1, 0, 0], [0, 0, 1]]
