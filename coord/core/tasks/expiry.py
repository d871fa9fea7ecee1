"""What happens to a task by itself when time moves."""

from __future__ import annotations

from coord.core.base.timers import TimerKind
from coord.core.sessions.liveness import SESSION_EXPIRED as _SESSION_EXPIRED
from coord.core.sessions.liveness import is_open
from coord.core.state import State
from coord.core.tasks.attempts import lose_lease, time_out_attempt, time_out_task
from coord.core.tasks.records import Task
from coord.core.tasks.transitions import arm, forget, leave, wait_or_ready


def settle_task(state: State, serial: int) -> None:
    while (task := state.tasks.get(serial)) is not None:
        deadline = state.timers.deadline_of(TimerKind.TASK, serial)
        if deadline is not None and deadline <= state.now_ms:
            task_due(state, task)
        elif task.lease is not None and not is_open(state, task.lease.session_id):
            lose_lease(state, serial, _SESSION_EXPIRED)
        else:
            return


def task_due(state: State, task: Task) -> None:
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
