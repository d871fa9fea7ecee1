"""Invariants of locks and of who waits for them."""

from __future__ import annotations

from coord.core.base.holdings import LOCK, LOCK_WAIT
from coord.core.base.invariants import invariant
from coord.core.base.timers import TimerKind
from coord.core.sessions.records import Session
from coord.core.sessions.tables import held_by
from coord.core.state import State


def check(state: State) -> None:
    """Invariants; raises InvariantViolation."""
    _check_locks(state)
    _check_waiters(state)
    for session_id, session in state.sessions.items():
        _check_holdings(state, session_id, session)


def _check_locks(state: State) -> None:
    for name, lock in state.locks.items():
        invariant(name == lock.name and 0 < lock.token <= state.revision, "lock", lock)
        owner = state.sessions.get(lock.session_id)
        invariant(
            owner is not None and name in held_by(owner, LOCK), "owner of a lock is open", lock
        )
        armed = state.ctx.timers.deadline_of(TimerKind.LOCK, name)
        invariant((armed or 0) == lock.expires_at_ms, "lock timer", (lock, armed))
        live = not lock.ttl_ms or lock.expires_at_ms > state.now_ms or state.ctx.behind
        invariant(live, "held lock is not expired", lock)


def _check_waiters(state: State) -> None:
    for ident, waiter in state.waiters.items():
        invariant(ident == (waiter.lock, waiter.ticket), "waiter", waiter)
        invariant(waiter.ticket <= state.revision, "ticket is a past revision", waiter)
        lock = state.locks.get(waiter.lock)
        invariant(lock is not None, "only a held lock has waiters", waiter)
        who = (waiter.session_id, waiter.holder)
        owns = lock is not None and (lock.session_id, lock.holder) == who
        invariant(not owns, "the owner does not wait", waiter)
        session = state.sessions.get(waiter.session_id)
        known = session is not None and ident in held_by(session, LOCK_WAIT)
        invariant(known, "session of a waiter is open", waiter)
        ticket = state.waiting.get((waiter.lock, *who))
        invariant(ticket == waiter.ticket, "a contender waits once", waiter)
        armed = state.ctx.timers.deadline_of(TimerKind.LOCK_WAIT, ident)
        invariant(armed == waiter.leaves_at_ms, "waiter timer", (waiter, armed))
        waits = state.ctx.behind or waiter.leaves_at_ms > state.now_ms
        invariant(waits, "wait is not over", waiter)
    invariant(len(state.waiting) == len(state.waiters), "every contender waits", state.waiting)


def _check_holdings(state: State, session_id: int, session: Session) -> None:
    for name in held_by(session, LOCK):
        lock = state.locks.get(name)
        owned = lock is not None and lock.session_id == session_id
        invariant(owned, "session owns its locks", (session_id, name))
    for ident in held_by(session, LOCK_WAIT):
        invariant(ident in state.waiters, "session waits where it says", (session_id, ident))
