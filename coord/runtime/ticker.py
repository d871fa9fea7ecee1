"""Lets time pass when nobody writes: on the leader, an empty entry when something is due.

An idle cluster with nothing due writes nothing. Under load every entry moves time anyway, so this
adds none; deadlines that lie close together share one entry.
"""

from __future__ import annotations

from collections.abc import Callable

from coord.runtime.cluster_clock import ClusterClock
from coord.runtime.scheduler import Timer, Timers

_MIN_GAP_S = 0.02
_MAX_SLEEP_S = 3_600.0


class Ticker:
    """`next_deadline_ms`: cluster time at which something is due, if that is not after the one
    given, else at which to ask again; `propose_empty`: write an entry.

    `look` is to be called after every applied entry and every change of role: it is cheap."""

    def __init__(
        self,
        clock: ClusterClock,
        next_deadline_ms: Callable[[int], int | None],
        propose_empty: Callable[[], None],
        timers: Timers,
    ) -> None:
        self._clock = clock
        self._next_deadline_ms = next_deadline_ms
        self._propose_empty = propose_empty
        self._timers = timers
        self._timer: Timer | None = None
        self._timer_due = 0.0
        self._last_fire = -1.0
        self._leading = False

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
        sleep_s = min((deadline_ms - now_ms) / 1000, _MAX_SLEEP_S)
        due = max(self._timers.time() + sleep_s, self._last_fire + _MIN_GAP_S)
        if self._timer is not None:
            # A timer that fires early only looks again: that is cheaper than moving it every time.
            if self._timer_due <= due:
                return
            self._timer.cancel()
        # Noted here: what uvloop returns for a time that has come already has no `when`.
        self._timer_due = due
        self._timer = self._timers.call_at(due, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._last_fire = self._timers.time()
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
