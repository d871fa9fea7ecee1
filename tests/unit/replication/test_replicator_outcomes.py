"""What a replicator says of an entry that it has proposed, when it cannot know what became of it:
that the outcome is unknown, never that it did not happen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event

import pytest

from coord.journal import OsFileSystem
from coord.journal.filesystem import AppendFile
from coord.replication.port import OutcomeUnknownError, ReplicationError, Role
from coord.replication.replica_ports import ReplicaPorts
from coord.replication.replicator import PySyncObjReplicator
from tests.support.replication import RealCluster


class SlowDisk(OsFileSystem):
    """Syncs wait while it is `stuck`."""

    def __init__(self) -> None:
        self.moves = Event()
        self.moves.set()

    def open_append(self, path: str, *, create: bool = False) -> AppendFile:
        return _SlowFile(self, super().open_append(path, create=create))


class _SlowFile:
    def __init__(self, disk: SlowDisk, inner: AppendFile) -> None:
        self._disk = disk
        self.write = inner.write
        self.overwrite = inner.overwrite
        self.reserve = inner.reserve
        self.truncate = inner.truncate
        self.close = inner.close
        self._fdatasync = inner.fdatasync

    def fdatasync(self) -> None:
        self._disk.moves.wait(60)
        self._fdatasync()


@asynccontextmanager
async def stuck_leader(tmp_path: Path) -> AsyncIterator[PySyncObjReplicator]:
    """The leader of a cluster of one, whose disk hangs: what it proposes stays pending."""
    disk = SlowDisk()
    async with RealCluster(tmp_path, count=1, file_systems={"n1": disk}) as cluster:
        leader = await cluster.leader()
        await cluster.propose(b"first")
        disk.moves.clear()
        try:
            yield leader
        finally:
            disk.moves.set()


async def unknown(future: asyncio.Future[object]) -> None:
    with pytest.raises(ReplicationError) as raised:
        await asyncio.wait_for(future, 10)
    assert isinstance(raised.value, OutcomeUnknownError)
    assert not raised.value.definite


def ports_of(node: PySyncObjReplicator) -> ReplicaPorts:
    replica = node._driver.replica
    assert replica is not None
    return replica.context.ports


async def test_leadership_lost_is_an_unknown_outcome(tmp_path: Path) -> None:
    async with stuck_leader(tmp_path) as leader:
        future = leader.propose(b"second")
        replica = leader._driver.replica
        assert replica is not None
        replica.engine.observe_term(replica.engine.term + 1)
        replica.settle()
        assert leader.status().role is not Role.LEADER
        await unknown(future)


async def test_a_node_that_stops_itself_leaves_unknown_outcomes(tmp_path: Path) -> None:
    async with stuck_leader(tmp_path) as leader:
        future = leader.propose(b"second")
        leader.fail(RuntimeError("a bug"))
        await unknown(future)


async def test_a_snapshot_in_place_of_the_log_leaves_unknown_outcomes(tmp_path: Path) -> None:
    async with stuck_leader(tmp_path) as leader:
        future = leader.propose(b"second")
        ports_of(leader).applied_by_snapshot(leader.status().last_log_index)
        await unknown(future)


async def test_the_result_of_another_entry_is_not_taken(tmp_path: Path) -> None:
    """At the same index, of another term: the one that was proposed was cut off, or comes again."""
    async with stuck_leader(tmp_path) as leader:
        future = leader.propose(b"second")
        status = leader.status()
        ports_of(leader).applied(status.last_log_index, status.term + 1, "somebody else's")
        await unknown(future)
