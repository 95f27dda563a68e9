"""Tasks on a real dask cluster."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tasks import die_always, die_once, fail_on_odd, leave_a_mark, miss_the_precision

from pdstore.errors import PrecisionError
from pdstore.jobs.cluster import local_client, usable_cores
from pdstore.jobs.run import ATTEMPTS, run_tasks


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with local_client(2) as client:
        yield client


def test_every_task_runs_once_in_other_processes(client: Any, tmp_path: Path) -> None:
    finished: list[tuple[int, bool]] = []

    def told(task: int, worked: bool) -> None:
        finished.append((task, worked))

    assert run_tasks(client, partial(leave_a_mark, tmp_path), range(40), told) == []
    marks = [path.name.split("-") for path in tmp_path.iterdir()]
    assert sorted(int(task) for task, *_ in marks) == list(range(40))
    assert sorted(finished) == [(task, True) for task in range(40)]
    assert str(os.getpid()) not in {process for _, process, _ in marks}


def test_a_task_is_tried_three_times_and_the_others_go_on(client: Any, tmp_path: Path) -> None:
    failures = run_tasks(client, partial(fail_on_odd, tmp_path), range(6), lambda task, worked: None)
    assert sorted(failure.task for failure in failures) == [1, 3, 5]
    assert {failure.error for failure in failures} == {f"ValueError: task {task} is odd" for task in (1, 3, 5)}
    tries = [int(path.name.split("-")[0]) for path in tmp_path.iterdir()]
    assert [tries.count(task) for task in range(6)] == [1, ATTEMPTS, 1, ATTEMPTS, 1, ATTEMPTS]


def test_wrong_numbers_end_all(client: Any, tmp_path: Path) -> None:
    with pytest.raises(PrecisionError, match=r"task \d+ is off by 3%"):
        run_tasks(client, partial(miss_the_precision, tmp_path), range(100), lambda task, worked: None)
    assert len({path.name.split("-")[0] for path in tmp_path.iterdir()}) < 100


def test_a_worker_that_dies_loses_no_task(tmp_path: Path) -> None:
    with local_client(2) as client:
        assert run_tasks(client, partial(die_once, tmp_path), range(8), lambda task, worked: None) == []
    assert {path.name for path in tmp_path.glob("done-*")} == {f"done-{task}" for task in range(8)}


def test_a_task_that_kills_every_worker_fails_alone(tmp_path: Path) -> None:
    with local_client(2) as client:
        failures = run_tasks(client, partial(die_always, tmp_path), range(8), lambda task, worked: None)
    assert [failure.task for failure in failures] == [3]
    assert "the worker died" in failures[0].error
    assert {path.name for path in tmp_path.glob("done-*")} == {f"done-{task}" for task in range(8) if task != 3}


def test_no_task_is_no_work(client: Any) -> None:
    assert run_tasks(client, print, [], lambda task, worked: None) == []
    assert usable_cores() >= 1
