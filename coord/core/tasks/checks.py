"""Invariants of tasks and queues."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from coord.core.base.holdings import TASK
from coord.core.base.invariants import invariant
from coord.core.base.timers import TimerKind
from coord.core.sessions.tables import held_by
from coord.core.state import State
from coord.core.tasks.attempts import attempts_allowed
from coord.core.tasks.commands import TaskState
from coord.core.tasks.records import Queue, Task, rank_key
from coord.core.tasks.retention import is_compact, kept_ms
from coord.core.tasks.retention_checks import check_account, check_retained


def check(state: State) -> None:
    """Invariants; raises InvariantViolation."""
    for task in state.tasks.values():
        _check_task(state, task)
        _check_lease(state, task)
    for queue in state.queues.values():
        _check_queue(state, queue)
        check_retained(state, queue)
    for session_id, session in state.sessions.items():
        for serial in held_by(session, TASK):
            held = serial in state.tasks and state.tasks[serial].lease is not None
            invariant(held, "session holds a claimed task", (session_id, serial))
    _check_finished(state)
    check_account(state)


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
        lives = state.ctx.behind or task.dies_at_ms > state.now_ms
        invariant(lives, "total time-out is not over", where)
    if task.state is TaskState.SCHEDULED:
        _check_scheduled(state, task)
    elif is_compact(state.ctx, task):
        armed = state.ctx.timers.deadline_of(TimerKind.TASK, task.serial)
        invariant(armed is None and not task.payload, "completed task is compact", where)
    elif task.finished:
        armed = state.ctx.timers.deadline_of(TimerKind.TASK, task.serial)
        due = task.since_ms + kept_ms(task)
        invariant(armed == due, "retention timer", (where, armed))
        kept = state.ctx.behind or due > state.now_ms
        invariant(kept, "retention is not over", where)


def _check_scheduled(state: State, task: Task) -> None:
    calendar = task.options.not_before_wall_ms
    if task.ready_at_ms:
        armed = state.ctx.timers.deadline_of(TimerKind.TASK, task.serial)
        in_time = armed is not None and armed <= task.ready_at_ms
        invariant(in_time, "scheduled task has a timer", (task.task_id, armed))
        waits = state.ctx.behind or (armed or 0) > state.now_ms
        invariant(waits, "scheduled task is not ready", (task.task_id, armed))
    else:
        armed = state.ctx.wall_timers.deadline_of(TimerKind.TASK, task.serial)
        invariant(armed == calendar > 0, "task waits for its calendar time", (task.task_id, armed))


def _check_lease(state: State, task: Task) -> None:
    lease = task.lease
    where = (task.task_id, task.state, lease)
    invariant((lease is not None) == (task.state is TaskState.CLAIMED), "lease = claimed", where)
    if lease is None:
        return
    session = state.sessions.get(lease.session_id)
    held = session is not None and task.serial in held_by(session, TASK)
    invariant(held, "claimed task is held by an open session", where)
    ends = [lease.expires_at_ms, lease.attempt_ends_at_ms, lease.progress_due_at_ms]
    deadline = min(at for at in [*ends, task.dies_at_ms] if at)
    invariant(state.ctx.behind or deadline > state.now_ms, "lease is not over", where)
    armed = state.ctx.timers.deadline_of(TimerKind.TASK, task.serial)
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
        task for task in state.tasks.values() if task.finished and not is_compact(state.ctx, task)
    ]
    by_end = [task.serial for task in sorted(finished, key=lambda task: task.mod_revision)]
    invariant(by_end == list(state.finished), "finished tasks are in order of their end", by_end)
    limit = state.limits.max_finished_tasks
    invariant(state.level > 0 or len(by_end) <= limit, "finished tasks are bounded", len(by_end))
