"""One work stream to a node: what the worker has to say goes out, what the node says is passed on.

What is to be said at the same time leaves in one message: a result, and with it the slot that it
leaves free. A request that was not written when the stream ends was certainly never sent; any
other one is of unknown outcome.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import grpc
import grpc.aio

from coord.client.transport.errors import CoordError, OutcomeUnknownError, from_rpc_error
from coord.client.transport.methods import COMPLETE, FAIL, HEARTBEAT, RELEASE
from coord.client.transport.pending import Pending
from coord.pb import work_pb2 as pb

PATH: Final = "/coord.v1.Work/Work"
# After so much silence, or a third of the lease, a node sends nothing; ...
MAX_SILENCE_MS: Final = 10_000
# ... so something is said after this part of it.
_SPEAK_AFTER: Final = 0.8
MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024  # of requests that travel together
_FIELDS: Final = {
    COMPLETE.path: "complete",
    FAIL.path: "fail",
    RELEASE.path: "release",
    HEARTBEAT.path: "heartbeat",
}


class WorkStream:
    """`rpc`: opened on a channel. `fill` adds what the worker grants to a message that is about to
    be written, and tells whether that is anything; `take` is given what the node says beside
    answers. `stopping`: the node is not to send tasks any more; `stopped`: it will not."""

    def __init__(
        self,
        rpc: Any,
        hello: pb.WorkerHello,
        fill: Callable[[pb.WorkerMessage], bool],
        take: Callable[[pb.ServerMessage], None],
    ) -> None:
        self.usable = True
        self.stopping = self.stopped = False
        self._told_stop = False
        self._rpc = rpc
        self._hello: pb.WorkerHello | None = hello
        self._fill = fill
        self._take = take
        self._loop = asyncio.get_running_loop()
        silence_ms = min(hello.lease_ttl_ms / 3, MAX_SILENCE_MS)
        self._clock_period_s = silence_ms / 1000 * _SPEAK_AFTER
        # By sequence; a request with the field that it goes into.
        self._pending: Pending[tuple[str, Any], pb.WorkResults] = Pending()
        self._ended: asyncio.Future[CoordError | None] = self._loop.create_future()
        self._clock_timer: asyncio.TimerHandle | None = None
        self._clock_due = False
        self._writer: asyncio.Task[None] | None = None  # while there is something to write
        self._reader = self._loop.create_task(self._read())
        self.write_soon()

    async def run(self) -> CoordError | None:
        """Until the stream has ended; why, if it was not meant to."""
        return await asyncio.shield(self._ended)

    async def ask(self, path: str, request: Any, timeout_s: float) -> pb.WorkResults:
        """The answer to a request of the method. Raises CoordError."""
        sequence = request.header.sequence
        self._pending.add(sequence, (_FIELDS[path], request))
        self.write_soon()
        try:
            return await self._pending.wait(sequence, timeout_s)
        finally:
            self._pending.drop(sequence)
            if not self.usable:
                self.write_soon()

    def stop(self) -> None:
        """Have the node send no further tasks; it says when it has stopped."""
        self.stopping = True
        self.write_soon()

    def drain(self) -> None:
        """Take no further requests; the stream ends with the last answer."""
        self.usable = False
        self.write_soon()

    async def close(self, error: CoordError) -> None:
        """End at once; requests under way end with `error`."""
        self._end(error)
        tasks = [task for task in (self._writer, self._reader) if task is not None]
        for task in tasks:
            task.cancel()
        self._rpc.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def write_soon(self) -> None:
        """There is something to say."""
        if self._writer is None and not self._ended.done():
            self._writer = self._loop.create_task(self._write())

    async def _write(self) -> None:
        try:
            await self._rpc.wait_for_connection()
            while not self._rpc.done() and (message := self._next_message()) is not None:
                await self._rpc.write(message.SerializeToString())
            if self.usable or self._pending:
                self._writer = None
            else:
                await self._rpc.done_writing()
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            return  # the reader learns what became of the stream

    def _next_message(self) -> pb.WorkerMessage | None:
        message = pb.WorkerMessage()
        says = self._add_requests(message)
        if not self.stopping:
            says = self._fill(message) or says
        elif not self._told_stop:
            self._told_stop = message.stop = says = True
        if self._hello is not None:
            message.hello.CopyFrom(self._hello)
            self._hello = None
        elif not says and not self._clock_due:
            return None
        message.clock_ms = int(time.monotonic() * 1000)
        self._clock_due = False
        if self._clock_timer is not None:
            self._clock_timer.cancel()
        self._clock_timer = self._loop.call_later(self._clock_period_s, self._say_clock)
        return message

    def _add_requests(self, message: pb.WorkerMessage) -> bool:
        """One of each kind, as long as they are not too large together."""
        size = 0
        taken: list[int] = []
        for sequence, (field, request) in self._pending.queue.items():
            if message.HasField(field):
                continue
            size += request.ByteSize()
            if taken and size > MAX_MESSAGE_BYTES:
                break
            getattr(message, field).CopyFrom(request)
            taken.append(sequence)
        for sequence in taken:
            del self._pending.queue[sequence]
        return bool(taken)

    def _say_clock(self) -> None:
        self._clock_due = True
        self.write_soon()

    async def _read(self) -> None:
        try:
            while (data := await self._rpc.read()) is not grpc.aio.EOF:
                message = pb.ServerMessage.FromString(data)
                for answer in message.answers:
                    self._pending.answer(answer.sequence, answer, answer.results)
                self.stopped |= message.stopped
                self._take(message)
            self._end(None if await self._rpc.code() is grpc.StatusCode.OK else _broken())
        except grpc.aio.AioRpcError as error:
            self._end(from_rpc_error(error))
        except asyncio.CancelledError:
            self._end(_broken())
            raise

    def _end(self, error: CoordError | None) -> None:
        self.usable = False
        if self._clock_timer is not None:
            self._clock_timer.cancel()
        self._pending.end(_broken())
        if not self._ended.done():
            self._ended.set_result(error)


def _broken() -> CoordError:
    return OutcomeUnknownError("the stream has ended", "OUTCOME_UNKNOWN", retryable=True)
