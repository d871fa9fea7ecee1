"""What a command is carried out in: the rules that hold, revision and time, and what happens."""

from __future__ import annotations

from typing import Final

from coord.core.base.limits import Limits
from coord.core.base.request import Event, EventKind
from coord.core.base.timers import Timers

NEVER: Final = 1 << 60  # a revision that no state reaches


class Context:
    """One for each state. A handler is given it beside the tables of its own domain.

    Invariants: `revision`, `now_ms` and every token only grow."""

    __slots__ = (
        "_announced",
        "compact_after",
        "events",
        "expiries_left",
        "level",
        "limits",
        "now_ms",
        "retention_timers",
        "revision",
        "timers",
        "wall_ms",
        "wall_timers",
    )

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.level = 0  # which rules hold: coord.core.base.levels
        self.compact_after = NEVER  # revision after which completed tasks are kept compactly
        self.revision = 0
        self.now_ms = 0  # cluster time
        self.wall_ms = 0  # Unix time
        self.timers = Timers()  # cluster time
        self.wall_timers = Timers()  # Unix time: not-before of tasks
        self.retention_timers = Timers()  # cluster time: what `Queue.retained` begins with
        # ---- of the batch being applied
        self.events: list[Event] = []
        # What may still end by itself in this batch; 0: something overdue may be left over.
        self.expiries_left = limits.max_expiries_per_batch
        self._announced: set[tuple[EventKind, str]] = set()

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

    def emit_to(
        self, kind: EventKind, subject: str, token: int, session_id: int, holder: str
    ) -> None:
        """Tells one contender of a lock, at the present revision."""
        self.events.append(Event(kind, subject, self.revision, token, session_id, holder))

    def announce(self, kind: EventKind, subject: str) -> None:
        """Emits an event once a batch, however often it is announced."""
        if (kind, subject) not in self._announced:
            self._announced.add((kind, subject))
            self.emit(kind, subject)

    @property
    def behind(self) -> bool:
        """Whether more was due at the last batch than one batch carries out."""
        due = self.next_timer_ms(self.now_ms)
        return due is not None and due <= self.now_ms

    def next_timer_ms(self, until_ms: int) -> int | None:
        """Cluster time of the next timer, if that is not after `until_ms`. Otherwise a time after
        `until_ms` at which to ask again; None if nothing is ever due.

        For a calendar time it is an estimate, good while both clocks run alike."""
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
