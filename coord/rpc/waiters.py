"""Calls that wait for something to happen in the state machine, in memory only.

A call watches (event kind, subject) pairs; applying an entry wakes exactly the calls that watch one
of its events, and they look at the state again. A wake-up is a hint, never an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from coord.core.replies import Event, EventKind

Subject = tuple[EventKind, str]


class Watch:
    """One call's interest. `changed` is set when a watched event happened since the last look."""

    __slots__ = ("_changed", "error")

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.error: Exception | None = None

    def notify(self) -> None:
        """Have the waiting call look at the state again."""
        self._changed.set()

    async def wait(self, timeout_s: float) -> bool:
        """Whether something happened within the time; raises what `Waiters.end_all` was given."""
        if not self._changed.is_set() and self.error is None and timeout_s > 0:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
            except TimeoutError:
                return False
        if self.error is not None:
            raise self.error
        happened = self._changed.is_set()
        self._changed.clear()
        return happened


class Waiters:
    """All watches of this node."""

    def __init__(self) -> None:
        self._watches: dict[Subject, set[Watch]] = {}

    def __len__(self) -> int:
        """How many (call, subject) pairs are watched."""
        return sum(len(watches) for watches in self._watches.values())

    @contextmanager
    def watch(self, subjects: Iterable[Subject]) -> Iterator[Watch]:
        """Watch from here to the end of the block, whatever ends it."""
        watch = Watch()
        watched = set(subjects)
        for subject in watched:
            self._watches.setdefault(subject, set()).add(watch)
        try:
            yield watch
        finally:
            for subject in watched:
                watches = self._watches[subject]
                watches.discard(watch)
                if not watches:
                    del self._watches[subject]

    def dispatch(self, events: Iterable[Event]) -> None:
        """Wake whoever watches one of these."""
        if not self._watches:
            return
        for event in events:
            for watch in self._watches.get((event.kind, event.subject), ()):
                watch.notify()

    def wake_all(self) -> None:
        """Have everybody look again: the whole state may have changed."""
        for watch in self._everybody():
            watch.notify()

    def end_all(self, error: Exception) -> None:
        """End every wait with `error`."""
        for watch in self._everybody():
            watch.error = error
            watch.notify()

    def _everybody(self) -> set[Watch]:
        return {watch for watches in self._watches.values() for watch in watches}
