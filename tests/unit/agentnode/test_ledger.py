"""Side effects happen at most once over all attempts, overlapping ones included."""

from __future__ import annotations

import asyncio
import json

import pytest

from agentnode.context import AsyncTaskContext, BaseContext, TaskContext
from agentnode.errors import (
    SideEffectNotDoneError,
    TaskCancelledError,
    UnfinishedSideEffectError,
)
from agentnode.ledger import Intent, Recorded, SideEffectLedger
from agentnode.ports import IndefiniteError
from agentnode.registry import Registry
from tests.support.agentnode import FakeClient, FakeKv, running_worker
from tests.support.waiting import eventually


def ledger(kv: FakeKv, attempt: int = 1, token: int = 10) -> SideEffectLedger:
    return SideEffectLedger(kv, task_id="t1", attempt=attempt, fencing_token=token)


async def test_intent_is_recorded_before_and_outcome_after() -> None:
    kv = FakeKv()
    intent = await ledger(kv).begin("mail", repeatable=False)
    assert isinstance(intent, Intent)
    key = "agentnode/effects/t1/mail"
    assert json.loads(kv.entries[key].value) == {
        "state": "intent",
        "attempt": 1,
        "fencing_token": 10,
    }
    assert await ledger(kv).finish(intent, {"id": 5}) == {"id": 5}
    assert json.loads(kv.entries[key].value)["state"] == "done"
    assert await ledger(kv, 2, 20).begin("mail", repeatable=False) == Recorded({"id": 5})


@pytest.mark.parametrize("value", [b"\x00\xff", b"", "text", None, 0, [1, {"a": None}]])
async def test_every_repeat_sees_the_same_outcome(value: object) -> None:
    kv = FakeKv()
    intent = await ledger(kv).begin("e", repeatable=False)
    assert isinstance(intent, Intent)
    assert await ledger(kv).finish(intent, value) == value
    assert await ledger(kv, 2, 20).begin("e", repeatable=True) == Recorded(value)


async def test_unfinished_effect_is_reported_with_its_attempt() -> None:
    kv = FakeKv()
    await ledger(kv, attempt=1, token=10).begin("mail", repeatable=False)
    with pytest.raises(UnfinishedSideEffectError, match="begun by attempt 1") as caught:
        await ledger(kv, attempt=2, token=20).begin("mail", repeatable=False)
    assert (caught.value.name, caught.value.attempt) == ("mail", 1)


async def test_repeatable_effect_may_be_begun_again_and_fences_the_old_attempt() -> None:
    kv = FakeKv()
    old = await ledger(kv, 1, 10).begin("put", repeatable=True)
    new = await ledger(kv, 2, 20).begin("put", repeatable=True)
    assert isinstance(old, Intent)
    assert isinstance(new, Intent)
    with pytest.raises(TaskCancelledError):
        await ledger(kv, 1, 10).finish(old, "old")
    with pytest.raises(TaskCancelledError):
        await ledger(kv, 1, 10).begin("put", repeatable=True)
    assert await ledger(kv, 2, 20).finish(new, "new") == "new"


async def test_of_overlapping_attempts_only_one_begins() -> None:
    kv = FakeKv()
    results = await asyncio.gather(
        *(ledger(kv, n, n).begin("e", repeatable=False) for n in range(1, 6)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, Intent) for result in results) == 1
    others = [result for result in results if not isinstance(result, Intent)]
    assert all(
        isinstance(other, TaskCancelledError | UnfinishedSideEffectError) for other in others
    )


async def test_effects_of_one_task_are_told_apart_by_name() -> None:
    kv = FakeKv()
    assert isinstance(await ledger(kv).begin("a", repeatable=False), Intent)
    assert isinstance(await ledger(kv).begin("b", repeatable=False), Intent)
    for bad in ("", "x" * 1025):
        with pytest.raises(ValueError, match="name"):
            await ledger(kv).begin(bad, repeatable=False)


@pytest.mark.parametrize("form", ["sync", "async"])
async def test_once_acts_once_over_all_attempts(form: str) -> None:
    client, registry = FakeClient(), Registry()
    task = client.tasks.add()
    acts: list[int] = []

    def act() -> str:
        acts.append(1)
        return "sent"

    async def act_async() -> str:
        return act()

    def sync_handler(_: object, ctx: TaskContext) -> str:
        result = ctx.once("mail", act)
        if ctx.attempt < 3:
            raise OSError("after the effect")
        return result

    async def async_handler(_: object, ctx: AsyncTaskContext) -> str:
        result = await ctx.once("mail", act_async)
        if ctx.attempt < 3:
            raise OSError("after the effect")
        return result

    registry.task("work")(sync_handler if form == "sync" else async_handler)
    async with running_worker(client, registry, lease_ttl_ms=60_000):
        await eventually(lambda: task.state == "completed")
    assert acts == [1]
    assert task.results == [b'"sent"']


@pytest.mark.parametrize("form", ["sync", "async"])
async def test_exception_in_the_effect_leaves_it_unfinished(form: str) -> None:
    client, registry = FakeClient(), Registry()
    task = client.tasks.add()
    acts: list[int] = []

    def act() -> None:
        acts.append(1)
        raise OSError("connection lost")

    async def act_async() -> None:
        act()

    def sync_handler(_: object, ctx: TaskContext) -> None:
        ctx.once("mail", act)

    async def async_handler(_: object, ctx: AsyncTaskContext) -> None:
        await ctx.once("mail", act_async)

    registry.task("work")(sync_handler if form == "sync" else async_handler)
    async with running_worker(client, registry, lease_ttl_ms=60_000):
        await eventually(lambda: task.state == "dead")
    assert acts == [1]
    assert [error.split(":")[0] for error, _, _ in task.errors] == [
        "OSError",
        "UnfinishedSideEffectError",
        "UnfinishedSideEffectError",
    ]


@pytest.mark.parametrize("form", ["sync", "async"])
async def test_effect_that_certainly_did_not_happen_is_tried_again(form: str) -> None:
    client, registry = FakeClient(), Registry()
    task = client.tasks.add()
    acts: list[int] = []

    def act() -> int:
        acts.append(1)
        if len(acts) == 1:
            raise SideEffectNotDoneError("refused at the door")
        return len(acts)

    async def act_async() -> int:
        return act()

    def sync_handler(_: object, ctx: TaskContext) -> int:
        return ctx.once("mail", act)

    async def async_handler(_: object, ctx: AsyncTaskContext) -> int:
        return await ctx.once("mail", act_async)

    registry.task("work")(sync_handler if form == "sync" else async_handler)
    async with running_worker(client, registry, lease_ttl_ms=60_000):
        await eventually(lambda: task.state == "completed")
    assert task.results == [b"2"]


async def test_store_error_before_the_effect_means_no_effect() -> None:
    client, registry = FakeClient(), Registry()
    task = client.tasks.add()
    client.kv.fail_next = [IndefiniteError("no answer", "OUTCOME_UNKNOWN")]
    acts: list[int] = []

    @registry.task()
    def work(_: object, ctx: TaskContext) -> int:
        return ctx.once("mail", lambda: acts.append(1) or len(acts))

    async with running_worker(client, registry, lease_ttl_ms=60_000):
        await eventually(lambda: task.state == "completed")
    assert acts == [1]
    assert task.errors[0][0].startswith("IndefiniteError: no answer")


async def test_intent_of_an_attempt_cancelled_while_recording_is_taken_back() -> None:
    client, registry = FakeClient(), Registry()
    task = client.tasks.add()
    acts: list[int] = []
    gate = asyncio.Event()
    get = client.kv.get

    async def slow_get(key: str) -> object:
        found = await get(key)
        if found is not None and not gate.is_set():
            await gate.wait()
        return found

    client.kv.get = slow_get  # type: ignore[method-assign, assignment]

    async def act() -> None:
        acts.append(1)

    @registry.task()
    async def work(_: object, ctx: AsyncTaskContext) -> None:
        await ctx.once("mail", act)

    async with running_worker(client, registry, lease_ttl_ms=60_000) as worker:
        await eventually(lambda: client.kv.entries)
        client.tasks.lose_session(1)
        gate.set()
        await eventually(lambda: worker.running == 0)
    assert acts == []
    (entry,) = client.kv.entries.values()
    assert json.loads(entry.value)["state"] == "none"
    assert task.results == []


@pytest.mark.parametrize("form", ["sync", "async"])
async def test_no_effect_after_the_lease_ran_out_even_before_the_loop_noticed(form: str) -> None:
    client, registry = FakeClient(), Registry()
    task = client.tasks.add()
    acts: list[int] = []
    seen: list[str] = []

    def suspend(ctx: BaseContext) -> None:
        # As a stopped process finds it on waking up: time has passed and nothing ran meanwhile.
        ctx._held.lease_start -= 60.0

    async def slow_get(key: str) -> object:
        found = await get(key)
        if found is not None:
            suspend(contexts[0])
        return found

    get = client.kv.get
    client.kv.get = slow_get  # type: ignore[method-assign, assignment]
    contexts: list[BaseContext] = []

    def sync_handler(_: object, ctx: TaskContext) -> None:
        contexts.append(ctx)
        try:
            ctx.once("mail", lambda: acts.append(1))
        except TaskCancelledError as error:
            seen.append(str(error))

    async def act_async() -> None:
        acts.append(1)

    async def async_handler(_: object, ctx: AsyncTaskContext) -> None:
        contexts.append(ctx)
        try:
            await ctx.once("mail", act_async)
        except TaskCancelledError as error:
            seen.append(str(error))

    registry.task("work")(sync_handler if form == "sync" else async_handler)
    async with running_worker(client, registry, lease_ttl_ms=60_000):
        await eventually(lambda: seen)
        await eventually(lambda: task.state != "claimed")
    assert acts == []
    assert seen == ["lease lost"]
