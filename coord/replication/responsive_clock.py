"""A clock that only counts time in which this process could act.

A node whose event loop was held up (a busy machine, a stopped process) has not been out of touch
with its leader: it has just not looked. Counting a gap between two ticks as one short step gives
the messages that arrived meanwhile their chance before anything times out, so that load alone
brings about no election.
"""

from __future__ import annotations

import time
from collections.abc import Callable


def seconds_passed() -> float:
    """Seconds of a clock that never goes back and leaves nothing out: it goes on while the process
    is stopped and, where the system has such a clock, while the machine sleeps."""
    number = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if number is None else time.clock_gettime(number)


class ResponsiveClock:
    """Seconds; `step` is called at every tick, and advances by `max_step_s` at most."""

    def __init__(self, real: Callable[[], float], max_step_s: float) -> None:
        self._real = real
        self._max_step_s = max_step_s
        self._base = 0.0  # on this clock, at the last step
        self._stepped_at = real()

    def now(self) -> float:
        """The time, at most `max_step_s` after the last step."""
        passed = self._real() - self._stepped_at
        if passed <= 0.0:
            return self._base
        return self._base + (passed if passed < self._max_step_s else self._max_step_s)

    def step(self) -> float:
        """A tick; the real seconds that were not counted."""
        real = self._real()
        passed = real - self._stepped_at
        counted = min(self._max_step_s, max(0.0, passed))
        self._base += counted
        self._stepped_at = real
        return passed - counted
