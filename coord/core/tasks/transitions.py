"""The transitions of a task (`coord.core.tasks.states`): steps that cannot fail, taken after
everything was checked.

Every transition takes the next revision, moves the task between the indexes of its queue, and sets
its one timer anew. `task` and `queue` come from `edit`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from coord.core.base.context import Context
from coord.core.base.holdings import TASK
from coord.core.base.invariants import InvariantViolation, invariant
from coord.core.base.request import EventKind
from coord.core.base.sorted_keys import SortedKeys
from coord.core.base.timers import TimerKind
from coord.core.sessions.liveness import known_session
from coord.core.sizes import task_size
from coord.core.tasks import retention
from coord.core.tasks.account import add_size, resize
from coord.core.tasks.commands import TaskState
from coord.core.tasks.quota import drop_surplus
from coord.core.tasks.records import Lease, Queue, Task, rank_key, task_id_of
from coord.core.tasks.retention import is_compact, keep_completed, kept_ms, line_of
from coord.core.tasks.states import CANCELLED, CLAIMED, COMPLETED, DEAD, READY, SCHEDULED
from coord.core.tasks.tables import TaskTables

_TASK: Final = TimerKind.TASK
_TASK_FINISHED: Final = EventKind.TASK_FINISHED
_TASK_READY: Final = EventKind.TASK_READY

_ARRIVALS_SLACK: Final = 64
_TRIMMED_AT_ONCE: Final = 8  # more than one, so that trimming ends while more arrive


def wait_or_ready(
    ctx: Context, tables: TaskTables, queue: Queue, task: Task, ready_at_ms: int
) -> None:
    """To READY, or to SCHEDULED if its time (cluster or calendar) has not come.

    The task is in no index: it is new, or `leave` was called."""
    task.ready_at_ms = ready_at_ms
    task.since_ms = ctx.now_ms
    task.mod_revision = ctx.next_revision()
    if ready_at_ms > ctx.now_ms:
        task.state = SCHEDULED
    elif task.options.not_before_wall_ms > ctx.wall_ms:
        task.state = SCHEDULED
        task.ready_at_ms = 0
    else:
        task.state = READY
    enter(tables, queue, task)
    arm(ctx, task)
    resize(tables, queue, task, task_size(task, compact=False))
    if task.state is READY:
        announce_ready(ctx, queue)


def announce_ready(ctx: Context, queue: Queue) -> None:
    """Tells those who wait for tasks, once per queue and batch: it says "look again", not how
    many there are."""
    if not queue.paused and not queue.deleting:
        ctx.announce(_TASK_READY, queue.name)


def claim(ctx: Context, tables: TaskTables, queue: Queue, task: Task, lease: Lease) -> int:
    """READY to CLAIMED; gives the fencing token. The caller took it out of `queue.ready`."""
    token = ctx.next_revision()
    task.state = CLAIMED
    task.token = task.mod_revision = token
    task.since_ms = ctx.now_ms
    task.attempt += 1
    task.progress_permille = 0
    task.given_back = None
    task.lease = lease
    queue.claimed.add(task.serial)
    tables.sessions.hold(lease.session_id, TASK, task.serial)
    arm(ctx, task)
    # One arrival becomes outdated and up to two go, so that no reader finds very many of them.
    _drop_outdated(tables, queue, 2)
    return token


def finish(ctx: Context, tables: TaskTables, queue: Queue, task: Task, end: TaskState) -> None:
    """To COMPLETED, DEAD or CANCELLED, from any unfinished state."""
    leave(tables, queue, task)
    task.state = end
    task.mod_revision = ctx.next_revision()
    task.since_ms = ctx.now_ms
    task.finished_wall_ms = ctx.wall_ms
    if end is COMPLETED:
        queue.completed_total += 1
    elif end is DEAD:
        queue.dead_total += 1
    elif end is CANCELLED:
        queue.cancelled_total += 1
    else:
        raise InvariantViolation("a task ends in a final state", (task.serial, end))
    enter(tables, queue, task)
    if is_compact(ctx, task):
        keep_completed(ctx, tables, queue, task)
        drop_surplus(ctx, tables, queue)
    else:
        resize(tables, queue, task, task_size(task, compact=False))
        arm(ctx, task)
        tables.finished[task.serial] = None
    ctx.emit(_TASK_FINISHED, task_id_of(task.serial))
    while not ctx.level and len(tables.finished) > ctx.limits.max_finished_tasks:
        forget(ctx, tables, next(iter(tables.finished)))


def forget(ctx: Context, tables: TaskTables, serial: int) -> None:
    """Drops a finished task that is not kept compactly. Takes no revision: nobody can wait for
    it."""
    task = tables.tasks.remove(serial)
    invariant(task.finished, "forgotten task is finished", task)
    queue = tables.queues.edit(task.queue)
    leave(tables, queue, task)
    add_size(tables, queue, -task.size)
    if task.idempotency_key:
        del queue.known_keys[task.idempotency_key]
    del tables.finished[serial]
    ctx.timers.disarm(_TASK, serial)


def revive(ctx: Context, tables: TaskTables, queue: Queue, task: Task) -> None:
    """DEAD or CANCELLED back to its queue, with fresh attempts and a fresh total time-out."""
    leave(tables, queue, task)
    del tables.finished[task.serial]
    task.attempt = 0
    if ctx.level >= 1:
        task.lost_leases = 0
    task.finished_wall_ms = 0
    total_ms = task.options.total_timeout_ms
    task.dies_at_ms = ctx.now_ms + total_ms if total_ms else 0
    queue.retried_total += 1
    wait_or_ready(ctx, tables, queue, task, ctx.now_ms)


def requeue(ctx: Context, tables: TaskTables, queue: Queue, task: Task, delay_ms: int) -> None:
    """CLAIMED back to its queue."""
    leave(tables, queue, task)
    wait_or_ready(ctx, tables, queue, task, ctx.now_ms + delay_ms)


def leave(tables: TaskTables, queue: Queue, task: Task) -> None:
    """Out of the index of its present state; a claimed task also out of its holder's hands."""
    now_in = task.state
    if now_in is CLAIMED:
        lease = task.lease
        if lease is None:
            raise InvariantViolation("claimed task has a lease", task.serial)
        queue.claimed.remove(task.serial)
        tables.sessions.let_go(lease.session_id, TASK, task.serial)
        task.lease = None
    elif now_in is READY:
        queue.ready.remove(rank_key(task.serial, task.priority))
        queue.ready_uneven -= task.priority != 0
    else:
        _sorted_index(queue, now_in).remove(task.serial)


def enter(tables: TaskTables, queue: Queue, task: Task) -> None:
    """Into the index of its present state."""
    now_in = task.state
    if now_in is READY:
        queue.ready.add(rank_key(task.serial, task.priority))
        queue.ready_uneven += task.priority != 0
        queue.arrivals.extend((task.since_ms, task.serial))
        if queue.old_arrivals or len(queue.arrivals) > 4 * len(queue.ready) + _ARRIVALS_SLACK:
            _trim_arrivals(tables, queue)
    elif now_in is CLAIMED:
        queue.claimed.add(task.serial)
    else:
        _sorted_index(queue, now_in).add(task.serial)


def enter_all(ctx: Context, tables: TaskTables, tasks: Iterable[Task]) -> None:
    """`enter` and `arm` for the tasks of a restored state, the one that is longest in its state
    first. Sorted indexes are built at once, which is quicker than one task after the other."""
    entering: dict[tuple[str, TaskState], list[int]] = {}
    for task in tasks:
        now_in = task.state
        queue = tables.queues[task.queue]
        compact = is_compact(ctx, task)
        if now_in is READY:
            key = rank_key(task.serial, task.priority)
            queue.ready_uneven += task.priority != 0
            queue.arrivals.extend((task.since_ms, task.serial))
        else:
            key = task.serial
            if compact:
                line_of(queue, task.options.retention_ms).rows.append(key)
            elif task.finished:
                tables.finished[key] = None
        entering.setdefault((task.queue, now_in), []).append(key)
        resize(tables, queue, task, task_size(task, compact=compact))
        if compact:
            queue.completed_size += task.size
        elif now_in is not READY or task.dies_at_ms:  # only then is there something to wait for
            arm(ctx, task)
    for (name, now_in), keys in entering.items():
        queue = tables.queues[name]
        if now_in is READY:
            queue.ready.update(keys)
        elif now_in is CLAIMED:
            queue.claimed.update(keys)
        else:
            _sorted_index(queue, now_in).update(keys)


def oldest_ready_since_ms(tables: TaskTables, queue: Queue) -> int | None:
    """When the ready task that waits longest became ready; None if none is."""
    _drop_outdated(tables, queue, len(queue.old_arrivals) + len(queue.arrivals))
    arrivals = queue.old_arrivals or queue.arrivals
    return arrivals[0] if arrivals else None


def arm(ctx: Context, task: Task) -> None:
    """Sets the timer of the task to the first thing that happens to it by itself.

    Depends on the task alone, not on the time, so that a restored node has the same timers, also
    those that are overdue."""
    deadline = _deadline_of(task)
    if deadline:
        ctx.timers.arm(_TASK, task.serial, deadline)
    else:
        ctx.timers.disarm(_TASK, task.serial)
    not_before = task.options.not_before_wall_ms
    if not_before:
        if task.state is SCHEDULED and not task.ready_at_ms:
            ctx.wall_timers.arm(_TASK, task.serial, not_before)
        else:
            ctx.wall_timers.disarm(_TASK, task.serial)


def _deadline_of(task: Task) -> int:
    """0: none."""
    lease, deadline = task.lease, task.dies_at_ms
    if lease is not None:
        if deadline or lease.attempt_ends_at_ms or lease.progress_due_at_ms:
            return _first_end(lease, deadline)
        return lease.expires_at_ms
    if task.finished:
        return task.since_ms + kept_ms(task)
    if task.state is SCHEDULED and task.ready_at_ms:
        return min(deadline, task.ready_at_ms) if deadline else task.ready_at_ms
    return deadline


def _first_end(lease: Lease, dies_at_ms: int) -> int:
    ends = (lease.expires_at_ms, lease.attempt_ends_at_ms, lease.progress_due_at_ms, dies_at_ms)
    return min([at for at in ends if at])


def _sorted_index(queue: Queue, of: TaskState) -> SortedKeys[int]:
    if of is SCHEDULED:
        return queue.scheduled
    if of is COMPLETED:
        return queue.completed
    if of is DEAD:
        return queue.dead
    if of is CANCELLED:
        return queue.cancelled
    raise InvariantViolation("a state whose tasks are kept in order", of)


def _drop_outdated(tables: TaskTables, queue: Queue, at_most: int) -> None:
    """Takes arrivals of tasks that are not ready any more from the front."""
    while at_most:
        arrivals = queue.old_arrivals or queue.arrivals
        if not arrivals or _is_current(tables, arrivals[0], arrivals[1]):
            break
        arrivals.popleft()
        arrivals.popleft()
        at_most -= 1


def _is_current(tables: TaskTables, since_ms: int, serial: int) -> bool:
    task = tables.tasks.get(serial)
    return task is not None and task.state is READY and task.since_ms == since_ms


def _trim_arrivals(tables: TaskTables, queue: Queue) -> None:
    """Drops what left the queue from behind a task that is never handed out. A few at a time, since
    there may be millions: what is still current moves to the older ones, until all have."""
    arrivals = queue.arrivals
    for _ in range(_TRIMMED_AT_ONCE):
        if not arrivals:
            queue.arrivals, queue.old_arrivals = queue.old_arrivals, arrivals
            break
        since_ms, serial = arrivals.popleft(), arrivals.popleft()
        if _is_current(tables, since_ms, serial):
            queue.old_arrivals.extend((since_ms, serial))


def rebuild(ctx: Context, tables: TaskTables) -> None:
    """What is derived from the rows of tasks, queues and tombstones."""
    # Arrivals are kept oldest first, and so are the ends of tasks. (A key function of Python lets
    # other threads run meanwhile; attrgetter, a little quicker, would stop them for a second.)
    tasks = sorted(tables.tasks.values(), key=lambda task: (task.since_ms, task.mod_revision))
    for task in tasks:
        queue = tables.queues[task.queue]
        task.queue = queue.name
        task.type = tables.share(task.type)
        if task.labels:
            task.labels = tables.share(task.labels)
        if task.idempotency_key:
            queue.known_keys[task.idempotency_key] = task.serial
    enter_all(ctx, tables, tasks)
    retention.rebuild_stones(ctx, tables)
    for task in sorted((task for task in tasks if task.lease), key=lambda task: task.token):
        if task.lease is not None:
            known_session(tables.sessions, task.lease.session_id)
            tables.sessions.hold(task.lease.session_id, TASK, task.serial)
