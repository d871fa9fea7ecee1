"""What must hold of a state, and of the step from one state to the next.

`check_state` walks everything and is for tests, simulation and offline checks; `check_delta`
compares the marks of two moments. Both raise InvariantViolation. They read indexes and records
separately and trust neither."""

from __future__ import annotations

from collections.abc import Sized
from itertools import pairwise
from typing import Any, NamedTuple

from coord.core.base.invariants import invariant
from coord.core.base.timers import TimerKind
from coord.core.sessions.handlers import is_open
from coord.core.state import State
from coord.core.tasks.attempts import attempts_allowed
from coord.core.tasks.commands import TaskState
from coord.core.tasks.records import Queue, Task, rank_key
from coord.core.tasks.retention import is_compact, kept_ms
from coord.core.tasks.retention_checks import check_account, check_retained


def check_state(state: State) -> None:
    """Everything that holds between batches."""
    _check_sessions(state)
    _check_replies(state)
    _check_locks(state)
    _check_waiters(state)
    for task in state.tasks.values():
        _check_task(state, task)
        _check_lease(state, task)
    for queue in state.queues.values():
        _check_queue(state, queue)
        check_retained(state, queue)
    _check_finished(state)
    check_account(state)
    state.kv.check(state.level)


def _check_sessions(state: State) -> None:
    for session_id, session in state.sessions.items():
        where = session.session_id
        invariant(session_id == session.session_id <= state.revision, "session id", where)
        live = state.behind or session.expires_at_ms > state.now_ms
        invariant(live, "open session is not expired", where)
        armed = state.timers.deadline_of(TimerKind.SESSION, session_id)
        invariant(armed == session.expires_at_ms, "session timer", (where, armed))
        known = state.session_by_nonce.get(session.nonce)
        named = known == session_id or not is_open(state, session_id)
        invariant(named, "nonce names its session", (where, known))
        for serial in session.tasks:
            task = state.tasks.get(serial)
            held = task is not None and task.lease is not None
            invariant(held, "session holds a claimed task", (where, serial))
        for name in session.locks:
            lock = state.locks.get(name)
            owned = lock is not None and lock.session_id == session_id
            invariant(owned, "session owns its locks", (where, name))
        for ident in session.waits:
            invariant(ident in state.waiters, "session waits where it says", (where, ident))
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


def _check_locks(state: State) -> None:
    for name, lock in state.locks.items():
        invariant(name == lock.name and 0 < lock.token <= state.revision, "lock", lock)
        owner = state.sessions.get(lock.session_id)
        invariant(owner is not None and name in owner.locks, "owner of a lock is open", lock)
        armed = state.timers.deadline_of(TimerKind.LOCK, name)
        invariant((armed or 0) == lock.expires_at_ms, "lock timer", (lock, armed))
        live = not lock.ttl_ms or lock.expires_at_ms > state.now_ms or state.behind
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
        known = session is not None and ident in session.waits
        invariant(known, "session of a waiter is open", waiter)
        ticket = state.waiting.get((waiter.lock, *who))
        invariant(ticket == waiter.ticket, "a contender waits once", waiter)
        armed = state.timers.deadline_of(TimerKind.LOCK_WAIT, ident)
        invariant(armed == waiter.leaves_at_ms, "waiter timer", (waiter, armed))
        waits = state.behind or waiter.leaves_at_ms > state.now_ms
        invariant(waits, "wait is not over", waiter)
    invariant(len(state.waiting) == len(state.waiters), "every contender waits", state.waiting)


def _check_task(state: State, task: Task) -> None:
    where = (task.task_id, task.state)
    options = task.options
    invariant(0 < task.serial <= task.mod_revision <= state.revision, "task revisions", where)
    most = attempts_allowed(state.level, task)
    invariant(0 <= task.attempt <= most, "attempts are bounded", where)
    if state.level < 1:
        invariant(not options.max_lost_leases, "level 0 knows no bound of lost leases", where)
        invariant(task.given_back is None, "level 0 knows no reasons", where)
    invariant(task.token <= task.mod_revision, "token is a past revision", where)
    invariant(task.since_ms <= state.now_ms, "state was entered in the past", where)
    queue = state.queues.get(task.queue)
    invariant(queue is not None, "queue of a task exists", where)
    if queue is not None:
        invariant(_is_indexed(queue, task), "task is in the index of its state", where)
        if task.idempotency_key:
            known = queue.known_keys.get(task.idempotency_key)
            invariant(known == task.serial, "idempotency key names its task", where)
    if task.dies_at_ms and not task.finished:
        lives = state.behind or task.dies_at_ms > state.now_ms
        invariant(lives, "total time-out is not over", where)
    if task.state is TaskState.SCHEDULED:
        _check_scheduled(state, task)
    elif is_compact(state, task):
        armed = state.timers.deadline_of(TimerKind.TASK, task.serial)
        invariant(armed is None and not task.payload, "completed task is compact", where)
    elif task.finished:
        armed = state.timers.deadline_of(TimerKind.TASK, task.serial)
        due = task.since_ms + kept_ms(task)
        invariant(armed == due, "retention timer", (where, armed))
        kept = state.behind or due > state.now_ms
        invariant(kept, "retention is not over", where)


def _check_scheduled(state: State, task: Task) -> None:
    calendar = task.options.not_before_wall_ms
    if task.ready_at_ms:
        armed = state.timers.deadline_of(TimerKind.TASK, task.serial)
        in_time = armed is not None and armed <= task.ready_at_ms
        invariant(in_time, "scheduled task has a timer", (task.task_id, armed))
        waits = state.behind or (armed or 0) > state.now_ms
        invariant(waits, "scheduled task is not ready", (task.task_id, armed))
    else:
        armed = state.wall_timers.deadline_of(TimerKind.TASK, task.serial)
        invariant(armed == calendar > 0, "task waits for its calendar time", (task.task_id, armed))


def _check_lease(state: State, task: Task) -> None:
    lease = task.lease
    where = (task.task_id, task.state, lease)
    invariant((lease is not None) == (task.state is TaskState.CLAIMED), "lease = claimed", where)
    if lease is None:
        return
    session = state.sessions.get(lease.session_id)
    held = session is not None and task.serial in session.tasks
    invariant(held, "claimed task is held by an open session", where)
    ends = [lease.expires_at_ms, lease.attempt_ends_at_ms, lease.progress_due_at_ms]
    deadline = min(at for at in [*ends, task.dies_at_ms] if at)
    invariant(state.behind or deadline > state.now_ms, "lease is not over", where)
    armed = state.timers.deadline_of(TimerKind.TASK, task.serial)
    invariant(armed == deadline, "lease timer", (where, armed))
    invariant(task.attempt > 0 and task.token > 0, "a claim is an attempt", where)


def _is_indexed(queue: Queue, task: Task) -> bool:
    indexes: dict[TaskState, Any] = {
        TaskState.SCHEDULED: queue.scheduled,
        TaskState.CLAIMED: queue.claimed,
        TaskState.COMPLETED: queue.completed,
        TaskState.DEAD: queue.dead,
        TaskState.CANCELLED: queue.cancelled,
    }
    if task.state is TaskState.READY:
        return rank_key(task.serial, task.priority) in queue.ready
    return task.serial in indexes[task.state]


def _check_queue(state: State, queue: Queue) -> None:
    own = [task for task in state.tasks.values() if task.queue == queue.name]
    indexes: list[Sized] = [queue.ready, queue.scheduled, queue.claimed]
    indexes += [queue.completed, queue.dead, queue.cancelled]
    invariant(sum(map(len, indexes)) == len(own), "every index entry has its task", queue.name)
    uneven = sum(1 for task in own if task.state is TaskState.READY and task.priority)
    invariant(uneven == queue.ready_uneven, "count of priorities", (queue.name, uneven))
    keyed = sum(1 for task in own if task.idempotency_key) + queue.stones
    invariant(keyed == len(queue.known_keys), "every key has its task", queue.name)
    unfinished = len(queue.ready) + len(queue.scheduled) + len(queue.claimed)
    invariant(unfinished <= queue.submitted_total, "submitted total", queue.name)
    invariant(len(queue.completed) <= queue.completed_total, "completed total", queue.name)
    invariant(len(queue.dead) <= queue.dead_total, "dead total", queue.name)
    invariant(len(queue.cancelled) <= queue.cancelled_total, "cancelled total", queue.name)


def _check_finished(state: State) -> None:
    finished = [
        task for task in state.tasks.values() if task.finished and not is_compact(state, task)
    ]
    by_end = [task.serial for task in sorted(finished, key=lambda task: task.mod_revision)]
    invariant(by_end == list(state.finished), "finished tasks are in order of their end", by_end)
    limit = state.limits.max_finished_tasks
    invariant(state.level > 0 or len(by_end) <= limit, "finished tasks are bounded", len(by_end))


class Marks(NamedTuple):
    """What `check_delta` needs to remember of an earlier state."""

    revision: int
    now_ms: int
    tasks: dict[int, tuple[TaskState, int, int, bytes]]
    locks: dict[str, tuple[int, str, int]]
    totals: dict[str, tuple[int, ...]]


def mark(state: State) -> Marks:
    """The marks of a state; costs a walk over it."""
    return Marks(
        state.revision,
        state.now_ms,
        {t.serial: (t.state, t.mod_revision, t.token, t.result) for t in state.tasks.values()},
        {k.name: (k.session_id, k.holder, k.token) for k in state.locks.values()},
        {q.name: _totals(q) for q in state.queues.values()},
    )


def check_delta(before: Marks, state: State) -> None:
    """What one batch, or any number of them, can do to a state."""
    after = mark(state)
    invariant(before.revision <= after.revision, "revision does not go back", after.revision)
    invariant(before.now_ms <= after.now_ms, "cluster time does not go back", after.now_ms)
    for serial, (was, mod, token, result) in before.tasks.items():
        if serial not in after.tasks:
            continue
        now_is, now_mod, now_token, now_result = after.tasks[serial]
        where = (serial, was, now_is)
        invariant(mod <= now_mod, "task revision does not go back", where)
        invariant(token <= now_token, "task token does not go back", where)
        invariant((was is now_is) or mod < now_mod, "a transition takes a revision", where)
        if was is TaskState.COMPLETED:
            same = now_is is was and (now_mod, now_result) == (mod, result)
            invariant(same, "a completed task does not change", where)
    for name, (session_id, holder, token) in before.locks.items():
        if name in after.locks:
            *now_who, now_token = after.locks[name]
            where_lock = (name, token, now_token)
            invariant(token <= now_token, "lock token does not go back", where_lock)
            same_owner = now_who == [session_id, holder]
            invariant(same_owner or token < now_token, "new owner, new token", where_lock)
    for name, totals in before.totals.items():
        if name not in after.totals:
            continue  # the queue was deleted
        grown = all(a <= b for a, b in zip(totals, after.totals[name], strict=True))
        invariant(grown, "queue totals do not decrease", name)


def _totals(queue: Queue) -> tuple[int, ...]:
    return (
        queue.submitted_total,
        queue.completed_total,
        queue.dead_total,
        queue.cancelled_total,
        queue.lost_leases_total,
        queue.retried_total,
    )
