"""Published tables: Supplementary Tables 1 and 2 of Sasse et al. 2023, and the tables of Huang et al. 2023."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pdstore.errors import InputError
from pdstore.sources.genes import Gene, without_version
from pdstore.sources.text import existing_file, read_lines

_MISSING = ("", "NA", "NaN", "nan")

Numbers = dict[str, float]
"""Name of an array of the store → value; NaN where the table has none."""


@dataclass(frozen=True)
class Driver:
    """A driver of a gene.

    Attributes
    ----------
    position : int
        1-based.
    carriers : int
        People with at least one copy.
    is_main : bool
        Whether it is the gene's main driver.
    values : dict
        ``ism``, ``slope``, ``genotype_r``, ``pearson_r_with_prediction``, ``driver_increment``.
    """

    position: int
    carriers: int
    is_main: bool
    values: Numbers


@dataclass(frozen=True)
class PublishedGene:
    """A gene of a table.

    Attributes
    ----------
    gene : Gene
        Which.
    statistics : dict
        Model → array of statistics/ → value.
    lead_eqtl : dict
        Array of lead_eqtl/ → value.
    drivers : list of Driver
        As the table has them.
    """

    gene: Gene
    statistics: dict[str, Numbers] = field(default_factory=dict)
    lead_eqtl: Numbers = field(default_factory=dict)
    drivers: list[Driver] = field(default_factory=list)


@dataclass(frozen=True)
class PublishedTables:
    """What a folder of published tables says.

    Attributes
    ----------
    genes : list of PublishedGene
        In the order of the store: by contig and TSS.
    models : tuple of str
        Their names, the first that a query answers of first.
    genome_build : str
        What positions refer to.
    has_drivers : bool
        Whether there is a table of drivers, of the first model's.
    files : dict
        Role → path of a file that was read.
    notes : list of str
        What a user should know of what was taken, and of what was not.
    """

    genes: list[PublishedGene]
    models: tuple[str, ...]
    genome_build: str
    has_drivers: bool
    files: dict[str, Path]
    notes: list[str]


class _Table:
    """Rows of a table with a header, with errors that name file, line and column."""

    def __init__(self, path: Path, delimiter: str, columns: Sequence[str], header: Sequence[str] = ()) -> None:
        self.path = path
        lines = read_lines(path)
        rows = csv.reader((line for _, line in lines), delimiter=delimiter)
        self._names = list(header) or [name.removeprefix("#").strip() for name in next(rows, [])]
        missing = [column for column in columns if column not in self._names]
        if missing:
            raise InputError(
                f"{path} has no column {missing[0]!r}; it has {', '.join(self._names[:30])}; is it the published table?"
            )
        self._rows, self._columns = rows, columns
        self._line = 0 if header else 1

    def __iter__(self) -> Iterator["_Row"]:
        for values in self._rows:
            self._line += 1
            if not values:
                continue
            if len(values) != len(self._names):
                raise InputError(
                    f"{self.path}, line {self._line}: {len(values)} columns, but the header has {len(self._names)}"
                )
            yield _Row(self.path, self._line, dict(zip(self._names, values, strict=True)))


@dataclass(frozen=True)
class _Row:
    path: Path
    line: int
    values: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values[column]

    def number(self, column: str) -> float:
        """A number; NaN where the table has none."""
        text = self.values[column].strip()
        try:
            value = math.nan if text in _MISSING else float(text)
        except ValueError:
            value = math.inf
        if math.isinf(value):
            raise self.error(column, "a number, or NaN where there is none")
        return value

    def whole(self, column: str, lowest: int = 0) -> int:
        """A whole number; raises `InputError` where it is none, or below `lowest`."""
        text = self.values[column].strip()
        if not (text.isascii() and text.isdigit() and lowest <= int(text) < 2**31):
            raise self.error(column, f"a whole number of at least {lowest}")
        return int(text)

    def numbers(self, columns: Mapping[str, str]) -> Numbers:
        """Numbers by name, of columns by name."""
        return {name: self.number(column) for name, column in columns.items()}

    def gene(self, gene_id: str, name: str, contig: str, tss: str, strand: str) -> Gene:
        """The gene that columns name."""
        if self[strand] not in ("+", "-"):
            raise self.error(strand, "+ or -")
        stable = without_version(self[gene_id].strip())
        if not stable:
            raise self.error(gene_id, "an identifier")
        return Gene(stable, self[name].strip() or stable, self[contig].strip(), self.whole(tss, 1), self[strand])

    def error(self, column: str, expected: str) -> InputError:
        """That a value is not what was expected."""
        return InputError(f"{self.path}, line {self.line}: {column} is {self[column]!r}, expected {expected}")


_SASSE_GENE = ("gene_id", "gene_name", "chr_hg38", "tss_hg38", "strand_hg38")
_CAGE = "CAGE,adult,brain"
_SASSE_STATISTICS = {
    "enformer": {
        "pearson_r": f"PearsonR{_CAGE}",
        "p_value": f"PvalueR{_CAGE}",
        "prediction_mean": f"Mean{_CAGE}",
        "prediction_sd": f"Std{_CAGE}",
        "null_mean": "RmeanRandom",
        "null_sd": "Rstdrandom",
        "null_t": f"Tstat{_CAGE}",
    },
    "enformer-finetuned": {
        "pearson_r": "PearsonRfineTuned",
        "p_value": "PvalueRfineTuned",
        "prediction_mean": "MeanFineTuned",
        "prediction_sd": "StdFineTuned",
    },
    "predixcan": {"pearson_r": "PrediXcanR"},
}
_OBSERVED = {"observed_mean": "MeanObs", "observed_sd": "StdObs"}
_LOGARITHMS = {"null_p": f"Log10PvalueTstat{_CAGE}", "fdr": f"Log10BHPvalueTstat{_CAGE}"}
_LINEAR_R = f"SumISMPearsonRto{_CAGE}"
_SASSE_DRIVER = {
    "ism": "ISM",
    "slope": "eQTL",
    "genotype_r": "PearsonRGenotypetoObs",
    "pearson_r_with_prediction": f"DriverPearsonRto{_CAGE}",
    "driver_increment": f"IncreasedFractionofSumPearonRbyrankedDriverto{_CAGE}",
}


def read_sasse2023(folder: Path) -> PublishedTables:
    """Read Supplementary Tables 1 (genes) and 2 (drivers) of Sasse et al. 2023, gzipped or not.

    The table of drivers names no alleles. An eQTL of 0.0 for a SNV whose genotype has no R is missing. Minus the
    logarithm of p and FDR is what the table has; where a gene has no t, they are missing, too.

    Raises
    ------
    InputError
        A file or a column is missing, a value is none, a gene stands there twice, or a driver contradicts its gene.
    """
    files = {name: _published_file(folder, f"{name}.tsv") for name in ("SupplementaryTable1", "SupplementaryTable2")}
    genes = _sasse_genes(files["SupplementaryTable1"])
    _add_drivers(files["SupplementaryTable2"], genes)
    with_drivers = sum(bool(gene.drivers) for gene in genes.values())
    notes = [
        f"drivers are of {with_drivers:,} genes, those that the article selected them for; of the others none is known",
        "p-values of R have three decimals: 0 is below 0.0005",
        "not taken: SuSiE's causal variants, and of drivers what is of their neighbourhood",
    ]
    return PublishedTables(_sorted(genes.values()), tuple(_SASSE_STATISTICS), "GRCh38", True, files, notes)


def _sasse_genes(path: Path) -> dict[str, PublishedGene]:
    of_models = [column for columns in _SASSE_STATISTICS.values() for column in columns.values()]
    table = _Table(path, "\t", [*_SASSE_GENE, *of_models, *_OBSERVED.values(), *_LOGARITHMS.values()])
    genes: dict[str, PublishedGene] = {}
    for row in table:
        gene = row.gene(*_SASSE_GENE)
        if gene.gene_id in genes:
            raise InputError(f"{path}, line {row.line}: gene {gene.gene_id} stands there a second time")
        observed = row.numbers(_OBSERVED)
        statistics = {model: row.numbers(columns) | observed for model, columns in _SASSE_STATISTICS.items()}
        of_enformer = statistics["enformer"]
        for name, column in _LOGARITHMS.items():
            tested = not math.isnan(of_enformer["null_t"])
            of_enformer[name] = 10 ** -row.number(column) if tested else math.nan
        genes[gene.gene_id] = PublishedGene(gene, statistics)
    return genes


def _add_drivers(path: Path, genes: Mapping[str, PublishedGene]) -> None:
    columns = ["gene_id", "LociDriverhg38", "DisttoTSS", "NIndividualsWithSNV", "IsMainDriver", _LINEAR_R]
    for row in _Table(path, "\t", [*columns, *_SASSE_DRIVER.values()]):
        published = genes.get(without_version(row["gene_id"]))
        if published is None:
            raise InputError(f"{path}, line {row.line}: gene {row['gene_id']} is not in Supplementary Table 1")
        position = row.whole("LociDriverhg38", 1)
        distance = position - published.gene.tss
        if row.number("DisttoTSS") != distance:
            raise row.error("DisttoTSS", f"{distance}, the driver's position minus the gene's TSS")
        if row["IsMainDriver"] not in ("True", "False"):
            raise row.error("IsMainDriver", "True or False")
        if any(driver.position == position for driver in published.drivers):
            raise InputError(f"{path}, line {row.line}: driver {position} of {row['gene_id']} stands there twice")
        values = row.numbers(_SASSE_DRIVER)
        if values["slope"] == 0 and math.isnan(values["genotype_r"]):
            values["slope"] = math.nan
        published.statistics["enformer"]["linear_approximation_r"] = row.number(_LINEAR_R)
        published.drivers.append(
            Driver(position, row.whole("NIndividualsWithSNV"), row["IsMainDriver"] == "True", values)
        )
    for published in genes.values():
        if published.drivers and sum(driver.is_main for driver in published.drivers) != 1:
            raise InputError(f"{path}: gene {published.gene.gene_id} has not one main driver")


_HUANG_MODELS = {"enformer": "Enformer", "basenji2": "Basenji2", "expecto": "ExPecto", "xpresso": "Xpresso"}
_HUANG_GENES = ("gene_id", "contig", "tss", "name", "strand")
_HUANG_EQTL = {"distance": "distance", "minor_allele_frequency": "minor_allele_freq", "pearson_r": "rvalue"}


def read_huang2023(folder: Path) -> PublishedTables:
    """Read the tables of Huang et al. 2023: genes, reference predictions of four models, lead eQTLs.

    Predictions and eQTLs name genes by their symbol in lower case, or by the identifier where there is no symbol.

    Raises
    ------
    InputError
        A file or a column is missing, a value is none, or a gene stands there twice.
    """
    roles = ("gene_list", "all_models_ref_preds", "eqtl_features")
    files = {role: _published_file(folder, f"{role}.csv") for role in roles}
    genes: dict[str, PublishedGene] = {}
    for row in _Table(files["gene_list"], ",", _HUANG_GENES, header=_HUANG_GENES):
        gene = row.gene("gene_id", "name", "contig", "tss", "strand")
        if genes.setdefault(gene.name.lower(), PublishedGene(gene)).gene is not gene:
            raise InputError(f"{row.path}, line {row.line}: gene {gene.name} stands there a second time")
    unknown = dict.fromkeys(roles, 0)
    for row in _Table(files["all_models_ref_preds"], ",", ["gene", *_HUANG_MODELS.values()]):
        if row["gene"] in genes:
            for model, column in _HUANG_MODELS.items():
                genes[row["gene"]].statistics[model] = {"reference_prediction": row.number(column)}
        unknown["all_models_ref_preds"] += row["gene"] not in genes
    for row in _Table(files["eqtl_features"], ",", ["name", *_HUANG_EQTL.values(), "log10pvalue"]):
        if row["name"] in genes:
            genes[row["name"]].lead_eqtl.update(row.numbers(_HUANG_EQTL), p_value=10 ** -row.number("log10pvalue"))
        unknown["eqtl_features"] += row["name"] not in genes
    notes = [f"left out: {number:,} rows of {role} that name no gene of gene_list" for role, number in unknown.items()]
    without_symbol = sum(published.gene.name == published.gene.gene_id for published in genes.values())
    return PublishedTables(
        _sorted(genes.values()),
        tuple(_HUANG_MODELS),
        "GRCh37",
        False,
        files,
        [
            *(note for note, number in zip(notes, unknown.values(), strict=True) if number),
            f"{without_symbol:,} genes have an identifier and no symbol",
            "lead eQTLs have no position and no alleles: to which side of the TSS they lie is not said",
        ],
    )


def _published_file(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    return found[0] if found else existing_file(folder / name, "published table")


def _sorted(genes: Iterable[PublishedGene]) -> list[PublishedGene]:
    """By contig, numbers first, and TSS."""

    def place(published: PublishedGene) -> tuple[int, str, int, str]:
        contig = published.gene.contig
        return (int(contig) if contig.isdigit() else 10**9, contig, published.gene.tss, published.gene.gene_id)

    return sorted(genes, key=place)
