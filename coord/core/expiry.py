"""What ends or begins by itself when time moves: sessions, locks, waits, leases, time-outs, delays,
retention. Runs before the requests of a batch, in the order (deadline, kind, id)."""

from __future__ import annotations

from typing import cast

from coord.core.attempts import lose_lease, time_out_attempt, time_out_task
from coord.core.locks import leave_queue, pass_on
from coord.core.records import Task
from coord.core.sessions import end_session
from coord.core.state import State
from coord.core.task_states import arm, forget, leave, wait_or_ready
from coord.core.timers import Ident, TimerKind


def expire_due(state: State) -> None:
    """Carries out everything that is due at the state's time, cluster time first."""
    while (due := state.timers.pop_due(state.now_ms)) is not None:
        _expire(state, *due)
    while (due := state.wall_timers.pop_due(state.wall_ms)) is not None:
        _expire(state, *due)


def _expire(state: State, kind: TimerKind, ident: Ident) -> None:
    if kind is TimerKind.TASK:
        _task_due(state, state.tasks[cast(int, ident)])
    elif kind is TimerKind.SESSION:
        end_session(state, cast(int, ident), "session expired")
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
        time_out_task(state, serial, f"total time-out of {options.total_timeout_ms} ms is over")
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
    if task.ready_at_ms > state.now_ms or task.options.not_before_wall_ms > state.wall_ms:
        arm(state, task)
        return
    queue = state.queues.edit(task.queue)
    task = state.tasks.edit(task.serial)
    leave(state, queue, task)
    wait_or_ready(state, queue, task, task.ready_at_ms)
