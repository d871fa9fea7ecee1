"""The disks and clocks of the nodes under test, as far as they can be hurt.

Nodes that run `chaos.nodes` look at a file each; here it is written. Files on disk are changed
while their node is down. Whatever a faulty disk does to its node is its fault's doing: while one is
set, the node may end by itself (`excused`). Clocks that ran ahead are counted, as leases are
measured with them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from chaos.nodes.control import (
    NORMAL_PERMILLE,
    MachineFaults,
    read_notes,
    read_seen,
    write_faults,
)

SEEN_WITHIN_S = 10.0


class HardwareError(Exception):
    """A node does not do what its faults say; the harness cannot go on."""


class Hardware:
    """`steered`: the nodes look at their files. `complaints`: what nodes did wrong when their disk
    was faulty. `emptied`: those that lost everything and may not have fetched it yet. `ahead_ms`:
    how far monotonic clocks of nodes ran ahead, all together."""

    def __init__(
        self,
        directory: Path,
        node_ids: Sequence[str],
        running: Callable[[str], bool],
        *,
        steered: bool,
    ) -> None:
        self.steered = steered
        self.excused: set[str] = set()
        self.complaints: list[str] = []
        self.emptied: set[str] = set()
        self.ahead_ms = 0
        self._directory, self._running = directory, running
        self._faults = {node_id: MachineFaults() for node_id in node_ids}
        self._fast_since: dict[str, float] = {}
        self._number = 0

    def folder(self, node_id: str) -> Path:
        return self._directory / node_id

    def faults(self, node_id: str) -> MachineFaults:
        return self._faults[node_id]

    def notes(self, node_id: str) -> list[str]:
        """What the node's disk did to it, since the beginning."""
        return read_notes(self.folder(node_id))

    async def set(self, node_id: str, **changes: object) -> None:
        """Returns when they hold. A node that does not run will find them when it starts."""
        self._count_drift(node_id)
        before = self._faults[node_id]
        after = replace(before, **changes)  # type: ignore[arg-type]
        if after == before:
            return
        if not self.steered:
            raise HardwareError("these nodes run on this machine's own disk and clocks")
        self.ahead_ms += after.monotonic_ahead_ms - before.monotonic_ahead_ms
        if after.monotonic_permille > NORMAL_PERMILLE:
            self._fast_since[node_id] = time.monotonic()
        self._faults[node_id] = after
        self._number += 1
        number = self._number
        write_faults(self.folder(node_id), number, after)
        deadline = time.monotonic() + SEEN_WITHIN_S
        while self._running(node_id) and read_seen(self.folder(node_id)) < number:
            if time.monotonic() > deadline:
                raise HardwareError(f"{node_id} did not look at its faults")
            await asyncio.sleep(0.005)

    async def heal(self) -> None:
        """Every disk and clock is as it should be. Monotonic clocks keep what they ran ahead."""
        for node_id, faults in self._faults.items():
            healed = MachineFaults(monotonic_ahead_ms=faults.monotonic_ahead_ms)
            await self.set(node_id, **{n: getattr(healed, n) for n in healed.__slots__})
        self.excused.clear()

    def _count_drift(self, node_id: str) -> None:
        since = self._fast_since.pop(node_id, None)
        if since is not None:
            too_fast = self._faults[node_id].monotonic_permille - NORMAL_PERMILLE
            self.ahead_ms += round((time.monotonic() - since) * too_fast) + 1
