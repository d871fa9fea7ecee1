"""Bounds on how many sessions, locks, waits and keys there may be (from level 1 on).

Where one party could take all of them, each has a share that leaves some to the others
(`coord.core.base.shares`): of sessions those with one name, of locks and waits one session."""

from __future__ import annotations

from coord.core.base.refusal import Rejected, share_exceeded
from coord.core.base.shares import beyond_share
from coord.core.state import State


def check_new_session(state: State, name: str) -> Rejected | None:
    """Why clients of this name cannot open another session, or None."""
    limit, own = state.limits.max_sessions, state.sessions_by_name.get(name, 0)
    if beyond_share(own + 1, len(state.sessions) + 1, limit):
        return share_exceeded(f"clients named {name!a}", own, "sessions", limit)
    return None


def count_session(state: State, name: str, change: int) -> None:
    """A session of this name came (1) or went (-1)."""
    count = state.sessions_by_name.get(name, 0) + change
    if count:
        state.sessions_by_name[name] = count
    else:
        del state.sessions_by_name[name]
