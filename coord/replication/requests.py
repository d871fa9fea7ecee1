"""What callers ask of a node's replication: proposals, reads, changes, and their outcomes."""

from __future__ import annotations

import asyncio
from typing import Any

from coord.replication.callers import Callers
from coord.replication.driver import ReplicaDriver
from coord.replication.port import (
    Member,
    MembershipChange,
    NotLeaderError,
    ReplicationError,
    WriteBlock,
    WriteBlockedError,
)


class Requests:
    """See `Replicator` for all of these."""

    def __init__(self, driver: ReplicaDriver, callers: Callers, log: Any) -> None:
        self._driver = driver
        self._callers = callers
        self._log = log

    def propose(self, data: bytes) -> asyncio.Future[object]:
        """See `Replicator.propose`. ValueError for too large an entry."""
        driver = self._driver
        index, term = driver.take(driver.usable().propose, data)
        return self._expect(index, term)

    async def read_barrier(self) -> int:
        """See `Replicator.read_barrier`."""
        driver = self._driver
        replica = driver.usable()
        future: asyncio.Future[int | None] = driver.running_loop().create_future()

        def done(index: int | None) -> None:
            if not future.done():
                future.set_result(index)

        driver.take(replica.read, done)
        driver.schedule_flush()
        index = await future
        if index is None and replica.leading.reads_wait_for_room:
            raise WriteBlockedError(WriteBlock.DISK_FULL)
        if index is None:
            raise NotLeaderError(replica.engine.leader_id)
        await self.wait_applied(index)
        return replica.engine.applied_index

    async def wait_applied(self, index: int) -> None:
        """See `Replicator.wait_applied`. Raises ReplicationError if the node stops meanwhile."""
        if self._driver.usable().engine.applied_index >= index:
            return
        waiter: asyncio.Future[None] = self._driver.running_loop().create_future()
        self._callers.wait_for(index, waiter)
        await waiter

    async def change_members(self, change: MembershipChange) -> tuple[Member, ...]:
        """See `Replicator.change_members`."""
        driver = self._driver
        index, term = driver.take(driver.usable().change_members, change)
        future = self._expect(index, term)
        self._log.info("members_change_begun", change=str(change), index=index)
        members: tuple[Member, ...] = await future
        return members

    async def transfer_leadership(self, target: str | None = None) -> str:
        """See `Replicator.transfer_leadership`."""
        driver = self._driver
        future: asyncio.Future[str | None] = driver.running_loop().create_future()

        def done(leader: str | None) -> None:
            if not future.done():
                future.set_result(leader)

        chosen: str = driver.take(driver.usable().transfer, target, done)
        leader = await future
        if leader is None or leader != chosen:
            what = f"{leader} took it instead" if leader else "it did not take over in time"
            raise ReplicationError(f"leadership was not transferred to {chosen}: {what}")
        return leader

    def _expect(self, index: int, term: int) -> asyncio.Future[Any]:
        """Return the future result of an entry that was just appended."""
        future: asyncio.Future[Any] = self._driver.running_loop().create_future()
        self._callers.expect(index, term, future)
        self._driver.schedule_flush()
        return future
