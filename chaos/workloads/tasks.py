"""A task queue: some clients submit, others claim, keep alive, complete and fail.

Some workers outstay their lease and try to commit all the same, some vanish with their tasks."""

from __future__ import annotations

import itertools
import random
from typing import Any, ClassVar

from chaos.histories.recorder import Process
from chaos.stores.ports import StoreClient
from chaos.workloads.base import Surroundings, Workload, WorkloadOptions
from coord.client import ClaimedTask, HeartbeatItem, ItemResult, SubmittedTask, Task

LEASE_MS = 1_500
WAIT_MS = 300
MAX_ATTEMPTS = 50
LIST_LIMIT = 1_000_000
REPEAT_SHARE = 0.05
FATES = {
    "complete": 0.70,
    "beat": 0.10,
    "fail": 0.08,
    "give-up": 0.03,
    "outstay": 0.06,
    "vanish": 0.03,
}


class TasksWorkload(Workload):
    """One client in three submits, the others work."""

    name: ClassVar[str] = "tasks"
    checker: ClassVar[str] = "queue"

    def __init__(self, options: WorkloadOptions, seed: int) -> None:
        super().__init__(options, seed)
        self._queue = f"{options.prefix}chaos"
        self._payloads = itertools.count()

    async def run_client(self, number: int, rng: random.Random, around: Surroundings) -> None:
        if number % 3 == 0:
            await self._submit_on(number, rng, around)
        else:
            await self._work_on(number, rng, around)

    async def finish(self, around: Surroundings) -> None:
        process = self.process(around)
        async with around.connect(f"{self.name}-final") as client:
            await process.call(
                "list-tasks",
                None,
                None,
                lambda: client.tasks.list(self._queue, limit=LIST_LIMIT),
                shown=lambda tasks: [_listed(task) for task in tasks],
                read_only=True,
            )

    # ---- submitting

    async def _submit_on(self, number: int, rng: random.Random, around: Surroundings) -> None:
        process = self.process(around)
        payload = ""
        async with around.connect(f"{self.name}-submit-{number}") as client:
            while not around.stopping.is_set():
                if not payload or rng.random() >= REPEAT_SHARE:
                    payload = f"p{next(self._payloads)}"
                await self._submit(payload, client, process)
                await around.rest(self.pause_s(rng))

    async def _submit(self, payload: str, client: StoreClient, process: Process) -> None:
        def shown(task: SubmittedTask) -> dict[str, Any]:
            return {"task": task.task_id, "payload": payload}

        await process.call(
            "submit",
            None,
            payload,
            lambda: client.tasks.submit(
                self._queue,
                payload.encode(),
                idempotency_key=payload,
                max_attempts=MAX_ATTEMPTS,
                backoff_initial_ms=50,
                backoff_max_ms=200,
            ),
            shown=shown,
        )

    # ---- working

    async def _work_on(self, number: int, rng: random.Random, around: Surroundings) -> None:
        process = self.process(around)
        while not around.stopping.is_set():
            # Without an end of its session a client that leaves is one that crashed.
            async with around.connect(f"{self.name}-work-{number}", end_session=False) as client:
                while not around.stopping.is_set():
                    if await self._work_once(client, process, rng, around) == "vanish":
                        break

    async def _work_once(
        self, client: StoreClient, process: Process, rng: random.Random, around: Surroundings
    ) -> str:
        tasks = await process.call(
            "claim",
            None,
            None,
            lambda: client.tasks.claim(
                [self._queue], max_tasks=rng.randint(1, 3), lease_ttl_ms=LEASE_MS, wait_ms=WAIT_MS
            ),
            shown=lambda tasks: [_named(task) for task in tasks],
            allowance_s=WAIT_MS / 1_000,
        )
        if tasks is None:
            await around.rest(self.pause_s(rng))
        fate = ""
        for task in tasks or ():
            (fate,) = rng.choices(list(FATES), list(FATES.values()))
            if fate == "vanish":
                return fate
            await self._meet(fate, task, client, process, rng, around)
            await around.rest(self.pause_s(rng))
        return fate

    async def _meet(
        self,
        fate: str,
        task: ClaimedTask,
        client: StoreClient,
        process: Process,
        rng: random.Random,
        around: Surroundings,
    ) -> None:
        match fate:
            case "fail" | "give-up":
                await self._fail(task, client, process, retryable=fate == "fail")
                return
            case "beat":
                await around.rest(rng.uniform(0, LEASE_MS / 3_000))
                await self._beat(task, client, process)
            case "outstay":
                await around.rest(LEASE_MS / 1_000 + rng.uniform(0.05, 1.0))
        named = {**_named(task), "result": f"{task.task_id}/{task.fencing_token}"}
        await process.call(
            "complete",
            None,
            named,
            lambda: client.tasks.complete(task, named["result"].encode()),
            shown=lambda _: named,
        )

    async def _beat(self, task: ClaimedTask, client: StoreClient, process: Process) -> None:
        async def beat() -> ItemResult:
            (item,) = await client.tasks.heartbeat(
                [HeartbeatItem(task.task_id, task.fencing_token)]
            )
            if item.error is not None:
                raise item.error
            return item

        named = _named(task)
        await process.call("heartbeat", None, named, beat, shown=lambda _: named)

    async def _fail(
        self, task: ClaimedTask, client: StoreClient, process: Process, *, retryable: bool
    ) -> None:
        named = {**_named(task), "retryable": retryable}
        await process.call(
            "fail",
            None,
            named,
            lambda: client.tasks.fail(task, "meant to fail", retryable=retryable),
            shown=lambda _: named,
        )


def _named(task: ClaimedTask) -> dict[str, Any]:
    return {"task": task.task_id, "token": task.fencing_token}


def _listed(task: Task) -> dict[str, Any]:
    return {
        "task": task.task_id,
        # Completed tasks have none any more; it was their idempotency key, too.
        "payload": task.idempotency_key if task.payload_dropped else task.payload.decode(),
        "state": task.state.name,
        "result": task.result.decode(),
    }
