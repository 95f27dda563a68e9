"""Answers as a person at a terminal sees them: at several widths, with colour, in a session."""

import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pdstore_cli.gene_answer import print_gene, print_models
from rich.console import Console

from pdstore.store import open_store

Program = Callable[..., subprocess.CompletedProcess[str]]

DRIVERS = [
    {
        "variant": "1:109742400:C:G",
        "position": 109742400,
        "distance_to_tss": 1_234,
        "allele_frequency": 0.4321,
        "ism": -0.58211,
        "gradient_x_input": None,
        "eqtl_slope": 0.48,
        "eqtl_p": 3.9e-44,
        "pearson_r_with_prediction": 0.985,
        "driver_rank": 1,
        "main": True,
        "support": "unsupported",
    },
    {
        "variant": "1:109700002:A:T",
        "position": 109700002,
        "distance_to_tss": -41_164,
        "allele_frequency": 0.0213,
        "ism": 0.00021,
        "gradient_x_input": None,
        "eqtl_slope": None,
        "eqtl_p": None,
        "pearson_r_with_prediction": -0.12,
        "driver_rank": 2,
        "main": False,
        "support": "undetermined",
    },
]
ANSWER = {
    "gene": {"name": "GSTM3", "id": "ENSG00000134202", "contig": "1", "tss": 109_741_166, "strand": "-"},
    "model": "enformer",
    "n_samples": 839,
    "correlation": {
        "pearson_r": -0.4921,
        "p_value": 1e-50,
        "null_mean": 0.1,
        "null_sd": 0.05,
        "null_t": 43.5,
        "null_p": 1.3e-30,
        "fdr": 2e-29,
        "empirical_p": 0.0099,
        "empirical_fdr": 0.0213,
        "ci_low": -0.55,
        "ci_high": -0.43,
        "status": "anticorrelated",
    },
    "expression": {
        "observed_mean": 1.5,
        "observed_sd": 0.5,
        "prediction_mean": 2.25,
        "prediction_sd": 0.125,
        "reference_prediction": None,
    },
    "drivers": DRIVERS,
    "support": {"status": "unsupported", "supported": 0, "unsupported": 1, "fraction_supported": 0.0},
    "lead_eqtl": None,
    "variants": None,
}

AT_120 = """\
GSTM3  ENSG00000134202  1:109,741,166 (-)  model enformer
  correlation   R = -0.492 [-0.550, -0.430] over 839 people: anticorrelated
  significance  published null FDR 2.0e-29 (t = 43.50, p = 1.3e-30), empirical FDR 0.021 (p = 0.010)
  expression    observed 1.500 (sd 0.500), prediction 2.250 (sd 0.125)
  drivers       2
    variant           to TSS     AF      ISM  slope  slope p       R  support
  * 1:109742400:C:G   +1,234  0.432   -0.582  0.480  3.9e-44   0.985  unsupported
    1:109700002:A:T  -41,164  0.021  2.1e-04      -        -  -0.120  undetermined
    * main driver; to TSS: along the contig; slope: eQTL effect per alternate allele; R: of its term with prediction
  support       unsupported: 0 of the drivers supported, 1 unsupported

"""
AT_80 = """\
GSTM3  ENSG00000134202  1:109,741,166 (-)  model enformer
  correlation   R = -0.492 [-0.550, -0.430] over 839 people: anticorrelated
  significance  published null FDR 2.0e-29 (t = 43.50, p = 1.3e-30), empirical
                FDR 0.021 (p = 0.010)
  expression    observed 1.500 (sd 0.500), prediction 2.250 (sd 0.125)
  drivers       2
  * 1:109742400:C:G, +1,234 bp from the TSS, AF 0.432: unsupported
      ISM -0.582, slope 0.480 (p 3.9e-44), R 0.985
    1:109700002:A:T, -41,164 bp from the TSS, AF 0.021: undetermined
      ISM 2.1e-04, slope - (p -), R -0.120
    * main driver; to TSS: along the contig; slope: eQTL effect per alternate
    allele; R: of its term with prediction
  support       unsupported: 0 of the drivers supported, 1 unsupported

"""
AT_40 = """\
GSTM3  ENSG00000134202  1:109,741,166
  (-)  model enformer
  correlation   R = -0.492 [-0.550,
                -0.430] over 839 people:
                anticorrelated
  significance  published null FDR
                2.0e-29 (t = 43.50, p =
                1.3e-30), empirical FDR
                0.021 (p = 0.010)
  expression    observed 1.500 (sd
                0.500), prediction 2.250
                (sd 0.125)
  drivers       2
  * 1:109742400:C:G, +1,234 bp from
    the TSS, AF 0.432: unsupported
      ISM -0.582, slope 0.480 (p
      3.9e-44), R 0.985
    1:109700002:A:T, -41,164 bp from
    the TSS, AF 0.021: undetermined
      ISM 2.1e-04, slope - (p -), R
      -0.120
    * main driver; to TSS: along the
    contig; slope: eQTL effect per
    alternate allele; R: of its term
    with prediction
  support       unsupported: 0 of the
                drivers supported, 1
                unsupported

"""


def printed(width: int, show: Callable[[Console], None], **options: object) -> str:
    out = io.StringIO()
    show(Console(file=out, width=width, highlight=False, markup=False, emoji=False, **options))
    return out.getvalue()


@pytest.mark.parametrize(("width", "text"), [(120, AT_120), (80, AT_80), (40, AT_40)])
def test_an_answer_fits_the_terminal(width: int, text: str) -> None:
    shown = printed(width, lambda console: print_gene(console, ANSWER))
    assert "\n".join(line.rstrip() for line in shown.splitlines()) + "\n" == text
    assert max(map(len, shown.splitlines())) <= width


def test_models_side_by_side_fit_the_terminal() -> None:
    shown = printed(80, lambda console: print_models(console, [ANSWER, {**ANSWER, "model": "predixcan"}]))
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["enformer", "predixcan"]
    assert shown.count("anticorrelated") == 2


def test_support_has_a_colour_on_a_terminal() -> None:
    shown = printed(120, lambda console: print_gene(console, ANSWER), force_terminal=True, color_system="standard")
    assert "\x1b[31munsupported" in shown
    assert "\x1b[31manticorrelated" in shown


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """A terminal of 80 columns: types a line, and gives the screen once its prompt is back."""
    tmux = shutil.which("tmux")
    if tmux is None:
        pytest.skip("needs tmux")
    socket = ["-S", str(tmp_path / "tmux")]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8"}
    # The shell that tmux starts its command with would not hand a prompt on.
    shell = "exec env PS1='ready> ' bash --norc --noprofile"
    start = [tmux, *socket, "-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "60", shell]
    subprocess.run(start, env=environment, check=True)

    def screen() -> str:
        capture = [tmux, *socket, "capture-pane", "-p", "-e"]
        return subprocess.run(capture, capture_output=True, text=True, check=True).stdout.rstrip()

    def typed(line: str) -> str:
        subprocess.run([tmux, *socket, "send-keys", "clear; " + line, "Enter"], check=True)
        until = time.monotonic() + 60
        time.sleep(0.5)
        while not screen().endswith("ready>"):
            assert time.monotonic() < until, screen()
            time.sleep(0.1)
        return screen()

    try:
        yield typed
    finally:
        subprocess.run([tmux, *socket, "kill-server"], check=False)


def test_a_session_as_a_person_has_it(session: Callable[[str], str], filled: Path) -> None:
    shown = session(f"export PDSTORE_STORE={filled}; pdstore query gstm3")
    assert "GSTM3" in shown
    assert "\x1b[" in shown
    assert "correlation" in shown
    # A pipe gets no colour, though it ends at the terminal.
    piped = session("pdstore genes | head -3")
    assert "gene" in piped
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", piped)
    # The columns that matter stay whole in the width of this terminal.
    genes = session("pdstore genes --top 3")
    assert "…" not in genes
    assert "columns that this terminal is too narrow for" in genes
    refused = session("pdstore query GSTM9")
    assert "pdstore: error: no gene 'GSTM9' in the store; the closest are" in " ".join(refused.split())


def test_a_pipe_that_is_closed_early_ends_quietly(shared_data: Path, pdstore: Program, tmp_path: Path) -> None:
    store = tmp_path / "sasse.zarr"
    assert pdstore("import", "sasse2023", shared_data / "sasse2023", "-s", store).returncode == 0
    # 6,820 rows: more than a pipe holds.
    program = f"{sys.executable} -c 'from pdstore_cli.main import run; run()'"
    command = f"{program} genes -s {store} --format csv | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("gene,id,")
    assert "Broken" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_to_copy_is_safe_whatever_a_store_calls_its_genes(
    filled: Path, pdstore: Program, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "a store.zarr"))
    store = open_store(path, "r+")
    gene_id = str(store.read("genes/gene_id", 0))
    assert pdstore("clear", "statistics", "--genes", gene_id, "-s", path, "--yes").returncode == 0
    store.write("genes/gene_name", slice(0, 1), np.array(["A\x1b[31mB;$(touch pwn)"], dtype=object))
    done = pdstore("query", gene_id, "-s", path)
    assert "\x1b" not in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "run pdstore fill" in line]
    assert line.endswith(f"fill statistics --model cnn --weights FILE --genes {gene_id} -s '{path}'")
