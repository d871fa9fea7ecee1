"""Natural batching and claims."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest

from coord.client import (
    ClaimedTask,
    Client,
    DeadlineError,
    HeartbeatItem,
    InvalidArgumentError,
    OutcomeUnknownError,
    StaleFencingTokenError,
    TaskHandle,
    TaskSpec,
    UnavailableError,
)
from coord.client.tasks.batching import MAX_BATCH_ITEMS, Batcher
from coord.client.transport.errors import BusyError, ClientClosedError
from coord.client.transport.methods import CLAIM, COMPLETE, HEARTBEAT, RELEASE, SUBMIT
from coord.client.transport.retry import Deadline
from tests.support.client import FakeNode, fake_cluster, hang, lose_reply, refuse
from tests.support.waiting import eventually


def client_of(node: FakeNode, timeout_ms: int = 5_000) -> Client:
    return Client(node.address, timeout_ms=timeout_ms)


async def test_concurrent_calls_ride_together() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        tasks = await asyncio.gather(*(client.tasks.submit("q", b"%d" % i) for i in range(200)))
        assert len({task.task_id for task in tasks}) == 200
        assert node.count(SUBMIT) <= 3
        payloads = dict(node.store.ready)
        assert all(payloads[task.task_id] == b"%d" % i for i, task in enumerate(tasks))


async def test_a_bad_rider_fails_alone() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        queues = ["q"] * 7 + ["bad"] + ["q"] * 8
        calls = [client.tasks.submit(queue) for queue in queues]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        refused = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, Exception)]
        assert refused == [7]
        assert isinstance(outcomes[7], InvalidArgumentError)
        assert len(node.store.ready) == 15


async def test_large_batches_are_cut() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        specs = [TaskSpec("q")] * (2 * MAX_BATCH_ITEMS + 1)
        assert len(await client.tasks.submit_many(specs)) == len(specs)
        assert [len(call.tasks) for call in node.calls[SUBMIT.path]] == [1000, 1000, 1]
        big = [client.tasks.submit("q", bytes(900_000)) for _ in range(4)]
        await asyncio.gather(*big)
        assert max(call.ByteSize() for call in node.calls[SUBMIT.path]) < 2_100_000


async def test_items_have_outcomes_of_their_own() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        await client.tasks.submit_many([TaskSpec("q", b"a"), TaskSpec("q", b"b")])
        first, second = await client.tasks.claim(["q"], max_tasks=2)
        stale = TaskHandle(second.task_id, 1)
        results = await client.tasks.complete_many([(first, b"1"), (stale, b"2")])
        assert [result.ok for result in results] == [True, False]
        assert isinstance(results[1].error, StaleFencingTokenError)
        beats = [HeartbeatItem(t.task_id, t.fencing_token) for t in (first, second)]
        assert [result.ok for result in await client.tasks.heartbeat(beats)] == [False, True]
        with pytest.raises(StaleFencingTokenError):
            await client.tasks.complete(first, b"again")
        assert node.store.completed == {first.task_id: b"1"}


async def test_a_commit_whose_reply_is_lost_happens_once() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        await client.tasks.submit("q")
        (task,) = await client.tasks.claim(["q"])
        node.next_calls(COMPLETE, lose_reply)
        assert (await client.tasks.complete(task, b"r")).ok
        assert node.store.count(COMPLETE) == 1


async def test_a_claim_whose_reply_is_lost_gives_the_same_task() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        await client.tasks.submit_many([TaskSpec("q"), TaskSpec("q")])
        node.next_calls(CLAIM, lose_reply)
        (task,) = await client.tasks.claim(["q"])
        assert list(node.store.claimed) == [task.task_id]
        assert len(node.store.ready) == 1


async def test_claims_on_equal_terms_share_calls() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        await client.tasks.submit_many([TaskSpec("q")] * 10)
        claims = await asyncio.gather(*(client.tasks.claim(["q"], max_tasks=2) for _ in range(5)))
        assert [len(tasks) for tasks in claims] == [2] * 5
        assert node.count(CLAIM) == 1


async def test_a_claim_waits_for_a_task_and_no_longer() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        started = time.monotonic()
        assert await client.tasks.claim(["q"], wait_ms=200) == []
        assert 0.15 < time.monotonic() - started < 1.0
        claim = asyncio.ensure_future(client.tasks.claim(["q"], wait_ms=5_000))
        await eventually(lambda: node.calls[CLAIM.path][-1].wait_ms > 1_000)
        assert await client.tasks.claim(["q"]) == []  # not behind the one that waits
        await client.tasks.submit("q", b"late")
        assert [task.payload for task in await claim] == [b"late"]


async def test_waiting_claims_are_served_in_turn() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        first = asyncio.ensure_future(client.tasks.claim(["q"], wait_ms=5_000))
        await eventually(lambda: node.count(CLAIM) == 1)
        second = asyncio.ensure_future(client.tasks.claim(["q"], wait_ms=5_000))
        await asyncio.sleep(0)
        await client.tasks.submit("q", b"1")
        assert [task.payload for task in await first] == [b"1"]
        await client.tasks.submit("q", b"2")
        assert [task.payload for task in await second] == [b"2"]


async def test_a_late_claim_with_a_short_wait_comes_back_in_time() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        long = asyncio.ensure_future(client.tasks.claim(["q"], wait_ms=5_000))
        await eventually(lambda: node.count(CLAIM) == 1)
        started = time.monotonic()
        assert await client.tasks.claim(["q"], wait_ms=100) == []
        assert time.monotonic() - started < 1.0
        long.cancel()


async def test_a_cancelled_claim_gives_its_task_back() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:

        async def hand_out_when_cancelled(fake: FakeNode, request: object, context: object) -> None:
            fake.apply(CLAIM.path, request, context)
            await hang(fake, request, context)

        await client.open_session()
        await client.tasks.submit("q")
        node.next_calls(CLAIM, hand_out_when_cancelled)
        claim = asyncio.ensure_future(client.tasks.claim(["q"], wait_ms=5_000))
        await eventually(lambda: node.count(CLAIM) == 1)
        claim.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claim
        await eventually(lambda: len(node.store.released) == 1)
        assert {call.header.sequence for call in node.calls[CLAIM.path]} == {2}


async def test_a_cancelled_wait_without_a_task_leaves_nothing() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        claim = asyncio.ensure_future(client.tasks.claim(["q"], wait_ms=60_000))
        await eventually(lambda: node.count(CLAIM) == 1)
        claim.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claim
        await eventually(lambda: node.calls[CLAIM.path][-1].wait_ms == 0)
        assert node.count(RELEASE) == 0
        assert node.store.claimed == {}


async def test_tasks_that_come_after_the_caller_left_are_given_back() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        gate = asyncio.Event()

        async def late(fake: FakeNode, request: object, context: object) -> object:
            await gate.wait()
            return fake.apply(CLAIM.path, request, context)

        await client.tasks.submit("q")
        node.next_calls(CLAIM, late)
        claim = asyncio.ensure_future(client.tasks.claim(["q"]))
        await eventually(lambda: node.count(CLAIM) == 1)
        claim.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claim
        gate.set()
        await eventually(lambda: len(node.store.released) == 1)


async def test_a_claim_of_an_expired_session_is_made_under_a_new_one() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        await client.tasks.submit("q")
        node.store.sessions.clear()
        (task,) = await client.tasks.claim(["q"])
        assert task.session_id == client.session_id


async def test_a_claim_that_gave_its_sequence_up_asks_anew() -> None:
    async with fake_cluster() as (node,), client_of(node) as client:
        await client.tasks.submit("q")
        forgotten = refuse(grpc.StatusCode.FAILED_PRECONDITION, "SEQUENCE_FORGOTTEN")
        node.next_calls(CLAIM, forgotten)
        assert len(await client.tasks.claim(["q"], wait_ms=1_000)) == 1


async def test_queues_are_a_sequence() -> None:
    async with Client() as client:
        with pytest.raises(TypeError, match="sequence"):
            await client.tasks.claim("q")


async def test_a_rider_whose_time_is_up_before_it_is_sent_is_definite() -> None:
    gate = asyncio.Event()

    async def send(items: object, deadline: Deadline) -> list[int]:
        await gate.wait()
        return [0]

    batcher: Batcher[int, int] = Batcher(send)
    first = asyncio.ensure_future(batcher.ask([1], 1, Deadline(5_000)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="never sent"):
        await batcher.ask([2], 1, Deadline(50))
    gate.set()
    assert list(await first) == [0]
    await batcher.close()
    with pytest.raises(ClientClosedError):
        await batcher.ask([3], 1, Deadline(50))


async def test_a_rider_under_way_whose_time_is_up_is_indefinite() -> None:
    async def send(items: object, deadline: Deadline) -> list[int]:
        await asyncio.Event().wait()
        return []

    batcher: Batcher[int, int] = Batcher(send)
    with pytest.raises(DeadlineError):
        await batcher.ask([1], 1, Deadline(50))
    await batcher.close()


async def test_the_queue_of_riders_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coord.client.tasks.batching.MAX_QUEUED_BYTES", 10)
    gate = asyncio.Event()

    async def send(items: list[int], deadline: Deadline) -> list[int]:
        await gate.wait()
        return items

    batcher: Batcher[int, int] = Batcher(send)  # type: ignore[arg-type]
    first = asyncio.ensure_future(batcher.ask([1], 8, Deadline(5_000)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = asyncio.ensure_future(batcher.ask([2], 8, Deadline(5_000)))
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await batcher.ask([3], 8, Deadline(50))
    third = asyncio.ensure_future(batcher.ask([4], 8, Deadline(5_000)))
    await asyncio.sleep(0)
    gate.set()
    assert [list(await call) for call in (first, second, third)] == [[1], [2], [4]]
    await batcher.close()


async def test_a_cancelled_rider_is_not_sent() -> None:
    sent: list[int] = []
    gate = asyncio.Event()

    async def send(items: list[int], deadline: Deadline) -> list[int]:
        sent.extend(items)
        await gate.wait()
        return items

    batcher: Batcher[int, int] = Batcher(send)  # type: ignore[arg-type]
    first = asyncio.ensure_future(batcher.ask([1], 1, Deadline(5_000)))
    await eventually(lambda: sent == [1])
    second = asyncio.ensure_future(batcher.ask([2], 1, Deadline(5_000)))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    gate.set()
    await first
    await batcher.close()
    assert sent == [1]


async def test_closing_ends_calls_under_way() -> None:
    async with fake_cluster() as (node,):
        client = client_of(node)
        await client.open_session()
        node.next_calls(HEARTBEAT, hang)
        beat = asyncio.ensure_future(client.tasks.heartbeat([HeartbeatItem("t1", 1)]))
        claim = asyncio.ensure_future(client.tasks.claim(["q"], wait_ms=60_000))
        await eventually(lambda: node.count(CLAIM) == 1 and node.count(HEARTBEAT) == 1)
        await client.close()
        with pytest.raises(OutcomeUnknownError):
            await beat
        with pytest.raises(ClientClosedError):
            await claim
        assert node.store.sessions == {}


def test_claimed_tasks_are_values() -> None:
    task = ClaimedTask("t1", "q", "", b"", 1, 1, 3, 1_000)
    with pytest.raises(AttributeError):
        task.attempt = 2  # type: ignore[misc]
