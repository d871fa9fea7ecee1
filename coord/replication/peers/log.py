"""What a node says in its log about its peers' connections.

A peer that cannot be reached, or is refused, tries again and again: that is said once for each
reason. And whoever reaches the port can cause lines, so each kind of line comes at a bounded rate,
apart for each peer and for all strangers together.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final

from coord.ratelimit import LogLimiter
from coord.replication.messages import InvalidMessageError
from coord.replication.peers.handshake import Hello, Refusal, RefusedError

MAX_REMEMBERED: Final = 256
_STRANGER: Final = "a stranger"


class PeerLog:
    """`log`: a bound structlog logger. `clock`: seconds."""

    def __init__(self, log: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._limiter = LogLimiter(clock)
        self._failures: dict[str, str] = {}  # by peer: why it could not be reached, as said last
        self._refusals: set[tuple[str, str]] = set()  # whom it was said to be refused for what

    def connected(self, peer_id: str, address: str) -> None:
        """Messages can be sent to the peer."""
        self._failures.pop(peer_id, None)
        self._say(self._log.info, "peer_connected", peer_id, address=address)

    def disconnected(self, peer_id: str, reason: str) -> None:
        """They cannot any more."""
        self._say(self._log.info, "peer_disconnected", peer_id, reason=reason)

    def ended(self, peer_id: str, reason: str) -> None:
        """A connection that the peer had made has ended."""
        self._say(self._log.info, "peer_connection_ended", peer_id, reason=reason)

    def unreachable(self, peer_id: str, address: str, error: Exception, asked_for: str) -> None:
        """No connection to the peer could be made, or it was refused on either side. `asked_for`:
        what was expected at its address."""
        refused = error if isinstance(error, RefusedError) else None
        kind = refused.refusal if refused else type(error).__name__
        if self._failures.get(peer_id) == kind:
            return
        self._failures[peer_id] = kind
        reason = _in_words(error) or kind
        if kind == Refusal.NOT_HERE:
            reason = f"{reason} (asked for {asked_for})"
        if refused is None:
            self._say(self._log.info, "peer_unreachable", peer_id, address=address, reason=reason)
        else:
            event = "peer_refused" if refused.by_us else "peer_refused_us"
            self._say(self._log.warning, event, peer_id, address=address, reason=reason)

    def one_way(self, peer_id: str, address: str, *, reached: bool) -> None:
        """Only one direction works: messages can be sent (`reached`), or come."""
        if reached:
            event = "peer_does_not_reach_us"
            why = (
                "this node has connected to it, but it does not connect to this node: was this "
                "node started with other addresses than the members have for it?"
            )
        else:
            event = "peer_is_elsewhere"
            why = f"it has connected to this node, but does not answer at {address}"
        self._say(self._log.warning, event, peer_id, why=why)

    def refused(
        self, hello: Hello | None, remote: str, error: RefusedError, *, is_peer: bool
    ) -> None:
        """A connection was refused. `is_peer`: it names a node that this one knows."""
        peer_id = hello.node_id if hello is not None else ""
        key = (peer_id, error.refusal)
        if key in self._refusals:
            return
        who = peer_id if is_peer else _STRANGER
        suppressed = self._limiter.admit(f"peer_refused {who}")
        if suppressed is None:
            return
        if len(self._refusals) >= MAX_REMEMBERED:
            self._refusals.clear()
        self._refusals.add(key)
        fields = {"suppressed": suppressed} if suppressed else {}
        self._log.warning(
            "peer_refused", peer_id=peer_id, remote=remote, reason=str(error), **fields
        )

    def welcomed(self, peer_id: str) -> None:
        """A connection of the peer was taken: a refusal later is news."""
        self._refusals = {key for key in self._refusals if key[0] != peer_id}

    def callback_failed(self, name: str, peer_id: str, error: Exception) -> None:
        """What a peer sent could not be handled."""
        if isinstance(error, InvalidMessageError):
            self._say(self._log.warning, "peer_message_refused", peer_id, reason=str(error))
            return
        fields = {"callback": name, "exc_info": error}
        self._say(self._log.error, "peer_callback_failed", peer_id, **fields)

    def tick(self) -> None:
        """To be called from time to time: tell how many lines were left out."""
        for kind, count in self._limiter.overdue().items():
            self._log.info("log_lines_left_out", kind=kind, count=count)

    def _say(self, report: Callable[..., Any], event: str, peer_id: str, **fields: Any) -> None:
        self._limiter.log(report, event, kind=f"{event} {peer_id}", peer_id=peer_id, **fields)


def _in_words(error: Exception) -> str:
    """What the system says, without its numbers and addresses; of others, what they say."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error)
