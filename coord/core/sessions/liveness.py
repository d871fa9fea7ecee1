"""Whether a session is open, and signs of life."""

from __future__ import annotations

from typing import Final

from coord.core.base.context import Context
from coord.core.base.table import SnapshotFormatError
from coord.core.base.timers import TimerKind
from coord.core.sessions.records import Session
from coord.core.sessions.tables import SessionTables

_SESSION: Final = TimerKind.SESSION


def is_open(ctx: Context, tables: SessionTables, session_id: int) -> bool:
    """Whether there is such a session, and it is not over."""
    session = tables.sessions.get(session_id)
    return session is not None and session.expires_at_ms > ctx.now_ms


def touch(ctx: Context, session: Session) -> None:
    """Notes a sign of life; `session` is new or from `edit`."""
    expires_at_ms = ctx.now_ms + session.ttl_ms
    if expires_at_ms != session.expires_at_ms:  # the first sign of life in this batch
        session.expires_at_ms = expires_at_ms
        ctx.timers.arm(_SESSION, session.session_id, expires_at_ms)


def known_session(tables: SessionTables, session_id: int) -> Session:
    """The session that a row of a snapshot names; SnapshotFormatError if there is none."""
    session = tables.sessions.get(session_id)
    if session is None:
        raise SnapshotFormatError(f"a row names session {session_id}, which has none")
    return session
