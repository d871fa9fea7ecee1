"""Calls that share a stream, seen from the client."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from coord.client import (
    Client,
    DeadlineError,
    InvalidArgumentError,
    TaskSpec,
    UnavailableError,
)
from coord.client.transport.methods import ACQUIRE, PUT, SUBMIT
from coord.client.transport.stream import CALLS_PATH, CallStream
from coord.pb import stream_pb2
from tests.support.client import FakeNode, fake_cluster, lose_reply, refuse
from tests.support.waiting import eventually


def client_of(nodes: list[FakeNode], **settings: Any) -> Client:
    return Client(",".join(node.address for node in nodes), **{"timeout_ms": 5_000, **settings})


class Echo(grpc.GenericRpcHandler):
    """Answers each batch at once, and keeps what it got."""

    def __init__(self) -> None:
        self.batches: list[stream_pb2.CallBatch] = []

    def service(self, details: Any) -> Any:
        async def serve(_: Any, context: Any) -> None:
            while (data := await context.read()) is not grpc.aio.EOF:
                batch = stream_pb2.CallBatch.FromString(data)
                self.batches.append(batch)
                answers = [stream_pb2.Answer(id=c.id, response=c.request) for c in batch.calls]
                await context.write(stream_pb2.AnswerBatch(answers=answers).SerializeToString())

        return (
            grpc.stream_stream_rpc_method_handler(serve) if details.method == CALLS_PATH else None
        )


async def test_calls_of_one_turn_travel_in_one_message() -> None:
    echo, server = Echo(), grpc.aio.server()
    server.add_generic_rpc_handlers((echo,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stream = CallStream(channel)
        calls = [stream.call("/a/B", b"%d" % n, 5.0, ()) for n in range(100)]
        assert await asyncio.gather(*calls) == [b"%d" % n for n in range(100)]
        assert [len(batch.calls) for batch in echo.batches] == [100]
        assert 0 < echo.batches[0].calls[0].timeout_ms <= 5_000
        stream.drain()
        await eventually(stream._reader.done)
    await server.stop(None)


async def test_a_node_without_streams_is_called_the_plain_way() -> None:
    async with fake_cluster() as (node,):
        node.streams = False
        async with client_of([node]) as client:
            await asyncio.gather(*(client.kv.put(f"k{n}", "v") for n in range(10)))
            task = await client.tasks.submit("q", b"x")
        assert task.task_id
        assert node.store.count(PUT) == node.count(PUT) == node.alone[PUT.path] == 10


async def test_all_but_large_requests_share_the_stream() -> None:
    async with fake_cluster() as (node,), client_of([node]) as client:
        await client.kv.put("k", "v")
        assert node.alone[PUT.path] == 0
        await client.tasks.submit_many([TaskSpec("q", bytes(300 * 1024))])
        assert node.alone[SUBMIT.path] == node.count(SUBMIT) == 1


async def test_what_is_refused_on_a_stream_is_refused_as_ever() -> None:
    async with fake_cluster() as (node,), client_of([node]) as client:
        code = grpc.StatusCode.INVALID_ARGUMENT
        node.next_calls(PUT, refuse(code, "TOO_LARGE", limit="7"))
        with pytest.raises(InvalidArgumentError) as caught:
            await client.kv.put("k", "v")
        assert (caught.value.reason, caught.value.metadata["limit"]) == ("TOO_LARGE", "7")
        node.next_calls(PUT, lose_reply)
        await client.kv.put("k", "v")
        assert node.store.count(PUT) == 1, "done twice"


class Waiting:
    """A behaviour that waits until it is cancelled."""

    def __init__(self) -> None:
        self.entered = self.cancelled = False

    async def __call__(self, node: FakeNode, request: Any, context: Any) -> Any:
        self.entered = True
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def test_a_call_nobody_waits_for_ends_at_the_node() -> None:
    async with fake_cluster() as (node,), client_of([node]) as client:
        waiting = Waiting()
        await client.open_session()
        node.next_calls(ACQUIRE, waiting)
        call = asyncio.create_task(client.locks.acquire("l", wait_ms=60_000))
        await eventually(lambda: waiting.entered)
        call.cancel()
        await eventually(lambda: waiting.cancelled)
        await client.kv.put("k", "v")  # the stream goes on


async def test_a_call_whose_time_is_over_ends_on_both_sides() -> None:
    async with fake_cluster() as (node,), client_of([node]) as client:
        waiting = Waiting()
        node.next_calls(PUT, waiting)
        with pytest.raises(DeadlineError):
            await client.kv.put("k", "v", timeout_ms=100)
        await eventually(lambda: waiting.cancelled)


async def test_calls_under_way_when_a_node_dies_are_done_once_by_another() -> None:
    async with fake_cluster(2) as nodes, client_of(nodes) as client:
        old, new = nodes
        await client.open_session()
        old.next_calls(PUT, *[Waiting() for _ in range(20)])
        writes = [asyncio.create_task(client.kv.put(f"k{n}", "v")) for n in range(20)]
        await eventually(lambda: old.count(PUT) == 20)
        old.leads, new.leads = False, True
        await old.stop()
        await asyncio.gather(*writes)
        assert old.store.count(PUT) == 20


async def test_a_node_that_goes_ends_its_streams_without_harm() -> None:
    async with fake_cluster() as (node,), client_of([node]) as client:
        await client.kv.put("k", "v")
        writes = [asyncio.create_task(client.kv.put(f"k{n}", "v")) for n in range(50)]
        node.call_host.close()
        await asyncio.gather(*writes)
        await eventually(lambda: not node.call_streams.streams, what="the client ended its stream")
        assert node.store.count(PUT) == node.count(PUT) == 51, "a call was lost and repeated"


async def test_a_stream_to_nowhere_says_that_nothing_was_sent() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        stream = CallStream(channel)
        with pytest.raises(UnavailableError):
            await stream.call("/a/B", b"", 5.0, ())
        assert not stream.usable
