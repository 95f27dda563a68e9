"""Every stage of a fill with --variants all, on a small cohort with a haploid person: alleles of every kind count."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import RECORDS, Record, write_cohort, write_vcf
from scipy import stats

from pdstore.analysis.readout import read_out
from pdstore.errors import DamagedDataError, ProvenanceError
from pdstore.haplotypes.onehot import one_hot
from pdstore.init import init_store
from pdstore.models.cnn import Cnn, CnnConfig
from pdstore.models.registry import ModelReference
from pdstore.models.training import TrainingSettings, train
from pdstore.models.window_task import WindowTask
from pdstore.query import query_gene
from pdstore.sources.variants import COMPLEX, DELETION, INSERTION, MNV, SNV, SYMBOLIC
from pdstore.stages.eqtl import Eqtl
from pdstore.stages.statistics import Statistics
from pdstore.stages.windows import Windows
from pdstore.store import Store, open_store

HAPLOID = 5
"""The last person has one haplotype on contig 2."""

GAMMA = 2
"""Row of a gene on contig 2."""


def with_haploid_person(record: Record) -> Record:
    calls = record.calls.split()
    if record.contig == "2":
        calls[HAPLOID] = calls[HAPLOID].split("|")[0].replace(".", "1")
    return record._replace(calls=" ".join(calls))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> ModelReference:
    """A CNN of a short window, trained on noise: its outputs depend on the sequence, and mean nothing."""
    rng = np.random.default_rng(0)
    config = CnnConfig(120, 60, "gene", kernels=8, kernel_width=6, pool=12, hidden=8)
    windows = np.eye(4, dtype=bool)[rng.integers(4, size=(32, 124))]
    path = tmp_path_factory.mktemp("cnn") / "cnn.safetensors"
    task = WindowTask(windows, rng.normal(size=32), config.window_length, shift=2)
    Cnn.of(config, train(config, task, TrainingSettings(epochs=2)), "cpu").save(path)
    return ModelReference("cnn", path, variants="all")


@pytest.fixture(scope="module")
def store(reference: ModelReference, tmp_path_factory: pytest.TempPathFactory, fill_now) -> Store:
    folder = tmp_path_factory.mktemp("all")
    # Beyond the builders' records: variants of contig 2, where the haploid person is, of other kinds.
    more = [
        Record("2", 52, "", "", "0|0 0|0 0|0 0|0 0|0 0"),  # nobody has it, and it has an effect all the same
        Record("2", 70, "", "", "1|0 0|0 0|1 1|1 0|0 1"),
        Record("2", 80, "", "", "0|1 0|0 1|1 0|0 1|0 0"),
        Record("2", 100, "", "", "0|0 1|0 0|1 0|1 1|0 1"),
    ]
    sources = write_cohort(folder)
    bases = "".join(line for line in sources.fasta.read_text().split(">2")[1].splitlines()[1:])
    other = {base: "ACGT"["ACGT".index(base) - 1] for base in "ACGT"}
    more[0] = more[0]._replace(ref=bases[51:57], alt=bases[51])
    more[1] = more[1]._replace(ref=bases[69:73], alt=bases[69])
    more[2] = more[2]._replace(ref=bases[79], alt=bases[79] + other[bases[80]] * 3)
    more[3] = more[3]._replace(ref=bases[99:101], alt=other[bases[99]] + other[bases[100]])
    records = sorted([*map(with_haploid_person, RECORDS), *more], key=lambda record: (record.contig, record.position))
    write_vcf(sources.vcf[0], records)
    init_store(folder / "cohort.zarr", sources)
    opened = open_store(folder / "cohort.zarr", "r+")
    fill_now(opened, reference)
    return opened


def columns_of(store: Store, reference: ModelReference, gene: int) -> slice:
    path = f"windows/{reference.window.name}"
    first = int(store.read(f"{path}/variant_start", gene))
    return slice(first, first + int(store.read(f"{path}/variant_count", gene)))


def test_indels_have_slopes_of_their_dosage(store: Store, reference: ModelReference) -> None:
    rows = columns_of(store, reference, GAMMA)
    kinds = store.read("variants/kind", rows)
    assert {SNV, INSERTION, DELETION, MNV} <= set(kinds.tolist())
    slopes = store.read(f"eqtl/{reference.window.name}/slope", GAMMA)
    calls = store.read("genotypes/call_genotype")[store.read("variants/genotype_record", rows)]
    dosage = (calls == store.read("variants/allele_index", rows)[:, None, None]).sum(axis=2)
    observed = store.read("expression/observed", GAMMA)
    for column, copies in enumerate(dosage):
        if len(set(copies)) > 1:
            assert slopes[column] == pytest.approx(stats.linregress(copies, observed).slope)


def test_ism_of_an_indel_is_of_the_reference_with_that_allele(store: Store, reference: ModelReference) -> None:
    rows = columns_of(store, reference, GAMMA)
    kinds, model = store.read("variants/kind", rows), reference.load()
    tss = int(store.read("genes/gene_tss", GAMMA))
    contig = "".join(map(chr, store.read("reference/sequence")))[-300:]
    ism = store.read("attributions/cnn/ism", GAMMA)
    baseline = store.read("predictions/cnn/reference_tracks", GAMMA)
    for column in np.flatnonzero(np.isin(kinds, (INSERTION, DELETION, MNV, COMPLEX))):
        row = rows.start + int(column)
        start = int(store.read("variants/position", row)) - 1
        ref, alt = (str(store.read(f"variants/{name}", row)) for name in ("ref", "alt"))
        changed = contig[:start] + alt + contig[start + len(ref) :]
        # The indels lie left of the TSS, which moves by what they add.
        assert start + len(ref) < tss or len(ref) == len(alt)
        begin = tss - 1 + len(alt) - len(ref) - reference.window.tss_offset
        window = one_hot(np.frombuffer(changed[begin : begin + reference.window.length].encode(), np.uint8))
        expected = read_out(model.predict(window[None])[0], model.description.readout) - read_out(
            baseline, model.description.readout
        )
        assert ism[column] == pytest.approx(float(expected), abs=1e-6)
        assert ism[column] != 0


def test_a_haploid_persons_prediction_is_that_of_the_one_haplotype(store: Store, reference: ModelReference) -> None:
    path = f"windows/{reference.window.name}"
    index = store.read(f"{path}/haplotype_index", GAMMA)
    assert index[HAPLOID].tolist() == [index[HAPLOID, 0], -2]
    assert index[HAPLOID, 0] >= 0
    count = int(store.read(f"{path}/haplotype_count", GAMMA))
    of_haplotype = read_out(store.read("predictions/cnn/tracks", (GAMMA, slice(0, count))), "sum")
    expression = store.read("predictions/cnn/expression", GAMMA)
    assert expression[HAPLOID] == of_haplotype[index[HAPLOID, 0]]
    for person in range(HAPLOID):
        assert expression[person] == pytest.approx(of_haplotype[index[person]].mean())


def test_what_is_not_spelt_out_has_neither_slope_nor_ism(store: Store, reference: ModelReference) -> None:
    for gene in range(4):
        kinds = store.read("variants/kind", columns_of(store, reference, gene))
        for array in (f"eqtl/{reference.window.name}/slope", "attributions/cnn/ism"):
            values = store.read(array, gene)
            assert np.isnan(values[: len(kinds)][kinds == SYMBOLIC]).all()
            assert np.isnan(values[len(kinds) :]).all()


def test_counts_are_those_of_the_window(store: Store, reference: ModelReference) -> None:
    path = f"windows/{reference.window.name}"
    names = store.read(f"{path}/count_name").tolist()
    counts = dict(zip(names, store.read(f"{path}/gene_counts", GAMMA).tolist(), strict=True))
    assert counts["people with one haplotype"] == 1
    assert counts["insertion alleles, applied where carried"] == 1
    assert counts["deletion alleles, applied where carried"] == 2, "one of them nobody has"
    assert counts["MNV alleles, applied where carried"] == 1
    # 2:120 has three alleles that are not called: one person has none, another one.
    assert counts["missing calls, read as reference"] == 3
    totals = store.group(path).attrs["counts"]
    assert totals == dict(zip(names, store.read(f"{path}/gene_counts").sum(axis=0).tolist(), strict=True))


def test_a_query_answers_for_all_variants(store: Store) -> None:
    answer = query_gene(store, "GAMMA")
    assert answer["n_samples"] == 6
    assert answer["correlation"]["pearson_r"] is not None


def test_statistics_of_other_windows_than_the_predictions_are_refused(
    store: Store, reference: ModelReference, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(store.url, tmp_path / "store.zarr"))
    opened, snvs = open_store(path, "r+"), replace(reference, variants="snv")
    for stage in (Windows(snvs.window), Eqtl(snvs.window)):
        stage.prepare(opened)
    shutil.rmtree(path / "statistics")
    with pytest.raises(
        ProvenanceError, match=r"predictions/cnn was filled with window .*_all, but .*_snv is given now"
    ):
        Statistics(snvs).prepare(opened)
    assert opened.members("statistics") == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("windows/{window}/variant_start", -8),
        ("windows/{window}/variant_count", 10**6),
        ("windows/{window}/window_start", 3),
        ("windows/{window}/reach_before", 2**30),
        ("windows/{window}/reach_after", -1),
        ("variants/kind", 11),
        ("variants/kind", -1),
        ("variants/genotype_record", 10**9),
        ("variants/allele_index", 0),
        ("variants/record_length", 0),
        ("variants/ref", ""),
        ("variants/alt", "\u00e9"),
        ("variants/position", 2**31 - 1),
    ],
)
def test_impossible_values_of_a_damaged_store_end_in_one_error(
    store: Store, reference: ModelReference, tmp_path: Path, path: str, value: object
) -> None:
    opened = open_store(shutil.copytree(store.url, tmp_path / "store.zarr"), "r+")
    path = path.format(window=reference.window.name)
    values = opened.read(path)
    values[...] = value
    opened.write(path, ..., values)
    with pytest.raises(DamagedDataError):
        Windows(reference.window).run(opened, (GAMMA,))


def test_where_no_gene_has_a_p_value_queries_answer_all_the_same(
    store: Store, reference: ModelReference, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(store.url, tmp_path / "store.zarr"))
    shutil.rmtree(path / "statistics")
    opened = open_store(path, "r+")
    opened.write("expression/observed", ..., np.full((4, 6), np.nan, dtype=np.float32))
    stage = Statistics(reference)
    stage.prepare(opened)
    for block in stage.pending(opened, range(4)).todo:
        stage.run(opened, block)
    stage.gather(opened)
    assert query_gene(opened, "GAMMA")["correlation"]["fdr"] is None
