"""Simulated time: events in order of their time, and of their making where times are equal."""

from __future__ import annotations

import heapq
from collections.abc import Callable

Action = Callable[[], None]


class SimClock:
    """Seconds since the start of the simulation."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0  # actions run so far
        self._events: list[tuple[float, int, Action]] = []
        self._made = 0

    def after(self, delay_s: float, action: Action) -> None:
        """Run `action` that much later (0: after what is due now already)."""
        self.at(self.now + delay_s, action)

    def at(self, time_s: float, action: Action) -> None:
        """Run `action` then; a time that has passed counts as now."""
        self._made += 1
        heapq.heappush(self._events, (time_s, self._made, action))

    def run_until(self, end: float) -> None:
        """Run everything due up to `end`. An action that raises ends it."""
        events = self._events
        while events and events[0][0] <= end:
            time_s, _, action = heapq.heappop(events)
            self.now = max(self.now, time_s)
            self.steps += 1
            action()
        self.now = end


class NodeClock:
    """One node's clock: it runs at a rate of its own, which can change, and never goes back."""

    def __init__(self, clock: SimClock, offset_s: float = 0.0, rate: float = 1.0) -> None:
        self._clock = clock
        self._base = offset_s
        self._since = clock.now
        self.rate = rate

    def now(self) -> float:
        return self._base + (self._clock.now - self._since) * self.rate

    def set_rate(self, rate: float) -> None:
        """Run at this rate from now on."""
        self._base, self._since = self.now(), self._clock.now
        self.rate = rate

    def real(self, delay_s: float) -> float:
        """What a delay on this clock is in simulated time."""
        return delay_s / self.rate
