"""Genes and their TSS, from a TSV and from a GTF."""

from pathlib import Path

import pytest
from builders import GENES, write_genes, write_gtf, write_text

from pdstore.errors import InputError
from pdstore.sources.genes import Gene, read_genes, without_version


@pytest.mark.parametrize("name", ["genes.tsv", "genes.tsv.gz"])
def test_a_tsv_is_read_in_its_order(tmp_path: Path, name: str):
    assert read_genes(write_genes(tmp_path / name)).genes == tuple(Gene(*gene) for gene in GENES)


def test_columns_of_a_tsv_go_by_name_and_the_gene_name_may_be_absent(tmp_path: Path):
    path = write_text(
        tmp_path / "genes.tsv", "#strand\ttss\tlength\tgene_id\tcontig\n\n-\t7\t99\tENSG00000000001.4\t1\n"
    )
    assert read_genes(path).genes == (Gene("ENSG00000000001", "ENSG00000000001", "1", 7, "-"),)


def test_genes_without_a_tss_are_left_out_and_counted(tmp_path: Path):
    table = read_genes(
        write_genes(tmp_path / "genes.tsv", [GENES[0], GENES[1]._replace(tss="NA"), (*GENES[2][:3], "", "+")])
    )
    assert [gene.name for gene in table.genes] == ["ALPHA"]
    assert table.left_out == {"genes without a TSS": 2}


@pytest.mark.parametrize(
    ("genes", "words"),
    [
        ([*GENES, GENES[1]], r"line 6.*ENSG00000000012.*line 3"),
        ([*GENES, GENES[1]._replace(gene_id="ENSG00000000012.7")], r"line 6.*ENSG00000000012.*line 3"),
        ([GENES[0]._replace(strand=".")], "line 2: strand '.' of ENSG00000000011 is neither"),
        ([GENES[0]._replace(tss="0")], "line 2: TSS '0' of ENSG00000000011"),
        ([GENES[0]._replace(tss="1e6")], "line 2: TSS '1e6' of ENSG00000000011"),
        ([GENES[0]._replace(tss="-5")], "line 2: TSS '-5' of ENSG00000000011"),
        ([GENES[0]._replace(gene_id="")], "line 2: empty gene_id"),
        ([GENES[0], ("x", "y")], "line 3: 2 columns, but the header has 5"),
        ([], "no gene with a TSS"),
    ],
)
def test_a_wrong_line_of_a_tsv_is_refused_with_file_and_line(tmp_path: Path, genes, words: str):
    path = write_genes(tmp_path / "genes.tsv", genes)
    with pytest.raises(InputError, match=words) as caught:
        read_genes(path)
    assert str(path) in str(caught.value)


def test_a_missing_column_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="no column 'tss'"):
        read_genes(write_text(tmp_path / "genes.tsv", "gene_id\tcontig\tstrand\nx\t1\t+\n"))


def gtf_lines(gene_id: str, name: str, contig: str, strand: str, spans: list[tuple[str, int, int]]):
    attributes = f'gene_id "{gene_id}"; gene_type "protein_coding"; gene_name "{name}";'
    return [(contig, feature, start, end, strand, attributes) for feature, start, end in spans]


@pytest.mark.parametrize("name", ["genes.gtf", "genes.gtf.gz"])
def test_the_tss_of_a_gtf_is_the_most_5_prime_start_of_gene_and_transcripts_on_both_strands(tmp_path: Path, name: str):
    # The exons and the CDS reach further than any transcript: they must not count.
    spans = [("transcript", 120, 180), ("gene", 110, 190), ("transcript", 100, 200), ("exon", 1, 400), ("CDS", 1, 400)]
    lines = [
        *gtf_lines("ENSG00000000011.3", "ALPHA", "1", "+", spans),
        *gtf_lines("ENSG00000000012.9", "BETA", "1", "-", spans),
        *gtf_lines("ENSG00000000021.1", "GAMMA", "2", "+", [("transcript", 30, 60), ("transcript", 20, 50)]),
    ]
    table = read_genes(write_gtf(tmp_path / name, lines, header=["#!genome-build GRCh38.p13"]))
    assert table.genes == (
        Gene("ENSG00000000011", "ALPHA", "1", 100, "+"),
        Gene("ENSG00000000012", "BETA", "1", 200, "-"),
        Gene("ENSG00000000021", "GAMMA", "2", 20, "+"),
    )
    assert [claim.build for claim in table.builds] == ["GRCh38"]


def test_a_gene_on_two_contigs_of_a_gtf_is_left_out_and_counted(tmp_path: Path):
    span = [("gene", 10, 20)]
    lines = [line for contig in "XY" for line in gtf_lines("ENSG00000000001", "PAR", contig, "+", span)]
    table = read_genes(write_gtf(tmp_path / "genes.gtf", [*lines, *gtf_lines("ENSG00000000002", "A", "1", "+", span)]))
    assert [gene.gene_id for gene in table.genes] == ["ENSG00000000002"]
    assert table.left_out == {"genes on several contigs": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('1\tx\tgene\t10\t20\t.\t+\t.\tgene_name "A";\n', "line 1: no gene_id"),
        ("1\tx\tgene\t10\t20\n", "line 1: 5 columns"),
        ('1\tx\texon\t10\t20\t.\t+\t.\tgene_id "A";\n', "no gene or transcript line"),
        ('1\tx\tgene\tten\t20\t.\t+\t.\tgene_id "A";\n', "line 1: TSS 'ten' of A"),
    ],
)
def test_a_wrong_line_of_a_gtf_is_refused_with_file_and_line(tmp_path: Path, text: str, words: str):
    with pytest.raises(InputError, match=words):
        read_genes(write_text(tmp_path / "genes.gtf", text))


@pytest.mark.parametrize(
    ("gene_id", "stable"),
    [
        ("ENSG00000134202.11", "ENSG00000134202"),
        ("ENSMUSG00000064341.1", "ENSMUSG00000064341"),
        ("ENSG00000182378.14_PAR_Y", "ENSG00000182378_PAR_Y"),  # still another gene than the one on X
        ("RP11-34P13.7", "RP11-34P13.7"),
        ("AT1G01010.2", "AT1G01010.2"),
    ],
)
def test_only_ensembl_ids_lose_their_version(gene_id: str, stable: str):
    assert without_version(gene_id) == stable
