"""What a nemesis is: a fault that begins, lasts a while, and ends.

A new nemesis is one module with a subclass of `Nemesis`, and a line in `chaos.nemeses`."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from chaos.testbed.cluster import ClusterUnderTest
from coord.localcluster.launch import Setting

TARGETS = ("one", "minority", "majority", "leader", "followers", "all")


class Nemesis(ABC):
    """One fault. `variants`: what it can be told to be, or to aim at; those in `often` are drawn
    when nothing is said (one that is there twice, twice as often). `hold_s`: how long it lasts, at
    least and at most. `steers`: it needs nodes whose disks and clocks can be hurt. `needs`: what it
    does to links that not every network can. `settings`: what it needs of every node, unless the
    user says otherwise.

    `victims`: once begun, the nodes that may be of no use meanwhile; None: that cannot be said.
    When they are few enough, the others have to go on."""

    name: ClassVar[str]
    variants: ClassVar[tuple[str, ...]] = ("",)
    often: ClassVar[tuple[str, ...]] = ()
    hold_s: ClassVar[tuple[float, float]] = (1.5, 5.0)
    steers: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()
    settings: ClassVar[Mapping[str, Setting]] = {}

    def __init__(self, cluster: ClusterUnderTest, variant: str, rng: random.Random) -> None:
        self.cluster, self.variant, self.rng = cluster, variant, rng
        self.victims: list[str] | None = None

    async def choose(self) -> list[str]:
        """The nodes that the variant, a target, means now; kept in `victims`."""
        self.victims = await pick(self.cluster, self.variant, self.rng)
        return self.victims

    @abstractmethod
    async def begin(self) -> str:
        """Do it; returns who is hit and how, for the history."""

    async def last(self, seconds: float) -> None:
        """What happens meanwhile."""
        await asyncio.sleep(seconds)

    @abstractmethod
    async def end(self) -> None:
        """Undo it."""


async def pick(cluster: ClusterUnderTest, target: str, rng: random.Random) -> list[str]:
    """The nodes that a target means now. Without a leader, any node stands for it."""
    nodes = cluster.node_ids
    match target:
        case "one":
            return [rng.choice(nodes)]
        case "minority":
            return sorted(rng.sample(nodes, max(1, cluster.majority - 1)))
        case "majority":
            return sorted(rng.sample(nodes, cluster.majority))
        case "leader":
            chosen = rng.choice(nodes)  # drawn in any case: the draws that follow stay the same
            return [await cluster.leader() or chosen]
        case "followers":
            leader = (await pick(cluster, "leader", rng))[0]
            return [node for node in nodes if node != leader]
        case "all":
            return list(nodes)
        case other:
            raise ValueError(f"no target {other!r}")


def names(nodes: Sequence[str]) -> str:
    """For the history. A lone node has no followers, so a target can be nobody."""
    return ", ".join(nodes) or "nobody"
