"""What must hold of completed tasks that are kept, of what is left of them, and of the account of
bytes, which is counted anew here."""

from __future__ import annotations

from collections import Counter

from coord.core.base.invariants import invariant
from coord.core.base.timers import TimerKind
from coord.core.sizes import session_size, task_size, tombstone_size
from coord.core.state import State
from coord.core.tasks.records import Queue, Retained
from coord.core.tasks.retention import is_compact, kept_ms, stone_ends_ms


def check_retained(state: State, queue: Queue) -> None:
    """The lines of a queue hold exactly its compact tasks and its tombstones, in order."""
    rows = [serial for line in queue.retained.values() for serial in line.rows]
    stones = [serial for line in queue.retained.values() for serial in line.stones]
    compact = [s for s in queue.completed if is_compact(state.ctx, state.tasks[s])]
    invariant(sorted(rows) == compact, "lines hold the compact tasks", (queue.name, rows))
    own = [stone.serial for stone in state.tombstones.values() if stone.queue == queue.name]
    invariant(sorted(stones) == own, "lines hold the tombstones", (queue.name, stones))
    invariant(queue.stones == len(own), "count of tombstones", queue.name)
    for retention_ms, line in queue.retained.items():
        _check_line(state, queue, retention_ms, line)
    size = sum(state.tasks[serial].size for serial in rows)
    invariant(size == queue.completed_size, "bytes of completed tasks", (queue.name, size))


def _check_line(state: State, queue: Queue, retention_ms: int, line: Retained) -> None:
    where = (queue.name, retention_ms)
    tasks = [state.tasks[serial] for serial in line.rows]
    stones = [state.tombstones[serial] for serial in line.stones]
    same = all(task.options.retention_ms == retention_ms for task in tasks)
    same = same and all(stone.retention_ms == retention_ms for stone in stones)
    invariant(same, "line of one retention", where)
    ends = [task.mod_revision for task in tasks]
    invariant(ends == sorted(ends), "completed tasks are in order of their end", where)
    ends = [stone.ended_revision for stone in stones]
    invariant(ends == sorted(ends), "tombstones are in order of the end of their tasks", where)
    for stone in stones:
        known = queue.known_keys.get(stone.idempotency_key)
        invariant(known == stone.serial, "idempotency key names its tombstone", where)
        invariant(stone.serial not in state.tasks, "only the forgotten have tombstones", where)
    due = [task.since_ms + kept_ms(task) for task in tasks[:1]]
    due += [stone_ends_ms(stone) for stone in stones[:1]]
    armed = state.ctx.retention_timers.deadline_of(TimerKind.RETENTION, where)
    invariant(bool(due) and armed == min(due), "timer of a line", (where, armed))
    invariant(state.ctx.behind or min(due) > state.now_ms, "retention of a line is not over", where)


def check_account(state: State) -> None:
    """The account of bytes is what a recount gives."""
    sizes = dict.fromkeys(state.queues, 0)
    for task in state.tasks.values():
        size = task_size(task, compact=is_compact(state.ctx, task))
        invariant(size == task.size, "bytes of a task", (task.serial, size, task.size))
        sizes[task.queue] += size
    for stone in state.tombstones.values():
        sizes[stone.queue] += tombstone_size(stone)
    for name, queue in state.queues.items():
        invariant(queue.size == sizes[name], "bytes of a queue", (name, sizes[name], queue.size))
    sessions = sum(session_size(session) for session in state.sessions.values())
    invariant(
        sessions == state.session_tables.sessions_size,
        "bytes of sessions",
        (sessions, state.session_tables.sessions_size),
    )
    names = Counter(session.name for session in state.sessions.values())
    invariant(names == state.session_tables.sessions_by_name, "sessions by name", names)
    whole = sum(sizes.values())
    invariant(
        state.task_tables.tasks_size == whole,
        "bytes of all queues",
        (whole, state.task_tables.tasks_size),
    )
