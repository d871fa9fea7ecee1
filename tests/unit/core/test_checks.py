"""Every check sees the damage it is there for: a sound state, one thing broken, a violation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coord.core.base.holdings import LOCK, LOCK_WAIT, TASK
from coord.core.base.invariants import InvariantViolation
from coord.core.base.request import RequestId
from coord.core.base.timers import TimerKind
from coord.core.batch import Batch, Request
from coord.core.checks import check_delta, check_state, mark
from coord.core.locks.commands import AcquireLock
from coord.core.machine import Machine
from coord.core.sessions.commands import OpenSession
from coord.core.state import State
from coord.core.tasks.commands import (
    ClaimTasks,
    CompleteItem,
    CompleteTasks,
    SubmitTasks,
    TaskSpec,
    TaskState,
)


def sound_machine() -> Machine:
    """t2 CLAIMED by 1, t3 READY, t4 SCHEDULED, t5 COMPLETED, lock L of 1 with a waiter."""
    machine = Machine()
    requests = [
        Request(OpenSession(60_000, b"n")),
        Request(SubmitTasks([TaskSpec("q", b"", idempotency_key=k) for k in ("a", "")])),
        Request(SubmitTasks([TaskSpec("q", b"", delay_ms=100), TaskSpec("r", b"")])),
        Request(ClaimTasks(("q",), 1, 1_000), RequestId(1, 1, 0)),
        Request(ClaimTasks(("r",), 1, 1_000), RequestId(1, 2, 0)),
        Request(CompleteTasks([CompleteItem("t5", 7, b"done")])),
        Request(AcquireLock("L", "h", 500, 0), RequestId(1, 3, 0)),
        Request(AcquireLock("L", "i", 500, 500), RequestId(1, 4, 0)),
    ]
    machine.apply(Batch(10, 1_000_000, requests))
    check_state(machine.state)
    return machine


def task_state(serial: int, state: TaskState) -> Callable[[State], None]:
    def damage(of: State) -> None:
        of.tasks[serial].state = state

    return damage


DAMAGE: dict[str, Callable[[State], object]] = {
    "open session is not expired": lambda s: setattr(s.sessions[1], "expires_at_ms", 10),
    "session timer": lambda s: s.ctx.timers.disarm(TimerKind.SESSION, 1),
    "nonce names its session": lambda s: s.session_by_nonce.clear(),
    "session holds a claimed task": lambda s: s.session_tables.hold(1, TASK, 3),
    "session owns its locks": lambda s: s.session_tables.hold(1, LOCK, "M"),
    "session waits where it says": lambda s: s.session_tables.hold(1, LOCK_WAIT, ("M", 1)),
    "kept sequences ascend": lambda s: s.sessions[1].replies.reverse(),
    "kept reply exists": lambda s: s.replies.remove((1, 1)),
    "kept reply is not acknowledged": lambda s: setattr(s.sessions[1], "acked_below", 2),
    "every kept reply has its session": lambda s: s.sessions[1].replies.pop(),
    "bytes of the replies of a session": lambda s: setattr(s.sessions[1], "reply_bytes", 1),
    "bytes of kept replies": lambda s: setattr(s.session_tables, "reply_bytes", 1),
    "lock timer": lambda s: s.ctx.timers.disarm(TimerKind.LOCK, "L"),
    "owner of a lock is open": lambda s: s.sessions[1].held[LOCK].clear(),
    "the owner does not wait": lambda s: setattr(s.locks["L"], "holder", "i"),
    "a contender waits once": lambda s: s.waiting.clear(),
    "waiter timer": lambda s: s.ctx.timers.disarm(TimerKind.LOCK_WAIT, ("L", 10)),
    "task revisions": lambda s: setattr(s.tasks[3], "mod_revision", 99),
    "attempts are bounded": lambda s: setattr(s.tasks[3], "attempt", 4),
    "queue of a task exists": lambda s: setattr(s.tasks[3], "queue", "nowhere"),
    "task is in the index of its state": task_state(3, TaskState.DEAD),
    "idempotency key names its task": lambda s: s.queues["q"].known_keys.clear(),
    "total time-out is not over": lambda s: setattr(s.tasks[3], "dies_at_ms", 5),
    "retention timer": lambda s: s.ctx.timers.disarm(TimerKind.TASK, 5),
    "scheduled task has a timer": lambda s: s.ctx.timers.disarm(TimerKind.TASK, 4),
    "lease = claimed": lambda s: setattr(s.tasks[3], "lease", s.tasks[2].lease),
    "claimed task is held": lambda s: s.sessions[1].held[TASK].clear(),
    "lease is not over": lambda s: setattr(s.tasks[2].lease, "expires_at_ms", 9),
    "lease timer": lambda s: s.ctx.timers.disarm(TimerKind.TASK, 2),
    "every index entry has its task": lambda s: s.queues["q"].dead.add(77),
    "count of priorities": lambda s: setattr(s.queues["q"], "ready_uneven", 1),
    "completed total": lambda s: setattr(s.queues["r"], "completed_total", 0),
    "finished tasks are in order": lambda s: s.finished.clear(),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_seen(what: str) -> None:
    machine = sound_machine()
    DAMAGE[what](machine.state)
    with pytest.raises(InvariantViolation, match=what):
        check_state(machine.state)


LATER: dict[str, Callable[[State], object]] = {
    "revision does not go back": lambda s: setattr(s.ctx, "revision", 1),
    "cluster time does not go back": lambda s: setattr(s.ctx, "now_ms", 9),
    "task token does not go back": lambda s: setattr(s.tasks[2], "token", 1),
    "a transition takes a revision": task_state(3, TaskState.DEAD),
    "a completed task does not change": lambda s: setattr(s.tasks[5], "result", b"other"),
    "new owner, new token": lambda s: setattr(s.locks["L"], "holder", "thief"),
    "lock token does not go back": lambda s: setattr(s.locks["L"], "token", 1),
    "queue totals do not decrease": lambda s: setattr(s.queues["q"], "submitted_total", 0),
}


@pytest.mark.parametrize("what", LATER)
def test_a_wrong_step_is_seen(what: str) -> None:
    machine = sound_machine()
    before = mark(machine.state)
    check_delta(before, machine.state)
    LATER[what](machine.state)
    with pytest.raises(InvariantViolation, match=what):
        check_delta(before, machine.state)
