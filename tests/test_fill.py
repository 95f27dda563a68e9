"""pdstore fill on a real dask cluster, killed and gone on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

from pdstore.models.registry import ModelReference
from pdstore.schema import deviations
from pdstore.store import open_store

PROGRAM = [sys.executable, "-c", "from pdstore_cli.main import run; run()"]
Program = Callable[..., subprocess.CompletedProcess[str]]


def assert_equal_stores(left: Path, right: Path) -> None:
    expected, found = zarr.open_group(str(left), mode="r"), zarr.open_group(str(right), mode="r")
    names = {name for name, node in expected.members(max_depth=None) if isinstance(node, zarr.Array)}
    assert names == {name for name, node in found.members(max_depth=None) if isinstance(node, zarr.Array)}
    for name in names:
        np.testing.assert_array_equal(expected[name][...], found[name][...], err_msg=name)


def test_a_fill_killed_by_sigkill_goes_on_to_equal_arrays(
    unfilled: Path, filled: Path, cnn: ModelReference, pdstore: Program, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))
    command = ["fill", "-s", str(path), "--model", "cnn", "--weights", str(cnn.weights), "--workers", "2"]
    killed = 0
    for seconds in (2.0, 3.0, 3.5, 4.0, 4.5, 5.0):
        started = subprocess.Popen([*PROGRAM, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(seconds)
        killed += started.poll() is None
        os.kill(started.pid, signal.SIGKILL)
        started.communicate()
    assert killed >= 1
    done = pdstore(*command)
    assert done.returncode == 0, done.stderr
    assert_equal_stores(filled, path)
    assert deviations(open_store(path).root) == []
    began = time.monotonic()
    again = pdstore(*command)
    assert time.monotonic() - began < 3
    assert again.returncode == 0
    assert "nothing to do" in again.stdout


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(unfilled: Path, cnn: ModelReference, tmp_path: Path) -> None:
    path = Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))
    command = ["fill", "-s", str(path), "--model", "cnn", "--weights", str(cnn.weights)]
    # A session of its own, so that the interrupt reaches the whole group as a terminal's does, and not this test.
    started = subprocess.Popen(
        [*PROGRAM, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert started.stderr is not None
    # Workers load the model first, so that there is time between this line and the end of the stage.
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
        ([], "Give --model: cnn, enformer, xpresso"),
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
