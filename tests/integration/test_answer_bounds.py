"""Answers take a bounded amount of memory, whoever asks for how much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from coord.core.base.limits import LIMITS
from coord.pb import common_pb2, task_pb2
from coord.pb import etcd_rpc_pb2 as etcd
from coord.pb import stream_pb2 as pb
from coord.replication.port import Member
from coord.rpc.status import reason_in
from coord.rpc.streams import answer_room
from coord.rpc.streams import calls as call_stream
from tests.support.lone_node import lone_node
from tests.support.rpc import FollowerReplicator, LocalNode, Stubs, local_node, refused
from tests.support.waiting import eventually

RANGE = "/etcdserverpb.KV/Range"
GET = "/coord.v1.Tasks/Get"
WAIT = "/coord.v1.Tasks/Wait"
MIB = 1024 * 1024
VALUE_BYTES = 200_000
KEYS = 40  # 8 MB together
ALL = etcd.RangeRequest(key=b"k", range_end=b"l").SerializeToString()


async def fill(stubs: Stubs) -> None:
    for number in range(KEYS):
        await stubs.kv.Put(etcd.PutRequest(key=b"k%d" % number, value=bytes(VALUE_BYTES)))


def calls(method: str, raw: bytes, count: int) -> bytes:
    """One message on a stream, with so many calls."""
    batch = [pb.StreamCall(id=n + 1, method=method, request=raw) for n in range(count)]
    return pb.CallBatch(calls=batch).SerializeToString()


def channel_to(address: str) -> grpc.aio.Channel:
    options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.aio.insecure_channel(address, options=options)


async def read_answers(stream: Any, count: int) -> list[pb.Answer]:
    """All of them, without their contents."""
    found: list[pb.Answer] = []
    while len(found) < count:
        data = await stream.read()
        assert data is not grpc.aio.EOF
        for answer in pb.AnswerBatch.FromString(data).answers:
            assert answer.response, answer.failure
            found.append(pb.Answer(id=answer.id))
    return found


@pytest.mark.integration
async def test_a_small_message_cannot_ask_for_gigabytes(tmp_path: Path) -> None:
    """Two kilobytes ask for 480 MB, and nobody reads: the node keeps a little of it, serves the
    others, and gives everything to whoever reads in the end."""
    count = 60
    with lone_node(tmp_path) as node:
        async with channel_to(node.address) as channel, channel_to(node.address) as greedy:
            stubs = Stubs(channel)
            await fill(stubs)
            before = node.peak_bytes()
            message = calls(RANGE, ALL, count)
            assert len(message) < 16 * 1024
            stream: Any = greedy.stream_stream(call_stream.PATH)()
            await stream.write(message)
            for number in range(30):
                await stubs.kv.Put(etcd.PutRequest(key=b"other", value=b"%d" % number), timeout=10)
                await asyncio.sleep(0.02)
            got = await stubs.kv.Range(etcd.RangeRequest(key=b"other"), timeout=10)
            assert got.kvs[0].value == b"29"
            assert node.peak_bytes() - before < 300 * MIB
            assert len(await read_answers(stream, count)) == count
        assert node.peak_bytes() - before < 300 * MIB


@asynccontextmanager
async def leader_and_follower() -> AsyncIterator[tuple[LocalNode, LocalNode]]:
    async with local_node() as leader, local_node(node_id="n2", follower=True) as follower:
        replicator = follower.replicator
        assert isinstance(replicator, FollowerReplicator)
        replicator.follow(Member("n1", "", leader.address))
        yield leader, follower


async def test_a_node_that_forwards_has_room_first() -> None:
    most = answer_room.MAX_OWNER_BYTES + LIMITS.max_answer_bytes
    async with leader_and_follower() as (leader, follower), channel_to(follower.address) as channel:
        await fill(leader.stubs)
        stream: Any = channel.stream_stream(call_stream.PATH)()
        await stream.write(calls(RANGE, ALL, 30))
        await eventually(lambda: follower.server.answers.waiting > 0)
        held = []
        for _ in range(50):
            held.append(follower.server.answers.bytes_held)
            assert leader.server.answers.bytes_held <= most
            await asyncio.sleep(0.01)
        assert max(held) <= most
        assert len(await read_answers(stream, 30)) == 30
        await eventually(lambda: follower.server.answers.bytes_held == 0)
        await eventually(lambda: leader.server.answers.bytes_held == 0)


async def test_a_wait_through_a_follower_asks_for_the_tasks_when_they_are_done() -> None:
    """It does not keep room for them while it waits, and other waits go on beside it."""
    async with leader_and_follower() as (leader, follower):
        specs = [task_pb2.TaskSpec(queue="q", payload=b"x")]
        submitted = await leader.stubs.tasks.Submit(task_pb2.SubmitRequest(tasks=specs))
        task_id = submitted.tasks[0].task_id
        request = task_pb2.WaitTasksRequest(task_ids=[task_id], wait_ms=20_000)
        waiting = [asyncio.ensure_future(follower.stubs.tasks.Wait(request)) for _ in range(40)]
        await eventually(lambda: len(follower.server.watches) == 40)
        await eventually(lambda: follower.server.answers.bytes_held == 0)
        assert not any(one.done() for one in waiting)
        await leader.stubs.tasks.Cancel(task_pb2.CancelTaskRequest(task_id=task_id))
        # What the log would bring: the end of the task, seen by the follower.
        follower.server.watches.on_restored()
        answers = await asyncio.gather(*waiting)
        assert all(one.all_done and one.tasks[0].task_id == task_id for one in answers)


async def test_small_calls_do_not_wait_for_large_answers() -> None:
    async with local_node() as node, channel_to(node.address) as channel:
        await fill(node.stubs)
        stream: Any = channel.stream_stream(call_stream.PATH)()
        await stream.write(calls(RANGE, ALL, 30))
        await eventually(lambda: node.server.answers.waiting > 0)
        put = pb.StreamCall(
            id=1_000,
            method="/etcdserverpb.KV/Put",
            request=etcd.PutRequest(key=b"small", value=b"1").SerializeToString(),
        )
        await stream.write(pb.CallBatch(calls=[put]).SerializeToString())
        state = node.server.state_machine.state
        await eventually(lambda: state.kv.range(_key(b"small"), state.revision).total == 1)
        stream.cancel()
        await eventually(lambda: node.server.answers.bytes_held == 0)


def _key(key: bytes) -> Any:
    from coord.codec.kv import range_of

    return range_of(etcd.RangeRequest(key=key))


async def test_calls_that_wait_too_long_for_room_are_told_to_come_back() -> None:
    async with local_node() as node, channel_to(node.address) as channel:
        await fill(node.stubs)
        node.server.answers.take("somebody", answer_room.MAX_BYTES)
        stream: Any = channel.stream_stream(call_stream.PATH)()
        call = pb.StreamCall(id=1, method=RANGE, request=ALL, timeout_ms=200)
        await stream.write(pb.CallBatch(calls=[call]).SerializeToString())
        (answer,) = pb.AnswerBatch.FromString(await stream.read()).answers
        assert reason_in(answer.failure.details) == "BUSY"
        assert "try again after" in answer.failure.message
        stream.cancel()
        node.server.answers.give_back("somebody", answer_room.MAX_BYTES)
        assert (await channel.unary_unary(RANGE)(ALL, timeout=10)) != b""


async def test_a_range_too_large_for_one_answer_is_refused_and_never_cut() -> None:
    value = bytes(LIMITS.max_value_bytes)
    async with local_node() as node, channel_to(node.address) as channel:
        stubs = Stubs(channel)
        for number in range(8):
            await stubs.kv.Put(etcd.PutRequest(key=b"k%d" % number, value=value))
        everything = etcd.RangeRequest(key=b"k", range_end=b"l")
        code, reason, metadata, text = await refused(stubs.kv.Range(everything))
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOO_LARGE")
        assert metadata["limit"] == str(LIMITS.max_answer_bytes)
        assert text == "etcdserver: request is too large"
        assert "set a smaller limit" in metadata["message"]
        everything.limit = 7
        page = await stubs.kv.Range(everything)
        assert (len(page.kvs), page.more, page.count) == (7, True, 8)


async def test_a_wait_for_more_than_one_answer_holds_is_refused() -> None:
    async with local_node() as node:
        session_id = await node.stubs.open_session()
        specs = [task_pb2.TaskSpec(queue="q", payload=bytes(MIB)) for _ in range(3)]
        ids = []
        for _ in range(3):
            reply = await node.stubs.tasks.Submit(task_pb2.SubmitRequest(tasks=specs))
            ids += [task.task_id for task in reply.tasks]
        request = task_pb2.WaitTasksRequest(task_ids=ids)
        code, reason, _, _ = await refused(node.stubs.tasks.Wait(request))
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
        request.omit_payload = True
        assert len((await node.stubs.tasks.Wait(request)).tasks) == 9
        header = common_pb2.RequestHeader(session_id=session_id, sequence=1)
        claim = task_pb2.ClaimRequest(header=header, queues=["q"], max_tasks=9, lease_ttl_ms=10_000)
        assert len((await node.stubs.tasks.Claim(claim)).tasks) == 2  # what fits
