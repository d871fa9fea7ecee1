"""A call that begins as a message: its bytes are made once, and it is not decoded again."""

from __future__ import annotations

import asyncio

import pytest

from coord.codec.kinds import CommandKind
from coord.codec.shape import MAX_PARTS
from coord.pb import etcd_rpc_pb2 as etcd
from coord.pb import task_pb2 as tasks
from coord.rpc.call import Call, CallContext
from coord.rpc.services.context import Backend
from coord.rpc.streams.answer_room import AnswerRoom
from coord.runtime.errors import CallError
from tests.support.rpc import local_node


def call_of(request: bytes | etcd.TxnRequest | tasks.ClaimRequest) -> Call:
    loop = asyncio.get_running_loop()
    return Call(request, CallContext(loop, {}, 0, "somewhere"), loop.time(), AnswerRoom())


async def test_the_bytes_of_a_message_are_made_once() -> None:
    request = tasks.ClaimRequest(queues=["q"], wait_ms=5)
    call = call_of(request)
    assert call.raw == request.SerializeToString()
    assert call.raw is call.raw
    assert call.parse(tasks.ClaimRequest) is request


async def test_bytes_are_parsed_once() -> None:
    call = call_of(tasks.ClaimRequest(wait_ms=5).SerializeToString())
    assert call.parse(tasks.ClaimRequest).wait_ms == 5
    assert call.parse(tasks.ClaimRequest) is call.parse(tasks.ClaimRequest)
    with pytest.raises(CallError, match="not a valid coord"):
        call_of(b"\xff").parse(tasks.ClaimRequest)


async def test_an_answer_made_here_is_not_parsed() -> None:
    call = call_of(tasks.ClaimRequest())
    made = tasks.ClaimResponse(tasks=[tasks.ClaimedTask(task_id="t1")])
    assert call.answered(tasks.ClaimResponse, made.SerializeToString()) == made
    call.response = made
    assert call.answered(tasks.ClaimResponse, b"\xff") is made


async def test_a_message_with_far_too_many_parts_is_refused() -> None:
    """As its bytes would be."""
    inner = etcd.TxnRequest(success=[etcd.RequestOp()] * MAX_PARTS)
    request = etcd.TxnRequest(success=[etcd.RequestOp(request_txn=inner)])
    request.success[0].request_txn.compare.add(key=b"x" * 40_000)
    async with local_node() as node:
        backend: Backend = node.server.backend
        for call in (call_of(request), call_of(request.SerializeToString())):
            with pytest.raises(CallError, match="parts"):
                backend.decode(CommandKind.KV_TXN, call)
