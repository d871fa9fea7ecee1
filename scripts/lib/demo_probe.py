"""Measures how long a cluster takes no writes, as its callers see it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Sequence

from coord.client import Client
from coord.client.transport.errors import CoordError

KEY = "demo/probe"
PAUSE_SECONDS = 0.005


class WriteProbe:
    """Writes one key every few milliseconds, and remembers when a write was acknowledged."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.acknowledged: list[float] = []

    async def run(self) -> None:
        """Until cancelled."""
        for number in itertools.count():
            with contextlib.suppress(CoordError):
                await self._client.kv.put(KEY, str(number).encode())
                self.acknowledged.append(time.monotonic())
            await asyncio.sleep(PAUSE_SECONDS)


def longest_gap_ms(acknowledged: Sequence[float], since: float, until: float) -> int:
    """The longest time without an acknowledged write between two moments, both included: a probe
    that never came back counts up to `until`."""
    inside = [moment for moment in acknowledged if since <= moment <= until]
    before = max((moment for moment in acknowledged if moment < since), default=since)
    return round(max(b - a for a, b in itertools.pairwise([before, *inside, until])) * 1000)
