"""Progress of long work on stderr: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from pdstore.words import plain

SECONDS_BETWEEN_LINES = 10.0


class FillProgress:
    """Observer of `pdstore.fill.fill` that shows blocks, rate and time left."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description:>22}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._name, self._unit = "", ""
        self._blocks, self._units, self._blocks_done, self._units_done, self._failed = 0, 0, 0, 0, 0
        self._began = self._last_line = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def waiting(self, what: str) -> None:
        """Say that nothing goes on yet."""
        print(f"pdstore: waiting for {what}", file=sys.stderr, flush=True)

    def step_begins(self, name: str, unit: str, blocks: int, units: int, done: int) -> None:
        """Show a new step; nothing where there is nothing to do."""
        self._name, self._unit, self._blocks, self._units = name, unit, blocks, units
        self._blocks_done = self._units_done = self._failed = 0
        self._began = self._last_line = time.monotonic()
        self._task = None
        if blocks:
            self._task = self._bar.add_task(name, total=units, state=f"0/{blocks:,} blocks")
            what = "" if unit == "genes" else f" ({units:,} {unit})"
            self._line(f"{blocks:,} blocks{what} to do, {done:,} blocks done before")

    def block_done(self, units: int, worked: bool) -> None:
        """Advance by a block."""
        self._blocks_done += 1
        self._units_done += units
        self._failed += not worked
        now = time.monotonic()
        state = self._state(now - self._began)
        if self._task is not None:
            self._bar.update(self._task, advance=units, state=state)
        if now - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._line(state)

    def step_ends(self) -> None:
        """Say how fast the step was."""
        if self._blocks:
            seconds = max(time.monotonic() - self._began, 1e-9)
            rate = _rate(self._units_done / seconds)
            self._line(f"{self._blocks_done:,} blocks in {duration(seconds)}, {rate} {self._unit}/s")

    def _state(self, seconds: float) -> str:
        rate = self._units_done / max(seconds, 1e-9)
        left = duration((self._units - self._units_done) / rate) if rate else "?"
        failed = f", {self._failed:,} failed" if self._failed else ""
        return f"{self._blocks_done:,}/{self._blocks:,} blocks{failed}, {_rate(rate)} {self._unit}/s, {left} left"

    def _line(self, text: str) -> None:
        if self._bar.disable:
            print(f"pdstore: {self._name}: {text}", file=sys.stderr, flush=True)


class CopyProgress:
    """Progress through bytes: steps by name, then a bar with the rate and time left, or a line now and then."""

    def __init__(self, verb: str) -> None:
        console = Console(stderr=True)
        self._verb = verb
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None
        self._total = self._done = 0
        self._last_line = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, what: str) -> None:
        """Say what begins."""
        print(f"pdstore: {plain(what)}", file=sys.stderr, flush=True)

    def copying(self, total: int) -> None:
        """Show how many bytes are to be copied, or read."""
        self._total, self._done, self._last_line = total, 0, time.monotonic()
        self._task = self._bar.add_task(self._verb, total=total)

    def copied(self, size: int) -> None:
        """Advance."""
        self._done += size
        if self._task is not None:
            self._bar.update(self._task, advance=size)
        if self._bar.disable and time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            print(f"pdstore: {self._verb}: {self._done / max(self._total, 1):.0%}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A time span for a person: 42 s, 3 min 20 s, 5 h 07 min, 12.5 days."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    if round(seconds) < 3600:
        return "{} min {} s".format(*divmod(round(seconds), 60))
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return "{} h {:02d} min".format(*divmod(minutes, 60))
    return f"{seconds / 86_400:,.1f} days"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.3g}"
