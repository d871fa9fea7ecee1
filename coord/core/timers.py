"""Deadlines of everything that ends or begins by itself.

Theory of operation. A heap of (deadline, key) with lazy deletion: arming a timer for later, which
is what every heartbeat does, only notes the new deadline; the entry in the heap is moved when it
comes up. So renewing a lease costs no heap operation, and the heap holds one live entry per key.
What is due comes out by (deadline, key), whatever happened in the heap before: the same on every
node, also on one that was restored from a snapshot.
"""

from __future__ import annotations

from enum import IntEnum
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final


class TimerKind(IntEnum):
    """What ends. Also the order among timers due at the same millisecond."""

    SESSION = 1  # ident: session id
    LOCK = 2  # ident: lock name
    LOCK_WAIT = 3  # ident: (lock name, ticket)
    TASK = 4  # ident: serial


# Within one kind, idents are of one type, so keys always compare.
Ident = int | str | tuple[str, int]
TimerKey = tuple[TimerKind, Ident]

_SLACK: Final = 1_024


class Timers:
    """At most one deadline per key, in integer milliseconds of one clock."""

    __slots__ = ("_deadlines", "_heap", "_queued")

    def __init__(self) -> None:
        self._heap: list[tuple[int, TimerKey]] = []
        self._deadlines: dict[TimerKey, int] = {}
        # Deadline of the entry in the heap that stands for the key; never later than the key's.
        self._queued: dict[TimerKey, int] = {}

    def __len__(self) -> int:
        return len(self._deadlines)

    def arm(self, kind: TimerKind, ident: Ident, deadline_ms: int) -> None:
        """Sets or moves the deadline of a key."""
        key = (kind, ident)
        self._deadlines[key] = deadline_ms
        queued = self._queued.get(key)
        if queued is None or deadline_ms < queued:
            self._push(deadline_ms, key)

    def disarm(self, kind: TimerKind, ident: Ident) -> None:
        """Forgets the deadline of a key, if it has one."""
        if self._deadlines.pop((kind, ident), None) is not None:
            self._drop_dead()

    def deadline_of(self, kind: TimerKind, ident: Ident) -> int | None:
        return self._deadlines.get((kind, ident))

    def next_deadline_ms(self, until_ms: int) -> int | None:
        """The earliest deadline, if it is not after `until_ms`. Otherwise a time after `until_ms`,
        and not after that deadline, at which to ask again. None if no key has a deadline."""
        if not self._deadlines:
            return None
        self._settle(until_ms)
        return self._heap[0][0]

    def pop_due(self, now_ms: int) -> TimerKey | None:
        """Takes out the first key whose deadline is not after `now_ms`."""
        self._settle(now_ms)
        if not self._heap or self._heap[0][0] > now_ms:
            return None
        _, key = heappop(self._heap)
        del self._queued[key], self._deadlines[key]
        return key

    def _settle(self, until_ms: int) -> None:
        """Brings an entry that says the truth, or one of after `until_ms`, to the top.

        Entries of later are left alone: after a busy time nothing on top may be true for seconds to
        come, and to move all that at once would take long."""
        heap, queued, deadlines = self._heap, self._queued, self._deadlines
        while heap and heap[0][0] <= until_ms:
            entry_ms, key = heap[0]
            deadline = deadlines.get(key)
            if queued.get(key) != entry_ms:
                heappop(heap)
            elif deadline is None:
                heappop(heap)
                del queued[key]
            elif deadline == entry_ms:
                return
            else:
                queued[key] = deadline
                heapreplace(heap, (deadline, key))

    def _push(self, deadline_ms: int, key: TimerKey) -> None:
        self._queued[key] = deadline_ms
        heappush(self._heap, (deadline_ms, key))
        if len(self._heap) > 2 * len(self._queued) + _SLACK:
            self._rebuild()

    def _drop_dead(self) -> None:
        """Without it, entries of keys that were disarmed would wait for their time, and all of them
        be thrown away at once when somebody looks: seconds, after a busy half minute."""
        alive = len(self._deadlines)
        if len(self._queued) > 2 * alive + _SLACK:
            armed = self._deadlines
            self._queued = {key: ms for key, ms in self._queued.items() if key in armed}
            self._rebuild()

    def _rebuild(self) -> None:
        self._heap = [(queued, key) for key, queued in self._queued.items()]
        heapify(self._heap)
