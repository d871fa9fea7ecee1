"""Faults of processes: killed, restarted, standing still."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from chaos.nemeses.base import TARGETS, Nemesis, names

ROLLING_PAUSE_S = 0.5


class Kill(Nemesis):
    """SIGKILL, and a restart when it is over."""

    name: ClassVar[str] = "kill"
    variants: ClassVar[tuple[str, ...]] = TARGETS
    often: ClassVar[tuple[str, ...]] = ("leader", "leader", "one", "minority", "majority", "all")

    async def begin(self) -> str:
        victims = await self.choose()
        await self.cluster.kill(*victims)
        return f"SIGKILL to {names(victims)}"

    async def end(self) -> None:
        for node_id in self.victims or ():
            await self.cluster.start(node_id)


class KillAll(Kill):
    """SIGKILL to the whole cluster at once."""

    name: ClassVar[str] = "kill-all"
    variants: ClassVar[tuple[str, ...]] = ("all",)
    often: ClassVar[tuple[str, ...]] = ()
    hold_s: ClassVar[tuple[float, float]] = (0.1, 1.5)


class LostMinority(Kill):
    """As many nodes as a cluster can do without are killed, and stay dead for long."""

    name: ClassVar[str] = "lost-minority"
    variants: ClassVar[tuple[str, ...]] = ("minority",)
    often: ClassVar[tuple[str, ...]] = ()
    hold_s: ClassVar[tuple[float, float]] = (12.0, 20.0)


class Restart(Nemesis):
    """SIGTERM, an orderly end, and a start right after it."""

    name: ClassVar[str] = "restart"
    variants: ClassVar[tuple[str, ...]] = TARGETS
    often: ClassVar[tuple[str, ...]] = ("leader", "one", "followers", "all")

    async def begin(self) -> str:
        victims = await self.choose()
        await self.cluster.stop(*victims)
        for node_id in victims:
            await self.cluster.start(node_id)
        return f"restarted {names(victims)}"

    async def end(self) -> None:
        return


class RollingRestart(Nemesis):
    """Every node is restarted in an orderly way, one after another, with a short rest between; the
    next one does not wait for the one before to catch up."""

    name: ClassVar[str] = "rolling-restart"
    hold_s: ClassVar[tuple[float, float]] = (6.0, 10.0)

    async def begin(self) -> str:
        return f"restarts of {names(self.cluster.node_ids)}, one after another"

    async def last(self, seconds: float) -> None:
        rest_s = max(ROLLING_PAUSE_S, seconds / len(self.cluster.node_ids))
        for node_id in self.cluster.node_ids:
            await self.cluster.stop(node_id)
            await self.cluster.start(node_id)
            await asyncio.sleep(rest_s)

    async def end(self) -> None:
        return


class Pause(Nemesis):
    """SIGSTOP for a while: the node notices nothing, its peers and clients do."""

    name: ClassVar[str] = "pause"
    variants: ClassVar[tuple[str, ...]] = TARGETS
    often: ClassVar[tuple[str, ...]] = ("leader", "leader", "one", "minority", "majority", "all")
    hold_s: ClassVar[tuple[float, float]] = (0.3, 2.5)

    async def begin(self) -> str:
        victims = await self.choose()
        await self.cluster.pause(*victims)
        return f"SIGSTOP to {names(victims)}"

    async def end(self) -> None:
        self.cluster.resume(*self.victims or ())


class LongPause(Pause):
    """The same for longer than elections, leases and sessions of the workloads last."""

    name: ClassVar[str] = "pause-long"
    often: ClassVar[tuple[str, ...]] = ("leader", "one", "minority", "majority")
    hold_s: ClassVar[tuple[float, float]] = (5.0, 8.0)
