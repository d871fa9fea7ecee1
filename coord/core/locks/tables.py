"""The tables of locks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coord.core.base.limits import Limits
from coord.core.base.table import Table
from coord.core.locks.records import (
    Lock,
    Waiter,
    decode_lock,
    decode_waiter,
    encode_lock,
    encode_waiter,
)
from coord.core.sessions.tables import SessionTables


class LockTables:
    """Locks that are held, and who waits for them."""

    __slots__ = ("locks", "sessions", "waiters", "waiting")

    def __init__(self, sessions: SessionTables) -> None:
        self.sessions = sessions
        self.locks: Table[str, Lock] = Table("locks", encode_lock, decode_lock, place=50)
        # Sorted by (lock, ticket): the queue of a lock is an interval of keys.
        self.waiters: Table[tuple[str, int], Waiter] = Table(
            "waiters", encode_waiter, decode_waiter, place=60
        )
        # ---- derived
        self.waiting: dict[tuple[str, int, str], int] = {}  # (lock, session, holder) -> ticket

    def tables(self) -> list[Table[Any, Any]]:
        """Those with rows."""
        return [self.locks, self.waiters]


def make_tables(limits: Limits, parts: Mapping[str, Any]) -> LockTables:
    """Locks are held by sessions."""
    return LockTables(parts["sessions"])
