"""What a real replicator does when its disk misbehaves."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from coord.journal import OsFileSystem, SyncFailedError
from coord.journal.filesystem import AppendFile
from coord.replication.errors import ApplyFailedError
from coord.replication.port import OutcomeUnknownError, ReplicationError, Role, WriteBlockedError
from coord.replication.settings import ReplicaSettings
from tests.support.faults import SmallDisk
from tests.support.replication import RealCluster
from tests.support.waiting import eventually


class FaultyFileSystem(OsFileSystem):
    """The real one, until told otherwise."""

    def __init__(self) -> None:
        self.full = False
        self.broken = False

    def open_append(self, path: str, *, create: bool = False) -> AppendFile:
        if self.full and create:
            raise OSError(errno.ENOSPC, "no space", path)
        return _FaultyFile(self, super().open_append(path, create=create))


class _FaultyFile:
    def __init__(self, fs: FaultyFileSystem, inner: AppendFile) -> None:
        self._fs = fs
        self._inner = inner

    def write(self, data: bytes | memoryview) -> int:
        if self._fs.full:
            raise OSError(errno.ENOSPC, "no space")
        return self._inner.write(data)

    def overwrite(self, offset: int, data: bytes | memoryview) -> int:
        return self._inner.overwrite(offset, data)

    def reserve(self, size: int) -> None:
        if self._fs.full:
            raise OSError(errno.ENOSPC, "no space")
        self._inner.reserve(size)

    def truncate(self, size: int) -> None:
        self._inner.truncate(size)

    def fdatasync(self) -> None:
        if self._fs.broken:
            raise OSError(errno.EIO, "broken")
        self._inner.fdatasync()

    def close(self) -> None:
        self._inner.close()


async def test_a_full_disk_refuses_writes_and_recovers(tmp_path: Path) -> None:
    fs = FaultyFileSystem()
    async with RealCluster(tmp_path, 1, file_systems={"n1": fs}) as cluster:
        leader = await cluster.leader()
        await leader.propose(b"before")
        fs.full = True
        waiting = leader.propose(b"waiting")
        await eventually(lambda: leader.status().write_block_reason == "DISK_FULL")
        with pytest.raises(WriteBlockedError):
            leader.propose(b"refused")
        assert not waiting.done()
        fs.full = False
        await waiting
        await eventually(lambda: leader.status().write_block_reason is None)
        await leader.propose(b"after")
        commands = [data for _, data in cluster.machines["n1"].commands]
        assert commands == [b"before", b"waiting", b"after"]


async def test_a_cluster_goes_on_when_the_leaders_disk_is_full(tmp_path: Path) -> None:
    disks = {node_id: FaultyFileSystem() for node_id in ("n1", "n2", "n3")}
    async with RealCluster(tmp_path, file_systems=dict(disks)) as cluster:
        await cluster.propose(b"before")
        full = cluster.leader_id()
        assert full is not None
        disks[full].full = True
        await cluster.propose(b"during")
        assert cluster.leader_id() != full
        disks[full].full = False
        await cluster.converged()


async def test_reads_of_a_leader_without_room_for_its_first_entry_are_refused(
    tmp_path: Path,
) -> None:
    """They waited until the disk had room again."""
    fs = FaultyFileSystem()
    async with RealCluster(tmp_path, 1, file_systems={"n1": fs}) as cluster:
        await cluster.propose(b"before")
        await cluster.stop("n1")
        fs.full = True
        replicator = await cluster.start("n1")
        await eventually(lambda: replicator.status().role is Role.LEADER)
        with pytest.raises(WriteBlockedError, match="DISK_FULL"):
            await asyncio.wait_for(replicator.read_barrier(), 5.0)
        fs.full = False
        await eventually(lambda: replicator.status().write_block_reason is None)
        await cluster.propose(b"after")
        assert await asyncio.wait_for(replicator.read_barrier(), 5.0) >= 3


async def test_a_failed_sync_stops_the_node_for_good(tmp_path: Path) -> None:
    fs = FaultyFileSystem()
    async with RealCluster(tmp_path, 1, file_systems={"n1": fs}) as cluster:
        leader = await cluster.leader()
        await leader.propose(b"before")
        fs.broken = True
        future = leader.propose(b"lost?")
        with pytest.raises(OutcomeUnknownError):
            await future
        assert isinstance(cluster.failures["n1"], SyncFailedError)
        fs.broken = False
        with pytest.raises(ReplicationError):
            leader.propose(b"no more")


async def test_the_others_take_over_when_a_leader_stops_itself(tmp_path: Path) -> None:
    async with RealCluster(tmp_path) as cluster:
        await cluster.propose(b"before")
        old = cluster.leader_id()
        assert old is not None

        def explode(index: int, term: int, data: bytes) -> object:
            raise ValueError("a bug in the state machine of this node")

        cluster.machines[old].apply = explode  # type: ignore[method-assign]
        with pytest.raises(OutcomeUnknownError):
            await cluster.replicators[old].propose(b"poison here")
        assert isinstance(cluster.failures[old], ApplyFailedError)
        assert cluster.replicators[old].status().role is Role.FOLLOWER
        await cluster.stop(old)
        await cluster.propose(b"after")
        await cluster.converged()


async def test_what_waits_for_a_full_disk_is_bounded_and_made_up_for(tmp_path: Path) -> None:
    """A small file system of its own for one node, and far more entries than may wait."""
    bytes_max = 64 * 1024
    settings = ReplicaSettings(batch_bytes=8_192, max_unsynced_bytes=bytes_max)
    disk = SmallDisk(tmp_path / "n3")
    if why_not := disk.mount(80):
        pytest.skip(f"a small file system cannot be mounted here: {why_not}")
    try:
        async with RealCluster(tmp_path, settings=settings) as cluster:
            await cluster.propose(b"before")
            full = cluster.replicators["n3"]
            if cluster.leader_id() == "n3":
                await full.transfer_leadership(None)
            disk.fill()
            deadline = asyncio.get_running_loop().time() + 20
            while full.status().write_block_reason != "DISK_FULL":  # there is room reserved
                await cluster.propose(b"x" * 8_000)
                assert asyncio.get_running_loop().time() < deadline
            replica = full._driver.replica
            assert replica is not None
            for _ in range(300):
                await cluster.propose(b"x" * 1_000)
                assert replica.journal.unsynced_bytes <= bytes_max + settings.batch_bytes
            await eventually(lambda: replica.journal.unsynced_bytes >= bytes_max)
            assert cluster.leader_id() != "n3"
            assert full.status().write_block_reason == "DISK_FULL"
            disk.make_room()
            await cluster.converged()
            await eventually(lambda: full.status().write_block_reason is None)
    finally:
        disk.unmount()
