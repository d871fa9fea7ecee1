"""Deadlines of everything that ends or begins by itself.

Theory of operation. A key is filed under a time, in a slot of 64 ms; arming it for later, which is
what every heartbeat does, only notes the new deadline, and it is filed anew when that time comes.
So renewing a lease moves nothing. (What is armed for much later, as a task when it ends, is moved
at once: that is cheaper than to open its slot and find that it is not due.) A slot is opened when
its time has come: only then its keys go into a heap. What is disarmed leaves its slot at once. So
nothing here ever takes longer than the slots that time has passed, however many keys there are and
were: under load a node has millions. What is due comes out by (deadline, key), whatever happened
before: the same on every node, also on one that was restored from a snapshot.
"""

from __future__ import annotations

from enum import IntEnum
from heapq import heapify, heappop, heappush
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

_SLOT_BITS: Final = 6
_SLACK: Final = 1_024
_FAR_MS: Final = 60_000  # what is armed for so much later is filed anew at once


class Timers:
    """At most one deadline per key, in integer milliseconds of one clock."""

    __slots__ = ("_deadlines", "_filed", "_near", "_near_count", "_opened", "_order", "_slots")

    def __init__(self) -> None:
        self._deadlines: dict[TimerKey, int] = {}
        # The time under which a key is filed; never later than its deadline.
        self._filed: dict[TimerKey, int] = {}
        self._slots: dict[int, dict[TimerKey, None]] = {}  # none is empty
        self._order: list[int] = []  # heap of their numbers, and of some that are gone
        self._opened = -1  # the last slot that was opened; what is filed there, or before, is near
        self._near: list[tuple[int, TimerKey]] = []  # heap; entries filed otherwise by now are dead
        self._near_count = 0  # those that are not

    def __len__(self) -> int:
        return len(self._deadlines)

    def arm(self, kind: TimerKind, ident: Ident, deadline_ms: int) -> None:
        """Sets or moves the deadline of a key."""
        key = (kind, ident)
        self._deadlines[key] = deadline_ms
        filed = self._filed.get(key)
        if filed is None or deadline_ms < filed or deadline_ms - filed > _FAR_MS:
            if filed is not None:
                self._take_out(key, filed)
            self._file(key, deadline_ms)

    def disarm(self, kind: TimerKind, ident: Ident) -> None:
        """Forgets the deadline of a key, if it has one."""
        key = (kind, ident)
        if self._deadlines.pop(key, None) is not None:
            self._take_out(key, self._filed.pop(key))

    def deadline_of(self, kind: TimerKind, ident: Ident) -> int | None:
        return self._deadlines.get((kind, ident))

    def next_deadline_ms(self, until_ms: int) -> int | None:
        """The earliest deadline, if it is not after `until_ms`. Otherwise a time after `until_ms`,
        and not after that deadline, at which to ask again. None if no key has a deadline."""
        if not self._deadlines:
            return None
        self._settle(until_ms)
        if self._near:
            return self._near[0][0]
        while self._order[0] not in self._slots:
            heappop(self._order)
        return self._order[0] << _SLOT_BITS

    def pop_due(self, now_ms: int) -> TimerKey | None:
        """Takes out the first key whose deadline is not after `now_ms`."""
        self._settle(now_ms)
        if not self._near or self._near[0][0] > now_ms:
            return None
        _, key = heappop(self._near)
        self._near_count -= 1
        del self._filed[key], self._deadlines[key]
        return key

    def _settle(self, until_ms: int) -> None:
        """Opens what can be due by then; after that, what is nearest is a deadline, or later."""
        self._open(until_ms >> _SLOT_BITS)
        near, filed, deadlines = self._near, self._filed, self._deadlines
        while near and near[0][0] <= until_ms:
            at_ms, key = near[0]
            if filed.get(key) != at_ms:
                heappop(near)
                continue
            deadline_ms = deadlines[key]
            if deadline_ms == at_ms:
                return
            heappop(near)
            self._near_count -= 1
            self._file(key, deadline_ms)

    def _open(self, last: int) -> None:
        """The slots up to this one."""
        order, near = self._order, self._near
        self._opened = max(self._opened, last)
        while order and order[0] <= last:
            keys = self._slots.pop(heappop(order), None)
            if keys is not None:
                self._near_count += len(keys)
                for key in keys:
                    heappush(near, (self._filed[key], key))

    def _file(self, key: TimerKey, at_ms: int) -> None:
        self._filed[key] = at_ms
        number = at_ms >> _SLOT_BITS
        if number <= self._opened:
            heappush(self._near, (at_ms, key))
            self._near_count += 1
            return
        keys = self._slots.get(number)
        if keys is None:
            self._slots[number] = {key: None}
            heappush(self._order, number)
        else:
            keys[key] = None

    def _take_out(self, key: TimerKey, filed_ms: int) -> None:
        """Of the place where it is filed. Places that have become useless are not let pile up."""
        number = filed_ms >> _SLOT_BITS
        if number <= self._opened:
            self._near_count -= 1
            if len(self._near) > 2 * self._near_count + _SLACK:
                self._drop_dead()
            return
        keys = self._slots[number]
        del keys[key]
        if not keys:
            del self._slots[number]
            if len(self._order) > 2 * len(self._slots) + _SLACK:
                self._order[:] = self._slots
                heapify(self._order)

    def _drop_dead(self) -> None:
        filed = self._filed
        alive = dict.fromkeys(entry for entry in self._near if filed.get(entry[1]) == entry[0])
        self._near[:] = alive
        heapify(self._near)
