"""After `close` everything ends at once, whatever it was waiting for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from coord.client import (
    Client,
    ClientClosedError,
    CoordError,
    HeartbeatItem,
    OutcomeUnknownError,
    TaskHandle,
    TaskSpec,
)
from coord.client.sync import client as sync
from coord.client.transport import methods as m
from tests.support.client import FakeNode, fake_cluster, hang, refuse
from tests.support.waiting import eventually

TASK = TaskHandle("t1", 1)


async def unanswered(_node: FakeNode, _request: object, _context: object) -> None:
    await asyncio.sleep(3_600)


# A call, the method of the protocol that does not answer, whether the outcome is unknown then.
CALLS: dict[str, tuple[Callable[[Client], Awaitable[Any]], Any, bool]] = {
    "open session": (lambda c: c.open_session(), m.OPEN_SESSION, True),
    "submit": (lambda c: c.tasks.submit("q"), m.SUBMIT, True),
    "submit many": (lambda c: c.tasks.submit_many([TaskSpec("q")] * 1_500), m.SUBMIT, True),
    "claim": (lambda c: c.tasks.claim(["q"], wait_ms=60_000), m.CLAIM, False),
    "heartbeat": (lambda c: c.tasks.heartbeat([HeartbeatItem("t1", 1)]), m.HEARTBEAT, True),
    "complete": (lambda c: c.tasks.complete(TASK), m.COMPLETE, True),
    "fail": (lambda c: c.tasks.fail(TASK, "e"), m.FAIL, True),
    "release": (lambda c: c.tasks.release(TASK), m.RELEASE, True),
    "get": (lambda c: c.tasks.get("t1"), m.GET_TASK, False),
    "list": (lambda c: c.tasks.list(), m.LIST_TASKS, False),
    "cancel": (lambda c: c.tasks.cancel("t1"), m.CANCEL_TASK, True),
    "explain": (lambda c: c.tasks.explain("t1"), m.EXPLAIN, False),
    "lock": (lambda c: c.locks.acquire("l", wait_ms=60_000), m.ACQUIRE, True),
    "get lock": (lambda c: c.locks.get("l"), m.GET_LOCK, False),
    "kv get": (lambda c: c.kv.get("k"), m.RANGE, False),
    "kv put": (lambda c: c.kv.put("k", "v"), m.PUT, True),
    "sessions": (lambda c: c.sessions.list(), m.LIST_SESSIONS, False),
}


@pytest.mark.parametrize("name", list(CALLS))
async def test_a_call_under_way_ends_at_once(name: str) -> None:
    call, method, unknown = CALLS[name]
    async with fake_cluster() as (node,):
        client = Client(node.address, timeout_ms=60_000)
        node.next_calls(method, *[unanswered] * 50)
        under_way = asyncio.ensure_future(call(client))
        await eventually(lambda: node.count(method) > 0)
        closed_at_s = time.monotonic()
        await client.close()
        with pytest.raises(CoordError) as ended:
            await under_way
        assert time.monotonic() - closed_at_s < 1.5
        if unknown:
            assert isinstance(ended.value, OutcomeUnknownError), ended.value
        else:
            assert isinstance(ended.value, ClientClosedError), ended.value
        with pytest.raises(ClientClosedError):
            await call(client)


@pytest.mark.parametrize("name", list(CALLS))
async def test_a_call_that_is_tried_again_and_again_ends_at_once(name: str) -> None:
    call, method, _ = CALLS[name]
    async with fake_cluster() as (node,):
        client = Client(node.address, timeout_ms=60_000)
        no_leader = refuse(grpc.StatusCode.UNAVAILABLE, "NO_LEADER")
        node.next_calls(method, *[no_leader] * 10_000)
        under_way = asyncio.ensure_future(call(client))
        await eventually(lambda: node.count(method) > 3)
        closed_at_s = time.monotonic()
        await client.close()
        # Which of the two depends on whether an attempt was under way just then.
        with pytest.raises((ClientClosedError, OutcomeUnknownError)):
            await under_way
        assert time.monotonic() - closed_at_s < 1.5


async def test_a_wait_for_tasks_and_a_held_lock_end_at_once() -> None:
    async with fake_cluster() as (node,):
        client = Client(node.address, timeout_ms=60_000)
        grant = await client.locks.acquire("l")
        assert grant is not None
        node.next_calls(m.WAIT_TASKS, unanswered)
        wait = asyncio.ensure_future(client.tasks.wait(["t1"]))
        lost = asyncio.ensure_future(grant.lost.wait())
        await eventually(lambda: node.count(m.WAIT_TASKS) == 1)
        await client.close()
        with pytest.raises(CoordError):
            await wait
        assert await asyncio.wait_for(lost, 1)
        assert node.store.sessions == {}


async def test_cancelling_a_call_of_a_closing_client_is_still_a_cancellation() -> None:
    async with fake_cluster() as (node,):
        client = Client(node.address, timeout_ms=60_000)
        node.next_calls(m.RANGE, unanswered)
        under_way = asyncio.ensure_future(client.kv.get("k"))
        await eventually(lambda: node.count(m.RANGE) == 1)
        under_way.cancel()
        await client.close()
        with pytest.raises(asyncio.CancelledError):
            await under_way


async def test_closing_without_a_cluster_is_bounded() -> None:
    async with fake_cluster() as (node,):
        client = Client(node.address, timeout_ms=60_000)
        await client.open_session()
        node.next_calls(m.CLOSE_SESSION, hang)
        await asyncio.wait_for(client.close(), 5)


async def test_threads_of_a_closed_blocking_client_get_an_answer() -> None:
    async with fake_cluster() as (node,):
        client = sync.Client(node.address, timeout_ms=60_000)
        node.next_calls(m.RANGE, *[unanswered] * 50)
        errors: list[BaseException] = []

        def get() -> None:
            try:
                client.kv.get("k")
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=get) for _ in range(20)]
        for thread in threads:
            thread.start()
        await eventually(lambda: node.count(m.RANGE) == 20)
        await asyncio.to_thread(client.close)
        for thread in threads:
            await asyncio.to_thread(thread.join, 5)
        assert len(errors) == 20
        assert {type(error) for error in errors} == {ClientClosedError}
        await asyncio.to_thread(client.close)
