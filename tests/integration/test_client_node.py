"""The client against real nodes: every call over gRPC and a replicated log of one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from coord.client import (
    Client,
    Compare,
    DeadlineError,
    Delete,
    FailedPreconditionError,
    Get,
    HeartbeatItem,
    InvalidArgumentError,
    NotFoundError,
    Put,
    RevisionError,
    SessionExpiredError,
    StaleFencingTokenError,
    TaskFailedError,
    TaskHandle,
    TaskSpec,
    TaskState,
)
from coord.client.sync import client as sync
from coord.replication.port import Member
from tests.support.rpc import FollowerReplicator, LocalNode, local_node
from tests.support.waiting import eventually


@pytest.fixture
async def node() -> AsyncIterator[LocalNode]:
    async with local_node() as running:
        yield running


@pytest.fixture
async def client(node: LocalNode) -> AsyncIterator[Client]:
    async with Client(node.address, timeout_ms=5_000) as made:
        yield made


async def test_a_tasks_life(client: Client) -> None:
    submitted = await client.tasks.submit(
        "q", b"in", type="t", priority=3, idempotency_key="k", labels={"a": "b"}
    )
    again = await client.tasks.submit(
        "q", b"in", type="t", priority=3, idempotency_key="k", labels={"a": "b"}
    )
    assert (again.task_id, again.existed) == (submitted.task_id, True)
    with pytest.raises(FailedPreconditionError, match="other content"):
        await client.tasks.submit("q", b"another", idempotency_key="k")
    (task,) = await client.tasks.claim(["other", "q"], worker="me")
    assert (task.payload, task.type, task.priority, task.attempt) == (b"in", "t", 3, 1)
    assert task.labels == {"a": "b"}
    assert task.session_id == client.session_id
    beat = HeartbeatItem(task.task_id, task.fencing_token, b"half", 500)
    assert [result.state for result in await client.tasks.heartbeat([beat])] == [TaskState.CLAIMED]
    known = await client.tasks.get(task.task_id)
    assert (known.checkpoint, known.progress_permille, known.worker) == (b"half", 500, "me")
    assert (await client.tasks.complete(task, b"out")).state is TaskState.COMPLETED
    assert await client.tasks.result(task.task_id) == b"out"
    with pytest.raises(FailedPreconditionError):
        await client.tasks.complete(TaskHandle(task.task_id, task.fencing_token + 1), b"other")


async def test_failures_retries_and_dead_letters(client: Client) -> None:
    task_id = (await client.tasks.submit("q")).task_id
    (task,) = await client.tasks.claim(["q"])
    assert (await client.tasks.fail(task, "no", retry_after_ms=0)).state is TaskState.READY
    (task,) = await client.tasks.claim(["q"])
    assert task.attempt == 2
    assert (await client.tasks.release(task)).state is TaskState.READY
    with pytest.raises(StaleFencingTokenError):
        await client.tasks.release(task)
    (task,) = await client.tasks.claim(["q"])
    assert (await client.tasks.fail(task, "never", retryable=False)).state is TaskState.DEAD
    with pytest.raises(TaskFailedError) as caught:
        await client.tasks.result(task_id)
    assert (caught.value.state, caught.value.last_error) == ("DEAD", "never")
    assert await client.tasks.redrive("q") == 1
    assert await client.tasks.cancel(task_id, "enough") is TaskState.CANCELLED
    assert await client.tasks.retry(task_id) is TaskState.READY
    assert (await client.tasks.explain(task_id)).summary
    await client.queues.pause("q")
    assert await client.tasks.claim(["q"]) == []
    assert (await client.queues.get("q")).paused
    await client.queues.resume("q")
    (queue,) = await client.queues.list()
    assert (queue.queue, queue.paused, queue.ready) == ("q", False, 1)


async def test_bad_calls(client: Client) -> None:
    with pytest.raises(NotFoundError):
        await client.tasks.get("t999")
    with pytest.raises(NotFoundError):
        await client.tasks.wait(["t999"])
    with pytest.raises(NotFoundError):
        await client.queues.get("none")
    good, bad = await asyncio.gather(
        client.tasks.submit("q"), client.tasks.submit(""), return_exceptions=True
    )
    assert isinstance(bad, InvalidArgumentError)
    assert not isinstance(good, BaseException)


async def test_waiting_for_results(client: Client) -> None:
    tasks = await client.tasks.submit_many([TaskSpec("q", b"%d" % i) for i in range(20)])
    ids = [task.task_id for task in tasks]
    started = time.monotonic()
    assert not any(task.finished for task in await client.tasks.wait(ids, timeout_ms=300))
    with pytest.raises(DeadlineError):
        await client.tasks.result(ids[0], timeout_ms=200)
    assert time.monotonic() - started < 2
    waiting = asyncio.ensure_future(client.tasks.wait(ids[::-1]))
    claimed = await client.tasks.claim(["q"], max_tasks=20)
    await client.tasks.complete_many([(task, task.payload) for task in claimed])
    assert [task.result for task in await waiting] == [b"%d" % i for i in reversed(range(20))]
    listed = await client.tasks.list("q", [TaskState.COMPLETED], limit=7)
    assert [task.task_id for task in listed] == ids[:7]
    following = await client.tasks.list("q", limit=100, after=ids[6])
    assert [task.task_id for task in following] == ids[7:]


async def test_large_results_do_not_break_waiting_and_listing(client: Client) -> None:
    tasks = await client.tasks.submit_many([TaskSpec("q", bytes(900_000)) for _ in range(24)])
    ids = [task.task_id for task in tasks]
    done = 0
    while done < len(ids):
        claimed = await client.tasks.claim(["q"], max_tasks=24)
        await asyncio.gather(*(client.tasks.complete(task, bytes(900_000)) for task in claimed))
        done += len(claimed)
    assert [len(task.result) for task in await client.tasks.wait(ids)] == [900_000] * 24
    assert [task.task_id for task in await client.tasks.list("q")] == ids


async def test_claims_wait_without_writing(node: LocalNode, client: Client) -> None:
    await client.open_session()
    before = node.log_index()
    claim = asyncio.ensure_future(client.tasks.claim(["q"], wait_ms=5_000))
    await eventually(lambda: node.server.claim_queue.parked == 1)
    assert node.log_index() == before
    await client.tasks.submit("q", b"x")
    assert [task.payload for task in await claim] == [b"x"]
    other = asyncio.ensure_future(client.tasks.claim(["q"], wait_ms=60_000))
    await eventually(lambda: node.server.claim_queue.parked == 1)
    other.cancel()
    await eventually(lambda: node.server.claim_queue.parked == 0)


async def test_locks_are_fair_and_fenced(node: LocalNode, client: Client) -> None:
    async with Client(node.address, timeout_ms=5_000) as other:
        async with client.locks.lock("l") as first:
            assert await other.locks.acquire("l") is None
            waiting = asyncio.ensure_future(other.locks.acquire("l", wait_ms=5_000))
            gone = asyncio.ensure_future(client.locks.acquire("l", wait_ms=60_000))
            await eventually(lambda: len(node.server.state_machine.state.waiters) == 2)
            gone.cancel()
            await eventually(lambda: len(node.server.state_machine.state.waiters) == 1)
        second = await waiting
        assert second is not None
        assert second.fencing_token > first.fencing_token
        with pytest.raises(StaleFencingTokenError):
            await client.locks.release_by_token("l", first.fencing_token)
        started = time.monotonic()
        assert await client.locks.acquire("l", wait_ms=100) is None
        assert time.monotonic() - started < 2
        await other.locks.release(second)
        assert await client.locks.get("l") is None
        async with client.locks.lock("ttl", ttl_ms=300) as grant:
            assert await client.locks.refresh(grant) == 300
            await asyncio.sleep(0.6)  # longer than its TTL: it is refreshed
            assert not grant.lost.is_set()


async def test_sessions_end_with_what_they_hold(node: LocalNode, client: Client) -> None:
    lost: list[int] = []
    async with Client(node.address, kind="worker", slots=4, queues=["q"]) as worker:
        worker.on_session_lost(lost.append)
        await client.tasks.submit("q")
        (task,) = await worker.tasks.claim(["q"])
        grant = await worker.locks.acquire("l")
        assert grant is not None
        (info,) = await client.sessions.list("worker")
        assert (info.slots, info.queues, info.tasks_held, info.locks_held) == (4, ("q",), 1, 1)
        await client.sessions.close(info.session_id)
        with pytest.raises(SessionExpiredError):
            await worker.locks.release(grant)
        with pytest.raises(StaleFencingTokenError):
            await worker.tasks.complete(task, b"late")
        assert grant.lost.is_set()
        assert lost == [info.session_id]
        # A task whose worker was lost is back after a moment.
        (task,) = await worker.tasks.claim(["q"], wait_ms=5_000)
        assert (task.attempt, task.lost_leases) == (2, 1)


async def test_key_value(client: Client) -> None:
    revision = await client.kv.put("a", "1")
    found = await client.kv.get("a")
    assert found is not None
    assert (found.value, found.mod_revision, found.version) == (b"1", revision, 1)
    assert await client.kv.compare_and_set("a", revision, b"2")
    assert not await client.kv.compare_and_set("a", revision, b"3")
    assert await client.kv.compare_and_set("b", 0, b"new")
    old = await client.kv.get("a", revision=revision)
    assert old is not None
    assert old.value == b"1"
    result = await client.kv.txn(
        [Compare.exists("a"), Compare.missing("c")],
        [Put("c", "x"), Get("a", "z"), Delete("b", prev_kv=True)],
    )
    assert result.succeeded
    assert [kv.key for kv in result.responses[1].kvs] == [b"a", b"b", b"c"]  # type: ignore[union-attr]
    assert [kv.key for kv in await client.kv.get_prefix("")] == [b"a", b"c"]
    newest = await client.kv.range("a", b"\0", sort_by="mod", descending=True, limit=1)
    assert ([kv.key for kv in newest.kvs], newest.more, newest.count) == ([b"c"], True, 2)
    assert await client.kv.delete("a")
    assert not await client.kv.delete("a")
    assert await client.kv.delete_prefix("") == 1
    await client.kv.compact(result.revision)
    with pytest.raises(RevisionError):
        await client.kv.get("a", revision=revision)
    with pytest.raises(InvalidArgumentError):
        await client.kv.txn(success=[Put("d", "1"), Put("d", "2")])


async def test_the_cluster_is_seen(node: LocalNode, client: Client) -> None:
    await client.kv.put("a", "1")
    status = await client.cluster.status()
    assert (status.cluster_id, status.leader, status.revision) == ("test", "n1", 2)
    assert [member.role for member in status.members] == ["leader"]
    own = await client.cluster.node_status(node.address)
    assert (own.leader, own.member.id, own.write_block_reason) == ("n1", "n1", "")


async def test_a_follower_is_as_good_as_the_leader() -> None:
    async with local_node() as leader, local_node(node_id="n2", follower=True) as follower:
        replicator = follower.replicator
        assert isinstance(replicator, FollowerReplicator)
        replicator.follow(Member("n1", "", leader.address))
        async with Client(follower.address, timeout_ms=5_000) as client:
            await client.tasks.submit("q", b"x")
            (task,) = await client.tasks.claim(["q"], wait_ms=1_000)
            await client.tasks.complete(task, b"r")
            assert await client.tasks.result(task.task_id) == b"r"
            with pytest.raises(NotFoundError):
                await client.tasks.get("t999")


async def test_blocking(node: LocalNode) -> None:
    def work() -> None:
        with sync.Client(node.address, timeout_ms=5_000) as client:
            client.tasks.submit("q", b"x")
            (task,) = client.tasks.claim(["q"], wait_ms=1_000)
            client.tasks.complete(task, b"r")
            assert client.tasks.result(task.task_id) == b"r"
            with client.locks.lock("l") as grant:
                assert grant.fencing_token > 0
            with pytest.raises(NotFoundError):
                client.tasks.get("t999")

    await asyncio.to_thread(work)
