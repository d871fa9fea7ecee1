"""Settings of a queue, and its end."""

from __future__ import annotations

from itertools import islice

from coord.core.base.context import Context
from coord.core.base.refusal import Rejected
from coord.core.base.request import Done, EventKind
from coord.core.tasks.causes import Cause, note_cause
from coord.core.tasks.commands import DeleteQueue, QueueDeleted, SetQueue
from coord.core.tasks.quota import check_new_queues, kept_tasks
from coord.core.tasks.records import Queue, RetentionPolicy, serial_of_rank
from coord.core.tasks.refusals import being_deleted, queue_not_empty, queue_not_found
from coord.core.tasks.retention import arm_line, drop_first_stone, forget_first
from coord.core.tasks.states import CANCELLED, CLAIMED
from coord.core.tasks.tables import TaskTables
from coord.core.tasks.transitions import finish, forget


def set_queue(ctx: Context, tables: TaskTables, command: SetQueue) -> Rejected | Done:
    """Sets what is given and leaves the rest. Makes the queue, so that one can have its quotas
    before its first task."""
    known = tables.queues.get(command.queue)
    if known is None:
        refused = check_new_queues(ctx, tables, 1)
        if refused is not None:
            return refused
        known = Queue(command.queue)
        tables.queues.insert(command.queue, known)
    elif known.deleting:
        return being_deleted(known)
    queue = tables.queues.edit(command.queue)
    if command.quota_tasks is not None:
        queue.quota_tasks = command.quota_tasks
    if command.quota_bytes is not None:
        queue.quota_bytes = command.quota_bytes
    if command.policy:
        queue.policy = RetentionPolicy(command.policy)
    return Done(ctx.next_revision())


def delete_queue(ctx: Context, tables: TaskTables, command: DeleteQueue) -> Rejected | QueueDeleted:
    """Takes up to `limit` tasks, or what is left of them, out of a queue, and the queue itself once
    there are no more. From the first call on it takes and hands out nothing."""
    queue = tables.queues.get(command.queue)
    if queue is None:
        return queue_not_found(command.queue)
    unfinished = len(queue.ready) + len(queue.scheduled) + len(queue.claimed)
    if unfinished and not command.force:
        return queue_not_empty(queue, unfinished)
    queue = tables.queues.edit(command.queue)
    queue.deleting = True
    ctx.next_revision()
    deleted = _cancel_some(ctx, tables, queue, command.limit)
    deleted += _forget_ended(ctx, tables, queue, command.limit - deleted)
    deleted += _forget_completed(ctx, tables, queue, command.limit - deleted)
    remaining = kept_tasks(queue) + queue.stones
    if not remaining:
        tables.queues.remove(queue.name)
    return QueueDeleted(deleted, remaining, ctx.revision)


def _cancel_some(ctx: Context, tables: TaskTables, queue: Queue, at_most: int) -> int:
    """Ends unfinished tasks and forgets them, those that run last."""
    serials = [serial_of_rank(key) for key in islice(queue.ready, at_most)]
    serials += islice(queue.scheduled, at_most - len(serials))
    if len(serials) < at_most and queue.claimed:
        serials += sorted(queue.claimed)[: at_most - len(serials)]
    for serial in serials:
        task = tables.tasks.edit(serial)
        held_with = task.token if task.state is CLAIMED else 0
        note_cause(ctx, task, Cause.QUEUE_DELETED)
        finish(ctx, tables, queue, task, CANCELLED)
        if held_with:
            ctx.emit(EventKind.TASK_LEASE_LOST, task.task_id, held_with)
        forget(ctx, tables, serial)
    return len(serials)


def _forget_ended(ctx: Context, tables: TaskTables, queue: Queue, at_most: int) -> int:
    """The dead, the cancelled, and what completed at level 0."""
    serials = list(islice(queue.dead, at_most))
    serials += islice(queue.cancelled, at_most - len(serials))
    retained = sum(len(line.rows) for line in queue.retained.values())
    if len(serials) < at_most and len(queue.completed) > retained:
        old = (serial for serial in queue.completed if serial in tables.finished)
        serials += islice(old, at_most - len(serials))
    for serial in serials:
        forget(ctx, tables, serial)
    return len(serials)


def _forget_completed(ctx: Context, tables: TaskTables, queue: Queue, at_most: int) -> int:
    done = 0
    for retention_ms in sorted(queue.retained):  # a restored node has them in another order
        line = queue.retained[retention_ms]
        while line.rows and done < at_most:
            forget_first(tables, queue, line, leave_stone=False, early=False)
            done += 1
        while line.stones and done < at_most:
            drop_first_stone(tables, queue, line)
            done += 1
        arm_line(ctx, tables, queue, retention_ms)
    return done
