"""What readers are told about tasks and queues."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from coord.core.base.paging import page_limit
from coord.core.base.refusal import Reason, Rejected
from coord.core.listing import Step, task_step
from coord.core.state import State
from coord.core.tasks.causes import error_text
from coord.core.tasks.commands import TaskSpec, TaskState
from coord.core.tasks.quota import full_by, kept_tasks
from coord.core.tasks.records import Queue, Task, serial_of
from coord.core.tasks.refusals import queue_not_found, task_forgotten, task_not_found
from coord.core.tasks.retention import is_compact, kept_ms
from coord.core.tasks.transitions import oldest_ready_since_ms


class TaskInfo(NamedTuple):
    """A task as coord.v1.TaskInfo shows it. `spec` has the defaults filled in."""

    task_id: str
    spec: TaskSpec
    state: TaskState
    attempt: int
    create_revision: int
    mod_revision: int
    fencing_token: int
    session_id: int
    worker: str
    lease_ttl_ms: int
    lease_remaining_ms: int
    checkpoint: bytes
    progress_permille: int
    result: bytes
    last_error: str
    ready_in_ms: int
    submitted_unix_ms: int
    finished_unix_ms: int
    lost_leases: int
    payload_dropped: bool


class TaskPage(NamedTuple):
    """`more`: there are tasks behind the last one."""

    tasks: tuple[TaskInfo, ...]
    more: bool


class QueueInfo(NamedTuple):
    """A queue as coord.v1.QueueInfo shows it."""

    queue: str
    paused: bool
    ready: int
    scheduled: int
    claimed: int
    submitted_total: int
    completed_total: int
    dead_total: int
    cancelled_total: int
    lost_leases_total: int
    retried_total: int
    dead: int
    oldest_ready_ms: int
    kept: int  # tasks in whatever state
    size_bytes: int
    tombstones: int
    forgotten_early_total: int
    quota_tasks: int
    quota_bytes: int
    policy: int  # a RetentionPolicy
    full_by: str  # "tasks", "bytes", or empty
    deleting: bool


def get_task(state: State, task_id: str, now_ms: int = 0) -> TaskInfo | Rejected:
    """One task, or TASK_NOT_FOUND."""
    serial = serial_of(task_id)
    task = state.tasks.get(serial)
    if task is not None:
        return task_info(state, task, now_ms)
    stone = state.tombstones.get(serial)
    return task_not_found(task_id) if stone is None else task_forgotten(stone)


def is_finished(state: State, task_id: str) -> bool | None:
    """Whether a task is at an end; None if it is not (or no longer) known."""
    task = state.tasks.get(serial_of(task_id))
    return None if task is None else task.finished


def list_tasks(
    state: State,
    queue: str = "",
    states: Collection[TaskState] = (),
    limit: int = 0,
    after_task_id: str = "",
    now_ms: int = 0,
) -> TaskPage | Rejected:
    """Tasks in order of submission; an empty filter takes all. `limit` 0: 100."""
    after = task_page_start(state, queue, after_task_id)
    if isinstance(after, Rejected):
        return after
    count = page_limit(state.limits, limit)
    serials: list[int] = []
    step = Step((), after, False)
    while not step.done and len(serials) <= count:
        step = task_step(state, queue, states, count + 1 - len(serials), step.after)
        serials += step.found
    infos = (task_info(state, state.tasks[serial], now_ms) for serial in serials[:count])
    return TaskPage(tuple(infos), len(serials) > count)


def task_page_start(state: State, queue: str, after_task_id: str) -> int | Rejected:
    """The serial behind which a page of tasks begins; refused if it is none, or the queue is not
    known."""
    after = serial_of(after_task_id)
    if after_task_id and not after:
        return Rejected(
            Reason.INVALID_ARGUMENT,
            f"after_task_id is {after_task_id!a}; it must be a task id or empty",
            (("field", "after_task_id"),),
        )
    if queue and queue not in state.queues:
        return queue_not_found(queue)
    return after


def task_info(state: State, task: Task, now_ms: int) -> TaskInfo:
    """A task as it is shown."""
    now_ms = max(now_ms, state.now_ms)
    lease = task.lease
    return TaskInfo(
        task_id=task.task_id,
        spec=_spec_of(task),
        state=task.state,
        attempt=task.attempt,
        create_revision=task.serial,
        mod_revision=task.mod_revision,
        fencing_token=task.token if lease else 0,
        session_id=lease.session_id if lease else 0,
        worker=lease.worker if lease else "",
        lease_ttl_ms=lease.ttl_ms if lease else 0,
        lease_remaining_ms=max(0, lease.expires_at_ms - now_ms) if lease else 0,
        checkpoint=task.checkpoint,
        progress_permille=task.progress_permille,
        result=task.result,
        last_error=error_text(task),
        ready_in_ms=_ready_in_ms(state, task, now_ms),
        submitted_unix_ms=task.submitted_wall_ms,
        finished_unix_ms=task.finished_wall_ms,
        lost_leases=task.lost_leases,
        payload_dropped=is_compact(state.ctx, task),
    )


def _spec_of(task: Task) -> TaskSpec:
    options = task.options
    return TaskSpec(
        queue=task.queue,
        payload=task.payload,
        priority=task.priority,
        idempotency_key=task.idempotency_key,
        type=task.type,
        delay_ms=options.delay_ms,
        not_before_unix_ms=options.not_before_wall_ms,
        max_attempts=options.max_attempts,
        backoff_initial_ms=options.backoff_initial_ms,
        backoff_max_ms=options.backoff_max_ms,
        backoff_multiplier_permille=options.backoff_multiplier_permille,
        attempt_timeout_ms=options.attempt_timeout_ms,
        progress_timeout_ms=options.progress_timeout_ms,
        total_timeout_ms=options.total_timeout_ms,
        retention_ms=options.retention_ms or kept_ms(task),
        labels=dict(task.labels),
        max_lost_leases=options.max_lost_leases,
    )


def _ready_in_ms(state: State, task: Task, now_ms: int) -> int:
    if task.state is not TaskState.SCHEDULED:
        return 0
    calendar_ms = task.options.not_before_wall_ms - state.wall_ms - (now_ms - state.now_ms)
    return max(0, task.ready_at_ms - now_ms, calendar_ms)


def claimable(state: State, queues: Sequence[str]) -> bool:
    """Whether a claim on these queues would hand out something now."""
    for name in queues:
        queue = state.queues.get(name)
        if queue is not None and queue.ready and not (queue.paused or queue.deleting):
            return True
    return False


def list_queues(state: State, queue: str = "", now_ms: int = 0) -> tuple[QueueInfo, ...] | Rejected:
    """All queues by name, or the one named, or QUEUE_NOT_FOUND."""
    if not queue:
        return tuple(queue_info(state, one, now_ms) for one in state.queues.values())
    known = state.queues.get(queue)
    return queue_not_found(queue) if known is None else (queue_info(state, known, now_ms),)


def queue_info(state: State, queue: Queue, now_ms: int) -> QueueInfo:
    """A queue and its figures."""
    oldest_ms = oldest_ready_since_ms(state.task_tables, queue)
    return QueueInfo(
        queue=queue.name,
        paused=queue.paused,
        ready=len(queue.ready),
        scheduled=len(queue.scheduled),
        claimed=len(queue.claimed),
        submitted_total=queue.submitted_total,
        completed_total=queue.completed_total,
        dead_total=queue.dead_total,
        cancelled_total=queue.cancelled_total,
        lost_leases_total=queue.lost_leases_total,
        retried_total=queue.retried_total,
        dead=len(queue.dead),
        oldest_ready_ms=0 if oldest_ms is None else max(now_ms, state.now_ms) - oldest_ms,
        kept=kept_tasks(queue),
        size_bytes=queue.size,
        tombstones=queue.stones,
        forgotten_early_total=queue.forgotten_early_total,
        quota_tasks=queue.quota_tasks,
        quota_bytes=queue.quota_bytes,
        policy=int(queue.policy),
        full_by=full_by(queue),
        deleting=queue.deleting,
    )
