"""Everything the cluster agrees on, and the indexes over it.

The tables are the replicated state: snapshots carry them and digests compare them. All the rest is
derived from them (`coord.core.snapshot` rebuilds it) or lives only while a batch is applied.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from coord.core.base.limits import LIMITS, Limits
from coord.core.base.request import Event, EventKind
from coord.core.base.table import Table
from coord.core.base.timers import Timers
from coord.core.cluster.records import decode_setting, encode_setting
from coord.core.kv.store import KvStore
from coord.core.locks.records import (
    Lock,
    Waiter,
    decode_lock,
    decode_waiter,
    encode_lock,
    encode_waiter,
)
from coord.core.reply_rows import decode_kept_reply, encode_kept_reply
from coord.core.sessions.records import KeptReply, Session, decode_session, encode_session
from coord.core.tasks.records import (
    Queue,
    Redrive,
    Task,
    Tombstone,
    decode_queue,
    decode_redrive,
    decode_task,
    decode_tombstone,
    encode_queue,
    encode_redrive,
    encode_task,
    encode_tombstone,
)

T = TypeVar("T")

_MAX_SHARED: Final = 4_096
_TASK_READY: Final = EventKind.TASK_READY
NEVER: Final = 1 << 60  # a revision that no state reaches


class State:
    """The whole state. Only the modules of the core change it; everybody else reads.

    Invariants: `revision`, `now_ms` and every token only grow; `check_state` lists the rest."""

    __slots__ = (
        "_announced",
        "_shared",
        "added",
        "compact_after",
        "events",
        "expiries_left",
        "finished",
        "kv",
        "level",
        "limits",
        "locks",
        "now_ms",
        "queues",
        "redrives",
        "replies",
        "reply_bytes",
        "retention_timers",
        "revision",
        "session_by_nonce",
        "sessions",
        "sessions_by_name",
        "sessions_size",
        "settings",
        "tasks",
        "tasks_size",
        "timers",
        "tombstones",
        "waiters",
        "waiting",
        "wall_ms",
        "wall_timers",
    )

    def __init__(self, limits: Limits = LIMITS, added: Iterable[Table[Any, Any]] = ()) -> None:
        self.limits = limits
        self.added = {table.name: table for table in added}  # of domains, by name
        self.level = 0  # which rules hold: coord.core.base.levels
        self.revision = 0
        self.now_ms = 0
        self.wall_ms = 0
        self.sessions: Table[int, Session] = Table("sessions", encode_session, decode_session)
        self.replies: Table[tuple[int, int], KeptReply] = Table(
            "replies", encode_kept_reply, decode_kept_reply
        )
        self.queues: Table[str, Queue] = Table("queues", encode_queue, decode_queue)
        self.tasks: Table[int, Task] = Table("tasks", encode_task, decode_task)
        self.locks: Table[str, Lock] = Table("locks", encode_lock, decode_lock)
        # Sorted by (lock, ticket): the queue of a lock is an interval of keys.
        self.waiters: Table[tuple[str, int], Waiter] = Table(
            "waiters", encode_waiter, decode_waiter
        )
        # Redrives that go on in the next entries, by queue.
        self.redrives: Table[str, Redrive] = Table("redrives", encode_redrive, decode_redrive)
        # What is left of completed tasks that were forgotten, by their serials.
        self.tombstones: Table[int, Tombstone] = Table(
            "tombstones", encode_tombstone, decode_tombstone
        )
        # Of the whole cluster: coord.core.cluster.settings.
        self.settings: Table[str, int] = Table("settings", encode_setting, decode_setting)
        self.kv = KvStore(limits)
        # ---- derived
        self.compact_after = NEVER  # revision after which completed tasks are kept compactly
        self.tasks_size = 0  # bytes of all tasks and tombstones: coord.core.account
        self.sessions_by_name: dict[str, int] = {}  # how many; none is 0
        self.sessions_size = 0  # bytes of all sessions without what they hold
        self.retention_timers = Timers()  # cluster time: what `Queue.retained` begins with
        self.reply_bytes = 0  # of all kept replies
        self.session_by_nonce: dict[bytes, int] = {}
        self.waiting: dict[tuple[str, int, str], int] = {}  # (lock, session, holder) -> ticket
        self.finished: OrderedDict[int, None] = OrderedDict()  # serials, oldest end first
        self.timers = Timers()  # cluster time
        self.wall_timers = Timers()  # Unix time: not-before of tasks
        # ---- of the batch being applied
        self.events: list[Event] = []
        # What may still end by itself in this batch; 0: something overdue may be left over.
        self.expiries_left = limits.max_expiries_per_batch
        self._announced: set[str] = set()
        self._shared: dict[Any, Any] = {}

    def tables(self) -> list[Table[Any, Any]]:
        """All tables, in the order of snapshots and digests."""
        own: list[Table[Any, Any]] = [
            self.sessions,
            self.replies,
            self.queues,
            self.tasks,
            self.locks,
            self.waiters,
            self.redrives,
        ]
        return [*own, *self.kv.tables(), self.tombstones, self.settings, *self.added.values()]

    def next_revision(self) -> int:
        """Takes the next revision; the caller's next step is the mutation it numbers."""
        self.revision += 1
        return self.revision

    def start_batch(self, now_ms: int, wall_ms: int) -> None:
        """Moves time. Cluster time never goes back; wall time goes where it is told."""
        self.now_ms = max(self.now_ms, now_ms)
        self.wall_ms = wall_ms
        self.events = []
        self.expiries_left = self.limits.max_expiries_per_batch
        self._announced.clear()

    def emit(self, kind: EventKind, subject: str, token: int = 0) -> None:
        """Tells those who wait, at the present revision."""
        self.events.append(Event(kind, subject, self.revision, token))

    def emit_to(self, kind: EventKind, subject: str, token: int, contender: Lock | Waiter) -> None:
        """Tells one contender of a lock, at the present revision."""
        event = Event(kind, subject, self.revision, token, contender.session_id, contender.holder)
        self.events.append(event)

    def announce_ready(self, queue: Queue) -> None:
        """Emits TASK_READY, once per queue and batch: it says "look again", not how many."""
        if not queue.paused and not queue.deleting and queue.name not in self._announced:
            self._announced.add(queue.name)
            self.emit(_TASK_READY, queue.name)

    def share(self, value: T) -> T:
        """One object for equal values, so that a million tasks of one kind hold one text."""
        shared = self._shared
        found = shared.get(value)
        if found is None:
            if len(shared) >= _MAX_SHARED:
                shared.clear()
            found = shared[value] = value
        kept: T = found
        return kept

    @property
    def behind(self) -> bool:
        """Whether more was due at the last batch than one batch carries out."""
        due = self._next_timer_ms(self.now_ms)
        return due is not None and due <= self.now_ms

    @property
    def has_chores(self) -> bool:
        """Whether something that was begun is left for the next entries (`coord.core.chores`)."""
        return self.kv.untidy or len(self.redrives) > 0

    def next_deadline_ms(self, until_ms: int) -> int | None:
        """Cluster time of the next thing that is due by itself, if that is not after `until_ms`.
        Otherwise a time after `until_ms` at which to ask again; None if nothing is ever due.

        For a calendar time it is an estimate, good while both clocks run alike."""
        return self.now_ms if self.has_chores else self._next_timer_ms(until_ms)

    def _next_timer_ms(self, until_ms: int) -> int | None:
        deadline_ms = self.timers.next_deadline_ms(until_ms)
        retained_ms = self.retention_timers.next_deadline_ms(until_ms)
        if retained_ms is not None:
            deadline_ms = retained_ms if deadline_ms is None else min(retained_ms, deadline_ms)
        ahead_ms = self.wall_ms - self.now_ms
        wall_ms = self.wall_timers.next_deadline_ms(until_ms + ahead_ms)
        if wall_ms is None:
            return deadline_ms
        wall_ms -= ahead_ms
        return wall_ms if deadline_ms is None else min(wall_ms, deadline_ms)
