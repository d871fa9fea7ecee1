"""What readers are told about locks."""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from coord.core.base.paging import page_limit
from coord.core.listing import lock_step
from coord.core.locks.handlers import waiter_count, waiters_of
from coord.core.locks.records import Lock
from coord.core.state import State


class LockInfo(NamedTuple):
    """A lock as coord.v1.LockInfo shows it. `remaining_ms` 0: no TTL of its own.

    `waiters`: (session_id, holder, ticket), first come first: a page of the `waiter_count`."""

    name: str
    held: bool
    session_id: int
    holder: str
    fencing_token: int
    remaining_ms: int
    waiters: tuple[tuple[int, str, int], ...] = ()
    waiter_count: int = 0
    more_waiters: bool = False


def get_lock(
    state: State, name: str, now_ms: int = 0, max_waiters: int = 0, after_ticket: int = 0
) -> LockInfo:
    """Who holds a lock, and a page of those who wait: up to `max_waiters` of them, behind
    `after_ticket`. A lock nobody holds is just free: it needs no making."""
    lock = state.locks.get(name)
    if lock is None:
        return LockInfo(name, False, 0, "", 0, 0)
    info = held_lock_info(state, lock, now_ms)
    count = min(max_waiters, state.limits.max_list_items)
    if not count:
        return info
    found = list(islice(waiters_of(state.lock_tables, name, after_ticket), count + 1))
    shown = tuple((one.session_id, one.holder, one.ticket) for one in found[:count])
    return info._replace(waiters=shown, more_waiters=len(found) > count)


def is_waiting(state: State, name: str, session_id: int, holder: str) -> bool:
    """Whether this contender is in the queue of the lock."""
    return (name, session_id, holder) in state.waiting


def list_locks(
    state: State, prefix: str = "", limit: int = 0, after_name: str = "", now_ms: int = 0
) -> tuple[LockInfo, ...]:
    """Held locks by name. `limit` 0: 100."""
    step = lock_step(state, prefix, page_limit(state.limits, limit), after_name)
    return tuple(held_lock_info(state, state.locks[name], now_ms) for name in step.found)


def held_lock_info(state: State, lock: Lock, now_ms: int) -> LockInfo:
    """A lock that is held, without those who wait but their number."""
    return LockInfo(
        name=lock.name,
        held=True,
        session_id=lock.session_id,
        holder=lock.holder,
        fencing_token=lock.token,
        remaining_ms=max(0, lock.expires_at_ms - max(now_ms, state.now_ms)),
        waiter_count=waiter_count(state.lock_tables, lock.name),
    )
