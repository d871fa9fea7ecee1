"""Calls that wait for something to happen in the state machine, in memory only.

A call watches subjects; applying an entry wakes exactly the calls that watch one of its events, and
they look at the state again. A wake-up is a hint, never an answer. Many calls are woken in slices,
so that ten thousand that wait for one thing do not keep the event loop from everything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from coord.core.base.request import Event, EventKind
from coord.replication.port import NotLeaderError
from coord.runtime.parts import Leadership, Part
from coord.runtime.sliced_calls import SlicedCalls

Subject = tuple[EventKind, str, int, str]
"""Kind and subject of an event; session and holder, if it is about one contender of a lock."""


def subject(kind: EventKind, name: str, session_id: int = 0, holder: str = "") -> Subject:
    """What to watch for events of this kind."""
    return (kind, name, session_id, holder)


class Watch:
    """One call's interest. `names`: subjects of what had happened when `wait` returned last;
    `everything`: the whole state may have changed by then."""

    __slots__ = (
        "_all_changed",
        "_happened",
        "_waiting",
        "_watches",
        "error",
        "everything",
        "names",
    )

    def __init__(self, watches: Watches) -> None:
        self._watches = watches
        self._waiting: asyncio.Future[None] | None = None
        self._happened: dict[str, None] = {}
        self._all_changed = False
        self.names: tuple[str, ...] = ()
        self.everything = False
        self.error: Exception | None = None

    def happened(self, name: str) -> None:
        """Have the waiting call look at this again."""
        self._happened[name] = None
        self._watches.wake(self)

    def all_changed(self) -> None:
        """Have the waiting call look at all that it waits for."""
        self._all_changed = True
        self._watches.wake(self)

    async def wait(self, timeout_s: float) -> bool:
        """Whether something happened within the time; raises what `Watches.end_waits` was given."""
        if not self._has_news and timeout_s > 0:
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            timer = loop.call_later(timeout_s, self._watches.wake, self)
            try:
                await self._waiting
            finally:
                timer.cancel()
                self._waiting = None
        if self.error is not None:
            raise self.error.with_traceback(None)
        happened = self._has_news
        self.names, self.everything = tuple(self._happened), self._all_changed
        self._happened.clear()
        self._all_changed = False
        return happened

    @property
    def _has_news(self) -> bool:
        return bool(self._happened) or self._all_changed or self.error is not None

    def wake(self) -> None:
        """Let the call go on. For `Watches`, which does it in slices."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Watches(Part):
    """All watches of this node."""

    def __init__(self) -> None:
        self._by_subject: dict[Subject, dict[Watch, None]] = {}
        self._waking: SlicedCalls[Watch] = SlicedCalls(
            asyncio.get_running_loop().call_soon, Watch.wake
        )

    def __len__(self) -> int:
        """How many (call, subject) pairs are watched."""
        return sum(len(watches) for watches in self._by_subject.values())

    @contextmanager
    def watch(self, subjects: Iterable[Subject]) -> Iterator[Watch]:
        """Watch from here to the end of the block, whatever ends it."""
        watch = Watch(self)
        watched = set(subjects)
        for one in watched:
            self._by_subject.setdefault(one, {})[watch] = None
        try:
            yield watch
        finally:
            for one in watched:
                watches = self._by_subject[one]
                watches.pop(watch, None)
                if not watches:
                    del self._by_subject[one]

    def on_applied(self, events: Iterable[Event]) -> None:
        """Wake whoever watches one of these."""
        watches = self._by_subject
        if not watches:
            return
        for event in events:
            key = (event.kind, event.subject, event.session_id, event.holder)
            for watch in watches.get(key, ()):
                watch.happened(event.subject)

    def wake(self, watch: Watch) -> None:
        """Let this one go on, in its turn."""
        self._waking.add(watch)

    def on_restored(self) -> None:
        """Have everybody look again: the whole state may have changed."""
        for watch in self._everybody():
            watch.all_changed()

    def on_leader_change(self, leadership: Leadership) -> None:
        """Calls follow the leadership."""
        if not leadership.is_leader:
            self.end_waits(NotLeaderError(leadership.leader_id))

    def end_waits(self, error: Exception) -> None:
        """End every wait with `error`."""
        for watch in self._everybody():
            watch.error = error
            self.wake(watch)

    def _everybody(self) -> dict[Watch, None]:
        return {watch: None for watches in self._by_subject.values() for watch in watches}
