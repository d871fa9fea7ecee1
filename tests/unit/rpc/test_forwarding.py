"""What a node says of a call that it handed on to the leader, when contact is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from coord.replication.local import LocalReplicator
from coord.rpc.call import Call, Method
from coord.rpc.dispatcher import RerouteError
from coord.rpc.forwarding import Forwarder
from coord.rpc.streams.answer_room import AnswerRoom
from coord.runtime.cluster_clock import ClusterClock
from coord.runtime.errors import CallError, ServiceReason
from coord.runtime.leader_view import LeaderView
from coord.runtime.state_machine import ReplicatedStateMachine

PATH = "/test.Service/Do"


class Caller:
    """What gRPC tells of a caller."""

    def time_remaining(self) -> float:
        return 20.0

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def peer(self) -> str:
        return "somewhere"


def a_call() -> Call:
    return Call(b"", Caller(), asyncio.get_running_loop().time(), AnswerRoom())


async def never(call: Call) -> bytes:
    raise AssertionError("it is forwarded")


@asynccontextmanager
async def leader_that_ends_calls_with(code: grpc.StatusCode) -> AsyncIterator[str]:
    """The address of a node that ends every call so, without a reason of ours."""

    async def do(_: bytes, context: Any) -> bytes:
        await context.abort(code, "as it is")
        return b""

    server = grpc.aio.server()
    handlers = {"Do": grpc.unary_unary_rpc_method_handler(do)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("test.Service", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def forwarded(code: grpc.StatusCode, *, writes: bool) -> Exception:
    """How such a call ends for the node that handed it on."""
    leadership = LeaderView(LocalReplicator("n1", ReplicatedStateMachine(ClusterClock())))
    forwarder = Forwarder("n1", leadership, connect_timeout_ms=10_000)
    try:
        async with leader_that_ends_calls_with(code) as address:
            method = Method(PATH, never, writes=writes)
            with pytest.raises((CallError, RerouteError)) as raised:
                await forwarder(method, a_call(), address)
            return raised.value
    finally:
        await forwarder.close()


LOST = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.CANCELLED,
)


@pytest.mark.parametrize("code", LOST)
async def test_a_write_whose_contact_was_lost_may_have_happened(code: grpc.StatusCode) -> None:
    error = await forwarded(code, writes=True)
    assert isinstance(error, CallError)
    assert (error.reason, error.definite) == (ServiceReason.OUTCOME_UNKNOWN, False)


@pytest.mark.parametrize("code", LOST)
async def test_a_read_whose_contact_was_lost_is_made_again(code: grpc.StatusCode) -> None:
    error = await forwarded(code, writes=False)
    assert isinstance(error, RerouteError)
    assert error.problem.definite


@pytest.mark.parametrize("writes", [True, False])
async def test_any_other_end_is_definite_only_for_a_read(writes: bool) -> None:
    error = await forwarded(grpc.StatusCode.DEADLINE_EXCEEDED, writes=writes)
    assert isinstance(error, CallError)
    assert error.definite is not writes


async def test_a_leader_that_cannot_be_reached_did_nothing() -> None:
    leadership = LeaderView(LocalReplicator("n1", ReplicatedStateMachine(ClusterClock())))
    forwarder = Forwarder("n1", leadership, connect_timeout_ms=50)
    try:
        method = Method(PATH, never, writes=True)
        with pytest.raises(RerouteError) as raised:
            await forwarder(method, a_call(), "127.0.0.1:1")
    finally:
        await forwarder.close()
    assert raised.value.problem.definite
    assert not raised.value.contact
