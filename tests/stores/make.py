"""Make a small store with whichever pdstore is on the path, and record its answers: see README.md.

python tests/stores/make.py FOLDER
"""

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from builders import GENES, write_cohort  # noqa: E402


def pdstore(*arguments: object) -> str:
    """What a command of the program prints."""
    program = [sys.executable, "-c", "from pdstore_cli.main import run; run()"]
    return subprocess.run([*program, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True).stdout


def make(folder: Path) -> None:
    """Write ``format-N.zarr.zip`` and ``format-N.json`` into a folder."""
    with tempfile.TemporaryDirectory() as scratch:
        sources = write_cohort(Path(scratch) / "sources")
        store = Path(scratch) / "store.zarr"
        of_cohort = ("--fasta", sources.fasta, "--genes", sources.genes, "--expression", sources.expression)
        pdstore("init", "-s", store, "--vcf", *sources.vcf, *of_cohort)
        model = ("-s", store, "--model", "cnn", "--weights", HERE / "cnn.safetensors", "--workers", 1)
        pdstore("fill", *model)
        pdstore("fill", "windows", "eqtl", *model, "--variants", "all")
        number = json.loads((store / "zarr.json").read_text())["attributes"]["pdstore_format"]
        answers = [json.loads(pdstore("query", gene.name, "-s", store, "-f", "json")) for gene in GENES]
        (folder / f"format-{number}.json").write_text(json.dumps(answers, indent=1) + "\n")
        _zip(store, folder / f"format-{number}.zarr.zip")


def _zip(store: Path, path: Path) -> None:
    """The files of a store, in one order and of one time: the same store gives the same archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for parent, folders, names in os.walk(store):
            folders.sort()
            for name in sorted(names):
                file = Path(parent, name)
                entry = zipfile.ZipInfo(file.relative_to(store).as_posix())
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, file.read_bytes())


make(Path(sys.argv[1]))
