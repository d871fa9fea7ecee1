"""What is overdue already, on the event loop that nodes run on."""

from __future__ import annotations

import asyncio

import pytest

from coord.runtime.cluster_clock import ClusterClock
from coord.runtime.ticker import Ticker


def test_looking_again_while_something_is_overdue() -> None:
    """uvloop returns another kind of handle for a time that has come."""
    uvloop = pytest.importorskip("uvloop")
    proposed: list[int] = []

    async def overdue() -> None:
        clock = ClusterClock()
        clock.start()
        ticker = Ticker(
            clock, lambda until_ms: 0, lambda: proposed.append(1), asyncio.get_running_loop()
        )
        ticker.lead()
        ticker.look()
        async with asyncio.timeout(5):
            while len(proposed) < 2:
                await asyncio.sleep(0.001)
                ticker.look()
        ticker.rest()

    with asyncio.Runner(loop_factory=uvloop.Loop) as runner:
        runner.run(overdue())
