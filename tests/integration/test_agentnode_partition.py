"""A worker that is cut off stops its handler before anybody else can get the task."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from agentnode.context import AsyncTaskContext
from agentnode.executors import RegistryRunner
from agentnode.registry import Registry
from agentnode.worker import Worker
from coord.client import Client, TaskState
from tests.support.agentnode import config
from tests.support.cut_link import link_to
from tests.support.rpc import local_node
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(60)


class Fleet:
    """Two workers of the same handler, and when their attempts began and ended."""

    def __init__(self) -> None:
        self.begun: dict[int, float] = {}
        self.stopped: dict[int, float] = {}
        self.go = asyncio.Event()
        self.registry = Registry()
        self.registry.task("work")(self._work)

    async def _work(self, _: object, ctx: AsyncTaskContext) -> int:
        self.begun[ctx.attempt] = time.monotonic()
        try:
            await self.go.wait()
        finally:
            self.stopped[ctx.attempt] = time.monotonic()
        return ctx.attempt

    @contextlib.asynccontextmanager
    async def worker(
        self, address: str, name: str, lease_ttl_ms: int = 1_000
    ) -> AsyncIterator[Worker]:
        async with Client(address, name=name, kind="worker", timeout_ms=2_000) as client:
            worker = Worker(
                client, RegistryRunner(self.registry), config(name=name, lease_ttl_ms=lease_ttl_ms)
            )
            running = asyncio.create_task(worker.run())
            try:
                yield worker
            finally:
                worker.stop()
                worker.stop()
                await asyncio.wait({running}, timeout=10)


async def test_a_worker_that_is_cut_off_stops_before_another_starts() -> None:
    fleet = Fleet()
    async with (
        local_node() as node,
        Client(node.address, name="test") as client,
        link_to(node.address) as link,
    ):
        task = await client.tasks.submit("q", b"null", backoff_initial_ms=1)
        async with fleet.worker(link.address, "first"):
            await eventually(lambda: 1 in fleet.begun)
            async with fleet.worker(node.address, "second"):
                link.cut()
                await eventually(lambda: 2 in fleet.begun, 15)
                assert fleet.stopped[1] < fleet.begun[2]
                link.mend()
                fleet.go.set()
                (done,) = await client.tasks.wait([task.task_id], timeout_ms=10_000)
    assert (done.state, done.result) == (TaskState.COMPLETED, b"2")


async def test_a_short_cut_goes_unnoticed() -> None:
    fleet = Fleet()
    async with (
        local_node() as node,
        Client(node.address, name="test") as client,
        link_to(node.address) as link,
    ):
        task = await client.tasks.submit("q", b"null")
        async with fleet.worker(link.address, "first", lease_ttl_ms=2_000):
            await eventually(lambda: 1 in fleet.begun)
            link.cut()
            mend_at = time.monotonic() + 0.3
            await eventually(lambda: time.monotonic() > mend_at)
            link.mend()
            outlived = time.monotonic() + 2.5
            await eventually(lambda: time.monotonic() > outlived)
            assert fleet.stopped == {}
            fleet.go.set()
            (done,) = await client.tasks.wait([task.task_id], timeout_ms=10_000)
    assert (done.state, done.result, done.attempt) == (TaskState.COMPLETED, b"1", 1)
