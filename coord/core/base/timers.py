"""Deadlines of everything that ends or begins by itself.

Theory of operation. A key is filed under a time, in a slot of 64 ms; arming it for later, which is
what every heartbeat does, only notes the new deadline, and it is filed anew when that time comes.
So renewing a lease moves nothing. (What is armed for much later, as a task when it ends, is moved
at once: that is cheaper than to open its slot and find that it is not due.)

A look at what is due costs the same however many keys there are and were; under load a node has
millions, and a million of them can share one moment. Three bounds see to that:

- Slots are opened one at a time, when all before them is done: only then their keys are sorted.
- A slot keeps 2,048 keys unsorted. The others are sorted as they come, so a crowded slot opens as
  fast as a full one.
- At most 512 keys are filed under a time that is not their deadline; renewals beyond that are
  moved at once. So thousands of leases of one moment are never all filed anew together.

What is disarmed leaves its place at once. What is due comes out by (deadline, key), whatever
happened before: the same on every node, also on one that was restored from a snapshot.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from coord.core.base.sorted_keys import SortedKeys


class TimerKind(IntEnum):
    """What ends. Also the order among timers due at the same millisecond."""

    SESSION = 1  # ident: session id
    LOCK = 2  # ident: lock name
    LOCK_WAIT = 3  # ident: (lock name, ticket)
    TASK = 4  # ident: serial
    RETENTION = 5  # ident: (queue name, retention_ms)


# Within one kind, idents are of one type, so keys always compare.
Ident = int | str | tuple[str, int]
TimerKey = tuple[int, Ident]  # a TimerKind, or a number of its own
Entry = tuple[int, TimerKey]  # the time under which a key is filed, and the key

_SLOT_BITS: Final = 6
_FAR_MS: Final = 60_000  # what is armed for so much later is filed anew at once
_MAX_UNSORTED: Final = 2_048  # keys of a slot
_MAX_STALE: Final = 512  # keys that are filed under a time before their deadline
_NEVER: Final = 1 << 62


class Timers:
    """At most one deadline per key, in integer milliseconds of one clock."""

    __slots__ = (
        "_crowd",
        "_crowds",
        "_deadlines",
        "_filed",
        "_max_stale",
        "_max_unsorted",
        "_near",
        "_opened",
        "_order",
        "_quiet_until",
        "_slots",
        "_stale",
    )

    def __init__(self, max_unsorted: int = _MAX_UNSORTED, max_stale: int = _MAX_STALE) -> None:
        self._max_unsorted = max_unsorted
        self._max_stale = max_stale
        self._deadlines: dict[TimerKey, int] = {}
        # The time under which a key is filed; never later than its deadline.
        self._filed: dict[TimerKey, int] = {}
        self._stale = 0  # how many of them are not filed under their deadline
        self._slots: dict[int, dict[TimerKey, None]] = {}
        self._crowds: dict[int, SortedKeys[Entry]] = {}  # what a slot did not take; none is empty
        self._order: SortedKeys[int] = SortedKeys()  # the numbers of all slots
        self._opened = -1  # the last slot that was opened; what is filed there, or before, is near
        self._near: SortedKeys[Entry] = SortedKeys()
        self._crowd: SortedKeys[Entry] = SortedKeys()  # the crowd of the slot opened last: near too
        # Nothing is filed under an earlier time. Most looks at what is due end here.
        self._quiet_until = _NEVER

    def __len__(self) -> int:
        return len(self._deadlines)

    def arm(self, kind: TimerKind, ident: Ident, deadline_ms: int) -> None:
        """Sets or moves the deadline of a key."""
        key = (kind, ident)
        filed = self._filed.get(key)
        if filed is None:
            self._deadlines[key] = deadline_ms
            self._file(key, deadline_ms)
            return
        was_stale = self._deadlines[key] != filed
        self._deadlines[key] = deadline_ms
        if deadline_ms == filed:
            self._stale -= was_stale
        elif (
            deadline_ms < filed
            or deadline_ms - filed > _FAR_MS
            or (self._stale >= self._max_stale and not was_stale)
        ):
            self._stale -= was_stale
            self._take_out(key, filed)
            self._file(key, deadline_ms)
        elif not was_stale:
            self._stale += 1

    def disarm(self, kind: TimerKind, ident: Ident) -> None:
        """Forgets the deadline of a key, if it has one."""
        key = (kind, ident)
        deadline_ms = self._deadlines.pop(key, None)
        if deadline_ms is not None:
            filed = self._filed.pop(key)
            if deadline_ms != filed:
                self._stale -= 1
            self._take_out(key, filed)

    def deadline_of(self, kind: TimerKind, ident: Ident) -> int | None:
        return self._deadlines.get((kind, ident))

    def next_deadline_ms(self, until_ms: int) -> int | None:
        """The earliest deadline, if it is not after `until_ms`. Otherwise a time after `until_ms`,
        and not after that deadline, at which to ask again. None if no key has a deadline."""
        if not self._deadlines:
            return None
        due = self._first_due(until_ms)
        return due[0] if due is not None else self._quiet_until

    def pop_due(self, now_ms: int) -> TimerKey | None:
        """Takes out the first key whose deadline is not after `now_ms`."""
        if not self._deadlines:
            return None
        due = self._first_due(now_ms)
        if due is None:
            return None
        key = due[1]
        self._pop_nearest()
        del self._filed[key], self._deadlines[key]
        return key

    def _first_due(self, until_ms: int) -> Entry | None:
        """The first by (deadline, key), if it is due by then. What is filed before it, and is not
        due yet, is filed anew."""
        if until_ms < self._quiet_until:
            return None
        last = until_ms >> _SLOT_BITS
        while True:
            nearest = self._nearest()
            if nearest is None:
                if not len(self._order):
                    self._quiet_until = _NEVER
                    return None
                first = self._order.first()
                if first > last:
                    self._quiet_until = first << _SLOT_BITS
                    return None
                self._open_first()
                continue
            at_ms, key = nearest
            if at_ms > until_ms:
                self._quiet_until = at_ms
                return None
            deadline_ms = self._deadlines[key]
            if deadline_ms == at_ms:
                return nearest
            self._pop_nearest()
            self._stale -= 1
            self._file(key, deadline_ms)

    def _nearest(self) -> Entry | None:
        """The first of what is filed in opened slots."""
        if not len(self._crowd):
            return self._near.first() if len(self._near) else None
        first = self._crowd.first()
        return min(first, self._near.first()) if len(self._near) else first

    def _pop_nearest(self) -> None:
        near, crowd = self._near, self._crowd
        if not len(crowd) or (len(near) and near.first() < crowd.first()):
            near.pop_first()
        else:
            crowd.pop_first()

    def _open_first(self) -> None:
        """The first slot there is. Nothing before it is left."""
        number = self._order.pop_first()
        self._opened = number
        filed = self._filed
        self._near.update([(filed[key], key) for key in self._slots.pop(number)])
        crowd = self._crowds.pop(number, None)
        if crowd is not None:
            self._crowd = crowd

    def _file(self, key: TimerKey, at_ms: int) -> None:
        self._filed[key] = at_ms
        self._quiet_until = min(self._quiet_until, at_ms)
        number = at_ms >> _SLOT_BITS
        if number <= self._opened:
            self._near.add((at_ms, key))
            return
        keys = self._slots.get(number)
        if keys is None:
            self._slots[number] = {key: None}
            self._order.add(number)
        elif len(keys) < self._max_unsorted:
            keys[key] = None
        else:
            crowd = self._crowds.get(number)
            if crowd is None:
                crowd = self._crowds[number] = SortedKeys()
            crowd.add((at_ms, key))

    def _take_out(self, key: TimerKey, filed_ms: int) -> None:
        """Of the place where it is filed."""
        number = filed_ms >> _SLOT_BITS
        if number <= self._opened:
            self._take_near((filed_ms, key))
            return
        keys = self._slots[number]
        if key in keys:
            del keys[key]
        else:
            crowd = self._crowds[number]
            crowd.remove((filed_ms, key))
            if not len(crowd):
                del self._crowds[number]
        if not keys and number not in self._crowds:
            del self._slots[number]
            self._order.remove(number)

    def _take_near(self, entry: Entry) -> None:
        if len(self._crowd) and entry in self._crowd:
            self._crowd.remove(entry)
        else:
            self._near.remove(entry)
