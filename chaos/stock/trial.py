"""Registers on a cluster of stock PySyncObj whose leader is cut off from its peers, not from its
clients: it believes in itself for half a minute (`leaderFallbackTimeout`) and answers reads from
what it has, while the others elect a new one and go on. The checker has to see the stale reads."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from chaos.checkers import CHECKERS
from chaos.checkers.result import CheckBounds, CheckResult
from chaos.histories.recorder import Recorder
from chaos.run.faults import FaultDriver
from chaos.run.schedule import Part, Planned
from chaos.stock.cluster import StockCluster
from chaos.workloads.base import Surroundings, WorkloadOptions
from chaos.workloads.register import RegisterWorkload

NODES, CLIENTS, RATE, TIMEOUT_MS = 3, 6, 60.0, 1_000
QUIET_S, HOLD_S = 1.0, 6.0  # the library's elections take up to 1.4 s, when votes are not split


async def try_stock(seed: int, *, cut: bool = True, hold_s: float = HOLD_S) -> CheckResult:
    """What the checker says; without the cut there should be nothing to say."""
    recorder = Recorder()
    options = WorkloadOptions(clients=CLIENTS, rate=RATE, timeout_ms=TIMEOUT_MS)
    clients = RegisterWorkload(options, seed)
    with tempfile.TemporaryDirectory(prefix="chaos-stock-") as directory:
        cluster = StockCluster(Path(directory), NODES, seed=seed)
        # Registers need no more than this client has.
        around = Surroundings(cluster.connect, recorder, asyncio.Event())  # type: ignore[arg-type]
        try:
            await cluster.up()
            running = asyncio.ensure_future(clients.run(around))
            fault = Planned(QUIET_S, hold_s, (Part("partition", "isolate-leader", seed),))
            await asyncio.gather(
                FaultDriver(cluster, recorder).run([fault] if cut else []),
                asyncio.sleep(QUIET_S + hold_s),
            )
            around.stopping.set()
            await running
        finally:
            await cluster.down()
    return CHECKERS[clients.checker](recorder.events, CheckBounds())
