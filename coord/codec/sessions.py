"""Sessions: requests to commands, replies to responses."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import Message

from coord.codec.kinds import CommandKind, Decoder
from coord.codec.lookup import Lookup, ReplyBuilder, header_only
from coord.core.sessions.commands import (
    CloseSession,
    KeepAlive,
    OpenSession,
    SessionKept,
    SessionOpened,
)
from coord.pb import session_pb2

K = CommandKind


def _open_session(m: session_pb2.OpenSessionRequest) -> OpenSession:
    return OpenSession(
        m.ttl_ms, m.nonce, m.kind or "client", m.name, dict(m.labels), tuple(m.queues), m.slots
    )


def _keep_alive(m: session_pb2.KeepAliveRequest) -> KeepAlive:
    if not m.HasField("report"):
        return KeepAlive(m.session_id)
    return KeepAlive(m.session_id, tuple(m.report.stuck_task_ids))


def _close_session(m: session_pb2.CloseSessionRequest) -> CloseSession:
    return CloseSession(m.session_id)


def _session_opened(command: Any, reply: SessionOpened, lookup: Lookup) -> Message:
    return session_pb2.OpenSessionResponse(session_id=reply.session_id, ttl_ms=reply.ttl_ms)


def _session_kept(command: Any, reply: SessionKept, lookup: Lookup) -> Message:
    return session_pb2.KeepAliveResponse(ttl_ms=reply.ttl_ms)


DECODERS: Final[dict[CommandKind, Decoder]] = {
    K.OPEN_SESSION: _open_session,
    K.KEEP_ALIVE: _keep_alive,
    K.CLOSE_SESSION: _close_session,
}
ENCODERS: Final[dict[CommandKind, ReplyBuilder]] = {
    K.OPEN_SESSION: _session_opened,
    K.KEEP_ALIVE: _session_kept,
    K.CLOSE_SESSION: header_only(session_pb2.CloseSessionResponse),
}
