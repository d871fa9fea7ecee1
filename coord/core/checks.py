"""What must hold of a state, and of the step from one state to the next.

`check_state` walks everything and is for tests, simulation and offline checks; `check_delta`
compares the marks of two moments. Both raise InvariantViolation. They read indexes and records
separately and trust neither."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from coord.core.base.invariants import invariant
from coord.core.domain import Domain
from coord.core.domains import DOMAINS
from coord.core.state import State
from coord.core.tasks.commands import TaskState
from coord.core.tasks.records import Queue
from coord.core.tasks.states import REACHABLE


def check_state(state: State, domains: Iterable[Domain] = DOMAINS) -> None:
    """Everything that holds between batches."""
    for domain in domains:
        domain.check(state)


class Marks(NamedTuple):
    """What `check_delta` needs to remember of an earlier state."""

    revision: int
    now_ms: int
    tasks: dict[int, tuple[TaskState, int, int, bytes]]
    locks: dict[str, tuple[int, str, int]]
    totals: dict[str, tuple[int, ...]]


def mark(state: State) -> Marks:
    """The marks of a state; costs a walk over it."""
    return Marks(
        state.revision,
        state.now_ms,
        {t.serial: (t.state, t.mod_revision, t.token, t.result) for t in state.tasks.values()},
        {k.name: (k.session_id, k.holder, k.token) for k in state.locks.values()},
        {q.name: _totals(q) for q in state.queues.values()},
    )


def check_delta(before: Marks, state: State) -> None:
    """What one batch, or any number of them, can do to a state."""
    after = mark(state)
    invariant(before.revision <= after.revision, "revision does not go back", after.revision)
    invariant(before.now_ms <= after.now_ms, "cluster time does not go back", after.now_ms)
    for serial, (was, mod, token, result) in before.tasks.items():
        if serial not in after.tasks:
            continue
        now_is, now_mod, now_token, now_result = after.tasks[serial]
        where = (serial, was, now_is)
        invariant(mod <= now_mod, "task revision does not go back", where)
        invariant(token <= now_token, "task token does not go back", where)
        invariant((was is now_is) or mod < now_mod, "a transition takes a revision", where)
        possible = now_is is was or now_is in REACHABLE[was]
        invariant(possible, "a task takes the ways there are", where)
        if was is TaskState.COMPLETED:
            same = (now_mod, now_result) == (mod, result)
            invariant(same, "a completed task does not change", where)
    for name, (session_id, holder, token) in before.locks.items():
        if name in after.locks:
            *now_who, now_token = after.locks[name]
            where_lock = (name, token, now_token)
            invariant(token <= now_token, "lock token does not go back", where_lock)
            same_owner = now_who == [session_id, holder]
            invariant(same_owner or token < now_token, "new owner, new token", where_lock)
    for name, totals in before.totals.items():
        if name not in after.totals:
            continue  # the queue was deleted
        grown = all(a <= b for a, b in zip(totals, after.totals[name], strict=True))
        invariant(grown, "queue totals do not decrease", name)


def _totals(queue: Queue) -> tuple[int, ...]:
    return (
        queue.submitted_total,
        queue.completed_total,
        queue.dead_total,
        queue.cancelled_total,
        queue.lost_leases_total,
        queue.retried_total,
    )
