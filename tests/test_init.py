"""From sources to a store: what is taken, what is refused, and that nothing half-made is left."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import (
    CONTIGS,
    GENES,
    PEOPLE,
    RECORDS,
    UNPHASED,
    expression_of,
    expression_table,
    listing,
    transposed,
    write_cohort,
    write_fasta,
    write_genes,
    write_table,
    write_vcf,
)

from pdstore.errors import InputError, StoreError
from pdstore.init import Sources, init_store
from pdstore.sources.fasta import refget_digest
from pdstore.store import Store, open_store


def made(folder: Path, sources: Sources) -> Store:
    init_store(folder / "cohort.zarr", sources)
    return open_store(folder / "cohort.zarr")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return write_cohort(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def store(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made(tmp_path_factory.mktemp("store"), sources)


# What is taken ------------------------------------------------------------------------------------------------------


def test_nothing_but_the_store_is_written(tmp_path: Path):
    sources = write_cohort(tmp_path / "sources")
    before = listing(tmp_path / "sources")
    made(tmp_path, sources)
    assert listing(tmp_path / "sources") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cohort.zarr", "sources"]


def test_a_store_opens_as_one_tree_of_datasets(store: Store):
    import xarray

    tree = xarray.open_datatree(store.url, engine="zarr", consolidated=False)
    assert {node.name for node in tree.children.values()} == {
        "genotypes",
        "variants",
        "genes",
        "expression",
        "reference",
    }
    assert store.dataset("genotypes")["call_genotype"].dims == ("variants", "samples", "ploidy")
    assert store.dataset("genotypes")["sample_id"].values.tolist() == list(PEOPLE)


def test_counts_equal_those_of_the_sources(tmp_path: Path):
    expression = [row[:5] for row in expression_table()]  # four of the six people
    expression[0][4] = "stranger"
    expression.append(["ENSG00000000099", "1", "2", "3", "4"])
    sources = write_cohort(tmp_path, expression=write_table(tmp_path / "some.tsv", expression))
    genes = [*GENES, ("ENSG00000000031", "E", "1", "NA", "+"), ("ENSG00000000032", "F", "9", 7, "+")]
    sources = replace(sources, genes=write_genes(tmp_path / "more.tsv", genes))
    counts = init_store(tmp_path / "cohort.zarr", sources)
    alleles = sum(len(record.alt.split(",")) for record in RECORDS)
    missing = sum(call.count(".") for record in RECORDS for call in record.calls.split()[:3])
    snvs = 8  # of RECORDS, after trimming
    assert counts.taken == {
        "people with genotypes and expression": 3,
        "records": len(RECORDS),
        "SNV alleles": snvs,
        "insertion alleles, applied to haplotypes with --variants all": 1,
        "deletion alleles, applied to haplotypes with --variants all": 1,
        "MNV alleles, applied to haplotypes with --variants all": 1,
        "genes": 4,
        "genes with measured expression": 4,
    }
    assert counts.left_out == {
        "genes without a TSS": 1,
        "genes on contigs that the FASTA lacks": 1,
        "people without expression": 3,
        "people without genotypes": 1,
        "expression rows of other genes": 1,
        "symbolic alleles, kept but never applied to haplotypes": 1,
        "missing allele calls, read as reference": missing,
    }
    assert snvs + 4 == alleles
    assert open_store(tmp_path / "cohort.zarr").attributes["counts"]["left_out"] == counts.left_out


def test_people_stand_in_the_genotypes_order_and_keep_their_own_values(tmp_path: Path):
    order = [0, 6, 2, 4, 1]  # the expression's people: 5, 1, 3, 0; 2 and 4 have none
    expression = [[row[i] for i in order] for row in expression_table()]
    store = made(
        tmp_path, write_cohort(tmp_path, expression=write_table(tmp_path / "some.tsv", transposed(expression)))
    )
    people = [0, 1, 3, 5]
    assert store.read("genotypes/sample_id").tolist() == [PEOPLE[p] for p in people]
    expected = [[expression_of(g, p) for p in people] for g in range(len(GENES))]
    np.testing.assert_array_equal(store.read("expression/observed"), np.array(expected, dtype=np.float32))
    for row, record in enumerate(RECORDS):
        calls = [[-1 if a == "." else int(a) for a in record.calls.split()[p].split("|")] for p in people]
        assert store.read("genotypes/call_genotype", row).tolist() == calls


def test_a_sample_map_joins_people_who_go_by_other_names(tmp_path: Path):
    own_names = [f"LCL{number}" for number in range(6)]
    table = expression_table(people=own_names)
    sample_map = write_table(tmp_path / "map.tsv", list(zip(PEOPLE[::-1], own_names, strict=True)))
    sources = write_cohort(tmp_path, expression=write_table(tmp_path / "x.tsv", table), sample_map=sample_map)
    store = made(tmp_path, sources)
    assert store.read("genotypes/sample_id").tolist() == list(PEOPLE)
    expected = [[expression_of(g, 5 - p) for p in range(6)] for g in range(len(GENES))]
    np.testing.assert_array_equal(store.read("expression/observed"), np.array(expected, dtype=np.float32))


@pytest.mark.parametrize("prefixed", ["VCF", "FASTA", "genes"])
def test_chr1_and_1_are_one_contig_and_it_is_said_so(tmp_path: Path, prefixed: str):
    changes = {
        "VCF": lambda: {
            "vcf": [
                write_vcf(
                    tmp_path / "chr.vcf",
                    [record._replace(contig=f"chr{record.contig}") for record in RECORDS],
                    contigs={f"chr{name}": len(bases) for name, bases in CONTIGS.items()},
                )
            ]
        },
        "FASTA": lambda: {
            "fasta": write_fasta(tmp_path / "chr.fa", {f"chr{n}": bases for n, bases in CONTIGS.items()})
        },
        "genes": lambda: {
            "genes": write_genes(tmp_path / "x.tsv", [g._replace(contig=f"chr{g.contig}") for g in GENES])
        },
    }
    counts = init_store(tmp_path / "cohort.zarr", write_cohort(tmp_path, **changes[prefixed]()))
    names = "1 is chr1, 2 is chr2" if prefixed == "FASTA" else "chr1 is 1, chr2 is 2"
    of = {"VCF": ["VCF"], "FASTA": ["genes", "VCF"], "genes": ["genes"]}[prefixed]
    # Then the windows of models that leave these short contigs.
    assert (
        "basenji2 (131,072 bp) 4, borzoi (524,288 bp) 4, enformer (196,608 bp) 4, expecto (41,800 bp) 4, "
        in counts.notes[-1]
    )
    assert counts.notes[:-1] == [f"contig names of the {source} were mapped to the FASTA's: {names}" for source in of]
    store = open_store(tmp_path / "cohort.zarr")
    contigs = [f"chr{name}" for name in CONTIGS] if prefixed == "FASTA" else list(CONTIGS)
    assert store.read("variants/contig_id").tolist() == contigs
    assert store.read("reference/contig_id").tolist() == contigs
    assert store.read("genes/gene_contig").tolist() == [contigs[int(gene.contig) - 1] for gene in GENES]


def test_the_reference_and_its_digests_are_those_of_the_fasta(store: Store):
    sequence = store.read("reference/sequence").tobytes().decode()
    assert sequence == "".join(CONTIGS.values())
    assert store.read("reference/contig_offset").tolist() == [0, 400]
    digests = [refget_digest(np.frombuffer(bases.encode(), dtype=np.uint8)) for bases in CONTIGS.values()]
    assert store.read("reference/contig_digest").tolist() == digests
    assert store.attributes["inputs"]["fasta"] == dict(zip(CONTIGS, digests, strict=True))


def test_unphased_heterozygotes_are_read_as_reference_when_asked_and_counted(tmp_path: Path):
    sources = write_cohort(tmp_path, vcf=[write_vcf(tmp_path / "x.vcf", UNPHASED)], unphased="reference")
    counts = init_store(tmp_path / "cohort.zarr", sources)
    assert counts.left_out["unphased heterozygous calls, read as reference"] == 4
    store = open_store(tmp_path / "cohort.zarr")
    calls = store.read("genotypes/call_genotype")
    assert calls[1].tolist() == [[0, 0], [2, 0], [0, 0], [0, 0], [0, 0], [2, 2]]
    assert calls[2].tolist() == [[0, 0], *[[1, 1]] * 5]
    assert store.read("variants/carriers").tolist() == [4, 0, 2, 5]
    assert store.attributes["options"]["unphased"] == "reference"


def test_the_genome_build_is_recorded_as_given_or_as_the_sources_say(tmp_path: Path):
    header = ["##reference=file:///refs/hs37d5.fa"]
    (tmp_path / "a").mkdir()
    sources = write_cohort(tmp_path, vcf=[write_vcf(tmp_path / "x.vcf", header=header)])
    assert made(tmp_path / "a", sources).attributes["genome_build"] == "GRCh37"
    (tmp_path / "b").mkdir()
    assert made(tmp_path / "b", replace(sources, genome_build="hg19")).attributes["genome_build"] == "hg19"


# Alleles, against bcftools ------------------------------------------------------------------------------------------


def test_rows_of_variants_are_the_alleles_of_bcftools_norm(sources: Sources, store: Store, bcftools: str):
    """Split, trimmed, counted and sorted as bcftools does."""
    norm = subprocess.run(
        [bcftools, "norm", "-m-", "-f", sources.fasta, sources.vcf[0]], capture_output=True, text=True, check=True
    )
    lines = [line.split("\t") for line in norm.stdout.splitlines() if not line.startswith("#")]
    expected = []
    for fields in lines:
        calls = [call.split("|") for call in fields[9:]]
        called = [allele for call in calls for allele in call if allele != "."]
        frequency = np.float32(called.count("1") / len(called))
        carriers = sum("1" in call for call in calls)
        expected.append((fields[0], int(fields[1]), fields[3], fields[4], carriers, frequency))
    contig_id = store.read("variants/contig_id")
    columns = ["position", "ref", "alt", "carriers", "allele_frequency"]
    values = [store.read(f"variants/{name}").tolist() for name in columns]
    rows = list(zip(contig_id[store.read("variants/contig")].tolist(), *values, strict=True))
    assert rows == [(*row[:5], pytest.approx(row[5])) for row in expected]


def test_each_row_of_variants_points_at_its_allele_in_genotypes(store: Store):
    names = ("genotype_record", "allele_index", "position", "ref", "alt", "carriers")
    calls, starts = store.read("genotypes/call_genotype"), store.read("genotypes/variant_position").tolist()
    alleles = store.read("genotypes/variant_allele")
    for row in zip(*(store.read(f"variants/{name}").tolist() for name in names), strict=True):
        record, index, position, short_ref, short_alt, carriers = row
        ref, alt = alleles[record, [0, index]]
        before = position - starts[record]
        after = before + len(short_ref)
        assert ref[before:after] == short_ref
        assert ref[:before] + short_alt + ref[after:] == alt
        assert carriers == (calls[record] == index).any(axis=1).sum()


def vcztools_lines(store: Path) -> list[str]:
    view = [sys.executable, "-c", "from vcztools.cli import vcztools_main; vcztools_main()", "view", "-H"]
    result = subprocess.run([*view, store / "genotypes"], capture_output=True, text=True, check=True)
    return result.stdout.splitlines()


def test_vcztools_views_the_records_that_went_in(store: Store):
    assert vcztools_lines(Path(store.url)) == [record.line() for record in RECORDS]


def test_vcztools_views_the_real_cohort_as_bcftools_views_its_source(tmp_path: Path, shared_data: Path, bcftools: str):
    folder = shared_data / "geuvadis_chr20"
    source = folder / "chr20.1000G_EUR502.phased.vcf.gz"
    real = Sources([source], folder / "chr20.fa", folder / "genes.tsv", folder / "expression.tsv.gz")
    store = made(tmp_path, real)
    people = store.read("genotypes/sample_id").tolist()
    viewed = subprocess.run(
        [bcftools, "view", "-H", "-I", "-s", ",".join(people), source], capture_output=True, text=True, check=True
    )
    ours = [line.split("\t") for line in vcztools_lines(Path(store.url))]
    theirs = [line.split("\t") for line in viewed.stdout.splitlines()]
    assert len(people) == 345
    # Everything but QUAL, FILTER and INFO, which say nothing of a person.
    assert [(*line[:5], *line[9:]) for line in ours] == [(*line[:5], *line[9:]) for line in theirs]


# What is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "folder", "store", "link to nothing"])
def test_what_is_in_the_way_stays_as_it_is(tmp_path: Path, sources: Sources, kind: str):
    target = tmp_path / "cohort.zarr"
    if kind == "file":
        target.write_text("mine")
    elif kind == "folder":
        target.mkdir()
    elif kind == "link to nothing":
        target.symlink_to(tmp_path / "elsewhere")
    else:
        init_store(target, sources)
    before = listing(tmp_path)
    with pytest.raises(StoreError, match="exists already; name another folder, or remove it"):
        init_store(target, sources)
    assert listing(tmp_path) == before


def test_a_store_in_no_folder_is_refused(tmp_path: Path, sources: Sources):
    with pytest.raises(StoreError, match="no folder"):
        init_store(tmp_path / "absent" / "cohort.zarr", sources)
    assert listing(tmp_path) == []


def test_an_error_of_another_kind_leaves_nothing_either(tmp_path: Path, sources: Sources):
    def fail(step: str) -> None:
        if step.startswith("writing"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        init_store(tmp_path / "cohort.zarr", sources, fail)
    assert listing(tmp_path) == []


# The program --------------------------------------------------------------------------------------------------------


def arguments(sources: Sources, target: Path) -> list[str | Path]:
    named = {"--store": target, "--fasta": sources.fasta, "--genes": sources.genes, "--expression": sources.expression}
    return ["init", "--vcf", sources.vcf[0], *(text for pair in named.items() for text in pair)]


def test_the_program_says_what_it_took_and_what_it_left_out(tmp_path: Path, sources: Sources, pdstore):
    result = pdstore(*arguments(sources, tmp_path / "cohort.zarr"))
    assert result.returncode == 0, result.stderr
    rows = Counter(" ".join(line.split()) for line in result.stdout.splitlines())
    assert rows["6 people with genotypes and expression"] == 1
    assert rows["8 SNV alleles"] == 1
    assert rows["1 deletion alleles, applied to haplotypes with --variants all"] == 1


def test_the_program_refuses_in_one_line_without_traceback_and_exits_with_2(tmp_path: Path, sources: Sources, pdstore):
    bad = replace(sources, vcf=[write_vcf(tmp_path / "bad.vcf", [RECORDS[0]._replace(ref="T")])])
    result = pdstore(*arguments(bad, tmp_path / "cohort.zarr"))
    assert result.returncode == 2
    errors = [line for line in result.stderr.splitlines() if "error" in line]
    assert len(errors) == 1
    assert "REF at 1:20 is T in the VCF but A in the FASTA" in errors[0]
    assert "Traceback" not in result.stderr
    assert listing(tmp_path) == ["bad.vcf"]


@pytest.mark.parametrize("step", ["checking the sources", "converting", "checking and copying", "writing"])
def test_an_init_killed_midway_leaves_nothing_that_opens_as_a_store(tmp_path: Path, sources: Sources, step: str):
    target = tmp_path / "cohort.zarr"
    program = [sys.executable, "-c", "from pdstore_cli.main import run; run()"]
    process = subprocess.Popen(
        [*program, *arguments(sources, target)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    with process.stderr:
        assert any(step in line for line in process.stderr), "the step never began"
        time.sleep(random.uniform(0, 0.02))
        process.kill()
        process.wait()
    folders = [path for path in [tmp_path, *tmp_path.rglob("*")] if path.is_dir()]
    opened = []
    for folder in folders:
        try:
            open_store(folder)
        except StoreError:
            continue
        opened.append(folder)
    # The last step may be over before the kill: then the store is whole, and in its place.
    assert opened in ([], [target])
    if not opened:
        init_store(target, sources)
    assert open_store(target).attributes["counts"]["taken"]["records"] == len(RECORDS)


def test_an_input_error_is_a_pdstore_error_with_a_kind_for_programs(tmp_path: Path, sources: Sources):
    with pytest.raises(InputError) as caught:
        init_store(tmp_path / "cohort.zarr", replace(sources, vcf=[]))
    assert caught.value.kind == "input"
