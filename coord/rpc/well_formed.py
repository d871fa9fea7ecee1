"""Services of gRPC's own (health, reflection), in a wrapping that refuses what is no message.

gRPC for Python decodes requests before it calls them, and writes a traceback for each that it
cannot decode: anybody could fill a disk with these.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

_NOT_WELL_FORMED = "the request is not a message of this method"


class WellFormed:
    """Stands for a server where services are added: what is added to it is added to that server,
    wrapped."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """See `grpc.aio.Server`."""
        self._server.add_generic_rpc_handlers([_Handlers(one) for one in handlers])

    def add_registered_method_handlers(self, service_name: str, methods: Any) -> None:
        """Newer generated code registers its methods a second time; the generic ones will do."""


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, inner: grpc.GenericRpcHandler) -> None:
        self._inner = inner

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        found: Any = self._inner.service(handler_call_details)
        return None if found is None else _wrapped(found)


def _wrapped(handler: Any) -> Any:
    decode: Callable[[bytes], Any] = handler.request_deserializer
    encode = handler.response_serializer
    if handler.stream_stream is not None:

        async def converse(requests: AsyncIterator[bytes], context: Any) -> Any:
            broken: list[bytes] = []
            decoded = _decoded(requests, decode, broken)
            async for answer in handler.stream_stream(decoded, context):
                yield answer
            if broken:
                await _refuse(context)

        return grpc.stream_stream_rpc_method_handler(converse, None, encode)
    if handler.unary_stream is not None:

        async def watch(raw: bytes, context: Any) -> None:
            await handler.unary_stream(await _decode(raw, decode, context), context)

        return grpc.unary_stream_rpc_method_handler(watch, None, encode)

    async def answer(raw: bytes, context: Any) -> Any:
        return await handler.unary_unary(await _decode(raw, decode, context), context)

    return grpc.unary_unary_rpc_method_handler(answer, None, encode)


async def _decoded(
    requests: AsyncIterator[bytes], decode: Callable[[bytes], Any], broken: list[bytes]
) -> AsyncIterator[Any]:
    """The requests, up to the first that is none: that is put in `broken`."""
    async for raw in requests:
        try:
            request = decode(raw)
        except DecodeError:
            broken.append(raw)
            return
        yield request


async def _decode(raw: bytes, decode: Callable[[bytes], Any], context: Any) -> Any:
    try:
        return decode(raw)
    except DecodeError:
        await _refuse(context)


async def _refuse(context: Any) -> NoReturn:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _NOT_WELL_FORMED)
    raise AssertionError("abort raises")
