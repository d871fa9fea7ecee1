"""Whatever reaches a node's port: it answers, says little, and goes on."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coord.pb import etcd_rpc_pb2 as etcd
from coord.pb import session_pb2, stream_pb2
from coord.rpc.streams import calls as call_stream
from coord.rpc.streams import work as work_stream
from tests.support.garbage import garbage, methods
from tests.support.lone_node import LoneNode, lone_node
from tests.support.rpc import Stubs, local_node

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

MAX_SAID_BYTES = 6_000
STREAMS = (call_stream.PATH, work_stream.PATH)
METHODS = {path: kind for path, kind in methods().items() if path not in STREAMS}
# These wait, or change who is in the cluster: they are fuzzed with a short deadline all the same.
METADATA = st.lists(
    st.tuples(
        st.sampled_from(
            (
                *("coord-session", "coord-sequence", "coord-acked-below"),
                *("coord-max-stale-ms", "coord-forwarded", "coord-origin"),
            )
        ),
        st.sampled_from(("", "0", "1", "-1", "x", "9" * 400, "any", "1e3")),
    ),
    max_size=3,
).map(tuple)


def draw(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """So many examples, the same in every run."""
    found: list[Any] = []

    @settings(
        max_examples=count, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    return found


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneNode]:
    """One for all tests here: it has to stand all of them, and to say little of them together."""
    with lone_node(tmp_path_factory.mktemp("node")) as running:
        yield running


async def still_serves(node: LoneNode) -> None:
    """It took nothing amiss: it answers, and has said little, and no traceback."""
    assert node.running
    async with grpc.aio.insecure_channel(node.address) as channel:
        await Stubs(channel).kv.Put(etcd.PutRequest(key=b"k", value=b"v"), timeout=20)
    said = node.said()
    assert "Traceback" not in said, said[-4_000:]
    assert len(said) < MAX_SAID_BYTES, said[:4_000]


async def code_of(call: Any) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_garbage_to_every_method(node: LoneNode) -> None:
    async with grpc.aio.insecure_channel(node.address) as channel:
        for path, kind in METHODS.items():
            requests = draw(st.tuples(garbage(kind), METADATA), 25)
            codes = await asyncio.gather(
                *(
                    code_of(channel.unary_unary(path)(raw, timeout=1.0, metadata=metadata))
                    for raw, metadata in requests
                )
            )
            assert grpc.StatusCode.INTERNAL not in codes, path
            assert grpc.StatusCode.UNKNOWN not in codes, path
        assert await code_of(channel.unary_unary("/x/Y")(b"")) is grpc.StatusCode.UNIMPLEMENTED
    await still_serves(node)


async def send(channel: grpc.aio.Channel, path: str, parts: list[bytes], end: str) -> None:
    stream: Any = channel.stream_stream(path)()
    ends = (grpc.aio.AioRpcError, asyncio.CancelledError, asyncio.InvalidStateError, TimeoutError)
    with suppress(*ends):
        for part in parts:
            await stream.write(part)
        if end == "cancel":
            stream.cancel()
        elif end == "done":
            await stream.done_writing()
            async with asyncio.timeout(0.5):
                while await stream.read() is not grpc.aio.EOF:
                    continue
    stream.cancel()


@pytest.mark.parametrize("path", STREAMS)
async def test_garbage_on_streams(node: LoneNode, path: str) -> None:
    parts = st.lists(garbage(methods()[path]), max_size=4)
    cases = draw(st.tuples(parts, st.sampled_from(("cancel", "done", "leave"))), 60)
    async with grpc.aio.insecure_channel(node.address) as channel:
        await asyncio.gather(*(send(channel, path, *case) for case in cases))
    await still_serves(node)


async def test_garbage_in_calls_on_a_stream(node: LoneNode) -> None:
    numbers = itertools.count(1)

    def batch(path: str, kind: type[Message]) -> bytes:
        calls = [
            stream_pb2.StreamCall(
                id=next(numbers), method=path, request=raw, timeout_ms=500, metadata=dict(metadata)
            )
            for raw, metadata in draw(st.tuples(garbage(kind), METADATA), 15)
        ]
        return stream_pb2.CallBatch(calls=calls).SerializeToString()

    async with grpc.aio.insecure_channel(node.address) as channel:
        stream: Any = channel.stream_stream(call_stream.PATH)()
        for path, kind in METHODS.items():
            await stream.write(batch(path, kind))
        sent, answered = next(numbers) - 1, 0
        async with asyncio.timeout(60):
            while answered < sent:
                answers = stream_pb2.AnswerBatch.FromString(await stream.read()).answers
                for answer in answers:
                    assert answer.failure.code not in (2, 13), answer.failure.message
                answered += len(answers)
        await stream.done_writing()
    await still_serves(node)


async def test_garbage_to_the_services_of_grpc(node: LoneNode) -> None:
    """Health and reflection come from a library, which writes a traceback for each."""
    broken = [b"\xff\xff", b"\n\x05abc", b""]
    refused = grpc.StatusCode.INVALID_ARGUMENT
    async with grpc.aio.insecure_channel(node.address) as channel:
        for raw in broken * 3:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")(raw, timeout=5.0)
            assert await code_of(check) is (refused if raw else grpc.StatusCode.OK)
            watch: Any = channel.unary_stream("/grpc.health.v1.Health/Watch")(raw, timeout=5.0)
            assert (await code_of(watch.read()) is refused) is bool(raw)
            watch.cancel()
            path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
            ask: Any = channel.stream_stream(path)(timeout=5.0)
            await ask.write(raw)
            assert (await code_of(ask.read()) is refused) is bool(raw)
            ask.cancel()
    await still_serves(node)


async def test_a_bug_that_anybody_can_hit_does_not_fill_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("coord.rpc.services.sessions.page_limit", broken)
    async with local_node() as running:
        for _ in range(100):
            listing = running.stubs.sessions.List(session_pb2.ListSessionsRequest())
            assert await code_of(listing) is grpc.StatusCode.INTERNAL
    assert 1 <= capsys.readouterr().out.count("call.failed") <= 10


async def test_bytes_that_are_no_http(node: LoneNode) -> None:
    host, _, port = node.address.rpartition(":")
    source = random.Random(7)
    for _ in range(300):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(source.randbytes(source.choice((1, 24, 400))))
    await still_serves(node)


async def test_connections_that_break(node: LoneNode) -> None:
    for number in range(60):
        channel = grpc.aio.insecure_channel(node.address, options=[("grpc.n", number)])
        stream: Any = channel.stream_stream(STREAMS[number % 2])()
        with suppress(grpc.aio.AioRpcError):
            await stream.write(b"")
        waiting = asyncio.ensure_future(code_of(channel.unary_unary("/coord.v1.Tasks/Wait")(b"")))
        await channel.close()
        waiting.cancel()
    await still_serves(node)


async def test_messages_that_are_too_large(node: LoneNode) -> None:
    large = bytes(12 * 1024 * 1024)
    async with grpc.aio.insecure_channel(node.address) as channel:
        for _ in range(3):
            put = channel.unary_unary("/etcdserverpb.KV/Put")
            assert await code_of(put(large)) is grpc.StatusCode.RESOURCE_EXHAUSTED
            for path in STREAMS:
                await send(channel, path, [large], "done")
    await still_serves(node)
