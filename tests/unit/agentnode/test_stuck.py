"""Slots that hang: everybody can see them, and a worker can be made to start anew."""

from __future__ import annotations

import asyncio
import threading

import pytest
import structlog

from agentnode.executors import RegistryRunner
from agentnode.registry import Registry
from agentnode.worker import Worker
from tests.support.agentnode import FakeClient, FakeTasks, config, running_worker
from tests.support.waiting import eventually


@pytest.fixture
def ended() -> threading.Event:
    return threading.Event()


@pytest.fixture
def registry(ended: threading.Event) -> Registry:
    registry = Registry()

    @registry.task()
    def stubborn(_: object) -> None:
        ended.wait(30)

    return registry


async def test_a_slot_that_hangs_is_reported_with_its_task_until_it_is_free(
    registry: Registry, ended: threading.Event
) -> None:
    client = FakeClient()
    client.tasks = FakeTasks(max_attempts=1)
    first = client.tasks.add(attempt_timeout_ms=30)
    with structlog.testing.capture_logs() as logs:
        async with running_worker(client, registry, slots=2, cancel_grace_ms=10):
            await eventually(lambda: client.stuck == [["t1"]])
            second = client.tasks.add(attempt_timeout_ms=30)
            await eventually(lambda: client.stuck[-1] == ["t1", "t2"])
            assert first.state == second.state == "dead", "the tasks themselves do not hang"
            ended.set()
            await eventually(lambda: client.stuck[-1] == [])
    told = [line for line in logs if line["event"].startswith("handler ignores")]
    assert [line["task_id"] for line in told] == ["t1", "t2"]


async def test_a_worker_whose_slots_all_hang_ends_to_be_started_again(
    registry: Registry, ended: threading.Event
) -> None:
    client = FakeClient()
    client.tasks = FakeTasks(max_attempts=1)
    settings = config(slots=2, cancel_grace_ms=10, restart_stuck_after_ms=100)
    worker = Worker(client, RegistryRunner(registry), settings)
    running = asyncio.ensure_future(worker.run())
    client.tasks.add(attempt_timeout_ms=30)
    await eventually(lambda: client.stuck == [["t1"]])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(running), 0.5)
    client.tasks.add(attempt_timeout_ms=30)
    await asyncio.wait_for(running, 15)
    assert worker.wants_restart
    ended.set()


async def test_a_slot_that_is_free_in_time_calls_the_restart_off(
    registry: Registry, ended: threading.Event
) -> None:
    client = FakeClient()
    client.tasks = FakeTasks(max_attempts=1)
    client.tasks.add(attempt_timeout_ms=30)
    async with running_worker(
        client, registry, slots=1, cancel_grace_ms=10, restart_stuck_after_ms=60_000
    ) as worker:
        await eventually(lambda: client.stuck == [["t1"]])
        assert worker._restart_timer is not None
        ended.set()
        await eventually(lambda: client.stuck[-1] == [])
        assert worker._restart_timer is None
    assert not worker.wants_restart
