"""Where blocks run: options, a running dask cluster, and jobs of SLURM.

No SLURM is installed where these tests run: `sbatch` and `scancel` are stand-ins for SLURM, two small programs that run
the job script in the background, and end it. What runs there is a real dask worker.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from tasks import leave_a_mark

import pdstore.jobs.cluster
from pdstore.errors import JobError, UsageError
from pdstore.jobs.cluster import Cluster, local_client, read_slurm_config, scheduler_client, slurm_client, usable_cores
from pdstore.jobs.run import run_tasks

Program = Callable[..., subprocess.CompletedProcess[str]]


# --- Options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 2, "scheduler": "tcp://x:1"}, "--workers and --scheduler exclude each other"),
        ({"workers": 2, "slurm": Path("jobs.yaml")}, "--workers and --slurm exclude each other"),
        ({"scheduler": "tcp://x:1", "slurm": Path("jobs.yaml")}, "--scheduler and --slurm exclude each other"),
        ({"workers": 1, "scheduler": "x", "slurm": Path("x")}, "--workers and --scheduler exclude each other"),
    ],
)
def test_only_one_place_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Cluster(**options)


def test_workers_of_this_machine_are_one_a_gpu_or_one_for_models_and_one_a_core_for_the_rest() -> None:
    assert Cluster().is_local
    assert Cluster(workers=3).is_local
    assert not Cluster(scheduler="tcp://x:1").is_local
    assert not Cluster(slurm=Path("jobs.yaml")).is_local
    found = [Cluster().local_workers(runs_model, gpus) for runs_model in (True, False) for gpus in (0, 1, 4)]
    assert found == [1, 1, 4, usable_cores(), usable_cores(), usable_cores()]
    assert [Cluster(workers=3).local_workers(runs_model, 4) for runs_model in (True, False)] == [3, 3]


def test_what_workers_are_started_with_does_not_stay_in_this_process() -> None:
    before = dict(os.environ)
    with local_client(1, keep_memory=True):
        pass
    assert dict(os.environ) == before


def test_the_program_refuses_two_places_in_one_line(unfilled: Path, pdstore: Program) -> None:
    arguments = ("fill", "-s", unfilled, "--model", "cnn", "--scheduler", "tcp://127.0.0.1:9", "--slurm", "jobs.yaml")
    done = pdstore(*arguments)
    assert done.returncode == 2
    assert done.stderr == "pdstore: error: --scheduler and --slurm exclude each other\n"


# --- A running scheduler ------------------------------------------------------------------------------------------


def test_workers_of_a_running_scheduler_do_the_work(tmp_path: Path) -> None:
    with local_client(2) as owner, scheduler_client(owner.scheduler.address) as client:
        assert run_tasks(client, partial(leave_a_mark, tmp_path), range(6), lambda task, worked: None) == []
        processes = set(owner.run(os.getpid).values())
    marks = [path.name.split("-") for path in tmp_path.iterdir()]
    assert sorted(int(task) for task, *_ in marks) == list(range(6))
    assert {int(process) for _, process, _ in marks} <= processes


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Address of a scheduler of its own on loopback, which has no workers, and its process."""
    file = tmp_path / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", "scheduler", *options, "--scheduler-file", str(file)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    try:
        found = None
        while found is None:
            assert process.poll() is None
            time.sleep(0.05)
            with suppress(FileNotFoundError, ValueError):
                found = json.loads(file.read_text())["address"]
        yield found, process
    finally:
        process.kill()
        process.wait()


def test_a_scheduler_outlives_its_clients_and_its_end_is_one_clear_error(
    scheduler: tuple[str, subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, process = scheduler
    for _ in range(2):
        with scheduler_client(address) as client:
            assert client.nthreads() == {}
    assert process.poll() is None
    process.kill()
    process.wait()
    monkeypatch.setattr(pdstore.jobs.cluster, "CONNECT_TIMEOUT", 1.0)
    with pytest.raises(JobError, match=f"no dask scheduler answers at {address}"):
        scheduler_client(address).__enter__()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1:9", "nonsense://127.0.0.1:9", "tcp://", ""])
def test_where_nobody_answers_it_is_one_clear_error_in_time(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdstore.jobs.cluster, "CONNECT_TIMEOUT", 1.0)
    began = time.monotonic()
    with pytest.raises(JobError, match="no dask scheduler answers at") as caught:
        scheduler_client(address).__enter__()
    assert time.monotonic() - began < 5
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 1


CONNECT = """
import sys
import pdstore.jobs.cluster
from pdstore.errors import JobError
pdstore.jobs.cluster.CONNECT_TIMEOUT = 1.0
try:
    pdstore.jobs.cluster.scheduler_client(sys.argv[1]).__enter__()
except JobError as error:
    print(error)
"""


def test_what_answers_and_is_no_scheduler_is_the_same_error() -> None:
    # In a process of its own, which can be ended where it waits for ever.
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        command = [sys.executable, "-c", CONNECT, address]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=15)
    assert done.stdout.startswith(f"no dask scheduler answers at {address}"), done.stderr


# --- SLURM --------------------------------------------------------------------------------------------------------

SBATCH = """#!/bin/bash
# Stands in for SLURM's: runs the job script in the background, in a process group of its own.
[ "$1" = --test-only ] && exit 0
job=$$
cp "$1" {folder}/$job.sh
setsid bash {folder}/$job.sh > {folder}/../job-$job.log 2>&1 &
echo $! > {folder}/../job-$job.pid
echo "Submitted batch job $job"
"""

SCANCEL = """#!/bin/bash
# Stands in for SLURM's.
kill -TERM -- -$(cat {folder}/../job-$1.pid)
touch {folder}/../job-$1.cancelled
"""

REFUSING = """#!/bin/bash
echo "sbatch: error: invalid partition specified: gpu" >&2
exit 1
"""


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder of jobs of the stand-in for SLURM, which is on the PATH; no job survives the test."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "jobs").mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        write_program(tmp_path / "bin" / name, text.format(folder=tmp_path / "jobs"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    # Where the job's worker finds the tasks of this test.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    yield tmp_path
    for file in tmp_path.glob("job-*.pid"):
        with suppress(ProcessLookupError):
            os.killpg(int(file.read_text()), signal.SIGKILL)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file of options, as in the README, whose scheduler listens on loopback alone."""
    path = tmp_path / "jobs.yaml"
    path.write_text(
        "jobs: 1\ncores: 2\nprocesses: 1\nmemory: 2GB\nqueue: gpu\nwalltime: '01:00:00'\n"
        'job_extra_directives: ["--gres=gpu:1"]\njob_script_prologue: ["export OMP_NUM_THREADS=1"]\n'
        'scheduler_options: {host: 127.0.0.1, dashboard_address: "127.0.0.1:0"}\n'
    )
    return path


def test_a_job_of_slurm_runs_tasks_and_is_cancelled_at_the_end(slurm: Path, config: Path, tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    with slurm_client(config) as client:
        assert run_tasks(client, partial(leave_a_mark, tmp_path / "marks"), range(4), lambda task, worked: None) == []
        assert list(client.nthreads().values()) == [2]
        (pid_file,) = slurm.glob("job-*.pid")
        group = int(pid_file.read_text())
        workers = [process for process in psutil.process_iter() if os.getpgid(process.pid) == group]
        assert workers
    (script,) = (slurm / "jobs").glob("*.sh")
    for line in ("#SBATCH -p gpu", "#SBATCH -t 01:00:00", "#SBATCH --gres=gpu:1", "export OMP_NUM_THREADS=1"):
        assert line in script.read_text().splitlines()
    marks = [path.name.split("-") for path in (tmp_path / "marks").iterdir()]
    assert sorted(int(task) for task, *_ in marks) == list(range(4))
    assert {int(process) for _, process, _ in marks} <= {process.pid for process in workers}
    assert len(list(slurm.glob("job-*.cancelled"))) == 1
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []


def test_as_many_jobs_are_submitted_as_asked_for_and_all_are_cancelled_on_an_error(slurm: Path, config: Path) -> None:
    config.write_text(config.read_text().replace("jobs: 1", "jobs: 2"))

    def fail() -> None:
        with slurm_client(config):
            until = time.monotonic() + 20
            while len(list(slurm.glob("job-*.pid"))) < 2 and time.monotonic() < until:
                time.sleep(0.05)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(list(slurm.glob("job-*.pid"))) == 2
    assert len(list(slurm.glob("job-*.cancelled"))) == 2


def test_without_sbatch_it_is_one_clear_error(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JobError, match="sbatch") as caught, slurm_client(config):
        pass
    assert "\n" not in str(caught.value)


def test_jobs_that_slurm_refuses_are_one_clear_error_that_says_why(slurm: Path, config: Path) -> None:
    write_program(slurm / "bin" / "sbatch", REFUSING)
    with pytest.raises(JobError, match="invalid partition specified: gpu") as caught, slurm_client(config):
        pass
    assert "\n" not in str(caught.value)


def test_the_program_ends_where_there_is_no_slurm(
    unfilled: Path, config: Path, pdstore: Program, tmp_path: Path
) -> None:
    import shutil

    path = Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))
    done = pdstore("fill", "windows", "-s", path, "--model", "xpresso", "--slurm", config, timeout=30)
    assert done.returncode == 1, done.stderr
    errors = [line for line in done.stderr.splitlines() if "error" in line]
    assert len(errors) == 1
    assert "sbatch" in errors[0]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "jobs.yaml: no such file"),
        ("jobs: [1", "jobs.yaml cannot be read as YAML"),
        ("a: b: c", "jobs.yaml cannot be read as YAML"),
        ("- jobs\n- 8\n", "jobs.yaml: expected YAML with jobs, cores"),
        ("", "jobs.yaml: expected YAML with jobs, cores"),
        ("eight", "jobs.yaml: expected YAML with jobs, cores"),
        ("jobs: 0", "jobs.yaml: jobs is 0, expected a whole number above 0"),
        ("jobs: -2", "jobs is -2"),
        ("jobs: 1.5", "jobs is 1.5"),
        ("jobs: true", "jobs is True"),
        ("jobs: many", "jobs is 'many'"),
        ("jobs:", "jobs is None"),
    ],
)
def test_a_file_of_slurm_options_that_is_none_is_one_clear_error(
    tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "jobs.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=message.replace("[", r"\[")) as caught:
        read_slurm_config(path)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_and_a_folder_are_the_same_error(tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_bytes(b"\xff\xfe\x00jobs")
    for path in (tmp_path / "jobs.yaml", tmp_path):
        with pytest.raises(UsageError, match="cannot be read as YAML"):
            read_slurm_config(path)


def test_the_number_of_jobs_is_one_where_it_is_not_said_and_the_rest_are_options(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text("cores: 4\nmemory: 1GB\n")
    assert read_slurm_config(path) == (1, {"cores": 4, "memory": "1GB"})
    path.write_text("jobs: 8\nqueue: gpu\n")
    assert read_slurm_config(path) == (8, {"queue": "gpu"})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("partition: gpu", "partition"),
        ("7: seven", "jobs.yaml"),
        ("memory: plenty", "jobs.yaml"),
        ("cores: four", "jobs.yaml"),
        ("scheduler_options: nonsense", "jobs.yaml"),
    ],
)
def test_options_that_slurm_clusters_do_not_take_are_one_clear_error(
    slurm: Path, config: Path, line: str, message: str
) -> None:
    key = line.split(":")[0]
    kept = [known for known in config.read_text().splitlines() if not known.startswith(f"{key}:")]
    config.write_text("\n".join([*kept, line]) + "\n")
    with pytest.raises(UsageError, match=message) as caught, slurm_client(config):
        pass
    assert "\n" not in str(caught.value)
    assert list(slurm.glob("job-*.pid")) == []


def test_without_cores_and_memory_it_says_that_they_are_needed(slurm: Path, config: Path) -> None:
    config.write_text("jobs: 1\nqueue: gpu\n")
    with pytest.raises(UsageError, match="cores and memory"), slurm_client(config):
        pass
