"""Bounds on how many locks and waits there may be (from level 1 on): each session has a share."""

from __future__ import annotations

from coord.core.base.refusal import Rejected, share_exceeded
from coord.core.base.shares import beyond_share
from coord.core.state import State


def check_new_lock(state: State, session_id: int) -> Rejected | None:
    """Why a session cannot take another lock, or None."""
    limit, own = state.limits.max_locks, len(state.sessions[session_id].locks)
    if beyond_share(own + 1, len(state.locks) + 1, limit):
        return share_exceeded("the session", own, "locks", limit)
    return None


def check_new_wait(state: State, session_id: int) -> Rejected | None:
    """Why a session cannot wait for another lock, or None."""
    limit, own = state.limits.max_waiters, len(state.sessions[session_id].waits)
    if beyond_share(own + 1, len(state.waiters) + 1, limit):
        return share_exceeded("the session", own, "waits for locks", limit)
    return None
