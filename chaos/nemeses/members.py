"""A member is taken out of the cluster and comes back as a new one: it is removed, stops itself,
gets an empty directory, is added, copies everything as a learner, and is promoted.

At the same time as others it is named first (`members+partition`), so that it ends last: nobody can
join while what it needs is cut off."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from typing import ClassVar

from chaos.nemeses.base import Nemesis, names, pick
from chaos.testbed.cluster import ClusterError
from coord.client import Client, CoordError
from coord.localcluster.processes import ProcessState

CALL_MS = 3_000
REMOVED_WITHIN_S = 10.0
STOPS_WITHIN_S = 10.0
BACK_WITHIN_S = 60.0
PAUSE_S = 0.1


class Members(Nemesis):
    """leader, one: a node that works is removed. dead: one that was killed before is replaced."""

    name: ClassVar[str] = "members"
    variants: ClassVar[tuple[str, ...]] = ("leader", "one", "dead")
    often: ClassVar[tuple[str, ...]] = variants
    hold_s: ClassVar[tuple[float, float]] = (1.0, 3.0)
    _victim = ""

    async def begin(self) -> str:
        target = "leader" if self.variant == "leader" else "one"
        (self._victim,) = self.victims = await pick(self.cluster, target, self.rng)
        self.cluster.hardware.excused.add(self._victim)  # it is to end by itself
        if self.variant == "dead":
            await self.cluster.kill(self._victim)
        removed = await self._until(REMOVED_WITHIN_S, self._remove)
        return f"{names(self.victims)} was {'' if removed else 'not '}removed from the cluster"

    async def end(self) -> None:
        if not self._victim:
            return
        if not await self._until(BACK_WITHIN_S, self._remove):  # the answer may have been lost
            raise ClusterError(f"{self._victim} could not be removed")
        if not await self.cluster.until_down(self._victim, STOPS_WITHIN_S):
            await self.cluster.kill(self._victim)  # it was cut off when it was told
        shutil.rmtree(self.cluster.data_directory(self._victim), ignore_errors=True)
        await self.cluster.start(self._victim)
        if not await self._until(BACK_WITHIN_S, self._add):
            raise ClusterError(f"{self._victim} did not become a member again")
        self.cluster.hardware.excused.discard(self._victim)

    async def _until(self, within_s: float, step: Callable[[Client], Awaitable[bool]]) -> bool:
        """Whether it came about in time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        async with Client(self.cluster.endpoints, name="nemesis", use_session=False) as client:
            while loop.time() < until:
                try:
                    if await step(client):
                        return True
                except CoordError:  # nobody leads just now, or a majority would be at risk
                    await asyncio.sleep(PAUSE_S)
        return False

    async def _remove(self, client: Client) -> bool:
        members = await client.cluster.members(timeout_ms=CALL_MS)
        if any(member.id == self._victim for member in members):
            await client.cluster.remove_member(self._victim, timeout_ms=CALL_MS)
        return True

    async def _add(self, client: Client) -> bool:
        """Started, it is not wanted yet; it tries again and again."""
        if self.cluster.state(self._victim) is ProcessState.DOWN:
            await self.cluster.start(self._victim)
        address, peer_address = self.cluster.member_addresses(self._victim)
        await client.cluster.add_member(self._victim, address, peer_address, timeout_ms=CALL_MS)
        members = await client.cluster.promote_member(self._victim, timeout_ms=CALL_MS)
        return any(one.id == self._victim and not one.learner for one in members)
