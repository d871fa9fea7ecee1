"""How long completed tasks are kept, and their idempotency keys.

A completed task is kept compactly (from level 1 on): its payload and its checkpoint go, since
nobody needs them any more, its result stays. Such tasks stand in one line for each queue and
retention, the oldest end first, so that only the first of a line needs a timer. What a task leaves
behind when it is forgotten is a tombstone: its idempotency key is known for as long as was
promised, although its result is not, because the default keeps results for a shorter time than
keys, or because the policy of its queue dropped it early.

    kept after the end            result                  idempotency key
    retention_ms was given        as long as that         as long as that
    completed, by default         RESULT_MS               KEY_MS
    dead or cancelled, by default KEY_MS                  KEY_MS

The dead and the cancelled keep their payloads, since they can be put back, and a timer each."""

from __future__ import annotations

from typing import Final, cast

from coord.core.base.context import Context
from coord.core.base.invariants import invariant
from coord.core.base.timers import TimerKind
from coord.core.sizes import task_size, tombstone_size
from coord.core.tasks.account import add_size, resize
from coord.core.tasks.records import Queue, Retained, Task, Tombstone
from coord.core.tasks.states import COMPLETED
from coord.core.tasks.tables import TaskTables

_TASK: Final = TimerKind.TASK

RESULT_MS: Final = 600_000
KEY_MS: Final = 3_600_000


def is_compact(ctx: Context, task: Task) -> bool:
    """Whether a task is kept as this module says; those that completed at level 0 are not."""
    return task.state is COMPLETED and task.mod_revision > ctx.compact_after


def kept_ms(task: Task) -> int:
    """How long a task that is at an end is kept."""
    return task.options.retention_ms or (RESULT_MS if task.state is COMPLETED else KEY_MS)


def stone_ends_ms(stone: Tombstone) -> int:
    """When a tombstone has kept what was promised."""
    return stone.ended_ms + (stone.retention_ms or KEY_MS)


def keep_completed(ctx: Context, tables: TaskTables, queue: Queue, task: Task) -> None:
    """Puts a task that has just completed at the end of its line."""
    task.payload = b""
    task.checkpoint = b""
    resize(tables, queue, task, task_size(task, compact=True))
    queue.completed_size += task.size
    ctx.timers.disarm(_TASK, task.serial)
    if task.options.not_before_wall_ms:
        ctx.wall_timers.disarm(_TASK, task.serial)
    line = line_of(queue, task.options.retention_ms)
    line.rows.append(task.serial)
    if len(line.rows) == 1:
        arm_line(ctx, tables, queue, task.options.retention_ms)


def line_of(queue: Queue, retention_ms: int) -> Retained:
    """The line of a retention; makes it if there is none."""
    line = queue.retained.get(retention_ms)
    if line is None:
        line = queue.retained[retention_ms] = Retained()
    return line


def arm_line(ctx: Context, tables: TaskTables, queue: Queue, retention_ms: int) -> None:
    """Sets the timer of a line to what comes first in it; an empty line goes."""
    line = queue.retained[retention_ms]
    ends = []
    if line.rows:
        first = tables.tasks[line.rows[0]]
        ends.append(first.since_ms + kept_ms(first))
    if line.stones:
        ends.append(stone_ends_ms(tables.tombstones[line.stones[0]]))
    if ends:
        ctx.retention_timers.arm(TimerKind.RETENTION, (queue.name, retention_ms), min(ends))
    else:
        del queue.retained[retention_ms]
        ctx.retention_timers.disarm(TimerKind.RETENTION, (queue.name, retention_ms))


def forget_due(ctx: Context, tables: TaskTables) -> None:
    """Forgets what has been kept for as long as was promised, so much in one batch. It has a
    budget of its own: what a tenant left behind must not hold up the leases of another."""
    left = ctx.limits.max_expiries_per_batch
    timers = ctx.retention_timers
    while left and (due := timers.pop_due(ctx.now_ms)) is not None:
        name, retention_ms = cast(tuple[str, int], due[1])
        queue = tables.queues.edit(name)
        left -= _forget_due_of(ctx, tables, queue, retention_ms, left)
        arm_line(ctx, tables, queue, retention_ms)


def _forget_due_of(
    ctx: Context, tables: TaskTables, queue: Queue, retention_ms: int, at_most: int
) -> int:
    line, now_ms = queue.retained[retention_ms], ctx.now_ms
    done = 0
    while done < at_most and line.stones:
        stone = tables.tombstones[line.stones[0]]
        if stone_ends_ms(stone) > now_ms:
            break
        drop_first_stone(tables, queue, line)
        done += 1
    while done < at_most and line.rows:
        task = tables.tasks[line.rows[0]]
        if task.since_ms + kept_ms(task) > now_ms:
            break
        # Only the default keeps keys for longer than results.
        forget_first(tables, queue, line, leave_stone=not retention_ms, early=False)
        done += 1
    return done


def forget_first(
    tables: TaskTables, queue: Queue, line: Retained, *, leave_stone: bool, early: bool
) -> None:
    """Forgets the completed task that comes first in its line; a tombstone is left for its key, if
    it has one and that is wanted. Takes no revision: nobody can wait for it. The caller arms the
    line."""
    serial = line.rows.popleft()
    task = tables.tasks.remove(serial)
    invariant(task.state is COMPLETED, "what is retained is completed", serial)
    queue.completed.remove(serial)
    queue.completed_size -= task.size
    add_size(tables, queue, -task.size)
    if early:
        queue.forgotten_early_total += 1
    if not task.idempotency_key:
        return
    if leave_stone:
        _leave_stone(tables, queue, line, task, early)
    else:
        del queue.known_keys[task.idempotency_key]


def _leave_stone(tables: TaskTables, queue: Queue, line: Retained, task: Task, early: bool) -> None:
    stone = Tombstone(
        task.serial,
        queue.name,
        task.idempotency_key,
        task.spec_digest,
        task.mod_revision,
        task.since_ms,
        task.options.retention_ms,
        early,
    )
    tables.tombstones.insert(stone.serial, stone)
    line.stones.append(stone.serial)
    queue.stones += 1
    add_size(tables, queue, tombstone_size(stone))


def drop_first_stone(tables: TaskTables, queue: Queue, line: Retained) -> None:
    """Forgets the tombstone that comes first in its line. The caller arms the line."""
    stone = tables.tombstones.remove(line.stones.popleft())
    queue.stones -= 1
    add_size(tables, queue, -tombstone_size(stone))
    del queue.known_keys[stone.idempotency_key]


def drop_early(ctx: Context, tables: TaskTables, queue: Queue) -> bool:
    """Forgets the completed task that ended first, before its time; False if there is none. A key
    that it has stays known."""
    oldest, oldest_end = -1, 0
    for retention_ms, line in queue.retained.items():
        if line.rows:
            ended = tables.tasks[line.rows[0]].mod_revision
            if oldest < 0 or ended < oldest_end:
                oldest, oldest_end = retention_ms, ended
    if oldest < 0:
        return False
    forget_first(tables, queue, queue.retained[oldest], leave_stone=True, early=True)
    arm_line(ctx, tables, queue, oldest)
    return True


def rebuild_stones(ctx: Context, tables: TaskTables) -> None:
    """Lines and indexes of a restored state: the tombstones; `task_states.enter_all` puts the
    tasks in."""
    for stone in sorted(tables.tombstones.values(), key=lambda stone: stone.ended_revision):
        queue = tables.queues[stone.queue]
        stone.queue = queue.name
        line_of(queue, stone.retention_ms).stones.append(stone.serial)
        queue.stones += 1
        add_size(tables, queue, tombstone_size(stone))
        queue.known_keys[stone.idempotency_key] = stone.serial
    for queue in tables.queues.values():
        for retention_ms in list(queue.retained):
            arm_line(ctx, tables, queue, retention_ms)
