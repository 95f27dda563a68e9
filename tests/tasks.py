"""What the tests of jobs/ run: in a module of its own, because workers import it."""

import os
import signal
import time
from pathlib import Path

from pdstore.errors import PrecisionError


def leave_a_mark(folder: Path, task: int) -> None:
    """Leave a file that names task and process."""
    (folder / f"{task}-{os.getpid()}-{time.monotonic_ns()}").touch()


def fail_on_odd(folder: Path, task: int) -> None:
    """Leave a mark, and fail where the task is odd."""
    leave_a_mark(folder, task)
    if task % 2:
        raise ValueError(f"task {task} is odd")


def miss_the_precision(folder: Path, task: int) -> None:
    """Leave a mark, and find that faster arithmetic gives wrong numbers."""
    leave_a_mark(folder, task)
    raise PrecisionError(f"task {task} is off by 3%")


def die_once(folder: Path, task: int) -> None:
    """Kill the worker at the first try of task 3."""
    if task == 3 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / f"done-{task}").touch()


def die_always(folder: Path, task: int) -> None:
    """Kill the worker at every try of task 3."""
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / f"done-{task}").touch()
