"""Bounds on how many locks and waits there may be (from level 1 on): each session has a share."""

from __future__ import annotations

from coord.core.base.context import Context
from coord.core.base.holdings import LOCK, LOCK_WAIT
from coord.core.base.refusal import Rejected, share_exceeded
from coord.core.base.shares import beyond_share
from coord.core.locks.tables import LockTables
from coord.core.sessions.tables import held_by


def check_new_lock(ctx: Context, tables: LockTables, session_id: int) -> Rejected | None:
    """Why a session cannot take another lock, or None."""
    limit, own = ctx.limits.max_locks, len(held_by(tables.sessions.sessions[session_id], LOCK))
    if beyond_share(own + 1, len(tables.locks) + 1, limit):
        return share_exceeded("session", own, "locks", limit)
    return None


def check_new_wait(ctx: Context, tables: LockTables, session_id: int) -> Rejected | None:
    """Why a session cannot wait for another lock, or None."""
    limit, own = (
        ctx.limits.max_waiters,
        len(held_by(tables.sessions.sessions[session_id], LOCK_WAIT)),
    )
    if beyond_share(own + 1, len(tables.waiters) + 1, limit):
        return share_exceeded("session", own, "waits_for_locks", limit)
    return None
