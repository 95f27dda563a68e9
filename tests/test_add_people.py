"""People who are added to a store: what models computed stays, and a fill gives what one of everybody gives."""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import (
    CONTIGS,
    GENES,
    PEOPLE,
    RECORDS,
    UNPHASED,
    Record,
    expression_table,
    write_cohort,
    write_table,
    write_vcf,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pdstore.add import NewPeople, add_people
from pdstore.diff import diff
from pdstore.errors import InputError, PdstoreError, ProvenanceError, UsageError
from pdstore.haplotypes.build import distinct_haplotypes, numbered_haplotypes
from pdstore.init import Sources, init_store
from pdstore.models.registry import ModelReference
from pdstore.schema import deviations
from pdstore.stages import predictions
from pdstore.status import store_status
from pdstore.store import open_store

Program = Callable[..., subprocess.CompletedProcess[str]]
Fill = Callable[..., None]

WEIGHTS = ModelReference("cnn", Path(__file__).parent / "stores" / "cnn.safetensors")

# More haplotypes than a block of the model has (64), of SNVs and indels, some of them rare.
MANY = tuple(f"HGq7{number:03}" for number in range(60))
FIRST = 50


class Quiet:
    """Progress that says nothing."""

    def step(self, what: str) -> None:
        pass

    def copying(self, total: int) -> None:
        pass

    def copied(self, size: int) -> None:
        pass


def many_records() -> list[Record]:
    """Records of `MANY`: every tenth base an SNV, fewer on contig 2, and indels that the last person alone carries."""
    rng = np.random.default_rng(0)
    records = []
    for contig, bases in CONTIGS.items():
        for position in range(25, len(bases) - 10, 10 if contig == "1" else 30):
            if bases[position - 1 : position + 2].count("N"):
                continue
            ref, alt = bases[position - 1], "C" if bases[position - 1] in "AT" else "T"
            if position % 40 == 5:
                ref, alt = (bases[position - 1 : position + 2], ref) if position % 80 == 5 else (ref, ref + "GG")
            calls = rng.random((len(MANY), 2)) < (rng.choice([0.05, 0.3, 0.6]) if contig == "1" else 0.1)
            if len(ref) > 1:
                calls[:] = False
                calls[-1, 0] = True
            records.append(Record(contig, position, ref, alt, " ".join(f"{a:d}|{b:d}" for a, b in calls)))
    return records


def table_of(people: Sequence[str], seed: int = 1) -> list[list[str]]:
    """Expression that varies in everything; a person has the same values in every table of one seed."""
    of = {name: np.random.default_rng([seed, int(name[3:])]).normal(size=len(GENES)) for name in people}
    rows = [[gene.gene_id, *(f"{of[name][row]:.3f}" for name in people)] for row, gene in enumerate(GENES)]
    return [["gene_id", *people], *rows]


def cohort_of(folder: Path, people: Sequence[str], vcf: Sequence[Path] = (), **changes: Any) -> Sources:
    """Sources of some of the many: everybody is in the VCF, and some are measured."""
    folder.mkdir()
    given = vcf or [write_vcf(folder / "many.vcf.gz", many_records(), people=MANY)]
    measured = write_table(folder / "measured.tsv", table_of(people))
    return write_cohort(folder / "sources", vcf=given, expression=measured, **changes)


@pytest.fixture(scope="module", params=["snv", "all"])
def model(request: pytest.FixtureRequest) -> ModelReference:
    return replace(WEIGHTS, variants=request.param)


@pytest.fixture(scope="module")
def whole(model: ModelReference, fill_now: Fill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled store of all sixty people: not to be written to."""
    folder = tmp_path_factory.mktemp("whole")
    init_store(folder / "whole.zarr", cohort_of(folder / "cohort", MANY))
    fill_now(open_store(folder / "whole.zarr", "r+"), model)
    return folder / "whole.zarr"


@pytest.fixture(scope="module")
def first(model: ModelReference, fill_now: Fill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled store of the first fifty: not to be written to."""
    folder = tmp_path_factory.mktemp("first")
    init_store(folder / "first.zarr", cohort_of(folder / "cohort", MANY[:FIRST]))
    fill_now(open_store(folder / "first.zarr", "r+"), model)
    return folder / "first.zarr"


def test_a_fill_predicts_new_haplotypes_and_gives_what_one_of_everybody_gives(
    model: ModelReference, first: Path, whole: Path, fill_now: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Path(shutil.copytree(first, tmp_path / "store.zarr"))
    windows = f"windows/{model.window.name}"
    before = open_store(store).read(f"{windows}/haplotype_count")
    inodes = {file: file.stat().st_ino for file in store.rglob("predictions/cnn/tracks/c/*/0/0/0")}
    new = cohort_of(tmp_path / "more", MANY)
    added = add_people(str(store), NewPeople(new.vcf, new.expression), Quiet())
    opened = open_store(store, "r+")
    after = opened.read(f"{windows}/haplotype_count")
    assert added.taken["new people"] == 10
    assert added.taken["people now"] == 60
    assert added.taken[f"of these new: haplotypes of {windows}"] == (after - before).sum() > 0
    assert added.left_out["people of the VCF whom the store has already"] == 50
    assert deviations(opened.root) == []
    assert opened.read("genotypes/sample_id").tolist() == list(MANY)
    states = {group["group"]: group["state"] for group in store_status(opened)["groups"]}
    assert states[windows] == "filled"
    assert {state for group, state in states.items() if group.startswith(("eqtl/", "statistics/"))} == {"empty"}
    assert before.max() > 64 > before.min(), "genes of one block, and of two"
    kept = {file for file in inodes if file.exists()}
    assert kept, "whole blocks are still there"
    assert {file: file.stat().st_ino for file in kept} == {file: inodes[file] for file in kept}, "and not even copied"

    predicted = []
    real = predictions.predict_in_batches

    def counted(model: Any, windows: Any, reference: Any) -> Any:
        predicted.append(len(windows))
        return real(model, windows, reference)

    monkeypatch.setattr(predictions, "predict_in_batches", counted)
    fill_now(opened, model)
    # Where a gene's first block is not whole, its task predicts the reference, too.
    begun_anew = int(((after > before) & (before < 64)).sum())
    assert sum(predicted) == (after - before).sum() + begun_anew
    assert "predictions/cnn/kept_tracks" not in open_store(store), "it went when the blocks were done"
    found = diff(open_store(store), open_store(whole), tolerance=1e-6)
    assert found.is_empty, found
    assert deviations(open_store(store).root) == []


def test_people_may_come_twice_before_a_fill(
    model: ModelReference, first: Path, whole: Path, fill_now: Fill, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(first, tmp_path / "store.zarr"))
    for number, people in enumerate([MANY[:53], MANY]):
        new = cohort_of(tmp_path / f"more{number}", people)
        assert add_people(str(store), NewPeople(new.vcf, new.expression), Quiet()).taken["people now"] == len(people)
    assert open_store(store).chunks_written("predictions/cnn/kept_tracks")
    fill_now(open_store(store, "r+"), model)
    assert diff(open_store(store), open_store(whole), tolerance=1e-6).is_empty


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(0, 4), st.integers(0, 4))
def test_numbers_of_haplotypes_stay_and_new_ones_follow(seed: int, old: int, new: int, alleles: int) -> None:
    rng = np.random.default_rng(seed)
    applied, absent = rng.random((alleles, old + new, 2)) < 0.4, rng.random((old + new, 2)) < 0.2
    before = distinct_haplotypes(applied[:, :old], absent[:old])
    shuffled = rng.permutation(len(before.applied)).astype(np.int32)
    known = before.haplotype_index.copy()
    known[known >= 0] = shuffled[known[known >= 0]]
    found = numbered_haplotypes(applied, absent, known)
    np.testing.assert_array_equal(found.haplotype_index[:old], known)
    np.testing.assert_array_equal(found.haplotype_index == -2, absent)
    assert len(np.unique(found.applied, axis=0)) == len(found.applied)
    for person, copy in np.argwhere(~absent):
        np.testing.assert_array_equal(found.applied[found.haplotype_index[person, copy]], applied[:, person, copy])


def test_numbers_that_are_of_other_haplotypes_are_refused() -> None:
    applied = np.array([[[False, True], [True, False]]])
    absent = np.zeros((2, 2), dtype=bool)
    for known in ([[0, 0]], [[0, 2]], [[1, 2]], [[0, -2]]):
        with pytest.raises(ValueError, match="numbers"):
            numbered_haplotypes(applied, absent, np.array(known, dtype=np.int32))


# --- Sources --------------------------------------------------------------------------------------------------------


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """A store of the builders' first four people, not filled."""
    measured = write_table(tmp_path / "four.tsv", expression_table(people=PEOPLE[:4]))
    init_store(tmp_path / "four.zarr", write_cohort(tmp_path / "four", expression=measured))
    return tmp_path / "four.zarr"


def new_people(folder: Path, records: Sequence[Record] = RECORDS, **changes: Any) -> NewPeople:
    sources = write_cohort(folder, **({"vcf": [write_vcf(folder.with_suffix(".vcf.gz"), records)]} | changes))
    return NewPeople(sources.vcf, sources.expression)


def without_calls(record: Record) -> Record:
    return record._replace(calls=" ".join(["0|0"] * len(PEOPLE)))


def test_genotypes_are_those_of_one_vcf(four: Path, tmp_path: Path) -> None:
    add_people(str(four), new_people(tmp_path / "new"), Quiet())
    init_store(tmp_path / "all.zarr", write_cohort(tmp_path / "all"))
    grown, whole = open_store(four), open_store(tmp_path / "all.zarr")
    for group in ("genotypes", "variants", "expression", "genes"):
        for name in whole.arrays(group):
            np.testing.assert_array_equal(grown.read(f"{group}/{name}"), whole.read(f"{group}/{name}"), err_msg=name)
    inputs = grown.attributes["inputs"]
    assert len(inputs["vcf"]) == len(inputs["expression"]) == 2
    counts = grown.attributes["counts"]
    assert counts["taken"]["people with genotypes and expression"] == 4, "what init took"
    assert counts["notes"][-1].startswith("2 people added by pdstore")
    assert counts["notes"][-1].endswith(": 6 now")


def test_records_that_the_vcf_lacks_are_not_called_and_counted(four: Path, tmp_path: Path) -> None:
    beyond = Record("1", 30, CONTIGS["1"][29], "A" if CONTIGS["1"][29] != "A" else "C", "0|0 0|1 0|0 0|0 0|0 0|0")
    records = [record for record in RECORDS if record.position not in (80, 60)]
    records.insert(1, beyond)
    added = add_people(str(four), new_people(tmp_path / "new", records), Quiet())
    assert added.left_out["records of the store that the VCF lacks, read as reference in new people"] == 2
    assert added.left_out["records of the VCF that the store lacks, whose alleles no new person carries"] == 1
    store = open_store(four)
    rows = np.flatnonzero(np.isin(store.read("genotypes/variant_position"), (80, 60)))
    assert (store.read("genotypes/call_genotype")[rows, 4:] == -1).all()
    row = int(np.flatnonzero(store.read("variants/position") == 81)[0])
    assert store.read("variants/allele_frequency", row) == pytest.approx(1 / 8), "called in the first four"


def test_other_names_of_contigs_and_another_order_of_records_are_the_same(four: Path, tmp_path: Path) -> None:
    renamed = [record._replace(contig=f"chr{record.contig}") for record in (*RECORDS[7:], *RECORDS[:7])]
    contigs = {f"chr{name}": len(bases) for name, bases in reversed(CONTIGS.items())}
    vcf = [write_vcf(tmp_path / "renamed.vcf.gz", renamed, contigs=contigs)]
    add_people(str(four), new_people(tmp_path / "new", vcf=vcf), Quiet())
    init_store(tmp_path / "all.zarr", write_cohort(tmp_path / "all"))
    grown, whole = (open_store(path).read("genotypes/call_genotype") for path in (four, tmp_path / "all.zarr"))
    np.testing.assert_array_equal(grown, whole)


def with_calls(record: Record, person: int, call: str) -> Record:
    calls = record.calls.split()
    calls[person] = call
    return record._replace(calls=" ".join(calls))


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([Record("1", 30, CONTIGS["1"][29], "N", "0|0 0|0 0|0 0|0 0|1 0|0"), *RECORDS[1:]], "of 1 records that the st"),
        ([RECORDS[0]._replace(alt="C"), *RECORDS[1:]], r"the first 1:20 A>C: nobody was called there"),
        (RECORDS[:7], "none of the 3 records that the store has on contig 2"),
        ([*UNPHASED[:1], RECORDS[1]._replace(calls="0|1 2|0 1|2 0|0 0/1 2|2"), *RECORDS[2:]], "1 heterozygous calls"),
        ([with_calls(RECORDS[0], 4, "0|3"), *RECORDS[1:]], "names allele 3"),
        ([RECORDS[1], RECORDS[0], *RECORDS[2:]], "out of order"),
    ],
)
def test_genotypes_that_do_not_go_together_are_refused(
    records: list[Record], message: str, four: Path, tmp_path: Path
) -> None:
    refused(four, new_people(tmp_path / "new", records), InputError, message)


def test_unphased_calls_of_new_people_may_be_read_as_reference(four: Path, tmp_path: Path) -> None:
    records = [RECORDS[0], with_calls(RECORDS[1], 4, "0/1"), *RECORDS[2:]]
    new = replace(new_people(tmp_path / "new", records), unphased="reference")
    added = add_people(str(four), new, Quiet())
    assert added.left_out["unphased heterozygous calls, read as reference"] == 1
    assert open_store(four).read("genotypes/call_genotype")[1, 4].tolist() == [0, 0]


def refused(store: Path, new: NewPeople, kind: type[PdstoreError], message: str) -> None:
    """The store stays as it is, and the error names nobody."""
    before = {path: path.stat().st_ino for path in store.rglob("*")}
    beside = sorted(store.parent.iterdir())
    with pytest.raises(kind, match=message) as caught:
        add_people(str(store), new, Quiet())
    assert not [name for name in PEOPLE if name in str(caught.value)]
    assert "\n" not in str(caught.value)
    assert {path: path.stat().st_ino for path in store.rglob("*")} == before
    assert sorted(store.parent.iterdir()) == beside


def test_people_who_cannot_be_added_are_refused(four: Path, tmp_path: Path) -> None:
    new = new_people(tmp_path / "new")
    old = write_table(tmp_path / "old.tsv", expression_table(people=PEOPLE[:4]))
    refused(four, replace(new, expression=old), InputError, "none of the 2 new people of the VCF is in it")
    nobody = write_vcf(tmp_path / "old.vcf.gz", [without_calls(r) for r in RECORDS])
    init_store(tmp_path / "all.zarr", write_cohort(tmp_path / "all"))
    refused(tmp_path / "all.zarr", replace(new, vcf=[nobody]), InputError, "all of its 6 people are in the store")
    other = expression_table()
    other[1][1] = "99.5"
    table = write_table(tmp_path / "other.tsv", other)
    refused(four, replace(new, expression=table), ProvenanceError, "1 of the 4 people .* normalised anew")
    table = write_table(
        tmp_path / "covariates.tsv", [["id", "age"], *([name, str(7 + i)] for i, name in enumerate(PEOPLE))]
    )
    refused(four, replace(new, covariates=table), UsageError, "has no covariates")


def test_who_is_not_measured_stays_out(four: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "one.tsv", expression_table(people=(PEOPLE[5],)))
    added = add_people(str(four), replace(new_people(tmp_path / "new"), expression=table), Quiet())
    assert added.left_out["new people of the VCF without expression"] == 1
    assert "measured genes that are measured in no new person" not in added.left_out
    assert open_store(four).read("genotypes/sample_id").tolist() == [*PEOPLE[:4], PEOPLE[5]]
    assert open_store(four).read("expression/observed")[:, :4].tolist() == [
        [float(value) for value in row[1:5]] for row in expression_table()[1:]
    ], "the others' expression stays"


def test_genes_that_nobody_new_is_measured_for_are_counted(four: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "three.tsv", expression_table()[:4])
    added = add_people(str(four), replace(new_people(tmp_path / "new"), expression=table), Quiet())
    assert added.left_out["measured genes that are measured in no new person"] == 1
    assert np.isnan(open_store(four).read("expression/observed", 3)).tolist() == [False] * 4 + [True] * 2


def test_what_is_taken_out_of_expression_is_taken_out_of_everybodys(tmp_path: Path) -> None:
    covariates = write_table(
        tmp_path / "covariates.tsv",
        [["id", "age", "batch"], *([name, str(7 + 3 * i % 11), str(i % 2)] for i, name in enumerate(MANY))],
    )
    taken_out = {"covariates": covariates, "residualise": ["age"], "expression_pcs": 1}
    init_store(tmp_path / "whole.zarr", cohort_of(tmp_path / "whole", MANY, **taken_out))
    init_store(tmp_path / "first.zarr", cohort_of(tmp_path / "first", MANY[:FIRST], **taken_out))
    everybody = cohort_of(tmp_path / "more", MANY)
    new = NewPeople(everybody.vcf, everybody.expression, covariates)
    some = write_table(tmp_path / "some.tsv", table_of(MANY[FIRST:]))
    store = tmp_path / "first.zarr"
    refused(store, replace(new, covariates=None), UsageError, r"2 covariates \(age, batch\): give everybody's")
    refused(
        store, replace(new, expression=some), UsageError, "all 50 people of the store beside the new ones, but has 0"
    )
    rows = covariates.read_text().splitlines()
    older = write_table(
        tmp_path / "older.tsv", [row.split("\t") for row in [rows[0], rows[1].replace("\t7\t", "\t8\t"), *rows[2:]]]
    )
    refused(store, replace(new, covariates=older), ProvenanceError, "1 of the 50 people of the store have other values")
    fewer = write_table(tmp_path / "fewer.tsv", [row.split("\t")[:2] for row in rows])
    refused(store, replace(new, covariates=fewer), ProvenanceError, "it has age, but the store has age, batch")
    add_people(str(store), new, Quiet())
    grown, whole = open_store(store), open_store(tmp_path / "whole.zarr")
    for name in whole.arrays("expression"):
        np.testing.assert_allclose(grown.read(f"expression/{name}"), whole.read(f"expression/{name}"), rtol=1e-6) if (
            grown.read(f"expression/{name}").dtype.kind == "f"
        ) else np.testing.assert_array_equal(grown.read(f"expression/{name}"), whole.read(f"expression/{name}"))


def test_names_go_by_the_sample_map(tmp_path: Path) -> None:
    mapped = tuple(name.replace("HGq", "NA") for name in PEOPLE)
    pairs = write_table(tmp_path / "map.tsv", zip(PEOPLE, mapped, strict=True))
    table = write_table(tmp_path / "four.tsv", expression_table(people=mapped[:4]))
    init_store(tmp_path / "four.zarr", write_cohort(tmp_path / "four", expression=table, sample_map=pairs))
    table = write_table(tmp_path / "all.tsv", expression_table(people=mapped))
    new = replace(new_people(tmp_path / "new"), expression=table)
    refused(tmp_path / "four.zarr", new, UsageError, "made with a sample map")
    add_people(str(tmp_path / "four.zarr"), replace(new, sample_map=pairs), Quiet())
    assert open_store(tmp_path / "four.zarr").read("genotypes/sample_id").tolist() == list(PEOPLE)


def test_the_program_adds_people(four: Path, tmp_path: Path, pdstore: Program) -> None:
    new = new_people(tmp_path / "new")
    done = pdstore("add", "--vcf", new.vcf[0], "--expression", new.expression, "-s", four)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["        2  new people", "        6  people now"]
    assert "next: pdstore fill" in done.stderr
    for options, message in {
        (): "one of them at a time",
        ("--vcf", "v.vcf", "--genes", "g.tsv"): "one of them at a time",
        ("--vcf", "v.vcf"): "need --expression",
        ("--vcf", "v.vcf", "--expression", "e.tsv", "--fasta", "f.fa"): "--fasta is of no use for new people",
        ("--genes", "g.tsv", "--covariates", "c.tsv"): "--covariates is of no use for new genes",
    }.items():
        done = pdstore("add", *options, "-s", four)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
