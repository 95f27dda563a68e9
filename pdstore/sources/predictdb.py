"""Models of PrediXcan as PredictDB publishes them: SQLite files of linear weights, gene by gene."""

import re
import sqlite3
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
FOLD_TABLES = ("fold_weights", "offsets", "people")
"""Tables beside PredictDB's own, of models that `pdstore train predixcan` made."""

_COLUMNS_OF_WEIGHTS = "rsid TEXT, gene TEXT, weight REAL, varID TEXT, ref_allele TEXT, eff_allele TEXT"
_SECONDS_FOR_OTHERS = 300.0

FINAL = 0
"""The fold of weights that were trained on everybody."""


class GeneWeights(NamedTuple):
    """The linear model of one gene, and those of its folds.

    Attributes
    ----------
    contig : str
        Contig of its variants, as the file names it.
    position : ndarray of int64, shape (weights,)
        1-based.
    ref, effect : ndarray of object (str), shape (weights,)
        Trimmed alleles, upper case; the weight is of a copy of the second.
    fold : ndarray of int64, shape (weights,)
        `FINAL`, or the fold whose people it was not trained on.
    weight : ndarray of float64, shape (weights,)
        Expression per copy.
    offset : ndarray of float64, shape (folds + 1,)
        What is added to the sum of a fold; 0 in files of PredictDB.
    """

    contig: str
    position: NDArray[np.int64]
    ref: NDArray[np.object_]
    effect: NDArray[np.object_]
    fold: NDArray[np.int64]
    weight: NDArray[np.float64]
    offset: NDArray[np.float64]


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
        salt, fold_of, folds = "", {}, FINAL
        rows = [(row, FINAL) for row in _rows(path, database, "weights", WEIGHT_COLUMNS)]
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        offsets: dict[str, dict[int, float]] = {}
        if set(FOLD_TABLES) <= tables:
            for fold, digest, salt_of_file in _rows(path, database, "people", ("fold", "digest", "salt")):
                fold_of[str(digest)], salt = _fold(path, fold), str(salt_of_file)
            folds = max(fold_of.values(), default=FINAL)
            for gene, fold, offset in _rows(path, database, "offsets", ("gene", "fold", "offset")):
                offsets.setdefault(without_version(str(gene)), {})[_fold(path, fold, folds)] = _finite(
                    path, gene, offset
                )
            columns = (*WEIGHT_COLUMNS, "fold")
            rows += [(row[:-1], _fold(path, row[-1], folds)) for row in _rows(path, database, "fold_weights", columns)]
    of_gene: dict[str, list[tuple[str, int, str, str, int, float]]] = {gene: [] for gene in offsets}
    builds: dict[str, str] = {}
    for (gene, _, variant, ref, effect, weight), fold in rows:
        contig, position = _place(path, str(gene), str(variant))
        shift, ref, effect = trimmed(str(ref).upper(), str(effect).upper())
        found = (contig, position + shift, ref, effect, fold, _finite(path, gene, weight))
        of_gene.setdefault(without_version(str(gene)), []).append(found)
        build = build_named_in(str(variant))
        if build is not None:
            builds.setdefault(build, str(variant))
    if len(builds) > 1:
        raise ModelError(f"weights {path}: variants of two genome builds: {' and '.join(sorted(builds.values()))}")
    genes = {
        gene: _gene_weights(path, gene, found, [offsets.get(gene, {}).get(fold, 0.0) for fold in range(folds + 1)])
        for gene, found in of_gene.items()
    }
    return PredictDb(genes, next(iter(builds), None), salt, fold_of)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            yield database
    except sqlite3.Error as error:
        raise ModelError(f"weights {path}: no PredictDB file ({error})") from error


def _rows(path: Path, database: sqlite3.Connection, table: str, columns: Iterable[str]) -> list[tuple[object, ...]]:
    """All rows of a table; a column that it lacks is named."""
    wanted = tuple(columns)
    held = [name for _, name, *_ in database.execute("SELECT * FROM pragma_table_info(?)", (table,))]
    if not held:
        raise ModelError(f"weights {path}: no table {table!r}, so no PredictDB file")
    for column in wanted:
        if column not in held:
            raise ModelError(f"weights {path}: table {table} has no column {column!r}; it has {', '.join(held)[:200]}")
    # Names of this module, never of the file.
    return database.execute(f"SELECT {', '.join(wanted)} FROM {table}").fetchall()


def _place(path: Path, gene: str, variant: str) -> tuple[str, int]:
    # Names of contigs may have a _ themselves.
    found = re.fullmatch(r"(.+)_([0-9]{1,10})_[^_]*_[^_]*(_[^_]*)?", variant)
    if found is None or not 0 < int(found[2]) < 2**31:
        raise ModelError(
            f"weights {path}: gene {gene} has a varID {variant[:60]!r} that names no position, expected "
            "chr1_12345_A_G_b38"
        )
    return found[1], int(found[2])


def _finite(path: Path, gene: object, value: object) -> float:
    if not isinstance(value, int | float) or not np.isfinite(value):
        raise ModelError(f"weights {path}: gene {gene} has the weight {value!r}, which is no finite number")
    return float(value)


def _fold(path: Path, value: object, highest: int = 1_000) -> int:
    if not isinstance(value, int) or not 0 <= value <= highest:
        raise ModelError(f"weights {path}: {value!r} is no fold of 0 to {highest}")
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
    offset : ndarray of float64, shape (folds + 1,)
        What is added.
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
    offset: NDArray[np.float64]
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
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"CREATE TABLE weights ({_COLUMNS_OF_WEIGHTS})")
        database.execute(f"CREATE TABLE fold_weights ({_COLUMNS_OF_WEIGHTS}, fold INTEGER)")
        database.execute("CREATE TABLE offsets (gene TEXT, fold INTEGER, offset REAL)")
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


def settings_of_predictdb(path: Path) -> dict[str, str]:
    """What `begin_predictdb` was given; raises `ModelError` for another file."""
    with _opened(path) as database:
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
        database.executemany("INSERT INTO weights VALUES (?, ?, ?, ?, ?, ?)", [row[:-1] for row in rows if not row[-1]])
        database.executemany("INSERT INTO fold_weights VALUES (?, ?, ?, ?, ?, ?, ?)", [row for row in rows if row[-1]])
        database.executemany(
            "INSERT INTO offsets VALUES (?, ?, ?)",
            [(trained.gene_id, row, float(offset)) for row, offset in enumerate(trained.offset)],
        )


def _gene_weights(
    path: Path, gene: str, rows: list[tuple[str, int, str, str, int, float]], offset: list[float]
) -> GeneWeights:
    contigs = {contig for contig, *_ in rows}
    if len(contigs) > 1:
        raise ModelError(f"weights {path}: gene {gene} has variants of {' and '.join(sorted(contigs)[:2])}")
    _, position, ref, effect, fold, weight = zip(*rows, strict=True) if rows else ((),) * 6
    return GeneWeights(
        contig=next(iter(contigs), ""),
        position=np.array(position, dtype=np.int64),
        ref=np.array(ref, dtype=object),
        effect=np.array(effect, dtype=object),
        fold=np.array(fold, dtype=np.int64),
        weight=np.array(weight, dtype=np.float64),
        offset=np.array(offset),
    )
