"""What happens to a task by itself when time moves."""

from __future__ import annotations

from coord.core.base.context import Context
from coord.core.base.timers import TimerKind
from coord.core.sessions.liveness import is_open
from coord.core.tasks.attempts import lose_lease, time_out_attempt, time_out_task
from coord.core.tasks.causes import Cause
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
from coord.core.tasks.tables import TaskTables
from coord.core.tasks.transitions import arm, forget, leave, wait_or_ready


def expire_task(ctx: Context, tables: TaskTables, serial: int) -> None:
    """The timer of a task has run out."""
    _task_due(ctx, tables, tables.tasks[serial])


def settle_held(
    ctx: Context,
    tables: TaskTables,
    command: HeartbeatTasks | CompleteTasks | FailTasks | ReleaseTasks,
    session_id: int,
) -> None:
    """The tasks that their holder names."""
    for item in command.items:
        _settle_task(ctx, tables, serial_of(item.task_id))


def settle_named(
    ctx: Context, tables: TaskTables, command: CancelTask | RetryTask, session_id: int
) -> None:
    """The task of the command."""
    _settle_task(ctx, tables, serial_of(command.task_id))


def settle_known(ctx: Context, tables: TaskTables, command: SubmitTasks, session_id: int) -> None:
    """The tasks whose idempotency keys are submitted again."""
    for spec in command.tasks:
        queue = tables.queues.get(spec.queue)
        if queue is not None and spec.idempotency_key in queue.known_keys:
            _settle_task(ctx, tables, queue.known_keys[spec.idempotency_key])


def _settle_task(ctx: Context, tables: TaskTables, serial: int) -> None:
    while (task := tables.tasks.get(serial)) is not None:
        deadline = ctx.timers.deadline_of(TimerKind.TASK, serial)
        if deadline is not None and deadline <= ctx.now_ms:
            _task_due(ctx, tables, task)
        elif task.lease is not None and not is_open(ctx, tables.sessions, task.lease.session_id):
            lose_lease(ctx, tables, serial, Cause.SESSION_EXPIRED)
        else:
            return


def _task_due(ctx: Context, tables: TaskTables, task: Task) -> None:
    """The strictest first: what kills the task before what ends one attempt."""
    now_ms, serial, options, lease = ctx.now_ms, task.serial, task.options, task.lease
    if task.finished:
        forget(ctx, tables, serial)
    elif 0 < task.dies_at_ms <= now_ms:
        time_out_task(ctx, tables, serial)
    elif lease is None:
        _time_has_come(ctx, tables, task)
    elif 0 < lease.attempt_ends_at_ms <= now_ms:
        time_out_attempt(ctx, tables, serial, Cause.ATTEMPT_TIMEOUT, options.attempt_timeout_ms)
    elif 0 < lease.progress_due_at_ms <= now_ms:
        time_out_attempt(ctx, tables, serial, Cause.NO_PROGRESS, options.progress_timeout_ms)
    else:
        lose_lease(ctx, tables, serial, Cause.NO_HEARTBEAT, lease.ttl_ms)


def _time_has_come(ctx: Context, tables: TaskTables, task: Task) -> None:
    """A scheduled task becomes ready once both its cluster time and its calendar time are here."""
    task = tables.tasks.edit(task.serial)
    if task.options.not_before_wall_ms > ctx.wall_ms:
        task.ready_at_ms = 0
        arm(ctx, task)
        return
    queue = tables.queues.edit(task.queue)
    leave(tables, queue, task)
    wait_or_ready(ctx, tables, queue, task, task.ready_at_ms)
