"""Carries out a schedule of faults, and undoes each one whatever happens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from chaos.histories.history import CLOCK_AHEAD
from chaos.histories.recorder import Recorder
from chaos.nemeses import NEMESES
from chaos.nemeses.base import Nemesis
from chaos.run.schedule import Planned
from chaos.testbed.cluster import ClusterUnderTest, to_the_end


@dataclass(slots=True)
class Fault:
    """One that happened. `end_ns` is when it was undone; the cluster may need time after that.
    `majority_spared`: enough nodes for a majority were left alone, and could reach each other."""

    name: str
    start_ns: int
    end_ns: int = 0
    words: str = ""
    majority_spared: bool = False


class FaultDriver:
    """`faults`: those so far; `current`: the one under way."""

    def __init__(self, cluster: ClusterUnderTest, recorder: Recorder) -> None:
        self.faults: list[Fault] = []
        self.current: Fault | None = None
        self._cluster, self._recorder = cluster, recorder

    async def run(self, planned: Sequence[Planned]) -> None:
        """Every fault at its time. Cancelled: the one under way is undone, the rest is left out."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        for fault in planned:
            await asyncio.sleep(max(0.0, started + fault.start_s - loop.time()))
            await self._one(fault)

    async def _one(self, planned: Planned) -> None:
        nemeses = [
            NEMESES[part.nemesis](self._cluster, part.variant, random.Random(part.seed))
            for part in planned.parts
        ]
        fault = Fault(planned.name, self._recorder.now_ns())
        self.faults.append(fault)
        self.current = fault
        begun: list[Nemesis] = []
        try:
            for nemesis in nemeses:
                begun.append(nemesis)
                words = await nemesis.begin()
                fault.words = f"{fault.words}; {words}" if fault.words else words
            fault.majority_spared = self._spares_majority(nemeses)
            self._recorder.fault("invoke", fault.name, fault.words)
            await asyncio.gather(*(nemesis.last(planned.hold_s) for nemesis in nemeses))
        finally:
            await to_the_end(self._undo(begun))
            fault.end_ns = self._recorder.now_ns()
            self._recorder.fault("ok", fault.name, "over")
            self._note_clocks()
            self.current = None

    def _note_clocks(self) -> None:
        """Leases are measured with the nodes' clocks, so their checker has to know of these."""
        if self._cluster.hardware.ahead_ms:
            self._recorder.fault("info", CLOCK_AHEAD, self._cluster.hardware.ahead_ms)

    def _spares_majority(self, nemeses: Sequence[Nemesis]) -> bool:
        victims: set[str] = set()
        for nemesis in nemeses:
            if nemesis.victims is None:
                return False
            victims.update(nemesis.victims)
        return len(self._cluster.node_ids) - len(victims) >= self._cluster.majority

    async def _undo(self, begun: Sequence[Nemesis]) -> None:
        for nemesis in reversed(begun):
            await nemesis.end()
