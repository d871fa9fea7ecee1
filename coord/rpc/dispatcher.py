"""One call from arrival to answer: which method, where it is served, and how it may end.

Requests and responses pass gRPC as bytes: what is logged or forwarded is what the client sent.
A method that needs the leader is served here if this node leads, else forwarded; when leadership
moves meanwhile and nothing was done yet, the call follows it, so callers need not know.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NoReturn, Protocol, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError, Message

from coord.ratelimit import LogLimiter
from coord.replication.port import (
    NotLeaderError,
    ReplicationError,
    WriteBlock,
    WriteBlockedError,
)
from coord.rpc.status import DETAILS_KEY, details_of, grpc_code, replication_failure
from coord.rpc.streams import calls as call_stream
from coord.rpc.streams.answer_room import AnswerRoom, NoRoomError
from coord.rpc.streams.calls import CallContext, CallStreams
from coord.runtime import errors
from coord.runtime.errors import CallError
from coord.runtime.leader_view import LeaderView
from coord.runtime.shares import Shares

FORWARDED_KEY: Final = "coord-forwarded"
# On a forwarded call: the connection that it came on, where it came first.
ORIGIN_KEY: Final = "coord-origin"
PRINCIPAL_KEY: Final = "coord-principal"
# Asks for a read from the state applied at the node that is asked, no older than so many ms, or
# however old. The answer's trailing metadata say how old it can be and which index was applied.
STALE_KEY: Final = "coord-max-stale-ms"
HOWEVER_OLD: Final = "any"
AGE_KEY: Final = "coord-age-ms"
UNKNOWN_AGE: Final = "unknown"
APPLIED_KEY: Final = "coord-applied-index"
ANONYMOUS: Final = "anonymous"
_ETCD_PATHS: Final = "/etcdserverpb."
_MAX_MESSAGE_CHARS: Final = 1_000
# Pauses between the attempts of a call that nobody serves yet; a change of leadership ends one.
_LOOK_AGAIN_S: Final = 0.05
_MAX_LOOK_AGAIN_S: Final = 0.5
_LAST_WORD_S: Final = 0.05
_MAX_DIGITS: Final = 18
# Calls under way in one node, those that wait for something included.
MAX_OPEN_CALLS: Final = 65_536
_RETRY_AFTER_MS: Final = 200
_COUNTED_ANSWER_BYTES: Final = 4_096  # smaller answers of unary calls do not count
SMALL_BYTES: Final = 65_536  # an answer that is made at once, room or not

AnyMessage = TypeVar("AnyMessage", bound=Message)


class Route(Enum):
    """Where a method is served."""

    LEADER = "leader"
    HERE = "here"


class Call:
    """One call in progress. `expires_at`: event loop time of its deadline, or infinity."""

    __slots__ = ("_context", "_metadata", "_owner", "_reserved", "_room", "expires_at", "raw")

    def __init__(self, raw: bytes, context: Any, now: float, room: AnswerRoom) -> None:
        self.raw = raw
        self._context = context
        self._metadata: dict[str, str | bytes] | None = None
        self._room = room
        self._reserved = 0
        self._owner: str | None = None
        remaining = context.time_remaining()
        self.expires_at = math.inf if remaining is None else now + remaining

    @property
    def metadata(self) -> dict[str, str | bytes]:
        """What the client sent beside the request."""
        if self._metadata is None:
            self._metadata = dict(self._context.invocation_metadata() or ())
        return self._metadata

    @property
    def forwarded(self) -> bool:
        """Another node took this call and sent it here: it must not travel on."""
        return FORWARDED_KEY in self.metadata

    @property
    def owner(self) -> str:
        """The connection it came on: what is bounded for each client is bounded for each of these.
        Of a forwarded call, the one at the node that forwarded it."""
        if isinstance(self._context, CallContext):
            return self._context.peer()
        if self._owner is None:
            origin = self.metadata.get(ORIGIN_KEY) if self.forwarded else None
            self._owner = origin if isinstance(origin, str) else self._context.peer()
        return self._owner

    async def room(self, size: int, *, applied: bool = False) -> None:
        """Wait until an answer of up to `size` bytes may be made. Raises CallError.

        `applied`: what the call asks for has happened already."""
        if size <= SMALL_BYTES or size <= self._reserved:
            return
        self.settle()
        until = self.expires_at if applied else self.last_word_at(_now())
        try:
            await self._room.reserve(self.owner, size, until)
        except NoRoomError:
            if applied:
                raise errors.outcome_unknown("it was done, but its answer found no room") from None
            raise errors.busy(_RETRY_AFTER_MS) from None
        self._reserved = size

    def settle(self) -> None:
        """The answer is made, and counts as what it is; or there is none."""
        if self._reserved:
            self._room.give_back(self.owner, self._reserved)
            self._reserved = 0

    @property
    def asks_stale(self) -> bool:
        """The caller said in so many words that it does not need the newest state."""
        return STALE_KEY in self.metadata

    @property
    def max_stale_ms(self) -> float:
        """How old an answer may be; raises CallError for what is no number."""
        text = self.metadata.get(STALE_KEY, HOWEVER_OLD)
        if text == HOWEVER_OLD:
            return math.inf
        if not isinstance(text, str) or not _is_decimal(text):
            raise errors.invalid(
                f"metadata {STALE_KEY} is {text!a}; it must be a decimal number or {HOWEVER_OLD!a}",
                STALE_KEY,
            )
        return int(text)

    def tell(self, facts: Mapping[str, str]) -> None:
        """Send these beside the answer."""
        self._context.set_trailing_metadata(tuple(facts.items()))

    @property
    def principal(self) -> str:
        """Who asks. Without authentication everybody is anonymous."""
        return ANONYMOUS

    def parse(self, kind: type[AnyMessage]) -> AnyMessage:
        """The request as a message; raises CallError INVALID_ARGUMENT if the bytes are not one."""
        try:
            return kind.FromString(self.raw)
        except DecodeError as error:
            raise errors.invalid(
                f"the request is not a valid {kind.DESCRIPTOR.full_name}: {error}"
            ) from error

    def with_raw(self, raw: bytes) -> Call:
        """The same caller's call with another request, made by the server on its behalf."""
        return Call(raw, self._context, _now(), self._room)

    def last_word_at(self, now: float) -> float:
        """A moment before the deadline: a refusal sent then still tells the caller that nothing was
        done, which it could not know from its time-out."""
        return self.expires_at - min(_LAST_WORD_S, (self.expires_at - now) / 4)

    def remaining_s(self, now: float) -> float:
        """Seconds to the deadline; infinity without one."""
        return self.expires_at - now


Handler = Callable[[Call], Awaitable[bytes]]


def asks_stale(call: Call) -> bool:
    """For `Method.local_if`: reads that may be stale are served by whoever is asked."""
    return call.asks_stale


def _now() -> float:
    return asyncio.get_running_loop().time()


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the table of methods. `writes`: when contact is lost, it may have happened.
    `local_if`: a call for which this holds is served here although the method needs the leader.
    `answer_bytes`: what the answer to a call can have at most, if that is much: a node that
    forwards it has room for that before it does. `relay`: hands a call on in steps instead, given
    what forwards one."""

    path: str
    handler: Handler
    route: Route = Route.LEADER
    writes: bool = False
    local_if: Callable[[Call], bool] | None = None
    answer_bytes: Callable[[Call], int] | None = None
    relay: Callable[[Call, Handler], Awaitable[bytes]] | None = None


class Service(Protocol):
    """What a service offers to the server. `name` is the full protobuf name."""

    name: str

    def methods(self) -> Iterable[Method]: ...


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
        room: AnswerRoom | None = None,
    ) -> None:
        self._node_id = node_id
        self.room = room or AnswerRoom()
        self._open = Shares(MAX_OPEN_CALLS)
        self._leadership = leadership
        self._forward = forward
        self._max_message_bytes = max_message_bytes
        self._leader_wait_s = leader_wait_ms / 1000
        self._methods: dict[str, Method] = {}
        self._streams = CallStreams(self.answer, self.room)
        self._handlers = {call_stream.PATH: self._streams.rpc_handler()}
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
        self._streams.close()

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """gRPC asks which handler serves a path."""
        return self._handlers.get(handler_call_details.method)

    def _rpc_handler(self, method: Method) -> grpc.RpcMethodHandler[bytes, bytes]:
        async def serve(raw: bytes, context: Any) -> bytes:
            outcome = await self._answer(method, raw, context)
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

    async def answer(self, path: str, raw: bytes, context: Any) -> bytes | CallError:
        """Serve a call that came on a stream."""
        method = self._methods.get(path)
        if method is None:
            return errors.unimplemented(path)
        return await self._answer(method, raw, context)

    async def _answer(self, method: Method, raw: bytes, context: Any) -> bytes | CallError:
        """The response, or how the call ends instead."""
        try:
            return await self._serve(method, raw, context)
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

    async def _serve(self, method: Method, raw: bytes, context: Any) -> bytes:
        if self._closing:
            raise errors.shutting_down()
        if len(raw) > self._max_message_bytes:
            like_etcd = method.path.startswith(_ETCD_PATHS)
            raise errors.message_too_large(len(raw), self._max_message_bytes, like_etcd=like_etcd)
        call = Call(raw, context, self._loop.time(), self.room)
        if self._debug:
            self._log.debug("call", method=method.path, bytes=len(raw), forwarded=call.forwarded)
        owner = call.owner
        if not self._open.try_take(owner, 1):
            raise errors.busy(_RETRY_AFTER_MS)
        local_if = method.local_if
        try:
            if method.route is Route.HERE or (local_if is not None and local_if(call)):
                return await method.handler(call)
            return await self._serve_at_leader(method, call)
        finally:
            self._open.give_back(owner, 1)
            call.settle()

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


async def abort(context: Any, error: CallError) -> NoReturn:
    """End the call with the error's status and details. Raises what ends the handler."""
    details = error.details or details_of(error)
    try:
        await context.abort(grpc_code(error.code), error.message, ((DETAILS_KEY, details),))
    except grpc.aio.AbortError:
        raise
    except grpc.aio.BaseError:
        # The caller has gone meanwhile: there is nobody to tell, and nothing to log.
        raise asyncio.CancelledError from None
    raise AssertionError("abort raises")
