"""Kills the leader of a cluster again and again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from threading import Event, Thread
from typing import Protocol

from bench.bench import Metrics
from bench.errors import BenchError
from bench.job import percentile

SETTLE_S = 0.5  # from the return of a node to the next kill, at least


class Killable(Protocol):
    """A system whose leader can be killed."""

    def kill_leader(self) -> str: ...
    def start_again(self, node: str) -> None: ...


class Killer(Thread):
    """SIGKILL to the leader, starts it again, and so on, until `kills` are done or `until_s` is
    over. `at_s`: when each kill was begun, in seconds since `start`."""

    def __init__(
        self,
        system: Killable,
        *,
        kills: int,
        every_s: float,
        until_s: float,
        first_s: float = SETTLE_S,
    ) -> None:
        super().__init__(name="killer", daemon=True)
        self.at_s: list[float] = []
        self.error: Exception | None = None
        self._system = system
        self._kills = kills
        self._every_s = every_s
        self._first_s = first_s
        self._until_s = until_s
        self._ended = Event()

    def run(self) -> None:
        zero = time.monotonic()
        due_s = self._first_s
        try:
            for _ in range(self._kills):
                if self._ended.wait(max(due_s - (time.monotonic() - zero), 0.0)):
                    return
                at_s = time.monotonic() - zero
                if at_s > self._until_s:
                    return
                node = self._system.kill_leader()
                self.at_s.append(at_s)
                self._system.start_again(node)
                due_s = max(at_s + self._every_s, time.monotonic() - zero + SETTLE_S)
        except Exception as error:  # told to the one who waits for the figures
            self.error = error

    def end(self) -> None:
        if self.ident is not None:
            self._ended.set()
            self.join()

    def check(self) -> None:
        """BenchError when it could not do its work."""
        if self.error is not None:
            raise BenchError(f"while the leader was killed: {self.error}")
        if not self.at_s:
            raise BenchError("the leader was not killed in time")


def gap_of_each_kill(
    kills_at_s: Sequence[float], gaps: Sequence[Sequence[float]], until_s: float
) -> list[float]:
    """The longest gap, in ms, that began between a kill and the next one. BenchError if there is
    none: the leader can not have been killed."""
    longest = []
    for since, until in pairwise([*kills_at_s, until_s]):
        inside = [length_ms for begin_s, length_ms in gaps if since <= begin_s < until]
        if not inside:
            raise BenchError(f"writes went on after the kill at {since:.1f} s")
        longest.append(max(inside))
    return longest


def distribution(gaps_ms: Sequence[float]) -> Metrics:
    ordered = sorted(gaps_ms)
    return {
        "gap_min_ms": ordered[0],
        "gap_p50_ms": percentile(ordered, 500),
        "gap_p90_ms": percentile(ordered, 900),
        "gap_p99_ms": percentile(ordered, 990),
        "gap_worst_ms": ordered[-1],
        "kills": len(ordered),
    }
