"""One call of a client, and the table of methods that calls are made of.

A request passes through a node as the bytes that the client sent: those are logged or forwarded. A
call that a stream makes for its client may begin as a message; its bytes are made once, when they
are needed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from coord.core.base.principal import ANONYMOUS, Principal
from coord.rpc.streams.answer_room import AnswerRoom, NoRoomError
from coord.runtime import errors

# On a forwarded call: the node that forwarded it, and the connection that it came on there.
FORWARDED_KEY: Final = "coord-forwarded"
ORIGIN_KEY: Final = "coord-origin"
# Asks for a read from the state applied at the node that is asked, no older than so many ms, or
# however old. The answer's trailing metadata say how old it can be and which index was applied.
STALE_KEY: Final = "coord-max-stale-ms"
HOWEVER_OLD: Final = "any"
AGE_KEY: Final = "coord-age-ms"
UNKNOWN_AGE: Final = "unknown"
APPLIED_KEY: Final = "coord-applied-index"
RETRY_AFTER_MS: Final = 200
SMALL_BYTES: Final = 65_536  # an answer that is made at once, room or not
_LAST_WORD_S: Final = 0.05
_MAX_DIGITS: Final = 18

AnyMessage = TypeVar("AnyMessage", bound=Message)
Metadata = Mapping[str, str | bytes]


class Caller(NamedTuple):
    """Who makes a call. `principal`: for whom; `forwarder`: the node that handed the call on, None
    if it came from the client itself."""

    principal: Principal
    forwarder: str | None


STRANGER: Final = Caller(ANONYMOUS, None)


class CallContext:
    """What a call on a stream knows about itself: the part of gRPC's context that calls use.
    `metadata`: the stream's, and the call's own."""

    __slots__ = ("_expires_at", "_loop", "_peer", "metadata", "trailing")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, metadata: Metadata, timeout_ms: int, peer: str
    ) -> None:
        self._loop = loop
        self._peer = peer
        self.metadata = metadata
        self.trailing: tuple[tuple[str, str], ...] = ()
        self._expires_at = loop.time() + timeout_ms / 1000 if timeout_ms else None

    def time_remaining(self) -> float | None:
        """Seconds to the deadline; None without one."""
        if self._expires_at is None:
            return None
        return max(0.0, self._expires_at - self._loop.time())

    def set_trailing_metadata(self, trailing: tuple[tuple[str, str], ...]) -> None:
        """What is told beside the answer."""
        self.trailing = trailing

    def peer(self) -> str:
        """The connection of the stream."""
        return self._peer


class Call:
    """One call in progress. `request`: the bytes or, from a stream that has it, the message.
    `context`: gRPC's, or a `CallContext`. `expires_at`: event loop time of its deadline, or
    infinity. `caller` is known once the call was authenticated. `metadata`: what the client sent
    beside the request.

    `message`: the request as a message, if there is one at hand; it must not be changed.
    `response`: the message that the answer's bytes were made of, if this node answered such a
    message; coord.v1's header is not in it."""

    __slots__ = (
        "_context",
        "_owner",
        "_raw",
        "_reserved",
        "_room",
        "caller",
        "expires_at",
        "message",
        "metadata",
        "response",
    )

    def __init__(
        self, request: bytes | Message, context: Any, now: float, room: AnswerRoom
    ) -> None:
        self._raw: bytes | None = None
        self.message: Message | None = None
        if isinstance(request, bytes):
            self._raw = request
        else:
            self.message = request
        self.response: Message | None = None
        self.caller = STRANGER
        self._context = context
        self._room = room
        self._reserved = 0
        self._owner: str | None = None
        if isinstance(context, CallContext):
            self.metadata: Metadata = context.metadata
            self._owner = context.peer()
        else:
            self.metadata = dict(context.invocation_metadata() or ())
        remaining = context.time_remaining()
        self.expires_at = math.inf if remaining is None else now + remaining

    @property
    def raw(self) -> bytes:
        """The request as it is logged and forwarded."""
        if self._raw is None:
            assert self.message is not None
            self._raw = self.message.SerializeToString()
        return self._raw

    @property
    def principal(self) -> Principal:
        """Who asks."""
        return self.caller.principal

    @property
    def forwarded(self) -> bool:
        """Another node took this call and sent it here: it must not travel on."""
        return self.caller.forwarder is not None

    @property
    def owner(self) -> str:
        """The connection it came on: what is bounded for each client is bounded for each of these.
        Of a forwarded call, the one at the node that forwarded it."""
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
            raise errors.busy(RETRY_AFTER_MS) from None
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

    def parse(self, kind: type[AnyMessage]) -> AnyMessage:
        """The request as a message; raises CallError INVALID_ARGUMENT if the bytes are not one."""
        if isinstance(self.message, kind):
            return self.message
        try:
            message = kind.FromString(self.raw)
        except DecodeError as error:
            raise errors.invalid(
                f"the request is not a valid {kind.DESCRIPTOR.full_name}: {error}"
            ) from error
        self.message = message
        return message

    def answered(self, kind: type[AnyMessage], raw: bytes) -> AnyMessage:
        """The message of the answer `raw`: at hand if this node made it, else parsed."""
        if isinstance(self.response, kind):
            return self.response
        return kind.FromString(raw)

    def with_request(self, request: bytes | Message) -> Call:
        """The same caller's call with another request, made by the server on its behalf."""
        call = Call(request, self._context, _now(), self._room)
        call.caller = self.caller
        return call

    def last_word_at(self, now: float) -> float:
        """A moment before the deadline: a refusal sent then still tells the caller that nothing was
        done, which it could not know from its time-out."""
        return self.expires_at - min(_LAST_WORD_S, (self.expires_at - now) / 4)

    def remaining_s(self, now: float) -> float:
        """Seconds to the deadline; infinity without one."""
        return self.expires_at - now


Handler = Callable[[Call], Awaitable[bytes]]


class Route(Enum):
    """Where a method is served."""

    LEADER = "leader"
    HERE = "here"


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


def asks_stale(call: Call) -> bool:
    """For `Method.local_if`: reads that may be stale are served by whoever is asked."""
    return call.asks_stale


def _now() -> float:
    return asyncio.get_running_loop().time()


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
