"""Whether the machine is too busy to say how fast anything is.

A thread that only sleeps should wake up when it asked to. What it wakes up late is time that nobody
on this machine could count on, nodes included. Bounds in time that were broken meanwhile say
nothing, so the verdict on them is "unknown"; what is wrong at any speed is not excused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

EVERY_S = 0.05
TOO_LATE_MS = 1_000  # once; elections take as long
TOO_LATE_SHARE = 0.25  # of all the time


@dataclass(frozen=True, slots=True)
class Lateness:
    """`longest_ms`: the latest waking; `share`: of the time that was watched, what was lost."""

    longest_ms: int = 0
    share: float = 0.0

    @property
    def complaint(self) -> str:
        """Why times say nothing; empty if they do."""
        if self.longest_ms < TOO_LATE_MS and self.share < TOO_LATE_SHARE:
            return ""
        return (
            f"the machine was too busy to say: a thread that only sleeps woke up late by up to "
            f"{self.longest_ms} ms, by {self.share:.0%} of the time in all"
        )


class Sleeper:
    """Watches from entry to exit; `so_far` at any time."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        rest: Callable[[float], bool] | None = None,
    ) -> None:
        self._stopping = threading.Event()
        self._clock, self._rest = clock, rest or self._stopping.wait
        self._watched_s = self._late_s = self._longest_s = 0.0
        self._thread = threading.Thread(target=self.watch, name="sleeper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def watch(self) -> None:
        """Sleep again and again, until `rest` says that it is over."""
        before = self._clock()
        while not self._rest(EVERY_S):
            now = self._clock()
            late_s = max(0.0, now - before - EVERY_S)
            self._watched_s += now - before
            self._late_s += late_s
            self._longest_s = max(self._longest_s, late_s)
            before = now

    @property
    def so_far(self) -> Lateness:
        share = self._late_s / self._watched_s if self._watched_s else 0.0
        return Lateness(round(self._longest_s * 1_000), round(share, 4))
