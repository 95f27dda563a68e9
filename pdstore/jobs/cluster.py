"""Where blocks run: worker processes of this machine, a running dask cluster, or jobs of SLURM."""

import asyncio
import logging
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from pdstore.errors import JobError, UsageError
from pdstore.jobs.run import quiet_logs

if TYPE_CHECKING:
    from distributed import Client as Client

CONNECT_TIMEOUT = 10.0
LOOKED_AT_EVERY = 5.0
"""Seconds."""

KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**34), "MALLOC_ARENA_MAX": "1"}
"""So glibc keeps the memory that a layer of a network lets go for the next: on a CPU, getting it anew from the system,
zeroed, takes Enformer a third of its time."""


@dataclass(frozen=True)
class Cluster:
    """Where blocks run.

    Attributes
    ----------
    workers : int or None
        Worker processes on this machine; None for one a core, and for blocks that run a model one a GPU, else one.
    scheduler : str or None
        Address of a running dask scheduler, whose workers are used instead.
    slurm : Path or None
        YAML of SLURM jobs that are submitted, and whose workers are used instead.
    """

    workers: int | None = None
    scheduler: str | None = None
    slurm: Path | None = None

    def __post_init__(self) -> None:
        if self.scheduler is not None and not self.scheduler.strip():
            raise UsageError("--scheduler is empty: expected the address of a dask scheduler, tcp://host:8786")
        given = [name for name in ("workers", "scheduler", "slurm") if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(f"--{given[0]} and --{given[1]} exclude each other")

    def check(self) -> None:
        """Raise where it cannot be used: a scheduler that does not answer, or jobs that say nothing."""
        if self.scheduler is not None:
            _check_scheduler(self.scheduler)
        if self.slurm is not None:
            read_slurm_config(self.slurm)

    @property
    def is_local(self) -> bool:
        """Whether workers are processes of this machine, started for this job."""
        return self.scheduler is None and self.slurm is None

    def local_workers(self, runs_model: bool, gpus: int) -> int:
        """How many worker processes of this machine a stage gets."""
        if self.workers is not None:
            return self.workers
        return max(1, gpus) if runs_model else usable_cores()


@contextmanager
def local_client(workers: int, threads: int = 1, keep_memory: bool = False) -> "Iterator[Client]":
    """A client of worker processes on this machine.

    Parameters
    ----------
    workers : int
        Number of worker processes.
    threads : int
        Tasks that each runs at once.
    keep_memory : bool
        Whether they keep what they once took, for the next task: faster where a network runs.
    """
    with ExitStack() as stack:
        environment = dict(os.environ)
        with _interrupts_deferred(), _environment_of_workers(KEEP_MEMORY if keep_memory else {}):
            from distributed import Client, LocalCluster

            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=threads,
                    processes=True,
                    dashboard_address="127.0.0.1:0",
                    host="127.0.0.1",
                    silence_logs=logging.CRITICAL,
                    # No limit of dask's own: it would kill workers that the machine has memory for.
                    memory_limit=0,
                )
            )
            client = stack.enter_context(Client(cluster))
            # dask leaves in this process what it starts workers with: whoever goes on would start others with it.
            changed = {name for name, value in os.environ.items() if environment.get(name) != value}
            stack.callback(_restore_environment, {name: environment.get(name) for name in changed})
        yield client
        # dask fails to close a worker process that it is just starting: one that died comes back first.
        with suppress(TimeoutError):
            client.wait_for_workers(workers, timeout=CONNECT_TIMEOUT)


def _restore_environment(before: Mapping[str, str | None]) -> None:
    """Give variables of this process's environment back what they were; None, that they were not there."""
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@contextmanager
def _environment_of_workers(variables: Mapping[str, str]) -> Iterator[None]:
    """Meanwhile, let workers be started with these variables; those of this process's own environment go before."""
    quiet_logs()
    import dask
    import distributed  # noqa: F401 - its defaults of the configuration

    key = "distributed.nanny.pre-spawn-environ"
    with dask.config.set({key: {**dask.config.get(key), **variables}}):
        yield


def cluster_client(cluster: Cluster) -> "AbstractContextManager[Client]":
    """A client of the workers of a cluster that is not of this machine."""
    if cluster.scheduler is not None:
        return scheduler_client(cluster.scheduler)
    if cluster.slurm is not None:
        return slurm_client(cluster.slurm)
    raise ValueError("a cluster of this machine has a client for each number of workers")


@contextmanager
def told_when_empty(client: "Client", waiting: Callable[[str], None]) -> Iterator[None]:
    """Meanwhile, tell whenever the workers of a cluster are all gone, or have not come yet."""
    ended = threading.Event()

    def watch() -> None:
        told = False
        while not ended.wait(LOOKED_AT_EVERY):
            # A scheduler that does not answer is told by whoever waits for its tasks.
            with suppress(OSError, TimeoutError, RuntimeError):
                empty = not client.nthreads()
                if empty and not told:
                    waiting("a worker of the cluster")
                told = empty

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()


@contextmanager
def scheduler_client(address: str) -> "Iterator[Client]":
    """A client of a running dask scheduler; raises `JobError` where nobody answers at the address."""
    _check_scheduler(address)
    from distributed import Client

    with _no_answer_named(address):
        client = Client(address, timeout=CONNECT_TIMEOUT)
    with client:
        yield client


def _check_scheduler(address: str) -> None:
    quiet_logs()
    with _no_answer_named(address):
        _probe_scheduler(address)


@contextmanager
def _no_answer_named(address: str) -> Iterator[None]:
    try:
        yield
    except (OSError, TimeoutError, ValueError) as error:
        raise JobError(
            f"no dask scheduler answers at {address}; start one with `dask scheduler`, and workers with "
            f"`dask worker {address}`"
        ) from error


def _probe_scheduler(address: str) -> None:
    """Raise `TimeoutError` or `OSError` where no dask answers: a client would wait for ever for some."""
    from distributed.core import rpc

    async def ask() -> None:
        async with rpc(address, timeout=CONNECT_TIMEOUT) as scheduler:
            await scheduler.identity()

    asyncio.run(asyncio.wait_for(ask(), CONNECT_TIMEOUT))


@contextmanager
def slurm_client(config: Path) -> "Iterator[Client]":
    """A client of workers that run as SLURM jobs, submitted now and cancelled at the end.

    Parameters
    ----------
    config : Path
        YAML: ``jobs``, how many, and any argument of `dask_jobqueue.SLURMCluster`.
    """
    jobs, options = read_slurm_config(config)
    quiet_logs()
    from dask_jobqueue.slurm import SLURMCluster
    from distributed import Client

    try:
        cluster = SLURMCluster(**options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{config}: {str(error).splitlines()[0][:200]}") from error
    with cluster:
        _try_submission(cluster.job_script(), config)
        cluster.scale(jobs=jobs)
        with Client(cluster) as client:
            yield client


def _try_submission(script: str, config: Path) -> None:
    """Raise `JobError` where SLURM would not take a job: dask submits it later, and logs alone what goes wrong then."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        try:
            tried = subprocess.run(["sbatch", "--test-only", file.name], capture_output=True, text=True, check=False)
        except OSError as error:
            raise JobError(f"no SLURM here: sbatch cannot be run ({error.strerror})") from error
    if tried.returncode:
        said = " ".join(tried.stderr.split())[:300]
        raise JobError(f"SLURM does not take the jobs of {config}: {said}")


def read_slurm_config(config: Path) -> tuple[int, dict[str, Any]]:
    """Number of jobs, and the arguments of `dask_jobqueue.SLURMCluster`; raises `UsageError` where it is neither."""
    import yaml

    try:
        found = yaml.safe_load(config.read_text())
    except FileNotFoundError:
        raise UsageError(f"{config}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{config} cannot be read as YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(found, Mapping):
        raise UsageError(f"{config}: expected YAML with jobs, cores, memory, queue, walltime, …")
    options = dict(found)
    jobs = options.pop("jobs", 1)
    if type(jobs) is not int or jobs < 1:
        raise UsageError(f"{config}: jobs is {jobs!r}, expected a whole number above 0")
    return jobs, options


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Ctrl-C reaches the whole group of processes, but this one alone answers it, and when the others have started.

    An exception in the midst of `logging`, whose levels are set here, would leave its lock taken for ever. Processes
    inherit the mask of the thread that starts them, and so do those that take the place of one that died.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Where it is not running yet, whoever starts a process starts it first, and unblocks the signal after.
    resource_tracker.ensure_running()
    received: list[FrameType | None] = []
    handler = signal.signal(signal.SIGINT, lambda _, frame: received.append(frame))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if received and callable(handler):
        handler(signal.SIGINT, received[0])


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_number() -> int:
    """Number of the worker of this machine that runs the task, from 0; 0 where workers have other names."""
    from distributed import get_worker

    name = get_worker().name
    return int(name) if str(name).isdigit() else 0
