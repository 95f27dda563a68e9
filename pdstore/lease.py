"""Who may write to a store: one fill, or one clear, at a time.

A lease is a small file beside the store. Its holder renews it; one that is not renewed expires, so that a fill whose
machine died blocks nobody for long. On the same machine a holder that is no longer running is seen at once.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pdstore.errors import LeaseError

RENEWED_EVERY = 10.0
EXPIRES_AFTER = 60.0
"""Seconds."""

_UNKNOWN, _ENDED = 0, -1


@dataclass(frozen=True)
class Lease:
    """Who writes to a store.

    Attributes
    ----------
    token : str
        Its own, random.
    command : str
        What it does: "fill" or "clear".
    host, machine : str
        Name of the host; and what tells it from others of the same name: boot and process namespace.
    process, process_start : int
        The process, and when it was started, in the kernel's ticks.
    since, renewed : float
        Seconds since 1970.
    """

    token: str
    command: str
    host: str
    machine: str
    process: int
    process_start: int
    since: float
    renewed: float

    @property
    def holder(self) -> str:
        """The holder, as errors name it."""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"pdstore {self.command} of process {self.process} on {self.host}, since {since}"

    def has_ended(self) -> bool:
        """Whether it expired, or its process is known to have ended."""
        if time.time() - self.renewed > EXPIRES_AFTER:
            return True
        start = _process_start(self.process)
        return self.machine == _machine() and start not in (_UNKNOWN, self.process_start)


def lease_path(store: str) -> Path:
    """Where the lease of a store lies: beside it, so that the store itself holds Zarr only."""
    path = Path(store).resolve()
    return path.with_name(f".{path.name}.lease")


def read_lease(store: str) -> Lease | None:
    """The lease of a store that somebody holds now; None where nobody does."""
    lease = _read(lease_path(store))
    return None if lease is None or lease.has_ended() else lease


@contextmanager
def held_lease(store: str, command: str) -> Iterator[str]:
    """Hold the lease of a store; gives its token, which workers show when they write.

    Raises
    ------
    LeaseError
        Somebody else holds it, and who.
    """
    path, now = lease_path(store), time.time()
    own = Lease(
        token=uuid.uuid4().hex,
        command=command,
        host=socket.gethostname(),
        machine=_machine(),
        process=os.getpid(),
        process_start=_process_start(os.getpid()),
        since=now,
        renewed=now,
    )
    with _alone(path):
        held = _read(path)
        if held is not None and not held.has_ended():
            seconds = max(0.0, held.renewed + EXPIRES_AFTER - now)
            raise LeaseError(
                f"store {store} is in use by {held.holder}; wait for it, or stop it (if it died with its "
                f"machine, the store is free again in {seconds:.0f} s)"
            )
        _write(path, own)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(path, own, ended), daemon=True)
    renewing.start()
    try:
        yield own.token
    finally:
        ended.set()
        renewing.join()
        with _alone(path):
            held = _read(path)
            if held is not None and held.token == own.token:
                path.unlink()


def check_lease(store: str, token: str) -> None:
    """Raise `LeaseError` where a lease is no longer held: what holds another, or none, must not write."""
    held = _read(lease_path(store))
    if held is None or held.token != token:
        now = "nobody" if held is None else held.holder
        raise LeaseError(f"store {store}: this job no longer holds it ({now} does); what it computed is kept")


def _renew(path: Path, lease: Lease, ended: threading.Event) -> None:
    while not ended.wait(RENEWED_EVERY):
        # A full disk or a server that is away for a moment: the next renewal may succeed, and if none does it expires.
        with suppress(OSError, LeaseError), _alone(path):
            held = _read(path)
            if held is None or held.token != lease.token:
                return
            _write(path, replace(lease, renewed=time.time()))


def _read(path: Path) -> Lease | None:
    try:
        found = json.loads(path.read_bytes())
        lease = Lease(**found)
        numbers = (lease.process, lease.process_start, lease.since, lease.renewed)
        if not all(type(number) in (int, float) and -1 <= number < 2**40 for number in numbers):
            raise ValueError("no numbers")
        if not all(type(text) is str for text in (lease.token, lease.command, lease.host, lease.machine)):
            raise ValueError("no texts")
        return replace(lease, process=int(lease.process), process_start=int(lease.process_start))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, RecursionError):
        # Not a lease: written whole or not at all, it can only be somebody else's file.
        raise LeaseError(f"{path} is in the way: it is no lease of pdstore; remove it") from None


def _write(path: Path, lease: Lease) -> None:
    partial = path.with_name(f"{path.name}.{lease.token}.partial")
    try:
        partial.write_text(json.dumps(asdict(lease)))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Of the processes that look at a lease in order to change it, one at a time."""
    # Imported here: who only reads a store may sit at a system without it.
    import fcntl

    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _machine() -> str:
    """This boot of this machine, or of this container."""
    parts = []
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join([socket.gethostname(), *parts])


def _process_start(process: int) -> int:
    """When a process was started, in the kernel's ticks; `_ENDED` where there is none, `_UNKNOWN` where nobody says."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return _ENDED
    except PermissionError:
        pass
    try:
        # The name of the program, in brackets, may hold anything; what follows the last bracket is numbers.
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _UNKNOWN
    # A process that ended and whose parent has not asked yet is a zombie.
    return _ENDED if fields[0] in ("Z", "X") else int(fields[19])
