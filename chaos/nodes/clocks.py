"""Clocks that can be bent, and an event loop that lives by one.

A monotonic clock may jump ahead and run fast or slow, but never goes back. A wall clock may be set
to anything. The event loop's timers run on the bent monotonic clock too, as they would on a machine
whose clock is wrong: a fast one makes every time-out of the node short.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable

from chaos.nodes.control import NORMAL_PERMILLE

NS_PER_MS = 1_000_000


class BentClock:
    """Nanoseconds. `continuous`: it may be moved ahead only, and keeps what it has run ahead."""

    def __init__(self, real_ns: Callable[[], int], *, continuous: bool) -> None:
        self._real_ns, self._continuous = real_ns, continuous
        self._ahead_ns = 0
        now_ns = real_ns()
        # Replaced as a whole: read by any thread.
        self._line = (now_ns, now_ns, NORMAL_PERMILLE)

    @property
    def permille(self) -> int:
        return self._line[2]

    def now_ns(self) -> int:
        base_ns, real_ns, permille = self._line
        return base_ns + (self._real_ns() - real_ns) * permille // NORMAL_PERMILLE

    def bend(self, ahead_ms: int, permille: int) -> None:
        """From now on: so far ahead of the real clock, and so fast."""
        ahead_ns = ahead_ms * NS_PER_MS
        real_ns = self._real_ns()
        if self._continuous:
            base_ns = self.now_ns() + max(0, ahead_ns - self._ahead_ns)
        else:
            base_ns = real_ns + ahead_ns
        self._ahead_ns = ahead_ns
        self._line = (base_ns, real_ns, permille)


class BentEventLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is this clock's. `wake` it when the clock was bent."""

    def __init__(self, clock: BentClock) -> None:
        self._bent = clock
        super().__init__(_BentSelector(clock))

    def time(self) -> float:
        return self._bent.now_ns() / 1e9

    def wake(self) -> None:
        """Look at the timers again. From any thread; fine once the loop is closed."""
        if not self.is_closed():
            self.call_soon_threadsafe(_nothing)


class _BentSelector(selectors.DefaultSelector):
    """Waits for as long as the clock needs to pass the time given."""

    def __init__(self, clock: BentClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            timeout = timeout * NORMAL_PERMILLE / self._clock.permille
        return super().select(timeout)


def _nothing() -> None:
    return
