"""Real agent processes work on a queue: clients submit tasks, `agentnode` processes claim, run and
commit them, all by themselves. What came of it is looked up in the end."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from typing import Any, ClassVar

from chaos.histories.recorder import Process
from chaos.stores.ports import StoreClient
from chaos.testbed.agents import QUEUE
from chaos.workloads.base import Surroundings, Workload, WorkloadOptions
from coord.client import Task, TaskState

MAX_ATTEMPTS = 50
LIST_LIMIT = 1_000_000
RATE_SHARE = 0.3  # a process for each task costs more than a call
DONE_WITHIN_S = 20.0
OPEN_STATES = (TaskState.SCHEDULED, TaskState.READY, TaskState.CLAIMED)


class AgentsWorkload(Workload):
    """Tasks for real agents."""

    name: ClassVar[str] = "agents"
    checker: ClassVar[str] = "agents"
    agents: ClassVar[int] = 3

    def __init__(self, options: WorkloadOptions, seed: int) -> None:
        super().__init__(options, seed)
        self._payloads = itertools.count()

    async def run_client(self, number: int, rng: random.Random, around: Surroundings) -> None:
        process = self.process(around)
        async with around.connect(f"{self.name}-{number}") as client:
            while not around.stopping.is_set():
                await self._submit(f"p{next(self._payloads)}", client, process)
                await around.rest(self.pause_s(rng) / RATE_SHARE)

    async def finish(self, around: Surroundings) -> None:
        """Wait until everything is done, for a bounded time, and look."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DONE_WITHIN_S
        process = self.process(around)
        async with around.connect(f"{self.name}-final") as client:
            while loop.time() < deadline:
                if not await client.tasks.list(QUEUE, OPEN_STATES, limit=1):
                    break
                await around.rest(0.1)
            await process.call(
                "list-tasks",
                None,
                None,
                lambda: client.tasks.list(QUEUE, limit=LIST_LIMIT),
                shown=lambda tasks: [_listed(task) for task in tasks],
                read_only=True,
            )

    async def _submit(self, payload: str, client: StoreClient, process: Process) -> None:
        await process.call(
            "submit",
            None,
            payload,
            lambda: client.tasks.submit(
                QUEUE,
                json.dumps(payload).encode(),
                idempotency_key=payload,
                max_attempts=MAX_ATTEMPTS,
                backoff_initial_ms=50,
                backoff_max_ms=200,
            ),
            shown=lambda task: {"task": task.task_id, "payload": payload},
        )


def _listed(task: Task) -> dict[str, Any]:
    return {
        "task": task.task_id,
        # Completed tasks have none any more; it was their idempotency key, too.
        "payload": task.idempotency_key if task.payload_dropped else json.loads(task.payload),
        "state": task.state.name,
        "attempt": task.attempt,
        "result": json.loads(task.result) if task.result else None,
    }
