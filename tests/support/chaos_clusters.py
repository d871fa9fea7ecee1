"""Clusters under test for the harness's own tests."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from chaos.nemeses import NEMESES
from chaos.nemeses.base import Nemesis
from chaos.testbed.cluster import ClusterUnderTest
from coord.client import Client, CoordError


class Choosing(random.Random):
    """Chooses what it is told to, where that is among the choices."""

    def __init__(self, *chosen: Any) -> None:
        super().__init__(0)
        self._chosen = chosen

    def choice(self, seq: Any) -> Any:
        return next((one for one in self._chosen if one in seq), seq[0])


def make(name: str, variant: str, cluster: ClusterUnderTest, *chosen: Any) -> Nemesis:
    """A nemesis that draws `chosen` where it can, and the first of its choices otherwise."""
    rng = Choosing(*chosen) if chosen else random.Random(1)
    return NEMESES[name](cluster, variant, rng)


async def writes(cluster: ClusterUnderTest, timeout_ms: int = 15_000) -> bool:
    """Whether a write succeeds in time."""
    async with Client(cluster.endpoints, name="test", use_session=False) as client:
        deadline = time.monotonic() + timeout_ms / 1_000
        while time.monotonic() < deadline:
            left_ms = max(1, int((deadline - time.monotonic()) * 1_000))
            try:
                await client.kv.put("k", b"v", timeout_ms=left_ms)
            except CoordError:
                continue
            return True
    return False


def node_processes(marker: str) -> list[int]:
    """Processes of nodes whose configuration lies under a path with this text."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if {"serve", "chaos.nodes", "chaos.stock.node"} & set(words) and any(
            marker in word for word in words
        ):
            found.append(process.pid)
    return found


@asynccontextmanager
async def running(
    directory: Path, nodes: int = 3, **options: Any
) -> AsyncIterator[ClusterUnderTest]:
    """Up; afterwards nothing is left of it."""
    cluster = ClusterUnderTest(directory, nodes, **options)
    try:
        await cluster.up()
        yield cluster
        await cluster.heal()
    finally:
        await cluster.down()
    assert not node_processes(str(directory))
