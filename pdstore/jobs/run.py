"""Run tasks on dask workers: bounded in flight, tried three times, the rest goes on where one fails."""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from pdstore.errors import DiskFullError, JobError, LeaseError, PrecisionError
from pdstore.location.room import NO_ROOM

if TYPE_CHECKING:
    from distributed import Client as Client

Task = TypeVar("Task")

ATTEMPTS = 3
IN_FLIGHT_A_THREAD = 2
"""Tasks handed to a worker's thread ahead of time, so that it never waits for the next."""


class Failure(NamedTuple, Generic[Task]):
    """A task that failed at every attempt, and what it said last."""

    task: Task
    error: str


def run_tasks(
    client: "Client", function: Callable[[Task], None], tasks: Sequence[Task], finished: Callable[[Task, bool], None]
) -> list[Failure[Task]]:
    """Run `function` on every task.

    Parameters
    ----------
    client : distributed.Client
        The workers. Those that join while tasks run get their share.
    function : callable
        Picklable; writes its result itself and returns nothing.
    tasks : sequence
        What to run it on; picklable and small.
    finished : callable
        Called after each task with the task, and whether it worked.

    Returns
    -------
    list of Failure
        Tasks that failed at each of three attempts, in the order in which they did.

    Raises
    ------
    DiskFullError
        There was no room for what a task wrote: no other would fare better.
    LeaseError
        Another job took the store over.
    PrecisionError
        Numbers of a task are not right: others would not be, either.
    JobError
        The scheduler is gone.
    """
    from distributed import KilledWorker, as_completed

    failures: list[Failure[Task]] = []
    killed: list[Task] = []
    waiting = iter(tasks)
    in_flight: dict[Any, Task] = {}
    completed = as_completed()

    def submit(number: int) -> None:
        for task in islice(waiting, max(0, number)):
            future = client.submit(function, task, pure=False, retries=ATTEMPTS - 1)
            in_flight[future.key] = task
            completed.add(future)

    submit(_wanted_in_flight(client))
    for future in completed:
        task = in_flight.pop(future.key)
        error = _error_of(future)
        if isinstance(error, KilledWorker):
            killed.append(task)
        else:
            finished(task, error is None)
            if error is not None:
                failures.append(Failure(task, f"{type(error).__name__}: {error}"))
        future.release()
        submit(_wanted_in_flight(client) - len(in_flight))
    for task in killed:
        # A worker that dies takes the tasks that wait on it along; alone, each is judged for itself.
        future = client.submit(function, task, pure=False)
        error = _error_of(future)
        if isinstance(error, KilledWorker):
            failures.append(Failure(task, "the worker died every time that it ran this; is there enough memory?"))
        elif error is not None:
            failures.append(Failure(task, f"{type(error).__name__}: {error}"))
        finished(task, error is None)
    return failures


def on_every_worker(client: "Client", function: Callable[[], Any]) -> Iterator[Any]:
    """Run `function` once on each worker, all at the same time: what each returned. Waits for the first worker."""
    from distributed import KilledWorker

    client.wait_for_workers(1)
    # A worker that dies comes back under another address: tied to the old one, its task would wait for ever.
    options = {"pure": False, "allow_other_workers": True}
    for future in [client.submit(function, workers=[worker], **options) for worker in client.nthreads()]:
        error = _error_of(future)
        if isinstance(error, KilledWorker):
            raise JobError("the worker died every time that it ran the model; is there enough memory?")
        if error is not None:
            raise error
        yield future.result()


def _wanted_in_flight(client: "Client") -> int:
    try:
        threads: int = sum(client.nthreads().values())
    except (OSError, TimeoutError) as error:
        raise _scheduler_gone() from error
    # Where no worker has come yet, one task waits for the first.
    return max(1, IN_FLIGHT_A_THREAD * threads)


def _error_of(future: Any) -> BaseException | None:
    """What a task ended in, None where it worked; raises what would end every other task, too."""
    error: BaseException | None = future.exception()
    # Of a cancelled task there is no exception, and no result either.
    if future.cancelled():
        raise _scheduler_gone()
    if isinstance(error, (LeaseError, PrecisionError)):
        raise error
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        raise DiskFullError(
            f"no room is left for what is written ({error.strerror}); what was computed is kept: make room, and fill "
            "again to go on"
        )
    return error


def _scheduler_gone() -> JobError:
    return JobError("the dask scheduler is gone, or was restarted; what was computed is kept, fill again to go on")


@cache
def quiet_logs() -> None:
    """Let dask say nothing by itself: what goes wrong is told by `run_tasks`."""
    import dask

    # distributed reads the level of its log when it is imported.
    names = ("distributed", "distributed.client", "asyncio")
    dask.config.set({"logging": dict.fromkeys(names, "critical")})
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
