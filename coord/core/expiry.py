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
from coord.core.locks.handlers import leave_queue, pass_on, settle_lock, settle_wait
from coord.core.sessions.handlers import end_session
from coord.core.sessions.liveness import SESSION_EXPIRED
from coord.core.state import State
from coord.core.tasks.commands import (
    CancelTask,
    CompleteTasks,
    FailTasks,
    HeartbeatTasks,
    ReleaseTasks,
    RetryTask,
    SubmitTasks,
)
from coord.core.tasks.expiry import settle_task, task_due
from coord.core.tasks.records import serial_of
from coord.core.tasks.retention import forget_due


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
                settle_task(state, serial_of(item.task_id))
        case CancelTask() | RetryTask():
            settle_task(state, serial_of(command.task_id))
        case SubmitTasks():
            for spec in command.tasks:
                queue = state.queues.get(spec.queue)
                if queue is not None and spec.idempotency_key in queue.known_keys:
                    settle_task(state, queue.known_keys[spec.idempotency_key])
        case ReleaseLock() | RefreshLock():
            settle_lock(state, command.name)
        case AcquireLock() | CancelLockWait():
            settle_lock(state, command.name)
            ticket = state.waiting.get((command.name, session_id, command.holder))
            if ticket is not None:
                settle_wait(state, command.name, ticket)
        case _:
            pass


def _expire(state: State, kind: TimerKind, ident: Ident) -> None:
    if kind is TimerKind.TASK:
        task_due(state, state.tasks[cast(int, ident)])
    elif kind is TimerKind.SESSION:
        end_session(state, cast(int, ident), SESSION_EXPIRED)
    elif kind is TimerKind.LOCK:
        pass_on(state, cast(str, ident))
    else:
        leave_queue(state, *cast(tuple[str, int], ident))
