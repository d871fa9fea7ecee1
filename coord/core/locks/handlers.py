"""Exclusive locks: leased, with a fair wait queue and fencing tokens.

A lock record exists exactly while somebody holds it, and only then has it waiters. Whoever lets go
(release, TTL, end of session) hands it to the first waiter in the same step, so nobody can overtake
the queue. The token is the revision of the grant, so tokens of one lock strictly increase."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from coord.core.base.refusal import Reason, Rejected, limit_exceeded, session_required, stale_token
from coord.core.base.request import Done, EventKind
from coord.core.base.timers import TimerKind
from coord.core.locks.commands import (
    AcquireLock,
    CancelLockWait,
    LockReply,
    RefreshLock,
    ReleaseLock,
)
from coord.core.locks.holdings import check_new_lock, check_new_wait
from coord.core.locks.records import Lock, Waiter
from coord.core.sessions.liveness import is_open, known_session
from coord.core.state import State

_LAST_TICKET: Final = 1 << 64


def acquire(state: State, command: AcquireLock, session_id: int) -> Rejected | LockReply:
    """Takes a free lock, or enters its queue. For its owner: the same token, and its TTL anew."""
    if not session_id:
        return session_required("acquiring a lock")
    name = command.name
    lock = state.locks.get(name)
    if lock is None:
        refused = check_new_lock(state, session_id) if state.level else None
        if refused is not None:
            return refused
        token = _create(state, command, session_id)
        return LockReply(True, token, False, 0, state.revision)
    if lock.session_id == session_id and lock.holder == command.holder:
        _renew(state, state.locks.edit(name))
        return LockReply(True, lock.token, False, 0, state.revision)
    ticket = state.waiting.get((name, session_id, command.holder))
    if ticket is not None:
        if command.wait_ms:
            waiter = state.waiters.edit((name, ticket))
            _set_leaving(state, waiter, command.wait_ms)
        return _queued(state, name, ticket)
    if not command.wait_ms:
        return LockReply(False, 0, False, 0, state.revision)
    limit = state.limits.max_waiters_per_lock
    if waiter_count(state, name) >= limit:
        return limit_exceeded("waiters of one lock", limit)
    refused = check_new_wait(state, session_id) if state.level else None
    if refused is not None:
        return refused
    return _queued(state, name, _enter_queue(state, command, session_id))


def release(state: State, command: ReleaseLock) -> Rejected | Done:
    """Ends a hold; the first waiter, if any, has the lock in the same step."""
    refused = _check_held(state, command.name, command.fencing_token)
    if refused:
        return refused
    pass_on(state, command.name)
    return Done(state.revision)


def refresh(state: State, command: RefreshLock) -> Rejected | Done:
    """Pushes the end of a lock with its own TTL. Takes no revision."""
    refused = _check_held(state, command.name, command.fencing_token)
    if refused:
        return refused
    _renew(state, state.locks.edit(command.name))
    return Done(state.revision)


def cancel_wait(state: State, command: CancelLockWait, session_id: int) -> Rejected | Done:
    """Leaves the queue. Not being in it is what was asked for."""
    if not session_id:
        return session_required("leaving the queue of a lock")
    ticket = state.waiting.get((command.name, session_id, command.holder))
    if ticket is not None:
        leave_queue(state, command.name, ticket)
    return Done(state.revision)


def pass_on(state: State, name: str) -> None:
    """Takes the lock from its owner and gives it to the first waiter, or nobody."""
    state.sessions[state.locks[name].session_id].locks.discard(name)
    state.next_revision()
    first = next(waiters_of(state, name), None)
    if first is None:
        state.locks.remove(name)
        state.timers.disarm(TimerKind.LOCK, name)
        return
    lock = state.locks.edit(name)
    _drop_waiter(state, first)
    lock.session_id = first.session_id
    lock.holder = first.holder
    lock.ttl_ms = first.ttl_ms
    lock.token = state.next_revision()
    state.sessions[first.session_id].locks.add(name)
    _renew(state, lock)
    state.emit_to(EventKind.LOCK_GRANTED, name, lock.token, lock)


def leave_queue(state: State, name: str, ticket: int) -> None:
    """A waiter goes without the lock."""
    waiter = state.waiters[name, ticket]
    _drop_waiter(state, waiter)
    state.next_revision()
    state.emit_to(EventKind.LOCK_WAIT_ENDED, name, waiter.session_id, waiter)


def waiters_of(state: State, name: str, after_ticket: int = 0) -> Iterator[Waiter]:
    """Waiters of a lock, first come first; those behind a ticket."""
    keys = state.waiters.keys_between((name, after_ticket + 1), (name, _LAST_TICKET))
    return (state.waiters[key] for key in keys)


def waiter_count(state: State, name: str) -> int:
    return state.waiters.rank((name, _LAST_TICKET)) - state.waiters.rank((name, 0))


def _create(state: State, command: AcquireLock, session_id: int) -> int:
    token = state.next_revision()
    lock = Lock(command.name, session_id, command.holder, token, command.ttl_ms, 0)
    state.locks.insert(command.name, lock)
    state.sessions[session_id].locks.add(command.name)
    _renew(state, lock)
    return token


def _renew(state: State, lock: Lock) -> None:
    """Sets the end of a lock that has a TTL; `lock` is new or from `edit`."""
    if lock.ttl_ms:
        lock.expires_at_ms = state.now_ms + lock.ttl_ms
        state.timers.arm(TimerKind.LOCK, lock.name, lock.expires_at_ms)
    else:
        lock.expires_at_ms = 0
        state.timers.disarm(TimerKind.LOCK, lock.name)


def _enter_queue(state: State, command: AcquireLock, session_id: int) -> int:
    name, ticket = command.name, state.next_revision()
    waiter = Waiter(name, ticket, session_id, command.holder, command.ttl_ms, 0)
    state.waiters.insert((name, ticket), waiter)
    state.waiting[name, session_id, command.holder] = ticket
    state.sessions[session_id].waits.add((name, ticket))
    _set_leaving(state, waiter, command.wait_ms)
    return ticket


def _set_leaving(state: State, waiter: Waiter, wait_ms: int) -> None:
    waiter.leaves_at_ms = state.now_ms + wait_ms
    ident = (waiter.lock, waiter.ticket)
    state.timers.arm(TimerKind.LOCK_WAIT, ident, waiter.leaves_at_ms)


def _drop_waiter(state: State, waiter: Waiter) -> None:
    ident = (waiter.lock, waiter.ticket)
    state.waiters.remove(ident)
    del state.waiting[waiter.lock, waiter.session_id, waiter.holder]
    state.sessions[waiter.session_id].waits.discard(ident)
    state.timers.disarm(TimerKind.LOCK_WAIT, ident)


def _queued(state: State, name: str, ticket: int) -> LockReply:
    position = state.waiters.rank((name, ticket)) - state.waiters.rank((name, 0))
    return LockReply(False, 0, True, position, state.revision)


def _check_held(state: State, name: str, token: int) -> Rejected | None:
    lock = state.locks.get(name)
    if lock is None:
        return Rejected(Reason.LOCK_NOT_HELD, f"lock {name!a} is held by nobody", (("name", name),))
    if lock.token != token:
        return stale_token(f"lock {name!a}", token, lock.token)
    return None


def end_wait(state: State, ident: tuple[str, int]) -> None:
    """A wait, (lock, ticket), is over."""
    leave_queue(state, *ident)


def settle_held(state: State, command: ReleaseLock | RefreshLock, session_id: int) -> None:
    """The lock that a holder names."""
    _settle_lock(state, command.name)


def settle_contender(state: State, command: AcquireLock | CancelLockWait, session_id: int) -> None:
    """The lock that a contender names, and his wait for it."""
    _settle_lock(state, command.name)
    ticket = state.waiting.get((command.name, session_id, command.holder))
    if ticket is not None:
        _settle_wait(state, command.name, ticket)


def _settle_lock(state: State, name: str) -> None:
    """Every step takes a waiter from the queue, or ends."""
    while (lock := state.locks.get(name)) is not None:
        over = 0 < lock.expires_at_ms <= state.now_ms
        if not over and is_open(state, lock.session_id):
            return
        pass_on(state, name)


def _settle_wait(state: State, name: str, ticket: int) -> None:
    if state.waiters[name, ticket].leaves_at_ms <= state.now_ms:
        leave_queue(state, name, ticket)


def rebuild(state: State) -> None:
    """What is derived from the rows of locks and of those who wait."""
    for lock in state.locks.values():
        known_session(state, lock.session_id).locks.add(lock.name)
        if lock.expires_at_ms:
            state.timers.arm(TimerKind.LOCK, lock.name, lock.expires_at_ms)
    for ident, waiter in state.waiters.items():
        known_session(state, waiter.session_id).waits.add(ident)
        state.waiting[waiter.lock, waiter.session_id, waiter.holder] = waiter.ticket
        state.timers.arm(TimerKind.LOCK_WAIT, ident, waiter.leaves_at_ms)
