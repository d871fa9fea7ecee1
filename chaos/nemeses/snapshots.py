"""Snapshots and compaction, far more often than anybody would have them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import ClassVar

from chaos.nemeses.base import Nemesis
from coord.client import Client, CoordError
from coord.localcluster.launch import Setting

KEY = "chaos-snapshots"
WRITES_PER_ROUND = 120  # one log entry each: a snapshot is due after 100
CALL_MS = 1_500


class Snapshots(Nemesis):
    """Nodes take a snapshot every hundred entries, drop the log before it, and are given entries
    all the time; the history of keys is compacted up to now after each round. A node that was away
    meanwhile is sent a snapshot."""

    name: ClassVar[str] = "snapshots"
    hold_s: ClassVar[tuple[float, float]] = (2.0, 5.0)
    settings: ClassVar[Mapping[str, Setting]] = {
        "snapshot_entries": 100,
        "keep_entries": 20,
        "segment_bytes": 64 * 1024,
    }

    async def begin(self) -> str:
        return "snapshots and compactions, one after another"

    async def last(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._client() as client:
                while True:
                    await _round(client)

    async def end(self) -> None:
        return

    def _client(self) -> Client:
        return Client(self.cluster.endpoints, name="nemesis", use_session=False)


async def _round(client: Client) -> None:
    revision = 0
    for n in range(WRITES_PER_ROUND):
        with contextlib.suppress(CoordError):  # nobody leads just now
            revision = await client.kv.put(KEY, str(n), timeout_ms=CALL_MS)
    with contextlib.suppress(CoordError):
        await client.kv.compact(revision, timeout_ms=CALL_MS)
