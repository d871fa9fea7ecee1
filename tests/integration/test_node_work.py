"""The stream of a worker, seen from a node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from coord.pb import task_pb2 as tasks
from coord.pb import work_pb2 as pb
from coord.replication.port import Member
from coord.rpc.status import reason_in
from coord.rpc.streams import work as work_stream
from tests.support.rpc import FollowerReplicator, LocalNode, local_node, work_streams
from tests.support.waiting import eventually
from tests.support.worker import Worker, complete, submit


@pytest.fixture
async def node() -> AsyncIterator[LocalNode]:
    async with local_node() as running:
        yield running


async def test_one_task_costs_one_round_trip(node: LocalNode) -> None:
    """A result and its free slot in one message; the answer and the next task in one as well, out
    of one log entry."""
    await submit(node, 4)
    worker = Worker(node, await node.stubs.open_session())
    await worker.greet(free_slots=1, claim_sequences=[1, 2])
    await eventually(lambda: worker.tasks)
    for number in range(1, 4):
        said, logged = len(worker.messages), node.log_index()
        await worker.say(
            complete=complete(worker, 100 + number, worker.tasks[-1]),
            free_slots=1,
            claim_sequences=[number + 2],
        )
        await eventually(lambda n=number: len(worker.tasks) == n + 1)  # type: ignore[misc]
        (answer,) = worker.messages[said:]
        assert [a.sequence for a in answer.answers] == [100 + number]
        assert not answer.answers[0].results.results[0].HasField("error")
        assert [t.payload for t in answer.assignments[0].claimed.tasks] == [b"%d" % number]
        assert node.log_index() == logged + 1
    await worker.end()


async def test_no_more_tasks_come_than_slots_are_free(node: LocalNode) -> None:
    worker = Worker(node, await node.stubs.open_session())
    await worker.greet(free_slots=2, claim_sequences=[1, 2, 3, 4])
    await submit(node, 5)
    await eventually(lambda: len(worker.tasks) == 2)
    await worker.say(free_slots=1)
    await eventually(lambda: len(worker.tasks) == 3)
    # A request and its answer: whatever was under way behind the tasks has arrived.
    await worker.say(complete=complete(worker, 99, *worker.tasks))
    await eventually(lambda: 99 in worker.answers)
    state = node.server.state_machine.state
    assert (len(worker.tasks), len(state.queues["q"].ready)) == (3, 2)
    await worker.end()
    assert len(state.queues["q"].ready) == 2, "claimed for a worker that had no slot"


async def test_a_claim_waits_without_logging_and_is_made_again(node: LocalNode) -> None:
    worker = Worker(node, await node.stubs.open_session(), lease_ttl_ms=300)
    await worker.greet(free_slots=1, claim_sequences=[1])
    logged = node.log_index()
    loop = asyncio.get_running_loop()
    for _ in range(4):  # together four times the wait of a claim
        until = loop.time() + 0.1
        await eventually(lambda at=until: loop.time() > at)  # type: ignore[misc]
        worker.clock_ms += 5_000
        await worker.say()
    assert node.log_index() == logged
    await submit(node)
    await eventually(lambda: worker.tasks)
    (since_ms,) = [a.since_clock_ms for m in worker.messages for a in m.assignments]
    # In the worker's own time; the claim was made up to a wait earlier.
    assert 1_019_500 < since_ms <= 1_021_000


async def test_a_worker_that_is_silent_is_sent_nothing_until_it_speaks(node: LocalNode) -> None:
    worker = Worker(node, await node.stubs.open_session(), lease_ttl_ms=300)
    await worker.greet(free_slots=1, claim_sequences=[1])
    await eventually(lambda: node.server.claim_queue.parked)
    await eventually(lambda: not node.server.claim_queue.parked)
    await submit(node)
    other = await Worker(node, await node.stubs.open_session()).greet()
    await other.say(free_slots=1, claim_sequences=[1])
    await eventually(lambda: other.tasks)
    await submit(node)
    await worker.say()
    await eventually(lambda: worker.tasks)


async def test_a_cancelled_task_is_told_at_once(node: LocalNode) -> None:
    (task_id,) = await submit(node)
    worker = Worker(node, await node.stubs.open_session())
    await worker.greet(free_slots=1, claim_sequences=[1])
    await eventually(lambda: worker.tasks)
    await node.stubs.tasks.Cancel(tasks.CancelTaskRequest(task_id=task_id, reason="not wanted"))
    await eventually(lambda: worker.lost)
    (lost,) = worker.lost
    assert (lost.task_id, lost.fencing_token) == (task_id, worker.tasks[0].fencing_token)
    assert (lost.state, lost.reason) == (tasks.TASK_STATE_CANCELLED, "not wanted")
    assert len(work_streams(node.server).leases) == 0


async def test_an_expired_lease_is_told_and_a_settled_one_is_not(node: LocalNode) -> None:
    await submit(node, 2)
    worker = Worker(node, await node.stubs.open_session(), lease_ttl_ms=200)
    await worker.greet(free_slots=2, claim_sequences=[1])
    await eventually(lambda: len(worker.tasks) == 2)
    done, left = worker.tasks
    await worker.say(complete=complete(worker, 50, done))
    await eventually(lambda: worker.lost)
    assert [lost.task_id for lost in worker.lost] == [left.task_id]
    assert worker.lost[0].state in {
        tasks.TASK_STATE_SCHEDULED,
        tasks.TASK_STATE_READY,
        tasks.TASK_STATE_CLAIMED,
    }


async def test_what_a_worker_brings_along_is_watched(node: LocalNode) -> None:
    ids = await submit(node, 2)
    session_id = await node.stubs.open_session()
    first = await Worker(node, session_id).greet(free_slots=2, claim_sequences=[1])
    await eventually(lambda: len(first.tasks) == 2)
    held = [{"task_id": t.task_id, "fencing_token": t.fencing_token} for t in first.tasks]
    first.rpc.cancel()
    await eventually(lambda: not work_streams(node.server).streams)
    await node.stubs.tasks.Cancel(tasks.CancelTaskRequest(task_id=ids[0]))
    second = await Worker(node, session_id, held=held).greet()
    await eventually(lambda: [lost.task_id for lost in second.lost] == ids[:1])
    await node.stubs.tasks.Cancel(tasks.CancelTaskRequest(task_id=ids[1]))
    await eventually(lambda: [lost.task_id for lost in second.lost] == ids)
    await second.end()


async def test_a_repeated_sequence_brings_the_same_tasks(node: LocalNode) -> None:
    """A stream broke before the worker heard of its task: no other stream takes it."""
    await submit(node)
    session_id = await node.stubs.open_session()
    first = await Worker(node, session_id).greet(free_slots=1, claim_sequences=[1])
    await eventually(lambda: first.tasks)
    first.rpc.cancel()
    second = await Worker(node, session_id).greet(free_slots=1, claim_sequences=[1])
    await eventually(lambda: second.tasks)
    assert second.tasks == first.tasks
    assert node.server.state_machine.state.tasks[int(first.tasks[0].task_id[1:])].attempt == 1


async def test_a_worker_that_stops_is_told_what_is_unused(node: LocalNode) -> None:
    worker = Worker(node, await node.stubs.open_session())
    await worker.greet(free_slots=2, claim_sequences=[1, 2, 3])
    await eventually(lambda: node.server.claim_queue.parked)
    await worker.say(stop=True)
    await eventually(lambda: worker.messages[-1].stopped)
    unused = [sequence for m in worker.messages for sequence in m.unused]
    assert sorted(unused) == [1, 2, 3]
    assert not node.server.claim_queue.parked
    await submit(node)
    await worker.say(free_slots=1, claim_sequences=[4])
    await eventually(lambda: 4 in [s for m in worker.messages for s in m.unused])
    assert not worker.tasks
    await worker.end()


async def test_the_end_of_the_session_ends_the_stream(node: LocalNode) -> None:
    worker = Worker(node, await node.stubs.open_session(ttl_ms=200))
    await worker.greet(free_slots=1, claim_sequences=[1])
    assert await worker.refusal() == "SESSION_NOT_FOUND"
    unknown = Worker(node, 9_999)
    await unknown.say(hello=unknown.hello, free_slots=1, claim_sequences=[1])
    assert await unknown.refusal() == "SESSION_NOT_FOUND"


async def test_the_end_of_a_session_is_told_to_its_own_streams_only(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    end = work_stream._WorkerStream.session_ended

    def noted(stream: work_stream._WorkerStream, session_id: int) -> None:
        told.append(stream.session_id)
        end(stream, session_id)

    monkeypatch.setattr(work_stream._WorkerStream, "session_ended", noted)
    others = [await Worker(node, await node.stubs.open_session()).greet() for _ in range(20)]
    worker = await Worker(node, await node.stubs.open_session(ttl_ms=200)).greet()
    assert await worker.refusal() == "SESSION_NOT_FOUND"
    assert told == [worker.session_id]
    for other in others:
        await other.end()


async def test_a_node_that_goes_answers_what_it_has(node: LocalNode) -> None:
    await submit(node)
    worker = Worker(node, await node.stubs.open_session())
    await worker.greet(free_slots=2, claim_sequences=[1, 2])
    await eventually(lambda: worker.tasks)
    await node.server.announce_leaving()
    await eventually(lambda: worker.messages[-1].stopped)
    assert any(message.closing for message in worker.messages)
    await worker.say(complete=complete(worker, 9, *worker.tasks))
    await eventually(lambda: 9 in worker.answers)
    assert worker.answers[9].results.results[0].state == tasks.TASK_STATE_COMPLETED
    await worker.end()
    late = Worker(node, worker.session_id)
    assert await late.refusal() == "SHUTTING_DOWN"


@pytest.mark.parametrize(
    "fault",
    [
        {"free_slots": 1},
        {"hello": pb.WorkerHello(queues=["q"], lease_ttl_ms=1_000)},
        {"hello": pb.WorkerHello(session_id=1, lease_ttl_ms=1_000)},
        {"hello": pb.WorkerHello(session_id=1, queues=["q"], lease_ttl_ms=1)},
        {"greeted": {"hello": pb.WorkerHello(session_id=1)}},
        {"greeted": {"free_slots": 1_001}},
        {"greeted": {"claim_sequences": [2, 1]}},
        {"greeted": {"claim_sequences": range(1, 18)}},
        {"greeted": {"complete": tasks.CompleteRequest(header={"session_id": 77, "sequence": 1})}},
        {"greeted": {"fail": tasks.FailRequest()}},
        {"raw": b"\xff\xff"},
    ],
    ids=lambda fault: str(fault).replace("\n", " ")[:60],
)
async def test_what_is_not_allowed_ends_the_stream(node: LocalNode, fault: dict[str, Any]) -> None:
    worker = Worker(node, await node.stubs.open_session())
    if "raw" in fault:
        await worker.rpc.write(fault["raw"])
    elif "greeted" in fault:
        await worker.greet()
        await worker.say(**fault["greeted"])
    else:
        await worker.say(**fault)
    assert await worker.refusal() == "INVALID_ARGUMENT"


async def test_a_message_that_is_too_large_ends_the_stream() -> None:
    async with local_node(max_message_bytes=10_000) as node:
        worker = Worker(node, await node.stubs.open_session())
        await worker.greet()
        request = tasks.FailRequest(header=worker.header(1), items=[{"error": "x" * 20_000}])
        await worker.say(fail=request)
        assert await worker.refusal() == "MESSAGE_TOO_LARGE"


async def test_a_refused_request_says_why_and_the_stream_goes_on(node: LocalNode) -> None:
    await submit(node)
    worker = Worker(node, await node.stubs.open_session())
    await worker.greet()
    await worker.say(heartbeat=tasks.HeartbeatRequest(header=worker.header(5)))
    await eventually(lambda: 5 in worker.answers)
    assert reason_in(worker.answers[5].failure.details) == "INVALID_ARGUMENT"
    await worker.say(free_slots=1, claim_sequences=[6])
    await eventually(lambda: worker.tasks)
    await worker.end()


async def test_a_worker_at_a_follower_is_served_and_told_who_leads() -> None:
    async with local_node() as leader, local_node(node_id="n2", follower=True) as follower:
        assert isinstance(follower.replicator, FollowerReplicator)
        follower.replicator.follow(Member("n1", "", leader.address))
        worker = Worker(follower, await follower.stubs.open_session())
        await worker.greet(free_slots=1, claim_sequences=[1, 2])
        assert worker.messages[0].leader_address == leader.address
        await submit(leader, 2)
        await eventually(lambda: worker.tasks)
        done = complete(worker, 9, *worker.tasks)
        await worker.say(complete=done, free_slots=1)
        await eventually(lambda: len(worker.tasks) == 2 and 9 in worker.answers)
        assert worker.answers[9].results.results[0].state == tasks.TASK_STATE_COMPLETED
        assert not worker.lost, "the follower has not applied these claims yet"
        await worker.say(stop=True)
        await eventually(lambda: worker.messages[-1].stopped)
        await worker.end()
