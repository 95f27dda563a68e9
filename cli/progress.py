"""Progress of a fill on stderr: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 10.0


class FillProgress:
    """Observer of `pdstore.fill.fill` that shows blocks, rate and time left."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description:>12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._name, self._todo, self._done_now = "", 0, 0
        self._began = self._last_line = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def stage_begins(self, name: str, todo: int, done: int) -> None:
        """Show a new stage; nothing where there is nothing to do."""
        self._name, self._todo, self._done_now = name, todo, 0
        self._began = self._last_line = time.monotonic()
        self._task = None
        if todo:
            self._task = self._bar.add_task(name, total=todo, rate="")
            self._line(f"{todo:,} blocks to do, {done:,} done before")

    def block_done(self) -> None:
        """Advance by a block."""
        self._done_now += 1
        now = time.monotonic()
        rate = self._done_now / max(now - self._began, 1e-9)
        if self._task is not None:
            self._bar.update(self._task, advance=1, rate=f"{rate:,.1f} blocks/s")
        if now - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = now
            left = (self._todo - self._done_now) / rate
            self._line(f"{self._done_now:,} of {self._todo:,} blocks, {rate:,.1f} blocks/s, {left:,.0f} s left")

    def stage_ends(self) -> None:
        """Say how fast the stage was."""
        if self._todo:
            seconds = time.monotonic() - self._began
            self._line(f"{self._done_now:,} blocks in {seconds:,.1f} s")

    def _line(self, text: str) -> None:
        if self._bar.disable:
            print(f"pdstore: {self._name}: {text}", file=sys.stderr, flush=True)
