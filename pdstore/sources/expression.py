"""Measured expression: genes by people in either orientation, as TSV, CSV or QTL BED."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pdstore.errors import InputError
from pdstore.sources.genes import Gene, without_version
from pdstore.sources.text import existing_file, read_lines

_MISSING = frozenset(("", "NA", "NaN", "nan", "."))
_LARGEST = float(np.finfo(np.float32).max)
# Columns of QTL BED files between the position and the people.
_BED_COLUMNS = frozenset(("pid", "gid", "strand", "score", "gene_name", "group_id"))


@dataclass(frozen=True)
class Expression:
    """Measured expression of the people who have genotypes.

    Attributes
    ----------
    observed : ndarray of float32, shape (genes, people)
        As in the source; NaN where not measured.
    people : ndarray of int64, shape (people,)
        0-based index of each column among the genotyped people, ascending.
    left_out : dict
        Reason → how many.
    """

    observed: NDArray[np.float32]
    people: NDArray[np.int64]
    left_out: dict[str, int]


def read_sample_map(path: Path) -> dict[str, str]:
    """Names of people: in the genotypes → in the expression.

    Parameters
    ----------
    path : Path
        Two columns, tab- or comma-separated, no header: name in the VCF, name in the expression file.
    """
    existing_file(path, "sample map")
    names: dict[str, str] = {}
    for number, line in read_lines(path):
        if not line.strip():
            continue
        fields = line.split("\t" if "\t" in line else ",")
        if len(fields) != 2:
            raise InputError(f"sample map {path}, line {number}: {len(fields)} columns, but it needs 2")
        if fields[0] in names or fields[1] in names.values():
            raise InputError(f"sample map {path}, line {number}: a name of this line stands in an earlier line too")
        names[fields[0]] = fields[1]
    return names


def read_expression(path: Path, genes: Sequence[Gene], sample_names: Sequence[str]) -> Expression:
    """Read measured expression.

    Parameters
    ----------
    path : Path
        Genes by people or people by genes, with a header; tab- or comma-separated; gzipped or not. A file whose
        first three columns are a BED's (``#chr``, ``start``, ``end``) has the gene in its fourth. Genes go by id (the
        version is ignored) or by symbol.
    genes : sequence of Gene
        Genes to look for.
    sample_names : sequence of str
        Names of the genotyped people in this file.

    Returns
    -------
    Expression

    Raises
    ------
    InputError
        Nobody in common, no gene in common, a person or a gene twice, a row of another length, or a value that is no
        number: with file, line and column, never with a person's name.
    """
    existing_file(path, "expression")
    rows = table_rows(path)
    _, header = next(rows, (1, []))
    if len(header) < 2:
        raise InputError(f"expression {path}: no header with several columns in line 1; is it tab- or comma-separated?")
    name_column = _name_column(header)
    values_from = name_column + 1
    sample_row = {name: row for row, name in enumerate(sample_names)}
    gene_rows = _GeneNames(genes)
    columns = header[values_from:]
    people_in_columns = sum(name in sample_row for name in columns)
    genes_in_columns = sum(gene_rows.find(name) is not None for name in columns)
    if people_in_columns == 0 and genes_in_columns == 0:
        raise _nobody_in_common(path, len(columns), sample_names)
    by_gene = people_in_columns >= genes_in_columns
    gene_rows.ambiguous_found = 0  # what was looked up to find the orientation is looked up again
    found_columns = [sample_row.get(name) if by_gene else gene_rows.find(name) for name in columns]
    column_targets = [None] * values_from + found_columns
    _refuse_twice(path, "column", [(i + 1, target) for i, target in enumerate(column_targets)])

    observed = np.full((len(genes), len(sample_names)), np.nan, dtype=np.float32)
    wanted = np.flatnonzero([target is not None for target in column_targets])
    targets = np.array([column_targets[i] for i in wanted], dtype=np.int64)
    row_targets: list[tuple[int, int | None]] = []
    for number, fields in rows:
        target = gene_rows.find(fields[name_column]) if by_gene else sample_row.get(fields[name_column])
        row_targets.append((number, target))
        if target is None:
            continue
        values = _numbers(path, number, fields, wanted)
        observed[(target, targets) if by_gene else (targets, target)] = values
    _refuse_twice(path, "line", row_targets)

    found = np.array(sorted({t for _, t in row_targets if t is not None}), dtype=np.int64)
    people = np.sort(targets) if by_gene else found
    measured = found if by_gene else targets
    if not len(people):
        raise _nobody_in_common(path, len(row_targets), sample_names)
    if not len(measured):
        raise InputError(f"expression {path}: none of its genes is among the {len(genes)} genes, by id or by symbol")
    other_people = (_people_columns(columns) if by_gene else len(row_targets)) - len(people)
    other_genes = (len(row_targets) if by_gene else len(columns)) - len(measured) - gene_rows.ambiguous_found
    left_out = {
        "people without expression": len(sample_names) - len(people),
        "people without genotypes": other_people,
        "expression rows of other genes": other_genes,
        "expression rows whose symbol several genes share": gene_rows.ambiguous_found,
    }
    return Expression(observed[:, people], people, {reason: count for reason, count in left_out.items() if count})


def read_every_gene(path: Path, people: Sequence[str]) -> NDArray[np.float32]:
    """Expression of people as `read_expression` reads it, but of every gene of the file, not of the store's alone.

    Parameters
    ----------
    path : Path
        A file that `read_expression` read.
    people : sequence of str
        Names, in this file, of people who are in it.

    Returns
    -------
    ndarray of float32, shape (genes, people)
    """
    rows = table_rows(path)
    _, header = next(rows)
    values_from = _name_column(header) + 1
    if set(people) <= set(header[values_from:]):
        columns = np.array([header.index(person, values_from) for person in people])
        return np.array([_numbers(path, number, fields, columns) for number, fields in rows])
    row_of = {person: row for row, person in enumerate(people)}
    values = np.empty((len(people), len(header) - values_from), dtype=np.float32)
    every_gene = np.arange(values_from, len(header))
    for number, fields in rows:
        if fields[values_from - 1] in row_of:
            values[row_of[fields[values_from - 1]]] = _numbers(path, number, fields, every_gene)
    return values.T


class _GeneNames:
    """Finds a gene by id without version, or else by symbol in any case."""

    def __init__(self, genes: Sequence[Gene]) -> None:
        symbols = Counter(gene.name.upper() for gene in genes)
        self._by_id = {gene.gene_id: row for row, gene in enumerate(genes)}
        self._by_symbol = {gene.name.upper(): row for row, gene in enumerate(genes)}
        self._ambiguous = {symbol for symbol, count in symbols.items() if count > 1}
        self.ambiguous_found = 0

    def find(self, name: str) -> int | None:
        by_id = self._by_id.get(without_version(name))
        if by_id is not None:
            return by_id
        if name.upper() in self._ambiguous:
            self.ambiguous_found += 1
            return None
        return self._by_symbol.get(name.upper())


def table_rows(path: Path, what: str = "expression") -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each row, the header first. Rows are held against the header's length."""
    separator, width = "\t", 0
    header: list[str] | None = None
    header_line = 1
    for number, line in read_lines(path):
        if not line.strip():
            continue
        if width == 0 and header is None:
            separator = "\t" if "\t" in line else ","
            header, header_line = _fields(line, separator), number
            continue
        fields = _fields(line, separator)
        if width == 0 and header is not None:
            # R writes a header without a cell over the row names.
            if len(header) == len(fields) - 1:
                header = ["", *header]
            width = len(header)
            yield header_line, header
        if len(fields) != width:
            raise InputError(f"{what} {path}, line {number}: {len(fields)} columns, but the header has {width}")
        yield number, fields


def _fields(line: str, separator: str) -> list[str]:
    return [field.strip().strip('"') for field in line.split(separator)]


def _numbers(path: Path, line: int, fields: list[str], wanted: NDArray[np.int64]) -> NDArray[np.float32]:
    values = np.empty(len(wanted), dtype=np.float32)
    for position, column in enumerate(wanted):
        text = fields[column]
        try:
            # Python takes 1_000 for a number; no table means it.
            value = math.nan if text in _MISSING else float(text.replace("_", "?"))
        except ValueError:
            raise InputError(
                f"expression {path}, line {line}, column {column + 1}: {text!r} is not a number (not measured: NA)"
            ) from None
        if abs(value) > _LARGEST:
            raise InputError(f"expression {path}, line {line}, column {column + 1}: {text!r} is no finite float32")
        values[position] = value
    return values


def _refuse_twice(path: Path, what: str, targets: list[tuple[int, int | None]]) -> None:
    first: dict[int, int] = {}
    for number, target in targets:
        if target is not None and target in first:
            raise InputError(
                f"expression {path}: {what} {number} and {what} {first[target]} are the same person or gene"
            )
        if target is not None:
            first[target] = number


def _name_column(header: list[str]) -> int:
    """0-based column of a row's name: the fourth of a BED, else the first."""
    return 3 if header[0].lower() in ("#chr", "#chrom") and len(header) > 4 else 0


def _people_columns(columns: list[str]) -> int:
    return sum(name not in _BED_COLUMNS for name in columns)


def _nobody_in_common(path: Path, names: int, sample_names: Sequence[str]) -> InputError:
    return InputError(
        f"expression {path}: none of its {names} names is one of the {len(sample_names)} people with genotypes; "
        "if they go by other names there, give --sample-map"
    )
