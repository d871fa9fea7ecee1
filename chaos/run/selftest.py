"""Tries the checkers on stores in memory: a right one and broken ones."""

from __future__ import annotations

import asyncio
import contextlib
import json

from chaos.checkers import CHECKERS
from chaos.checkers.result import CheckBounds, CheckResult
from chaos.histories.recorder import Recorder
from chaos.stores.memory import MemoryStore
from chaos.testbed.agents import QUEUE
from chaos.workloads import WORKLOADS
from chaos.workloads.base import Surroundings, WorkloadOptions
from coord.client import CoordError

CLIENTS, RATE = 6, 600.0
LEASE_MS = 40
TURN_S = 0.01


async def _agent(store: MemoryStore) -> None:
    """What stands for an agent process; it outstays some of its leases."""
    async with store.connect("agent") as client:
        while True:
            for task in await client.tasks.claim([QUEUE], lease_ttl_ms=LEASE_MS, wait_ms=1_000):
                await asyncio.sleep(2 * LEASE_MS / 1_000 if task.fencing_token % 5 == 0 else 0)
                made = {"task_id": task.task_id, "attempt": task.attempt}
                with contextlib.suppress(CoordError):
                    await client.tasks.complete(task, json.dumps(made).encode())


async def _turns(seconds: float) -> None:
    """So long, or longer on a machine that is busy: stores go wrong once in so many calls, and
    there are fewer in the same time."""
    for _ in range(round(seconds / TURN_S)):
        await asyncio.sleep(TURN_S)


async def try_store(
    store: MemoryStore, workload_name: str, seconds: float, seed: int = 0, rate: float = RATE
) -> CheckResult:
    """Runs a workload on the store for a while; what its checker says."""
    workload = WORKLOADS[workload_name](WorkloadOptions(clients=CLIENTS, rate=rate), seed)
    around = Surroundings(store.connect, Recorder(), asyncio.Event())
    await workload.prepare(around)
    running = asyncio.ensure_future(workload.run(around))
    agents = [asyncio.ensure_future(_agent(store)) for _ in range(workload.agents)]
    turns = asyncio.ensure_future(_turns(seconds))
    await asyncio.wait({running, turns}, return_when=asyncio.FIRST_COMPLETED)
    turns.cancel()
    around.stopping.set()
    await running
    await workload.finish(Surroundings(store.connect, around.recorder, asyncio.Event()))
    for agent in agents:
        agent.cancel()
    await asyncio.gather(*agents, return_exceptions=True)
    return CHECKERS[workload.checker](around.recorder.events, CheckBounds())
