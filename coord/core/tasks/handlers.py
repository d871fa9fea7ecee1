"""Task commands that name no attempt: submit, claim, cancel, retry, redrive, pause."""

from __future__ import annotations

from itertools import islice
from typing import Final

from coord.core.base.context import Context
from coord.core.base.refusal import Rejected, session_required
from coord.core.base.request import Done, EventKind, labels_of
from coord.core.tasks.attempts import time_out_task
from coord.core.tasks.causes import note_error
from coord.core.tasks.commands import (
    CancelTask,
    Claimed,
    ClaimTasks,
    PauseQueue,
    Redriven,
    RedriveQueue,
    RetryTask,
    SubmitTasks,
    Submitted,
    TaskChanged,
    TaskSpec,
)
from coord.core.tasks.quota import Digests, check_new_queues, check_submit, drop_surplus
from coord.core.tasks.records import (
    Lease,
    Queue,
    Redrive,
    Task,
    TaskOptions,
    rank_key,
    serial_of,
    serial_of_rank,
    task_id_of,
)
from coord.core.tasks.redriving import go_on_redriving
from coord.core.tasks.refusals import (
    being_redriven,
    queue_not_found,
    task_finished,
    task_not_finished,
    task_not_found,
)
from coord.core.tasks.states import CANCELLED, CLAIMED, DEAD, READY
from coord.core.tasks.tables import TaskTables
from coord.core.tasks.transitions import announce_ready, claim, finish, revive, wait_or_ready

_UNBOUNDED: Final = 1 << 62

DEFAULT_OPTIONS: Final = TaskOptions(
    max_attempts=3,
    backoff_initial_ms=1_000,
    backoff_max_ms=60_000,
    backoff_multiplier_permille=2_000,
    attempt_timeout_ms=0,
    progress_timeout_ms=0,
    total_timeout_ms=0,
    retention_ms=3_600_000,
    delay_ms=0,
    not_before_wall_ms=0,
)

# From level 1 on: no retention of its own, so what `coord.core.tasks.retention` says.
_DEFAULTS: Final = DEFAULT_OPTIONS._replace(retention_ms=0)


def submit(ctx: Context, tables: TaskTables, command: SubmitTasks) -> Rejected | Submitted:
    """Accepts every task of the batch, or none; each takes a revision, which is also its id."""
    digests: Digests = {}
    if ctx.level:
        checked = check_submit(ctx, tables, command)
        if isinstance(checked, Rejected):
            return checked
        digests = checked
    submitted = []
    for spec in command.tasks:
        queue = queue_for_edit(tables, spec.queue)
        known = queue.known_keys.get(spec.idempotency_key) if spec.idempotency_key else None
        if known is not None:
            submitted.append((task_id_of(known), known, True))
            continue
        digest = digests.get((spec.queue, spec.idempotency_key), 0) if digests else 0
        serial = _submit_one(ctx, tables, queue, spec, digest)
        submitted.append((task_id_of(serial), serial, False))
    return Submitted(tuple(submitted))


def queue_for_edit(tables: TaskTables, name: str) -> Queue:
    """The queue of that name; makes it if there is none."""
    if name in tables.queues:
        return tables.queues.edit(name)
    queue = Queue(name)
    tables.queues.insert(name, queue)
    return queue


def _submit_one(ctx: Context, tables: TaskTables, queue: Queue, spec: TaskSpec, digest: int) -> int:
    options = _options_of(ctx, tables, spec)
    now_ms = ctx.now_ms
    serial = ctx.revision + 1  # what `wait_or_ready` is about to take
    task = Task(
        serial,
        queue.name,
        spec.payload,
        spec.priority,
        tables.share(spec.type),
        spec.idempotency_key,
        tables.share(labels_of(spec.labels)) if spec.labels else (),
        options,
        now_ms,
        ctx.wall_ms,
        READY,
        serial,
        now_ms,
        now_ms,
        now_ms + options.total_timeout_ms if options.total_timeout_ms else 0,
    )
    task.spec_digest = digest
    tables.tasks.insert(serial, task)
    queue.submitted_total += 1
    if spec.idempotency_key:
        queue.known_keys[spec.idempotency_key] = serial
    wait_or_ready(ctx, tables, queue, task, now_ms + options.delay_ms)
    if ctx.level:
        drop_surplus(ctx, tables, queue)
    return serial


def _options_of(ctx: Context, tables: TaskTables, spec: TaskSpec) -> TaskOptions:
    default = _DEFAULTS if ctx.level else DEFAULT_OPTIONS
    if not (
        spec.max_attempts
        or spec.retention_ms
        or spec.delay_ms
        or spec.not_before_unix_ms
        or spec.total_timeout_ms
        or spec.attempt_timeout_ms
        or spec.progress_timeout_ms
        or spec.backoff_initial_ms
        or spec.backoff_max_ms
        or spec.backoff_multiplier_permille
        or spec.max_lost_leases
    ):
        return default
    initial_ms = spec.backoff_initial_ms or default.backoff_initial_ms
    options = TaskOptions(
        spec.max_attempts or default.max_attempts,
        initial_ms,
        spec.backoff_max_ms or max(default.backoff_max_ms, initial_ms),
        spec.backoff_multiplier_permille or default.backoff_multiplier_permille,
        spec.attempt_timeout_ms,
        spec.progress_timeout_ms,
        spec.total_timeout_ms,
        spec.retention_ms or default.retention_ms,
        spec.delay_ms,
        spec.not_before_unix_ms,
        min(spec.max_lost_leases, ctx.limits.max_attempts) if ctx.level >= 1 else 0,
    )
    return tables.share(options)


def claim_tasks(
    ctx: Context, tables: TaskTables, command: ClaimTasks, session_id: int
) -> Rejected | Claimed:
    """Hands out ready tasks: queues in the order named, within one by priority, then submission.
    From level 1 on, no more than fit into one answer, but always one."""
    if not session_id:
        return session_required("claiming")
    claimed: list[tuple[str, int, int, int]] = []
    worker = tables.share(command.worker)
    room = ctx.limits.max_claim_bytes if ctx.level >= 1 else _UNBOUNDED
    for name in command.queues:
        known = tables.queues.get(name)
        if known is None or known.paused or known.deleting:
            continue
        while known.ready and len(claimed) < command.max_tasks:
            task = tables.tasks[serial_of_rank(known.ready.first())]
            if 0 < task.dies_at_ms <= ctx.now_ms:
                if not ctx.expiries_left:
                    break  # what is overdue is never handed out: the next batch goes on
                ctx.expiries_left -= 1
                time_out_task(ctx, tables, task.serial)
                continue
            room -= len(task.payload) + len(task.checkpoint)
            if room < 0 and claimed:
                return Claimed(tuple(claimed))
            task = _take_first(tables, tables.queues.edit(name))
            lease = _new_lease(ctx, task, session_id, worker, command.lease_ttl_ms)
            token = claim(ctx, tables, known, task, lease)
            claimed.append((task_id_of(task.serial), token, task.attempt, command.lease_ttl_ms))
    return Claimed(tuple(claimed))


def _take_first(tables: TaskTables, queue: Queue) -> Task:
    task = tables.tasks.edit(serial_of_rank(queue.ready.pop_first()))
    queue.ready_uneven -= task.priority != 0
    return task


def _new_lease(ctx: Context, task: Task, session_id: int, worker: str, ttl_ms: int) -> Lease:
    now_ms, options = ctx.now_ms, task.options
    attempt_ms, progress_ms = options.attempt_timeout_ms, options.progress_timeout_ms
    return Lease(
        session_id,
        worker,
        ttl_ms,
        now_ms + ttl_ms,
        now_ms + attempt_ms if attempt_ms else 0,
        now_ms + progress_ms if progress_ms else 0,
    )


def cancel_task(ctx: Context, tables: TaskTables, command: CancelTask) -> Rejected | TaskChanged:
    """Ends an unfinished task; its holder's token is refused from now on. Cancelling a cancelled
    task is done already."""
    task = tables.tasks.get(serial_of(command.task_id))
    if task is None:
        return task_not_found(command.task_id)
    if task.state is CANCELLED:
        return _changed(task)
    if task.finished:
        return task_finished(task)
    task = tables.tasks.edit(task.serial)
    if command.reason:
        note_error(task, command.reason)
    held_with = task.token if task.state is CLAIMED else 0
    finish(ctx, tables, tables.queues.edit(task.queue), task, CANCELLED)
    if held_with:
        ctx.emit(EventKind.TASK_LEASE_LOST, task.task_id, held_with)
    return _changed(task)


def retry_task(ctx: Context, tables: TaskTables, command: RetryTask) -> Rejected | TaskChanged:
    """Puts one dead or cancelled task back in its queue with fresh attempts."""
    task = tables.tasks.get(serial_of(command.task_id))
    if task is None:
        return task_not_found(command.task_id)
    if not task.finished:
        return task_not_finished(task)
    if task.state not in {DEAD, CANCELLED}:
        return task_finished(task)
    task = tables.tasks.edit(task.serial)
    revive(ctx, tables, tables.queues.edit(task.queue), task)
    return _changed(task)


def redrive_queue(ctx: Context, tables: TaskTables, command: RedriveQueue) -> Rejected | Redriven:
    """Puts dead tasks of a queue back, in order of submission, up to the limit. From level 1 on,
    the following entries do what is too much for this one."""
    if command.queue not in tables.queues:
        return queue_not_found(command.queue)
    if ctx.level >= 1 and command.queue in tables.redrives:
        return being_redriven(command.queue)
    queue = tables.queues.edit(command.queue)
    serials = list(islice(queue.dead, command.limit))
    at_once = ctx.limits.max_redriven_at_once
    if ctx.level >= 1 and len(serials) > at_once:
        rest = Redrive(command.queue, serials[0], serials[-1], ctx.revision)
        tables.redrives.insert(command.queue, rest)
        go_on_redriving(ctx, tables, command.queue, at_once)
        return Redriven(len(serials), ctx.revision)
    for serial in serials:
        revive(ctx, tables, queue, tables.tasks.edit(serial))
    return Redriven(len(serials), ctx.revision)


def pause_queue(ctx: Context, tables: TaskTables, command: PauseQueue) -> Rejected | Done:
    """Stops or resumes handing out. Makes the queue, so that one can be paused before its start."""
    known = tables.queues.get(command.queue)
    if known is not None and known.paused == command.paused:
        return Done(ctx.revision)
    if known is None and ctx.level:
        refused = check_new_queues(ctx, tables, 1)
        if refused is not None:
            return refused
    queue = queue_for_edit(tables, command.queue)
    queue.paused = command.paused
    ctx.next_revision()
    if queue.ready:
        announce_ready(ctx, queue)
    return Done(ctx.revision)


def ahead_of(queue: Queue, task: Task) -> int:
    """How many ready tasks the queue hands out before this ready one."""
    return queue.ready.rank(rank_key(task.serial, task.priority))


def _changed(task: Task) -> TaskChanged:
    return TaskChanged(int(task.state), task.mod_revision)
