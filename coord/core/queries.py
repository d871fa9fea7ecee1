"""Questions about the applied state. They change nothing that is replicated and cost about what
they return, whatever the state holds.

`now_ms` is the asker's estimate of cluster time: an idle cluster applies nothing, so the state's
own time may be older. All remaining times and ages are counted from the later of the two."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from heapq import merge, nsmallest
from itertools import islice
from typing import Final, NamedTuple

from coord.core.commands import TaskSpec
from coord.core.locks import waiters_of
from coord.core.reasons import Reason
from coord.core.records import (
    Labels,
    Lock,
    Queue,
    Session,
    Task,
    serial_of,
    serial_of_rank,
)
from coord.core.refusals import queue_not_found, task_not_found
from coord.core.replies import Rejected, TaskState
from coord.core.state import State
from coord.core.task_states import oldest_ready_since_ms

DEFAULT_LIST_ITEMS: Final = 100


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


class SessionInfo(NamedTuple):
    """A session as coord.v1.SessionInfo shows it."""

    session_id: int
    kind: str
    name: str
    labels: Labels
    queues: tuple[str, ...]
    slots: int
    ttl_ms: int
    remaining_ms: int
    tasks_held: int
    locks_held: int
    create_revision: int
    opened_unix_ms: int


class LockInfo(NamedTuple):
    """A lock as coord.v1.LockInfo shows it. `remaining_ms` 0: no TTL of its own.

    `waiters`: (session_id, holder), first come first."""

    name: str
    held: bool
    session_id: int
    holder: str
    fencing_token: int
    remaining_ms: int
    waiters: tuple[tuple[int, str], ...]


# ---- tasks


def get_task(state: State, task_id: str, now_ms: int = 0) -> TaskInfo | Rejected:
    """One task, or TASK_NOT_FOUND."""
    task = state.tasks.get(serial_of(task_id))
    return task_not_found(task_id) if task is None else _task_info(state, task, now_ms)


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
    after = serial_of(after_task_id)
    if after_task_id and not after:
        return Rejected(
            Reason.INVALID_ARGUMENT,
            f"after_task_id is {after_task_id!a}; it must be a task id or empty",
            (("field", "after_task_id"),),
        )
    if queue and queue not in state.queues:
        return queue_not_found(queue)
    count = _bounded(state, limit)
    serials = list(islice(_serials(state, queue, states, after, count + 1), count + 1))
    infos = (_task_info(state, state.tasks[serial], now_ms) for serial in serials[:count])
    return TaskPage(tuple(infos), len(serials) > count)


def _serials(
    state: State, queue: str, states: Collection[TaskState], after: int, enough: int
) -> Iterator[int]:
    if not queue and not states:
        return state.tasks.keys_between(after, inclusive=(False, False))
    queues: Iterable[Queue] = [state.queues[queue]] if queue else state.queues.values()
    wanted = [of for of in TaskState if not states or of in states]
    return merge(*(_serials_in(one, of, after, enough) for one in queues for of in wanted))


def _serials_in(queue: Queue, of: TaskState, after: int, enough: int) -> Iterable[int]:
    """Serials after `after`, ascending, at least `enough` of them if there are."""
    if of is TaskState.CLAIMED:
        return sorted(serial for serial in queue.claimed if serial > after)
    if of is TaskState.READY:
        if queue.ready_uneven:
            serials = (serial_of_rank(key) for key in queue.ready)
            return nsmallest(enough, (serial for serial in serials if serial > after))
        index = queue.ready
    elif of is TaskState.SCHEDULED:
        index = queue.scheduled
    elif of is TaskState.COMPLETED:
        index = queue.completed
    else:
        index = queue.dead if of is TaskState.DEAD else queue.cancelled
    return index.between(after, None, (False, False))


def _task_info(state: State, task: Task, now_ms: int) -> TaskInfo:
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
        last_error=task.last_error,
        ready_in_ms=_ready_in_ms(state, task, now_ms),
        submitted_unix_ms=task.submitted_wall_ms,
        finished_unix_ms=task.finished_wall_ms,
        lost_leases=task.lost_leases,
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
        retention_ms=options.retention_ms,
        labels=dict(task.labels),
    )


def _ready_in_ms(state: State, task: Task, now_ms: int) -> int:
    if task.state is not TaskState.SCHEDULED:
        return 0
    calendar_ms = task.options.not_before_wall_ms - state.wall_ms - (now_ms - state.now_ms)
    return max(0, task.ready_at_ms - now_ms, calendar_ms)


# ---- queues


def claimable(state: State, queues: Sequence[str]) -> bool:
    """Whether a claim on these queues would hand out something now."""
    for name in queues:
        queue = state.queues.get(name)
        if queue is not None and queue.ready and not queue.paused:
            return True
    return False


def list_queues(state: State, queue: str = "", now_ms: int = 0) -> tuple[QueueInfo, ...] | Rejected:
    """All queues by name, or the one named, or QUEUE_NOT_FOUND."""
    if not queue:
        return tuple(_queue_info(state, one, now_ms) for one in state.queues.values())
    known = state.queues.get(queue)
    return queue_not_found(queue) if known is None else (_queue_info(state, known, now_ms),)


def _queue_info(state: State, queue: Queue, now_ms: int) -> QueueInfo:
    oldest_ms = oldest_ready_since_ms(state, queue)
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
    )


# ---- sessions and locks


def list_sessions(
    state: State, kind: str = "", limit: int = 0, after_session_id: int = 0, now_ms: int = 0
) -> tuple[SessionInfo, ...]:
    """Open sessions by id; an empty kind takes all. `limit` 0: 100."""
    ids = state.sessions.keys_between(after_session_id, inclusive=(False, False))
    sessions = (state.sessions[session_id] for session_id in ids)
    sessions = (session for session in sessions if session.expires_at_ms > state.now_ms)
    wanted = (session for session in sessions if not kind or session.kind == kind)
    now_ms = max(now_ms, state.now_ms)
    return tuple(_session_info(one, now_ms) for one in islice(wanted, _bounded(state, limit)))


def _session_info(session: Session, now_ms: int) -> SessionInfo:
    return SessionInfo(
        session_id=session.session_id,
        kind=session.kind,
        name=session.name,
        labels=session.labels,
        queues=session.queues,
        slots=session.slots,
        ttl_ms=session.ttl_ms,
        remaining_ms=max(0, session.expires_at_ms - now_ms),
        tasks_held=len(session.tasks),
        locks_held=len(session.locks),
        create_revision=session.session_id,
        opened_unix_ms=session.opened_wall_ms,
    )


def get_lock(state: State, name: str, now_ms: int = 0) -> LockInfo:
    """Who holds a lock and who waits. A lock nobody holds is just free: it needs no making."""
    lock = state.locks.get(name)
    if lock is None:
        return LockInfo(name, False, 0, "", 0, 0, ())
    return _lock_info(state, lock, max(now_ms, state.now_ms))


def is_waiting(state: State, name: str, session_id: int, holder: str) -> bool:
    """Whether this contender is in the queue of the lock."""
    return (name, session_id, holder) in state.waiting


def list_locks(
    state: State, prefix: str = "", limit: int = 0, after_name: str = "", now_ms: int = 0
) -> tuple[LockInfo, ...]:
    """Held locks by name. `limit` 0: 100."""
    now_ms = max(now_ms, state.now_ms)
    found: list[LockInfo] = []
    low = max(prefix, after_name)
    for name in state.locks.keys_between(low):
        if not name.startswith(prefix) or len(found) == _bounded(state, limit):
            break
        if not after_name or name > after_name:
            found.append(_lock_info(state, state.locks[name], now_ms))
    return tuple(found)


def _lock_info(state: State, lock: Lock, now_ms: int) -> LockInfo:
    return LockInfo(
        name=lock.name,
        held=True,
        session_id=lock.session_id,
        holder=lock.holder,
        fencing_token=lock.token,
        remaining_ms=max(0, lock.expires_at_ms - now_ms),
        waiters=tuple((w.session_id, w.holder) for w in waiters_of(state, lock.name)),
    )


def _bounded(state: State, limit: int) -> int:
    return min(limit or DEFAULT_LIST_ITEMS, state.limits.max_list_items)
