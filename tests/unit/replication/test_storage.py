"""The journal's thread: order, groups, a full disk, a broken one, the end."""

from __future__ import annotations

import errno
import threading
from collections import deque
from typing import Any

import pytest

from chaos.sim.disk import SimDisk
from coord.journal import Admission, DiskFullError, Journal, Vote, VoteFile
from coord.replication.storage import storage as storage_module
from coord.replication.storage.operations import LogWriter
from coord.replication.storage.storage import LogStorage
from coord.replication.storage.writes import (
    AppendEntry,
    DropBefore,
    StoreAdmission,
    StoreVote,
    TruncateFrom,
)
from tests.support.waiting import eventually


class FakeWriter:
    """Carries out operations up to `room`; `may_sync` holds each sync up."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.syncs: list[int] = []  # what had been carried out by then
        self.room = 1_000_000
        self.vote_ahead = 0
        self.broken: Exception | None = None
        self.may_sync = threading.Event()
        self.may_sync.set()

    def carry_out(self, queue: deque[Any]) -> None:
        while queue:
            if len(self.done) >= self.room:
                raise DiskFullError("journal")
            self.done.append(queue.popleft()[0])

    def store_vote_ahead(self, queue: deque[Any]) -> int:
        return self.vote_ahead

    def sync(self) -> None:
        assert self.may_sync.wait(10)
        if self.broken is not None:
            raise self.broken
        self.syncs.append(len(self.done))


class Owner:
    """Hears what the storage reports."""

    def __init__(self, writer: FakeWriter) -> None:
        self.synced: list[int] = []
        self.votes: list[int] = []
        self.blocked: list[bool] = []
        self.failures: list[BaseException] = []
        self.storage = LogStorage(
            writer,  # type: ignore[arg-type]
            self.synced.append,
            self.votes.append,
            self.blocked.append,
            self.failures.append,
        )
        self._sequence = 0

    def write(self, count: int) -> None:
        for _ in range(count):
            self._sequence += 1
            self.storage.write(self._sequence, DropBefore(1))


async def test_what_queues_up_during_a_sync_is_synced_together() -> None:
    writer = FakeWriter()
    owner = Owner(writer)
    writer.may_sync.clear()
    owner.write(3)
    await eventually(lambda: len(writer.done) == 3)
    for _ in range(10):
        owner.write(2)
        await eventually(lambda: not owner.storage._turn)
    assert owner.synced == []
    writer.may_sync.set()
    await eventually(lambda: owner.synced == [3, 23])
    assert writer.syncs == [3, 23]
    await owner.storage.stop()
    assert writer.done == list(range(1, 24))


async def test_a_full_disk_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "DISK_RETRY_S", 0.01)
    writer = FakeWriter()
    owner = Owner(writer)
    writer.room = 2
    writer.vote_ahead = 4
    owner.write(5)
    await eventually(lambda: owner.blocked == [True])
    assert owner.synced[-1] == 2
    await eventually(lambda: owner.votes)
    assert owner.votes[0] == 4
    owner.write(1)
    writer.room = 6
    await eventually(lambda: owner.blocked == [True, False])
    await eventually(lambda: owner.synced[-1] == 6)
    assert writer.done == [1, 2, 3, 4, 5, 6]
    await owner.storage.stop()
    assert owner.failures == []


async def test_nothing_counts_as_durable_after_a_failure() -> None:
    writer = FakeWriter()
    owner = Owner(writer)
    writer.broken = OSError("gone")
    owner.write(1)
    await eventually(lambda: owner.failures == [writer.broken])
    writer.broken = None
    owner.write(1)
    await owner.storage.stop()
    assert owner.synced == []


async def test_stopping_finishes_what_was_written() -> None:
    writer = FakeWriter()
    owner = Owner(writer)
    owner.write(4)
    await owner.storage.stop()
    assert (writer.syncs[-1], owner.synced[-1]) == (4, 4)
    await owner.storage.stop()


async def test_stopping_does_not_wait_for_room_on_the_disk() -> None:
    writer = FakeWriter()
    owner = Owner(writer)
    writer.room = 0
    owner.write(1)
    await eventually(lambda: owner.blocked == [True])
    await owner.storage.stop()
    assert writer.done == []


def append(index: int, size: int = 1) -> AppendEntry:
    return AppendEntry((b"x" * size, index, 1))


def stored_vote(disk: SimDisk) -> Vote:
    vote = VoteFile(disk.clone(), "/vote").load()
    assert vote is not None
    return vote


def test_votes_overtake_entries_that_the_disk_has_no_room_for() -> None:
    disk = SimDisk()
    journal, votes = Journal.open(disk, "/journal", reserve_bytes=1_000), VoteFile(disk, "/vote")
    first = Vote(1, None, 7)
    votes.store(first)
    writer = LogWriter(journal, votes, first)
    operations = [
        append(1),
        append(2, 5_000),
        StoreVote(2, "a"),
        append(3),
        StoreVote(3, "b"),
        TruncateFrom(3),
        StoreAdmission(Admission(9)),
        StoreVote(4, "c"),
    ]
    queue = deque(enumerate(operations, 1))
    disk.free_bytes = 1_500
    with pytest.raises(DiskFullError):
        writer.carry_out(queue)
    assert queue[0] == (2, operations[1]), "the first of several entries had room"
    assert writer.store_vote_ahead(queue) == 5
    assert stored_vote(disk) == Vote(3, "b", 7)
    assert writer.store_vote_ahead(queue) == 0
    with pytest.raises(DiskFullError):
        writer.carry_out(queue)
    assert [sequence for sequence, _ in queue] == [2, 3, 4, 5, 6, 7, 8]
    disk.free_bytes = None
    assert writer.carry_out(queue) == 8
    writer.sync()
    assert stored_vote(disk) == Vote(4, "c", 7, Admission(9))
    writer.close()
    kept = Journal.open(disk.clone(), "/journal").recovered
    assert [index for _, index, _ in kept] == [1, 2]


def test_a_vote_that_has_no_room_either_waits() -> None:
    disk = SimDisk()
    journal, votes = Journal.open(disk, "/journal"), VoteFile(disk, "/vote")
    votes.store(Vote(1))
    writer = LogWriter(journal, votes, Vote(1))
    queue = deque(enumerate([append(1), StoreVote(2, "a")], 1))
    disk.fault = lambda operation, path: (
        OSError(errno.ENOSPC, "full") if operation == "write" else None
    )
    with pytest.raises(DiskFullError):
        writer.carry_out(queue)
    assert writer.store_vote_ahead(queue) == 0
    disk.fault = None
    assert writer.carry_out(queue) == 2
    assert stored_vote(disk) == Vote(2, "a")
