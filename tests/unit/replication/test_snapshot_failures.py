"""A snapshot that cannot be taken ends no node: the log stays, an alarm says so, and after a while
it is tried again. What throws doubt on the disk still ends the node."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from chaos.sim.disk import SimDisk
from chaos.sim.machine import LogMachine
from coord.core.base.table import ViewGivenUpError
from coord.journal import SnapshotStore, SyncFailedError, snapshot_format
from coord.ratelimit import LogLimiter
from coord.replication.background import AWAITED, UNHURRIED
from coord.replication.port import SnapshotSource
from coord.replication.problem_log import ProblemLog
from coord.replication.replica_status import alarms_of, status_of
from coord.replication.settings import ReplicaSettings
from tests.support.replica_world import ReplicaWorld

SETTINGS = ReplicaSettings(snapshot_entries=20, keep_entries=5, max_log_bytes=3_000)
SNAPSHOTS = "/node/snapshots"


class Machine(LogMachine):
    """`failure`: why it cannot be written now, from the beginning or after the first chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: Exception | None = None
        self.at_once = False
        self.open_sources = 0

    def begin_snapshot(self) -> Any:
        if self.failure is not None and self.at_once:
            raise self.failure
        self.open_sources += 1
        return Source(self, super().begin_snapshot())


class Source:
    def __init__(self, machine: Machine, inner: SnapshotSource) -> None:
        self._machine = machine
        self._inner = inner
        self._chunks = 0
        self._closed = False

    def next_chunk(self) -> bytes | None:
        self._chunks += 1
        if self._machine.failure is not None and self._chunks > 1:
            raise self._machine.failure
        return self._inner.next_chunk()

    def close(self) -> None:
        if not self._closed:
            self._machine.open_sources -= 1
        self._closed = True
        self._inner.close()


class World(ReplicaWorld):
    """One node alone that commits what it proposes, with its snapshots on a disk."""

    def __init__(self) -> None:
        self.disk = SimDisk()
        self.disk.mkdir(SNAPSHOTS)
        self.store = SnapshotStore(self.disk, SNAPSHOTS)
        self.machine = Machine()
        super().__init__(1, settings=SETTINGS, machine=self.machine)
        self.tick(5.0)
        self.sync()

    def run(self, job: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        result: Any
        try:
            result = job(self.store)
        except Exception as error:
            result = error
        done(result)

    def grow(self, entries: int, size: int = 10) -> None:
        for _ in range(entries):
            self.replica.propose(b"x" * size)
        self.sync()
        self.work()

    def work(self, seconds: float = 0.0) -> None:
        """Let time pass, and do what there is to do."""
        self.tick(seconds)
        while self.replica.step_background():
            pass

    @property
    def attempts(self) -> int:
        return self.replica.snapshots._failures


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    "failure", [ValueError("too long"), MemoryError(), ViewGivenUpError("much"), TypeError("?")]
)
def test_what_cannot_be_encoded(failure: Exception, at_once: bool) -> None:
    world = World()
    world.machine.failure, world.machine.at_once = failure, at_once
    world.grow(30)
    assert (world.caught, world.attempts) == ([], 1)
    assert alarms_of(world.replica) == ("SNAPSHOT_FAILED",)
    why = str(failure) or type(failure).__name__
    assert f"attempt 1 to take a snapshot failed: {why}" in world.replica.snapshots.problem
    assert world.replica.snapshots.latest is None
    assert world.replica.journal.first_index == 1, "the log keeps everything"
    assert world.machine.open_sources == 0
    assert world.disk.paths() == [], "nothing half-written is left"
    world.machine.failure = None
    world.work(2.0)
    assert world.replica.snapshots.latest is not None
    assert world.replica.journal.first_index > 10
    assert (alarms_of(world.replica), world.replica.snapshots.problem) == ((), "")


def test_it_is_tried_again_more_and_more_seldom() -> None:
    world = World()
    world.machine.failure = ValueError("never")
    world.grow(30)
    for wait_s in (1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300):
        attempts = world.attempts
        for _ in range(3):
            world.work(wait_s / 4)
        assert world.attempts == attempts
        world.work(wait_s / 3)
        assert world.attempts == attempts + 1
    assert world.caught == []


def test_after_a_failure_the_next_attempt_is_made_faster() -> None:
    """So that less of the state changes meanwhile."""
    world = World()
    for _ in range(25):
        world.replica.propose(b"x")
    world.sync()
    world.tick()
    assert world.replica.step_background() == UNHURRIED
    world.machine.failure = ViewGivenUpError("too much has changed")
    world.work()
    assert world.attempts == 1
    world.machine.failure = None
    world.tick(2.0)
    assert world.replica.step_background() == AWAITED


def test_what_the_store_does_not_take(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(snapshot_format, "MAX_CHUNK_BYTES", 100)
    world.grow(30)
    assert (world.caught, world.attempts) == ([], 1)
    assert "a snapshot chunk of" in world.replica.snapshots.problem
    assert world.disk.paths() == []
    monkeypatch.undo()
    world.work(2.0)
    assert world.replica.snapshots.latest is not None


def test_a_full_disk_is_tried_again_soon() -> None:
    world = World()
    world.disk.free_bytes = 200
    world.grow(30)
    assert (world.caught, world.attempts) == ([], 1)
    assert "no space left" in world.replica.snapshots.problem
    for _ in range(40):
        world.work(10.0)
    assert world.disk.paths() == []
    assert 10 < world.attempts < 25
    world.disk.free_bytes = None
    world.work(30.0)
    assert world.replica.snapshots.latest is not None
    assert alarms_of(world.replica) == ()


@pytest.mark.parametrize("operation", ["create", "write", "fdatasync", "rename", "fsync_dir"])
def test_a_broken_disk_ends_the_node(operation: str) -> None:
    world = World()
    world.disk.fault = lambda what, _: OSError(errno.EIO, "broken") if what == operation else None
    world.grow(30)
    assert isinstance(world.caught[0], SyncFailedError)
    assert world.replica.snapshots.latest is None


def test_a_log_that_cannot_be_shortened_may_not_grow_for_ever() -> None:
    """Before it fills the disk, and memory. What shortens it makes room again."""
    world = World()
    world.machine.failure = ValueError("never")
    world.grow(10, 280)
    assert world.replica.snapshots.why_nothing_grows is None
    world.grow(1, 280)
    assert world.replica.snapshots.why_nothing_grows == "LOG_TOO_LARGE"
    assert alarms_of(world.replica) == ("LOG_TOO_LARGE",)
    world.grow(10)
    assert alarms_of(world.replica) == ("SNAPSHOT_FAILED", "LOG_TOO_LARGE")
    assert world.replica.leading.write_block_reason is None, "what frees room goes on"
    world.machine.failure = None
    world.grow(5)
    world.work(2.0)
    assert world.replica.snapshots.why_nothing_grows is None
    assert alarms_of(world.replica) == ()


def test_a_failed_snapshot_is_told_in_the_status_and_once_in_the_log() -> None:
    world = World()
    problems = ProblemLog(structlog.get_logger(), LogLimiter(lambda: 0.0), lambda: 0.0)
    world.machine.failure = ValueError("too long")
    world.grow(30)
    assert status_of(world.replica, None, 0.0, serving=True).alarms == ("SNAPSHOT_FAILED",)
    with structlog.testing.capture_logs() as lines:
        problems.look_at(world.replica)
        problems.look_at(world.replica)
        world.machine.failure = None
        world.work(2.0)
        problems.look_at(world.replica)
    assert [line["event"] for line in lines] == [
        "replica_snapshot_failed",
        "replica_snapshot_taken_again",
    ]
    assert "too long" in lines[0]["why"]
