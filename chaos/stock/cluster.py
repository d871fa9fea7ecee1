"""A cluster of `chaos.stock.node`: started, stopped, cut and looked at as the product's is."""

from __future__ import annotations

import contextlib
import random
import sys
from pathlib import Path

from chaos.stock.client import StockClient, ask
from chaos.testbed.cluster import ClusterUnderTest

LOOK_TIMEOUT_S = 1.0
TIMEOUT_MS = 1_000


class StockCluster(ClusterUnderTest):
    """Nemeses that need the product's own client (members, transfer, snapshots) are not for it."""

    def node_command(self, config: Path) -> list[str]:
        return [sys.executable, "-m", "chaos.stock.node", str(config)]

    async def roles(self) -> dict[str, tuple[str, int]]:
        found = {}
        for node_id in self.running():
            with contextlib.suppress(OSError, TimeoutError):
                told = await ask(
                    self.network.direct_address(node_id), {"op": "status"}, LOOK_TIMEOUT_S
                )
                found[node_id] = ("leader" if told["leads"] else "follower", int(told["term"]))
        return found

    async def serves(self) -> bool:
        return len(await self.roles()) == len(self.node_ids) and await self.leader() is not None

    def connect(self, name: str, **options: object) -> StockClient:
        """As workloads are given it. Every client has an order of nodes of its own."""
        timeout_ms = options.get("timeout_ms")
        addresses = [self.address(node_id) for node_id in self.node_ids]
        return StockClient(
            addresses,
            random.Random(name),
            timeout_ms if isinstance(timeout_ms, int) else TIMEOUT_MS,
        )
