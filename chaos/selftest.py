"""Tries the checkers on stores in memory: a right one and broken ones."""

from __future__ import annotations

import asyncio

from chaos.checkers import CHECKERS
from chaos.checkers.result import CheckBounds, CheckResult
from chaos.memory import MemoryStore
from chaos.recorder import Recorder
from chaos.workloads import WORKLOADS
from chaos.workloads.base import Surroundings, WorkloadOptions

CLIENTS, RATE = 6, 600.0


async def try_store(
    store: MemoryStore, workload_name: str, seconds: float, seed: int = 0, rate: float = RATE
) -> CheckResult:
    """Runs a workload on the store for a while; what its checker says."""
    workload = WORKLOADS[workload_name](WorkloadOptions(clients=CLIENTS, rate=rate), seed)
    around = Surroundings(store.connect, Recorder(), asyncio.Event())
    await workload.prepare(around)
    running = asyncio.ensure_future(workload.run(around))
    await asyncio.wait({running}, timeout=seconds)
    around.stopping.set()
    await running
    await workload.finish(Surroundings(store.connect, around.recorder, asyncio.Event()))
    return CHECKERS[workload.checker](around.recorder.events, CheckBounds())
