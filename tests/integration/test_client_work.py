"""`client.tasks.work` against a node: slots, lost tasks, stopping, drain, broken connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from coord.client import (
    Client,
    ClientClosedError,
    CoordError,
    HeartbeatItem,
    InvalidArgumentError,
    LostTask,
    StaleFencingTokenError,
    TaskState,
    Work,
)
from coord.client.types import ClaimedTask
from coord.replication.port import Member
from tests.support.cut_link import link_to
from tests.support.rpc import FollowerReplicator, LocalNode, local_node, work_streams
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def node() -> AsyncIterator[LocalNode]:
    async with local_node() as running:
        yield running


@pytest.fixture
async def client(node: LocalNode) -> AsyncIterator[Client]:
    async with Client(node.address, name="test") as opened:
        yield opened


async def take(work: Work, count: int = 1) -> list[ClaimedTask]:
    async with asyncio.timeout(10):
        return [await anext(work) for _ in range(count)]


async def submit(client: Client, count: int) -> list[str]:
    tasks = await asyncio.gather(*(client.tasks.submit("q", b"%d" % n) for n in range(count)))
    return [task.task_id for task in tasks]


async def test_tasks_come_as_slots_become_free(client: Client, node: LocalNode) -> None:
    await submit(client, 6)
    ready = node.server.state_machine.state.queues["q"].ready
    async with client.tasks.work(["q"], slots=2, worker="w") as work:
        first, second = await take(work, 2)
        waiting = asyncio.ensure_future(anext(work))
        # One that was answered after the second task: had there been a third one, it were here.
        beat = await work.heartbeat([HeartbeatItem(first.task_id, first.fencing_token, b"half")])
        assert (beat[0].ok, waiting.done(), work.in_use, len(ready)) == (True, False, 2, 4)
        assert (await client.tasks.get(first.task_id)).checkpoint == b"half"
        await work.complete(first, b"done")
        third = await asyncio.wait_for(waiting, 10)
        failed = await work.fail(second, "broken", retryable=False)
        (fourth,) = await take(work)
        released = await work.release(fourth)
        assert (failed.state, released.state) == (TaskState.DEAD, TaskState.READY)
        work.keep_slot(third)
        await work.complete(third, b"done too")
        (again,) = await take(work)
        assert (again.task_id, work.in_use) == (fourth.task_id, 2)
        work.free_slot(third)
        assert work.in_use == 1
    done = await client.tasks.wait([first.task_id, third.task_id])
    assert [task.result for task in done] == [b"done", b"done too"]
    assert (done[0].checkpoint, done[0].payload_dropped) == (b"", True)
    assert first.claimed_at_s <= time.monotonic() < first.claimed_at_s + 10
    with pytest.raises(ClientClosedError):
        await anext(work)


async def test_several_may_wait_for_tasks_side_by_side(client: Client) -> None:
    """Each arrival wakes one; the turn of who gave up goes to the next; all hear of the end."""
    async with client.tasks.work(["q"], slots=4) as work:
        await work.connected()
        callers = [asyncio.ensure_future(anext(work)) for _ in range(4)]
        await asyncio.sleep(0)
        callers[0].cancel()
        submitted = await submit(client, 2)
        async with asyncio.timeout(10):
            taken = [await callers[1], await callers[2]]
        assert sorted(task.task_id for task in taken) == sorted(submitted)
        assert not callers[3].done()
        await asyncio.gather(*(work.complete(task) for task in taken))
        await work.stop()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(callers[3], 10)


async def test_a_turn_that_is_not_taken_goes_to_the_next(client: Client) -> None:
    async with client.tasks.work(["q"], slots=2) as work:
        await work.connected()
        first, second = (asyncio.ensure_future(anext(work)) for _ in range(2))
        await asyncio.sleep(0)
        await submit(client, 1)
        await eventually(lambda: work.in_use == 1)
        first.cancel()  # whether or not it has been woken by now
        async with asyncio.timeout(10):
            task = await second if not first.done() or first.cancelled() else await first
        await work.complete(task)
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)


async def test_a_cancellation_comes_long_before_the_next_heartbeat(client: Client) -> None:
    (task_id,) = await submit(client, 1)
    lost: list[LostTask] = []
    async with client.tasks.work(["q"], lease_ttl_ms=60_000, on_lost=lost.append) as work:
        (task,) = await take(work)
        began = time.monotonic()
        await client.tasks.cancel(task_id, "not wanted")
        await eventually(lambda: lost)
        assert time.monotonic() - began < 5.0  # a heartbeat is due after 20 s
        assert lost == [LostTask(task_id, task.fencing_token, TaskState.CANCELLED, "not wanted")]
        work.free_slot(task)
        await submit(client, 1)
        await take(work)


async def test_what_nobody_has_taken_goes_back(client: Client) -> None:
    ids = await submit(client, 3)
    async with client.tasks.work(["q"], slots=3) as work:
        (first,) = await take(work)
        await eventually(lambda: work.in_use == 3)
        await client.tasks.cancel(ids[2])
        await eventually(lambda: work.in_use == 2)  # it came and went
        await work.complete(first)
    states = [(await client.tasks.get(one)).state for one in ids]
    assert states == [TaskState.COMPLETED, TaskState.READY, TaskState.CANCELLED]


async def test_after_stop_nothing_comes_and_results_still_go(
    client: Client, node: LocalNode
) -> None:
    await submit(client, 1)
    async with client.tasks.work(["q"], slots=4) as work:
        (task,) = await take(work)
        await asyncio.wait_for(work.stop(), 10)
        await submit(client, 2)
        assert [one async for one in work] == []
        assert (await work.complete(task)).state is TaskState.COMPLETED
        assert len(node.server.state_machine.state.queues["q"].ready) == 2


async def test_terms_that_are_refused_end_the_iteration(client: Client) -> None:
    async with client.tasks.work(["q" * 300]) as work:
        with pytest.raises(InvalidArgumentError):
            await asyncio.wait_for(work.connected(), 10)
        with pytest.raises(InvalidArgumentError):
            await anext(work)
    with pytest.raises(ValueError, match="slots"):
        client.tasks.work(["q"], slots=0)


async def test_one_bad_result_fails_alone(client: Client) -> None:
    await submit(client, 2)
    async with client.tasks.work(["q"], slots=2) as work:
        good, bad = await take(work, 2)
        outcomes = await asyncio.gather(
            work.complete(good), work.complete(bad, bytes(1_048_577)), return_exceptions=True
        )
        assert isinstance(outcomes[1], InvalidArgumentError)
        assert (await client.tasks.get(good.task_id)).state is TaskState.COMPLETED
        with pytest.raises(StaleFencingTokenError):
            await work.complete(ClaimedTask(bad.task_id, "q", "", b"", 1, 1, 3, 1_000))


async def test_a_session_that_ends_takes_its_tasks_along(client: Client) -> None:
    await submit(client, 1)
    lost: list[LostTask] = []
    async with client.tasks.work(["q"], on_lost=lost.append) as work:
        (task,) = await take(work)
        await client.sessions.close(task.session_id)
        await eventually(lambda: [one.task_id for one in lost] == [task.task_id])
        work.free_slot(task)
        (again,) = await take(work)
        assert (again.task_id, again.attempt) == (task.task_id, 2)
        assert again.session_id != task.session_id
        assert (await work.complete(again)).state is TaskState.COMPLETED


async def test_a_broken_connection_loses_no_task_and_none_is_done_twice() -> None:
    """The link is cut again and again, in the middle of things. Leases outlast the test, so a task
    that was handed out and not delivered would be missing in the end."""
    async with local_node() as node, Client(node.address) as client, link_to(node.address) as link:
        ids = await submit(client, 200)
        committed: list[str] = []
        troubles: list[CoordError] = []
        async with (
            Client(link.address, session_ttl_ms=60_000) as own,
            own.tasks.work(
                ["q"], slots=3, lease_ttl_ms=600_000, on_trouble=troubles.append
            ) as work,
        ):

            async def serve() -> None:
                async for task in work:
                    await work.complete(task)
                    committed.append(task.task_id)

            serving = [asyncio.create_task(serve()) for _ in range(3)]
            for part in range(1, 4):
                await eventually(lambda n=part: len(committed) >= 40 * n, 20)  # type: ignore[misc]
                await link.reset()
            await eventually(lambda: len(committed) == 200, 30)
            await work.stop()
            await asyncio.gather(*serving)
        done = await client.tasks.wait(ids)
    assert sorted(committed) == sorted(ids)
    assert {(task.state, task.attempt, task.lost_leases) for task in done} == {
        (TaskState.COMPLETED, 1, 0)
    }
    assert troubles, "no stream was broken: nothing was tested"


async def test_a_worker_leaves_a_node_that_goes_and_one_that_does_not_lead() -> None:
    """From a follower it moves to the leader as soon as it hears of it."""
    async with local_node() as leader, local_node(node_id="n2", follower=True) as follower:
        assert isinstance(follower.replicator, FollowerReplicator)
        follower.replicator.follow(Member("n1", "", leader.address))
        async with Client(follower.address) as client:
            await submit(client, 2)
            async with client.tasks.work(["q"]) as work:
                (task,) = await take(work)
                await work.complete(task)
                await take(work)
                await eventually(lambda: len(work_streams(leader.server).streams) == 1)
                await eventually(lambda: len(work_streams(follower.server).streams) == 0)
                await leader.server.announce_leaving()
                await eventually(lambda: len(work_streams(leader.server).streams) == 0)
                await eventually(lambda: len(work_streams(follower.server).streams) == 1)
