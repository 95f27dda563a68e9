"""Measured expression in every form that it comes in."""

from pathlib import Path

import numpy as np
import pytest
from builders import GENES, PEOPLE, expression_of, expression_table, transposed, write_table, write_text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdstore.errors import InputError
from pdstore.sources.expression import Expression, read_expression, read_sample_map
from pdstore.sources.genes import Gene

GENE_LIST = [Gene(*gene) for gene in GENES]
TRUTH = np.array([[expression_of(g, p) for p in range(len(PEOPLE))] for g in range(len(GENES))], dtype=np.float32)
TABLE = expression_table()
# People in another order than the genotypes', genes backwards.
SHUFFLED = [[row[i] for i in (0, 4, 2, 6, 1, 3, 5)] for row in [TABLE[0], *TABLE[:0:-1]]]


def read(path: Path) -> Expression:
    return read_expression(path, GENE_LIST, PEOPLE)


def changed(row: int, column: int, text: str) -> list[list[str]]:
    """The table with one cell changed, both counted from 0."""
    table = [list(line) for line in TABLE]
    table[row][column] = text
    return table


SYMBOL_ROWS = [[gene.name.lower(), *row[1:]] for gene, row in zip(GENES, TABLE[1:], strict=True)]
QTLTOOLS_ROWS = [["1", "5", "6", row[0], row[0], "+", *row[1:]] for row in TABLE[1:]]

FORMS = {
    "tsv": ("x.tsv", "\t", TABLE),
    "csv": ("x.csv", ",", TABLE),
    "gzipped": ("x.tsv.gz", "\t", TABLE),
    "people in rows": ("x.tsv", "\t", transposed(TABLE)),
    "people in rows, csv, gzipped": ("x.csv.gz", ",", transposed(TABLE)),
    "another order": ("x.tsv", "\t", SHUFFLED),
    "another order, people in rows": ("x.tsv", "\t", transposed(SHUFFLED)),
    "no cell over the row names, as R writes": ("x.tsv", "\t", [TABLE[0][1:], *TABLE[1:]]),
    "quoted, as R writes": ("x.csv", ",", [[f'"{text}"' for text in row] for row in TABLE]),
    "ids with version": ("x.tsv", "\t", [TABLE[0], *([f"{row[0]}.{i}", *row[1:]] for i, row in enumerate(TABLE[1:]))]),
    "symbols in another case": ("x.tsv", "\t", [TABLE[0], *SYMBOL_ROWS]),
    "bed": (
        "x.bed.gz",
        "\t",
        [["#chr", "start", "end", *TABLE[0]], *(["1", "5", "6", *row] for row in TABLE[1:])],
    ),
    "QTLtools bed": (
        "x.bed",
        "\t",
        [["#Chr", "start", "end", "pid", "gid", "strand", *PEOPLE], *QTLTOOLS_ROWS],
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_values_for_the_same_gene_and_person(tmp_path: Path, form: str):
    name, separator, rows = FORMS[form]
    expression = read(write_table(tmp_path / name, rows, separator))
    np.testing.assert_array_equal(expression.observed, TRUTH)
    np.testing.assert_array_equal(expression.people, np.arange(len(PEOPLE)))
    assert expression.left_out == {}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_orientation_the_order_and_strangers_change_no_value(tmp_path: Path, data: st.DataObject):
    people = data.draw(st.permutations(range(6)))[: data.draw(st.integers(2, 6))]
    genes = data.draw(st.permutations(range(4)))[: data.draw(st.integers(2, 4))]
    number = st.one_of(st.none(), st.floats(-(2.0**99), 2.0**99, width=32))
    values = {(g, p): data.draw(number) for g in genes for p in people}
    strangers = data.draw(st.integers(0, 3))
    rows = [["", *(PEOPLE[p] for p in people), *(f"stranger{i}" for i in range(strangers))]]
    for gene in genes:
        cells = ["NA" if values[gene, p] is None else repr(values[gene, p]) for p in people]
        rows.append([GENES[gene].gene_id, *cells, *["1"] * strangers])
    expected = np.full((4, 6), np.nan, dtype=np.float32)
    for (gene, person), value in values.items():
        expected[gene, person] = np.nan if value is None else value
    for name, table in (("genes.tsv", rows), ("people.tsv", transposed(rows))):
        expression = read(write_table(tmp_path / name, table))
        np.testing.assert_array_equal(expression.people, sorted(people))
        np.testing.assert_array_equal(expression.observed, expected[:, sorted(people)])
        assert expression.left_out.get("people without genotypes", 0) == strangers
        assert expression.left_out.get("people without expression", 0) == 6 - len(people)


@pytest.mark.parametrize("missing", ["NA", "NaN", "nan", "", "."])
def test_what_was_not_measured_is_nan(tmp_path: Path, missing: str):
    expected = TRUTH.copy()
    expected[1, 2] = np.nan
    np.testing.assert_array_equal(read(write_table(tmp_path / "x.csv", changed(2, 3, missing), ",")).observed, expected)


def test_people_and_genes_that_only_one_source_has_are_counted(tmp_path: Path):
    rows = [[*row[:4], "7" if i else "stranger"] for i, row in enumerate(TABLE)] + [
        ["ENSG00000000099", "1", "2", "3", "4"]
    ]
    expression = read(write_table(tmp_path / "x.tsv", rows))
    assert expression.left_out == {
        "people without expression": 3,
        "people without genotypes": 1,
        "expression rows of other genes": 1,
    }


@pytest.mark.parametrize("turn", [list, transposed])
def test_a_symbol_that_two_genes_share_is_left_out_and_counted_once(tmp_path: Path, turn):
    genes = [Gene(*gene._replace(name="SHARED") if row < 2 else gene) for row, gene in enumerate(GENES)]
    path = write_table(tmp_path / "x.tsv", turn([TABLE[0], ["shared", *TABLE[1][1:]], *TABLE[3:]]))
    expression = read_expression(path, genes, PEOPLE)
    assert np.isnan(expression.observed[:2]).all()
    assert expression.left_out == {"expression rows whose symbol several genes share": 1}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (changed(2, 3, "high"), "line 3, column 4: 'high' is not a number"),
        (transposed(changed(2, 3, "high")), "line 4, column 3: 'high' is not a number"),
        (changed(2, 3, "1_000"), "line 3, column 4: '1_000' is not a number"),
        (changed(2, 3, "inf"), "line 3, column 4: 'inf' is no finite"),
        (changed(2, 3, "1e300"), "line 3, column 4: '1e300' is no finite"),
        (changed(0, 6, PEOPLE[1]), "column 7 and column 3 are the same person"),
        (transposed(changed(0, 6, PEOPLE[1])), "line 7 and line 3 are the same person"),
        ([*TABLE, TABLE[1]], "line 6 and line 2 are the same"),
        ([*TABLE, ["alpha", *TABLE[1][1:]]], "line 6 and line 2 are the same"),
        (transposed([*TABLE, [TABLE[1][0] + ".2", *TABLE[1][1:]]]), "column 6 and column 2 are the same"),
        (
            [["gene_id", *(f"x{i}" for i in range(6))], *TABLE[1:]],
            "none of its 6 names is one of the 6 people.*--sample-map",
        ),
        ([TABLE[0], ["OTHER", *TABLE[1][1:]]], "none of its genes is among the 4 genes"),
        ([*TABLE[:2], TABLE[2][:-1]], "line 3: 6 columns, but the header has 7"),
        ([], "no header"),
        ([["one column"], ["1"]], "no header with several columns"),
    ],
)
def test_bad_expression_is_refused_with_the_place_and_without_a_name_of_a_person(tmp_path: Path, rows, words: str):
    path = write_table(tmp_path / "x.tsv", rows)
    with pytest.raises(InputError, match=words) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert not [name for name in PEOPLE if name in str(caught.value)]


@pytest.mark.parametrize("separator", ["\t", ","])
def test_a_sample_map_is_read(tmp_path: Path, separator: str):
    path = write_text(tmp_path / "map", f"{PEOPLE[0]}{separator}a\n\n{PEOPLE[1]}{separator}b\n")
    assert read_sample_map(path) == {PEOPLE[0]: "a", PEOPLE[1]: "b"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{PEOPLE[0]}\ta\n{PEOPLE[0]}\tb\n", "line 2: a name of this line stands in an earlier line"),
        (f"{PEOPLE[0]}\ta\n{PEOPLE[1]}\ta\n", "line 2: a name of this line stands in an earlier line"),
        (f"{PEOPLE[0]}\ta\tb\n", "line 1: 3 columns"),
        (f"{PEOPLE[0]}\n", "line 1: 1 columns"),
    ],
)
def test_a_wrong_sample_map_is_refused_by_line(tmp_path: Path, text: str, words: str):
    with pytest.raises(InputError, match=words) as caught:
        read_sample_map(write_text(tmp_path / "map", text))
    assert not [name for name in PEOPLE if name in str(caught.value)]
