"""What the workers of a run share: the first that needs it makes it, the others wait for it."""

import fcntl
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Once = Callable[[str, Callable[[Path], Any]], Any]
"""Called with a name, and with what is made in a folder of that name; returns what the making returned."""


def once_a_run(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """What makes things once a run, under the temporary folder of all workers, or of the one process without any."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    shared.mkdir(exist_ok=True)

    def once(name: str, make: Callable[[Path], Any]) -> Any:
        folder, answer = shared / name, shared / f"{name}.pickle"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not answer.exists():
                # Of a worker that failed to make it.
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                made = pickle.dumps(make(folder))
                answer.write_bytes(made)
            return pickle.loads(answer.read_bytes())

    return once
