"""The program, as a user runs it."""

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pdstore.query import query_gene
from pdstore.schema import deviations
from pdstore.store import open_store

Program = Callable[..., subprocess.CompletedProcess[str]]


def test_json_of_one_gene_is_an_object_and_of_several_a_list(pdstore: Program, filled: Path) -> None:
    one = pdstore("query", "GSTM3", "-s", filled, "--format", "json")
    assert json.loads(one.stdout) == query_gene(open_store(filled), "GSTM3")
    assert one.stderr == ""
    two = pdstore("query", "GSTM3", "DDX11", "-s", filled, "--format", "json")
    assert [answer["gene"]["name"] for answer in json.loads(two.stdout)] == ["GSTM3", "DDX11"]


def test_csv_has_a_header_and_a_row_a_driver(pdstore: Program, filled: Path) -> None:
    names = open_store(filled).read("genes/gene_name").tolist()
    answers = [query_gene(open_store(filled), name) for name in names]
    rows = list(csv.DictReader(io.StringIO(pdstore("query", *names, "-s", filled, "--format", "csv").stdout)))
    assert len(rows) == sum(max(1, len(answer["drivers"] or [])) for answer in answers)
    assert {row["gene_name"] for row in rows} == set(names)
    variants = [driver["variant"] for answer in answers for driver in answer["drivers"] or []]
    assert [row["driver_variant"] for row in rows if row["driver_variant"]] == variants


def test_the_table_shows_words_and_numbers_without_colour_in_a_pipe(pdstore: Program, filled: Path) -> None:
    shown = pdstore("query", "GSTM3", "-s", filled)
    answer = query_gene(open_store(filled), "GSTM3")
    assert f"R = {answer['correlation']['pearson_r']:.3f}" in shown.stdout
    for driver in answer["drivers"] or []:
        assert driver["variant"] in shown.stdout
        assert driver["support"] in shown.stdout
    assert "\x1b" not in shown.stdout


@pytest.mark.parametrize("part", ["correlation", "drivers", "support"])
def test_only_shows_one_part(pdstore: Program, filled: Path, part: str) -> None:
    answer = json.loads(pdstore("query", "GSTM3", "-s", filled, "--only", part, "--format", "json").stdout)
    assert list(answer) == ["gene", "model", "n_samples", part]


def test_control_codes_in_a_shared_store_do_not_reach_the_terminal(
    pdstore: Program, filled: Path, tmp_path: Path
) -> None:
    import numpy as np

    path = Path(shutil.copytree(filled, tmp_path / "copy.zarr"))
    store = open_store(path, "r+")
    store.write("genes/gene_name", slice(0, 1), np.array(["EVIL\x1b[31m[bold]"], dtype=object))
    gene_id = str(store.read("genes/gene_id", 0))
    shown = pdstore("query", gene_id, "-s", path)
    assert shown.returncode == 0
    assert "\x1b" not in shown.stdout
    assert "[bold]" in shown.stdout
    gene = next(name for name in store.read("genes/gene_name").tolist() if query_gene(store, name)["drivers"])
    row = store.read("genes/gene_name").tolist().index(gene)
    store.write("genes/gene_contig", slice(row, row + 1), np.array(["[/x]"], dtype=object))
    assert "* [/x]:" in pdstore("query", gene, "-s", path).stdout
    assert "\x1b" not in pdstore("query", "EVIL\x1b[31m[bol", "-s", path).stderr


def test_a_narrow_terminal_cuts_no_number(pdstore: Program, filled: Path) -> None:
    wide = pdstore("query", "GSTM3", "-s", filled).stdout
    assert pdstore("query", "GSTM3", "-s", filled, columns=30).stdout == wide


def test_a_damaged_store_is_one_line_and_exit_2(pdstore: Program, filled: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "copy.zarr"))
    row = open_store(path).read("genes/gene_name").tolist().index("GSTM3")
    (path / "statistics" / "cnn" / "gene_values" / "c" / str(row) / "0").write_bytes(b"damaged!")
    done = pdstore("query", "GSTM3", "-s", path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "statistics/cnn/gene_values is damaged" in done.stderr


def test_the_store_is_the_options_else_the_environments_else_the_folders(
    pdstore: Program, filled: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert pdstore("query", "GSTM3", cwd=empty).returncode == 2
    assert pdstore("query", "GSTM3", cwd=empty, store=filled).returncode == 0
    assert pdstore("query", "GSTM3", "-s", empty, cwd=empty, store=filled).returncode == 2
    shutil.copytree(filled, tmp_path / "pdstore.zarr")
    assert pdstore("query", "GSTM3", cwd=tmp_path).returncode == 0
    assert pdstore("query", "GSTM3", cwd=tmp_path, store=empty).returncode == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["query", "GSTM4", "-s", "STORE"], "GSTM3"),
        (["query", "GSTM3", "-s", "EMPTY"], "not a pdstore store"),
        (["query", "GSTM3", "-s", "absent"], "no such folder"),
        (["query", "GSTM3", "-s", "STORE", "--model", "enformer"], "it holds cnn"),
        (["validate", "-s", "EMPTY"], "not a pdstore store"),
        (["fill", "-s", "EMPTY", "--model", "xpresso", "--weights", "absent"], "not a pdstore store"),
    ],
)
def test_bad_input_is_one_line_on_stderr_and_exit_2(
    pdstore: Program, filled: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    names = {"STORE": str(filled), "EMPTY": str(tmp_path)}
    done = pdstore(*(names.get(argument, argument) for argument in arguments))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("pdstore: error: ")
    assert message in done.stderr


def test_debug_shows_the_traceback(pdstore: Program, tmp_path: Path) -> None:
    assert "Traceback" in pdstore("--debug", "query", "GSTM3", "-s", tmp_path).stderr


def test_validate_names_deviations_and_exits_1(pdstore: Program, filled: Path, tmp_path: Path) -> None:
    assert pdstore("validate", "-s", filled).returncode == 0
    path = Path(shutil.copytree(filled, tmp_path / "copy.zarr"))
    shutil.rmtree(path / "genes" / "gene_tss")
    done = pdstore("validate", "-s", path)
    assert done.returncode == 1
    assert "genes/gene_tss: missing array" in done.stdout


def test_validate_prints_json(pdstore: Program, filled: Path, tmp_path: Path) -> None:
    done = pdstore("validate", "-s", filled, "--format", "json")
    assert (done.returncode, json.loads(done.stdout)["valid"], json.loads(done.stdout)["deviations"]) == (0, True, [])
    path = Path(shutil.copytree(filled, tmp_path / "copy.zarr"))
    shutil.rmtree(path / "genes" / "gene_tss")
    done = pdstore("validate", "-s", path, "--format", "json")
    assert (done.returncode, done.stderr) == (1, "")
    found = json.loads(done.stdout)
    assert found["store"] == str(path)
    assert not found["valid"]
    assert found["deviations"] == deviations(open_store(path).root)


@pytest.mark.parametrize(
    ("arguments", "store"),
    [
        (["init", "--vcf", "v", "--fasta", "f", "--genes", "g", "--expression", "e"], "http://127.0.0.1:9/cohort"),
        (["import", "sasse2023", "tables"], "https://127.0.0.1:9/cohort"),
        (["fill", "--model", "xpresso"], "http://127.0.0.1:9/cohort"),
        (["fill", "--model", "xpresso", "--dry-run"], "s3://bucket/cohort"),
        (["clear", "--yes"], "s3://bucket/cohort"),
        (["add", "--genes", "g"], "http://127.0.0.1:9/cohort"),
        (["merge", "a.zarr", "b.zarr"], "s3://bucket/cohort"),
        (["migrate"], "http://127.0.0.1:9/cohort"),
    ],
)
def test_what_writes_to_a_store_takes_a_folder_only(pdstore: Program, arguments: list[str], store: str) -> None:
    done = pdstore(*arguments, "-s", store)
    refused = f"pdstore: error: store {store}: only a store in a folder can be written to\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", refused)


@pytest.mark.parametrize("command", ["init", "fill"])
def test_help_names_no_url_where_none_can_be_written_to(pdstore: Program, command: str) -> None:
    shown = pdstore(command, "--help", columns=200).stdout
    assert "The store: a folder." in shown
    assert "https://" not in shown


def test_each_example_has_a_line(pdstore: Program) -> None:
    lines = [line.strip() for line in pdstore("export", "--help").stdout.splitlines()]
    assert "pdstore export drivers drivers.tsv -s cohort.zarr" in lines
    assert "pdstore export vcz cohort.vcz -s cohort.zarr" in lines


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "init",
        "import",
        "fill",
        "clear",
        "status",
        "query",
        "genes",
        "plot",
        "compare",
        "export",
        "validate",
        "schema",
        "models",
        "train predixcan",
        "train readout",
        "train cnn",
    ],
)
def test_every_command_has_help_with_an_example(pdstore: Program, command: str) -> None:
    shown = pdstore(*command.split(), "--help")
    assert shown.returncode == 0
    assert f"pdstore {command}" in shown.stdout.split("Example:")[1]


def test_a_reader_without_the_extras_is_told_what_to_install(filled: Path) -> None:
    program = "import sys; sys.modules['scipy'] = None\nfrom pdstore_cli.main import run\nrun()"
    command = [sys.executable, "-c", program]
    fill = [*command, "fill", "-s", str(filled), "--model", "cnn", "--weights", "absent"]
    refused = subprocess.run(fill, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "needs the package scipy" in refused.stderr
    answered = subprocess.run(
        [*command, "query", "GSTM3", "-s", str(filled)], capture_output=True, text=True, check=False
    )
    assert answered.returncode == 0


def test_version_and_help(pdstore: Program) -> None:
    from importlib.metadata import version

    assert pdstore("--version").stdout == f"pdstore {version('pdstore')}\n"
    assert "query" in pdstore("--help").stdout
    assert pdstore("nonsense").returncode == 2
