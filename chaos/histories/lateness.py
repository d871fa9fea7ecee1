"""Whether the machine is too busy to say how fast anything is.

A thread that only sleeps should wake up when it asked to. What it wakes up late is time that nobody
on this machine could count on, nodes included. Since the kernel prefers those that mostly sleep, it
also counts who wants a core: with many for each, whatever takes work takes that much longer. Bounds
in time that were broken meanwhile say nothing, so the verdict on them is "unknown"; what is wrong
at any speed is not excused."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

EVERY_S = 0.05
TOO_LATE_MS = 1_000  # once; elections take as long
TOO_LATE_SHARE = 0.25  # of all the time
TOO_CROWDED = 3.0  # who wants a core, for each there is, on average
LOAD = Path("/proc/loadavg")


@dataclass(frozen=True, slots=True)
class Lateness:
    """`longest_ms`: the latest waking; `share`: of the time that was watched, what was lost;
    `crowd`: who wanted a core, for each there is, on average."""

    longest_ms: int = 0
    share: float = 0.0
    crowd: float = 0.0

    @property
    def complaint(self) -> str:
        """Why times say nothing; empty if they do."""
        late = self.longest_ms >= TOO_LATE_MS or self.share >= TOO_LATE_SHARE
        if not late and self.crowd < TOO_CROWDED:
            return ""
        return (
            f"the machine was too busy to say: {self.crowd:.1f} wanted each core, and a thread "
            f"that only sleeps woke up late by up to {self.longest_ms} ms, by {self.share:.0%} of "
            "the time in all"
        )


def who_wants_a_core() -> float:
    """For each core, the caller left out."""
    running, _, _ = LOAD.read_text(encoding="ascii").split()[3].partition("/")
    return (int(running) - 1) / len(os.sched_getaffinity(0))


class Sleeper:
    """Watches from entry to exit; `so_far` at any time."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        rest: Callable[[float], bool] | None = None,
        crowd: Callable[[], float] = who_wants_a_core,
    ) -> None:
        self._stopping = threading.Event()
        self._clock, self._rest, self._crowd = clock, rest or self._stopping.wait, crowd
        self._crowds, self._wakings = 0.0, 0
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
            self._crowds += self._crowd()
            self._wakings += 1
            before = now

    @property
    def so_far(self) -> Lateness:
        share = self._late_s / self._watched_s if self._watched_s else 0.0
        crowd = self._crowds / self._wakings if self._wakings else 0.0
        return Lateness(round(self._longest_s * 1_000), round(share, 4), round(crowd, 2))
