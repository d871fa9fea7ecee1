"""A replicated log of one node, in memory: for tests of other layers and for throw-away use.

Keeps the contract of the `Replicator` port - entries are applied in order, never inside the call
that proposed them - and promises no durability.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from coord.replication.port import (
    BusyError,
    Member,
    MembershipChange,
    MembershipRefusal,
    MembershipRefusedError,
    NotLeaderError,
    OutcomeUnknownError,
    ReplicaStatus,
    ReplicationError,
    Role,
    StateMachine,
    WriteBlockedError,
)

_MAX_PENDING = 10_000


class LocalReplicator:
    """The leader of a cluster of one. `members` only decorates `status()`."""

    def __init__(
        self,
        node_id: str,
        machine: StateMachine,
        *,
        members: tuple[Member, ...] = (),
        first_index: int = 1,
        highest_level: int = 0,
    ) -> None:
        self._node_id = node_id
        self._machine = machine
        self._highest_level = highest_level
        self._members = members or (Member(node_id, "", ""),)
        self._index = first_index
        self._term = 1
        self._role = Role.FOLLOWER
        self._stopped = False
        self._block_reason: str | None = None
        self._pending: deque[tuple[bytes, asyncio.Future[object]]] = deque()
        self._flush_scheduled = False
        self._applied_waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._role_callbacks: list[Callable[[ReplicaStatus], None]] = []
        self._fatal_callbacks: list[Callable[[BaseException], None]] = []

    async def start(self) -> None:
        """Become leader."""
        self.set_role(Role.LEADER)

    async def stop(self) -> None:
        """Pending proposals end with OutcomeUnknownError. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        self._role = Role.FOLLOWER
        self._fail_pending(OutcomeUnknownError("stopped"))
        for _, waiter in self._applied_waiters:
            waiter.cancel()
        self._applied_waiters.clear()

    def set_role(self, role: Role) -> None:
        """Play another role, so that tests can see how callers take the loss of leadership."""
        if role is Role.LEADER and self._role is not Role.LEADER:
            self._term += 1
        self._role = role
        if role is not Role.LEADER:
            self._fail_pending(OutcomeUnknownError("leadership lost"))
        status = self.status()
        for callback in self._role_callbacks:
            callback(status)

    def block_writes(self, reason: str | None) -> None:
        """Refuse proposals with this reason (None: take them again)."""
        self._block_reason = reason

    def propose(self, data: bytes) -> asyncio.Future[object]:
        """See `Replicator.propose`."""
        self._require_leader()
        if self._block_reason is not None:
            raise WriteBlockedError(self._block_reason)
        if len(self._pending) >= _MAX_PENDING:
            raise BusyError(retry_after_ms=50)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        self._pending.append((data, future))
        if not self._flush_scheduled:
            self._flush_scheduled = True
            loop.call_soon(self._flush)
        return future

    async def read_barrier(self) -> int:
        """See `Replicator.read_barrier`."""
        self._require_leader()
        await asyncio.sleep(0)
        self._require_leader()
        return self._index

    async def wait_applied(self, index: int) -> None:
        """See `Replicator.wait_applied`."""
        if self._index >= index:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._applied_waiters.append((index, waiter))
        await waiter

    def age_ms(self) -> int | None:
        """See `Replicator.age_ms`: the leader of one node knows everything."""
        return 0 if self._role is Role.LEADER and not self._stopped else None

    async def transfer_leadership(self, target: str | None = None) -> str:
        """There is nobody to hand over to: raises ReplicationError."""
        self._require_leader()
        raise ReplicationError(f"no node can take over from {self._node_id} (asked: {target})")

    async def change_members(self, change: MembershipChange) -> tuple[Member, ...]:
        """It stays alone: raises MembershipRefusedError."""
        self._require_leader()
        raise MembershipRefusedError(
            MembershipRefusal.TOO_MANY_MEMBERS,
            "a node that keeps its data in memory stays alone; give it a data_dir",
        )

    @property
    def write_block_reason(self) -> str | None:
        """See `Replicator.write_block_reason`."""
        return self._block_reason

    @property
    def member_levels(self) -> dict[str, int | None]:
        """See `Replicator.member_levels`: what is in memory only is of one build."""
        others = {member.node_id: None for member in self._members}
        return {**others, self._node_id: self._highest_level}

    def require_level(self, level: int) -> None:
        """See `Replicator.require_level`: there is nobody to refuse."""

    @property
    def growth_block_reason(self) -> str | None:
        """See `Replicator.growth_block_reason`: there is no log."""
        return None

    def status(self) -> ReplicaStatus:
        """See `Replicator.status`."""
        return ReplicaStatus(
            node_id=self._node_id,
            role=self._role,
            term=self._term,
            leader_id=self._node_id if self._role is Role.LEADER else None,
            commit_index=self._index,
            applied_index=self._index,
            last_log_index=self._index,
            synced_index=self._index,
            first_log_index=self._index,
            snapshot_index=0,
            write_block_reason=self._block_reason,
            members=self._members,
        )

    def on_role_change(self, callback: Callable[[ReplicaStatus], None]) -> None:
        """See `Replicator.on_role_change`."""
        self._role_callbacks.append(callback)

    def on_fatal(self, callback: Callable[[BaseException], None]) -> None:
        """See `Replicator.on_fatal`."""
        self._fatal_callbacks.append(callback)

    def _require_leader(self) -> None:
        if self._stopped or self._role is not Role.LEADER:
            raise NotLeaderError(None)

    def _flush(self) -> None:
        self._flush_scheduled = False
        while self._pending:
            data, future = self._pending.popleft()
            index = self._index + 1
            try:
                result = self._machine.apply(index, self._term, data)
            except Exception as error:  # the entry must not be skipped: the node is over
                self._die(error, future)
                return
            self._index = index
            if not future.done():
                future.set_result(result)
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        still_waiting = []
        for index, waiter in self._applied_waiters:
            if index > self._index:
                still_waiting.append((index, waiter))
            elif not waiter.done():
                waiter.set_result(None)
        self._applied_waiters = still_waiting

    def _die(self, error: Exception, future: asyncio.Future[object]) -> None:
        self._stopped = True
        if not future.done():
            future.set_exception(OutcomeUnknownError("the node stopped itself"))
        self._fail_pending(OutcomeUnknownError("the node stopped itself"))
        for callback in self._fatal_callbacks:
            callback(error)

    def _fail_pending(self, error: ReplicationError) -> None:
        while self._pending:
            _, future = self._pending.popleft()
            if not future.done():
                future.set_exception(error)
