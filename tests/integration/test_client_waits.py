"""Waiting for many tasks, and listings of several pages, through the client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from coord.client import Client, NoLeaderError, NotFoundError, TaskSpec, TaskState
from coord.client.tasks.waiting import WAIT_CHUNK, Waiting
from coord.client.transport.retry import Deadline
from coord.core.base.limits import LIMITS
from coord.pb import task_pb2 as pb
from coord.replication.port import Member
from coord.rpc import paging
from coord.rpc.services import context as backend
from coord.rpc.services import task_waits
from tests.support.rpc import FollowerReplicator, LocalNode, local_node
from tests.support.waiting import eventually


@pytest.fixture
async def node() -> AsyncIterator[LocalNode]:
    async with local_node() as running:
        yield running


@pytest.fixture
async def client(node: LocalNode) -> AsyncIterator[Client]:
    async with Client(node.address, timeout_ms=15_000) as made:
        yield made


async def ids_of(client: Client, count: int, queue: str = "q") -> list[str]:
    specs = [TaskSpec(queue, b"%d" % n) for n in range(count)]
    return [task.task_id for task in await client.tasks.submit_many(specs)]


async def test_three_thousand_are_told_as_they_are_when_the_time_is_over(client: Client) -> None:
    ids = await ids_of(client, 3_000)
    began = time.monotonic()
    tasks = await client.tasks.wait(ids, timeout_ms=2_000)
    assert [task.task_id for task in tasks] == ids
    assert not any(task.finished for task in tasks)
    assert 1.5 < time.monotonic() - began < 30


async def test_some_of_many_are_at_an_end(client: Client) -> None:
    ids = await ids_of(client, 1_200)
    claimed = await client.tasks.claim(["q"], max_tasks=1_000)
    await client.tasks.complete_many([(task, b"r") for task in claimed])
    tasks = await client.tasks.wait(ids[::-1], timeout_ms=2_000)
    assert [task.state is TaskState.COMPLETED for task in tasks] == [False] * 200 + [True] * 1_000


async def test_without_a_leader_a_wait_ends_with_its_time_out() -> None:
    async with local_node(node_id="n2", follower=True, leader_wait_ms=50) as follower:
        replicator = follower.replicator
        assert isinstance(replicator, FollowerReplicator)
        replicator.follow(None)
        async with Client(follower.address, timeout_ms=20_000) as client:
            began = time.monotonic()
            with pytest.raises(NoLeaderError):
                await client.tasks.wait([f"t{n}" for n in range(1, 2_000)], timeout_ms=500)
            assert time.monotonic() - began < 5


class FakeCore:
    """Answers waits: the first calls find nothing finished, the later ones everything."""

    timeout_ms = 5_000

    def __init__(self, unfinished_calls: int = 0) -> None:
        self.caller = self
        self.calls: list[tuple[int, int]] = []
        self._unfinished_calls = unfinished_calls

    async def call(self, method: Any, request: Any, deadline: Deadline, *, wait_ms: int) -> Any:
        self.calls.append((len(request.task_ids), wait_ms))
        done = len(self.calls) > self._unfinished_calls
        if not done:
            await asyncio.sleep(wait_ms / 1_000)
        state: Any = 4 if done else 2
        tasks = [pb.TaskInfo(task_id=one, state=state) for one in request.task_ids]
        return pb.WaitTasksResponse(tasks=tasks, all_done=done)


async def test_a_hundred_thousand_are_asked_for_some_at_a_time() -> None:
    core: Any = FakeCore()
    ids = [f"t{n}" for n in range(1, 100_001)]
    tasks = await Waiting(core, False, Deadline(60_000)).run(ids)
    assert [task.task_id for task in tasks] == ids
    assert len(core.calls) == 100_000 // WAIT_CHUNK
    assert max(count for count, _ in core.calls) <= LIMITS.max_batch_items


async def test_what_is_asked_for_after_the_time_does_not_wait() -> None:
    core: Any = FakeCore(unfinished_calls=10_000)
    began = time.monotonic()
    tasks = await Waiting(core, False, Deadline(400)).run([f"t{n}" for n in range(1, 5_001)])
    assert len(tasks) == 5_000
    assert time.monotonic() - began < 3
    assert [wait_ms for _, wait_ms in core.calls[2:]] == [0] * len(core.calls[2:])


async def test_results_that_do_not_fit_together_are_fetched_apart(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_waits, "_MAX_BYTES", 20_000)
    specs = [TaskSpec("q", bytes(5_000)) for _ in range(20)]
    ids = [task.task_id for task in await client.tasks.submit_many(specs)]
    tasks = await client.tasks.wait(ids, timeout_ms=200)
    assert [task.task_id for task in tasks] == ids
    with pytest.raises(NotFoundError):
        await client.tasks.wait([*ids, "t9999"], timeout_ms=200)


async def test_a_wait_looks_at_each_task_once_however_often_it_is_woken(
    node: LocalNode, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []
    is_finished = task_waits.is_finished

    def noted(state: Any, task_id: str) -> bool | None:
        looked_at.append(task_id)
        return is_finished(state, task_id)

    monkeypatch.setattr(task_waits, "is_finished", noted)
    ids = await ids_of(client, 200)
    waiting = asyncio.create_task(client.tasks.wait(ids))
    await eventually(lambda: len(node.server.watches) == 200)
    for _ in range(20):
        claimed = await client.tasks.claim(["q"], max_tasks=10)
        await client.tasks.complete_many([(task, b"") for task in claimed])
    assert all(task.finished for task in await waiting)
    assert len(looked_at) <= 3 * 200  # when it begins, and before and while it answers


async def test_a_task_put_back_meanwhile_is_waited_for(node: LocalNode, client: Client) -> None:
    one, two = await ids_of(client, 2)
    waiting = asyncio.create_task(client.tasks.wait([one, two]))
    await eventually(lambda: len(node.server.watches) == 2)
    await client.tasks.cancel(one)
    await client.tasks.retry(one)
    await client.tasks.cancel(two)
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await client.tasks.cancel(one)
    assert [task.state for task in await waiting] == [TaskState.CANCELLED] * 2


async def test_a_wait_through_a_follower(client: Client, node: LocalNode) -> None:
    (task_id,) = await ids_of(client, 1)
    async with local_node(node_id="n2", follower=True) as follower:
        replicator = follower.replicator
        assert isinstance(replicator, FollowerReplicator)
        replicator.follow(Member("n1", "", node.address))
        request = pb.WaitTasksRequest(task_ids=[task_id], wait_ms=200)
        answer = await follower.stubs.tasks.Wait(request)
        assert (answer.all_done, answer.tasks[0].task_id) == (False, task_id)
        request.task_ids.append("t9999")
        assert (await follower.stubs.tasks.Wait(request)).unknown_task_ids == ["t9999"]
        await client.tasks.cancel(task_id)
        assert (await follower.stubs.tasks.Wait(request)).all_done


async def test_who_has_its_share_of_waits_is_told_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backend, "MAX_PARKED", 10)
    async with local_node() as node, Client(node.address, timeout_ms=300) as client:
        (task_id,) = await ids_of(client, 1)
        waits = [asyncio.create_task(client.tasks.wait([task_id])) for _ in range(20)]
        ends = await asyncio.gather(*waits, return_exceptions=True)
        busy = [end for end in ends if getattr(end, "reason", "") == "BUSY"]
        assert len(busy) == 15  # half of the room is for others
        async with Client(node.address, timeout_ms=5_000) as other:
            assert len(await other.tasks.wait([task_id], timeout_ms=100)) == 1


async def test_listings_of_several_pages_are_whole(
    node: LocalNode, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "MAX_PAGE_BYTES", 500)
    names = [f"name-{n:03}" for n in range(60)]
    for name in names:
        await client.tasks.submit(name)
        assert await client.locks.acquire(name)
    await asyncio.gather(*(node.stubs.open_session(name=name) for name in names))
    assert [queue.queue for queue in await client.queues.list()] == names
    assert [lock.name for lock in await client.locks.list()] == names
    assert [lock.name for lock in await client.locks.list(limit=33)] == names[:33]
    found = await client.sessions.list()
    assert {session.name for session in found} >= set(names)
    assert [one.session_id for one in found] == sorted(one.session_id for one in found)
    assert len(await client.sessions.list(limit=7)) == 7
    assert len(await client.tasks.list(limit=1_000)) == 60


async def test_queues_that_do_not_fit_are_refused_to_who_does_not_ask_for_pages(
    node: LocalNode, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        await client.tasks.submit(f"name-{number:03}")
    assert len((await node.stubs.tasks.ListQueues(pb.ListQueuesRequest())).queues) == 60
    monkeypatch.setattr(paging, "MAX_PAGE_BYTES", 500)
    answer = await node.stubs.tasks.ListQueues(pb.ListQueuesRequest(limit=60))
    assert answer.more
    with pytest.raises(Exception, match="limit and after_queue"):
        await node.stubs.tasks.ListQueues(pb.ListQueuesRequest())


async def test_keys_that_do_not_fit_in_one_answer_are_read_at_one_revision(client: Client) -> None:
    await asyncio.gather(*(client.kv.put(f"k/{n:02}", bytes(900_000)) for n in range(20)))
    found = await client.kv.get_prefix("k/")
    assert [kv.key for kv in found] == [b"k/%02d" % n for n in range(20)]
    some = await client.kv.range("k/", "k0", limit=15)
    assert (len(some.kvs), some.more, some.count) == (15, True, 20)
    revision = found[-1].mod_revision
    await client.kv.delete("k/07")
    assert len(await client.kv.get_prefix("k/", revision=revision)) == 20
    assert len(await client.kv.get_prefix("k/")) == 19
