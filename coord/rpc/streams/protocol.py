"""Streams as services: what a kind of stream says for itself, and what all kinds have in common.

A kind of stream is a `StreamService`. It opens a `Stream` for each client, which is told what the
client says. Who may open one, reading, refusing, ending, and knowing which are open is done here,
once for all kinds, by a `StreamHost`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from coord.rpc.call import STRANGER, CallContext, Caller
from coord.rpc.status import abort
from coord.rpc.streams.answer_room import Account, AnswerRoom
from coord.rpc.streams.outgoing import Outgoing
from coord.runtime import errors
from coord.runtime.errors import CallError
from coord.runtime.parts import Part

Admit = Callable[[str, CallContext], Awaitable[Caller]]
"""Says who opens a stream of this path. Raises CallError to those who may not."""


class StreamHandle:
    """One open stream, as far as gRPC goes: the way to its client. `context`: what calls that are
    made on behalf of the client have in common. `caller`: who opened it."""

    def __init__(self, context: Any, room: AnswerRoom) -> None:
        self._loop = asyncio.get_running_loop()
        metadata = dict(context.invocation_metadata() or ())
        self.context = CallContext(self._loop, metadata, 0, context.peer())
        self.caller = STRANGER
        self.outgoing = Outgoing(context.write, Account(room, context.peer()))
        # Sends a part, soon: a field of the stream's message, or several.
        self.put = self.outgoing.put
        self.failed: asyncio.Future[None] = self._loop.create_future()

    def fail(self, error: CallError) -> None:
        """End the stream: nothing more can be done for this client here."""
        if not self.failed.done():
            self.failed.set_exception(error)


class Stream:
    """One open stream of a service, which overrides what concerns it."""

    async def on_message(self, message: Any) -> None:
        """The client said this. Raises CallError to end the stream."""
        raise NotImplementedError

    async def finish(self) -> None:
        """The client has ended its side: return once it has all its answers."""

    def leave(self) -> None:
        """The node is going: tell the client to go elsewhere."""

    async def close(self) -> None:
        """The stream is over, however it ended: give up what is under way."""


AnyStream = TypeVar("AnyStream", bound=Stream)


class StreamService(Part, Generic[AnyStream]):
    """A kind of stream. `path`: the method that is the stream; `message`: what its client sends.
    `streams`: those that are open.

    `max_message_bytes`: of one message; 0: as gRPC bounds it. `to_the_last`: its streams go on, and
    new ones are taken, until the node refuses calls, and after that they are told to leave; others
    are told so at the first announcement, and no new ones are taken then."""

    path: str
    message: type[Message]
    max_message_bytes = 0
    to_the_last = False

    def __init__(self) -> None:
        self.streams: set[AnyStream] = set()

    @property
    def name(self) -> str:
        """The full protobuf name of the service that has this method."""
        return self.path.split("/")[1]

    def open(self, handle: StreamHandle) -> AnyStream:
        """A client has opened a stream. Raises CallError to refuse it."""
        raise NotImplementedError


class StreamHost:
    """Serves one kind of stream. `admit` says who may open one; without it, everybody may."""

    def __init__(
        self, service: StreamService[Any], room: AnswerRoom, admit: Admit | None = None
    ) -> None:
        self.service = service
        self._room = room
        self._admit = admit
        self._closing = False

    def rpc_handler(self) -> grpc.RpcMethodHandler[bytes, bytes]:
        """As gRPC sees the method."""
        return grpc.stream_stream_rpc_method_handler(self._serve)

    def announce_leaving(self) -> None:
        """The node is going, but still serves calls."""
        if not self.service.to_the_last:
            self.close()

    def close(self) -> None:
        """The node is going: have the clients leave. May be called twice."""
        if self._closing:
            return
        self._closing = True
        for stream in tuple(self.service.streams):
            stream.leave()

    async def _serve(self, _: Any, context: Any) -> None:
        handle = StreamHandle(context, self._room)
        try:
            stream = await self._open(handle)
            await self._run(stream, handle, context)
        except CallError as error:
            await abort(context, error)

    async def _open(self, handle: StreamHandle) -> Stream:
        if self._closing and not self.service.to_the_last:
            raise errors.shutting_down()
        if self._admit is not None:
            handle.caller = await self._admit(self.service.path, handle.context)
        stream: Stream = self.service.open(handle)
        return stream

    async def _run(self, stream: Stream, handle: StreamHandle, context: Any) -> None:
        """Until the client has ended its side and has all its answers. Raises CallError."""
        self.service.streams.add(stream)
        if self._closing:
            stream.leave()
        reader = asyncio.get_running_loop().create_task(self._read(stream, handle, context))
        try:
            await asyncio.wait({reader, handle.failed}, return_when=asyncio.FIRST_COMPLETED)
            if handle.failed.done():
                handle.failed.result()
            reader.result()
            await stream.finish()
            await handle.outgoing.flushed()
        finally:
            self.service.streams.discard(stream)
            await self._end(stream, handle, reader)

    async def _read(self, stream: Stream, handle: StreamHandle, context: Any) -> None:
        """A client that does not read what it is sent is not read from either."""
        limit = self.service.max_message_bytes
        parse, name = self.service.message.FromString, self.service.message.DESCRIPTOR.name
        while (data := await context.read()) is not grpc.aio.EOF:
            if limit and len(data) > limit:
                raise errors.message_too_large(len(data), limit)
            try:
                message = parse(data)
            except DecodeError as error:
                raise errors.invalid(f"not a {name}: {error}") from error
            await stream.on_message(message)
            await handle.outgoing.room()

    async def _end(self, stream: Stream, handle: StreamHandle, reader: asyncio.Task[None]) -> None:
        handle.outgoing.end()  # what is given up now has nobody to be told
        reader.cancel()
        handle.failed.cancel()
        try:
            await asyncio.gather(reader, handle.failed, return_exceptions=True)
            await stream.close()
        finally:
            await handle.outgoing.close()
