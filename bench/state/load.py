"""Work for a cluster: filling it, keeping it busy, claiming much at once. Plain gRPC, no retries:
a call that fails fails the benchmark."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import quantiles
from typing import Any

import grpc.aio

from coord.channels import aio_channel
from coord.pb import common_pb2
from coord.pb import session_pb2 as session
from coord.pb import task_pb2 as task

_TIMEOUT_S = 60
_TTL_MS = 120_000
SUBMIT_BATCH = 1_000


class Caller:
    """The calls of this benchmark on one node."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        def method(path: str, request: Any, response: Any) -> Callable[[Any], Any]:
            call = channel.unary_unary(
                f"/coord.v1.{path}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )
            return lambda message: call(message, timeout=_TIMEOUT_S, wait_for_ready=True)

        self.submit = method("Tasks/Submit", task.SubmitRequest, task.SubmitResponse)
        self.claim = method("Tasks/Claim", task.ClaimRequest, task.ClaimResponse)
        self.complete = method("Tasks/Complete", task.CompleteRequest, task.CompleteResponse)
        self.queues = method("Tasks/ListQueues", task.ListQueuesRequest, task.ListQueuesResponse)
        self.open = method("Sessions/Open", session.OpenSessionRequest, session.OpenSessionResponse)

    async def open_session(self, ttl_ms: int = _TTL_MS) -> int:
        request = session.OpenSessionRequest(ttl_ms=ttl_ms, nonce=os.urandom(12), kind="worker")
        return int((await self.open(request)).session_id)

    async def claim_tasks(
        self, session_id: int, queue: str, count: int, ttl_ms: int = _TTL_MS, wait_ms: int = 0
    ) -> Any:
        header = common_pb2.RequestHeader(session_id=session_id)
        request = task.ClaimRequest(
            header=header, queues=[queue], max_tasks=count, lease_ttl_ms=ttl_ms, wait_ms=wait_ms
        )
        return (await self.claim(request)).tasks

    async def queue(self, name: str) -> Any:
        """The figures of a queue."""
        return (await self.queues(task.ListQueuesRequest(queue=name))).queues[0]


@asynccontextmanager
async def caller(address: str) -> AsyncIterator[Caller]:
    """Calls to one node."""
    options = [("grpc.max_receive_message_length", -1)]
    async with aio_channel(address, options) as channel:
        yield Caller(channel)


def specs(queue: str, count: int, payload_bytes: int) -> list[task.TaskSpec]:
    """Tasks with payloads that differ."""
    return [
        task.TaskSpec(queue=queue, payload=os.urandom(payload_bytes), type="bench")
        for _ in range(count)
    ]


async def fill(calls: Caller, queue: str, count: int, payload_bytes: int) -> None:
    """Submit `count` tasks, in large batches."""

    async def submit(position: int) -> None:
        size = min(SUBMIT_BATCH, count - position)
        await calls.submit(task.SubmitRequest(tasks=specs(queue, size, payload_bytes)))

    await in_parallel(4, [partial(submit, at) for at in range(0, count, SUBMIT_BATCH)])


async def in_parallel(width: int, jobs: list[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """Run all jobs, `width` at a time."""
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            await job()

    await asyncio.gather(*(work() for _ in range(width)))


@dataclass
class CycleFigures:
    """What a time of cycles (submit, claim, complete of a batch) came to. Times in ms."""

    seconds: float = 0.0
    tasks: int = 0
    submit_ms: list[float] = field(default_factory=list)
    claim_ms: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        return {
            "cycles_per_s": round(self.tasks / self.seconds),
            "submit_p50_ms": _quantile(self.submit_ms, 50),
            "submit_p99_ms": _quantile(self.submit_ms, 99),
            "claim_p50_ms": _quantile(self.claim_ms, 50),
            "claim_p99_ms": _quantile(self.claim_ms, 99),
            "slowest_ms": round(max([*self.submit_ms, *self.claim_ms]), 1),
        }


def _quantile(values: list[float], percent: int) -> float:
    return round(quantiles(values, n=100)[percent - 1], 2)


class Cycles:
    """Keeps a queue busy until told to stop: what is submitted is claimed and completed."""

    def __init__(self, calls: Caller, queue: str, batch: int = 32, width: int = 4) -> None:
        self._calls = calls
        self._queue = queue
        self._batch = batch
        self._width = width
        self._stop = asyncio.Event()
        self._figures = CycleFigures()

    async def run(self, seconds: float | None = None) -> CycleFigures:
        """Until `stop`, or for so many seconds."""
        self._stop.clear()
        self._figures = CycleFigures()
        started = time.monotonic()
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, self._stop.set)
        await asyncio.gather(*(self._work() for _ in range(self._width)))
        self._figures.seconds = time.monotonic() - started
        return self._figures

    def stop(self) -> None:
        self._stop.set()

    async def _work(self) -> None:
        calls, figures = self._calls, self._figures
        session_id = await calls.open_session()
        header = common_pb2.RequestHeader(session_id=session_id)
        while not self._stop.is_set():
            began = time.perf_counter()
            await calls.submit(task.SubmitRequest(tasks=specs(self._queue, self._batch, 64)))
            submitted = time.perf_counter()
            claimed = await calls.claim_tasks(session_id, self._queue, self._batch, wait_ms=1_000)
            figures.submit_ms.append((submitted - began) * 1e3)
            figures.claim_ms.append((time.perf_counter() - submitted) * 1e3)
            items = [
                task.CompleteItem(task_id=one.task_id, fencing_token=one.fencing_token, result=b"x")
                for one in claimed
            ]
            if items:
                await calls.complete(task.CompleteRequest(header=header, items=items))
                figures.tasks += len(items)
