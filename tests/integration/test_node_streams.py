"""Calls that share a stream, seen from a node."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message

from coord.core.locks.queries import is_waiting
from coord.pb import common_pb2, lock_pb2, task_pb2
from coord.pb import etcd_rpc_pb2 as etcd
from coord.pb import stream_pb2 as pb
from coord.rpc.status import reason_in
from coord.rpc.streams import calls as call_stream
from tests.support.rpc import LocalNode, local_node
from tests.support.waiting import eventually

PUT = "/etcdserverpb.KV/Put"
CLAIM = "/coord.v1.Tasks/Claim"
ACQUIRE = "/coord.v1.Locks/Acquire"


@pytest.fixture
async def node() -> AsyncIterator[LocalNode]:
    async with local_node() as running:
        yield running


class Stream:
    """A stream, and the answers that came on it."""

    def __init__(self, node: LocalNode) -> None:
        self._numbers = itertools.count(1)
        self.rpc: Any = node.stubs.channel.stream_stream(call_stream.PATH)()
        self.answers: dict[int, pb.Answer] = {}
        self.closing = False
        self.code: grpc.StatusCode | None = None
        self.reading = asyncio.create_task(self._read())

    async def call(self, method: str, request: Message, **fields: Any) -> int:
        number = next(self._numbers)
        raw = request.SerializeToString()
        call = pb.StreamCall(id=number, method=method, request=raw, timeout_ms=10_000, **fields)
        await self.send(pb.CallBatch(calls=[call]))
        return number

    async def send(self, batch: pb.CallBatch) -> None:
        await self.rpc.write(batch.SerializeToString())

    async def answer(self, number: int) -> pb.Answer:
        await eventually(lambda: number in self.answers, what=f"answer {number}")
        return self.answers[number]

    async def end(self) -> grpc.StatusCode:
        await self.rpc.done_writing()
        await self.reading
        return await self.rpc.code()

    async def _read(self) -> None:
        try:
            while (data := await self.rpc.read()) is not grpc.aio.EOF:
                batch = pb.AnswerBatch.FromString(data)
                self.closing |= batch.closing
                self.answers.update((answer.id, answer) for answer in batch.answers)
        except grpc.aio.AioRpcError as error:
            self.code = error.code()


def claim(session_id: int, sequence: int = 1, wait_ms: int = 5_000) -> task_pb2.ClaimRequest:
    return task_pb2.ClaimRequest(
        header=common_pb2.RequestHeader(session_id=session_id, sequence=sequence),
        queues=["q"],
        max_tasks=1,
        lease_ttl_ms=10_000,
        wait_ms=wait_ms,
    )


async def test_a_call_that_waits_holds_up_no_other(node: LocalNode) -> None:
    session_id = await node.stubs.open_session()
    stream = Stream(node)
    waiting = await stream.call(CLAIM, claim(session_id))
    quick = await stream.call(PUT, etcd.PutRequest(key=b"k", value=b"v"))
    response = etcd.PutResponse.FromString((await stream.answer(quick)).response)
    assert response.header.revision > session_id
    assert waiting not in stream.answers
    submit = task_pb2.SubmitRequest(tasks=[task_pb2.TaskSpec(queue="q", payload=b"x")])
    await stream.call("/coord.v1.Tasks/Submit", submit)
    claimed = task_pb2.ClaimResponse.FromString((await stream.answer(waiting)).response)
    assert [task.payload for task in claimed.tasks] == [b"x"]
    assert await stream.end() is grpc.StatusCode.OK


async def test_completing_one_task_and_getting_the_next_share_an_entry(node: LocalNode) -> None:
    """One round trip: both calls leave in one message and are logged together."""
    session_id = await node.stubs.open_session()
    stream = Stream(node)
    specs = [task_pb2.TaskSpec(queue="q", payload=b"%d" % n) for n in range(2)]
    await node.stubs.tasks.Submit(task_pb2.SubmitRequest(tasks=specs))
    number = await stream.call(CLAIM, claim(session_id))
    (first,) = task_pb2.ClaimResponse.FromString((await stream.answer(number)).response).tasks
    before = node.log_index()
    done = task_pb2.CompleteRequest(
        header=common_pb2.RequestHeader(session_id=session_id, sequence=2),
        items=[
            task_pb2.CompleteItem(task_id=first.task_id, fencing_token=first.fencing_token),
        ],
    )
    calls = [
        pb.StreamCall(id=n, method=method, request=request.SerializeToString())
        for n, method, request in (
            (11, "/coord.v1.Tasks/Complete", done),
            (12, CLAIM, claim(session_id, sequence=3)),
        )
    ]
    await stream.send(pb.CallBatch(calls=calls))
    (second,) = task_pb2.ClaimResponse.FromString((await stream.answer(12)).response).tasks
    assert (second.payload, (await stream.answer(11)).HasField("failure")) == (b"1", False)
    assert node.log_index() == before + 1
    assert await stream.end() is grpc.StatusCode.OK


async def test_a_refusal_says_what_it_says_to_a_call_by_itself(node: LocalNode) -> None:
    stream = Stream(node)
    number = await stream.call(CLAIM, claim(99))
    failure = (await stream.answer(number)).failure
    assert failure.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert reason_in(failure.details) == "SESSION_NOT_FOUND"
    unknown = await stream.call("/coord.v1.Tasks/Nope", etcd.PutRequest())
    failure = (await stream.answer(unknown)).failure
    assert failure.code == grpc.StatusCode.UNIMPLEMENTED.value[0]
    assert reason_in(failure.details) == "UNIMPLEMENTED"
    assert await stream.end() is grpc.StatusCode.OK


async def test_metadata_of_a_call_identifies_it(node: LocalNode) -> None:
    session_id = await node.stubs.open_session()
    stream = Stream(node)
    identity = {"coord-session": str(session_id), "coord-sequence": "1", "coord-acked-below": "1"}
    put = etcd.PutRequest(key=b"k", value=b"v")
    first = await stream.answer(await stream.call(PUT, put, metadata=identity))
    again = await stream.answer(await stream.call(PUT, put, metadata=identity))
    assert first.response == again.response, "a repeat was carried out"
    assert await stream.end() is grpc.StatusCode.OK


@pytest.mark.parametrize("how", ["cancelled", "broken"])
async def test_a_wait_given_up_ends_at_the_node(node: LocalNode, how: str) -> None:
    holder, waiter = await node.stubs.open_session(), await node.stubs.open_session()
    stream = Stream(node)

    def acquire(session_id: int, wait_ms: int) -> lock_pb2.AcquireLockRequest:
        header = common_pb2.RequestHeader(session_id=session_id, sequence=1)
        return lock_pb2.AcquireLockRequest(header=header, name="l", holder="h", wait_ms=wait_ms)

    await stream.answer(await stream.call(ACQUIRE, acquire(holder, 0)))
    number = await stream.call(ACQUIRE, acquire(waiter, 60_000))
    state = node.server.state_machine.state
    await eventually(lambda: is_waiting(state, "l", waiter, "h"))
    if how == "cancelled":
        await stream.send(pb.CallBatch(cancelled=[number]))
    else:
        stream.rpc.cancel()
    await eventually(lambda: not is_waiting(state, "l", waiter, "h"))
    assert number not in stream.answers


async def test_what_is_no_batch_ends_the_stream(node: LocalNode) -> None:
    stream = Stream(node)
    await stream.rpc.write(b"\xff\xff")
    await stream.reading
    assert stream.code is grpc.StatusCode.INVALID_ARGUMENT
    session_id = await node.stubs.open_session()
    twice = Stream(node)
    raw = claim(session_id).SerializeToString()
    call = pb.StreamCall(id=1, method=CLAIM, request=raw)
    await twice.send(pb.CallBatch(calls=[call, call]))
    await twice.reading
    assert twice.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_too_many_calls_under_way_are_refused(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_stream, "_MAX_OPEN_CALLS", 1)
    session_id = await node.stubs.open_session()
    stream = Stream(node)
    await stream.call(CLAIM, claim(session_id))
    number = await stream.call(PUT, etcd.PutRequest(key=b"k"))
    failure = (await stream.answer(number)).failure
    assert reason_in(failure.details) == "BUSY"


async def test_large_answers_are_cut_into_messages_or_refused(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Stream(node)
    value = bytes(700_000)
    await node.stubs.kv.Put(etcd.PutRequest(key=b"k", value=value))
    get = etcd.RangeRequest(key=b"k").SerializeToString()
    batch = [pb.StreamCall(id=n, method="/etcdserverpb.KV/Range", request=get) for n in range(1, 9)]
    await stream.send(pb.CallBatch(calls=batch))
    for number in range(1, 9):
        response = etcd.RangeResponse.FromString((await stream.answer(number)).response)
        assert response.kvs[0].value == value
    monkeypatch.setattr(call_stream, "_MAX_ANSWER_BYTES", 1_000)
    await stream.send(
        pb.CallBatch(calls=[pb.StreamCall(id=9, method=batch[0].method, request=get)])
    )
    assert reason_in((await stream.answer(9)).failure.details) == "MESSAGE_TOO_LARGE"
    assert await stream.end() is grpc.StatusCode.OK


async def test_a_node_that_goes_says_so_and_answers_what_it_has(node: LocalNode) -> None:
    session_id = await node.stubs.open_session()
    stream = Stream(node)
    waiting = await stream.call(CLAIM, claim(session_id))
    await eventually(lambda: node.server.claim_queue.parked)
    node.server.refuse_calls()
    assert reason_in((await stream.answer(waiting)).failure.details) == "SHUTTING_DOWN"
    late = await stream.call(PUT, etcd.PutRequest(key=b"k"))
    assert reason_in((await stream.answer(late)).failure.details) == "SHUTTING_DOWN"
    assert stream.closing
    assert await stream.end() is grpc.StatusCode.OK
