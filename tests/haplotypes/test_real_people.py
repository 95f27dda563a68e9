"""Haplotype windows of real people, in a store, against bcftools consensus."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from pdstore.haplotypes.onehot import one_hot
from pdstore.haplotypes.window import Variants, WindowSpec
from pdstore.init import Sources, init_store
from pdstore.stages.windows import Windows
from pdstore.store import Store, open_store

COMPLEMENT = bytes.maketrans(b"ACGTN", b"TGCAN")
PEOPLE = 110
MARGIN = 2_000
"""Bases that bcftools gets more than the windows have: reference may slide in from there."""

SPECS = [
    WindowSpec(length, offset, strand, variants)
    for variants in ("snv", "all")
    for length, offset, strand in ((196_608, 98_303, "forward"), (10_500, 6_999, "gene"))
]


class Gap(NamedTuple):
    """Where a chain file says that reference and haplotype differ in length: both 0-based, from the stretch's begin."""

    reference: int
    haplotype: int
    reference_length: int
    haplotype_length: int


class Oracle(NamedTuple):
    """A haplotype of the whole stretch, as bcftools makes it; `start` is 0-based on the contig."""

    start: int
    letters: bytes
    gaps: tuple[Gap, ...]

    def place(self, position: int) -> int:
        """Where a 0-based position of the contig is in `letters`."""
        place = position - self.start
        for gap in self.gaps:
            if gap.reference + gap.reference_length <= position - self.start:
                place = (
                    gap.haplotype + gap.haplotype_length + position - self.start - gap.reference - gap.reference_length
                )
            else:
                assert position - self.start < gap.reference, "nobody in the cohort lacks a TSS"
        return place

    def window(self, window: WindowSpec, tss: int, gene_strand: str) -> bytes:
        """The window around a 1-based TSS."""
        tss_place = self.place(tss - 1)
        if window.strand == "gene" and gene_strand == "-":
            first = tss_place - (window.length - 1 - window.tss_offset)
            return self.letters[first : first + window.length].translate(COMPLEMENT)[::-1]
        first = tss_place - window.tss_offset
        return self.letters[first : first + window.length]


@pytest.fixture(scope="module")
def store(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The real cohort with the windows of Enformer and Xpresso, of SNVs and of all variants."""
    path = tmp_path_factory.mktemp("real") / "geuvadis.zarr"
    source = shared_data / "geuvadis_chr20"
    vcf = source / "chr20.1000G_EUR502.phased.vcf.gz"
    init_store(path, Sources([vcf], source / "chr20.fa", source / "genes.tsv", source / "expression.tsv.gz"))
    store = open_store(path, "r+")
    for window in SPECS:
        stage = Windows(window)
        stage.prepare(store)
        for block in stage.pending(store, range(4)).todo:
            stage.run(store, block)
        stage.gather(store)
    return store


@pytest.fixture(scope="module")
def people(store: Store) -> list[int]:
    """Rows of the people who are compared: spread over the cohort."""
    count = store.array("genotypes/sample_id").shape[0]
    return [int(row) for row in np.linspace(0, count - 1, PEOPLE)]


@pytest.fixture(scope="module")
def sources(
    store: Store, people: list[int], bcftools: str, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, Path, Path]:
    """The stretch that all windows lie in: where it begins, its FASTA, and a VCF of the people."""
    folder = tmp_path_factory.mktemp("stretch")
    source = shared_data / "geuvadis_chr20"
    starts = [store.read(f"windows/{window.name}/window_start") for window in SPECS]
    start = min(int(first.min()) for first in starts) - MARGIN
    end = max(int(first.max()) + window.length for first, window in zip(starts, SPECS, strict=True)) + MARGIN
    letters = (source / "chr20.fa").read_text().replace("\n", "").removeprefix(">20")[start:end]
    fasta = folder / "stretch.fa"
    fasta.write_text(f">20:{start + 1}-{end}\n{letters}\n")
    names = ",".join(str(name) for name in store.read("genotypes/sample_id")[people])
    vcf = folder / "people.vcf.gz"
    whole = source / "chr20.1000G_EUR502.phased.vcf.gz"
    subprocess.run([bcftools, "view", "-s", names, "-r", f"20:{start}-{end}", "-Oz", "-o", vcf, whole], check=True)
    subprocess.run([bcftools, "index", vcf], check=True)
    return start, fasta, vcf


def consensus(
    bcftools: str, sources: tuple[int, Path, Path], variants: Variants, sample: str, haplotype: int
) -> Oracle:
    """A person's first or second haplotype (1 or 2)."""
    start, fasta, vcf = sources
    chain = fasta.with_name(f"{variants}-{sample}-{haplotype}.chain")
    only = ["-i", 'TYPE="snp"'] if variants == "snv" else []
    which = ["-H", f"{haplotype}pIu", "-s", sample, "-c", str(chain)]
    done = subprocess.run([bcftools, "consensus", "-f", fasta, *which, *only, vcf], capture_output=True, check=True)
    letters = b"".join(done.stdout.split(b"\n")[1:])
    return Oracle(start, letters, tuple(chain_gaps(chain.read_text())))


def chain_gaps(text: str) -> Iterator[Gap]:
    """The gaps of a chain file: lines of bases in common, then bases that only reference and haplotype have."""
    reference = haplotype = 0
    for line in text.splitlines():
        numbers = line.split()
        if len(numbers) == 3:
            same, lost, gained = map(int, numbers)
            reference, haplotype = reference + same, haplotype + same
            yield Gap(reference, haplotype, lost, gained)
            reference, haplotype = reference + lost, haplotype + gained


@pytest.fixture(scope="module", params=["snv", "all"])
def oracles(
    request: pytest.FixtureRequest, store: Store, people: list[int], bcftools: str, sources: tuple[int, Path, Path]
) -> tuple[Variants, dict[tuple[int, int], Oracle]]:
    """Both haplotypes of every person, by row and haplotype."""
    keys = [(person, haplotype) for person in people for haplotype in (0, 1)]
    names = store.read("genotypes/sample_id")
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda key: consensus(bcftools, sources, request.param, str(names[key[0]]), key[1] + 1), keys)
        return request.param, dict(zip(keys, found, strict=True))


def stored_rows(store: Store, path: str, gene: int, rows: set[int]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Rows of a gene's haplotypes, a few at a time: all of them are half a gigabyte."""
    count, step = int(store.read(f"{path}/haplotype_count", gene)), 384
    for start in range(0, count, step):
        part = store.read(f"{path}/haplotype_onehot", (gene, slice(start, min(count, start + step))))
        yield from ((row, part[row - start]) for row in sorted(rows) if start <= row < start + len(part))


@pytest.mark.parametrize("length", [196_608, 10_500])
def test_both_haplotypes_of_real_people_equal_bcftools_consensus(
    store: Store, oracles: tuple[Variants, dict[tuple[int, int], Oracle]], length: int
) -> None:
    variants, haplotypes = oracles
    (window,) = (spec for spec in SPECS if (spec.length, spec.variants) == (length, variants))
    path = f"windows/{window.name}"
    compared = 0
    for gene in range(4):
        tss, strand = int(store.read("genes/gene_tss", gene)), str(store.read("genes/gene_strand", gene))
        index = store.read(f"{path}/haplotype_index", gene)
        of_row: dict[int, list[tuple[int, int]]] = {}
        for person, haplotype in haplotypes:
            of_row.setdefault(int(index[person, haplotype]), []).append((person, haplotype))
        for row, stored in stored_rows(store, path, gene, set(of_row)):
            # People of one row have equal haplotypes: each of their oracles is looked at, one_hot of the first.
            first, *others = [haplotypes[key].window(window, tss, strand) for key in of_row[row]]
            assert np.array_equal(stored, one_hot(np.frombuffer(first, np.uint8))), f"gene {gene}, row {row}"
            assert not set(others) - {first}
            compared += 1 + len(others)
    assert compared == 4 * 2 * PEOPLE


def test_indels_move_windows_of_real_people(
    store: Store, oracles: tuple[Variants, dict[tuple[int, int], Oracle]]
) -> None:
    variants, haplotypes = oracles
    moved = sum(bool(oracle.gaps) for oracle in haplotypes.values())
    # What the test above compares is worth it: everyone has an indel there, and with SNVs only nobody.
    assert moved == (len(haplotypes) if variants == "all" else 0)


def test_only_distinct_haplotypes_are_stored(store: Store) -> None:
    for window in SPECS:
        if window.length > 20_000:
            continue
        path = f"windows/{window.name}"
        for gene in range(4):
            count = int(store.read(f"{path}/haplotype_count", gene))
            stored = store.read(f"{path}/haplotype_onehot", (gene, slice(0, count)))
            if window.variants == "snv":
                assert len({row.tobytes() for row in stored}) == count
            assert set(store.read(f"{path}/haplotype_index", gene).ravel()) == set(range(count))
