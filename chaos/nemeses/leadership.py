"""Leadership moves although nothing is wrong."""

from __future__ import annotations

import asyncio
import contextlib
from typing import ClassVar

from chaos.nemeses.base import Nemesis
from coord.client import Client, CoordError


class Transfer(Nemesis):
    """Leadership is handed to a node drawn by lot, again and again."""

    name: ClassVar[str] = "transfer"
    hold_s: ClassVar[tuple[float, float]] = (2.0, 5.0)
    PAUSE_S = (0.2, 1.0)

    async def begin(self) -> str:
        return "leadership is handed on again and again"

    async def last(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        async with Client(self.cluster.endpoints, name="nemesis", use_session=False) as client:
            while loop.time() < until:
                target = self.rng.choice(self.cluster.node_ids)
                with contextlib.suppress(CoordError):  # under way already, or nobody leads
                    await client.cluster.transfer_leader(target, timeout_ms=1_500)
                await asyncio.sleep(self.rng.uniform(*self.PAUSE_S))

    async def end(self) -> None:
        return
