"""Bounds of the commands about sessions."""

from __future__ import annotations

from typing import Final

from coord.core.base.bounds import (
    MAX_TOKEN,
    Check,
    check_bytes,
    check_labels,
    check_queues,
    check_range,
    check_ttl,
    invalid,
    validate_name,
)
from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Rejected
from coord.core.sessions.commands import CloseSession, KeepAlive, OpenSession

_SESSION_KINDS: Final = ("client", "worker")
_MAX_NONCE_BYTES: Final = 64


def _open_session(command: OpenSession, level: int) -> Rejected | None:
    if not command.nonce:
        return invalid("nonce", f"nonce must hold 1 to {_MAX_NONCE_BYTES} random bytes")
    if command.kind not in _SESSION_KINDS:
        return invalid("kind", f"kind must be one of {', '.join(_SESSION_KINDS)}")
    return (
        check_ttl("ttl_ms", command.ttl_ms)
        or check_bytes("nonce", command.nonce, _MAX_NONCE_BYTES)
        or validate_name("name", command.name, empty_allowed=True)
        or check_labels(command.labels)
        or check_queues(command.queues)
        or check_range("slots", command.slots, 0, LIMITS.max_list_items)
    )


def _session_named(command: KeepAlive | CloseSession, level: int) -> Rejected | None:
    return check_range("session_id", command.session_id, 1, MAX_TOKEN)


BOUNDS: Final[dict[type, Check]] = {
    OpenSession: _open_session,
    KeepAlive: _session_named,
    CloseSession: _session_named,
}
