"""What the holder of a task does with its fencing token (heartbeat, complete, fail, release), and
what ends an attempt without it (lost lease, time-outs).

Items of a batch stand alone: each is checked and carried out before the next is looked at."""

from __future__ import annotations

from typing import Final
from zlib import crc32

from coord.core.base.context import Context
from coord.core.base.holdings import SessionEnd
from coord.core.base.refusal import Rejected, stale_token
from coord.core.base.request import EventKind
from coord.core.sizes import task_size
from coord.core.tasks.account import resize
from coord.core.tasks.causes import Cause, cause_of, note_cause, note_error
from coord.core.tasks.commands import (
    CompleteItem,
    CompleteTasks,
    FailItem,
    FailTasks,
    HeartbeatItem,
    HeartbeatTasks,
    ItemOutcome,
    ItemOutcomes,
    ReleaseItem,
    ReleaseTasks,
)
from coord.core.tasks.records import Lease, Task, serial_of
from coord.core.tasks.refusals import task_finished, task_not_claimed, task_not_found
from coord.core.tasks.states import COMPLETED, DEAD
from coord.core.tasks.tables import TaskTables
from coord.core.tasks.transitions import arm, finish, requeue

DEFAULT_MAX_LOST_LEASES: Final = 10
_RETURN_WINDOW_MS: Final = 500
_MAX_RETURN_WINDOW_MS: Final = 60_000
_MAX_REASON: Final = 1_024

TaskItem = HeartbeatItem | CompleteItem | FailItem | ReleaseItem


def heartbeat(ctx: Context, tables: TaskTables, command: HeartbeatTasks) -> ItemOutcomes:
    """Renews leases. Takes a revision only when it stores something with the task."""
    return ItemOutcomes(tuple([_heartbeat_item(ctx, tables, item) for item in command.items]))


def complete(ctx: Context, tables: TaskTables, command: CompleteTasks) -> ItemOutcomes:
    """Commits results."""
    return ItemOutcomes(tuple([_complete_item(ctx, tables, item) for item in command.items]))


def fail(ctx: Context, tables: TaskTables, command: FailTasks) -> ItemOutcomes:
    """Ends attempts with an error: another one after the backoff, or the dead letter."""
    return ItemOutcomes(tuple([_fail_item(ctx, tables, item) for item in command.items]))


def release(ctx: Context, tables: TaskTables, command: ReleaseTasks) -> ItemOutcomes:
    """Gives tasks back; the attempt does not count."""
    return ItemOutcomes(tuple([_release_item(ctx, tables, item) for item in command.items]))


def _heartbeat_item(ctx: Context, tables: TaskTables, item: HeartbeatItem) -> ItemOutcome:
    held = _held(tables, item)
    if isinstance(held, ItemOutcome):
        return held
    task, lease = held
    lease.expires_at_ms = ctx.now_ms + lease.ttl_ms
    if item.checkpoint is not None:
        task.checkpoint = item.checkpoint
        size = task_size(task, compact=False)
        resize(tables, tables.queues[task.queue], task, size)
    if item.progress_permille is not None:
        task.progress_permille = item.progress_permille
        if lease.progress_due_at_ms:
            lease.progress_due_at_ms = ctx.now_ms + task.options.progress_timeout_ms
    if item.checkpoint is not None or item.progress_permille is not None:
        task.mod_revision = ctx.next_revision()
    arm(ctx, task)
    return _done(task)


def _complete_item(ctx: Context, tables: TaskTables, item: CompleteItem) -> ItemOutcome:
    held = _held(tables, item)
    if isinstance(held, ItemOutcome):
        return held
    task, _ = held
    task.result = item.result
    finish(ctx, tables, tables.queues.edit(task.queue), task, COMPLETED)
    return _done(task)


def _fail_item(ctx: Context, tables: TaskTables, item: FailItem) -> ItemOutcome:
    held = _held(tables, item)
    if isinstance(held, ItemOutcome):
        return held
    task, _ = held
    note_error(task, item.error)
    _end_failed_attempt(ctx, tables, task, item.retryable, item.retry_after_ms)
    return _done(task)


def _release_item(ctx: Context, tables: TaskTables, item: ReleaseItem) -> ItemOutcome:
    held = _held(tables, item)
    if isinstance(held, ItemOutcome):
        return held
    task, lease = held
    task.attempt -= 1
    if item.reason and ctx.level >= 1:
        task.given_back = (lease.worker, item.reason[:_MAX_REASON], ctx.wall_ms)
    requeue(ctx, tables, tables.queues.edit(task.queue), task, item.delay_ms)
    return _done(task)


def _held(tables: TaskTables, item: TaskItem) -> tuple[Task, Lease] | ItemOutcome:
    """The task for edit and its lease, if the token is the current one; else the refusal."""
    serial = serial_of(item.task_id)
    task = tables.tasks.get(serial)
    if task is None:
        return ItemOutcome(0, 0, task_not_found(item.task_id))
    lease = task.lease
    if lease is not None and item.fencing_token == task.token:
        return tables.tasks.edit(serial), lease
    return ItemOutcome(int(task.state), task.mod_revision, _not_held(task, item.fencing_token))


def _not_held(task: Task, token: int) -> Rejected:
    if task.finished:
        return task_finished(task)
    if task.lease is not None:
        return stale_token(("task_id", task.task_id), token, task.token)
    if 0 < token <= task.token:
        return stale_token(("task_id", task.task_id), token, 0)
    return task_not_claimed(task, token)


def _done(task: Task) -> ItemOutcome:
    return ItemOutcome(int(task.state), task.mod_revision)


def _end_failed_attempt(
    ctx: Context,
    tables: TaskTables,
    task: Task,
    retryable: bool,
    retry_after_ms: int | None,
) -> None:
    queue = tables.queues.edit(task.queue)
    if not retryable or task.attempt >= attempts_allowed(ctx.level, task):
        finish(ctx, tables, queue, task, DEAD)
        return
    queue.retried_total += 1
    requeue(
        ctx, tables, queue, task, backoff_ms(task) if retry_after_ms is None else retry_after_ms
    )


def backoff_ms(task: Task) -> int:
    """Wait after attempt n: initial * multiplier^(n-1), at most max."""
    options = task.options
    delay_ms = options.backoff_initial_ms
    for _ in range(task.attempt - 1):
        longer_ms = delay_ms * options.backoff_multiplier_permille // 1_000
        if longer_ms == delay_ms or delay_ms >= options.backoff_max_ms:
            break
        delay_ms = longer_ms
    return min(delay_ms, options.backoff_max_ms)


def attempts_allowed(level: int, task: Task) -> int:
    """How many attempts there may be, as far as is known. From level 1 on, those that end with a
    lost lease come on top: they have a bound of their own."""
    most = task.options.max_attempts
    return most + task.lost_leases if level >= 1 else most


def lost_leases_allowed(task: Task) -> int:
    """With how many lost leases a task is dead, from level 1 on."""
    options = task.options
    return options.max_lost_leases or max(DEFAULT_MAX_LOST_LEASES, options.max_attempts)


def lose_held(ctx: Context, tables: TaskTables, serial: int, end: SessionEnd) -> None:
    """The session of the holder has ended."""
    lose_lease(ctx, tables, serial, cause_of(end))


def lose_lease(
    ctx: Context, tables: TaskTables, serial: int, cause: Cause, value_ms: int = 0
) -> None:
    """The holder is gone: back to the queue, or dead if it has taken too many with it.

    At level 0 a lost lease counts as an attempt, and the task is back at once."""
    task = tables.tasks.edit(serial)
    queue = tables.queues.edit(task.queue)
    token = task.token
    task.lost_leases += 1
    note_cause(ctx, task, cause, value_ms)
    queue.lost_leases_total += 1
    if ctx.level < 1:
        is_dead, delay_ms = task.attempt >= task.options.max_attempts, 0
    else:
        is_dead = task.lost_leases >= lost_leases_allowed(task)
        delay_ms = return_delay_ms(serial, task.lost_leases)
    if is_dead:
        finish(ctx, tables, queue, task, DEAD)
    else:
        queue.retried_total += 1
        requeue(ctx, tables, queue, task, delay_ms)
    ctx.emit(EventKind.TASK_LEASE_LOST, task.task_id, token)


def return_delay_ms(serial: int, lost_leases: int) -> int:
    """When a task is back whose worker was lost: within a window that doubles with each loss, so
    that the tasks of one dead worker neither come back in one moment nor together again."""
    window_ms = min(_RETURN_WINDOW_MS << min(lost_leases - 1, 16), _MAX_RETURN_WINDOW_MS)
    return crc32(f"{serial}:{lost_leases}".encode()) % window_ms


def time_out_attempt(
    ctx: Context, tables: TaskTables, serial: int, cause: Cause, value_ms: int
) -> None:
    """The holder took too long: a failed attempt, retried after the backoff."""
    task = tables.tasks.edit(serial)
    token = task.token
    note_cause(ctx, task, cause, value_ms)
    _end_failed_attempt(ctx, tables, task, retryable=True, retry_after_ms=None)
    ctx.emit(EventKind.TASK_LEASE_LOST, task.task_id, token)


def time_out_task(ctx: Context, tables: TaskTables, serial: int) -> None:
    """The total time-out is over: dead, whatever it was doing."""
    task = tables.tasks.edit(serial)
    held_with = task.token if task.lease is not None else 0
    note_cause(ctx, task, Cause.TOTAL_TIMEOUT, task.options.total_timeout_ms)
    finish(ctx, tables, tables.queues.edit(task.queue), task, DEAD)
    if held_with:
        ctx.emit(EventKind.TASK_LEASE_LOST, task.task_id, held_with)
