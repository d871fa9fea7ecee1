"""How much a queue may hold, and what happens when it holds that much.

A submit is accepted whole or refused whole, before anything is done: because a queue has used up a
quota of its own (QUOTA_EXCEEDED), because the cluster has (LIMIT_EXCEEDED), or because an
idempotency key is known for another task (IDEMPOTENCY_CONFLICT). Nothing that was accepted is
forgotten early to make room, unless the policy of the queue says so."""

from __future__ import annotations

from typing import Final

from coord.core.base.context import Context
from coord.core.base.refusal import Rejected, limit_exceeded, share_exceeded
from coord.core.base.shares import beyond_share, may_be_beyond
from coord.core.sizes import spec_size
from coord.core.tasks.commands import SubmitTasks, TaskSpec
from coord.core.tasks.digests import spec_digest
from coord.core.tasks.records import Queue, RetentionPolicy
from coord.core.tasks.refusals import being_deleted, idempotency_conflict, over_quota
from coord.core.tasks.retention import drop_early
from coord.core.tasks.tables import TaskTables

_DROPPED_AT_ONCE: Final = 4
_DROP_RESULTS_OLDEST: Final = RetentionPolicy.DROP_RESULTS_OLDEST
Digests = dict[tuple[str, str], int]  # of specs, by queue and idempotency key


class _Wanted:
    """What one submit wants of one queue."""

    __slots__ = ("counts_bytes", "queue", "size", "tasks")

    def __init__(self, queue: Queue | None) -> None:
        self.queue = queue
        self.counts_bytes = queue is not None and queue.quota_bytes > 0
        self.tasks = 0
        self.size = 0  # bytes, if the queue has a quota of them


def check_submit(ctx: Context, tables: TaskTables, command: SubmitTasks) -> Rejected | Digests:
    """Why no task of this submit is accepted, or the digests of the new ones that have a key."""
    if len(command.tasks) == 1 and not command.tasks[0].idempotency_key:
        return _check_one(ctx, tables, command.tasks[0]) or {}
    wanted: dict[str, _Wanted] = {}
    fresh: Digests = {}
    for position, spec in enumerate(command.tasks):
        need = wanted.get(spec.queue)
        if need is None:
            need = wanted[spec.queue] = _Wanted(tables.queues.get(spec.queue))
        if spec.idempotency_key:
            known = _look_up(tables, need.queue, fresh, spec, position)
            if isinstance(known, Rejected):
                return known
            if known:
                continue
        need.tasks += 1
        if need.counts_bytes:
            need.size += spec_size(spec.payload, spec.idempotency_key, spec.labels)
    new_queues = 0
    for need in wanted.values():
        if need.queue is None:
            new_queues += 1
        refused = (
            _check_room(ctx, tables, need.queue, need.tasks, need.size) if need.tasks else None
        )
        if refused is not None:
            return refused
    refused = check_new_queues(ctx, tables, new_queues) if new_queues else None
    return fresh if refused is None else refused


def _check_one(ctx: Context, tables: TaskTables, spec: TaskSpec) -> Rejected | None:
    """The same for the most frequent submit: one task without a key."""
    queue = tables.queues.get(spec.queue)
    if queue is None:
        return check_new_queues(ctx, tables, 1) or _check_room(ctx, tables, None, 1, 0)
    size = 0
    if queue.quota_bytes:
        size = spec_size(spec.payload, spec.idempotency_key, spec.labels)
    return _check_room(ctx, tables, queue, 1, size)


def check_new_queues(ctx: Context, tables: TaskTables, count: int) -> Rejected | None:
    """Why so many more queues are not made, or None."""
    limit = ctx.limits.max_queues
    return limit_exceeded("queues", limit) if len(tables.queues) + count > limit else None


def kept_tasks(queue: Queue) -> int:
    """Tasks of a queue, in whatever state."""
    unfinished = len(queue.ready) + len(queue.scheduled) + len(queue.claimed)
    return unfinished + len(queue.completed) + len(queue.dead) + len(queue.cancelled)


def full_by(queue: Queue) -> str:
    """Which quota of a queue is used up: "tasks", "bytes", or neither."""
    if queue.quota_tasks and kept_tasks(queue) >= queue.quota_tasks:
        return "tasks"
    return "bytes" if queue.quota_bytes and queue.size >= queue.quota_bytes else ""


def drop_surplus(ctx: Context, tables: TaskTables, queue: Queue) -> None:
    """Has some completed tasks go early, if a quota is exceeded and that is the policy. A few for
    each task that comes or ends, so that the work is bounded and the surplus, too."""
    if queue.policy is not _DROP_RESULTS_OLDEST:
        return
    for _ in range(_DROPPED_AT_ONCE):
        too_many = 0 < queue.quota_tasks < kept_tasks(queue)
        if not too_many and not 0 < queue.quota_bytes < queue.size:
            break
        if not drop_early(ctx, tables, queue):
            break


def _look_up(
    tables: TaskTables, queue: Queue | None, fresh: Digests, spec: TaskSpec, position: int
) -> Rejected | bool:
    """Whether the key of a spec names a task already, be it one before it in the same submit;
    refused if that is another task."""
    at = (spec.queue, spec.idempotency_key)
    digest = spec_digest(spec)
    serial = 0 if queue is None else queue.known_keys.get(spec.idempotency_key, 0)
    if serial:
        noted = _noted_digest(tables, serial)
        if not noted or noted == digest:
            return True
        return idempotency_conflict(position, spec.queue, spec.idempotency_key, serial)
    first = fresh.get(at, 0)
    if not first:
        fresh[at] = digest
        return False
    if first == digest:
        return True
    return idempotency_conflict(position, spec.queue, spec.idempotency_key, 0)


def _noted_digest(tables: TaskTables, serial: int) -> int:
    task = tables.tasks.get(serial)
    return tables.tombstones[serial].spec_digest if task is None else task.spec_digest


def _check_room(
    ctx: Context, tables: TaskTables, queue: Queue | None, tasks: int, size: int
) -> Rejected | None:
    limit, total = ctx.limits.max_tasks, len(tables.tasks) + len(tables.tombstones)
    if may_be_beyond(total + tasks, limit):
        own = 0 if queue is None else kept_tasks(queue) + queue.stones
        if beyond_share(own + tasks, total + tasks, limit):
            return share_exceeded("queue", own, "tasks", limit)
    if queue is None:
        return None
    if queue.deleting:
        return being_deleted(queue)
    if not queue.quota_tasks and not queue.quota_bytes:
        return None
    kept, held = kept_tasks(queue), queue.size
    if queue.policy is _DROP_RESULTS_OLDEST:
        kept -= len(queue.completed)
        held -= queue.completed_size
    if 0 < queue.quota_tasks < kept + tasks:
        return over_quota(queue, "tasks", queue.quota_tasks, kept)
    if 0 < queue.quota_bytes < held + size:
        return over_quota(queue, "bytes", queue.quota_bytes, held)
    return None
