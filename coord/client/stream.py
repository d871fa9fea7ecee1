"""Calls of this client that share one stream to a node.

Calls made in the same turn of the event loop leave in one message; while a message waits to be
taken, the next gathers. Answers come in any order. A call that was not written when the stream ends
was certainly never sent; any other one is of unknown outcome, and is repeated by `Caller` under its
old sequence.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc
import grpc.aio

from coord.client.errors import (
    CoordError,
    DeadlineError,
    OutcomeUnknownError,
    UnavailableError,
    UnimplementedError,
    from_rpc_error,
    from_status,
)
from coord.rpc.gen import stream_pb2 as pb

CALLS_PATH: Final = "/coord.v1.Stream/Calls"
MAX_CALL_BYTES: Final = 256 * 1024  # larger requests travel alone, and hold nobody up
_MAX_MESSAGE_BYTES: Final = 1024 * 1024


class NoStreamsError(UnimplementedError):
    """The node is of a version that knows unary calls only; nothing was done."""


class CallStream:
    """One stream on a channel, opened when made. `usable`: takes further calls."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.usable = True
        self._loop = asyncio.get_running_loop()
        self._stream: Any = channel.stream_stream(CALLS_PATH)()
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._queue: dict[int, pb.StreamCall] = {}  # what is not written yet, in order
        self._cancelled: list[int] = []
        self._last_number = 0
        self._connected = False
        self._writer: asyncio.Task[None] | None = None  # while there is something to write
        self._reader = self._loop.create_task(self._read())

    async def call(
        self, path: str, raw: bytes, timeout_s: float, metadata: tuple[tuple[str, str], ...]
    ) -> bytes:
        """The response. Raises CoordError; NoStreamsError: make the call another way."""
        self._last_number = number = self._last_number + 1
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._answers[number] = answer
        call = pb.StreamCall(id=number, method=path, request=raw, timeout_ms=int(timeout_s * 1000))
        if metadata:
            call.metadata.update(metadata)
        self._queue[number] = call
        self._write_soon()
        timer = self._loop.call_later(timeout_s, self._time_is_over, number)
        try:
            return await answer
        finally:
            timer.cancel()
            if self._answers.pop(number, None) is not None:
                self._withdraw(number)

    def drain(self) -> None:
        """Take no further calls; the stream ends with the last answer."""
        self.usable = False
        self._write_soon()

    async def close(self, error: CoordError) -> None:
        """End at once; calls under way end with `error`."""
        self._end(error)
        tasks = [task for task in (self._writer, self._reader) if task is not None]
        for task in tasks:
            task.cancel()
        self._stream.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _withdraw(self, number: int) -> None:
        """Nobody waits for this answer any more."""
        if self._queue.pop(number, None) is None:
            self._cancelled.append(number)
            self._write_soon()

    def _time_is_over(self, number: int) -> None:
        answer = self._answers.get(number)
        if answer is None or answer.done():
            return
        if number in self._queue:
            answer.set_exception(_never_sent())
        else:
            message = "no answer in time"
            answer.set_exception(DeadlineError(message, "DEADLINE_EXCEEDED", retryable=True))

    def _write_soon(self) -> None:
        if self._writer is None:
            self._writer = self._loop.create_task(self._write())

    async def _write(self) -> None:
        """Until nothing waits to be written; after `drain`, the last that is done."""
        try:
            if not self._connected:
                await self._stream.wait_for_connection()
                self._connected = True
            while self._queue or self._cancelled:
                if self._stream.done():
                    return  # before anything is taken off the queue: it was never sent
                await self._stream.write(self._next_batch().SerializeToString())
            if self.usable:
                self._writer = None
            else:
                await self._stream.done_writing()
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            return  # the reader learns what became of the stream

    def _next_batch(self) -> pb.CallBatch:
        batch = pb.CallBatch(cancelled=self._cancelled)
        self._cancelled.clear()
        size = 0
        taken: list[int] = []
        for number, call in self._queue.items():
            size += len(call.request)
            if taken and size > _MAX_MESSAGE_BYTES:
                break
            taken.append(number)
        batch.calls.extend([self._queue.pop(number) for number in taken])
        return batch

    async def _read(self) -> None:
        try:
            while (data := await self._stream.read()) is not grpc.aio.EOF:
                self._take(pb.AnswerBatch.FromString(data))
        except grpc.aio.AioRpcError as error:
            self._end(_as_end(error))
        except asyncio.CancelledError:
            self._end(_broken())
            raise
        else:
            self._end(_broken())

    def _take(self, batch: pb.AnswerBatch) -> None:
        for answer in batch.answers:
            waiting = self._answers.pop(answer.id, None)
            if waiting is None or waiting.done():
                continue
            if answer.HasField("failure"):
                failure = answer.failure
                error = from_status(failure.code, failure.message, failure.details)
                waiting.set_exception(error)
            else:
                waiting.set_result(answer.response)
        if batch.closing:
            self.drain()

    def _end(self, error: CoordError) -> None:
        self.usable = False
        never_sent = error if isinstance(error, NoStreamsError) else _never_sent()
        for number, answer in self._answers.items():
            if not answer.done():
                why = never_sent if number in self._queue else error
                answer.set_exception(why.copy())
        self._answers.clear()
        self._queue.clear()
        self._cancelled.clear()


def _as_end(error: grpc.aio.AioRpcError) -> CoordError:
    """What the end of the stream means for the calls that were written to it."""
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return NoStreamsError("the node has no streams of calls", "UNIMPLEMENTED")
    meaning = from_rpc_error(error)
    return meaning if isinstance(meaning, UnavailableError) else _broken()


def _broken() -> CoordError:
    return OutcomeUnknownError("the connection was closed", "OUTCOME_UNKNOWN", retryable=True)


def _never_sent() -> CoordError:
    return UnavailableError("the request was never sent", "UNREACHABLE", retryable=True)
