"""Leases stay alive while handlers work, and handlers stop when a lease is gone."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from agentnode.context import AsyncTaskContext, TaskContext
from agentnode.errors import TaskCancelledError
from agentnode.heartbeat import Heartbeats
from agentnode.held import HeldTask
from agentnode.ports import DefiniteError
from agentnode.registry import Registry
from coord.client import TaskState
from tests.support.agentnode import FakeClient, running_worker, unavailable
from tests.support.waiting import eventually


@pytest.fixture
def registry() -> Registry:
    return Registry()


async def test_heartbeats_go_on_while_a_sync_handler_blocks_its_thread(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add()
    go = threading.Event()
    registry.task("work")(lambda _: go.wait(10))
    async with running_worker(client, registry, lease_ttl_ms=150):
        await eventually(lambda: task.heartbeats >= 6)
        go.set()
    assert task.state == "completed"


async def test_one_call_renews_everything(registry: Registry) -> None:
    client = FakeClient()
    tasks = [client.tasks.add() for _ in range(4)]
    go = asyncio.Event()

    @registry.task()
    async def work(_: object) -> None:
        await go.wait()

    async with running_worker(client, registry, slots=4, lease_ttl_ms=300):
        await eventually(lambda: min(task.heartbeats for task in tasks) >= 3)
        go.set()
    beats = [items for name, items in client.tasks.calls if name == "heartbeat"]
    assert set(beats[:3]) == {4}


@pytest.mark.parametrize("form", ["sync", "async"])
async def test_lost_lease_cancels_the_handler_and_nothing_is_committed(
    registry: Registry, form: str
) -> None:
    client = FakeClient()
    task = client.tasks.add()
    seen: list[str] = []

    def sync_handler(_: object, ctx: TaskContext) -> int:
        assert ctx.cancelled.wait(5)
        try:
            ctx.check_cancelled()
        except TaskCancelledError as error:
            seen.append(str(error))
        return 1

    async def async_handler(_: object) -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
        return 1

    registry.task("work")(sync_handler if form == "sync" else async_handler)
    async with running_worker(client, registry, lease_ttl_ms=150) as worker:
        await eventually(lambda: worker.running == 1)
        client.tasks.take_away(task)
        await eventually(lambda: worker.running == 0)
    expected = "lease lost: STALE_FENCING_TOKEN" if form == "sync" else "cancelled"
    assert seen == [expected]
    assert (task.results, task.errors, task.released) == ([], [], 0)
    assert not [name for name, _ in client.tasks.calls if name in {"complete", "fail"}]


async def test_a_cancelled_task_stops_its_handler_without_a_heartbeat(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add()
    seen: list[str] = []

    @registry.task()
    def work(_: object, ctx: TaskContext) -> int:
        assert ctx.cancelled.wait(5)
        try:
            ctx.check_cancelled()
        except TaskCancelledError as error:
            seen.append(str(error))
        return 1

    async with running_worker(client, registry, lease_ttl_ms=60_000) as worker:
        await eventually(lambda: worker.running == 1)
        client.tasks.tell_lost(task, TaskState.CANCELLED, "not wanted")
        await eventually(lambda: worker.running == 0)
    assert seen == ["lease lost: cancelled: not wanted"]
    assert {name for name, _ in client.tasks.calls} == {"slots"}, "no heartbeat, no outcome"


async def test_silent_cluster_means_lost_when_the_lease_must_be_over(registry: Registry) -> None:
    client = FakeClient()
    client.tasks.heartbeats_hang = True
    client.tasks.add()
    lost_after: list[float] = []

    @registry.task()
    async def work(_: object) -> None:
        started = time.monotonic()
        try:
            await asyncio.Event().wait()
        finally:
            lost_after.append(time.monotonic() - started)

    async with running_worker(client, registry, lease_ttl_ms=300) as worker:
        await eventually(lambda: worker.running == 1)
        await eventually(lambda: lost_after)
        assert lost_after[0] <= 1.0
        await eventually(lambda: worker.running == 0)
    assert not [name for name, _ in client.tasks.calls if name in {"complete", "fail", "release"}]


async def test_a_missed_heartbeat_is_made_up_for(registry: Registry) -> None:
    client = FakeClient()
    client.tasks.fail_next["heartbeat"] = [unavailable()]
    task = client.tasks.add()
    go = asyncio.Event()

    @registry.task()
    async def work(_: object) -> int:
        await go.wait()
        return 1

    async with running_worker(client, registry, lease_ttl_ms=900):
        await eventually(lambda: task.heartbeats >= 2)
        go.set()
    assert task.results == [b"1"]


async def test_lost_session_loses_every_lease(registry: Registry) -> None:
    client = FakeClient()
    client.tasks.add()
    client.tasks.add()

    @registry.task()
    async def work(_: object) -> None:
        await asyncio.Event().wait()

    async with running_worker(client, registry, lease_ttl_ms=60_000) as worker:
        await eventually(lambda: worker.running == 2)
        client.tasks.lose_session(1)
        await eventually(lambda: worker.running == 0)
    assert not [name for name, _ in client.tasks.calls if name in {"complete", "fail", "release"}]


async def test_lost_session_leaves_the_leases_of_the_next_one_alone(registry: Registry) -> None:
    client = FakeClient()
    old = client.tasks.add()
    go = asyncio.Event()

    @registry.task()
    async def work(_: object) -> None:
        await go.wait()

    async with running_worker(client, registry, lease_ttl_ms=60_000) as worker:
        await eventually(lambda: worker.running == 1)
        client.tasks.session_id = 2
        new = client.tasks.add()
        await eventually(lambda: worker.running == 2)
        client.tasks.lose_session(1)
        await eventually(lambda: worker.running == 1)
        go.set()
        await eventually(lambda: new.state == "completed")
    assert old.results == []


async def test_checkpoint_goes_out_soon_and_the_next_attempt_starts_from_it(
    registry: Registry,
) -> None:
    client = FakeClient()
    task = client.tasks.add()
    starts: list[object] = []
    stored = threading.Event()

    @registry.task()
    def work(_: object, ctx: TaskContext) -> int:
        done = ctx.checkpoint_json(default=0)
        starts.append(done)
        if ctx.attempt == 1:
            ctx.save_checkpoint(7)
            assert stored.wait(5)
            raise OSError("lost connection")
        return done + 1

    async with running_worker(client, registry, lease_ttl_ms=60_000):
        await eventually(lambda: task.checkpoint == b"7")
        stored.set()
        await eventually(lambda: task.state == "completed")
    assert starts == [0, 7]
    assert task.results == [b"8"]


async def test_unsent_checkpoint_is_stored_before_the_failure(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add()

    @registry.task()
    async def work(_: object, ctx: AsyncTaskContext) -> bytes:
        if ctx.attempt == 1:
            ctx.save_checkpoint(b"half-way")
            raise OSError
        return ctx.checkpoint

    async with running_worker(client, registry, lease_ttl_ms=60_000, checkpoint_delay_ms=60_000):
        await eventually(lambda: task.state == "completed")
    assert task.results == [b"half-way"]


@pytest.mark.parametrize("form", ["sync", "async"])
async def test_flush_returns_when_the_checkpoint_is_durable(registry: Registry, form: str) -> None:
    client = FakeClient()
    client.tasks.fail_next["heartbeat"] = [unavailable()]
    task = client.tasks.add()
    seen: list[bytes] = []

    def sync_handler(_: object, ctx: TaskContext) -> None:
        ctx.save_checkpoint(b"1")
        ctx.flush()
        seen.append(task.checkpoint)

    async def async_handler(_: object, ctx: AsyncTaskContext) -> None:
        ctx.save_checkpoint(b"1")
        await ctx.flush()
        seen.append(task.checkpoint)

    registry.task("work")(sync_handler if form == "sync" else async_handler)
    async with running_worker(client, registry, lease_ttl_ms=60_000, checkpoint_delay_ms=60_000):
        await eventually(lambda: task.state == "completed")
    assert seen == [b"1"]


async def test_flush_after_the_lease_is_lost_raises(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add()
    seen: list[str] = []

    @registry.task()
    def work(_: object, ctx: TaskContext) -> None:
        client.tasks.take_away(task)
        ctx.save_checkpoint(b"1")
        try:
            ctx.flush()
        except TaskCancelledError:
            seen.append("refused")
            raise

    async with running_worker(client, registry, lease_ttl_ms=60_000) as worker:
        await eventually(lambda: seen)
        await eventually(lambda: worker.running == 0)
    assert task.checkpoint == b""


async def test_progress_is_reported_in_permille(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add(progress_timeout_ms=90)
    go = asyncio.Event()

    @registry.task()
    async def work(_: object, ctx: AsyncTaskContext) -> None:
        ctx.report_progress(0.25)
        await go.wait()
        ctx.report_progress(1)
        await ctx.flush()

    async with running_worker(client, registry, lease_ttl_ms=60_000):
        await eventually(lambda: task.progress == [250])
        go.set()
        await eventually(lambda: task.state == "completed")
    assert task.progress == [250, 1000]


async def test_bad_checkpoint_and_progress_are_the_handlers_error(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add()
    problems: list[str] = []

    @registry.task()
    def work(_: object, ctx: TaskContext) -> None:
        for call in (
            lambda: ctx.save_checkpoint(b"x" * (1_048_576 + 1)),
            lambda: ctx.save_checkpoint({1, 2}),
            lambda: ctx.report_progress(1.01),
        ):
            try:
                call()
            except (ValueError, TypeError) as error:
                problems.append(str(error))

    async with running_worker(client, registry):
        await eventually(lambda: task.state == "completed")
    assert len(problems) == 3
    assert "at most 1048576 bytes" in problems[0]


async def test_refused_report_is_not_repeated_and_keeps_the_lease() -> None:
    client = FakeClient()
    task = client.tasks.add()
    claim = await client.tasks.next_task(60_000)
    held = HeldTask(claim, lease_start=asyncio.get_running_loop().time())
    heartbeats = Heartbeats(client.tasks)
    heartbeats.add(held)
    held.report(checkpoint=b"odd")
    client.tasks.refuse_checkpoints = DefiniteError("too large", "TOO_LARGE")
    await heartbeats.confirm(held)
    assert not held.lost
    assert not held.has_checkpoint
    assert await heartbeats.confirm(held)
    assert task.heartbeats == 1
    heartbeats.remove(held)


async def test_checkpoints_that_do_not_fit_one_call_go_with_the_next() -> None:
    client = FakeClient()
    tasks = [client.tasks.add() for _ in range(5)]
    claims = [await client.tasks.next_task(60_000) for _ in range(5)]
    heartbeats = Heartbeats(client.tasks, checkpoint_delay_ms=0)
    now = asyncio.get_running_loop().time()
    for claim in claims:
        held = HeldTask(claim, lease_start=now)
        held.report(checkpoint=b"x" * 900_000)
        heartbeats.add(held)
    running = asyncio.create_task(heartbeats.run())
    await eventually(lambda: all(task.checkpoint for task in tasks))
    running.cancel()
    await asyncio.wait({running})
    sizes = client.tasks.checkpoint_bytes
    assert max(sizes) <= 2 * 1024 * 1024
    assert sum(sizes) == 5 * 900_000


async def test_claim_that_took_most_of_its_lease_is_asked_about_first(registry: Registry) -> None:
    client = FakeClient()
    client.tasks.slow_claim_s = 0.45
    client.tasks.steal_after_claim = True
    task = client.tasks.add()
    started: list[int] = []

    @registry.task()
    async def work(_: object) -> None:
        started.append(1)

    async with running_worker(client, registry, lease_ttl_ms=600) as worker:
        await eventually(lambda: ("heartbeat", 1) in client.tasks.calls)
        await eventually(lambda: worker.running == 0)
    assert started == []
    assert task.results == []
