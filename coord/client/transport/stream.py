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

from coord.client.transport.errors import (
    CoordError,
    OutcomeUnknownError,
    UnavailableError,
    UnimplementedError,
    from_rpc_error,
)
from coord.client.transport.pending import Pending
from coord.pb import stream_pb2 as pb

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
        self._pending: Pending[pb.StreamCall, bytes] = Pending()
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
        call = pb.StreamCall(id=number, method=path, request=raw, timeout_ms=int(timeout_s * 1000))
        if metadata:
            call.metadata.update(metadata)
        self._pending.add(number, call)
        self._write_soon()
        try:
            return await self._pending.wait(number, timeout_s)
        finally:
            if self._pending.drop(number):
                self._cancelled.append(number)
                self._write_soon()

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

    def _write_soon(self) -> None:
        if self._writer is None:
            self._writer = self._loop.create_task(self._write())

    async def _write(self) -> None:
        """Until nothing waits to be written; after `drain`, the last that is done."""
        try:
            if not self._connected:
                await self._stream.wait_for_connection()
                self._connected = True
            while self._pending.queue or self._cancelled:
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
        queue = self._pending.queue
        size = 0
        taken: list[int] = []
        for number, call in queue.items():
            size += len(call.request)
            if taken and size > _MAX_MESSAGE_BYTES:
                break
            taken.append(number)
        batch.calls.extend([queue.pop(number) for number in taken])
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
            self._pending.answer(answer.id, answer, answer.response)
        if batch.closing:
            self.drain()

    def _end(self, error: CoordError) -> None:
        self.usable = False
        self._pending.end(error, error if isinstance(error, NoStreamsError) else None)
        self._cancelled.clear()


def _as_end(error: grpc.aio.AioRpcError) -> CoordError:
    """What the end of the stream means for the calls that were written to it."""
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return NoStreamsError("the node has no streams of calls", "UNIMPLEMENTED")
    meaning = from_rpc_error(error)
    return meaning if isinstance(meaning, UnavailableError) else _broken()


def _broken() -> CoordError:
    return OutcomeUnknownError("the connection was closed", "OUTCOME_UNKNOWN", retryable=True)
