"""Bounds on how many sessions, locks, waits and keys there may be (from level 1 on).

Where one party could take all of them, each has a share that leaves some to the others
(`coord.core.base.shares`): of sessions those with one name, of locks and waits one session."""

from __future__ import annotations

from coord.core.base.refusal import Rejected, limit_exceeded, share_exceeded
from coord.core.base.shares import beyond_share
from coord.core.batch import Command
from coord.core.kv.commands import KvOp, KvPut, KvTxn
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


def check_new_keys(state: State, command: Command) -> Rejected | None:
    """Why a put, or a transaction that may put, is refused for the keys there are, or None."""
    limit, keys = state.limits.max_keys, len(state.kv)
    if keys + state.limits.max_txn_ops <= limit:
        return None
    if isinstance(command, KvPut):
        new = 0 if keys < limit or state.kv.has(command.key) else 1
    elif isinstance(command, KvTxn):
        new = _puts(command)
    else:
        new = 0
    return limit_exceeded("keys", limit) if new and keys + new > limit else None


def _puts(txn: KvTxn) -> int:
    """Of the branch that has more of them, as if every key were new."""
    return max(_puts_in(txn.success), _puts_in(txn.failure))


def _puts_in(steps: list[KvOp]) -> int:
    count = 0
    for step in steps:
        if isinstance(step, KvPut):
            count += 1
        elif isinstance(step, KvTxn):
            count += _puts(step)
    return count
