"""Published tables: small ones in the published layout, read and refused."""

import gzip
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from pdstore.errors import InputError
from pdstore.sources.published import read_huang2023, read_sasse2023

TABLE_1 = (
    "#_gene_name gene_id chr_hg38 start_hg38 end_hg38 strand_hg38 tss_hg38 MeanObs StdObs PearsonRfineTuned "
    "PvalueRfineTuned MeanFineTuned StdFineTuned PearsonRCAGE,adult,brain PvalueRCAGE,adult,brain MeanCAGE,adult,brain "
    "StdCAGE,adult,brain RmeanRandom Rstdrandom TstatCAGE,adult,brain Log10PvalueTstatCAGE,adult,brain "
    "Log10BHPvalueTstatCAGE,adult,brain PrediXcanR SuSieCausalBrainhg38 SusieCausalCortexhg38"
)
GENES = (
    "BETA ENSG02 10 1 9 + 500 3.4 0.2 0.03 0.37 8.4 0.02 0.5 0.0 2.2 0.01 0.02 0.02 19.0 3 2 NaN NA NA",
    "ALPHA ENSG01 2 1 9 - 900 3.4 0.2 NaN NaN 8.4 0.02 NaN NaN 2.2 0.01 0.02 0.0 NaN NaN 0 0.9 NA NA",
)
TABLE_2 = (
    "#_gene_name gene_id chr_hg38 start_hg38 end_hg38 strand_hg38 tss_hg38 LociDriverhg38 DisttoTSS ISM "
    "SumISMPearsonRtoCAGE,adult,brain DriverPearsonRtoCAGE,adult,brain "
    "DecreasedFractionofSumPearsonRWithoutDrivertoCAGE,adult,brain "
    "IncreasedFractionofSumPearonRbyrankedDrivertoCAGE,adult,brain NIndividualsWithSNV FractionIndividualsWithSNV "
    "IsMainDriver ISMFractionofISMmaxinSNV eQTL maxeQTLgene PearsonRGenotypetoObs RefseqforwardCAGE,adult,brain "
    "MaxISM+-1000TSS StdISM+-1000ISM"
)
DRIVERS = (
    "BETA ENSG02 10 1 9 + 500 450 -50 0.5 0.9 0.8 1 0.7 12 43 True 1 0.0 1 NaN 0 0 0",
    "BETA ENSG02 10 1 9 + 500 520 20 -0.2 0.9 0.3 1 0.2 3 43 False 1 0.1 1 0.2 0 0 0",
)
Make = Callable[..., Path]


def table(header: str, rows: tuple[str, ...]) -> str:
    lines = [line.replace(" ", "\t") for line in (header, *rows)]
    return "\n".join(lines).replace("#_", "# ", 1) + "\n"


@pytest.fixture
def sasse(tmp_path: Path) -> Make:
    """A folder with both tables."""

    def make(
        genes: tuple[str, ...] = GENES,
        drivers: tuple[str, ...] = DRIVERS,
        header: str = TABLE_1,
        driver_header: str = TABLE_2,
    ) -> Path:
        (tmp_path / "SupplementaryTable1.tsv").write_text(table(header, genes))
        with gzip.open(tmp_path / "SupplementaryTable2.tsv.gz", "wt") as file:
            file.write(table(driver_header, drivers))
        return tmp_path

    return make


def test_genes_come_in_the_order_of_contigs_with_what_the_table_has(sasse: Make) -> None:
    tables = read_sasse2023(sasse())
    alpha, beta = tables.genes
    assert (alpha.gene.name, alpha.gene.contig, alpha.gene.tss, alpha.gene.strand) == ("ALPHA", "2", 900, "-")
    of_beta = beta.statistics["enformer"]
    assert of_beta["pearson_r"] == 0.5
    assert of_beta["null_p"] == pytest.approx(1e-3)
    assert of_beta["fdr"] == pytest.approx(1e-2)
    assert of_beta["linear_approximation_r"] == 0.9
    assert beta.statistics["enformer-finetuned"]["prediction_mean"] == 8.4
    assert alpha.statistics["predixcan"]["pearson_r"] == 0.9
    # Without a t there was no test, whatever stands in its place.
    assert all(math.isnan(alpha.statistics["enformer"][name]) for name in ("pearson_r", "null_t", "null_p", "fdr"))
    assert alpha.drivers == []


def test_an_eqtl_of_zero_without_a_genotype_r_is_missing(sasse: Make) -> None:
    main, other = read_sasse2023(sasse()).genes[1].drivers
    assert (main.position, main.carriers, main.is_main) == (450, 12, True)
    assert math.isnan(main.values["slope"])
    assert other.values["slope"] == 0.1
    zero = DRIVERS[1].replace(" 0.1 1 0.2 ", " 0.0 1 0.2 ")
    assert read_sasse2023(sasse(drivers=(DRIVERS[0], zero))).genes[1].drivers[1].values["slope"] == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"header": TABLE_1.replace("RmeanRandom", "MeanR")}, "Table1.tsv has no column 'RmeanRandom'"),
        ({"driver_header": TABLE_2.replace(" ISM ", " Ism ")}, "Table2.tsv.gz has no column 'ISM'"),
        ({"genes": (GENES[0], GENES[0])}, r"line 3: gene ENSG02 stands there a second time"),
        ({"genes": (GENES[0].replace(" + ", " x "),)}, r"line 2: strand_hg38 is 'x', expected \+ or -"),
        ({"genes": (GENES[0].replace(" 500 ", " 5e2 "),)}, r"line 2: tss_hg38 is '5e2', expected a whole number"),
        (
            {"genes": (GENES[0].replace(" 19.0 ", " high "),)},
            r"line 2: TstatCAGE,adult,brain is 'high', expected a num",
        ),
        ({"genes": (GENES[0].replace(" 19.0 ", " inf "),)}, r"line 2: TstatCAGE,adult,brain is 'inf', expected a num"),
        ({"genes": (GENES[0].replace(" NA NA", " NA"),)}, r"line 2: 24 columns, but the header has 25"),
        ({"genes": (GENES[1],)}, r"Table2.*line 2: gene ENSG02 is not in Supplementary Table 1"),
        ({"drivers": (DRIVERS[0].replace(" -50 ", " 50 "),)}, r"line 2: DisttoTSS is '50', expected -50"),
        ({"drivers": (DRIVERS[0], DRIVERS[0])}, r"line 3: driver 450 of ENSG02 stands there twice"),
        ({"drivers": (DRIVERS[1],)}, r"gene ENSG02 has not one main driver"),
        ({"drivers": (DRIVERS[0].replace("True", "yes"),)}, r"line 2: IsMainDriver is 'yes', expected True or False"),
    ],
)
def test_what_is_not_as_published_is_refused_with_its_place(sasse: Make, changed: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_sasse2023(sasse(**changed))


def test_a_folder_without_the_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        read_sasse2023(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"SupplementaryTable1.tsv: no such file"):
        read_sasse2023(tmp_path)


@pytest.fixture
def huang(tmp_path: Path) -> Path:
    (tmp_path / "gene_list.csv").write_text("ENSG02,7,500,BETA,+\nENSG01,7,300,,-\n")
    (tmp_path / "all_models_ref_preds.csv").write_text(
        "gene,Xpresso,Enformer,Basenji2,ExPecto\nbeta,1,2,3,4\nensg01,5,,7,8\ngamma,1,1,1,1\n"
    )
    (tmp_path / "eqtl_features.csv").write_text(
        ",GENE_ID,name,distance,minor_allele_freq,rvalue,log10pvalue\n0,ENSG02.3,beta,120.0,0.2,-0.3,4\n1,,ensg01,,,,\n"
    )
    return tmp_path


def test_predictions_and_eqtls_find_genes_by_symbol_or_identifier(huang: Path) -> None:
    tables = read_huang2023(huang)
    first, second = tables.genes
    assert (first.gene.gene_id, first.gene.name, second.gene.name) == ("ENSG01", "ENSG01", "BETA")
    assert second.statistics["enformer"]["reference_prediction"] == 2
    assert math.isnan(first.statistics["enformer"]["reference_prediction"])
    assert first.statistics["expecto"]["reference_prediction"] == 8
    expected = {"distance": 120.0, "minor_allele_frequency": 0.2, "pearson_r": -0.3, "p_value": pytest.approx(1e-4)}
    assert second.lead_eqtl == expected
    assert all(math.isnan(value) for value in first.lead_eqtl.values())
    assert "left out: 1 rows of all_models_ref_preds that name no gene of gene_list" in tables.notes


def test_a_renamed_column_of_huang_is_named(huang: Path) -> None:
    path = huang / "eqtl_features.csv"
    path.write_text(path.read_text().replace("rvalue", "r"))
    with pytest.raises(InputError, match=r"eqtl_features.csv has no column 'rvalue'; it has , GENE_ID, name"):
        read_huang2023(huang)
