"""Windows through a real store: init, then the stage, on random contigs and on people with calls of every kind."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from builders import GeneRow, Record, expression_table, vcf_text, write_cohort, write_fasta, write_genes, write_table
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from plain_haplotypes import Case, PlainRecord, cases, plain_window

from pdstore.haplotypes.onehot import one_hot
from pdstore.haplotypes.window import WindowSpec
from pdstore.init import init_store
from pdstore.stages.windows import Windows
from pdstore.store import Store, open_store

PEOPLE = ("HGq7001", "HGq7002", "HGq7003")
SPECS = (WindowSpec(60, 20, "gene", "all"), WindowSpec(41, 3, "forward", "all"), WindowSpec(60, 20, "gene", "snv"))


def call_texts(record: PlainRecord) -> str:
    """A record's calls as VCF has them: -1 is missing, -2 no second haplotype."""
    texts = ["." if call == -1 else str(call) for call in record.calls]
    pairs = zip(texts[::2], texts[1::2], strict=True)
    return " ".join(one if other == "-2" else f"{one}|{other}" for one, other in pairs)


def filled_store(folder: Path, cohort: Sequence[Case], genes: Sequence[GeneRow]) -> Store:
    """A store of contigs c0, c1, ... with its windows."""
    records = [
        Record(f"c{contig}", record.position, record.ref, ",".join(record.alts), call_texts(record))
        for contig, case in enumerate(cohort)
        for record in case.records
    ]
    contigs = {f"c{contig}": case.reference for contig, case in enumerate(cohort)}
    vcf = folder / "random.vcf"
    lengths: dict[str, int | None] = {name: len(bases) for name, bases in contigs.items()}
    vcf.write_text(vcf_text(records, PEOPLE, lengths))
    sources = write_cohort(
        folder,
        vcf=[vcf],
        fasta=write_fasta(folder / "random.fa", contigs),
        genes=write_genes(folder / "random.tsv", genes),
        expression=write_table(folder / "random.expression.tsv", expression_table(genes, PEOPLE)),
    )
    path = folder / "cohort.zarr"
    init_store(path, sources)
    store = open_store(path, "r+")
    for window in SPECS:
        stage = Windows(window)
        stage.prepare(store)
        for block in stage.pending(store, range(len(genes))).todo:
            stage.run(store, block)
        stage.gather(store)
    return store


def windows_in_store(store: Store, window: WindowSpec, gene: int) -> dict[int, np.ndarray]:
    """The one-hot windows of a gene's haplotypes, two of them a person's; without those that are absent."""
    path = f"windows/{window.name}"
    index = store.read(f"{path}/haplotype_index", gene).ravel().tolist()
    stored = store.read(f"{path}/haplotype_onehot", (gene, slice(0, max(index) + 1)))
    return {haplotype: stored[row] for haplotype, row in enumerate(index) if row != -2}


def expected_window(case: Case, window: WindowSpec, haplotype: int, gene: GeneRow) -> np.ndarray:
    bases = plain_window(case, haplotype, window, gene.tss, gene.strand)
    return one_hot(np.frombuffer("".join(base.letter for base in bases).encode(), dtype=np.uint8))


CONTIGS = cases(10, 80, haplotypes=2 * len(PEOPLE)).filter(lambda case: bool(case.records))


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(cohort=st.lists(CONTIGS, min_size=4, max_size=4), data=st.data())
def test_windows_in_a_store_equal_those_of_plain_loops(
    tmp_path_factory: pytest.TempPathFactory, cohort: list[Case], data: st.DataObject
) -> None:
    # Two genes a contig, where their variants are.
    near = [
        min(max(record.position + data.draw(st.integers(-3, 3)), 1), len(case.reference))
        for case in cohort
        for record in (case.records[0], case.records[-1])
    ]
    genes = [
        GeneRow(f"ENSG{gene:011d}", f"GENE{gene}", f"c{gene // 2}", tss, "+-"[data.draw(st.integers(0, 1))])
        for gene, tss in enumerate(near)
    ]
    store = filled_store(tmp_path_factory.mktemp("store"), cohort, genes)
    assert store.read("genes/gene_id").tolist() == [gene.gene_id for gene in genes]
    for window in SPECS:
        for row, gene in enumerate(genes):
            stored = windows_in_store(store, window, row)
            assert len(stored) == 2 * len(PEOPLE)
            for haplotype, built in stored.items():
                expected = expected_window(cohort[row // 2], window, haplotype, gene)
                assert np.array_equal(built, expected), (gene, haplotype)


HAPLOID = Case(
    "ACGTTGCAAGTCCTGAGCTAACGTTGCAAGTCCTGAGCTA",
    (
        PlainRecord(9, "AGT", ("A", "AGTCC"), (1, -2, 2, 0, -1, 1)),
        PlainRecord(12, "C", ("*", "G"), (2, -2, 1, 2, 2, -1)),
        PlainRecord(20, "A", ("ATT",), (1, -2, 0, 1, 1, 1)),
    ),
)
"""The first person is haploid, the others lack some calls."""
HAPLOID_GENES = (GeneRow("ENSG00000000001", "ONE", "c0", 10, "+"), GeneRow("ENSG00000000002", "TWO", "c0", 10, "-"))


@pytest.fixture(scope="module")
def haploid(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return filled_store(tmp_path_factory.mktemp("haploid"), [HAPLOID], HAPLOID_GENES)


def test_a_haploid_person_has_one_haplotype_and_missing_calls_are_reference(haploid: Store) -> None:
    for window in SPECS:
        for row, gene in enumerate(HAPLOID_GENES):
            index = haploid.read(f"windows/{window.name}/haplotype_index", row)
            assert (index == -2).tolist() == [[False, True], [False, False], [False, False]]
            stored = windows_in_store(haploid, window, row)
            assert list(stored) == [0, 2, 3, 4, 5]
            for haplotype, built in stored.items():
                assert np.array_equal(built, expected_window(HAPLOID, window, haplotype, gene))


def test_what_was_applied_and_skipped_is_counted(haploid: Store) -> None:
    path = f"windows/{SPECS[0].name}"
    names = haploid.read(f"{path}/count_name").tolist()
    counted = dict(zip(names, haploid.read(f"{path}/gene_counts", 0).tolist(), strict=True))
    assert {name: count for name, count in counted.items() if count} == {
        "SNV alleles, applied where carried": 1,
        "insertion alleles, applied where carried": 2,
        "deletion alleles, applied where carried": 1,
        "overlapping deletion (*) alleles, skipped": 1,
        "missing calls, read as reference": 2,
        "people with one haplotype": 1,
        "haplotypes whose TSS is deleted, the next base in its place": 2,
    }


def test_filling_again_changes_nothing(haploid: Store) -> None:
    stage = Windows(SPECS[0])
    before = haploid.read(f"{stage.group}/haplotype_onehot", (0, slice(0, 3)))
    stage.prepare(haploid)
    stage.run(haploid, (0,))
    assert np.array_equal(haploid.read(f"{stage.group}/haplotype_onehot", (0, slice(0, 3))), before)
