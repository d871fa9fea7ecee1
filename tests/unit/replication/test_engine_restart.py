"""One replica on real storage, stopped and started again: what it has promised still binds it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chaos.sim.disk import SimDisk
from coord.journal import Admission, SnapshotMeta, SnapshotStore
from coord.replication.boot import OpenStorage, open_storage
from coord.replication.membership import decode_members
from coord.replication.messages import Message
from coord.replication.port import AddLearner, Role
from coord.replication.recovery import BASE_COMMAND
from coord.replication.replica_ports import Boot
from coord.replication.snapshots import describe
from coord.replication.storage.writes import StoreAdmission, WriteOp
from tests.support.replica_world import ReplicaWorld
from tests.support.replication import members_of

(N4,) = members_of("n4")
WITH_N4 = members_of("n1", "n2", "n3", learners=["n4"])


def opened(disk: SimDisk) -> OpenStorage:
    return open_storage("/node", "c", "n1", wall_ms=1, incarnation=1, fs=disk)


class DiskWorld(ReplicaWorld):
    """n1 of three nodes, on a disk."""

    def __init__(self, disk: SimDisk, boot: Boot | None = None) -> None:
        self.disk = disk
        disk.revive()
        self.storage = opened(disk)
        self._queue: deque[tuple[int, WriteOp]] = deque()
        super().__init__(3, boot=boot or self.storage.boot)

    def write(self, sequence: int, operation: WriteOp) -> None:
        super().write(sequence, operation)
        self._queue.append((sequence, operation))

    def sync(self) -> None:
        self.storage.writer.carry_out(self._queue)
        self.storage.writer.sync()
        super().sync()

    def run(self, job: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        done(job(self.storage.snapshots))

    def asked_for_a_vote(self, candidate: str, term: int) -> list[str]:
        """Who gets a vote when this one asks for it."""
        self.deliver(candidate, "vote_request", term, last_index=9, last_term=3, forced=False)
        self.sync()
        return [peer for peer, _ in self.take("vote")]


@pytest.fixture
def disk() -> SimDisk:
    """Of a node that may vote."""
    disk = SimDisk()
    storage = opened(disk)
    storage.writer.carry_out(deque([(1, StoreAdmission(Admission()))]))
    storage.close()
    return disk


# Votes


def test_a_vote_is_read_back(disk: SimDisk) -> None:
    assert DiskWorld(disk).asked_for_a_vote("n2", 4) == ["n2"]
    for _ in range(2):
        disk.revive()
        boot = opened(disk).boot
        assert (boot.term, boot.voted_for) == (4, "n2")


def test_a_restarted_node_gives_its_vote_to_nobody_else(disk: SimDisk) -> None:
    assert DiskWorld(disk).asked_for_a_vote("n2", 4) == ["n2"]
    for _ in range(2):
        assert DiskWorld(disk).asked_for_a_vote("n3", 4) == []
        assert DiskWorld(disk).asked_for_a_vote("n2", 3) == []
    assert DiskWorld(disk).asked_for_a_vote("n3", 5) == ["n3"]


def test_a_restarted_candidate_gives_its_vote_to_nobody_else(disk: SimDisk) -> None:
    world = DiskWorld(disk)
    world.tick(5.0)
    world.deliver("n3", "pre_vote_reply", 0, wanted=1, granted=True)
    world.sync()
    assert world.replica.engine.role is Role.CANDIDATE
    world = DiskWorld(disk)
    assert (world.storage.boot.term, world.storage.boot.voted_for) == (1, "n1")
    assert world.asked_for_a_vote("n2", 1) == []


# Members


def acknowledged(world: ReplicaWorld, *peers: str) -> None:
    world.replica.flush()
    world.sync()
    for peer in peers:
        number = world.replica.account.current().flow(peer).last_sent
        last = world.replica.journal.last_index
        answer = {"append": number, "next": last + 1, "success": True, "reset": False, "read": 0}
        world.deliver(peer, "ack", 1, **answer)


def with_a_snapshot(disk: SimDisk) -> tuple[DiskWorld, SnapshotMeta]:
    """n1 leads, has taken n4 in, and has taken a snapshot after that."""
    world = DiskWorld(disk)
    world.lead()
    acknowledged(world, "n2")
    world.replica.change_members(AddLearner(N4))
    acknowledged(world, "n2")
    world.replica.propose(b"x")
    acknowledged(world, "n2")
    assert world.replica.engine.applied_index == world.replica.journal.last_index == 4
    world.replica.snapshots.take()
    while world.replica.step_background():
        pass
    meta = world.storage.snapshots.latest()
    assert meta is not None
    assert meta.index == 4
    return world, meta


def test_a_snapshot_holds_the_members_as_of_then(disk: SimDisk) -> None:
    _, meta = with_a_snapshot(disk)
    assert decode_members(meta.members) == WITH_N4


def test_a_node_that_starts_from_a_snapshot_knows_its_members(disk: SimDisk) -> None:
    """Their change is not in the log any more."""
    _, meta = with_a_snapshot(disk)
    disk.revive()
    boot = opened(disk).boot
    assert boot.snapshot == meta
    shortened = replace(boot, entries=[(BASE_COMMAND, meta.index, meta.term)])
    world = DiskWorld(disk, shortened)
    assert world.replica.electorate.membership.members == WITH_N4
    assert set(world.replica.known_peers.addresses) >= {"n2", "n3", "n4"}


def test_the_next_snapshot_still_holds_them(disk: SimDisk) -> None:
    _, meta = with_a_snapshot(disk)
    disk.revive()
    boot = opened(disk).boot
    base = (BASE_COMMAND, meta.index, meta.term)
    world = DiskWorld(disk, replace(boot, entries=[base]))
    world.append("n2", 2, [2, b"\x00y"], prev=4, prev_term=meta.term, commit=5)
    world.sync()
    world.tick()
    assert world.replica.engine.applied_index == 5
    world.replica.snapshots.take()
    while world.replica.step_background():
        pass
    latest = world.storage.snapshots.latest()
    assert latest is not None
    assert latest.index == 5
    assert decode_members(latest.members) == WITH_N4


def test_a_node_that_is_sent_a_snapshot_learns_its_members(disk: SimDisk) -> None:
    world, meta = with_a_snapshot(disk)
    store = world.storage.snapshots
    size = store.size(meta)
    other = SimDisk()
    storage = opened(other)
    storage.writer.carry_out(deque([(1, StoreAdmission(Admission()))]))
    follower = DiskWorld(other)
    follower.append("n2", 1)
    for offset, length in ((0, 0), (0, 100), (100, size - 100)):
        fields = describe(meta, size, offset, store.read_at(meta, offset, length))
        follower.deliver("n2", "snapshot", 1, **fields)
    assert follower.replica.electorate.membership.members == WITH_N4
    answers: list[Message] = [message for _, message in follower.take("snapshot_ack")]
    assert answers[-1]["done"]
    follower.sync()
    received = SnapshotStore(other, "/node/snapshots").latest()
    assert received == meta
    other.revive()
    boot = opened(other).boot
    assert DiskWorld(other, boot).replica.electorate.membership.members == WITH_N4
