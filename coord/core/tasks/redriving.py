"""Redrives of more tasks than one entry may revive: the following entries go on with them.

Where a redrive stands is replicated. Nobody sees a half: it has chosen its tasks when it was asked
for."""

from __future__ import annotations

from itertools import islice

from coord.core.base.context import Context
from coord.core.tasks.tables import TaskTables
from coord.core.tasks.transitions import revive


def is_redriving(tables: TaskTables) -> bool:
    """Whether a redrive goes on."""
    return len(tables.redrives) > 0


def go_on_with_redrives(ctx: Context, tables: TaskTables, max_tasks: int) -> int:
    """Look at so many tasks of all redrives at most; how many it looked at."""
    done = 0
    for name in list(islice(tables.redrives, max_tasks)):
        done += go_on_redriving(ctx, tables, name, max_tasks - done)
    return done


def go_on_redriving(ctx: Context, tables: TaskTables, name: str, max_tasks: int) -> int:
    """Revive the next tasks of a redrive, and forget it when it is done; how many it looked at."""
    rest, known = tables.redrives.edit(name), tables.queues.get(name)
    if max_tasks <= 0:
        return 0
    if known is None:
        tables.redrives.remove(name)
        return 1
    queue = tables.queues.edit(name)
    span = queue.dead.between(rest.next_serial, rest.last_serial, (True, True))
    serials = list(islice(span, max_tasks))
    for serial in serials:
        if tables.tasks[serial].mod_revision <= rest.died_by:
            revive(ctx, tables, queue, tables.tasks.edit(serial))
    if len(serials) < max_tasks or serials[-1] == rest.last_serial:
        tables.redrives.remove(name)
    else:
        rest.next_serial = serials[-1] + 1
    return max(1, len(serials))
