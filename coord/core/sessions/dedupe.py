"""Requests of a session are carried out at most once (Raft dissertation, section 6.3).

A session keeps the reply of every request until the client says that it has it (`acked_below`).
What is below was carried out and its reply given up: it is refused, so that nothing can be done
twice. Requests may come in any order.

Beside the reply stands a digest of the request, so that another request under the same sequence is
refused and not taken for done. When there is no more room for replies, new requests are refused
until the client acknowledges some. (At level 0 there is no digest, and the oldest reply goes
instead.)"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Any, Final

from coord.core.base.context import Context
from coord.core.base.refusal import Reason, Rejected
from coord.core.base.request import RequestId
from coord.core.batch import Command, Reply
from coord.core.sessions.records import Session
from coord.core.sessions.tables import SessionTables
from coord.core.sizes import reply_size
from coord.core.tasks.commands import Claimed

_DROPPED_AT_ONCE: Final = 128

DigestOf = Callable[[Any], int]


def find_reply(
    ctx: Context,
    tables: SessionTables,
    session: Session,
    request_id: RequestId,
    command: Command,
    digest_of: DigestOf,
) -> Reply | None:
    """The kept reply, a refusal (its reply was given up, another request had its sequence, there is
    no room), None if the request is to be carried out.

    Forgets what the client has acknowledged. `session` comes from `edit`."""
    if request_id.acked_below > session.acked_below:
        session.acked_below = request_id.acked_below
        if not ctx.level:
            _forget_below(tables, session, session.acked_below)
    replies = session.replies
    if ctx.level and replies and replies[0] < session.acked_below:
        _forget_some(ctx, tables, session)
    sequence = request_id.sequence
    if sequence < session.acked_below:
        return Rejected(
            Reason.SEQUENCE_FORGOTTEN,
            f"the reply of request {sequence} was given up; kept are {session.acked_below} and up",
            (("acked_below", str(session.acked_below)),),
        )
    kept = tables.replies.get((session.session_id, sequence))
    if kept is None:
        limits = ctx.limits
        if (
            len(replies) < limits.max_replies_per_session
            and session.reply_bytes < limits.max_reply_bytes_per_session
        ) or not ctx.level:
            return None
        return _no_room(ctx, session)
    reply, digest, _ = kept
    if digest and digest != digest_of(command):
        return _reused(session, sequence)
    return reply


def keep_reply(
    ctx: Context,
    tables: SessionTables,
    session: Session,
    sequence: int,
    reply: Reply,
    command: Command,
    digest_of: DigestOf,
) -> None:
    """Keeps the reply of a new request.

    An empty claim is not kept: it changed nothing, and its caller waits on and proposes it again
    under the same sequence."""
    if isinstance(reply, Claimed) and not reply.tasks:
        return
    digest, kept = 0, session.replies
    if ctx.level:
        digest = digest_of(command)
    elif len(kept) >= ctx.limits.max_replies_per_session:
        session.acked_below = session.replies[0] + 1
        _forget_below(tables, session, session.acked_below)
    if sequence < session.acked_below:
        return
    size = reply_size(reply)
    tables.replies.insert((session.session_id, sequence), (reply, digest, size))
    session.reply_bytes += size
    tables.reply_bytes += size
    if kept and sequence < kept[-1]:
        insort(kept, sequence)
    else:
        kept.append(sequence)


def drop_replies(tables: SessionTables, session: Session, at_most: int) -> None:
    """Forgets that many, the oldest first, when the session ends."""
    _forget_first(tables, session, min(at_most, len(session.replies)))


def _forget_below(tables: SessionTables, session: Session, acked_below: int) -> None:
    _forget_first(tables, session, bisect_left(session.replies, acked_below))


def _forget_some(ctx: Context, tables: SessionTables, session: Session) -> None:
    """A part of what is acknowledged: every request takes more away than it adds, and none has to
    pay for thousands."""
    gone = bisect_left(session.replies, session.acked_below)
    if session.reply_bytes < ctx.limits.max_reply_bytes_per_session:
        gone = min(gone, _DROPPED_AT_ONCE)
    _forget_first(tables, session, gone)


def _forget_first(tables: SessionTables, session: Session, count: int) -> None:
    session_id, size = session.session_id, 0
    for sequence in session.replies[:count]:
        size += tables.replies.remove((session_id, sequence))[2]
    session.reply_bytes -= size
    tables.reply_bytes -= size
    del session.replies[:count]


def _no_room(ctx: Context, session: Session) -> Rejected:
    limits = ctx.limits
    if len(session.replies) >= limits.max_replies_per_session:
        return _full(session, "max_replies_per_session", limits.max_replies_per_session, "")
    limit = limits.max_reply_bytes_per_session
    return _full(session, "max_reply_bytes_per_session", limit, " bytes of")


def _full(session: Session, name: str, limit: int, unit: str) -> Rejected:
    return Rejected(
        Reason.LIMIT_EXCEEDED,
        f"session {session.session_id} keeps {limit}{unit} replies that are not acknowledged; "
        "acknowledge those that have arrived by header.acked_below",
        (("field", "header.acked_below"), ("limit", str(limit)), ("name", name)),
    )


def _reused(session: Session, sequence: int) -> Rejected:
    return Rejected(
        Reason.SEQUENCE_REUSED,
        f"sequence {sequence} of session {session.session_id} was used for another request, which "
        "was carried out; this one was not: send it under a new sequence",
        (("sequence", str(sequence)), ("session_id", str(session.session_id))),
    )
