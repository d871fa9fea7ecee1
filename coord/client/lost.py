"""The event that says that a lock is gone, or may be. It looks at the clock itself: no timer has
told it anything when the process was suspended or its event loop blocked.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Literal


class LostEvent(asyncio.Event):
    """`until_s`: up to when, on the monotonic clock, the lock is certainly held.

    What was once told stays true: `told` is set when somebody was answered from the clock, and
    whoever would extend the time must set the event then. `is_set` can be asked from any thread."""

    def __init__(self, until_s: Callable[[], float] = lambda: math.inf) -> None:
        super().__init__()
        self.told = False
        self._until_s = until_s

    @property
    def until_s(self) -> float:
        """Up to when, as far as is known now."""
        return self._until_s()

    def is_set(self) -> bool:
        if self.told or super().is_set():
            return True
        if time.monotonic() >= self._until_s():
            self.told = True
        return self.told

    async def wait(self) -> Literal[True]:
        if self.is_set():
            self.set()
            return True
        return await super().wait()

    def set(self) -> None:
        self.told = True
        super().set()
