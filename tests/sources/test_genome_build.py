"""Which genome build the sources are of, and whether they agree."""

import pytest

from pdstore.errors import InputError
from pdstore.sources.genome_build import BuildClaim, agreed_build, build_named_in, builds_of_lengths


@pytest.mark.parametrize(
    ("text", "build"),
    [
        ("##reference=file:///refs/human_g1k_v37_decoy.fasta", "GRCh37"),
        ("##reference=ftp://ftp.1000genomes.ebi.ac.uk/technical/reference/hs37d5.fa.gz", "GRCh37"),
        ("##reference=/data/hg19.fa", "GRCh37"),
        ("##assembly=b37", "GRCh37"),
        ("#!genome-build GRCh38.p13", "GRCh38"),
        ("##reference=GCA_000001405.15_GRCh38_no_alt_analysis_set.fa", "GRCh38"),
        ("hg38", "GRCh38"),
        ("hs38DH", "GRCh38"),
        ("T2T-CHM13v2.0", None),
        ("mm39", None),
        ("##reference=file:///lab37/genome.fa", None),  # the name is part of another word
        ("##reference=file:///hg190/genome.fa", None),
        ("##description: genome (GRCh38), version 39, mapped to GRCh37 with gencode-backmap", None),  # of both
        ("##reference=file:///lab37/GRCh38.fa", "GRCh38"),
    ],
)
def test_a_build_is_known_by_its_usual_names_and_by_nothing_that_only_looks_alike(text: str, build: str | None):
    assert build_named_in(text) == build


@pytest.mark.parametrize(
    ("contig", "length", "build"),
    [
        ("20", 63025520, "GRCh37"),
        ("chr20", 64444167, "GRCh38"),
        ("chrX", 156040895, "GRCh38"),
        ("20", 2000000, None),
        ("21", 63025520, None),  # another chromosome's length
    ],
)
def test_a_build_is_known_by_the_length_of_a_chromosome(contig: str, length: int, build: str | None):
    assert [claim.build for claim in builds_of_lengths({contig: length}, "x.fa")] == ([build] if build else [])


def test_the_build_is_as_given_or_as_the_sources_say_or_unknown():
    claim = BuildClaim("GRCh38", "x.fa")
    assert agreed_build("hg38", [claim]) == "hg38"
    assert agreed_build(None, [claim, claim]) == "GRCh38"
    assert agreed_build("mm39", []) == "mm39"
    assert agreed_build(None, []) is None


def test_a_contradiction_names_both_sources_and_both_builds():
    with pytest.raises(InputError, match=r"--genome-build says GRCh37, x\.fa says GRCh38"):
        agreed_build("b37", [BuildClaim("GRCh38", "x.fa")])
    with pytest.raises(InputError, match=r"x\.fa says GRCh38, x\.vcf says GRCh37"):
        agreed_build(None, [BuildClaim("GRCh38", "x.fa"), BuildClaim("GRCh37", "x.vcf")])
    with pytest.raises(InputError, match="--genome-build says mm39"):
        agreed_build("mm39", [BuildClaim("GRCh38", "x.fa")])
