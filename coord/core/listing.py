"""Listings in steps: each looks at a bounded number of rows, whatever the state holds, and says
where the next one begins. Whoever shows a page takes as many steps as it needs, with a rest between
them, so that a filter that matches little keeps nobody from anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from heapq import merge
from itertools import islice
from typing import Any, Final, NamedTuple

from coord.core.state import State
from coord.core.tasks.commands import TaskState
from coord.core.tasks.records import Queue, Task, serial_of_rank

STEP_ROWS: Final = 2_000
_MAX_MERGED_QUEUES: Final = 64


class Step(NamedTuple):
    """`found`: keys of rows that match, in order. `after`: the next step begins behind this key.
    `done`: there is nothing behind it."""

    found: tuple[Any, ...]
    after: Any
    done: bool


def session_step(state: State, kind: str, count: int, after: int) -> Step:
    """Ids of up to `count` open sessions of a kind (empty: all) behind `after`."""
    found: list[Any] = []
    last = after
    ids = state.sessions.keys_between(after, inclusive=(False, False))
    for looked_at, session_id in enumerate(ids):
        if len(found) == count or looked_at == STEP_ROWS:
            return Step(tuple(found), last, False)
        last = session_id
        session = state.sessions[session_id]
        if session.expires_at_ms > state.now_ms and (not kind or session.kind == kind):
            found.append(session_id)
    return Step(tuple(found), last, True)


def lock_step(state: State, prefix: str, count: int, after: str) -> Step:
    """Names of up to `count` held locks that begin with `prefix`, behind `after`."""
    found: list[Any] = []
    for name in state.locks.keys_between(max(prefix, after)):
        if not name.startswith(prefix):
            break
        if after and name <= after:
            continue
        if len(found) == count:
            return Step(tuple(found), found[-1] if found else after, False)
        found.append(name)
    return Step(tuple(found), found[-1] if found else after, True)


def queue_step(state: State, count: int, after: str) -> Step:
    """Names of up to `count` queues behind `after`."""
    low = after or None
    keys = state.queues.keys_between(low, inclusive=(not after, False))
    found = tuple(islice(keys, count + 1))
    return Step(found[:count], found[:count][-1] if found else after, len(found) <= count)


def task_step(
    state: State, queue: str, states: Collection[TaskState], count: int, after: int
) -> Step:
    """Serials of up to `count` tasks behind `after`, in order of submission; an empty filter takes
    all."""
    if not queue and not states:
        serials = state.tasks.keys_between(after, inclusive=(False, False))
    elif _indexes_will_do(state, queue, states):
        serials = _from_indexes(state, queue, states, after)
    else:
        return _walk_tasks(state, queue, states, count, after)
    found = tuple(islice(serials, count))
    return Step(found, found[-1] if found else after, len(found) < count)


def _walk_tasks(
    state: State, queue: str, states: Collection[TaskState], count: int, after: int
) -> Step:
    found: list[Any] = []
    last = after
    serials = state.tasks.keys_between(after, inclusive=(False, False))
    for looked_at, serial in enumerate(serials):
        if len(found) == count or looked_at == STEP_ROWS:
            return Step(tuple(found), last, False)
        last = serial
        if _matches(state.tasks[serial], queue, states):
            found.append(serial)
    return Step(tuple(found), last, True)


def _matches(task: Task, queue: str, states: Collection[TaskState]) -> bool:
    return (not queue or task.queue == queue) and (not states or task.state in states)


def _queues(state: State, queue: str) -> Iterable[Queue]:
    if not queue:
        return state.queues.values()
    known = state.queues.get(queue)
    return [] if known is None else [known]


def _indexes_will_do(state: State, queue: str, states: Collection[TaskState]) -> bool:
    """Whether the indexes give the serials in order without sorting very many."""
    if not queue and len(state.queues) > _MAX_MERGED_QUEUES:
        return False
    to_sort = 0
    for one in _queues(state, queue):
        if not states or TaskState.CLAIMED in states:
            to_sort += len(one.claimed)
        if one.ready_uneven and (not states or TaskState.READY in states):
            to_sort += len(one.ready)
    return to_sort <= STEP_ROWS


def _from_indexes(
    state: State, queue: str, states: Collection[TaskState], after: int
) -> Iterator[int]:
    wanted = [of for of in TaskState if not states or of in states]
    queues = _queues(state, queue)
    return merge(*(_serials_in(one, of, after) for one in queues for of in wanted))


def _serials_in(queue: Queue, of: TaskState, after: int) -> Iterable[int]:
    """Serials behind `after`, ascending."""
    if of is TaskState.CLAIMED:
        return sorted(serial for serial in queue.claimed if serial > after)
    if of is TaskState.READY:
        if queue.ready_uneven:
            serials = (serial_of_rank(key) for key in queue.ready)
            return sorted(serial for serial in serials if serial > after)
        index = queue.ready
    elif of is TaskState.SCHEDULED:
        index = queue.scheduled
    elif of is TaskState.COMPLETED:
        index = queue.completed
    elif of is TaskState.DEAD:
        index = queue.dead
    else:
        index = queue.cancelled
    return index.between(after, None, (False, False))
