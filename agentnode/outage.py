"""What the log says of something that fails again and again: once that it began, at growing
intervals that it goes on, and once that it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

FIRST_REMINDER_S: Final = 10.0
LONGEST_S: Final = 600.0


class Outage:
    """One thing that can fail. `began`, `goes_on`, `over`: the events of the log."""

    def __init__(
        self,
        log: Any,
        began: str,
        goes_on: str,
        over: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._began, self._goes_on, self._over = began, goes_on, over
        self._clock = clock
        self._since_s: float | None = None
        self._reminder_s = 0.0
        self._interval_s = 0.0
        self._failures = 0

    def failed(self, error: object, **facts: object) -> None:
        """It has failed (again)."""
        now_s = self._clock()
        self._failures += 1
        if self._since_s is None:
            self._since_s, self._interval_s = now_s, FIRST_REMINDER_S
            self._log.warning(self._began, error=str(error), **facts)
        elif now_s >= self._reminder_s:
            self._interval_s = min(self._interval_s * 2, LONGEST_S)
            seconds = round(now_s - self._since_s)
            facts = {"for_s": seconds, "failures": self._failures, **facts}
            self._log.warning(self._goes_on, error=str(error), **facts)
        else:
            return
        self._reminder_s = now_s + self._interval_s

    def worked(self) -> None:
        """It has worked."""
        if self._since_s is None:
            return
        seconds = round(self._clock() - self._since_s, 1)
        self._log.info(self._over, after_s=seconds, failures=self._failures)
        self._since_s, self._failures = None, 0
