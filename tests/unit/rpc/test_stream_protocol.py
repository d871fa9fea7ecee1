"""A stream that the server does not know: it is served by being passed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import field_mask_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from coord.core.base.request import Event
from coord.pb import etcd_rpc_pb2 as etcd
from coord.rpc.call import STRANGER, Call
from coord.rpc.server import STREAMS
from coord.rpc.streams.protocol import Stream, StreamHandle, StreamService
from coord.runtime import errors
from coord.runtime.parts import Leadership
from tests.support.rpc import LocalNode, local_node, refused
from tests.support.waiting import eventually


class Echo(Stream):
    """Says what it hears, and what it is told."""

    def __init__(self, service: Echoes, handle: StreamHandle) -> None:
        self._service = service
        self.handle = handle

    async def on_message(self, message: field_mask_pb2.FieldMask) -> None:
        for word in message.paths:
            if word == "fail":
                self.handle.fail(errors.invalid("told to fail", "paths"))
            if word == "raise":
                raise errors.invalid("told to raise", "paths")
            self.say(word)

    async def finish(self) -> None:
        self.say("finished")

    def leave(self) -> None:
        self.say("leave")

    async def close(self) -> None:
        self._service.closed += 1

    def say(self, word: str) -> None:
        self.handle.put(field_mask_pb2.FieldMask(paths=[word]).SerializeToString())


class Echoes(StreamService[Echo]):
    path = "/test.Echo/Talk"
    message = field_mask_pb2.FieldMask
    max_message_bytes = 100

    def __init__(self, *_: Any) -> None:
        super().__init__()
        self.closed = 0

    def open(self, handle: StreamHandle) -> Echo:
        return Echo(self, handle)

    def on_applied(self, events: Iterable[Event]) -> None:
        for stream in self.streams:
            for event in events:
                stream.say(f"applied {event.subject}")

    def on_restored(self) -> None:
        for stream in self.streams:
            stream.say("restored")

    def on_leader_change(self, leadership: Leadership) -> None:
        for stream in self.streams:
            stream.say(f"leader {leadership.leader_id}")


class Client:
    """A stream to the node, and what came on it."""

    def __init__(self, node: LocalNode) -> None:
        self.rpc: Any = node.stubs.channel.stream_stream(Echoes.path)()
        self.heard: list[str] = []
        self.reading = asyncio.create_task(self._read())

    async def say(self, *words: str) -> None:
        await self.rpc.write(field_mask_pb2.FieldMask(paths=words).SerializeToString())

    async def hears(self, word: str) -> None:
        await eventually(lambda: word in self.heard, what=f"{word} in {self.heard}")

    async def refusal(self) -> tuple[str, str]:
        """Reason and message with which the node ended the stream."""
        await self.reading
        _, reason, _, message = await refused(self.rpc.read())
        return reason, message

    async def _read(self) -> None:
        try:
            while (data := await self.rpc.read()) is not grpc.aio.EOF:
                self.heard.extend(field_mask_pb2.FieldMask.FromString(data).paths)
        except grpc.aio.AioRpcError:
            return


@pytest.fixture
async def node() -> AsyncIterator[LocalNode]:
    async with local_node(wiring={"streams": (*STREAMS, Echoes)}) as running:
        yield running


def echoes(node: LocalNode) -> Echoes:
    return next(one for one in node.server.streams if isinstance(one, Echoes))


async def opened(node: LocalNode) -> Client:
    client = Client(node)
    await client.say("hello")
    await client.hears("hello")
    return client


async def test_it_is_served(node: LocalNode) -> None:
    client = await opened(node)
    (stream,) = echoes(node).streams
    assert stream.handle.caller == STRANGER
    await client.rpc.done_writing()
    await client.reading
    assert client.heard == ["hello", "finished"]
    assert await client.rpc.code() is grpc.StatusCode.OK
    await eventually(lambda: echoes(node).closed == 1)
    assert not echoes(node).streams


async def test_it_is_told_what_is_applied_restored_and_who_leads(node: LocalNode) -> None:
    client = await opened(node)
    await node.stubs.kv.Put(etcd.PutRequest(key=b"k", value=b"v"))
    await client.hears("applied k")
    source = node.server.state_machine.begin_snapshot()
    node.server.state_machine.restore(list(iter(source.next_chunk, None)))  # type: ignore[arg-type]
    await client.hears("restored")
    node.server.leadership.refresh()
    await client.hears("leader n1")
    client.rpc.cancel()


async def test_it_is_told_when_the_node_goes_and_no_other_is_opened(node: LocalNode) -> None:
    client = await opened(node)
    await node.server.announce_leaving()
    await client.hears("leave")
    assert (await Client(node).refusal())[0] == "SHUTTING_DOWN"
    await client.say("still here")
    await client.hears("still here")
    node.server.refuse_calls()
    await client.rpc.done_writing()
    await client.reading
    assert client.heard == ["hello", "leave", "still here", "finished"]


@pytest.mark.parametrize("how", ["raise", "fail"])
async def test_an_error_ends_the_stream_with_its_reason(node: LocalNode, how: str) -> None:
    client = await opened(node)
    await client.say(how)
    assert await client.refusal() == ("INVALID_ARGUMENT", f"told to {how}")
    await eventually(lambda: echoes(node).closed == 1)


async def test_what_is_no_message_or_too_large_ends_the_stream(node: LocalNode) -> None:
    client = await opened(node)
    await client.rpc.write(b"\xff")
    reason, message = await client.refusal()
    assert reason == "INVALID_ARGUMENT"
    assert message.startswith("not a FieldMask")
    client = await opened(node)
    await client.say("x" * 200)
    assert (await client.refusal())[0] == "MESSAGE_TOO_LARGE"


async def test_a_client_that_vanishes_leaves_nothing(node: LocalNode) -> None:
    client = await opened(node)
    client.rpc.cancel()
    await eventually(lambda: echoes(node).closed == 1)
    assert not echoes(node).streams


async def test_health_and_reflection_know_it(node: LocalNode) -> None:
    health: Any = health_pb2_grpc.HealthStub(node.stubs.channel)  # type: ignore[no-untyped-call]
    answer = await health.Check(health_pb2.HealthCheckRequest(service="test.Echo"))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_interceptors_see_who_opens_a_stream() -> None:
    def guard(path: str, _: Call) -> None:
        if path == Echoes.path:
            raise errors.invalid("not for you", "path")

    wiring = {"streams": (*STREAMS, Echoes), "interceptors": (guard,)}
    async with local_node(wiring=wiring) as node:
        assert await Client(node).refusal() == ("INVALID_ARGUMENT", "not for you")
        assert not echoes(node).closed
