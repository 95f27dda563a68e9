"""Whatever happens to a fill, the next one completes it, to the arrays of one that nothing happened to."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import zarr

from pdstore.lease import EXPIRES_AFTER, held_lease, lease_path, read_lease
from pdstore.models.registry import ModelReference
from pdstore.store import open_store

Program = Callable[..., subprocess.CompletedProcess[str]]

PROGRAM = [sys.executable, "-c", "from pdstore_cli.main import run; run()"]
PRELOAD = Path(__file__).parent / "preloads" / "fault.py"
GENES = "GSTM3,DDX11,IRF5"


@pytest.fixture(scope="module")
def straight(
    unfilled: Path, cnn: ModelReference, fill_now: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The store, filled for some genes; nothing happened to it."""
    path = Path(shutil.copytree(unfilled, tmp_path_factory.mktemp("straight") / "store.zarr"))
    names = open_store(path).read("genes/gene_name").tolist()
    fill_now(open_store(path, "r+"), cnn, [names.index(gene) for gene in GENES.split(",")])
    return path


@pytest.fixture
def path(unfilled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))


@pytest.fixture
def arguments(path: Path, cnn: ModelReference) -> list[str]:
    """A fill on workers of this machine."""
    return ["fill", "-s", str(path), "--model", "cnn", "--weights", str(cnn.weights), "--genes", GENES]


@contextmanager
def started(arguments: list[str], fault: str = "") -> Iterator[subprocess.Popen[str]]:
    """The program in a session of its own, with a fault in its workers' disks; none of it survives."""
    environment = dict(os.environ)
    if fault:
        environment |= {"PDSTORE_TEST_FAULT": fault, "DASK_DISTRIBUTED__WORKER__PRELOAD": str([str(PRELOAD)])}
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Read what the program says until it says `text`."""
    assert process.stderr is not None
    # Whatever happens, the test ends: without the program no more lines come.
    killer = threading.Timer(180, process.kill)
    killer.start()
    heard = []
    for line in process.stderr:
        heard.append(line)
        if text in line:
            killer.cancel()
            return
    pytest.fail(f"{text!r} was never said: {''.join(heard)}")


def worker_processes(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The worker processes of a fill."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def assert_completed(path: Path, straight: Path, arguments: list[str], pdstore: Program) -> None:
    """Fill again; then hold the store against one that nothing happened to, bit for bit."""
    done = pdstore(*arguments)
    assert done.returncode == 0, done.stderr
    validated = pdstore("validate", "-s", path)
    assert validated.returncode == 0, validated.stdout + validated.stderr
    assert not lease_path(str(path)).exists()
    expected, found = zarr.open_group(str(straight), mode="r"), zarr.open_group(str(path), mode="r")
    names = {name for name, node in expected.members(max_depth=None) if isinstance(node, zarr.Array)}
    assert names == {name for name, node in found.members(max_depth=None) if isinstance(node, zarr.Array)}
    for name in sorted(names):
        left, right = expected[name][...], found[name][...]
        same = left.tobytes() == right.tobytes() if left.dtype.kind in "biuf" else (left == right).all()
        assert same, name


@pytest.mark.parametrize("step", ["windows: 3 blocks", "attributions: 3 blocks"])
def test_sigkill_of_the_whole_fill(
    path: Path, straight: Path, arguments: list[str], pdstore: Program, step: str
) -> None:
    with started(arguments, "slow 0.2") as process:
        wait_for(process, step)
        time.sleep(1.5)
        assert process.poll() is None
        workers = worker_processes(process)
        os.kill(process.pid, signal.SIGKILL)
        # Workers see that they are alone, and end.
        psutil.wait_procs(workers, timeout=30)
        assert not [worker for worker in workers if worker.is_running()]
    assert lease_path(str(path)).exists(), "it had no time to give it back"
    assert_completed(path, straight, arguments, pdstore)
    assert "nothing to do" in pdstore(*arguments).stdout


def test_sigkill_of_a_worker(path: Path, straight: Path, arguments: list[str], pdstore: Program) -> None:
    with started(arguments, "slow 0.2") as process:
        wait_for(process, "predictions: 3 blocks")
        # The first that a worker writes: it has started, and has more to do.
        first = path / "predictions" / "cnn" / "reference_tracks" / "c"
        while not any(first.glob("*/0/0")):
            assert process.poll() is None
            time.sleep(0.05)
        for worker in worker_processes(process):
            worker.kill()
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert_completed(path, straight, arguments, pdstore)


def test_a_full_disk_stops_the_fill_and_says_so(
    path: Path, straight: Path, arguments: list[str], pdstore: Program
) -> None:
    with started(arguments, "full after 7") as process:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 1, said
        assert "no room is left for what is written" in said
        assert "Traceback" not in said
    assert_completed(path, straight, arguments, pdstore)


def test_a_disk_that_is_full_beforehand_is_seen_before_anything_is_written(
    path: Path, cnn: ModelReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pdstore.errors import DiskFullError
    from pdstore.plan import check_disk, plan_stages, window_sizes

    store, rows = open_store(path), list(range(24))
    plans = plan_stages(store, cnn, ["windows", "predictions"], rows, window_sizes(store, cnn, rows))
    check_disk(store, plans)
    disk = os.statvfs(path)
    monkeypatch.setattr(os, "statvfs", lambda _: type("Disk", (), {"f_frsize": disk.f_frsize, "f_bavail": 2}))
    with pytest.raises(DiskFullError, match=r"would store about 0\.\d GB, but 0\.0 GB are free .*fill fewer genes"):
        check_disk(store, plans)


def test_a_write_that_fails_once_is_tried_again(
    path: Path, straight: Path, arguments: list[str], pdstore: Program
) -> None:
    with started(arguments, "broken at 5") as process:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert_completed(path, straight, arguments, pdstore)


def test_weights_that_change_between_two_fills_are_refused(
    path: Path, straight: Path, cnn: ModelReference, arguments: list[str], pdstore: Program, tmp_path: Path
) -> None:
    assert cnn.weights is not None
    weights = Path(shutil.copy(cnn.weights, tmp_path / "weights.safetensors"))
    arguments[arguments.index("--weights") + 1] = str(weights)
    done = pdstore(*arguments, "windows", "predictions")
    assert done.returncode == 0, done.stderr
    original = weights.read_bytes()
    weights.write_bytes(original[:-4] + np.float32(1.5).tobytes())
    refused = pdstore(*arguments)
    assert refused.returncode == 2
    assert "predictions/cnn was filled with weights_sha256" in refused.stderr
    weights.write_bytes(original)
    assert_completed(path, straight, arguments, pdstore)


def test_a_second_fill_is_told_who_fills(path: Path, straight: Path, arguments: list[str], pdstore: Program) -> None:
    with started(arguments, "slow 0.2") as process:
        wait_for(process, "predictions: 3 blocks")
        second = pdstore(*arguments)
        assert second.returncode == 1
        assert f"is in use by pdstore fill of process {process.pid} on " in second.stderr
        assert len([line for line in second.stderr.splitlines() if "error" in line]) == 1
        status = json.loads(pdstore("status", "-s", path, "--format", "json").stdout)
        assert f"process {process.pid} " in status["writer"]
        cleared = pdstore("clear", "--model", "cnn", "-s", path, "--yes")
        assert cleared.returncode == 1
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert_completed(path, straight, arguments, pdstore)


def test_the_lease_of_a_machine_that_died_expires(
    path: Path, straight: Path, arguments: list[str], pdstore: Program
) -> None:
    with held_lease(str(path), "fill"):
        lease = read_lease(str(path))
    assert lease is not None
    elsewhere = replace(lease, machine="another", renewed=time.time() - EXPIRES_AFTER + 30)
    lease_path(str(path)).write_text(json.dumps(asdict(elsewhere)))
    refused = pdstore(*arguments)
    assert refused.returncode == 1
    assert "the store is free again in" in refused.stderr
    expired = replace(elsewhere, renewed=time.time() - EXPIRES_AFTER - 1)
    lease_path(str(path)).write_text(json.dumps(asdict(expired)))
    assert_completed(path, straight, arguments, pdstore)


@contextmanager
def running_cluster(folder: Path, fault: str = "") -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A dask scheduler and two workers, started by hand on loopback: its address, and the scheduler."""
    environment = dict(os.environ)
    if fault:
        environment |= {"PDSTORE_TEST_FAULT": fault}
    dask = [sys.executable, "-m", "dask"]
    file = folder / f"scheduler-{time.monotonic_ns()}.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "cwd": folder}
    processes = [subprocess.Popen([*dask, "scheduler", *options, "--scheduler-file", str(file)], **quiet)]  # type: ignore[call-overload]
    try:
        while not file.exists():
            assert processes[0].poll() is None
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        preload = ["--preload", str(PRELOAD)] if fault else []
        worker = [*dask, "worker", address, "--nworkers", "1", "--nthreads", "2", "--dashboard-address", "127.0.0.1:0"]
        processes += [subprocess.Popen([*worker, *preload], **quiet) for _ in range(2)]  # type: ignore[call-overload]
        yield address, processes[0]
    finally:
        for process in reversed(processes):
            for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
                child.kill()
            process.kill()
            process.wait()


def test_sigkill_of_the_scheduler(
    path: Path, straight: Path, arguments: list[str], pdstore: Program, tmp_path: Path
) -> None:
    with (
        running_cluster(tmp_path, "slow 0.3") as (address, scheduler),
        started([*arguments, "--scheduler", address]) as process,
    ):
        wait_for(process, "predictions: 3 blocks")
        time.sleep(1)
        scheduler.kill()
        _, said = process.communicate(timeout=120)
        assert process.returncode == 1, said
        assert "the dask scheduler is gone" in said
        assert "Traceback" not in said
    with running_cluster(tmp_path) as (address, _):
        assert_completed(path, straight, [*arguments, "--scheduler", address], pdstore)


def test_no_scheduler_is_one_line(path: Path, arguments: list[str], pdstore: Program) -> None:
    done = pdstore(*arguments, "--scheduler", "tcp://127.0.0.1:9")
    assert done.returncode == 1
    assert "no dask scheduler answers at tcp://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
