"""A worker against a cluster in memory: slots, outcomes, drain."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
import structlog

from agentnode.context import AsyncTaskContext, TaskContext
from agentnode.errors import (
    ClusterUnreachableError,
    PermanentError,
    RetryLater,
    TaskCancelledError,
    WorkerRefusedError,
)
from agentnode.executors import RegistryRunner
from agentnode.ports import ClaimedTask, DefiniteError, IndefiniteError
from agentnode.registry import Registry
from agentnode.settlement import Returns
from agentnode.worker import Worker
from tests.support.agentnode import FakeClient, config, running_worker, unavailable
from tests.support.waiting import eventually


@pytest.fixture
def registry() -> Registry:
    return Registry()


async def test_sync_handler_result_is_committed_as_json(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add(b'{"a": 2, "b": 3}')

    @registry.task()
    def add(payload: dict[str, int]) -> int:
        return payload["a"] + payload["b"]

    async with running_worker(client, registry):
        await eventually(lambda: task.state == "completed")
    assert task.results == [b"5"]


async def test_async_handler_gets_raw_bytes(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add(b"\xff\x00")

    @registry.task()
    async def double(payload: bytes, ctx: AsyncTaskContext) -> bytes:
        assert ctx.attempt == 1
        await asyncio.sleep(0)
        return payload * 2

    async with running_worker(client, registry):
        await eventually(lambda: task.state == "completed")
    assert task.results == [b"\xff\x00\xff\x00"]


async def test_sync_handlers_run_side_by_side_up_to_the_slots(registry: Registry) -> None:
    client = FakeClient()
    tasks = [client.tasks.add() for _ in range(7)]
    full, lock = threading.Event(), threading.Lock()
    running, most = 0, 0

    @registry.task()
    def work(_: object) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == 3:
                full.set()
        assert full.wait(5)
        with lock:
            running -= 1

    async with running_worker(client, registry, slots=3) as worker:
        await eventually(lambda: all(task.state == "completed" for task in tasks))
        assert worker.running <= 3
    assert most == 3
    assert max(count for name, count in client.tasks.calls if name == "slots") == 3


async def test_takes_only_as_many_as_there_are_free_slots(registry: Registry) -> None:
    client = FakeClient()
    release = asyncio.Event()

    @registry.task()
    async def hold(_: object) -> None:
        await release.wait()

    client.tasks.add()
    async with running_worker(client, registry, slots=3):
        await eventually(lambda: ("slots", 2) in client.tasks.calls)
        client.tasks.add()
        client.tasks.add()
        client.tasks.add()
        await eventually(
            lambda: [t.state for t in client.tasks.known.values()].count("claimed") == 3
        )
        assert client.tasks.known["t4"].state == "ready"
        release.set()
        await eventually(lambda: client.tasks.known["t4"].state == "completed")


async def test_the_next_task_is_taken_while_the_last_is_settled(registry: Registry) -> None:
    client = FakeClient()
    client.tasks.completes_wait = asyncio.Event()
    tasks = [client.tasks.add() for _ in range(5)]

    @registry.task()
    async def quick(_: object) -> None:
        return

    def completes() -> int:
        return sum(name == "complete" for name, _ in client.tasks.calls)

    async with running_worker(client, registry, slots=1, lease_ttl_ms=60_000) as worker:
        await eventually(lambda: completes() == 2)
        # One is settled beside the slot; the second keeps it, so no third one is taken.
        assert worker.running == 1
        assert [task.state for task in tasks] == ["claimed"] * 2 + ["ready"] * 3
        client.tasks.completes_wait.set()
        await eventually(lambda: all(task.state == "completed" for task in tasks))


async def test_exception_is_a_retryable_failure_with_its_place(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add()

    @registry.task()
    def breaks(_: object) -> None:
        raise ValueError("no such thing")

    async with running_worker(client, registry):
        await eventually(lambda: task.state == "dead")
    assert len(task.errors) == 3
    error, retryable, after = task.errors[0]
    assert error.startswith("ValueError: no such thing\n")
    assert "in breaks" in error
    assert (retryable, after) == (True, None)


@pytest.mark.parametrize("form", ["sync", "async"])
async def test_permanent_error_is_not_tried_again(registry: Registry, form: str) -> None:
    client = FakeClient()
    task = client.tasks.add()

    def sync_handler(_: object) -> None:
        raise PermanentError("never")

    async def async_handler(_: object) -> None:
        raise PermanentError("never")

    registry.task("work")(sync_handler if form == "sync" else async_handler)
    async with running_worker(client, registry):
        await eventually(lambda: task.state == "dead")
    assert [(retryable, error.splitlines()[0]) for error, retryable, _ in task.errors] == [
        (False, "PermanentError: never")
    ]


async def test_exception_types_can_be_declared_permanent(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add()

    @registry.task(permanent=(LookupError,))
    def work(_: object) -> None:
        raise KeyError("k")

    async with running_worker(client, registry):
        await eventually(lambda: task.state == "dead")
    assert [retryable for _, retryable, _ in task.errors] == [False]


async def test_retry_later_carries_the_delay(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add()

    @registry.task()
    async def work(_: object, ctx: AsyncTaskContext) -> int:
        if ctx.attempt == 1:
            raise RetryLater(after_ms=1234)
        return ctx.attempt

    async with running_worker(client, registry):
        await eventually(lambda: task.state == "completed")
    assert [(retryable, after) for _, retryable, after in task.errors] == [(True, 1234)]
    assert task.results == [b"2"]


@pytest.mark.parametrize("form", ["sync", "async"])
async def test_system_exit_in_a_handler_fails_the_task_and_nothing_else(
    registry: Registry, form: str
) -> None:
    client = FakeClient()
    task = client.tasks.add()

    def sync_handler(_: object, ctx: TaskContext) -> str:
        if ctx.attempt == 1:
            raise SystemExit(3)
        return "fine"

    async def async_handler(_: object, ctx: AsyncTaskContext) -> str:
        return sync_handler(_, ctx)  # type: ignore[arg-type]

    registry.task("work")(sync_handler if form == "sync" else async_handler)
    async with running_worker(client, registry):
        await eventually(lambda: task.state == "completed")
    assert task.errors[0][0].startswith("SystemExit: 3")


async def test_bad_payload_and_bad_result_are_permanent(registry: Registry) -> None:
    client = FakeClient()
    bad_payload = client.tasks.add(b"{", type="count")
    bad_result = client.tasks.add(b"[1]", type="odd")

    @registry.task()
    def count(payload: list[int]) -> int:
        return len(payload)

    @registry.task()
    def odd(payload: list[int]) -> object:
        return object()

    async with running_worker(client, registry):
        await eventually(lambda: bad_payload.state == bad_result.state == "dead")
    assert "payload does not fit handler 'count'" in bad_payload.errors[0][0]
    assert "result of handler 'odd' is not JSON" in bad_result.errors[0][0]


async def test_unknown_type_is_left_to_other_workers(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add(type="other")
    registry.task("work")(lambda _: None)
    with structlog.testing.capture_logs() as logs:
        async with running_worker(client, registry):
            for times in range(1, 5):
                await eventually(lambda times=times: task.released == times)  # type: ignore[misc]
                client.tasks.hand_out_again(task)
    assert task.errors == [], "an attempt that nobody made does not count"
    delays = [delay / 1_000 for delay in task.delays_ms[:4]]
    assert all(0.8 * 2**n <= delay <= 2**n for n, delay in enumerate(delays)), delays
    passed_on = [line for line in logs if line["event"] == "task passed on"]
    assert passed_on[0]["reason"] == "no handler for type 'other'"
    assert [line["log_level"] for line in passed_on[:3]] == ["warning", "debug", "debug"]


def test_the_delay_of_what_nobody_can_handle_is_bounded_and_forgotten() -> None:
    returns = Returns(most=2)
    delays = [returns.next_delay_ms("t1") for _ in range(50)]
    assert 24_000 <= delays[-1] <= 30_000
    returns.next_delay_ms("t2")
    returns.next_delay_ms("t3")
    assert returns.next_delay_ms("t1") <= 1_000, "two others came since"


async def test_stale_commit_is_dropped(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add()
    go = asyncio.Event()

    @registry.task()
    async def work(_: object) -> int:
        await go.wait()
        return 1

    async with running_worker(client, registry, lease_ttl_ms=60_000) as worker:
        await eventually(lambda: task.state == "claimed")
        client.tasks.take_away(task)
        go.set()
        await eventually(lambda: worker.running == 0)
    assert task.results == []
    assert task.errors == []


async def test_refused_result_becomes_a_permanent_failure(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add()
    client.tasks.fail_next["complete"] = [DefiniteError("1048577 bytes", "TOO_LARGE")]
    registry.task("work")(lambda _: 1)
    async with running_worker(client, registry):
        await eventually(lambda: task.state == "dead")
    assert task.errors == [("the result was refused: 1048577 bytes", False, None)]


async def test_commit_is_repeated_until_somebody_answers(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add()
    client.tasks.fail_next["complete"] = [unavailable(), IndefiniteError("?", "OUTCOME_UNKNOWN")]
    registry.task("work")(lambda _: 1)
    async with running_worker(client, registry):
        await eventually(lambda: task.state == "completed")
    assert task.results == [b"1"]


async def test_a_refusal_of_work_ends_the_worker(registry: Registry) -> None:
    client = FakeClient()
    client.tasks.fail_next["claim"] = [DefiniteError("bad queue name", "INVALID_ARGUMENT")]
    worker = Worker(client, RegistryRunner(registry), config())
    with pytest.raises(WorkerRefusedError, match="bad queue name"):
        await asyncio.wait_for(worker.run(), 5)


async def test_unreachable_cluster_ends_the_start(registry: Registry) -> None:
    client = FakeClient()
    client.tasks.unreachable = True
    worker = Worker(client, RegistryRunner(registry), config(connect_timeout_ms=100))
    with pytest.raises(ClusterUnreachableError, match="no node answers"):
        await asyncio.wait_for(worker.run(), 5)


async def test_drain_finishes_what_runs_and_claims_no_more(registry: Registry) -> None:
    client = FakeClient()
    first = client.tasks.add()
    go = asyncio.Event()
    seen: list[bool] = []

    @registry.task()
    async def work(_: object, ctx: AsyncTaskContext) -> int:
        seen.append(ctx.draining)
        await go.wait()
        seen.append(ctx.draining)
        return 1

    async with running_worker(client, registry, slots=1) as worker:
        await eventually(lambda: seen == [False])
        second = client.tasks.add()
        worker.stop()
        go.set()
    assert first.state == "completed"
    assert second.state == "ready"
    assert seen == [False, True]


async def test_drain_time_out_cancels_stores_the_checkpoint_and_gives_back(
    registry: Registry,
) -> None:
    client = FakeClient()
    coroutine = client.tasks.add(type="coroutine")
    thread = client.tasks.add(type="thread")

    @registry.task("coroutine")
    async def wait_forever(_: object, ctx: AsyncTaskContext) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ctx.save_checkpoint("coroutine was here")

    @registry.task("thread")
    def wait_for_cancel(_: object, ctx: TaskContext) -> None:
        assert ctx.cancelled.wait(10)
        ctx.save_checkpoint("thread was here")
        ctx.check_cancelled()

    async with running_worker(client, registry, drain_timeout_ms=50) as worker:
        await eventually(lambda: worker.running == 2)
    assert (coroutine.state, coroutine.checkpoint) == ("released", b'"coroutine was here"')
    assert (thread.state, thread.checkpoint) == ("released", b'"thread was here"')


async def test_second_stop_does_not_wait_for_the_drain_time_out(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add()
    ended = threading.Event()
    started = time.monotonic()

    @registry.task()
    def stubborn(_: object) -> None:
        ended.wait(20)

    async with running_worker(
        client, registry, drain_timeout_ms=60_000, cancel_grace_ms=60_000
    ) as worker:
        await eventually(lambda: worker.running == 1)
        worker.stop()
        worker.stop()
    assert time.monotonic() - started < 15
    assert task.state == "released"
    ended.set()


async def test_a_task_that_arrives_while_leaving_is_given_back(registry: Registry) -> None:
    client = FakeClient()
    client.tasks.late_after_stop = True
    busy = client.tasks.add(type="busy")
    go = asyncio.Event()

    @registry.task()
    async def busy_handler(_: object) -> None:
        await go.wait()

    registry.task("busy")(busy_handler)
    async with running_worker(client, registry, slots=2, lease_ttl_ms=30_000) as worker:
        await eventually(lambda: ("slots", 1) in client.tasks.calls)
        worker.stop()
        late = client.tasks.add(type="late")
        await eventually(lambda: late.state == "released")
        go.set()
    assert busy.state == "completed"


async def test_timeout_of_a_handler_fails_the_attempt(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add()

    @registry.task(timeout_ms=30)
    async def slow(_: object) -> None:
        await asyncio.Event().wait()

    async with running_worker(client, registry):
        await eventually(lambda: task.state == "dead")
    assert task.errors[0] == ("timed out: after 30 ms", True, None)


async def test_thread_that_ignores_its_timeout_keeps_its_slot_but_not_its_task(
    registry: Registry,
) -> None:
    client = FakeClient()
    client.tasks = type(client.tasks)(max_attempts=1)
    task = client.tasks.add(attempt_timeout_ms=30)
    ended = threading.Event()

    @registry.task()
    def stubborn(_: object) -> None:
        ended.wait(20)

    async with running_worker(client, registry, slots=1, cancel_grace_ms=10) as worker:
        await eventually(lambda: task.state == "dead")
        assert worker.running == 1
        ended.set()
        await eventually(lambda: worker.running == 0)
    assert task.results == []


async def test_check_cancelled_is_quiet_while_all_is_well(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add()

    @registry.task()
    def work(_: object, ctx: TaskContext) -> bool:
        ctx.check_cancelled()
        return ctx.is_cancelled

    async with running_worker(client, registry):
        await eventually(lambda: task.state == "completed")
    assert task.results == [b"false"]


async def test_handler_that_claims_to_be_cancelled_without_cause_has_failed(
    registry: Registry,
) -> None:
    client = FakeClient()
    task = client.tasks.add()

    @registry.task()
    def work(_: object) -> None:
        raise TaskCancelledError("says who")

    async with running_worker(client, registry):
        await eventually(lambda: task.state == "dead")
    assert task.errors[0][0] == "the handler stopped without being told to"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"queues": ()}, "queues"),
        ({"queues": ("a", "")}, "queues"),
        ({"slots": 0}, "slots"),
        ({"lease_ttl_ms": 99}, "lease_ttl_ms"),
        ({"drain_timeout_ms": -1}, "drain_timeout_ms"),
    ],
)
def test_bad_settings_name_the_field(changes: dict[str, object], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        config(**changes)


async def test_a_fault_in_the_heartbeats_ends_the_worker_instead_of_hiding(
    registry: Registry,
) -> None:
    client = FakeClient()
    client.tasks.add()

    async def broken(items: object, *, timeout_ms: int) -> list[object]:
        raise RuntimeError("a bug")

    client.tasks.heartbeat = broken  # type: ignore[method-assign, assignment]

    @registry.task()
    async def work(_: object) -> None:
        await asyncio.Event().wait()

    worker = Worker(client, RegistryRunner(registry), config(lease_ttl_ms=100, cancel_grace_ms=10))
    with pytest.raises(RuntimeError, match="a bug"):
        await asyncio.wait_for(worker.run(), 10)


async def test_commit_that_nobody_answers_until_the_lease_is_over_is_called_unknown(
    registry: Registry,
) -> None:
    client = FakeClient()
    client.tasks.add()
    client.tasks.fail_next["heartbeat"] = [unavailable() for _ in range(100)]
    client.tasks.fail_next["complete"] = [
        IndefiniteError("no answer", "OUTCOME_UNKNOWN", retryable=True) for _ in range(100)
    ]
    registry.task("work")(lambda _: 1)
    with structlog.testing.capture_logs() as logs:
        async with running_worker(client, registry, lease_ttl_ms=2_000) as worker:
            await eventually(lambda: any("elapsed_ms" in line for line in logs))
            await eventually(lambda: worker.running == 0)
    events = [line["event"] for line in logs]
    assert "task given up, outcome unknown" in events
    assert "task committed" not in events
    assert "fail" not in [name for name, _ in client.tasks.calls]


async def test_commit_whose_answer_was_lost_counts_as_committed(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add()
    complete = client.tasks.complete

    async def lose_the_first_answer(claim: ClaimedTask, result: bytes) -> None:
        await complete(claim, result)
        if len(task.results) == 1:
            client.tasks.complete = complete  # type: ignore[method-assign]
            raise IndefiniteError("no answer", "OUTCOME_UNKNOWN", retryable=True)

    client.tasks.complete = lose_the_first_answer  # type: ignore[method-assign]
    registry.task("work")(lambda _: 1)
    with structlog.testing.capture_logs() as logs:
        async with running_worker(client, registry, lease_ttl_ms=60_000) as worker:
            await eventually(lambda: task.state == "completed")
            await eventually(lambda: worker.running == 0)
    assert [line["event"] for line in logs].count("task committed") == 1
    assert task.results == [b"1"]
