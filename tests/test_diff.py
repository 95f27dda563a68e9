"""What differs between two stores is found, and nothing else, whatever the order of genes, people and variants."""

import csv
import io
import json
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import GENES, PEOPLE, RECORDS, expression_table, write_table, write_vcf
from filled_stores import made
from hypothesis import given
from hypothesis import strategies as st

from pdstore.alignment import matching_rows
from pdstore.clear import clear, plan_clearing
from pdstore.compared_arrays import DIFFERS, MISSING_FIRST, MISSING_SECOND, SAME
from pdstore.diff import Difference, diff
from pdstore.differences import row_differences
from pdstore.errors import DamagedDataError, UnknownGeneError
from pdstore.same_rows import same_rows
from pdstore.store import create_store, mark_complete, open_store

Program = Callable[..., subprocess.CompletedProcess[str]]
Fill = Callable[..., None]

WINDOW = "200bp_tss100_gene_snv"


@pytest.fixture(scope="module")
def other(fill_now: Fill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same people and genes in another order, without the gene GAMMA, one person and one of the variants."""
    folder = tmp_path_factory.mktemp("other") / "cohort"
    folder.mkdir()
    order = [4, 2, 0, 5, 1]
    people = [PEOPLE[person] for person in order]
    kept = [record for record in RECORDS if (record.contig, record.position) != ("1", 50)]
    records = [record._replace(calls=" ".join(np.array(record.calls.split())[order].tolist())) for record in kept]
    return made(
        folder,
        fill_now,
        vcf=[write_vcf(folder / "other.vcf.gz", records, people=people)],
        genes=[GENES[3], GENES[1], GENES[0]],
        expression=write_table(folder / "expression-of-other.tsv", expression_table()),
    )


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "copy.zarr"))


def kinds(found: Difference) -> dict[str, list[int]]:
    """Arrays of which a gene differs."""
    return {array.path: array.kind.tolist() for array in found.arrays if (array.kind != SAME).any()}


def test_a_copy_is_the_same(small: Path, copy: Path) -> None:
    found = diff(open_store(small), open_store(copy))
    assert found.is_empty
    assert found.gene.tolist() == [gene.name for gene in GENES]
    paths = {array.path for array in found.arrays}
    expected = {"genes/gene_tss", "expression/observed", "predictions/cnn/expression", "attributions/cnn/ism"}
    assert paths >= expected | {f"eqtl/{WINDOW}/slope", f"windows/{WINDOW}/variants", "statistics/cnn/driver_rank"}


@pytest.mark.parametrize(
    ("path", "gene", "place"),
    [
        ("statistics/cnn/pearson_r", 2, ()),
        ("predictions/cnn/expression", 1, (3,)),
        ("attributions/cnn/ism", 0, (1,)),
        ("expression/observed", 3, (5,)),
        ("predictions/cnn/reference_tracks", 2, (0, 0)),
    ],
)
def test_one_changed_value_is_found_and_nothing_else(small: Path, copy: Path, path: str, gene: int, place: Any) -> None:
    store = open_store(copy, "r+")
    values = store.read(path)
    before = values[(gene, *place)]
    values[(gene, *place)] = before * 1.25
    store.write(path, ..., values)
    found = diff(open_store(small), store)
    assert kinds(found) == {path: [DIFFERS if row == gene else SAME for row in range(4)]}
    assert found.differing.tolist() == [gene]
    (array,) = [array for array in found.arrays if array.path == path]
    assert array.largest == pytest.approx(0.2, rel=1e-6)
    assert np.flatnonzero(~np.isnan(array.relative)).tolist() == [gene]
    assert diff(open_store(small), store, tolerance=0.21).is_empty
    assert not diff(open_store(small), store, tolerance=0.19).is_empty
    assert diff(open_store(small), store, genes=[GENES[gene - 1].name]).is_empty


def test_what_one_store_has_not_filled_is_a_kind_of_its_own(small: Path, copy: Path) -> None:
    clear(str(copy), plan_clearing(open_store(copy), None, ["attributions"], ["BETA"]))
    stores = open_store(small), open_store(copy)
    found = kinds(diff(*stores))
    assert found["attributions/cnn/ism"] == [SAME, MISSING_SECOND, SAME, SAME]
    assert found["statistics/cnn/pearson_r"] == [SAME, MISSING_SECOND, SAME, SAME]
    assert not [path for path in found if path.startswith(("predictions", "eqtl", "windows"))]
    # Rates of false discovery are over all genes that are filled.
    differs = {path for path, of in found.items() if DIFFERS in of}
    assert differs <= {"statistics/cnn/fdr", "statistics/cnn/empirical_fdr"}
    assert kinds(diff(*reversed(stores)))["attributions/cnn/ism"] == [SAME, MISSING_FIRST, SAME, SAME]


def test_a_value_that_one_store_lacks_is_missing_there_and_what_both_hold_is_compared(small: Path, copy: Path) -> None:
    store = open_store(copy, "r+")
    slope = store.read(f"eqtl/{WINDOW}/slope")
    held = np.flatnonzero(~np.isnan(slope[0]))
    assert len(held) > 2
    slope[0, held[0]] = np.nan
    store.write(f"eqtl/{WINDOW}/slope", ..., slope)
    count = store.read("statistics/cnn/driver_count")
    count[2] = -1
    store.write("statistics/cnn/driver_count", ..., count)
    found = diff(open_store(small), store)
    lacking = {
        f"eqtl/{WINDOW}/slope": [MISSING_SECOND, SAME, SAME, SAME],
        "statistics/cnn/driver_count": [SAME, SAME, MISSING_SECOND, SAME],
    }
    assert kinds(found) == lacking
    assert found.differing.tolist() == []
    assert found.genes_where(MISSING_SECOND).tolist() == [0, 2]
    assert not found.is_empty
    slope[0, held[1]] *= 1.25
    store.write(f"eqtl/{WINDOW}/slope", ..., slope)
    found = diff(store, open_store(small))
    assert kinds(found)[f"eqtl/{WINDOW}/slope"] == [DIFFERS + MISSING_FIRST, SAME, SAME, SAME]
    (array,) = [array for array in found.arrays if array.path == f"eqtl/{WINDOW}/slope"]
    assert array.largest == pytest.approx(0.2)


def test_genes_people_and_variants_are_aligned(small: Path, other: Path) -> None:
    found = diff(open_store(small), open_store(other), tolerance=1e-6)
    assert found.gene.tolist() == ["ALPHA", "BETA", "DELTA"]
    assert found.genes_only == ([("GAMMA", "ENSG00000000021")], [])
    assert found.people_only == (1, 0)
    assert any("made from other files" in note and "vcf" in note for note in found.notes)
    changed = kinds(found)
    assert not [path for path in changed if path.startswith(("genes", "expression"))]
    # ALPHA alone has 1:50 in its window; its C>A is an SNV that two of the people carry.
    assert changed[f"windows/{WINDOW}/variants"] == [MISSING_SECOND, SAME, SAME]
    assert changed["predictions/cnn/expression"] == [DIFFERS, SAME, SAME]
    # The effect of one allele at a time depends on no person and on no other allele.
    assert "attributions/cnn/ism" not in changed
    # A person fewer has other slopes.
    assert changed[f"eqtl/{WINDOW}/slope"][0] & DIFFERS


def test_values_of_a_variant_are_found_at_its_column_in_each_store(small: Path, other: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(other, tmp_path / "other.zarr"))
    store = open_store(path, "r+")
    gene = store.read("genes/gene_name").tolist().index("ALPHA")
    ism = store.read("attributions/cnn/ism", gene)
    start = int(store.read(f"windows/{WINDOW}/variant_start", gene))
    column = store.read("variants/position").tolist().index(81) - start
    ism[column] += 1
    store.write("attributions/cnn/ism", gene, ism)
    assert kinds(diff(open_store(small), store, 1e-6))["attributions/cnn/ism"] == [DIFFERS, SAME, SAME]
    # Behind the window's variants is padding, of no meaning.
    count = int(store.read(f"windows/{WINDOW}/variant_count", gene))
    ism[column] -= 1
    ism[count:] = 7
    store.write("attributions/cnn/ism", gene, ism)
    assert "attributions/cnn/ism" not in kinds(diff(open_store(small), store, 1e-6))


def test_windows_that_neither_store_has_placed_are_the_same(small: Path, copy: Path, tmp_path: Path) -> None:
    store = open_store(copy, "r+")
    store.write(f"windows/{WINDOW}/variant_count", ..., np.full(4, -1))
    again = open_store(Path(shutil.copytree(copy, tmp_path / "again.zarr")))
    assert diff(store, again).is_empty
    assert f"windows/{WINDOW}/variants" in kinds(diff(open_store(small), store))


def test_groups_and_arrays_of_one_store_and_shapes_that_differ(small: Path, copy: Path) -> None:
    store = open_store(copy, "r+")
    store.delete(f"eqtl/{WINDOW}")
    store.delete("statistics/cnn/backward_rank")
    store.delete("predictions/cnn/reference_tracks")
    store.root.create_array(
        "predictions/cnn/reference_tracks",
        shape=(4, 2, 1),
        dtype="float32",
        dimension_names=("genes", "bins", "model_tracks"),
    )
    found = diff(open_store(small), store)
    assert found.groups_only == ([f"eqtl/{WINDOW}", "statistics/cnn/backward_rank"], [])
    assert found.not_comparable == {
        "predictions/cnn/reference_tracks": "bins x model_tracks are (1, 1) in the first, (2, 1) in the second"
    }
    assert not found.is_empty


def test_a_summary_is_compared_by_what_it_has(small: Path, tmp_path: Path) -> None:
    full = open_store(small)
    summary = create_store(tmp_path / "summary.zarr")
    summary.create_group("genes", {"genes": 4}, {})
    for name in ("gene_id", "gene_name", "gene_contig", "gene_tss", "gene_strand"):
        summary.write(f"genes/{name}", ..., full.read(f"genes/{name}"))
    summary.root.create_group("statistics/cnn")
    summary.root.create_array("statistics/cnn/pearson_r", shape=(4,), dtype="float64", fill_value=math.nan)
    summary.write("statistics/cnn/pearson_r", ..., full.read("statistics/cnn/pearson_r"))
    mark_complete(summary, {"level": "summary"})
    found = diff(full, open_store(tmp_path / "summary.zarr"))
    assert kinds(found) == {}
    assert "statistics/cnn/p_value" in found.groups_only[0]
    assert found.people_only == (0, 0)


def test_an_unknown_gene_is_an_error_and_one_of_either_store_is_not(small: Path, other: Path) -> None:
    found = diff(open_store(small), open_store(other), 1e-6, ["GAMMA", "beta"])
    assert (found.gene.tolist(), len(found.genes_only[0])) == (["BETA"], 1)
    assert diff(open_store(other), open_store(small), 1e-6, ["GAMMA"]).genes_only[1] == [("GAMMA", "ENSG00000000021")]
    with pytest.raises(UnknownGeneError, match="no gene 'OMEGA'"):
        diff(open_store(small), open_store(other), genes=["OMEGA"])


NUMBERS = st.sampled_from([0.0, -0.0, 1.0, 1.0 + 1e-9, -1.0, 2.0, math.nan, math.inf, 1e-300])
ROWS = st.integers(0, 4).flatmap(
    lambda columns: st.lists(
        st.tuples(*[st.lists(NUMBERS, min_size=columns, max_size=columns)] * 2), min_size=1, max_size=5
    )
)


@given(ROWS, st.sampled_from([0.0, 1e-6, 0.6, 3.0]))
def test_differences_are_those_of_a_plain_loop(rows: list[tuple[list[float], list[float]]], tolerance: float) -> None:
    of = row_differences(np.array([row[0] for row in rows]), np.array([row[1] for row in rows]), tolerance)
    for row, (first, second) in enumerate(rows):
        found = []
        pairs = list(zip(first, second, strict=True))
        for a, b in pairs:
            if a == b or math.isnan(a) or math.isnan(b):
                continue
            finite = math.isfinite(a) and math.isfinite(b)
            relative = abs(a - b) / max(abs(a), abs(b)) if finite else math.nan
            if not relative <= tolerance:
                found.append(relative)
        assert of.differs[row] == bool(found)
        known = [relative for relative in found if not math.isnan(relative)]
        assert of.largest[row] == max(known) if known else math.isnan(of.largest[row])
        assert of.missing[0, row] == any(math.isnan(a) and not math.isnan(b) for a, b in pairs)
        assert of.missing[1, row] == any(math.isnan(b) and not math.isnan(a) for a, b in pairs)


def test_differences_of_texts_and_of_large_whole_numbers() -> None:
    texts = np.array(["+", "-"], dtype=object), np.array(["+", "+"], dtype=object)
    assert row_differences(*texts).differs.tolist() == [False, True]
    # Beyond the 53 bits of a float.
    large = np.array([2**60, 2**60]), np.array([2**60, 2**60 + 1])
    assert row_differences(*large).differs.tolist() == [False, True]
    assert row_differences(*large, 1e-12).differs.tolist() == [False, False]


def test_minus_one_is_missing_where_it_is_the_fill_value() -> None:
    counts = np.array([-1, -1, 2, 3]), np.array([-1, 2, -1, 4])
    found = row_differences(*counts, fill_value=-1)
    assert found.differs.tolist() == [False, False, False, True]
    assert found.missing.tolist() == [[False, True, False, False], [False, False, True, False]]
    found = row_differences(*counts, fill_value=0)
    assert found.differs.tolist() == [False, True, True, True]
    assert not found.missing.any()


def test_rows_are_the_same_where_their_chunks_are(small: Path, copy: Path) -> None:
    store = open_store(copy, "r+")
    stores = open_store(small), store
    everyone = np.array([[0, 1, 2, 3], [0, 1, 2, 3]])
    assert same_rows(stores, "attributions/cnn/ism", everyone).all()
    # Rows of one store that stand elsewhere in the other.
    assert same_rows(stores, "attributions/cnn/ism", np.array([[0, 1, 2], [0, 2, 2]])).tolist() == [True, False, True]
    ism = store.read("attributions/cnn/ism")
    ism[1] = 7
    store.write("attributions/cnn/ism", ..., ism)
    assert same_rows(stores, "attributions/cnn/ism", everyone).tolist() == [True, False, True, True]
    # All genes are in one chunk of these: the same place in it is the same gene.
    assert same_rows(stores, "expression/observed", np.array([[0, 1, 2], [0, 2, 1]])).tolist() == [True, False, False]
    observed = store.read("expression/observed")
    observed[3, 0] += 1
    store.write("expression/observed", ..., observed)
    assert not same_rows(stores, "expression/observed", everyone).any()


def test_bytes_of_another_layout_are_not_the_same(small: Path, copy: Path) -> None:
    path = copy / "statistics" / "cnn" / "n_samples" / "zarr.json"
    document = json.loads(path.read_text())
    assert document["fill_value"] == -1
    document["fill_value"] = 6
    path.write_text(json.dumps(document))
    rows = np.array([[0, 1], [0, 1]])
    assert same_rows((open_store(small), open_store(small)), "statistics/cnn/n_samples", rows).all()
    assert not same_rows((open_store(small), open_store(copy)), "statistics/cnn/n_samples", rows).any()


def test_damage_that_both_stores_have_is_not_called_the_same(copy: Path, tmp_path: Path) -> None:
    chunk = copy / "attributions" / "cnn" / "ism" / "c" / "1" / "0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    again = Path(shutil.copytree(copy, tmp_path / "again.zarr"))
    with pytest.raises(DamagedDataError, match="attributions/cnn/ism is damaged"):
        diff(open_store(copy), open_store(again))


@given(st.lists(st.integers(0, 9), unique=True), st.lists(st.integers(0, 9), unique=True))
def test_matching_rows_are_those_of_a_dict(first: list[int], second: list[int]) -> None:
    row_of = {key: row for row, key in enumerate(second)}
    found = matching_rows(np.array(first, dtype=np.int64), np.array(second, dtype=np.int64))
    assert found.tolist() == [row_of.get(key, -1) for key in first]


def test_the_program_says_what_differs_and_names_nobody(
    pdstore: Program, small: Path, other: Path, tmp_path: Path
) -> None:
    same = pdstore("diff", small, small)
    assert (same.returncode, same.stdout, same.stderr) == (0, "4 genes in both: the same\n", "")
    table = pdstore("diff", small, other, "--tolerance", "1e-6")
    assert table.returncode == 1
    assert "only in A: 1 gene: GAMMA" in table.stdout
    assert "only in A: 1 person" in table.stdout
    assert "of 3 genes differ: ALPHA" in table.stdout
    assert "1 of 3 genes have values that B lacks: ALPHA" in table.stdout
    assert "made from other files" in table.stderr
    answer = json.loads(pdstore("diff", small, other, "-f", "json").stdout)
    assert (answer["same"], answer["genes_in_both"]) == (False, 3)
    assert answer["only_in_first"]["genes"] == [{"gene": "GAMMA", "id": "ENSG00000000021"}]
    slopes = next(array for array in answer["arrays"] if array["array"] == f"eqtl/{WINDOW}/slope")
    assert slopes["differ"] >= 1
    variants = next(array for array in answer["arrays"] if array["array"] == f"windows/{WINDOW}/variants")
    assert (variants["differ"], variants["missing_in_first"], variants["missing_in_second"]) == (0, 0, 1)
    # Of all six people the slope of ALPHA's driver is 0 but for rounding: it determines no support, of five it does.
    determined = {array["array"] for array in answer["arrays"] if array["missing_in_first"]}
    assert determined == {"statistics/cnn/fraction_supported", "statistics/cnn/weighted_fraction_supported"}
    assert {row["kind"] for row in answer["genes"]} == {"differs", "missing in the first", "missing in the second"}
    rows = list(csv.DictReader(io.StringIO(pdstore("diff", small, other, "-f", "csv").stdout)))
    assert next(row for row in rows if row["kind"] == "only in the first")["gene"] == "GAMMA"
    assert len(rows) == len(answer["genes"]) + 1
    for done in (table, pdstore("diff", small, other, "-f", "json")):
        assert not [name for name in PEOPLE if name in done.stdout + done.stderr]
    for arguments in ((small, tmp_path / "absent"), (small, other, "--genes", "OMEGA"), (small, tmp_path)):
        trouble = pdstore("diff", *arguments)
        assert (trouble.returncode, trouble.stdout, trouble.stderr.count("\n")) == (2, "", 1)
