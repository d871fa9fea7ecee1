"""Clients that submit and complete tasks against a cluster under faults, and remember exactly what
was acknowledged to them; then a check of the cluster's state against that memory.

Verified: every acknowledged submit is known to the cluster; every acknowledged completion is the
committed result; no task was committed to two callers; the queue's own counters agree with its
tasks. Not verified: order, latency, and anything about calls that ended with an unknown outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import defaultdict
from dataclasses import dataclass, field

from coord.client import Client
from coord.client.transport.errors import CoordError, DefiniteError

QUEUE = "load"


@dataclass(slots=True)
class Memory:
    """What the callers were told. `completed` has a list, so that a second commit would show."""

    submitted: dict[str, bytes] = field(default_factory=dict)
    completed: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    unknown_calls: int = 0
    refused_calls: int = 0
    write_times_s: list[float] = field(default_factory=list)

    def count_error(self, error: CoordError) -> None:
        if isinstance(error, DefiniteError):
            self.refused_calls += 1
        else:
            self.unknown_calls += 1


class AcknowledgedLoad:
    """Runs `submitters` and `workers`, each with a client of its own, until `stop()`. Each rests
    `pause_s` after every call."""

    def __init__(
        self, endpoints: str, submitters: int = 2, workers: int = 3, pause_s: float = 0.0
    ) -> None:
        self.memory = Memory()
        self._endpoints = endpoints
        self._counts = (submitters, workers)
        self._pause_s = pause_s
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    def start(self) -> None:
        submitters, workers = self._counts
        for number in range(submitters):
            self._tasks.append(asyncio.create_task(self._submit_forever(number)))
        for number in range(workers):
            self._tasks.append(asyncio.create_task(self._work_forever(number)))
        self._tasks.append(asyncio.create_task(self._probe_forever()))

    async def stop(self) -> None:
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    def _client(self, name: str) -> Client:
        return Client(self._endpoints, name=name, timeout_ms=5_000, session_ttl_ms=10_000)

    async def _submit_forever(self, number: int) -> None:
        async with self._client(f"submitter-{number}") as client:
            for sequence in itertools.count():
                await asyncio.sleep(self._pause_s)
                if self._stopping.is_set():
                    return
                payload = f"{number}:{sequence}".encode()
                try:
                    task = await client.tasks.submit(
                        QUEUE, payload, idempotency_key=f"{number}:{sequence}", max_attempts=1_000
                    )
                except CoordError as error:
                    self.memory.count_error(error)
                    continue
                self.memory.submitted[task.task_id] = payload

    async def _work_forever(self, number: int) -> None:
        async with self._client(f"worker-{number}") as client:
            while not self._stopping.is_set():
                await asyncio.sleep(self._pause_s)
                try:
                    await self._work_once(client, number)
                except CoordError as error:
                    self.memory.count_error(error)

    async def _work_once(self, client: Client, number: int) -> None:
        for task in await client.tasks.claim(
            [QUEUE], max_tasks=4, lease_ttl_ms=3_000, wait_ms=200, worker=f"w{number}"
        ):
            result = b"%d:%d" % (number, task.fencing_token)
            await client.tasks.complete(task, result)
            self.memory.completed[task.task_id].append(result)

    async def _probe_forever(self) -> None:
        """Writes one key as often as it can; the longest gap is the unavailability callers see."""
        loop = asyncio.get_running_loop()
        async with self._client("probe") as client:
            while not self._stopping.is_set():
                with contextlib.suppress(CoordError):
                    await client.kv.put("probe", b"x")
                    self.memory.write_times_s.append(loop.time())
                await asyncio.sleep(0.005)

    def longest_gap_ms(self, since_s: float, until_s: float) -> float:
        """The longest time without a successful probe write in the window, edges included."""
        inside = [t for t in self.memory.write_times_s if since_s <= t <= until_s]
        points = [since_s, *inside, until_s]
        return max(b - a for a, b in itertools.pairwise(points)) * 1_000


async def losses(endpoints: str, memory: Memory) -> list[str]:
    """One line per broken promise; empty when all held."""
    wrong = []
    async with Client(endpoints, name="verifier", timeout_ms=30_000) as client:
        for task_id, payload in memory.submitted.items():
            task = await client.tasks.get(task_id)
            if task.payload != payload and not task.payload_dropped:
                wrong.append(f"{task_id}: acknowledged payload {payload!r}, kept {task.payload!r}")
        for task_id, results in memory.completed.items():
            task = await client.tasks.get(task_id)
            if len(results) > 1:
                wrong.append(f"{task_id}: committed {len(results)} times: {results}")
            if task.state.name != "COMPLETED" or task.result != results[0]:
                wrong.append(f"{task_id}: acknowledged {results[0]!r}, but {task.state.name}")
        (queue,) = [q for q in await client.queues.list() if q.queue == QUEUE]
        held = queue.ready + queue.scheduled + queue.claimed
        ended = queue.completed_total + queue.dead_total + queue.cancelled_total
        if queue.submitted_total != held + ended:
            wrong.append(f"queue counters disagree: {queue}")
        if queue.completed_total < len(memory.completed):
            wrong.append(f"{queue.completed_total} committed, {len(memory.completed)} acknowledged")
    return wrong
