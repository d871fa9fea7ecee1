"""Calls that share a stream: read as they come, served side by side, answered as they end.

A unary call costs gRPC several times what a message on an open stream costs, so clients send their
calls in batches over one stream. Each is served exactly as if it had come by itself. Answers that
are ready at the same time leave in one message; while one message is on its way, the next gathers.

When the node goes, it says so and answers what it has; the client ends the stream. When the stream
breaks, its calls are cancelled, as those of a broken connection are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from coord.codec import wire
from coord.pb import stream_pb2 as pb
from coord.rpc.call import CallContext
from coord.rpc.status import failure_message
from coord.rpc.streams.protocol import Stream, StreamHandle, StreamService
from coord.runtime import errors
from coord.runtime.errors import CallError
from coord.runtime.slices import cancel_all

PATH: Final = "/coord.v1.Stream/Calls"
_RETRY_AFTER_MS: Final = 100
_MAX_OPEN_CALLS: Final = 8_192  # of one stream
_BEGUN_A_TURN: Final = 64
_MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
_ANSWERS_FIELD: Final = pb.AnswerBatch.ANSWERS_FIELD_NUMBER
_CLOSING: Final = pb.AnswerBatch(closing=True).SerializeToString()

Answer = Callable[[str, bytes, CallContext], Awaitable[bytes | CallError]]
"""Serves one call: path, request, context. Never raises, except when it is cancelled."""


class CallStreams(StreamService["_ClientStream"]):
    """The stream of calls. Each call has a limit of its own, and each is refused by itself when the
    node goes."""

    path = PATH
    message = pb.CallBatch
    to_the_last = True

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer

    def open(self, handle: StreamHandle) -> _ClientStream:
        """See `StreamService.open`."""
        return _ClientStream(self._answer, handle)


class _ClientStream(Stream):
    def __init__(self, answer: Answer, handle: StreamHandle) -> None:
        self._answer = answer
        self._handle = handle
        self._peer = handle.context.peer()
        self._metadata = handle.context.metadata
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, asyncio.Task[None]] = {}

    async def on_message(self, batch: pb.CallBatch) -> None:
        """See `Stream.on_message`."""
        for number in batch.cancelled:
            self._cancel(number)
        for place, call in enumerate(batch.calls, start=1):
            if call.id in self._open:
                raise errors.invalid(f"call {call.id} is under way", "id")
            self._begin(call)
            if place % _BEGUN_A_TURN == 0:
                await asyncio.sleep(0)

    async def finish(self) -> None:
        """See `Stream.finish`."""
        if self._open:
            await asyncio.wait(list(self._open.values()))

    def leave(self) -> None:
        """See `Stream.leave`."""
        self._handle.put(_CLOSING)

    async def close(self) -> None:
        """See `Stream.close`."""
        await cancel_all(self._open.values())

    def _begin(self, call: pb.StreamCall) -> None:
        if len(self._open) >= _MAX_OPEN_CALLS:
            self._put(_failure(call.id, errors.busy(_RETRY_AFTER_MS)))
            return
        metadata = self._metadata
        if call.metadata:
            metadata = {**metadata, **call.metadata}
        context = CallContext(self._loop, metadata, call.timeout_ms, self._peer)
        serving = self._serve(call.id, call.method, call.request, context)
        self._open[call.id] = self._loop.create_task(serving)

    def _cancel(self, number: int) -> None:
        task = self._open.pop(number, None)
        if task is not None:
            task.cancel()

    async def _serve(self, number: int, path: str, raw: bytes, context: CallContext) -> None:
        try:
            outcome = await self._answer(path, raw, context)
        except asyncio.CancelledError:
            if self._open.pop(number, None) is not None:  # not by the client, which has gone on
                self._put(_failure(number, errors.outcome_unknown("the call was given up")))
            raise
        if self._open.pop(number, None) is None:
            return
        if isinstance(outcome, CallError):
            self._put(_failure(number, outcome))
        elif len(outcome) > _MAX_ANSWER_BYTES:
            self._put(_failure(number, errors.response_too_large(_MAX_ANSWER_BYTES)))
        else:
            answer = pb.Answer(id=number, response=outcome)
            if context.trailing:
                answer.trailing.update(context.trailing)
            self._put(answer)

    def _put(self, answer: pb.Answer) -> None:
        self._handle.put(wire.field(_ANSWERS_FIELD, answer.SerializeToString()))


def _failure(number: int, error: CallError) -> pb.Answer:
    return pb.Answer(id=number, failure=failure_message(error))
