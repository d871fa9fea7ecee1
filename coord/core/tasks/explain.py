"""Why a task is not running: the answer to what everybody asks."""

from __future__ import annotations

from typing import Final, NamedTuple

from coord.core.base.refusal import Rejected
from coord.core.state import State
from coord.core.tasks.attempts import attempts_allowed, lost_leases_allowed
from coord.core.tasks.causes import error_text, is_total_timeout
from coord.core.tasks.commands import TaskState
from coord.core.tasks.handlers import ahead_of
from coord.core.tasks.queries import TaskInfo, get_task
from coord.core.tasks.records import Queue, Task, serial_of
from coord.core.tasks.refusals import task_not_found

_SHOWN_STUCK: Final = 5


class Explanation(NamedTuple):
    """As coord.v1.ExplainTaskResponse shows it.

    `reasons`: FINISHED, RUNNING, BACKOFF, DELAYED, NOT_BEFORE, QUEUE_PAUSED, BEHIND, NO_WORKERS or
    NEXT; what stands first in the way comes first. For a dead task, FINISHED is followed by
    ATTEMPTS_USED, LOST_LEASES, PERMANENT_ERROR or TOTAL_TIMEOUT. A waiting task that a worker has
    given back with a reason has GIVEN_BACK; where handlers that do not end keep slots of its
    workers, it has STUCK_SLOTS."""

    state: TaskState
    summary: str
    reasons: tuple[str, ...]
    ahead: int
    ready_in_ms: int
    workers: int


def explain_task(state: State, task_id: str, now_ms: int = 0) -> Explanation | Rejected:
    """Why the task is where it is, or TASK_NOT_FOUND."""
    info = get_task(state, task_id, now_ms)
    task = state.tasks.get(serial_of(task_id))
    if isinstance(info, Rejected):
        return info
    if task is None:
        return task_not_found(task_id)
    queue = state.queues[task.queue]
    workers = sum(
        1 for one in state.sessions.values() if one.kind == "worker" and queue.name in one.queues
    )
    ahead = ahead_of(queue, task) if task.state is TaskState.READY else 0
    if task.finished:
        found = _finished(state.level, task)
    elif task.state is TaskState.CLAIMED:
        found = [_running(info, attempts_allowed(state.level, task))]
    else:
        found = _waiting(state, queue, task, info, ahead)
        if not workers:
            found.append(("NO_WORKERS", f"no worker session serves queue {queue.name!a}"))
        found += _stuck_workers(state, queue)
    reasons = tuple(reason for reason, _ in found)
    summary = f"Task {task_id}: {'; '.join(said for _, said in found)}."
    return Explanation(task.state, summary, reasons, ahead, info.ready_in_ms, workers)


def _stuck_workers(state: State, queue: Queue) -> list[tuple[str, str]]:
    """What is to be said of workers of the queue whose slots hang."""
    hanging = [
        one
        for one in state.sessions.values()
        if one.stuck and one.kind == "worker" and queue.name in one.queues
    ]
    if not hanging:
        return []
    slots = sum(one.slots for one in hanging)
    stuck = [task_id for one in hanging for task_id in one.stuck]
    some = ", ".join(stuck[:_SHOWN_STUCK])
    more = ", ..." if len(stuck) > _SHOWN_STUCK else ""
    said = f"handlers of {some}{more} do not end and keep {len(stuck)} of {slots} slots of "
    return [("STUCK_SLOTS", f"{said}{hanging[0].name!a}" + (" and others" if hanging[1:] else ""))]


def _finished(level: int, task: Task) -> list[tuple[str, str]]:
    if task.state is TaskState.COMPLETED:
        return [("FINISHED", "it is COMPLETED")]
    error = error_text(task).strip().partition("\n")[0][:200]
    if task.state is TaskState.CANCELLED:
        return [("FINISHED", f"it is CANCELLED ({error})" if error else "it is CANCELLED")]
    return [("FINISHED", "it is DEAD"), _cause_of_death(level, task, error)]


def _cause_of_death(level: int, task: Task, error: str) -> tuple[str, str]:
    most = attempts_allowed(level, task)
    lost = f", {task.lost_leases} of them with a lost lease" if task.lost_leases else ""
    tried = f"{task.attempt} of {most} attempts were made{lost}"
    last = f"the last error was: {error}" if error else "no error was told"
    if is_total_timeout(task):
        return "TOTAL_TIMEOUT", f"its {error}; {tried}"
    if level >= 1 and task.lost_leases >= lost_leases_allowed(task):
        return "LOST_LEASES", (
            f"{task.lost_leases} workers were lost while they held it, as many as it may take with"
            f" it ({tried}); {last}"
        )
    if task.attempt >= most:
        return "ATTEMPTS_USED", f"all attempts are used up ({tried}); {last}"
    return "PERMANENT_ERROR", f"its worker said that trying again is of no use ({tried}); {last}"


def _running(info: TaskInfo, most: int) -> tuple[str, str]:
    who = info.worker or f"session {info.session_id}"
    return (
        "RUNNING",
        f"attempt {info.attempt} of {most} is with {who}, "
        f"its lease ends in {info.lease_remaining_ms} ms",
    )


def _waiting(
    state: State, queue: Queue, task: Task, info: TaskInfo, ahead: int
) -> list[tuple[str, str]]:
    found = []
    if task.state is TaskState.SCHEDULED:
        found.append(_scheduled(state, task, info))
    if task.given_back is not None:
        found.append(_given_back(state, task.given_back))
    if queue.paused:
        found.append(("QUEUE_PAUSED", f"queue {queue.name!a} is paused"))
    if task.state is TaskState.READY:
        if ahead:
            found.append(("BEHIND", f"{ahead} tasks of its queue are handed out first"))
        elif not queue.paused:
            found.append(("NEXT", "it is the next one its queue hands out"))
    return found


def _given_back(state: State, given_back: tuple[str, str, int]) -> tuple[str, str]:
    worker, reason, at_wall_ms = given_back
    ago_s = max(0, state.wall_ms - at_wall_ms) // 1_000
    return "GIVEN_BACK", f"worker {worker or 'without a name'} gave it back {ago_s} s ago: {reason}"


def _scheduled(state: State, task: Task, info: TaskInfo) -> tuple[str, str]:
    if task.options.not_before_wall_ms > state.wall_ms:
        return "NOT_BEFORE", f"its calendar time comes in {info.ready_in_ms} ms"
    if error := error_text(task):
        tried = f"it waits {info.ready_in_ms} ms more after attempt {task.attempt} failed"
        return "BACKOFF", f"{tried} ({error[:200]})"
    return "DELAYED", f"its delay is over in {info.ready_in_ms} ms"
