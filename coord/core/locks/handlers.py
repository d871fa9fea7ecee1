"""Exclusive locks: leased, with a fair wait queue and fencing tokens.

A lock record exists exactly while somebody holds it, and only then has it waiters. Whoever lets go
(release, TTL, end of session) hands it to the first waiter in the same step, so nobody can overtake
the queue. The token is the revision of the grant, so tokens of one lock strictly increase."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from coord.core.base.context import Context
from coord.core.base.holdings import LOCK, LOCK_WAIT, SessionEnd
from coord.core.base.refusal import (
    Reason,
    Rejected,
    limit_exceeded,
    refuse,
    session_required,
    stale_token,
)
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
from coord.core.locks.tables import LockTables
from coord.core.sessions.liveness import is_open, known_session

_LAST_TICKET: Final = 1 << 64


def acquire(
    ctx: Context, tables: LockTables, command: AcquireLock, session_id: int
) -> Rejected | LockReply:
    """Takes a free lock, or enters its queue. For its owner: the same token, and its TTL anew."""
    if not session_id:
        return session_required("acquiring a lock")
    name = command.name
    lock = tables.locks.get(name)
    if lock is None:
        refused = check_new_lock(ctx, tables, session_id) if ctx.level else None
        if refused is not None:
            return refused
        token = _create(ctx, tables, command, session_id)
        return LockReply(True, token, False, 0, ctx.revision)
    if lock.session_id == session_id and lock.holder == command.holder:
        _renew(ctx, tables.locks.edit(name))
        return LockReply(True, lock.token, False, 0, ctx.revision)
    ticket = tables.waiting.get((name, session_id, command.holder))
    if ticket is not None:
        if command.wait_ms:
            waiter = tables.waiters.edit((name, ticket))
            _set_leaving(ctx, waiter, command.wait_ms)
        return _queued(ctx, tables, name, ticket)
    if not command.wait_ms:
        return LockReply(False, 0, False, 0, ctx.revision)
    limit = ctx.limits.max_waiters_per_lock
    if waiter_count(tables, name) >= limit:
        return limit_exceeded("waiters_of_one_lock", limit)
    refused = check_new_wait(ctx, tables, session_id) if ctx.level else None
    if refused is not None:
        return refused
    return _queued(ctx, tables, name, _enter_queue(ctx, tables, command, session_id))


def release(ctx: Context, tables: LockTables, command: ReleaseLock) -> Rejected | Done:
    """Ends a hold; the first waiter, if any, has the lock in the same step."""
    refused = _check_held(tables, command.name, command.fencing_token)
    if refused:
        return refused
    pass_on(ctx, tables, command.name)
    return Done(ctx.revision)


def refresh(ctx: Context, tables: LockTables, command: RefreshLock) -> Rejected | Done:
    """Pushes the end of a lock with its own TTL. Takes no revision."""
    refused = _check_held(tables, command.name, command.fencing_token)
    if refused:
        return refused
    _renew(ctx, tables.locks.edit(command.name))
    return Done(ctx.revision)


def cancel_wait(
    ctx: Context, tables: LockTables, command: CancelLockWait, session_id: int
) -> Rejected | Done:
    """Leaves the queue. Not being in it is what was asked for."""
    if not session_id:
        return session_required("leaving the queue of a lock")
    ticket = tables.waiting.get((command.name, session_id, command.holder))
    if ticket is not None:
        leave_queue(ctx, tables, command.name, ticket)
    return Done(ctx.revision)


def pass_on(ctx: Context, tables: LockTables, name: str) -> None:
    """Takes the lock from its owner and gives it to the first waiter, or nobody."""
    tables.sessions.let_go(tables.locks[name].session_id, LOCK, name)
    ctx.next_revision()
    first = next(waiters_of(tables, name), None)
    if first is None:
        tables.locks.remove(name)
        ctx.timers.disarm(TimerKind.LOCK, name)
        return
    lock = tables.locks.edit(name)
    _drop_waiter(ctx, tables, first)
    lock.session_id = first.session_id
    lock.holder = first.holder
    lock.ttl_ms = first.ttl_ms
    lock.token = ctx.next_revision()
    tables.sessions.hold(first.session_id, LOCK, name)
    _renew(ctx, lock)
    ctx.emit_to(EventKind.LOCK_GRANTED, name, lock.token, lock.session_id, lock.holder)


def leave_queue(ctx: Context, tables: LockTables, name: str, ticket: int) -> None:
    """A waiter goes without the lock."""
    waiter = tables.waiters[name, ticket]
    _drop_waiter(ctx, tables, waiter)
    ctx.next_revision()
    ctx.emit_to(
        EventKind.LOCK_WAIT_ENDED, name, waiter.session_id, waiter.session_id, waiter.holder
    )


def waiters_of(tables: LockTables, name: str, after_ticket: int = 0) -> Iterator[Waiter]:
    """Waiters of a lock, first come first; those behind a ticket."""
    keys = tables.waiters.keys_between((name, after_ticket + 1), (name, _LAST_TICKET))
    return (tables.waiters[key] for key in keys)


def waiter_count(tables: LockTables, name: str) -> int:
    return tables.waiters.rank((name, _LAST_TICKET)) - tables.waiters.rank((name, 0))


def _create(ctx: Context, tables: LockTables, command: AcquireLock, session_id: int) -> int:
    token = ctx.next_revision()
    lock = Lock(command.name, session_id, command.holder, token, command.ttl_ms, 0)
    tables.locks.insert(command.name, lock)
    tables.sessions.hold(session_id, LOCK, command.name)
    _renew(ctx, lock)
    return token


def _renew(ctx: Context, lock: Lock) -> None:
    """Sets the end of a lock that has a TTL; `lock` is new or from `edit`."""
    if lock.ttl_ms:
        lock.expires_at_ms = ctx.now_ms + lock.ttl_ms
        ctx.timers.arm(TimerKind.LOCK, lock.name, lock.expires_at_ms)
    else:
        lock.expires_at_ms = 0
        ctx.timers.disarm(TimerKind.LOCK, lock.name)


def _enter_queue(ctx: Context, tables: LockTables, command: AcquireLock, session_id: int) -> int:
    name, ticket = command.name, ctx.next_revision()
    waiter = Waiter(name, ticket, session_id, command.holder, command.ttl_ms, 0)
    tables.waiters.insert((name, ticket), waiter)
    tables.waiting[name, session_id, command.holder] = ticket
    tables.sessions.hold(session_id, LOCK_WAIT, (name, ticket))
    _set_leaving(ctx, waiter, command.wait_ms)
    return ticket


def _set_leaving(ctx: Context, waiter: Waiter, wait_ms: int) -> None:
    waiter.leaves_at_ms = ctx.now_ms + wait_ms
    ident = (waiter.lock, waiter.ticket)
    ctx.timers.arm(TimerKind.LOCK_WAIT, ident, waiter.leaves_at_ms)


def _drop_waiter(ctx: Context, tables: LockTables, waiter: Waiter) -> None:
    ident = (waiter.lock, waiter.ticket)
    tables.waiters.remove(ident)
    del tables.waiting[waiter.lock, waiter.session_id, waiter.holder]
    tables.sessions.let_go(waiter.session_id, LOCK_WAIT, ident)
    ctx.timers.disarm(TimerKind.LOCK_WAIT, ident)


def _queued(ctx: Context, tables: LockTables, name: str, ticket: int) -> LockReply:
    position = tables.waiters.rank((name, ticket)) - tables.waiters.rank((name, 0))
    return LockReply(False, 0, True, position, ctx.revision)


def _check_held(tables: LockTables, name: str, token: int) -> Rejected | None:
    lock = tables.locks.get(name)
    if lock is None:
        return refuse(Reason.LOCK_NOT_HELD, ("name", name))
    if lock.token != token:
        return stale_token(("lock", name), token, lock.token)
    return None


def pass_on_held(ctx: Context, tables: LockTables, name: str, why: SessionEnd) -> None:
    """The session of the owner ends."""
    pass_on(ctx, tables, name)


def end_held_wait(
    ctx: Context, tables: LockTables, ident: tuple[str, int], why: SessionEnd
) -> None:
    """The session of the waiter ends."""
    leave_queue(ctx, tables, *ident)


def end_wait(ctx: Context, tables: LockTables, ident: tuple[str, int]) -> None:
    """A wait, (lock, ticket), is over."""
    leave_queue(ctx, tables, *ident)


def settle_held(
    ctx: Context, tables: LockTables, command: ReleaseLock | RefreshLock, session_id: int
) -> None:
    """The lock that a holder names."""
    _settle_lock(ctx, tables, command.name)


def settle_contender(
    ctx: Context, tables: LockTables, command: AcquireLock | CancelLockWait, session_id: int
) -> None:
    """The lock that a contender names, and his wait for it."""
    _settle_lock(ctx, tables, command.name)
    ticket = tables.waiting.get((command.name, session_id, command.holder))
    if ticket is not None:
        _settle_wait(ctx, tables, command.name, ticket)


def _settle_lock(ctx: Context, tables: LockTables, name: str) -> None:
    """Every step takes a waiter from the queue, or ends."""
    while (lock := tables.locks.get(name)) is not None:
        over = 0 < lock.expires_at_ms <= ctx.now_ms
        if not over and is_open(ctx, tables.sessions, lock.session_id):
            return
        pass_on(ctx, tables, name)


def _settle_wait(ctx: Context, tables: LockTables, name: str, ticket: int) -> None:
    if tables.waiters[name, ticket].leaves_at_ms <= ctx.now_ms:
        leave_queue(ctx, tables, name, ticket)


def rebuild(ctx: Context, tables: LockTables) -> None:
    """What is derived from the rows of locks and of those who wait."""
    for lock in tables.locks.values():
        known_session(tables.sessions, lock.session_id)
        tables.sessions.hold(lock.session_id, LOCK, lock.name)
        if lock.expires_at_ms:
            ctx.timers.arm(TimerKind.LOCK, lock.name, lock.expires_at_ms)
    for ident, waiter in tables.waiters.items():
        known_session(tables.sessions, waiter.session_id)
        tables.sessions.hold(waiter.session_id, LOCK_WAIT, ident)
        tables.waiting[waiter.lock, waiter.session_id, waiter.holder] = waiter.ticket
        ctx.timers.arm(TimerKind.LOCK_WAIT, ident, waiter.leaves_at_ms)
