"""A stream of calls at a node, without gRPC around it."""

from __future__ import annotations

import asyncio
from typing import Any

from coord.pb import stream_pb2 as pb
from coord.rpc.streams.answer_room import AnswerRoom
from coord.rpc.streams.calls import CallStreams
from coord.rpc.streams.protocol import StreamHost


class Context:
    """A stream on which one call came, and whose client then is gone without a word."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self._batch = pb.CallBatch(calls=[pb.StreamCall(id=1, method="/x/Y")])

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def peer(self) -> str:
        return "somewhere"

    async def read(self) -> bytes:
        if not self._batch.calls:
            await asyncio.Event().wait()
        data, self._batch = self._batch.SerializeToString(), pb.CallBatch()
        return data

    async def write(self, data: bytes) -> None:
        self.written.append(data)
        raise ConnectionError


async def test_a_call_given_up_with_its_stream_is_not_answered() -> None:
    """An answer would be written by a task that nobody waits for, to nobody."""
    under_way = asyncio.Event()

    async def answer(path: str, request: bytes, context: Any) -> bytes:
        under_way.set()
        await asyncio.Event().wait()
        return b""

    context = Context()
    handler: Any = StreamHost(CallStreams(answer), AnswerRoom()).rpc_handler()
    running = asyncio.ensure_future(handler.stream_stream(None, context))
    await under_way.wait()
    running.cancel()
    await asyncio.wait({running})
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert (left, context.written) == (set(), [])
