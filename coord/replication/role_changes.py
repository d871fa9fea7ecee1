"""Noticing that role, term, leader or members have changed, and telling those who have to act."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from coord.replication.port import Role
from coord.replication.reconfiguration import Reconfiguration
from coord.replication.replica_context import ReplicaContext


class RoleListener(Protocol):
    """What acts on a change."""

    def role_changed(self, leader_id: str | None, *, stopped_leading: bool) -> None:
        """Another role, term, leader or membership. `stopped_leading`: this node led until now, and
        leads no more, or in another term."""
        ...


class RoleChanges:
    """`listeners`: told in this order, before the world is."""

    def __init__(self, context: ReplicaContext, reconfiguration: Reconfiguration) -> None:
        self._context = context
        self._engine = context.engine
        self._admission = context.admission
        self._reconfiguration = reconfiguration
        self._seen: tuple[object, ...] = ()
        self._shown: tuple[Role, int, str | None] = (Role.FOLLOWER, -1, None)
        self.listeners: Sequence[RoleListener] = ()

    def settle(self) -> None:
        """Act on a change of role, term, leader or members."""
        seen = (*self._engine.standing, self._admission.votes)
        if seen == self._seen and self._reconfiguration.is_adopted:
            return  # nearly always
        self._seen = seen
        self._act(self._reconfiguration.adopt())

    def _act(self, other_members: bool) -> None:
        engine, context = self._engine, self._context
        shown = (context.role, engine.term, engine.leader_id)
        if shown == self._shown and not other_members:
            return
        led = self._shown[0] is Role.LEADER
        still_leading = engine.role is Role.LEADER and engine.term == self._shown[1]
        self._shown = shown
        for listener in self.listeners:
            listener.role_changed(engine.leader_id, stopped_leading=led and not still_leading)
        context.ports.changed()
