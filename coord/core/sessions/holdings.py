"""Bounds on how many sessions, locks, waits and keys there may be (from level 1 on).

Where one party could take all of them, each has a share that leaves some to the others
(`coord.core.base.shares`): of sessions those with one name, of locks and waits one session."""

from __future__ import annotations

from coord.core.base.context import Context
from coord.core.base.refusal import Rejected, share_exceeded
from coord.core.base.shares import beyond_share
from coord.core.sessions.tables import SessionTables


def check_new_session(ctx: Context, tables: SessionTables, name: str) -> Rejected | None:
    """Why clients of this name cannot open another session, or None."""
    limit, own = ctx.limits.max_sessions, tables.sessions_by_name.get(name, 0)
    if beyond_share(own + 1, len(tables.sessions) + 1, limit):
        return share_exceeded("name", own, "sessions", limit, name)
    return None


def count_session(tables: SessionTables, name: str, change: int) -> None:
    """A session of this name came (1) or went (-1)."""
    count = tables.sessions_by_name.get(name, 0) + change
    if count:
        tables.sessions_by_name[name] = count
    else:
        del tables.sessions_by_name[name]
