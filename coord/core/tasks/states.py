"""The states of a task and the ways between them, as data.

    submit -> SCHEDULED <-> READY -> CLAIMED -> COMPLETED
                  ^           ^         |
                  +-- retry --+---------+-> DEAD, CANCELLED (also from SCHEDULED and READY)
    DEAD, CANCELLED -> READY by Retry and Redrive; finished -> forgotten after retention

A task that becomes ready again waits as SCHEDULED while its time has not come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from coord.core.tasks.commands import TaskState

SCHEDULED: Final = TaskState.SCHEDULED
READY: Final = TaskState.READY
CLAIMED: Final = TaskState.CLAIMED
COMPLETED: Final = TaskState.COMPLETED
DEAD: Final = TaskState.DEAD
CANCELLED: Final = TaskState.CANCELLED

FINISHED: Final = frozenset({COMPLETED, DEAD, CANCELLED})
"""Nothing more happens to such a task by itself, but being forgotten."""

TRANSITIONS: Final[Mapping[TaskState, frozenset[TaskState]]] = {
    SCHEDULED: frozenset({READY, DEAD, CANCELLED}),
    READY: frozenset({CLAIMED, DEAD, CANCELLED}),
    CLAIMED: frozenset({SCHEDULED, READY, COMPLETED, DEAD, CANCELLED}),
    COMPLETED: frozenset(),
    DEAD: frozenset({SCHEDULED, READY}),
    CANCELLED: frozenset({SCHEDULED, READY}),
}


def _reachable(start: TaskState) -> frozenset[TaskState]:
    found: set[TaskState] = set()
    border = {start}
    while border:
        border = {after for state in border for after in TRANSITIONS[state]} - found
        found |= border
    return frozenset(found)


REACHABLE: Final = {state: _reachable(state) for state in TaskState}
"""Where a task can be after any number of transitions, at least one."""
