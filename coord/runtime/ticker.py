"""Lets time pass when nobody writes: on the leader, an empty entry when something is due.

An idle cluster with nothing due writes nothing. Under load every entry moves time anyway, so this
adds none; deadlines that lie close together share one entry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from coord.core.base.request import Event
from coord.runtime.cluster_clock import ClusterClock
from coord.runtime.leader_view import LeaderView
from coord.runtime.parts import Part

_MIN_GAP_S = 0.02
_MAX_SLEEP_S = 3_600.0


class Ticker(Part):
    """`next_deadline_ms`: cluster time at which something is due, if that is not after the one
    given, else at which to ask again; `propose_empty`: write an entry.

    It looks after every applied entry and every change of role: that is cheap."""

    def __init__(
        self,
        clock: ClusterClock,
        next_deadline_ms: Callable[[int], int | None],
        propose_empty: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._next_deadline_ms = next_deadline_ms
        self._propose_empty = propose_empty
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._last_fire = -1.0
        self._leading = False

    def on_applied(self, _: Iterable[Event]) -> None:
        """Something else may be due next."""
        self.look()

    def on_restored(self) -> None:
        """Something else may be due next."""
        self.look()

    def on_leader_change(self, leadership: LeaderView) -> None:
        """Time passes while this node leads."""
        if leadership.is_leader:
            self._clock.start()
            self.lead()
        else:
            self._clock.stop()
            self.rest()

    def lead(self) -> None:
        """This node leads: it keeps the time from now on."""
        self._leading = True
        self.look()

    def rest(self) -> None:
        """Somebody else leads, or nobody."""
        self._leading = False
        self._cancel()

    def look(self) -> None:
        """Something may be due at another time than before."""
        if not self._leading:
            return
        now_ms = self._clock.now_ms()
        deadline_ms = self._next_deadline_ms(now_ms)
        if deadline_ms is None:
            self._cancel()
            return
        loop = asyncio.get_running_loop()
        sleep_s = min((deadline_ms - now_ms) / 1000, _MAX_SLEEP_S)
        due = max(loop.time() + sleep_s, self._last_fire + _MIN_GAP_S)
        if self._timer is not None:
            # A timer that fires early only looks again: that is cheaper than moving it every time.
            if self._timer_due <= due:
                return
            self._timer.cancel()
        # Noted here: what uvloop returns for a time that has come already has no `when`.
        self._timer_due = due
        self._timer = loop.call_at(due, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._last_fire = asyncio.get_running_loop().time()
        now_ms = self._clock.now_ms()
        deadline_ms = self._next_deadline_ms(now_ms)
        # Time that stands still while writes are refused goes on with the first that is taken.
        due = deadline_ms is not None and deadline_ms <= now_ms
        if due or not self._clock.running:
            self._propose_empty()
        self.look()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
