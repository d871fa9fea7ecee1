"""Simulated time: events in order of their time, and of their making where times are equal."""

from __future__ import annotations

import heapq
from collections.abc import Callable

Action = Callable[[], None]


class SimClock:
    """Seconds since the start of the simulation."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Action]] = []
        self._made = 0

    def after(self, delay_s: float, action: Action) -> None:
        """Run `action` that much later (0: after what is due now already)."""
        self._made += 1
        heapq.heappush(self._events, (self.now + delay_s, self._made, action))

    def run_until(self, end: float) -> None:
        """Run everything due up to `end`."""
        while self._events and self._events[0][0] <= end:
            self.now, _, action = heapq.heappop(self._events)
            action()
        self.now = end
