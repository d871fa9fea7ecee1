"""Memory of the nodes over time."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import psutil

from bench.place import memory_bytes

MB = 1_000_000
# When, and the memory of the largest node then.
Look = tuple[float, float]


class MemoryWatch(threading.Thread):
    """Looks at all nodes that run, again and again; `looks` holds the largest one each time,
    `of_node` every node's."""

    def __init__(self, pids: Callable[[], Mapping[str, int]], every_s: float) -> None:
        super().__init__(name="memory", daemon=True)
        self.looks: list[Look] = []
        self.of_node: dict[str, list[Look]] = {}
        self._pids = pids
        self._every_s = every_s
        self._ended = threading.Event()

    def run(self) -> None:
        while True:
            self._look()
            if self._ended.wait(self._every_s):
                return

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _look(self) -> None:
        largest = 0
        for node, pid in self._pids().items():
            with suppress(psutil.NoSuchProcess):
                size = memory_bytes(pid)
                largest = max(largest, size)
                self.of_node.setdefault(node, []).append((time.monotonic(), size))
        if largest:
            self.looks.append((time.monotonic(), largest))


def summary(looks: Sequence[Look]) -> dict[str, float]:
    """Medians of the first tenth, the tenth in the middle and the last tenth; and how fast it grew
    from the middle on, when finished tasks are forgotten as fast as new ones come."""
    tenth = max(len(looks) // 10, 1)
    middle = len(looks) // 2
    half_way = _median_mb(looks[middle : middle + tenth])
    last = _median_mb(looks[-tenth:])
    return {
        "memory_start_mb": _median_mb(looks[:tenth]),
        "memory_middle_mb": half_way,
        "memory_end_mb": last,
        "memory_end_of_middle": last / half_way,
        "memory_growth_mb_per_min": slope(looks[middle:]) * 60 / MB,
    }


def slope(looks: Sequence[Look]) -> float:
    """Bytes per second, by least squares."""
    if len({at for at, _ in looks}) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*looks, strict=True)).slope


def _median_mb(looks: Sequence[Look]) -> float:
    return statistics.median(size for _, size in looks) / MB
