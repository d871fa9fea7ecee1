"""One TCP connection between two nodes, seen from either end. Messages go one way only, from the
side that dialled to the side that accepted; the other way carries the handshake answer and pongs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from coord.replication.peers.frames import (
    FRAME_HEADER_BYTES,
    PING,
    FrameError,
    FrameReader,
    frame_header,
    unpack,
)
from coord.replication.peers.handshake import (
    MAX_HANDSHAKE_BYTES,
    Hello,
    RefusedError,
    Welcome,
    check_answer,
    decode_hello,
    encode_hello,
    encode_refusal,
    encode_welcome,
)

MAX_PONG_BYTES = 64 * 1024


class _Connection(asyncio.Protocol):
    """Frames in, frames out. What is sent within one turn of the loop goes out in one write."""

    def __init__(self, max_frame_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(max_frame_bytes)
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._queued_bytes = 0  # ever
        self.opened_at = self.heard_at = self._loop.time()
        self.remote = ""
        self.is_open = False
        self.closed = asyncio.Event()  # not a future: cancelling who waits would end it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self.closed.is_set():  # given up before it was there
            self._transport.abort()
            return
        self.remote = str(transport.get_extra_info("peername"))
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc) if exc else "closed by the other side")

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        try:
            for payload in self._reader.feed(data):
                if not self.is_open:
                    return
                self.frame_received(payload)
        except FrameError as error:
            self.abort(f"malformed frame: {error}")

    def frame_received(self, payload: memoryview) -> None:
        """Take one payload; FrameError closes the connection."""
        raise NotImplementedError

    def ended(self, reason: str) -> None:
        """Called once, at once when the connection stops to count."""
        raise NotImplementedError

    def send_payload(self, payload: bytes) -> None:
        self._queue(frame_header(payload), payload)

    def send_ping(self) -> None:
        self._queue(PING)

    @property
    def buffered_bytes(self) -> int:
        """Bytes given to this connection that the system has not taken yet."""
        if self._transport is None or not self.is_open:
            return 0
        return self._unsent_bytes + self._transport.get_write_buffer_size()

    def abort(self, reason: str) -> None:
        """Close now; what is buffered either way is lost. Nothing is delivered afterwards."""
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)

    def close_after_sending(self, reason: str) -> None:
        """Send what is buffered, then close; nothing more is delivered."""
        self.flush()
        if self._transport is not None:
            self._transport.close()
        self._end(reason)

    def _queue(self, *pieces: bytes) -> None:
        if not self.is_open:
            return
        if not self._unsent:
            self._loop.call_soon(self.flush)
        size = sum(map(len, pieces))
        self._unsent.extend(pieces)
        self._unsent_bytes += size
        self._queued_bytes += size

    def flush(self) -> None:
        """Write what is queued."""
        pieces, self._unsent, self._unsent_bytes = self._unsent, [], 0
        if pieces and self.is_open and self._transport is not None:
            self._transport.writelines(pieces)

    def _end(self, reason: str) -> None:
        if self.closed.is_set():
            return
        self.is_open = False
        self._unsent, self._unsent_bytes = [], 0
        self.closed.set()
        self.ended(reason)


class OutgoingConnection(_Connection):
    """The dialling side. `welcomed` ends when the other side has taken the connection, with
    RefusedError if it refused, with ConnectionError if the connection broke before. `level`: what
    the other side's build supports, once it has taken it."""

    def __init__(
        self,
        hello: Hello,
        max_frame_bytes: int,
        on_ended: Callable[[OutgoingConnection, str], None],
    ) -> None:
        super().__init__(MAX_HANDSHAKE_BYTES)
        self._hello = hello
        self._send_limit = max_frame_bytes
        self._on_ended = on_ended
        self._taken_bytes = 0
        self.level = 0
        self.welcomed: asyncio.Future[None] = self._loop.create_future()
        # Nobody waits any more when the dialling is cancelled; that is no error to report.
        self.welcomed.add_done_callback(lambda done: done.cancelled() or done.exception())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.send_payload(encode_hello(self._hello))

    def frame_received(self, payload: memoryview) -> None:
        if self.welcomed.done():
            if payload:
                raise FrameError("a message on a connection that carries none this way")
            return
        try:
            self.level = check_answer(payload).level
        except RefusedError as error:
            self.welcomed.set_exception(error)
            self.abort(str(error))
        else:
            self.welcomed.set_result(None)

    def send(self, payload: bytes, max_buffered_bytes: int) -> bool:
        """Queue one message; False if that would exceed the buffer (one message always fits)."""
        if len(payload) > self._send_limit:
            raise ValueError(f"a message of {len(payload)} bytes; {self._send_limit} at most")
        buffered = self.buffered_bytes
        if buffered and buffered + FRAME_HEADER_BYTES + len(payload) > max_buffered_bytes:
            return False
        self.send_payload(payload)
        return True

    def note_progress(self) -> None:
        """Count a backlog that goes down as a sign of life: the pings are queued behind it."""
        buffered = self.buffered_bytes
        taken = self._queued_bytes - buffered
        if buffered and taken > self._taken_bytes:
            self.heard_at = self._loop.time()
        self._taken_bytes = taken

    def ended(self, reason: str) -> None:
        if not self.welcomed.done():
            self.welcomed.set_exception(ConnectionError(reason))
        self._on_ended(self, reason)


class Incoming(_Connection):
    """The accepting side. `order` grows with each connection accepted by this process. `admit`
    gives the welcome, or raises RefusedError."""

    def __init__(
        self,
        order: int,
        max_frame_bytes: int,
        admit: Callable[[Incoming, Hello], Welcome],
        on_message: Callable[[Incoming, Any], None],
        on_ended: Callable[[Incoming, str], None],
    ) -> None:
        super().__init__(MAX_HANDSHAKE_BYTES)
        self.order = order
        self.hello: Hello | None = None  # set once admitted
        self._max_frame_bytes = max_frame_bytes
        self._admit = admit
        self._on_message = on_message
        self._on_ended = on_ended

    def frame_received(self, payload: memoryview) -> None:
        if self.hello is None:
            self._take_hello(payload)
        elif payload:
            self._on_message(self, unpack(payload))
        elif self.buffered_bytes < MAX_PONG_BYTES:  # else it asks and does not read
            self.send_ping()

    def ended(self, reason: str) -> None:
        self._on_ended(self, reason)

    def _take_hello(self, payload: memoryview) -> None:
        try:
            hello = decode_hello(payload)
            welcome = self._admit(self, hello)
        except RefusedError as error:
            self.send_payload(encode_refusal(error))
            self.close_after_sending(str(error))
            return
        self.hello = hello
        self._reader.max_frame_bytes = self._max_frame_bytes
        self.send_payload(encode_welcome(welcome))
