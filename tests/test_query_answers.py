"""Answers of `pdstore query`: JSON by its schema, several models, persons, all variants, completion."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from pdstore.errors import StoreError, UsageError
from pdstore.models.registry import ModelReference
from pdstore.person import query_person
from pdstore.query import query_gene
from pdstore.store import Store, open_store

Program = Callable[..., subprocess.CompletedProcess[str]]
PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    document = json.loads((PROJECT / "schemas" / "answers" / "query.schema.json").read_text())
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


@pytest.fixture(scope="module")
def store(filled: Path) -> Store:
    return open_store(filled)


@pytest.fixture(scope="module")
def two_models(
    filled: Path, cnn: ModelReference, fill_now: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The filled store, with a second set of predictions of two genes."""
    path = Path(shutil.copytree(filled, tmp_path_factory.mktemp("two") / "store.zarr"))
    fill_now(open_store(path, "r+"), ModelReference("cnn", cnn.weights, label="again"), [0, 1])
    return path


def names_of(store: Store, number: int) -> list[str]:
    return [str(name) for name in store.read("genes/gene_name")[:number]]


def test_every_answer_is_as_the_schema_says(store: Store, schema: Draft202012Validator) -> None:
    people = store.read("genotypes/sample_id").tolist()
    for gene in store.read("genes/gene_name").tolist():
        schema.validate(query_gene(store, gene, all_variants=True))
        answer = query_gene(store, gene)
        schema.validate({"gene": answer["gene"], "model": answer["model"]} | query_person(store, gene, people[3]))


def test_the_schema_refuses_what_is_no_answer(store: Store, schema: Draft202012Validator) -> None:
    answer = query_gene(store, names_of(store, 1)[0])
    for changed in ({"n_samples": "40"}, {"more": 1}, {"drivers": [{}]}, {"correlation": {"pearson_r": 0.5}}):
        assert not schema.is_valid(answer | changed), changed


def test_the_programs_json_is_as_the_schema_says(
    two_models: Path, pdstore: Program, schema: Draft202012Validator
) -> None:
    genes = names_of(open_store(two_models), 2)
    person = str(open_store(two_models).read("genotypes/sample_id", 0))
    for options in (
        [genes[0]],
        genes,
        [genes[0], "--only", "support"],
        [genes[0], "--all-variants"],
        [*genes, "-m", "cnn", "-m", "again"],
        [genes[0], "--person", person],
    ):
        done = pdstore("query", *options, "-s", two_models, "--format", "json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        schema.validate(found)
        expected = len(genes) * 2 if "again" in options else len([name for name in options if name in genes])
        assert (len(found) if isinstance(found, list) else 1) == expected


def test_all_variants_are_those_with_a_value_and_the_drivers_among_them(store: Store) -> None:
    for gene in names_of(store, 24):
        answer = query_gene(store, gene, all_variants=True)
        names = [variant["variant"] for variant in answer["variants"]]
        positions = [variant["position"] for variant in answer["variants"]]
        assert positions == sorted(positions)
        assert len(set(names)) == len(names)
        of = {variant["variant"]: variant for variant in answer["variants"]}
        assert all(of[driver["variant"]] == driver for driver in answer["drivers"] or [])
        row = store.read("genes/gene_name").tolist().index(gene)
        ism = store.read("attributions/cnn/ism", row)
        assert len(names) == np.count_nonzero(~np.isnan(ism))
        assert sum(variant["ism"] for variant in answer["variants"]) == pytest.approx(np.nansum(ism))


def test_a_persons_haplotypes_carry_what_the_vcf_says(store: Store) -> None:
    gene, column = 0, 7
    name = str(store.read("genotypes/sample_id", column))
    answer = query_person(store, names_of(store, 1)[0], name)
    calls = store.read("genotypes/call_genotype")[:, column]
    position = store.read("genotypes/variant_position")
    alleles = store.read("genotypes/variant_allele")
    contig = str(store.read("genes/gene_contig", gene))
    ism_positions = {v["position"] for v in query_gene(store, names_of(store, 1)[0], all_variants=True)["variants"]}
    of_contig = store.read("genotypes/contig_id")[store.read("genotypes/variant_contig")] == contig
    for haplotype in answer["haplotypes"]:
        carried = calls[:, haplotype["haplotype"] - 1]
        expected = {
            f"{contig}:{position[row]}:{alleles[row, 0]}:{alleles[row, carried[row]]}"
            for row in np.flatnonzero((carried > 0) & of_contig)
            if position[row] in ism_positions and len(alleles[row, 0]) == len(alleles[row, carried[row]]) == 1
        }
        assert {variant["variant"] for variant in haplotype["variants"]} == expected
    predictions = [haplotype["prediction"] for haplotype in answer["haplotypes"]]
    assert np.mean(predictions) == pytest.approx(answer["prediction"]["value"])
    assert answer["prediction"]["value"] == store.read("predictions/cnn/expression", gene)[column]
    observed = store.read("expression/observed", gene)
    assert answer["observed"]["value"] == pytest.approx(observed[column])
    assert answer["observed"]["percentile"] == pytest.approx(100 * (observed < observed[column]).sum() / 39)


def test_an_unknown_person_is_not_repeated(store: Store, filled: Path, pdstore: Program) -> None:
    with pytest.raises(UsageError, match="nobody of the store's 40 people has that name"):
        query_person(store, names_of(store, 1)[0], "Nobody7")
    done = pdstore("query", names_of(store, 1)[0], "--person", "Nobody7", "-s", filled)
    assert done.returncode == 2
    assert "Nobody7" not in done.stderr


def test_a_summary_has_no_people(shared_data: Path, pdstore: Program, tmp_path: Path) -> None:
    path = tmp_path / "sasse.zarr"
    assert pdstore("import", "sasse2023", shared_data / "sasse2023", "-s", path).returncode == 0
    with pytest.raises(StoreError):
        query_person(open_store(path), "GSTM3", "anybody")
    done = pdstore("query", "GSTM3", "--all-variants", "-s", path, "--format", "json")
    assert len(json.loads(done.stdout)["variants"]) == 3


def test_models_stand_side_by_side(two_models: Path, pdstore: Program) -> None:
    gene = names_of(open_store(two_models), 1)[0]
    done = pdstore("query", gene, "-m", "cnn", "-m", "again", "-s", two_models)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(gene)
    assert lines[1].split() == ["cnn", "again"]
    r = query_gene(open_store(two_models), gene)["correlation"]["pearson_r"]
    # The same weights, but another false discovery rate.
    assert next(line for line in lines if line.strip().startswith("R ")).count(f"{r:.3f} [") == 2


def test_genes_come_from_a_file_once_each(filled: Path, store: Store, pdstore: Program, tmp_path: Path) -> None:
    first, second = names_of(store, 2)
    gene_id = str(store.read("genes/gene_id", 1))
    (tmp_path / "genes.txt").write_text(f"# of interest\n{first}\n\n{gene_id}\tany\n")
    done = pdstore("query", f"@{tmp_path / 'genes.txt'}", first.lower(), "-s", filled, "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert "genes named more than once: 1" in done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert list(dict.fromkeys(row["gene_name"] for row in rows)) == [first, second]
    (tmp_path / "empty.txt").write_text("# nothing\n")
    assert "the file names none" in pdstore("query", f"@{tmp_path / 'empty.txt'}", "-s", filled).stderr
    assert "no such file" in pdstore("query", f"@{tmp_path / 'absent.txt'}", "-s", filled).stderr


def test_what_is_missing_and_what_fills_it_is_said(
    filled: Path, cnn: ModelReference, fill_now: Callable[..., None], pdstore: Program, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "store.zarr"))
    gene, gene_id = names_of(open_store(path), 1)[0], str(open_store(path).read("genes/gene_id", 0))
    assert pdstore("clear", "predictions", "--model", "cnn", "--genes", gene, "-s", path, "--yes").returncode == 0
    done = pdstore("query", gene, "-s", path)
    assert done.returncode == 0, done.stderr
    assert (
        f"not filled: run pdstore fill predictions statistics --model cnn --weights FILE --genes {gene_id} -s {path}"
        in done.stdout
    )


@pytest.mark.parametrize(
    "options", [["--all-variants", "--only", "drivers"], ["--person", "x", "--only", "drivers"]], ids=["all", "person"]
)
def test_parts_that_exclude_each_other(filled: Path, store: Store, pdstore: Program, options: list[str]) -> None:
    done = pdstore("query", names_of(store, 1)[0], "-s", filled, *options)
    assert done.returncode == 2
    assert "leave" in done.stderr


def completions(line: str, store: Path) -> list[str]:
    """What bash would be offered at the end of a line."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("pdstore"))],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PDSTORE_STORE": str(store),
            "_PDSTORE_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(line.count(" ")),
        },
    )
    assert not done.stderr
    return done.stdout.split()


def test_the_shell_completes_genes_and_models_from_the_store(filled: Path, store: Store, tmp_path: Path) -> None:
    assert completions("pdstore query GSTM", filled) == ["GSTM3"]
    assert completions("pdstore query gstm", filled) == ["gstm3"]
    ids = store.read("genes/gene_id").tolist()
    assert ids[0] in completions(f"pdstore query {ids[0][:-1]}", filled)
    assert completions("pdstore query GSTM3 --model c", filled) == ["cnn"]
    assert completions("pdstore query gstm", tmp_path / "absent.zarr") == []
