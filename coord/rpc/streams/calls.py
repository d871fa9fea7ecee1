"""Calls that share a stream: read as they come, served side by side, answered as they end.

A unary call costs gRPC several times what a message on an open stream costs, so clients send their
calls in batches over one stream. Each is served exactly as if it had come by itself. Answers that
are ready at the same time leave in one message; while one message is on its way, the next gathers.

The stream of a client that does not read is not read from either, once too much waits for it. When
the node goes, it says so and answers what it has; the client ends the stream. When the stream
breaks, its calls are cancelled, as those of a broken connection are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from coord.codec import wire
from coord.pb import stream_pb2 as pb
from coord.rpc.status import details_of
from coord.rpc.streams.answer_room import Account, AnswerRoom
from coord.rpc.streams.outgoing import Outgoing
from coord.runtime import errors
from coord.runtime.errors import CallError
from coord.runtime.slices import cancel_all

SERVICE: Final = "coord.v1.Stream"
PATH: Final = f"/{SERVICE}/Calls"
_RETRY_AFTER_MS: Final = 100
_MAX_OPEN_CALLS: Final = 8_192  # of one stream
_BEGUN_A_TURN: Final = 64
_MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
_ANSWERS_FIELD: Final = pb.AnswerBatch.ANSWERS_FIELD_NUMBER
_CLOSING: Final = pb.AnswerBatch(closing=True).SerializeToString()

Answer = Callable[[str, bytes, Any], Awaitable[bytes | CallError]]
"""Serves one call: path, request, context. Never raises, except when it is cancelled."""


class CallContext:
    """What a call on a stream knows about itself: the part of gRPC's context that services use."""

    __slots__ = ("_expires_at", "_loop", "_metadata", "_peer", "trailing")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        metadata: tuple[tuple[str, str | bytes], ...],
        timeout_ms: int,
        peer: str,
    ) -> None:
        self._loop = loop
        self._peer = peer
        self.trailing: tuple[tuple[str, str], ...] = ()
        self._metadata = metadata
        self._expires_at = loop.time() + timeout_ms / 1000 if timeout_ms else None

    def time_remaining(self) -> float | None:
        """Seconds to the deadline; None without one."""
        if self._expires_at is None:
            return None
        return max(0.0, self._expires_at - self._loop.time())

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """The stream's, and the call's own."""
        return self._metadata

    def set_trailing_metadata(self, trailing: tuple[tuple[str, str], ...]) -> None:
        """What is told beside the answer."""
        self.trailing = trailing

    def peer(self) -> str:
        """The connection of the stream."""
        return self._peer


class CallStreams:
    """The handler of the method, and all streams that are open."""

    def __init__(self, answer: Answer, room: AnswerRoom | None = None) -> None:
        self._answer = answer
        self._room = room or AnswerRoom()
        self._streams: set[_Stream] = set()
        self._closing = False

    def rpc_handler(self) -> grpc.RpcMethodHandler[bytes, bytes]:
        """As gRPC sees the method."""
        return grpc.stream_stream_rpc_method_handler(self._serve)

    def close(self) -> None:
        """The node is going: have the clients end their streams."""
        self._closing = True
        for stream in self._streams:
            stream.say_closing()

    async def _serve(self, _: Any, context: Any) -> None:
        stream = _Stream(self._answer, context, self._room)
        self._streams.add(stream)
        if self._closing:
            stream.say_closing()
        try:
            await stream.run()
        finally:
            self._streams.discard(stream)


class _Stream:
    def __init__(self, answer: Answer, context: Any, room: AnswerRoom) -> None:
        self._answer = answer
        self._context = context
        self._peer: str = context.peer()
        self._metadata = tuple(context.invocation_metadata() or ())
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, asyncio.Task[None]] = {}
        self._outgoing = Outgoing(context.write, Account(room, self._peer))

    async def run(self) -> None:
        """Until the client has ended its side and has all its answers."""
        try:
            await self._read()
            if self._open:
                await asyncio.wait(list(self._open.values()))
            await self._outgoing.flushed()
        finally:
            self._outgoing.end()  # calls that are given up now have nobody to be told
            try:
                await cancel_all(self._open.values())
            finally:
                await self._outgoing.close()

    def say_closing(self) -> None:
        """Tell the client to go elsewhere."""
        self._outgoing.put(_CLOSING)

    async def _read(self) -> None:
        while (data := await self._context.read()) is not grpc.aio.EOF:
            try:
                batch = pb.CallBatch.FromString(data)
            except DecodeError as error:
                await self._refuse(f"no batch: {error}")
            for number in batch.cancelled:
                self._cancel(number)
            for place, call in enumerate(batch.calls, start=1):
                if call.id in self._open:
                    await self._refuse(f"call {call.id} is under way")
                self._begin(call)
                if place % _BEGUN_A_TURN == 0:
                    await asyncio.sleep(0)
            await self._outgoing.room()

    async def _refuse(self, message: str) -> NoReturn:
        """End the stream: its client does not keep to the protocol."""
        await self._outgoing.close()
        await self._context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
        raise AssertionError("abort raises")

    def _begin(self, call: pb.StreamCall) -> None:
        if len(self._open) >= _MAX_OPEN_CALLS:
            self._put(_failure(call.id, errors.busy(_RETRY_AFTER_MS)))
            return
        metadata = self._metadata
        if call.metadata:
            metadata = (*metadata, *call.metadata.items())
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
        self._outgoing.put(wire.field(_ANSWERS_FIELD, answer.SerializeToString()))


def _failure(number: int, error: CallError) -> pb.Answer:
    return pb.Answer(id=number, failure=failure_message(error))


def failure_message(error: CallError) -> pb.CallFailure:
    """What a unary call would have ended with."""
    return pb.CallFailure(
        code=int(error.code),
        message=error.message,
        details=error.details or details_of(error),
    )
