"""Sessions: the liveness of one client. What it holds ends with it.

Every request that names the session is a sign of life, not only KeepAlive. A session is over as
soon as cluster time reaches its end: nothing that it holds is valid from then on, although one that
held very much gives it back over several batches, and only then is its record gone."""

from __future__ import annotations

from heapq import nsmallest
from itertools import islice
from typing import Final

from coord.core.base.context import Context
from coord.core.base.holdings import SessionEnd
from coord.core.base.refusal import Rejected, limit_exceeded, session_not_found
from coord.core.base.request import Done, EventKind, labels_of
from coord.core.base.timers import TimerKind
from coord.core.sessions.commands import (
    CloseSession,
    KeepAlive,
    OpenSession,
    SessionKept,
    SessionOpened,
)
from coord.core.sessions.dedupe import drop_replies
from coord.core.sessions.holdings import check_new_session, count_session
from coord.core.sessions.liveness import _SESSION, is_open, known_session, touch
from coord.core.sessions.records import Session
from coord.core.sessions.tables import SessionTables, held_by
from coord.core.sizes import session_size

_MAX_STUCK: Final = 1_000
_MAX_TASK_ID: Final = 21  # "t" and a number of 64 bits
_REPLIES_PER_EXPIRY: Final = 16  # so many cost as much as to give one task back


def open_session(
    ctx: Context, tables: SessionTables, command: OpenSession
) -> Rejected | SessionOpened:
    """Opens a session; a repeated nonce gives the one it opened."""
    known = tables.session_by_nonce.get(command.nonce)
    if known is not None and is_open(ctx, tables, known):
        session = tables.sessions.edit(known)
        touch(ctx, session)
        return SessionOpened(known, session.ttl_ms, known)
    limit = ctx.limits.max_sessions
    if len(tables.sessions) >= limit:
        return limit_exceeded("sessions", limit)
    if ctx.level:
        refused = check_new_session(ctx, tables, command.name)
        if refused is not None:
            return refused
    session_id = ctx.next_revision()
    session = Session(
        session_id,
        command.nonce,
        command.ttl_ms,
        command.kind,
        command.name,
        labels_of(command.labels),
        tuple(command.queues),
        command.slots,
        ctx.wall_ms,
        0,
    )
    tables.sessions.insert(session_id, session)
    tables.sessions_size += session_size(session)
    count_session(tables, session.name, 1)
    tables.session_by_nonce[command.nonce] = session_id
    touch(ctx, session)
    return SessionOpened(session_id, command.ttl_ms, session_id)


def keep_alive(ctx: Context, tables: SessionTables, command: KeepAlive) -> Rejected | SessionKept:
    """Pushes the end of a session. Takes no revision."""
    if not is_open(ctx, tables, command.session_id):
        return session_not_found(command.session_id)
    session = tables.sessions.edit(command.session_id)
    if command.stuck is not None and ctx.level >= 1:
        session.stuck = tuple([one[:_MAX_TASK_ID] for one in command.stuck[:_MAX_STUCK]])
    touch(ctx, session)
    return SessionKept(session.ttl_ms)


def close_session(ctx: Context, tables: SessionTables, command: CloseSession) -> Rejected | Done:
    """Ends a session now."""
    if not is_open(ctx, tables, command.session_id):
        return session_not_found(command.session_id)
    session = tables.sessions.edit(command.session_id)
    session.expires_at_ms = ctx.now_ms
    end_session(ctx, tables, command.session_id, SessionEnd.CLOSED)
    return Done(ctx.revision)


def end_session(ctx: Context, tables: SessionTables, session_id: int, why: SessionEnd) -> None:
    """Lets go of all that it holds, and forgets it.

    If that is more than this batch has left to do, a part of it; the session stays overdue."""
    session = tables.sessions[session_id]
    holdings = sum([len(held) for held in session.held.values()])
    if ctx.level:
        holdings += len(session.replies) // _REPLIES_PER_EXPIRY
    if holdings > ctx.expiries_left:
        _give_back_some(ctx, tables, session, why)
        ctx.timers.arm(_SESSION, session_id, session.expires_at_ms)
        return
    ctx.expiries_left -= holdings
    ctx.next_revision()
    ctx.emit(EventKind.SESSION_ENDED, str(session_id), session_id)
    for kind, release in tables.releases.items():
        for key in sorted(held_by(session, kind)):
            release.let_go(ctx, release.tables, key, why)
    drop_replies(tables, session, len(session.replies))
    tables.sessions.remove(session_id)
    tables.sessions_size -= session_size(session)
    count_session(tables, session.name, -1)
    if tables.session_by_nonce.get(session.nonce) == session_id:
        del tables.session_by_nonce[session.nonce]
    ctx.timers.disarm(_SESSION, session_id)


def _give_back_some(ctx: Context, tables: SessionTables, session: Session, why: SessionEnd) -> None:
    """The same, as far as this batch goes."""
    for kind, release in tables.releases.items():
        held, left = held_by(session, kind), ctx.expiries_left
        for key in nsmallest(left, held) if release.by_key else list(islice(held, left)):
            release.let_go(ctx, release.tables, key, why)
            ctx.expiries_left -= 1
    if ctx.level:
        drop_replies(tables, session, ctx.expiries_left * _REPLIES_PER_EXPIRY)
        ctx.expiries_left = 0


def expire_session(ctx: Context, tables: SessionTables, session_id: int) -> None:
    """Its client gave no sign of life for too long."""
    end_session(ctx, tables, session_id, SessionEnd.EXPIRED)


def rebuild(ctx: Context, tables: SessionTables) -> None:
    """What is derived from the rows of sessions and of kept replies."""
    for session in tables.sessions.values():
        tables.sessions_size += session_size(session)
        count_session(tables, session.name, 1)
        tables.session_by_nonce[session.nonce] = session.session_id
        ctx.timers.arm(TimerKind.SESSION, session.session_id, session.expires_at_ms)
    for (session_id, sequence), (_, _, size) in tables.replies.items():
        owner = known_session(tables, session_id)
        owner.replies.append(sequence)
        owner.reply_bytes += size
        tables.reply_bytes += size
