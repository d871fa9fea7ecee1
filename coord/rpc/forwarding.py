"""Followers hand calls on to the leader: the bytes as they came, with metadata and deadline.

A forwarded call that certainly did nothing is tried again where the leader is now. One that was
under way when contact was lost is indefinite if it writes: it may have happened.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final

import grpc
import grpc.aio

from coord.channels import INSECURE, Security, aio_channel
from coord.rpc.call import FORWARDED_KEY, ORIGIN_KEY, Call, Method
from coord.rpc.dispatcher import RerouteError
from coord.rpc.status import DETAILS_KEY, code_in, reason_in
from coord.runtime import errors
from coord.runtime.errors import CallError, ServiceReason
from coord.runtime.leader_view import LeaderView
from coord.runtime.sliced_calls import SlicedCalls

_ELSEWHERE: Final = {
    ServiceReason.NOT_LEADER,
    ServiceReason.NO_LEADER,
    ServiceReason.SHUTTING_DOWN,
}
_OWN_KEYS: Final = ("grpc-", "user-agent", "content-type", "te", ":", ORIGIN_KEY)
_CONTACT_LOST: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.CANCELLED,
}
_UNLIMITED: Final = -1
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _UNLIMITED),
    ("grpc.max_send_message_length", _UNLIMITED),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),
)


class _Channel:
    """The connection to one node, its methods, and the calls under way on it."""

    def __init__(self, address: str, security: Security) -> None:
        self._channel = aio_channel(address, _OPTIONS, security)
        self._methods: dict[str, Any] = {}
        self.calls: set[Any] = set()

    async def connect(self, timeout_s: float) -> bool:
        """Whether the connection stands: before that, nothing was certainly sent."""
        channel = self._channel
        try:
            async with asyncio.timeout(None if math.isinf(timeout_s) else timeout_s):
                state = channel.get_state(try_to_connect=True)
                while state is not grpc.ChannelConnectivity.READY:
                    if state is grpc.ChannelConnectivity.SHUTDOWN:
                        return False
                    await channel.wait_for_state_change(state)
                    state = channel.get_state(try_to_connect=True)
        except TimeoutError:
            return False
        return True

    def start(self, path: str, raw: bytes, timeout_s: float, metadata: Any) -> Any:
        """Begin the call."""
        method = self._methods.get(path)
        if method is None:
            method = self._methods[path] = self._channel.unary_unary(path)
        timeout = None if math.isinf(timeout_s) else max(timeout_s, 0.0)
        return method(raw, timeout=timeout, metadata=metadata)

    async def close(self) -> None:
        await self._channel.close()


class Forwarder:
    """Forwards calls of the node `node_id`. Connections are kept per address.

    A call under way to a node that leads no more is given up after `abandon_after_ms`."""

    def __init__(
        self,
        node_id: str,
        leadership: LeaderView,
        *,
        connect_timeout_ms: int = 500,
        abandon_after_ms: int = 500,
        security: Security = INSECURE,
    ) -> None:
        self._security = security
        self._mark = (FORWARDED_KEY, node_id)
        self._abandon_after_s = abandon_after_ms / 1000
        self._leadership = leadership
        self._connect_timeout_s = connect_timeout_ms / 1000
        self._channels: dict[str, _Channel] = {}
        self._abandoning: SlicedCalls[tuple[_Channel, Any]] = SlicedCalls(
            asyncio.get_running_loop().call_soon, _abandon
        )
        leadership.on_change(self._doubt_old_leaders)

    async def __call__(self, method: Method, call: Call, address: str) -> bytes:
        """The leader's answer; raises its refusal as CallError, or RerouteError."""
        channel = self._channel(address)
        loop = asyncio.get_running_loop()
        if not await channel.connect(min(call.remaining_s(loop.time()), self._connect_timeout_s)):
            raise RerouteError(errors.no_leader(), contact=False)
        remaining_s = call.remaining_s(loop.time())
        sent = channel.start(method.path, call.raw, remaining_s, self._metadata_for(call))
        channel.calls.add(sent)
        try:
            return bytes(await sent)
        except grpc.aio.AioRpcError as error:
            raise _failure(method, error) from error
        except asyncio.CancelledError:
            if sent in channel.calls:
                raise
            raise _contact_lost(method, "leadership moved while the call was under way") from None
        finally:
            channel.calls.discard(sent)

    async def ask(self, address: str, path: str, raw: bytes, timeout_s: float) -> bytes | None:
        """One question to one node, marked as forwarded; None if it does not answer in time."""
        channel = self._channel(address)
        try:
            async with asyncio.timeout(timeout_s):
                if not await channel.connect(timeout_s):
                    return None
                return bytes(await channel.start(path, raw, timeout_s, (self._mark,)))
        except (grpc.aio.AioRpcError, TimeoutError):
            return None

    async def close(self) -> None:
        """Close every connection."""
        channels = list(self._channels.values())
        self._channels.clear()
        for channel in channels:
            await channel.close()

    def _channel(self, address: str) -> _Channel:
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = _Channel(address, self._security)
        return channel

    def _metadata_for(self, call: Call) -> tuple[tuple[str, str | bytes], ...]:
        own = [(k, v) for k, v in call.metadata.items() if not k.startswith(_OWN_KEYS)]
        return (*own, self._mark, (ORIGIN_KEY, call.owner))

    def _doubt_old_leaders(self, leadership: LeaderView) -> None:
        """A node that leads no more answers soon, or never (it hangs, or is cut off)."""
        if leadership.leader_id is None:
            return
        current = leadership.leader_address()
        for address, channel in self._channels.items():
            if address != current and channel.calls:
                asyncio.get_running_loop().call_later(
                    self._abandon_after_s, self._abandon_all, channel, list(channel.calls)
                )

    def _abandon_all(self, channel: _Channel, calls: list[Any]) -> None:
        for sent in calls:
            self._abandoning.add((channel, sent))


def _abandon(call: tuple[_Channel, Any]) -> None:
    """Wait for this one no longer."""
    channel, sent = call
    if sent in channel.calls:
        channel.calls.discard(sent)
        sent.cancel()


def _failure(method: Method, error: grpc.aio.AioRpcError) -> Exception:
    details = b""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY:
            details = value if isinstance(value, bytes) else value.encode("latin-1")
    message = error.details() or ""
    if details:
        reason = reason_in(details)
        answer = CallError(code_in(error.code()), reason, message, details=details)
        return RerouteError(answer) if reason in _ELSEWHERE else answer
    if error.code() in _CONTACT_LOST:
        return _contact_lost(method, f"lost contact with the leader: {message}")
    return CallError(
        code_in(error.code()), ServiceReason.INTERNAL, message, definite=not method.writes
    )


def _contact_lost(method: Method, message: str) -> Exception:
    if method.writes:
        return errors.outcome_unknown(message)
    return RerouteError(errors.no_leader())
