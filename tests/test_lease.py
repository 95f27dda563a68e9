"""Who may write to a store: one at a time, on one machine and on several."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from builders import listing

import pdstore.lease
from pdstore.errors import LeaseError
from pdstore.lease import EXPIRES_AFTER, Lease, check_lease, held_lease, lease_path, read_lease
from pdstore.store import Store, open_store

Program = Callable[..., subprocess.CompletedProcess[str]]

# At "go T" it tries for the lease at T, as closely as a busy loop can; what it won it holds until the next line.
RACER = """
import sys, time
from pdstore.errors import LeaseError
from pdstore.lease import held_lease
print("ready", flush=True)
for line in sys.stdin:
    start = float(line.split()[1])
    while time.time() < start:
        pass
    try:
        with held_lease(sys.argv[1], "fill"):
            print("won", flush=True)
            sys.stdin.readline()
        print("released", flush=True)
    except LeaseError as error:
        print(error, flush=True)
"""


class Racer:
    """Another process that tries for the lease of a store when it is told to."""

    def __init__(self, store: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RACER, store], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture
def store(tmp_path: Path) -> str:
    """Path of a store; leases do not look into it."""
    (tmp_path / "store.zarr").mkdir()
    return str(tmp_path / "store.zarr")


@pytest.fixture
def racers(store: str) -> Iterator[Callable[[int], list[Racer]]]:
    """Starts so many other processes; none of them survives the test."""
    started: list[Racer] = []

    def start(number: int) -> list[Racer]:
        started.extend(Racer(store) for _ in range(number))
        assert {racer.heard() for racer in started} == {"ready"}
        return started

    yield start
    for racer in started:
        racer.process.kill()
        racer.process.communicate()


def lease_of(store: str) -> Lease:
    lease = read_lease(store)
    assert lease is not None
    return lease


def put(store: str, lease: Lease) -> None:
    lease_path(store).write_text(json.dumps(asdict(lease)))


def lease_elsewhere(store: str, **changes: object) -> Lease:
    """A lease as a process of another machine leaves it: its process number means nothing here."""
    with held_lease(store, "fill"):
        lease = lease_of(store)
    return replace(lease, token="theirs", host="node7", machine="another", process=2**22 + 1, **changes)  # type: ignore[arg-type]


def test_of_processes_that_race_exactly_one_wins_and_the_others_are_told_who(
    store: str, racers: Callable[[int], list[Racer]]
) -> None:
    started = racers(4)
    winners = set()
    for _ in range(40):
        start = time.time() + 0.02
        for racer in started:
            racer.tell(f"go {start}")
        said = {racer: racer.heard() for racer in started}
        won = [racer for racer in started if said[racer] == "won"]
        assert len(won) == 1, said.values()
        for racer in started:
            assert racer is won[0] or f"in use by pdstore fill of process {won[0].process.pid} on" in said[racer]
        winners.add(won[0].process.pid)
        won[0].tell("enough")
        assert won[0].heard() == "released"
        assert not lease_path(store).exists()
    assert len(winners) > 1, "they did not race"


def test_it_is_given_back_at_the_end_and_on_exceptions(store: str) -> None:
    with held_lease(store, "fill") as token:
        assert lease_of(store).token == token
        check_lease(store, token)
    assert read_lease(store) is None

    def fail() -> None:
        with held_lease(store, "clear"):
            assert lease_of(store).command == "clear"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert listing(Path(store).parent) == ["store.zarr"]
    with pytest.raises(LeaseError, match=r"no longer holds it \(nobody does\)"):
        check_lease(store, token)


def test_a_second_holder_of_the_same_process_is_refused(store: str) -> None:
    with held_lease(store, "fill") as token:
        with pytest.raises(LeaseError, match=f"pdstore fill of process {os.getpid()} on"), held_lease(store, "clear"):
            pass
        check_lease(store, token)


def test_it_is_renewed_for_longer_than_it_would_last(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdstore.lease, "RENEWED_EVERY", 0.05)
    monkeypatch.setattr(pdstore.lease, "EXPIRES_AFTER", 1.0)
    with held_lease(store, "fill") as token:
        first = lease_of(store)
        time.sleep(1.5)
        renewed = lease_of(store)
        assert renewed.renewed - first.renewed > 1.0
        assert replace(renewed, renewed=first.renewed) == first
        with pytest.raises(LeaseError), held_lease(store, "fill"):
            pass
        check_lease(store, token)
    assert read_lease(store) is None


@pytest.mark.parametrize("reaped", [False, True])
def test_that_of_a_process_killed_on_this_machine_is_free_at_once(
    store: str, racers: Callable[[int], list[Racer]], reaped: bool
) -> None:
    (holder,) = racers(1)
    holder.tell("go 0")
    assert holder.heard() == "won"
    left = lease_of(store)
    assert left.process == holder.process.pid
    with pytest.raises(LeaseError), held_lease(store, "fill"):
        pass
    os.kill(holder.process.pid, signal.SIGKILL)
    if reaped:
        holder.process.wait()
    else:
        # A zombie, as where the parent of a killed fill does not ask after it.
        os.waitid(os.P_PID, holder.process.pid, os.WEXITED | os.WNOWAIT)
    assert lease_path(store).exists()
    assert read_lease(store) is None
    assert time.time() - left.renewed < EXPIRES_AFTER
    with held_lease(store, "fill") as token:
        check_lease(store, token)


def test_another_process_of_the_same_number_does_not_keep_it(store: str) -> None:
    with held_lease(store, "fill"):
        lease = lease_of(store)
    put(store, replace(lease, process_start=lease.process_start - 1))
    assert read_lease(store) is None


def test_a_system_that_does_not_say_when_a_process_began_does_not_end_it(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held_lease(store, "fill"):
        # As the process of another user where /proc is mounted with hidepid: it is there, and says nothing of itself.
        monkeypatch.setattr(pdstore.lease, "_process_start", lambda process: 0)
        assert read_lease(store) is not None


def test_that_of_another_machine_is_kept_while_it_is_fresh_and_taken_over_when_it_expired(store: str) -> None:
    theirs = lease_elsewhere(store, renewed=time.time() - EXPIRES_AFTER + 20)
    put(store, theirs)
    with pytest.raises(LeaseError, match=rf"process {theirs.process} on node7, .* free again in (19|20) s"):
        held_lease(store, "fill").__enter__()
    assert lease_of(store) == theirs
    put(store, replace(theirs, renewed=time.time() - EXPIRES_AFTER - 1))
    with held_lease(store, "fill") as token:
        assert lease_of(store).token == token
        with pytest.raises(LeaseError, match="no longer holds it"):
            check_lease(store, "theirs")


def test_the_first_holder_neither_renews_nor_removes_what_another_took_over(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdstore.lease, "RENEWED_EVERY", 0.02)
    theirs = lease_elsewhere(store, renewed=time.time())
    with held_lease(store, "fill") as token:
        put(store, theirs)
        time.sleep(0.3)
        assert lease_of(store) == theirs
        with pytest.raises(LeaseError, match="on node7"):
            check_lease(store, token)
    assert lease_of(store) == theirs


def test_two_holders_one_after_the_other_each_give_back_their_own(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as second:
        with held_lease(store, "fill") as first_token:
            # As if the first had been asleep for a minute.
            monkeypatch.setattr(pdstore.lease, "EXPIRES_AFTER", -1.0)
            second_token = second.enter_context(held_lease(store, "clear"))
            monkeypatch.undo()
            with pytest.raises(LeaseError, match="pdstore clear of process"):
                check_lease(store, first_token)
        check_lease(store, second_token)
    assert not lease_path(store).exists()


WRITES: dict[str, Callable[[Store], object]] = {
    "write": lambda store: store.write("expression/observed", 0, np.float32(7.0)),
    "create_group": lambda store: store.create_group(
        "eqtl/any", {"genes": 24, "window_variants": 3}, {"window": "any"}
    ),
    "set_attribute": lambda store: store.set_attribute("genes", "spoilt", True),
    "delete": lambda store: store.delete("genes/gene_tss/c"),
    "remove_leftovers": lambda store: store.remove_leftovers(),
}


@pytest.mark.parametrize("method", WRITES)
def test_a_store_whose_lease_was_taken_over_writes_nothing(unfilled: Path, tmp_path: Path, method: str) -> None:
    path = Path(shutil.copytree(unfilled, tmp_path / "store.zarr"))
    (tmp_path / ".store.zarr.removed-abc").mkdir()
    theirs = lease_elsewhere(str(path), renewed=time.time())

    def contents() -> dict[str, bytes | None]:
        found = {name: tmp_path / name for name in listing(tmp_path) if not name.endswith(".lease")}
        return {name: file.read_bytes() if file.is_file() else None for name, file in found.items()}

    before = contents()
    with held_lease(str(path), "fill") as token:
        store = open_store(path, "r+", token)
        put(str(path), theirs)
        with pytest.raises(LeaseError, match="no longer holds it"):
            WRITES[method](store)
        assert contents() == before
        # The same with the lease is a write: else the above says nothing.
        put(str(path), replace(theirs, token=token))
        WRITES[method](store)
        assert contents() != before


GARBAGE = (b"", b"{}", b"[]", b"null", b"7", b"\xff\xfe", b'{"token": "a"}', b'{"token": ')


@pytest.mark.parametrize("content", GARBAGE)
def test_garbage_in_its_place_is_one_clear_error_and_stays(store: str, content: bytes) -> None:
    lease_path(store).write_bytes(content)
    for look in (lambda: read_lease(store), lambda: check_lease(store, "x"), lambda: held_lease(store, "").__enter__()):
        with pytest.raises(LeaseError, match=r"store\.zarr\.lease is in the way: it is no lease of pdstore; remove it"):
            look()
    assert lease_path(store).read_bytes() == content


@pytest.mark.parametrize("changes", [{"renewed": "yesterday"}, {"process": None}, {"since": "now"}])
def test_fields_of_other_types_are_the_same_clear_error(store: str, changes: dict[str, object]) -> None:
    with held_lease(store, "fill"):
        fields = asdict(lease_of(store))
    lease_path(store).write_text(json.dumps(fields | changes))
    with pytest.raises(LeaseError, match="is in the way"):
        held_lease(store, "fill").__enter__()


def test_garbage_ends_the_program_in_one_line_and_changes_nothing(
    filled: Path, tmp_path: Path, pdstore: Program
) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "store.zarr"))
    lease_path(str(path)).write_bytes(b"garbage")
    before = listing(tmp_path)
    done = pdstore("clear", "-s", path, "--model", "cnn", "--yes")
    assert done.returncode == 1
    assert len([line for line in done.stderr.splitlines() if "error" in line]) == 1
    assert "it is no lease of pdstore; remove it" in done.stderr
    assert "Traceback" not in done.stderr
    assert listing(tmp_path) == before
    status = pdstore("status", "-s", path)
    assert status.returncode == 0
    assert "it is no lease of pdstore" in status.stdout


def test_a_lease_file_that_is_spoilt_meanwhile_is_an_error_of_the_holder_alone(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a thread does not catch goes to a hook, and from there, as a traceback, to the user's terminal.
    uncaught: list[object] = []
    monkeypatch.setattr("threading.excepthook", uncaught.append)
    monkeypatch.setattr(pdstore.lease, "RENEWED_EVERY", 0.02)

    def hold() -> None:
        with held_lease(store, "fill"):
            lease_path(store).write_bytes(b"garbage")
            time.sleep(0.2)

    with pytest.raises(LeaseError, match="is in the way"):
        hold()
    assert uncaught == []


def test_it_is_beside_the_store_where_zarr_and_xarray_do_not_see_it(filled: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "store.zarr"))

    def seen() -> tuple[list[str], list[str], list[str]]:
        members = sorted(name for name, _ in zarr.open_group(str(path), mode="r").members(max_depth=None))
        return listing(path), members, sorted(map(str, open_store(path).dataset("genes").variables))

    before = seen()
    with held_lease(str(path), "fill"):
        assert seen() == before
        assert listing(tmp_path)[0] == ".store.zarr.lease"
    # However the store is named.
    (tmp_path / "link.zarr").symlink_to(path)
    assert lease_path(str(tmp_path / "link.zarr")) == lease_path(f"{path}/") == lease_path(str(path))
