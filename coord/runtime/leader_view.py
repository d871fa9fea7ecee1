"""What this node knows of who leads, kept at hand so that no call has to ask replication for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from coord.replication.port import Member, ReplicaStatus, Replicator, Role
from coord.runtime.sliced_calls import SlicedCalls


class LeaderView:
    """Follows role changes of a `Replicator`; callbacks run after the fields are new."""

    def __init__(self, replicator: Replicator) -> None:
        self._replicator = replicator
        self._waiting: dict[asyncio.Future[None], None] = {}
        # Very many calls may wait for a leader: they go on some at a time.
        self._waking: SlicedCalls[asyncio.Future[None]] = SlicedCalls(
            asyncio.get_running_loop().call_soon, _wake
        )
        self._callbacks: list[Callable[[LeaderView], None]] = []
        self.is_leader = False
        self.leader_id: str | None = None
        self.term = 0
        self.members: dict[str, Member] = {}
        replicator.on_role_change(self._update)

    def refresh(self) -> None:
        """Look at the replicator now (role changes are followed by themselves)."""
        self._update(self._replicator.status())

    def on_change(self, callback: Callable[[LeaderView], None]) -> None:
        """Call back after each change of role, term or known leader."""
        self._callbacks.append(callback)

    def leader_address(self) -> str:
        """The leader's address for clients; empty if there is none."""
        member = self.members.get(self.leader_id or "")
        return member.client_address if member else ""

    async def wait_for_change(self, timeout_s: float) -> None:
        """Return after the next change, at the latest after this time."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        self._waiting[waiting] = None
        timer = loop.call_later(timeout_s, self._waking.add, waiting)
        try:
            await waiting
        finally:
            timer.cancel()
            self._waiting.pop(waiting, None)

    def _update(self, status: ReplicaStatus) -> None:
        self.is_leader = status.role is Role.LEADER
        self.leader_id = status.leader_id
        self.term = status.term
        self.members = {member.node_id: member for member in status.members}
        waiting, self._waiting = self._waiting, {}
        for one in waiting:
            self._waking.add(one)
        for callback in self._callbacks:
            callback(self)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
