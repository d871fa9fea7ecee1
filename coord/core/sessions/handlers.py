"""Sessions: the liveness of one client. What it holds ends with it.

Every request that names the session is a sign of life, not only KeepAlive. A session is over as
soon as cluster time reaches its end: nothing that it holds is valid from then on, although one that
held very much gives it back over several batches, and only then is its record gone."""

from __future__ import annotations

from heapq import nsmallest
from itertools import islice
from typing import Final

from coord.core.base.refusal import Rejected, limit_exceeded, session_not_found
from coord.core.base.request import Done, EventKind, labels_of
from coord.core.base.timers import TimerKind
from coord.core.locks.handlers import leave_queue, pass_on
from coord.core.sessions.commands import (
    CloseSession,
    KeepAlive,
    OpenSession,
    SessionKept,
    SessionOpened,
)
from coord.core.sessions.dedupe import drop_replies
from coord.core.sessions.holdings import check_new_session, count_session
from coord.core.sessions.liveness import _SESSION, SESSION_EXPIRED, is_open, known_session, touch
from coord.core.sessions.records import Session
from coord.core.sizes import session_size
from coord.core.state import State
from coord.core.tasks.attempts import lose_lease

_MAX_STUCK: Final = 1_000
_MAX_TASK_ID: Final = 21  # "t" and a number of 64 bits
_REPLIES_PER_EXPIRY: Final = 16  # so many cost as much as to give one task back


def open_session(state: State, command: OpenSession) -> Rejected | SessionOpened:
    """Opens a session; a repeated nonce gives the one it opened."""
    known = state.session_by_nonce.get(command.nonce)
    if known is not None and is_open(state, known):
        session = state.sessions.edit(known)
        touch(state, session)
        return SessionOpened(known, session.ttl_ms, known)
    limit = state.limits.max_sessions
    if len(state.sessions) >= limit:
        return limit_exceeded("sessions", limit)
    if state.level:
        refused = check_new_session(state, command.name)
        if refused is not None:
            return refused
    session_id = state.next_revision()
    session = Session(
        session_id,
        command.nonce,
        command.ttl_ms,
        command.kind,
        command.name,
        labels_of(command.labels),
        tuple(command.queues),
        command.slots,
        state.wall_ms,
        0,
    )
    state.sessions.insert(session_id, session)
    state.sessions_size += session_size(session)
    count_session(state, session.name, 1)
    state.session_by_nonce[command.nonce] = session_id
    touch(state, session)
    return SessionOpened(session_id, command.ttl_ms, session_id)


def keep_alive(state: State, command: KeepAlive) -> Rejected | SessionKept:
    """Pushes the end of a session. Takes no revision."""
    if not is_open(state, command.session_id):
        return session_not_found(command.session_id)
    session = state.sessions.edit(command.session_id)
    if command.stuck is not None and state.level >= 1:
        session.stuck = tuple([one[:_MAX_TASK_ID] for one in command.stuck[:_MAX_STUCK]])
    touch(state, session)
    return SessionKept(session.ttl_ms)


def close_session(state: State, command: CloseSession) -> Rejected | Done:
    """Ends a session now."""
    if not is_open(state, command.session_id):
        return session_not_found(command.session_id)
    session = state.sessions.edit(command.session_id)
    session.expires_at_ms = state.now_ms
    end_session(state, command.session_id, "session closed")
    return Done(state.revision)


def end_session(state: State, session_id: int, why: str) -> None:
    """Leaves every queue of locks, passes its locks on, gives its tasks back, and forgets it.

    Waits first: a lock must not be passed to another holder of the same ending session. If that is
    more than this batch has left to do, a part of it; the session stays overdue."""
    session = state.sessions[session_id]
    holdings = len(session.waits) + len(session.locks) + len(session.tasks)
    if state.level:
        holdings += len(session.replies) // _REPLIES_PER_EXPIRY
    if holdings > state.expiries_left:
        _give_back_some(state, session, why)
        state.timers.arm(_SESSION, session_id, session.expires_at_ms)
        return
    state.expiries_left -= holdings
    state.next_revision()
    state.emit(EventKind.SESSION_ENDED, str(session_id), session_id)
    for name, ticket in sorted(session.waits):
        leave_queue(state, name, ticket)
    for name in sorted(session.locks):
        pass_on(state, name)
    for serial in sorted(session.tasks):
        lose_lease(state, serial, why)
    drop_replies(state, session, len(session.replies))
    state.sessions.remove(session_id)
    state.sessions_size -= session_size(session)
    count_session(state, session.name, -1)
    if state.session_by_nonce.get(session.nonce) == session_id:
        del state.session_by_nonce[session.nonce]
    state.timers.disarm(_SESSION, session_id)


def _give_back_some(state: State, session: Session, why: str) -> None:
    """The same, as far as this batch goes; of the tasks, first those claimed first."""
    for name, ticket in nsmallest(state.expiries_left, session.waits):
        leave_queue(state, name, ticket)
        state.expiries_left -= 1
    for name in nsmallest(state.expiries_left, session.locks):
        pass_on(state, name)
        state.expiries_left -= 1
    for serial in list(islice(session.tasks, state.expiries_left)):
        lose_lease(state, serial, why)
        state.expiries_left -= 1
    if state.level:
        drop_replies(state, session, state.expiries_left * _REPLIES_PER_EXPIRY)
        state.expiries_left = 0


def expire_session(state: State, session_id: int) -> None:
    """Its client gave no sign of life for too long."""
    end_session(state, session_id, SESSION_EXPIRED)


def rebuild(state: State) -> None:
    """What is derived from the rows of sessions and of kept replies."""
    for session in state.sessions.values():
        state.sessions_size += session_size(session)
        count_session(state, session.name, 1)
        state.session_by_nonce[session.nonce] = session.session_id
        state.timers.arm(TimerKind.SESSION, session.session_id, session.expires_at_ms)
    for (session_id, sequence), (_, _, size) in state.replies.items():
        owner = known_session(state, session_id)
        owner.replies.append(sequence)
        owner.reply_bytes += size
        state.reply_bytes += size
