"""What a stream has to say, written as it comes: what is put while one message is on its way leaves
together in the next. Parts are fields of the stream's message, ready as bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from coord.rpc.streams.answer_room import Account, AnswerRoom

MAX_MESSAGE_BYTES: Final = 1024 * 1024  # of parts that travel together; a larger part goes alone
MAX_UNSENT_BYTES: Final = 16 * 1024 * 1024
LAST_WRITE_S: Final = 1.0


class Outgoing:
    """`write` sends one message, and returns when the other side's window took it. `account` is
    told what waits to be written, and what is."""

    def __init__(
        self, write: Callable[[bytes], Awaitable[object]], account: Account | None = None
    ) -> None:
        self._write = write
        self._account = account or Account(AnswerRoom(), "")
        self._parts: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._writer: asyncio.Task[None] | None = None  # while there is something to write
        self._sent = asyncio.Event()
        self._ended = False

    def put(self, part: bytes) -> None:
        """Send this, soon. Nothing, once it has ended: nobody is there to be written to."""
        if self._ended:
            return
        self._parts.append(part)
        self._unsent_bytes += len(part)
        self._account.take(len(part))
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._run())

    async def room(self) -> None:
        """Wait until the other side has taken most of what it was to be sent."""
        while self._unsent_bytes > MAX_UNSENT_BYTES:
            self._sent.clear()
            await self._sent.wait()

    async def flushed(self) -> None:
        """Wait until everything is written, or cannot be."""
        if self._writer is not None:
            await asyncio.wait([self._writer])

    def end(self) -> None:
        """Take nothing more. What was put before is still written."""
        self._ended = True

    async def close(self) -> None:
        """Write nothing more. What is on its way is waited for, for a moment: gRPC loses the status
        of a stream that is ended in the middle of its first message, and the other side waits for
        ever."""
        self.end()
        self._parts.clear()
        writer = self._writer
        if writer is not None:
            await asyncio.wait({writer}, timeout=LAST_WRITE_S)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        self._account.close()

    async def _run(self) -> None:
        """Until nothing waits. If a write fails, the stream has ended, and gRPC says so to whoever
        reads; nothing is written any more."""
        while self._parts:
            message = self._next_message()
            await self._write(message)
            self._account.give_back(len(message))
            self._sent.set()
        self._writer = None

    def _next_message(self) -> bytes:
        taken = [self._parts.popleft()]
        size = len(taken[0])
        while self._parts and size + len(self._parts[0]) <= MAX_MESSAGE_BYTES:
            taken.append(self._parts.popleft())
            size += len(taken[-1])
        self._unsent_bytes -= size
        return b"".join(taken)
