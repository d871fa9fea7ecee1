"""Invariants of sessions and of the replies they keep."""

from __future__ import annotations

from itertools import pairwise

from coord.core.base.invariants import invariant
from coord.core.base.timers import TimerKind
from coord.core.sessions.liveness import is_open
from coord.core.state import State


def check(state: State) -> None:
    """Invariants; raises InvariantViolation."""
    _check_sessions(state)
    _check_replies(state)


def _check_sessions(state: State) -> None:
    for session_id, session in state.sessions.items():
        where = session.session_id
        invariant(session_id == session.session_id <= state.revision, "session id", where)
        live = state.ctx.behind or session.expires_at_ms > state.now_ms
        invariant(live, "open session is not expired", where)
        armed = state.ctx.timers.deadline_of(TimerKind.SESSION, session_id)
        invariant(armed == session.expires_at_ms, "session timer", (where, armed))
        known = state.session_by_nonce.get(session.nonce)
        named = known == session_id or not is_open(state.ctx, state.session_tables, session_id)
        invariant(named, "nonce names its session", (where, known))
    nonces = {session.nonce for session in state.sessions.values()}
    invariant(state.session_by_nonce.keys() == nonces, "every nonce has its session")


def _check_replies(state: State) -> None:
    kept = size = 0
    for session_id, session in state.sessions.items():
        sequences = session.replies
        kept += len(sequences)
        limit = state.limits.max_replies_per_session
        invariant(len(sequences) <= limit, "kept replies are bounded", session_id)
        ascending = all(a < b for a, b in pairwise(sequences))
        invariant(ascending, "kept sequences ascend", (session_id, sequences))
        for sequence in sequences:
            at = (session_id, sequence)
            invariant(at in state.replies, "kept reply exists", at)
            wanted = state.level > 0 or sequence >= session.acked_below
            invariant(wanted, "kept reply is not acknowledged", at)
    invariant(kept == len(state.replies), "every kept reply has its session", kept)
    for session_id, session in state.sessions.items():
        own = sum(state.replies[session_id, sequence][2] for sequence in session.replies)
        invariant(own == session.reply_bytes, "bytes of the replies of a session", session_id)
        size += own
    invariant(size == state.reply_bytes, "bytes of kept replies", (size, state.reply_bytes))
