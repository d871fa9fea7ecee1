"""What goes on over several entries because it is too much for one: each does a bounded part,
within what the batch may still end by itself, and the ticker proposes entries while anything is
left.

Where it stands is replicated. Nobody sees a half: compacted history cannot be read from the moment
of the compaction, and a redrive has chosen its tasks when it was asked for.
"""

from __future__ import annotations

from itertools import islice

from coord.core.state import State
from coord.core.tasks.transitions import revive


def go_on(state: State) -> None:
    """Do this batch's part. Takes at most half of what the batch may end by itself: the requests
    behind it may have to end something too."""
    left = state.expiries_left // 2
    done = state.kv.tidy(left)
    for name in list(islice(state.redrives, left - done)):
        done += go_on_redriving(state, name, left - done)
    state.expiries_left -= done


def go_on_redriving(state: State, name: str, max_tasks: int) -> int:
    """Revive the next tasks of a redrive, and forget it when it is done; how many it looked at."""
    rest, known = state.redrives.edit(name), state.queues.get(name)
    if max_tasks <= 0:
        return 0
    if known is None:
        state.redrives.remove(name)
        return 1
    queue = state.queues.edit(name)
    span = queue.dead.between(rest.next_serial, rest.last_serial, (True, True))
    serials = list(islice(span, max_tasks))
    for serial in serials:
        if state.tasks[serial].mod_revision <= rest.died_by:
            revive(state, queue, state.tasks.edit(serial))
    if len(serials) < max_tasks or serials[-1] == rest.last_serial:
        state.redrives.remove(name)
    else:
        rest.next_serial = serials[-1] + 1
    return max(1, len(serials))
