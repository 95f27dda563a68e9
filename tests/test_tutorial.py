"""The tutorial's commands run as they stand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"


def commands(text: str) -> list[str]:
    """Indented lines, each with what a backslash continues."""
    indented = [line[4:] for line in text.split("```")[0].splitlines() if line.startswith("    ")]
    return re.split(r"(?<!\\)\n", "\n".join(indented))


@pytest.fixture(scope="module")
def folder(demo: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all of it was run."""
    path = tmp_path_factory.mktemp("tutorial")
    first, *others = commands(TUTORIAL.read_text())
    # What other tests ran too, and takes long.
    assert first == "pdstore demo pdstore-demo"
    shutil.copytree(demo[0], path / "pdstore-demo")
    scripts = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PDSTORE_STORE", None)
    for command in others:
        done = subprocess.run(
            command, shell=True, cwd=path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    return path


def test_it_ends_in_figures_and_tables(folder: Path) -> None:
    for name in ("GSTM3-prediction.png", "GSTM3-ism.png", "significance.png", "models.png", "index.html"):
        assert (folder / "figures" / name).stat().st_size > 1000
    for name in ("gstm3.pdf", "genes.tsv", "drivers.csv.gz", "answers.json", "cohort.db"):
        assert (folder / name).stat().st_size > 0


def test_its_python_runs(folder: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", TUTORIAL.read_text(), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "GSTM3" in done.stdout
    assert (folder / "gstm3.png").read_bytes().startswith(b"\x89PNG")
