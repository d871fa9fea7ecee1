"""Faults of clocks. A wall clock must not matter to any promise. A monotonic clock that runs ahead
makes leases shorter, as every lease is measured with one; it must not matter to anything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from chaos.nemeses.base import TARGETS, Nemesis, names
from chaos.nodes.control import NORMAL_PERMILLE

HOUR_MS = 3_600_000


class _Clock(Nemesis):
    """`_bend` the clocks of some nodes; they are right again in the `end`."""

    variants: ClassVar[tuple[str, ...]] = TARGETS
    often: ClassVar[tuple[str, ...]] = ("leader", "leader", "one", "minority", "all")
    steers: ClassVar[bool] = True
    healed: ClassVar[dict[str, int]]
    _bent: Sequence[str] = ()

    async def begin(self) -> str:
        self._bent = await self.choose()
        self.victims = None  # they are to be of use all the time, but elections may come of it
        return await self._bend(self._bent)

    async def _bend(self, nodes: list[str]) -> str:
        raise NotImplementedError

    async def end(self) -> None:
        for node_id in self._bent:
            await self.cluster.hardware.set(node_id, **self.healed)


class WallJump(_Clock):
    """Wall clocks are set forward or back by up to a day, and right in the end."""

    name: ClassVar[str] = "wall-jump"
    healed: ClassVar[dict[str, int]] = {"wall_ahead_ms": 0}

    async def _bend(self, nodes: list[str]) -> str:
        jump_ms = self.rng.choice([-24 * HOUR_MS, -HOUR_MS, -5_000, 5_000, HOUR_MS, 24 * HOUR_MS])
        for node_id in nodes:
            await self.cluster.hardware.set(node_id, wall_ahead_ms=jump_ms)
        return f"wall clocks of {names(nodes)} jump by {jump_ms / 1_000:+g} s"


class WallDrift(_Clock):
    """Wall clocks run at a wrong rate, and are set right in the end."""

    name: ClassVar[str] = "wall-drift"
    healed: ClassVar[dict[str, int]] = {"wall_permille": NORMAL_PERMILLE}

    async def _bend(self, nodes: list[str]) -> str:
        permille = self.rng.choice([500, 900, 1_100, 2_000])
        for node_id in nodes:
            await self.cluster.hardware.set(node_id, wall_permille=permille)
        return f"wall clocks of {names(nodes)} run at {permille / 10:g} %"


class MonotonicJump(_Clock):
    """Monotonic clocks jump ahead, as after a suspended machine's sleep; they never go back."""

    name: ClassVar[str] = "monotonic-jump"
    healed: ClassVar[dict[str, int]] = {}

    async def _bend(self, nodes: list[str]) -> str:
        jump_ms = self.rng.choice([300, 2_000, 10_000])
        hardware = self.cluster.hardware
        for node_id in nodes:
            ahead_ms = hardware.faults(node_id).monotonic_ahead_ms + jump_ms
            await hardware.set(node_id, monotonic_ahead_ms=ahead_ms)
        return f"monotonic clocks of {names(nodes)} jump by {jump_ms / 1_000:g} s"


class MonotonicDrift(_Clock):
    """Monotonic clocks run at a wrong rate."""

    name: ClassVar[str] = "monotonic-drift"
    healed: ClassVar[dict[str, int]] = {"monotonic_permille": NORMAL_PERMILLE}

    async def _bend(self, nodes: list[str]) -> str:
        permille = self.rng.choice([500, 900, 1_100, 2_000])
        for node_id in nodes:
            await self.cluster.hardware.set(node_id, monotonic_permille=permille)
        return f"monotonic clocks of {names(nodes)} run at {permille / 10:g} %"
