"""From arrival to answer: who calls, where the call is served, and how it may end.

A method that needs the leader is served here if this node leads, else forwarded; when leadership
moves meanwhile and nothing was done yet, the call follows it, so callers need not know.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import grpc
import structlog
from google.protobuf.message import Message

from coord.core.base.principal import ANONYMOUS
from coord.ratelimit import LogLimiter
from coord.replication.port import (
    NotLeaderError,
    ReplicationError,
    WriteBlock,
    WriteBlockedError,
)
from coord.rpc.call import (
    FORWARDED_KEY,
    RETRY_AFTER_MS,
    STRANGER,
    Call,
    CallContext,
    Caller,
    Method,
    Route,
    Service,
)
from coord.rpc.status import abort, replication_failure
from coord.rpc.streams.answer_room import AnswerRoom
from coord.runtime import errors
from coord.runtime.errors import CallError
from coord.runtime.leader_view import LeaderView
from coord.runtime.shares import Shares

_ETCD_PATHS: Final = "/etcdserverpb."
_MAX_MESSAGE_CHARS: Final = 1_000
# Pauses between the attempts of a call that nobody serves yet; a change of leadership ends one.
_LOOK_AGAIN_S: Final = 0.05
_MAX_LOOK_AGAIN_S: Final = 0.5
# Calls under way in one node, those that wait for something included.
MAX_OPEN_CALLS: Final = 65_536
_COUNTED_ANSWER_BYTES: Final = 4_096  # smaller answers of unary calls do not count

Interceptor = Callable[[str, Call], Awaitable[None] | None]
"""Is given the path and the call before the call is served, and refuses it by raising CallError."""


def authenticate(call: Call) -> Caller:
    """Who makes a call. Nothing is proved so far: everybody is anonymous, and a call has been
    forwarded if it says so. (Builds before this one name no node: they say "1".)"""
    forwarder = call.metadata.get(FORWARDED_KEY)
    return STRANGER if forwarder is None else Caller(ANONYMOUS, str(forwarder))


class Forward(Protocol):
    """Sends a call to the leader and returns its answer. See `coord.rpc.forwarding`."""

    async def __call__(self, method: Method, call: Call, address: str) -> bytes: ...


class RerouteError(Exception):
    """A forwarded call certainly did nothing, and may be tried again where the leader is now.

    `contact`: the node that was taken for the leader could be reached."""

    def __init__(self, problem: CallError, *, contact: bool = True) -> None:
        super().__init__(problem.message)
        self.problem = problem
        self.contact = contact


class Dispatcher(grpc.GenericRpcHandler):
    """The table of methods as gRPC sees it."""

    def __init__(
        self,
        node_id: str,
        leadership: LeaderView,
        forward: Forward,
        *,
        max_message_bytes: int,
        leader_wait_ms: int = 2_000,
        debug: bool = False,
        interceptors: Sequence[Interceptor] = (),
    ) -> None:
        self._node_id = node_id
        self.room = AnswerRoom()
        self._interceptors = tuple(interceptors)
        self._open = Shares(MAX_OPEN_CALLS)
        self._leadership = leadership
        self._forward = forward
        self.max_message_bytes = max_message_bytes
        self._leader_wait_s = leader_wait_ms / 1000
        self._methods: dict[str, Method] = {}
        self._handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}
        self._log = structlog.get_logger("coord.rpc")
        self._limiter = LogLimiter(time.monotonic)
        self._debug = debug
        self._loop = asyncio.get_running_loop()
        self._closing = False

    def add(self, services: Sequence[Service]) -> None:
        """Offer every method of these services."""
        for service in services:
            for method in service.methods():
                self._methods[method.path] = method
                self._handlers[method.path] = self._rpc_handler(method)

    def add_stream(self, path: str, handler: grpc.RpcMethodHandler[bytes, bytes]) -> None:
        """Offer a method that is a stream."""
        self._handlers[path] = handler

    def close(self) -> None:
        """Refuse new calls: the node is going."""
        self._closing = True

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """gRPC asks which handler serves a path."""
        return self._handlers.get(handler_call_details.method)

    def method(self, path: str) -> Method:
        """The method of this path. Raises KeyError if no service has it."""
        return self._methods[path]

    async def admit(self, path: str, context: CallContext) -> Caller:
        """Who opens a stream. Raises CallError to those who may not."""
        call = Call(b"", context, self._loop.time(), self.room)
        call.caller = authenticate(call)
        if self._interceptors:
            await self._intercept(path, call)
        return call.caller

    def _rpc_handler(self, method: Method) -> grpc.RpcMethodHandler[bytes, bytes]:
        async def serve(raw: bytes, context: Any) -> bytes:
            outcome = await self.serve(method, self.call(raw, context))
            if isinstance(outcome, CallError):
                await abort(context, outcome)
            self._count_answer(context, len(outcome))
            return outcome

        return grpc.unary_unary_rpc_method_handler(serve)

    def _count_answer(self, context: Any, size: int) -> None:
        """A unary answer counts until gRPC has sent it."""
        if size >= _COUNTED_ANSWER_BYTES:
            owner = context.peer()
            self.room.take(owner, size)
            context.add_done_callback(lambda _: self.room.give_back(owner, size))

    def call(self, request: bytes | Message, context: Any) -> Call:
        """A call that begins now."""
        return Call(request, context, self._loop.time(), self.room)

    async def answer(self, path: str, raw: bytes, context: CallContext) -> bytes | CallError:
        """The response to a call that came on a stream, or how the call ends instead."""
        method = self._methods.get(path)
        if method is None:
            return errors.unimplemented(path)
        return await self.serve(method, self.call(raw, context))

    async def serve(self, method: Method, call: Call) -> bytes | CallError:
        """The response, or how the call ends instead."""
        try:
            return await self._serve(method, call)
        except CallError as error:
            failure = error
        except ReplicationError as error:
            failure = replication_failure(error)
        except Exception:
            kind = f"call.failed {method.path}"
            self._limiter.log(self._log.exception, "call.failed", kind=kind, method=method.path)
            failure = errors.internal()
        if self._debug:
            self._log.debug("call.refused", method=method.path, reason=failure.reason)
        if len(failure.message) > _MAX_MESSAGE_CHARS:
            failure.message = failure.message[:_MAX_MESSAGE_CHARS]
        return failure

    async def _serve(self, method: Method, call: Call) -> bytes:
        if self._closing:
            raise errors.shutting_down()
        # A message is part of one that came in, and so within the limit.
        if call.message is None and len(call.raw) > self.max_message_bytes:
            like_etcd = method.path.startswith(_ETCD_PATHS)
            size = len(call.raw)
            raise errors.message_too_large(size, self.max_message_bytes, like_etcd=like_etcd)
        call.caller = authenticate(call)
        if self._debug:
            size, forwarded = len(call.raw), call.forwarded
            self._log.debug("call", method=method.path, bytes=size, forwarded=forwarded)
        owner = call.owner
        if not self._open.try_take(owner, 1):
            raise errors.busy(RETRY_AFTER_MS)
        local_if = method.local_if
        try:
            if self._interceptors:
                await self._intercept(method.path, call)
            if method.route is Route.HERE or (local_if is not None and local_if(call)):
                return await method.handler(call)
            return await self._serve_at_leader(method, call)
        finally:
            self._open.give_back(owner, 1)
            call.settle()

    async def _intercept(self, path: str, call: Call) -> None:
        for intercept in self._interceptors:
            waiting = intercept(path, call)
            if inspect.isawaitable(waiting):
                await waiting

    async def _serve_at_leader(self, method: Method, call: Call) -> bytes:
        """Follow the leadership until somebody serves the call, or nobody did for too long."""
        loop, leadership = self._loop, self._leadership
        give_up_at: float | None = None
        pause_s = _LOOK_AGAIN_S
        while True:
            attempted_at, contact = loop.time(), True
            try:
                if leadership.is_leader:
                    return await method.handler(call)
                if call.forwarded:
                    raise errors.not_leader(leadership.leader_id, leadership.leader_address())
                address = leadership.leader_address()
                if address and leadership.leader_id != self._node_id:
                    return await self._hand_on(method, call, address)
                problem = errors.no_leader()
            except WriteBlockedError as error:
                problem = replication_failure(error)
                if error.reason == WriteBlock.DISK_FULL:
                    raise problem from None
            except NotLeaderError:
                problem = errors.not_leader(leadership.leader_id, leadership.leader_address())
                if call.forwarded or self._closing:
                    raise problem from None
            except RerouteError as error:
                problem, contact = error.problem, error.contact
            now = loop.time()
            # After a long poll that was well for a while, patience begins anew.
            if give_up_at is None or (contact and now - attempted_at > self._leader_wait_s):
                give_up_at = min(call.last_word_at(now), now + self._leader_wait_s)
                pause_s = _LOOK_AGAIN_S
            if now >= give_up_at or self._closing:
                raise problem
            await leadership.wait_for_change(min(pause_s, give_up_at - now))
            pause_s = min(2 * pause_s, _MAX_LOOK_AGAIN_S)

    async def _hand_on(self, method: Method, call: Call, address: str) -> bytes:
        if method.relay is not None:
            return await method.relay(call, lambda one: self._forward(method, one, address))
        if method.answer_bytes is not None:
            await call.room(method.answer_bytes(call))
        return await self._forward(method, call, address)
