"""Everything the cluster agrees on, as readers see it.

The tables are the replicated state: snapshots carry them and digests compare them. All the rest is
derived from them (`coord.core.snapshot` rebuilds it) or lives only while a batch is applied. What
changes it is given the `Context` and the tables of its own domain; everybody else reads here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from coord.core.base.context import Context
from coord.core.base.limits import Limits
from coord.core.base.request import Event
from coord.core.base.table import Table
from coord.core.kv.store import KvStore
from coord.core.locks.records import Lock, Waiter
from coord.core.locks.tables import LockTables
from coord.core.sessions.records import KeptReply, Session
from coord.core.sessions.tables import SessionTables
from coord.core.tasks.records import Queue, Redrive, Task, Tombstone
from coord.core.tasks.tables import TaskTables


class State:
    """The whole state. `parts`: the tables of each domain, by its name; those of the product stand
    also under names of their own. Only the core changes it.

    `coord.core.checks` lists what holds between batches."""

    __slots__ = (
        "ctx",
        "finished",
        "kv",
        "lock_tables",
        "locks",
        "parts",
        "queues",
        "redrives",
        "replies",
        "session_by_nonce",
        "session_tables",
        "sessions",
        "settings",
        "task_tables",
        "tasks",
        "tombstones",
        "waiters",
        "waiting",
    )

    def __init__(self, ctx: Context, parts: Mapping[str, Any]) -> None:
        self.ctx = ctx
        self.parts = parts
        self.session_tables: SessionTables = parts["sessions"]
        self.task_tables: TaskTables = parts["tasks"]
        self.lock_tables: LockTables = parts["locks"]
        self.kv: KvStore = parts["kv"]
        self.settings: Table[str, int] = parts["cluster"]
        self.sessions: Table[int, Session] = self.session_tables.sessions
        self.replies: Table[tuple[int, int], KeptReply] = self.session_tables.replies
        self.session_by_nonce: dict[bytes, int] = self.session_tables.session_by_nonce
        self.queues: Table[str, Queue] = self.task_tables.queues
        self.tasks: Table[int, Task] = self.task_tables.tasks
        self.redrives: Table[str, Redrive] = self.task_tables.redrives
        self.tombstones: Table[int, Tombstone] = self.task_tables.tombstones
        self.finished: OrderedDict[int, None] = self.task_tables.finished
        self.locks: Table[str, Lock] = self.lock_tables.locks
        self.waiters: Table[tuple[str, int], Waiter] = self.lock_tables.waiters
        self.waiting: dict[tuple[str, int, str], int] = self.lock_tables.waiting

    @property
    def limits(self) -> Limits:
        return self.ctx.limits

    @property
    def level(self) -> int:
        """Which rules hold: `coord.core.base.levels`."""
        return self.ctx.level

    @property
    def revision(self) -> int:
        return self.ctx.revision

    @property
    def now_ms(self) -> int:
        """Cluster time as of the last batch."""
        return self.ctx.now_ms

    @property
    def wall_ms(self) -> int:
        """Unix time as of the last batch."""
        return self.ctx.wall_ms

    @property
    def events(self) -> list[Event]:
        """What happened in the last batch."""
        return self.ctx.events

    @property
    def reply_bytes(self) -> int:
        """Bytes of all kept replies."""
        return self.session_tables.reply_bytes

    def tables(self) -> list[Table[Any, Any]]:
        """All tables, in the order of snapshots and digests."""
        found = [table for part in self.parts.values() for table in part.tables()]
        return sorted(found, key=_place_of)


def _place_of(table: Table[Any, Any]) -> int:
    return table.place
