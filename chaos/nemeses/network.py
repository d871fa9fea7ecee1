"""Faults of the network between nodes. Calls that a node forwards go the same ways as its messages,
so a partition cuts them too; clients reach every node unless the variant says otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import ClassVar

from chaos.nemeses.base import TARGETS, Nemesis, names, pick
from chaos.testbed.proxy import CUT, Mode
from chaos.testbed.socket_owner import CLIENTS

Cut = tuple[str, str]


def both_ways(some: Iterable[str], others: Iterable[str]) -> list[Cut]:
    """Every link between a node of the one and a node of the other group."""
    pairs = [(a, b) for a in some for b in others if a != b]
    return pairs + [(b, a) for a, b in pairs]


class Partition(Nemesis):
    """Some links carry nothing; their connections stay open.

    halves: two groups, one with a majority. isolate-leader, isolate-one: a node against the rest.
    one-way: a node hears but is not heard, or the other way round. bridge: two groups that only one
    node reaches both of. ring: every node hears only its neighbours. flapping: the leader is cut
    off and joined again, over and over. clients: no client reaches the leader, its peers do."""

    name: ClassVar[str] = "partition"
    variants: ClassVar[tuple[str, ...]] = (
        "halves",
        "isolate-leader",
        "isolate-one",
        "one-way",
        "bridge",
        "ring",
        "flapping",
        "clients",
    )
    often: ClassVar[tuple[str, ...]] = variants
    hold_s: ClassVar[tuple[float, float]] = (2.0, 6.0)
    FLAP_S = (0.1, 0.9)

    async def begin(self) -> str:
        self._cuts, words = await self._plan()
        self._set(cut=True)
        return words

    async def last(self, seconds: float) -> None:
        if self.variant != "flapping":
            await asyncio.sleep(seconds)
            return
        loop, cut = asyncio.get_running_loop(), True
        until = loop.time() + seconds
        while loop.time() < until:
            await asyncio.sleep(min(self.rng.uniform(*self.FLAP_S), until - loop.time()))
            cut = not cut
            self._set(cut=cut)

    async def end(self) -> None:
        self._set(cut=False)

    def _set(self, *, cut: bool) -> None:
        for source, target in self._cuts:
            mode = CUT.mode if cut else Mode.PASS
            self.cluster.links.update(source, target, mode=mode)

    async def _plan(self) -> tuple[list[Cut], str]:
        nodes, rng = list(self.cluster.node_ids), self.rng
        rng.shuffle(nodes)
        match self.variant:
            case "halves":
                middle = self.cluster.majority - 1
                some, others = sorted(nodes[:middle]), sorted(nodes[middle:])
                self.victims = some
                return both_ways(some, others), f"{names(some)} | {names(others)}"
            case "isolate-one" | "isolate-leader" | "flapping":
                target = "one" if self.variant == "isolate-one" else "leader"
                (alone,) = await pick(self.cluster, target, rng)
                self.victims = None if self.variant == "flapping" else [alone]
                return both_ways([alone], nodes), f"{alone} | the rest"
            case "one-way":
                (alone,) = await pick(self.cluster, rng.choice(["one", "leader"]), rng)
                if rng.random() < 0.5:
                    return [(alone, n) for n in nodes if n != alone], f"{alone} is not heard"
                return [(n, alone) for n in nodes if n != alone], f"{alone} hears nobody"
            case "bridge":
                middle = len(nodes) // 2
                some, bridge, others = nodes[:middle], nodes[middle], nodes[middle + 1 :]
                words = f"{names(some)} | {names(others)}, {bridge} reaches both"
                return both_ways(some, others), words
            case "ring":
                return _ring(nodes), f"ring {'-'.join(nodes)}"
            case "clients":
                (leader,) = await pick(self.cluster, "leader", rng)
                return both_ways([CLIENTS], [leader]), f"clients | {leader}"
            case other:
                raise ValueError(f"no partition {other!r}")


def _ring(nodes: list[str]) -> list[Cut]:
    """Links between nodes that are no neighbours. Of three nodes all are: there the ring is open
    at one place."""
    count = len(nodes)
    if count == 3:
        return both_ways(nodes[:1], nodes[2:])
    return [
        (a, b)
        for i, a in enumerate(nodes)
        for j, b in enumerate(nodes)
        if (i - j) % count not in {0, 1, count - 1}
    ]


class _Slow(Nemesis):
    """Links from and to some nodes get worse in one respect."""

    variants: ClassVar[tuple[str, ...]] = TARGETS
    often: ClassVar[tuple[str, ...]] = ("leader", "one", "minority", "all")
    hold_s: ClassVar[tuple[float, float]] = (2.0, 6.0)

    async def _worsen(self, **changes: float) -> list[str]:
        victims = await pick(self.cluster, self.variant, self.rng)
        everybody = [*self.cluster.node_ids, CLIENTS]
        self._changed = both_ways(victims, everybody)
        for source, target in self._changed:
            self.cluster.links.update(source, target, **changes)
        self._fields = tuple(changes)
        return victims

    async def end(self) -> None:
        for source, target in self._changed:
            self.cluster.links.update(source, target, **dict.fromkeys(self._fields, 0))


class Delay(_Slow):
    """Every message takes longer, by some and a random part; nothing is lost."""

    name: ClassVar[str] = "delay"
    needs: ClassVar[frozenset[str]] = frozenset({"delay"})

    async def begin(self) -> str:
        delay_ms, jitter_ms = self.rng.choice([(20, 20), (50, 100), (200, 300)])
        victims = await self._worsen(delay_ms=delay_ms, jitter_ms=jitter_ms)
        return f"{delay_ms} to {delay_ms + jitter_ms} ms to and from {names(victims)}"


class Loss(_Slow):
    """Some of what is sent is lost and comes late, once TCP has sent it again."""

    name: ClassVar[str] = "loss"
    needs: ClassVar[frozenset[str]] = frozenset({"loss"})

    async def begin(self) -> str:
        loss_permille = self.rng.choice([10, 50, 200])
        victims = await self._worsen(loss_permille=loss_permille)
        return f"{loss_permille / 10:g} % lost to and from {names(victims)}"


class Bandwidth(_Slow):
    """Every connection carries only so many bytes a second."""

    name: ClassVar[str] = "bandwidth"

    async def begin(self) -> str:
        bandwidth = self.rng.choice([2_000, 20_000, 100_000])
        victims = await self._worsen(bandwidth=bandwidth)
        return f"{bandwidth} bytes/s to and from {names(victims)}"


class Resets(Nemesis):
    """Connections to and from some nodes are reset, again and again."""

    name: ClassVar[str] = "resets"
    variants: ClassVar[tuple[str, ...]] = TARGETS
    often: ClassVar[tuple[str, ...]] = ("leader", "one", "all")
    PAUSE_S = (0.05, 0.8)

    async def begin(self) -> str:
        self._victims = await pick(self.cluster, self.variant, self.rng)
        return f"connections of {names(self._victims)} are reset again and again"

    async def last(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            for link in self.cluster.links.all():
                if {link.source, link.target} & set(self._victims):
                    link.reset()
            await asyncio.sleep(self.rng.uniform(*self.PAUSE_S))

    async def end(self) -> None:
        return
