"""This store through its own client."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bench.drivers.base import Driver, payload
from bench.errors import BenchError
from bench.job import Job
from bench.load import Operation
from coord.client import ClaimedTask, Client, Compare, ItemResult, Put, TaskSpec

CLAIM_WAIT_MS = 5_000
E2E_CALLERS = 64


class CoordDriver(Driver):
    """One client; concurrent calls ride together as they do for any user of it."""

    _client: Client

    async def open(self, job: Job) -> None:
        self._client = Client(job.connect["endpoints"], name=f"bench {job.name}", timeout_ms=30_000)
        self._others: list[Client] = []
        await self._client.open_session()

    async def close(self) -> None:
        for client in (self._client, *self._others):
            await client.close()

    def op_cycle(self, job: Job) -> Operation:
        return self._cycle_of_one(job) if job.batch == 1 else self._cycle_of_many(job)

    def _cycle_of_one(self, job: Job) -> Operation:
        tasks, data = self._client.tasks, payload(job)
        queue = job.name

        async def cycle(_: int) -> int:
            await tasks.submit(queue, data)
            claimed: Sequence[ClaimedTask] = ()
            while not claimed:
                claimed = await tasks.claim([queue], wait_ms=CLAIM_WAIT_MS)
            await tasks.complete(claimed[0], data)
            return 1

        return cycle

    def _cycle_of_many(self, job: Job) -> Operation:
        tasks, data = self._client.tasks, payload(job)
        queue = job.name
        specs = [TaskSpec(queue, data)] * job.batch

        async def cycle(_: int) -> int:
            await tasks.submit_many(specs)
            left = job.batch
            while left:
                claimed = await tasks.claim([queue], max_tasks=left, wait_ms=CLAIM_WAIT_MS)
                if claimed:
                    check(await tasks.complete_many([(task, data) for task in claimed]))
                left -= len(claimed)
            return job.batch

        return cycle

    def op_fill(self, job: Job) -> Operation:
        specs = [TaskSpec(job.name, payload(job))] * job.batch

        async def fill(_: int) -> int:
            await self._client.tasks.submit_many(specs)
            return job.batch

        return fill

    def op_put(self, job: Job) -> Operation:
        kv, data = self._client.kv, payload(job)

        async def put(caller: int) -> int:
            await kv.put(f"{job.name}/{caller % 1000}", data)
            return 1

        return put

    def op_steady_put(self, job: Job) -> Operation:
        """A client for each caller; it looks for the new leader by itself."""
        data = payload(job)
        clients: dict[int, Client] = {}

        async def put(caller: int) -> int:
            if caller not in clients:
                clients[caller] = Client(job.connect["endpoints"], timeout_ms=30_000)
                self._others.append(clients[caller])
            await clients[caller].kv.put(f"{job.name}/{caller}", data)
            return 1

        return put

    def op_get(self, job: Job) -> Operation:
        kv, data = self._client.kv, payload(job)
        written: dict[str, asyncio.Future[int]] = {}

        async def get(caller: int) -> int:
            key = f"{job.name}/{caller % 1000}"
            if key not in written:
                written[key] = asyncio.ensure_future(kv.put(key, data))
                await written[key]
            if await kv.get(key) is None:
                raise BenchError(f"{key} is gone")
            return 1

        return get

    def op_txn(self, job: Job) -> Operation:
        kv, data = self._client.kv, payload(job)
        versions: dict[str, int] = {}

        async def txn(caller: int) -> int:
            key = f"{job.name}/{caller}"
            version = versions.get(key, 0)
            done = await kv.txn([Compare.version(key, "=", version)], [Put(key, data)])
            if not done.succeeded:
                raise BenchError(f"{key} was changed by somebody else")
            versions[key] = version + 1
            return 1

        return txn

    def op_lock(self, job: Job) -> Operation:
        locks = self._client.locks

        async def lock(caller: int) -> int:
            grant = await locks.acquire(f"{job.name}/{caller}")
            if grant is None:
                raise BenchError("somebody else has the lock")
            await locks.release(grant)
            return 1

        return lock

    def op_take(self, job: Job) -> Operation:
        """Submits tasks and keeps their leases."""
        tasks, data = self._client.tasks, payload(job)
        specs = [TaskSpec(job.name, data)] * job.batch

        async def take(_: int) -> int:
            await tasks.submit_many(specs)
            left = job.batch
            while left:
                left -= len(
                    await tasks.claim(
                        [job.name], max_tasks=left, wait_ms=CLAIM_WAIT_MS, lease_ttl_ms=600_000
                    )
                )
            return job.batch

        return take

    def op_hold(self, job: Job) -> Operation:
        """Takes locks and keeps them, each another one."""
        locks, taken = self._client.locks, iter(range(10**9))

        async def hold(_: int) -> int:
            if await locks.acquire(f"{job.name}/{next(taken):08}") is None:
                raise BenchError("somebody else has the lock")
            return 1

        return hold

    def op_end_to_end(self, job: Job) -> Operation:
        """Tasks are submitted one a call by 64 callers, as a program that makes them would."""
        tasks, data = self._client.tasks, payload(job)
        queue = job.connect["queue"]

        async def end_to_end(_: int) -> int:
            ids: list[str] = []
            numbers = iter(range(job.batch))

            async def submitter() -> None:
                for _ in numbers:
                    task = await tasks.submit(queue, data, type="noop")
                    ids.append(task.task_id)

            await asyncio.gather(*(submitter() for _ in range(min(E2E_CALLERS, job.batch))))
            done = await tasks.wait(ids, omit_payload=True, timeout_ms=120_000)
            if not all(task.finished for task in done):
                raise BenchError("some tasks did not end within 120 s")
            return len(done)

        return end_to_end


def check(results: Sequence[ItemResult]) -> None:
    for result in results:
        if result.error is not None:
            raise result.error
