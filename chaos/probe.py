"""Small writes all the time, to see when the cluster takes writes and when it does not."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from bisect import bisect_left, bisect_right

from chaos.workloads.base import Surroundings
from coord.client import CoordError

EVERY_S = 0.04
MAX_UNDER_WAY = 25
TIMEOUT_MS = 2_000
KEY = "chaos-probe"


class Probe:
    """`success_ns`: when writes succeeded, in order; nanoseconds of the recorder's clock."""

    def __init__(self) -> None:
        self.success_ns: list[int] = []

    async def run(self, around: Surroundings) -> None:
        """Until `around.stopping` is set. Writes overlap, so that one that hangs hides nothing."""
        under_way: set[asyncio.Task[None]] = set()
        async with around.connect("probe", timeout_ms=TIMEOUT_MS) as client:

            async def write() -> None:
                with contextlib.suppress(CoordError):
                    await client.kv.put(KEY, b"x")
                    self.success_ns.append(around.recorder.now_ns())

            while not around.stopping.is_set():
                if len(under_way) < MAX_UNDER_WAY:
                    task = asyncio.create_task(write())
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                await around.rest(EVERY_S)
            await asyncio.gather(*under_way)

    def longest_gap_ms(self, since_ns: int, until_ns: int) -> float:
        """The longest time without a success in the window, its edges included."""
        low = bisect_left(self.success_ns, since_ns)
        high = bisect_right(self.success_ns, until_ns)
        points = [since_ns, *self.success_ns[low:high], max(since_ns, until_ns)]
        return max(b - a for a, b in itertools.pairwise(points)) / 1e6

    def available_share(self, since_ns: int, until_ns: int, window_ms: int = 100) -> float:
        """The share of windows with at least one success."""
        width = window_ms * 1_000_000
        windows = max(1, (until_ns - since_ns) // width)
        hit = {(t - since_ns) // width for t in self.success_ns if since_ns <= t < until_ns}
        return len([n for n in hit if n < windows]) / windows
