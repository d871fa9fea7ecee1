"""One endpoint's gRPC channel, tuned so that a dead node is noticed and a returned one is found
within a second, and made anew when it no longer gets anywhere.

gRPC shares subchannels (and their growing reconnect back-off) between equal channels of a process;
a private subchannel pool makes a new channel really new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from coord.channels import aio_channel
from coord.client.transport.errors import (
    CoordError,
    DeadlineError,
    OutcomeUnknownError,
    UnavailableError,
    from_rpc_error,
)
from coord.client.transport.forks import note_use
from coord.client.transport.stream import MAX_CALL_BYTES, CallStream, NoStreamsError

Req = TypeVar("Req", bound=Message)
Rep = TypeVar("Rep", bound=Message)
Metadata = tuple[tuple[str, str], ...]

MAX_MESSAGE_BYTES = 256 * 1024 * 1024  # of replies; the server bounds requests
RENEW_AFTER_FAILURES = 5
OLD_CHANNEL_GRACE_S = 60.0

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),  # retries are this client's business: they keep the sequence
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 1_000),  # in fact the time-out of one connection attempt
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)


@dataclass(frozen=True, slots=True)
class ClientMethod(Generic[Req, Rep]):
    """A unary call: `path` is /package.Service/Method. `alone`: its answers can be large, or it is
    about the connection itself, so it does not share a stream."""

    path: str
    request: type[Req]
    response: type[Rep]
    alone: bool = False


class Connection:
    """Calls to one `host:port`. `failures`: attempts in a row that got no answer from the node."""

    def __init__(self, address: str, options: Sequence[tuple[str, int]] = OPTIONS) -> None:
        self.address = address
        self.failures = 0
        self._options = options
        self._channel: grpc.aio.Channel | None = None
        self._callables: dict[str, Callable[..., Any]] = {}
        self._stream: CallStream | None = None
        self._streams = True  # until the node says that it knows none
        self._closing: set[asyncio.Task[None]] = set()

    async def call(
        self,
        method: ClientMethod[Req, Rep],
        request: Req,
        timeout_s: float,
        metadata: Metadata = (),
        on_trailing: Callable[[Any], None] | None = None,
    ) -> Rep:
        """One attempt, at most `timeout_s`. Raises CoordError, or CancelledError when the caller
        itself is cancelled (then the outcome is unknown). `on_trailing` is given the trailing
        metadata of an answer; such a call travels alone."""
        if self._streams and not method.alone and on_trailing is None:
            raw = request.SerializeToString()
            if len(raw) <= MAX_CALL_BYTES:
                try:
                    answer = await self._open_stream().call(method.path, raw, timeout_s, metadata)
                    return method.response.FromString(answer)
                except NoStreamsError:
                    self._streams = False
        return await self._call_alone(method, request, timeout_s, metadata, on_trailing)

    async def _call_alone(
        self,
        method: ClientMethod[Req, Rep],
        request: Req,
        timeout_s: float,
        metadata: Metadata,
        on_trailing: Callable[[Any], None] | None,
    ) -> Rep:
        try:
            # gRPC keeps its own deadline; the outer one holds even if its poller is stuck.
            async with asyncio.timeout(timeout_s + 0.5):
                sent = self._callable(method)(request, timeout=timeout_s, metadata=metadata)
                reply: Rep = await sent
                if on_trailing is not None:
                    on_trailing(await sent.trailing_metadata())
                return reply
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        except TimeoutError:
            raise DeadlineError("no answer in time", "DEADLINE_EXCEEDED", retryable=True) from None
        except grpc.aio.UsageError as error:
            raise UnavailableError(str(error), "UNREACHABLE", retryable=True) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # The channel was closed under the call; nobody cancelled the caller.
            raise _closed_under_call() from None

    def answered(self) -> None:
        self.failures = 0

    def failed(self) -> None:
        """Count an attempt without an answer; after a few the channel is made anew."""
        self.failures += 1
        if self.failures % RENEW_AFTER_FAILURES == 0:
            self._retire()

    async def close(self) -> None:
        """Close at once; calls under way end with OutcomeUnknownError. Can be used again."""
        closing, self._closing = self._closing, set()
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)
        channel, self._channel = self._channel, None
        self._callables.clear()
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close(_closed_under_call())
        if channel is not None:
            await channel.close(None)

    def open_stream(self, path: str) -> Any:
        """A stream of messages as bytes, both ways, that lives as long as the connection."""
        return self._open_channel().stream_stream(path)()

    def _open_channel(self) -> grpc.aio.Channel:
        if self._channel is None:
            note_use()
            self._channel = aio_channel(self.address, self._options)
        return self._channel

    def _open_stream(self) -> CallStream:
        if self._stream is None or not self._stream.usable:
            self._stream = CallStream(self._open_channel())
        return self._stream

    def _callable(self, method: ClientMethod[Any, Any]) -> Callable[..., Any]:
        channel = self._open_channel()
        call = self._callables.get(method.path)
        if call is None:
            call = channel.unary_unary(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
            self._callables[method.path] = call
        return call

    def _retire(self) -> None:
        channel, self._channel = self._channel, None
        self._callables.clear()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.drain()
        if channel is not None:
            task = asyncio.get_running_loop().create_task(_close(channel))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


async def _close(channel: grpc.aio.Channel) -> None:
    try:
        await channel.close(OLD_CHANNEL_GRACE_S)
    except asyncio.CancelledError:
        await channel.close(None)
        raise


def _closed_under_call() -> CoordError:
    return OutcomeUnknownError("the connection was closed", "OUTCOME_UNKNOWN", retryable=True)
