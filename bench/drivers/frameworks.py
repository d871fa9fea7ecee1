"""Task frameworks as their users see them: hand over no-op tasks, wait for all results."""

from __future__ import annotations

import asyncio
import importlib
import time
from typing import Any

from bench.drivers.base import Driver, payload
from bench.errors import BenchError
from bench.job import Job
from bench.load import Operation

SUBMITTERS = 64
POLL_S = 0.01
LONGEST_S = 120


class CeleryDriver(Driver):
    """Celery's API is blocking: one thread publishes over one kept connection, and then waits. More
    threads do not help: its result consumer is not made for them."""

    _app: Any

    async def open(self, job: Job) -> None:
        module = importlib.import_module("bench.apps.celery_app")
        self._app = module.make_app(job.connect["url"])

    async def close(self) -> None:
        await asyncio.to_thread(self._app.close)

    def op_end_to_end(self, job: Job) -> Operation:
        data = payload(job).decode("latin-1")
        noop = self._app.tasks["noop"]
        results = importlib.import_module("celery.result")

        def work() -> int:
            with self._app.producer_or_acquire() as producer:
                sent = [noop.apply_async((data,), producer=producer) for _ in range(job.batch)]
            results.ResultSet(sent, app=self._app).join_native(timeout=LONGEST_S)
            return len(sent)

        async def end_to_end(_: int) -> int:
            return await asyncio.to_thread(work)

        return end_to_end


class ProcrastinateDriver(Driver):
    """Jobs are deferred one a call by 64 callers over its connection pool. There is no call that
    waits for a job, so the table is asked how many have ended."""

    _app: Any
    _opened: Any

    async def open(self, job: Job) -> None:
        module = importlib.import_module("bench.apps.procrastinate_app")
        self._app = module.make_app(job.connect["conninfo"])
        self._opened = self._app.open_async()
        await self._opened.__aenter__()

    async def close(self) -> None:
        await self._opened.__aexit__(None, None, None)

    def op_end_to_end(self, job: Job) -> Operation:
        data = payload(job).decode("latin-1")
        noop = self._app.tasks["noop"]
        defer = noop.configure(queue=job.connect["queue"]).defer_async

        async def end_to_end(_: int) -> int:
            numbers = iter(range(job.batch))
            ids: list[int] = []

            async def submitter() -> None:
                for _ in numbers:
                    job_id: int = await defer(data=data)
                    ids.append(job_id)

            await asyncio.gather(*(submitter() for _ in range(min(SUBMITTERS, job.batch))))
            await self._wait(ids)
            return len(ids)

        return end_to_end

    async def _wait(self, ids: list[int]) -> None:
        deadline = time.monotonic() + LONGEST_S
        query = (
            "SELECT count(*) AS n FROM procrastinate_jobs"
            " WHERE id >= %(first)s AND id <= %(last)s AND status = 'succeeded'"
        )
        while True:
            row = await self._app.connector.execute_query_one_async(
                query, first=min(ids), last=max(ids)
            )
            if row["n"] >= len(ids):
                return
            if time.monotonic() > deadline:
                raise BenchError(f"{row['n']} of {len(ids)} jobs ended within {LONGEST_S} s")
            await asyncio.sleep(POLL_S)


class DaskDriver(Driver):
    """`Client.map` over no-op calls and `gather`; results live in memory only."""

    _client: Any

    async def open(self, job: Job) -> None:
        distributed = importlib.import_module("distributed")
        self._client = await distributed.Client(job.connect["address"], asynchronous=True)

    async def close(self) -> None:
        await self._client.close()

    def op_end_to_end(self, job: Job) -> Operation:
        data = payload(job)
        noop = importlib.import_module("bench.apps.dask_app").noop

        async def end_to_end(_: int) -> int:
            futures = self._client.map(noop, [data] * job.batch, pure=False)
            return len(await self._client.gather(futures))

        return end_to_end
