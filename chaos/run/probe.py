"""Small writes all the time, to see when the cluster takes writes and when it does not."""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_left

from chaos.histories.availability import gaps_ms
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
        return max(gaps_ms(self.success_ns, since_ns, until_ns))

    def succeeded(self, since_ns: int, until_ns: int) -> bool:
        """Whether any write did within this time."""
        place = bisect_left(self.success_ns, since_ns)
        return place < len(self.success_ns) and self.success_ns[place] <= until_ns
