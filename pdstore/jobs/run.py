"""Run tasks on dask workers: bounded in flight, tried three times, the rest goes on where one fails."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from distributed import Client

Task = TypeVar("Task")

ATTEMPTS = 3
IN_FLIGHT_A_WORKER = 2
"""Tasks handed to a worker ahead of time, so that it never waits for the next."""


class Failure(NamedTuple, Generic[Task]):
    """A task that failed at every attempt, and what it said last."""

    task: Task
    error: str


@contextmanager
def local_client(workers: int) -> "Iterator[Client]":
    """A client of worker processes on this machine, one thread each.

    Parameters
    ----------
    workers : int
        Number of worker processes.
    """
    # Imported where it is used: a fill that finds nothing to do needs no dask.
    import dask

    # What goes wrong is told by run_tasks; distributed reads the level of its log when it is imported.
    dask.config.set({"logging.distributed": "critical"})
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        with _interrupts_ignored():
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address="127.0.0.1:0",
                    host="127.0.0.1",
                    silence_logs=logging.CRITICAL,
                    # No limit of dask's own: it would kill workers that the machine has memory for.
                    memory_limit=0,
                )
            )
        yield stack.enter_context(Client(cluster))


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes started meanwhile ignore Ctrl-C, which reaches the whole group: this process alone answers it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_tasks(
    client: "Client", function: Callable[[Task], None], tasks: Sequence[Task], finished: Callable[[], None]
) -> list[Failure[Task]]:
    """Run `function` on every task.

    Parameters
    ----------
    client : distributed.Client
        The workers.
    function : callable
        Picklable; writes its result itself and returns nothing.
    tasks : sequence
        What to run it on; picklable and small.
    finished : callable
        Called after each task, whether it worked or failed.

    Returns
    -------
    list of Failure
        Tasks that failed at each of three attempts, in the order in which they did.
    """
    from distributed import KilledWorker, as_completed

    failures: list[Failure[Task]] = []
    killed: list[Task] = []
    waiting = iter(tasks)
    in_flight = {}
    completed = as_completed()

    def submit_next() -> None:
        for task in waiting:
            future = client.submit(function, task, pure=False, retries=ATTEMPTS - 1)
            in_flight[future.key] = task
            completed.add(future)
            return

    for _ in range(IN_FLIGHT_A_WORKER * max(1, len(client.nthreads()))):
        submit_next()
    for future in completed:
        task = in_flight.pop(future.key)
        error = future.exception() if future.status != "finished" else None
        if isinstance(error, KilledWorker):
            killed.append(task)
        else:
            finished()
            if error is not None:
                failures.append(Failure(task, f"{type(error).__name__}: {error}"))
        future.release()
        submit_next()
    for task in killed:
        # A worker that dies takes the tasks that wait on it along; alone, each is judged for itself.
        future = client.submit(function, task, pure=False)
        error = future.exception()
        if isinstance(error, KilledWorker):
            failures.append(Failure(task, "the worker died every time that it ran this; is there enough memory?"))
        elif error is not None:
            failures.append(Failure(task, f"{type(error).__name__}: {error}"))
        finished()
    return failures
