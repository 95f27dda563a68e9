"""pdstore fill on a real dask cluster: interrupted, with blocks that fail, and asked for what there is not."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pdstore.models.registry import ModelReference
from pdstore.store import open_store

PROGRAM = [sys.executable, "-c", "from pdstore_cli.main import run; run()"]
Program = Callable[..., subprocess.CompletedProcess[str]]


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(unfilled: Path, cnn: ModelReference, tmp_path: Path) -> None:
    path = Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))
    command = ["fill", "-s", str(path), "--model", "cnn", "--weights", str(cnn.weights)]
    # A session of its own, so that the interrupt reaches the whole group as a terminal's does, and not this test.
    started = subprocess.Popen(
        [*PROGRAM, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert started.stderr is not None
    # Workers start only now: an interrupt meanwhile is answered when they have.
    heard = next(line for line in started.stderr if "predictions: 24 blocks (" in line)
    os.killpg(started.pid, signal.SIGINT)
    said = heard + started.communicate(timeout=60)[1]
    assert started.returncode == 130, said
    assert "go on" in said
    assert "Traceback" not in said


def test_a_failing_block_is_named_and_the_rest_is_filled(
    unfilled: Path, cnn: ModelReference, pdstore: Program, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))
    windows = pdstore("fill", "windows", "-s", path, "--model", "cnn", "--weights", cnn.weights)
    assert windows.returncode == 0, windows.stderr
    (window,) = open_store(path).members("windows")
    # A flipped bit in one gene's haplotypes: its prediction cannot be computed.
    chunk = path / "windows" / window / "haplotype_onehot" / "c" / "3" / "0" / "0" / "0"
    damaged = bytearray(chunk.read_bytes())
    damaged[-6] ^= 1
    chunk.write_bytes(damaged)
    done = pdstore("fill", "predictions", "-s", path, "--model", "cnn", "--weights", cnn.weights)
    assert done.returncode == 1
    name = str(open_store(path).read("genes/gene_name", 3))
    assert f"predictions of gene {name}" in done.stderr
    assert "Traceback" not in done.stderr
    assert (3, 0, 0, 0) not in open_store(path).chunks_written("predictions/cnn/tracks")
    assert len({chunk[0] for chunk in open_store(path).chunks_written("predictions/cnn/tracks")}) == 23


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "cnn"], "--weights"),
        (["--model", "xpreso"], "did you mean xpresso?"),
        (
            [],
            "Give --model: basenji2, borzoi, cnn, dream, dream-attn, dream-cnn, dream-rnn, enformer, expecto, ",
        ),
        (["nonsense", "--model", "cnn", "--weights", "WEIGHTS"], "no stage 'nonsense': the stages are windows"),
        (["--model", "cnn", "--weights", "WEIGHTS", "--genes", "GSTM33"], "no gene 'GSTM33'"),
        (["--model", "xpresso", "--weights", "WEIGHTS"], "not a Keras HDF5 file"),
        (["--model", "cnn", "--weights", "absent.safetensors"], "absent.safetensors: no such file"),
        (["--model", "cnn", "--weights", "WEIGHTS", "--genes", ""], "--genes names no gene"),
        (["--model", "cnn", "--weights", "WEIGHTS", "--device", "abacus"], "device 'abacus' cannot be used"),
    ],
)
def test_bad_usage_is_one_line_and_writes_nothing(
    unfilled: Path, cnn: ModelReference, pdstore: Program, tmp_path: Path, arguments: list[str], message: str
) -> None:
    path = Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))
    before = sorted(path.rglob("*"))
    arguments = [str(cnn.weights) if argument == "WEIGHTS" else argument for argument in arguments]
    done = pdstore("fill", "-s", path, *arguments)
    assert done.returncode == 2, done.stderr
    errors = [line for line in done.stderr.splitlines() if "error" in line]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in done.stderr
    assert sorted(path.rglob("*")) == before
