"""The simulated cohort: its grammar, and its files as independent readers see them."""

import csv
from itertools import pairwise
from pathlib import Path

import cyvcf2
import numpy as np
import pyfaidx
import pytest

from pdstore.sources.simulate import (
    ACTIVATOR,
    CONTEXT,
    ORDINARY,
    REPRESSOR,
    SIGN_TURNED,
    SimulatedCohort,
    grammar_expression,
    simulate_cohort,
)

PEOPLE = 40
A, R, C, GAP = ACTIVATOR, REPRESSOR, CONTEXT, b"TTTT"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> SimulatedCohort:
    return simulate_cohort(tmp_path_factory.mktemp("cohort"), seed=1, people=PEOPLE, training_genes=100, person_noise=0)


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def read_variants(cohort: SimulatedCohort) -> list[cyvcf2.Variant]:
    return list(cyvcf2.VCF(str(cohort.vcf)))


def gene_window(cohort: SimulatedCohort, gene: dict[str, str]) -> tuple[int, pyfaidx.Sequence]:
    """0-based start and forward sequence of a gene's window, from the TSS alone."""
    before = cohort.tss_offset if gene["strand"] == "+" else cohort.window_length - 1 - cohort.tss_offset
    start = int(gene["tss"]) - 1 - before
    fasta = pyfaidx.Fasta(str(cohort.fasta), indexname=str(cohort.fasta.parent / "test.fai"))
    return start, fasta[gene["contig"]][start : start + cohort.window_length]


def snvs_inside(variants: list[cyvcf2.Variant], gene: dict[str, str], start: int, length: int) -> list[cyvcf2.Variant]:
    on_contig = [variant for variant in variants if variant.is_snp and gene["contig"] == variant.CHROM]
    return [variant for variant in on_contig if start < variant.POS <= start + length]


def in_reading_direction(sequence: pyfaidx.Sequence, gene: dict[str, str]) -> bytes:
    return str(sequence if gene["strand"] == "+" else -sequence).encode()


@pytest.mark.parametrize(
    ("sequence", "expression"),
    [
        (GAP, 0.0),
        (A, 1.0),
        (A + GAP + A + A, 3.0),
        (R, -0.8),
        (A + A + GAP + R, 1.2),
        (C, 0.0),
        (A + GAP + C, -1.0),
        (C + A + A, -2.0),
        (C + R + A, -1.8),
        (A + C[:-1], 1.0),
        (A[:-1] + GAP, 0.0),
        (R + R[2:], -0.8),  # the repressor begins and ends with GC: one occurrence, not two
    ],
)
def test_grammar_counts_motifs_and_context_turns_the_activators_sign(sequence: bytes, expression: float) -> None:
    assert grammar_expression(sequence) == pytest.approx(expression)


def test_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("first", 5), ("second", 5), ("other", 6)):
        simulate_cohort(tmp_path / name, seed, people=10, training_genes=30)
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert files == [
        "cohort.vcf",
        "expression.tsv",
        "genes.tsv",
        "reference.fa",
        "training_expression.tsv",
        "training_genes.tsv",
    ]
    for file in files:
        content = (tmp_path / "first" / file).read_bytes()
        assert content == (tmp_path / "second" / file).read_bytes()
        assert content != (tmp_path / "other" / file).read_bytes()


def test_vcf_is_phased_sorted_and_agrees_with_the_fasta(cohort: SimulatedCohort) -> None:
    variants = read_variants(cohort)
    fasta = pyfaidx.Fasta(str(cohort.fasta), indexname=str(cohort.fasta.parent / "vcf.fai"))
    places = [(variant.CHROM, variant.POS) for variant in variants]
    assert places == sorted(set(places))
    for variant in variants:
        assert fasta[variant.CHROM][variant.POS - 1 : variant.POS - 1 + len(variant.REF)].seq == variant.REF
        assert len({variant.REF, *variant.ALT}) == 2
        assert all(phased and {first, second} <= {0, 1} for first, second, phased in variant.genotypes)
    assert {variant.is_snp for variant in variants} == {True, False}
    assert sum(not variant.is_snp for variant in variants) == 3


def test_vcf_header_declares_the_contigs_and_says_simulated(cohort: SimulatedCohort) -> None:
    vcf = cyvcf2.VCF(str(cohort.vcf))
    fasta = pyfaidx.Fasta(str(cohort.fasta), indexname=str(cohort.fasta.parent / "header.fai"))
    contigs = list(fasta.keys())
    assert dict(zip(vcf.seqnames, vcf.seqlens, strict=True)) == {name: len(fasta[name]) for name in contigs}
    assert "##source=pdstore simulated" in vcf.raw_header
    assert vcf.samples == [f"SIM{person:04d}" for person in range(1, PEOPLE + 1)]


def test_every_measured_gene_has_8_to_19_snvs_within_frequency_one_half(tmp_path: Path) -> None:
    cohort = simulate_cohort(tmp_path, seed=2, people=400, training_genes=10)
    variants = read_variants(cohort)
    for gene in read_table(cohort.genes):
        start, sequence = gene_window(cohort, gene)
        inside = snvs_inside(variants, gene, start, len(sequence))
        assert 8 <= len(inside) <= 19
        # Frequencies of founder haplotypes are 1/30 to 1/2; drawing people moves them a little.
        assert all(0.01 < variant.aaf < 0.6 for variant in inside)


def test_windows_around_the_tss_hold_the_motifs_on_the_genes_strand(cohort: SimulatedCohort) -> None:
    genes = read_table(cohort.genes)
    assert {gene["strand"] for gene in genes} == {"+", "-"}
    for gene in genes:
        window = in_reading_direction(gene_window(cohort, gene)[1], gene)
        assert ACTIVATOR in window
        assert (CONTEXT in window) == (gene["gene_name"] in cohort.sign_turned)


def test_main_variant_breaks_an_activator(cohort: SimulatedCohort) -> None:
    for gene in read_table(cohort.genes):
        contig, position, ref, alt = cohort.main_variant[gene["gene_name"]].split(":")
        start, sequence = gene_window(cohort, gene)
        offset = int(position) - 1 - start
        assert contig == gene["contig"]
        assert sequence.seq[offset] == ref
        changed = pyfaidx.Sequence(seq=sequence.seq[:offset] + alt + sequence.seq[offset + 1 :])
        before, after = in_reading_direction(sequence, gene), in_reading_direction(changed, gene)
        assert after.count(ACTIVATOR) == before.count(ACTIVATOR) - 1
        effect = grammar_expression(after) - grammar_expression(before)
        assert effect == pytest.approx(1 if gene["gene_name"] in SIGN_TURNED else -1)


def test_expression_without_noise_is_the_mean_of_two_haplotypes_grammar(cohort: SimulatedCohort) -> None:
    expression = {row["gene_name"]: row for row in read_table(cohort.expression)}
    variants = read_variants(cohort)
    for gene in read_table(cohort.genes):
        start, sequence = gene_window(cohort, gene)
        snvs = snvs_inside(variants, gene, start, len(sequence))
        for person in range(0, PEOPLE, 7):
            values = []
            for phase in (0, 1):
                letters = list(sequence.seq)
                for snv in snvs:
                    letters[snv.POS - 1 - start] = [snv.REF, snv.ALT[0]][snv.genotypes[person][phase]]
                haplotype = in_reading_direction(pyfaidx.Sequence(seq="".join(letters)), gene)
                values.append(grammar_expression(haplotype))
            observed = float(expression[gene["gene_name"]][f"SIM{person + 1:04d}"])
            assert observed == pytest.approx(np.mean(values), abs=1e-4)


def test_training_genes_are_none_of_the_measured_and_windows_do_not_overlap(cohort: SimulatedCohort) -> None:
    measured, training = read_table(cohort.genes), read_table(cohort.training_genes)
    assert {gene["gene_name"] for gene in measured} == {*SIGN_TURNED, *ORDINARY}
    assert len(measured) == 24
    assert len(training) == 100
    assert not {gene["gene_id"] for gene in measured} & {gene["gene_id"] for gene in training}
    starts = sorted((gene["contig"], gene_window(cohort, gene)[0]) for gene in measured + training)
    for (contig, start), (next_contig, next_start) in pairwise(starts):
        assert contig != next_contig or next_start - start > cohort.window_length + 20


def test_training_expression_is_the_references_grammar_and_noise(cohort: SimulatedCohort) -> None:
    genes, means = read_table(cohort.training_genes), read_table(cohort.training_expression)
    assert [gene["gene_id"] for gene in genes] == [row["gene_id"] for row in means]
    true = [grammar_expression(in_reading_direction(gene_window(cohort, gene)[1], gene)) for gene in genes]
    noise = np.array([float(row["mean_expression"]) for row in means]) - true
    assert 0.07 < noise.std() < 0.13
