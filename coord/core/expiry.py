"""What ends or begins by itself when time moves: sessions, locks, waits, leases, time-outs, delays,
retention. Runs before the requests of a batch, in the order (deadline, kind, id).

One batch carries out so much and no more (`Limits.max_expiries_per_batch`), so that a hundred
thousand leases that end at one moment do not hold up a node; the ticker proposes further batches
while something is overdue. Nothing overdue is taken for valid meanwhile: before a request is
handled in a batch that left something over, whatever that request names is brought up to date.
"""

from __future__ import annotations

from typing import cast

from coord.core.base.timers import Ident, TimerKind
from coord.core.batch import Command
from coord.core.locks.commands import AcquireLock, CancelLockWait, RefreshLock, ReleaseLock
from coord.core.locks.handlers import leave_queue, pass_on
from coord.core.sessions.handlers import end_session, is_open
from coord.core.state import State
from coord.core.tasks.attempts import lose_lease, time_out_attempt, time_out_task
from coord.core.tasks.commands import (
    CancelTask,
    CompleteTasks,
    FailTasks,
    HeartbeatTasks,
    ReleaseTasks,
    RetryTask,
    SubmitTasks,
)
from coord.core.tasks.records import Task, serial_of
from coord.core.tasks.retention import forget_due
from coord.core.tasks.transitions import arm, forget, leave, wait_or_ready

_SESSION_EXPIRED = "session expired"


def expire_due(state: State) -> None:
    """Carries out what is due at the state's time, cluster time first, within the bounds of a
    batch."""
    while state.expiries_left and (due := state.timers.pop_due(state.now_ms)) is not None:
        state.expiries_left -= 1
        _expire(state, *due)
    while state.expiries_left and (due := state.wall_timers.pop_due(state.wall_ms)) is not None:
        state.expiries_left -= 1
        _expire(state, *due)
    if state.level:
        forget_due(state)


def settle_named(state: State, command: Command, session_id: int) -> None:
    """Carries out what is overdue of all that this request names, so that its handler sees nothing
    that has ended as valid. Sessions need nothing done: `is_open` looks at the time."""
    match command:
        case HeartbeatTasks() | CompleteTasks() | FailTasks() | ReleaseTasks():
            for item in command.items:
                _settle_task(state, serial_of(item.task_id))
        case CancelTask() | RetryTask():
            _settle_task(state, serial_of(command.task_id))
        case SubmitTasks():
            for spec in command.tasks:
                queue = state.queues.get(spec.queue)
                if queue is not None and spec.idempotency_key in queue.known_keys:
                    _settle_task(state, queue.known_keys[spec.idempotency_key])
        case ReleaseLock() | RefreshLock():
            _settle_lock(state, command.name)
        case AcquireLock() | CancelLockWait():
            _settle_lock(state, command.name)
            ticket = state.waiting.get((command.name, session_id, command.holder))
            if ticket is not None:
                _settle_wait(state, command.name, ticket)
        case _:
            pass


def _settle_task(state: State, serial: int) -> None:
    while (task := state.tasks.get(serial)) is not None:
        deadline = state.timers.deadline_of(TimerKind.TASK, serial)
        if deadline is not None and deadline <= state.now_ms:
            _task_due(state, task)
        elif task.lease is not None and not is_open(state, task.lease.session_id):
            lose_lease(state, serial, _SESSION_EXPIRED)
        else:
            return


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


def _expire(state: State, kind: TimerKind, ident: Ident) -> None:
    if kind is TimerKind.TASK:
        _task_due(state, state.tasks[cast(int, ident)])
    elif kind is TimerKind.SESSION:
        end_session(state, cast(int, ident), _SESSION_EXPIRED)
    elif kind is TimerKind.LOCK:
        pass_on(state, cast(str, ident))
    else:
        leave_queue(state, *cast(tuple[str, int], ident))


def _task_due(state: State, task: Task) -> None:
    """The strictest first: what kills the task before what ends one attempt."""
    now_ms, serial, options, lease = state.now_ms, task.serial, task.options, task.lease
    if task.finished:
        forget(state, serial)
    elif 0 < task.dies_at_ms <= now_ms:
        time_out_task(state, serial)
    elif lease is None:
        _time_has_come(state, task)
    elif 0 < lease.attempt_ends_at_ms <= now_ms:
        why = f"attempt time-out of {options.attempt_timeout_ms} ms is over"
        time_out_attempt(state, serial, why)
    elif 0 < lease.progress_due_at_ms <= now_ms:
        why = f"no progress for {options.progress_timeout_ms} ms"
        time_out_attempt(state, serial, why)
    else:
        lose_lease(state, serial, f"no heartbeat for {lease.ttl_ms} ms")


def _time_has_come(state: State, task: Task) -> None:
    """A scheduled task becomes ready once both its cluster time and its calendar time are here."""
    task = state.tasks.edit(task.serial)
    if task.options.not_before_wall_ms > state.wall_ms:
        task.ready_at_ms = 0
        arm(state, task)
        return
    queue = state.queues.edit(task.queue)
    leave(state, queue, task)
    wait_or_ready(state, queue, task, task.ready_at_ms)
