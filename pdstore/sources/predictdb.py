"""Models of PrediXcan as PredictDB publishes them: SQLite files of linear weights, gene by gene."""

import os
import re
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import ModelError
from pdstore.sources.genes import without_version
from pdstore.sources.genome_build import build_named_in
from pdstore.sources.variants import trimmed

WEIGHT_COLUMNS = ("gene", "rsid", "varID", "ref_allele", "eff_allele", "weight")
FOLD_TABLES = ("fold_weights", "people")
"""Tables beside PredictDB's own, of models that `pdstore train predixcan` made."""

_COLUMNS_OF_WEIGHTS = "rsid TEXT, gene TEXT, weight REAL, varID TEXT, ref_allele TEXT, eff_allele TEXT"
_SECONDS_FOR_OTHERS = 300.0
_LARGEST = 1e100

FORMAT = "1"
"""Of the tables beside PredictDB's own."""

FINAL = 0
"""The fold of weights that were trained on everybody."""


class GeneWeights(NamedTuple):
    """The linear model of one gene, and those of its folds.

    Attributes
    ----------
    contig : str
        Contig of its variants, without "chr".
    position : ndarray of int64, shape (weights,)
        1-based.
    ref, effect : ndarray of object (str), shape (weights,)
        Trimmed alleles, upper case; the weight is of a copy of the second.
    fold : ndarray of int64, shape (weights,)
        `FINAL`, or the fold whose people it was not trained on.
    weight : ndarray of float64, shape (weights,)
        Expression per copy.
    mean : ndarray of float64, shape (weights,)
        Copies that are subtracted: the mean of those it was trained on; 0 in files of PredictDB.
    folds : int
        Folds beside the model of everybody.
    """

    contig: str
    position: NDArray[np.int64]
    ref: NDArray[np.object_]
    effect: NDArray[np.object_]
    fold: NDArray[np.int64]
    weight: NDArray[np.float64]
    mean: NDArray[np.float64]
    folds: int


class PredictDb(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    genes : dict
        Gene's identifier without version → its model.
    build : str or None
        Genome build that its variants name.
    salt : str
        Goes before a person's name in `fold_of`.
    fold_of : dict
        SHA-256 of a person it was trained on → the fold that was trained without.
    """

    genes: dict[str, GeneWeights]
    build: str | None
    salt: str
    fold_of: dict[str, int]


def read_predictdb(path: Path) -> PredictDb:
    """Read a PredictDB file.

    Parameters
    ----------
    path : Path
        SQLite, with a table ``weights`` of gene, rsid, varID (``chr1_12345_A_G_b38``), ref_allele, eff_allele, weight.

    Raises
    ------
    ModelError
        It is no such file, or a row has an impossible value; the table and row, or the column, are named.
    """
    with _opened(path) as database:
        salt, fold_of = "", {}
        rows = [(*row, FINAL, 0.0) for row in _rows(path, database, "weights", WEIGHT_COLUMNS)]
        if set(FOLD_TABLES) <= _tables(database):
            for fold, digest, salt_of_file in _rows(path, database, "people", ("fold", "digest", "salt")):
                fold_of[str(digest)], salt = _fold(path, fold), str(salt_of_file)
            rows = _rows(path, database, "fold_weights", (*WEIGHT_COLUMNS, "fold", "mean_dosage"))
    folds = max(fold_of.values(), default=FINAL)
    of_gene: dict[str, dict[tuple[object, ...], _Weight]] = {}
    names: dict[str, str] = {}
    builds: dict[str, str] = {}
    for gene, _, variant, ref, effect, value, fold, mean in rows:
        contig, position = _place(path, str(gene), str(variant))
        shift, ref, effect = trimmed(str(ref).upper(), str(effect).upper())
        number = _number(path, gene, value)
        weight = _Weight(
            contig, position + shift, ref, effect, _fold(path, fold, folds), number, _number(path, gene, mean)
        )
        stable = without_version(str(gene))
        if names.setdefault(stable, str(gene)) != gene:
            raise ModelError(f"weights {path}: gene {stable[:60]!r} is there with two versions")
        key = (weight.position, frozenset((ref, effect)), weight.fold)
        if of_gene.setdefault(stable, {}).setdefault(key, weight) is not weight:
            raise ModelError(f"weights {path}: gene {stable[:60]!r} has two weights of {str(variant)[:60]!r}")
        build = build_named_in(str(variant))
        if build is not None:
            builds.setdefault(build, str(variant)[:60])
    if len(builds) > 1:
        raise ModelError(f"weights {path}: variants of two genome builds: {' and '.join(sorted(builds.values()))}")
    genes = {gene: _gene_weights(path, gene, list(found.values()), folds) for gene, found in of_gene.items()}
    return PredictDb(genes, next(iter(builds), None), salt, fold_of)


class _Weight(NamedTuple):
    contig: str
    position: int
    ref: str
    effect: str
    fold: int
    weight: float
    mean: float


@contextmanager
def _opened(path: Path, mode: str = "ro") -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True)) as database:
            yield database
    except sqlite3.Error as error:
        raise ModelError(f"weights {path}: no PredictDB file ({error})") from error


def _rows(path: Path, database: sqlite3.Connection, table: str, columns: Iterable[str]) -> list[tuple[object, ...]]:
    """All rows of a table; a column that it lacks is named."""
    wanted = tuple(columns)
    # A view may go on for ever.
    if table not in _tables(database):
        raise ModelError(f"weights {path}: no table {table!r}, so no PredictDB file")
    held = [name for _, name, *_ in database.execute("SELECT * FROM pragma_table_info(?)", (table,))]
    for column in wanted:
        if column not in held:
            raise ModelError(f"weights {path}: table {table} has no column {column!r}; it has {', '.join(held)[:200]}")
    # Names of this module, never of the file.
    return database.execute(f"SELECT {', '.join(wanted)} FROM {table}").fetchall()


def _tables(database: sqlite3.Connection) -> set[str]:
    return {str(name) for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _place(path: Path, gene: str, variant: str) -> tuple[str, int]:
    # Names of contigs may have a _ themselves.
    found = re.fullmatch(r"(.+)_([0-9]{1,10})_[^_]*_[^_]*(_[^_]*)?", variant)
    if found is None or not 0 < int(found[2]) < 2**31:
        raise ModelError(
            f"weights {path}: gene {gene[:60]!r} has a varID {variant[:60]!r} that names no position, expected "
            "chr1_12345_A_G_b38"
        )
    return found[1], int(found[2])


def _number(path: Path, gene: object, value: object) -> float:
    # No weight comes near the bound, and sums of them stay numbers.
    if not isinstance(value, int | float) or not abs(value) < _LARGEST:
        raise ModelError(
            f"weights {path}: gene {str(gene)[:60]!r} has the weight {str(value)[:60]!r}, which is no finite number"
        )
    return float(value)


def _fold(path: Path, value: object, highest: int = 1_000) -> int:
    if not isinstance(value, int) or not 0 <= value <= highest:
        raise ModelError(f"weights {path}: {str(value)[:60]!r} is no fold of 0 to {highest}")
    return value


class TrainedGene(NamedTuple):
    """A gene's model as `pdstore train predixcan` makes it.

    Attributes
    ----------
    gene_id, gene_name : str
        The gene.
    variants : list of tuple
        Contig, 1-based position, reference and alternate of each allele.
    rsids : list of str
        Their names, "" where they have none.
    weight : ndarray of float64, shape (folds + 1, alleles)
        Expression per alternate allele; the first row is of everybody.
    mean : ndarray of float64, shape (folds + 1, alleles)
        Mean copies of each allele among those a row was trained on.
    people : int
        People whose expression was measured.
    pearson_r, p_value : float
        Between out-of-fold prediction and observed expression; NaN where either has no variance.
    converged : bool
        Whether every fit did.
    """

    gene_id: str
    gene_name: str
    variants: list[tuple[str, int, str, str]]
    rsids: list[str]
    weight: NDArray[np.float64]
    mean: NDArray[np.float64]
    people: int
    pearson_r: float
    p_value: float
    converged: bool


def begin_predictdb(path: Path, settings: Mapping[str, str], salt: str, fold_of: Mapping[str, int]) -> None:
    """Make the tables of a file that genes are then added to.

    Parameters
    ----------
    path : Path
        The new file.
    settings : mapping of str to str
        What it is trained from, and how.
    salt, fold_of
        As in `PredictDb`.
    """
    # Whole or not at all: tables are not part of a transaction of Python's.
    unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    with closing(sqlite3.connect(unfinished)) as database, database:
        database.execute(f"CREATE TABLE weights ({_COLUMNS_OF_WEIGHTS})")
        database.execute(f"CREATE TABLE fold_weights ({_COLUMNS_OF_WEIGHTS}, fold INTEGER, mean_dosage REAL)")
        database.execute("CREATE TABLE people (fold INTEGER, digest TEXT, salt TEXT)")
        database.execute(
            "CREATE TABLE extra (gene TEXT PRIMARY KEY, genename TEXT, `n.snps.in.model` INTEGER, "
            "`pred.perf.R2` REAL, `pred.perf.pval` REAL, `pred.perf.qval` REAL, out_of_fold_r REAL, people INTEGER, "
            "converged INTEGER)"
        )
        database.execute("CREATE TABLE construction (name TEXT, value TEXT)")
        database.executemany("INSERT INTO construction VALUES (?, ?)", settings.items())
        database.executemany(
            "INSERT INTO people VALUES (?, ?, ?)", [(fold, digest, salt) for digest, fold in fold_of.items()]
        )
    os.replace(unfinished, path)


def settings_of_predictdb(path: Path) -> dict[str, str]:
    """What `begin_predictdb` was given; raises `ModelError` for another file."""
    # To write, so that what a kill left half-written is rolled back.
    with _opened(path, "rw") as database:
        return {str(name): str(value) for name, value in _rows(path, database, "construction", ("name", "value"))}


class GeneSummary(NamedTuple):
    """What training a gene came to.

    Attributes
    ----------
    gene_id : str
        The gene.
    alleles : int
        Alleles with a weight.
    pearson_r : float
        R of out-of-fold prediction and observed expression; NaN where undefined.
    converged : bool
        Whether every fit did.
    """

    gene_id: str
    alleles: int
    pearson_r: float
    converged: bool


def trained_genes(path: Path) -> list[GeneSummary]:
    """The genes that were added to a file, with or without a weight."""
    with _opened(path) as database:
        found = database.execute("SELECT gene, `n.snps.in.model`, out_of_fold_r, converged FROM extra").fetchall()
    return [
        GeneSummary(str(gene), int(alleles), np.nan if r is None else float(r), bool(converged))
        for gene, alleles, r, converged in found
    ]


def add_gene(path: Path, trained: TrainedGene) -> None:
    """Add a gene, whole or not at all; several processes may."""
    fold, allele = np.nonzero(trained.weight)
    rows = [
        (
            trained.rsids[column] or None,
            trained.gene_id,
            float(trained.weight[row, column]),
            "_".join(map(str, trained.variants[column])),
            *trained.variants[column][2:4],
            int(row),
            float(trained.mean[row, column]),
        )
        for row, column in zip(fold.tolist(), allele.tolist(), strict=True)
    ]
    r = None if np.isnan(trained.pearson_r) else trained.pearson_r
    summary = (
        trained.gene_id,
        trained.gene_name,
        int(np.count_nonzero(trained.weight[FINAL])),
        None if r is None else r * r,
        None if r is None else trained.p_value,
        None,
        r,
        trained.people,
        int(trained.converged),
    )
    with closing(sqlite3.connect(path, timeout=_SECONDS_FOR_OTHERS)) as database, database:
        added = database.execute("INSERT OR IGNORE INTO extra VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", summary)
        if not added.rowcount:
            # By a worker that died before it could say so.
            return
        final = [row[:6] for row in rows if row[6] == FINAL]
        database.executemany("INSERT INTO weights VALUES (?, ?, ?, ?, ?, ?)", final)
        database.executemany("INSERT INTO fold_weights VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def _gene_weights(path: Path, gene: str, rows: list[_Weight], folds: int) -> GeneWeights:
    contigs = {row.contig.removeprefix("chr") for row in rows}
    if len(contigs) > 1:
        raise ModelError(
            f"weights {path}: gene {gene[:60]!r} has variants of {' and '.join(sorted(contigs)[:2])[:60]!r}"
        )
    _, position, ref, effect, fold, weight, mean = zip(*rows, strict=True)
    return GeneWeights(
        contig=contigs.pop(),
        position=np.array(position, dtype=np.int64),
        ref=np.array(ref, dtype=object),
        effect=np.array(effect, dtype=object),
        fold=np.array(fold, dtype=np.int64),
        weight=np.array(weight, dtype=np.float64),
        mean=np.array(mean, dtype=np.float64),
        folds=folds,
    )
