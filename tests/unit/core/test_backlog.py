"""More is due at one moment than one batch carries out: nothing overdue is taken for valid."""

from __future__ import annotations

from typing import Any

import pytest

from coord.core.base.limits import Limits
from coord.core.base.refusal import Reason
from coord.core.base.request import Done, Event, EventKind, RequestId
from coord.core.batch import Batch, Request
from coord.core.checks import check_delta, check_state, mark
from coord.core.locks.commands import AcquireLock, RefreshLock
from coord.core.machine import Machine
from coord.core.sessions.commands import CloseSession, KeepAlive, OpenSession, SessionOpened
from coord.core.sessions.queries import list_sessions
from coord.core.tasks.commands import (
    CancelTask,
    ClaimTasks,
    CompleteItem,
    CompleteTasks,
    FailItem,
    FailTasks,
    HeartbeatItem,
    HeartbeatTasks,
    ReleaseItem,
    ReleaseTasks,
    SubmitTasks,
    TaskSpec,
    TaskState,
)

START_MS = 1_000
LEASE_MS = 500
FEW = Limits(max_expiries_per_batch=3)


class Driver:
    """A machine whose batches end by themselves no more than three things each."""

    def __init__(self, limits: Limits = FEW) -> None:
        self.machine = Machine(limits=limits)
        self.now_ms = START_MS
        self.events: list[Event] = []

    def do(self, command: Any, session_id: int = 0) -> Any:
        request_id = RequestId(session_id, 0, 0) if session_id else None
        return self.batch(Request(command, request_id))[0]

    def batch(self, *requests: Request) -> list[Any]:
        state = self.machine.state
        before = mark(state)
        applied = self.machine.apply(Batch(self.now_ms, self.now_ms, list(requests)))
        self.events += applied.events
        check_state(state)
        check_delta(before, state)
        return list(applied.replies)

    def open(self, nonce: bytes = b"n", ttl_ms: int = 60_000) -> int:
        reply = self.do(OpenSession(ttl_ms, nonce))
        assert isinstance(reply, SessionOpened)
        return reply.session_id

    def submit(self, count: int, **fields: Any) -> list[str]:
        tasks = [TaskSpec("q", b"", **fields) for _ in range(count)]
        return [task_id for task_id, _, _ in self.do(SubmitTasks(tasks)).tasks]

    def claim(self, session_id: int, count: int, ttl_ms: int = LEASE_MS) -> list[tuple[str, int]]:
        reply = self.do(ClaimTasks(("q",), count, ttl_ms), session_id)
        return [(task_id, token) for task_id, token, _, _ in reply.tasks]

    def catch_up(self) -> int:
        """Empty batches until nothing is overdue; how many it took."""
        batches = 0
        while self.machine.state.ctx.behind:
            self.batch()
            batches += 1
        return batches

    def states(self) -> list[TaskState]:
        return [task.state for task in self.machine.state.tasks.values()]


@pytest.fixture
def driver() -> Driver:
    return Driver()


def held_by_one(driver: Driver, count: int) -> tuple[int, list[tuple[str, int]]]:
    session_id = driver.open()
    driver.submit(count)
    return session_id, driver.claim(session_id, count)


def test_leases_that_end_together_end_over_several_batches(driver: Driver) -> None:
    held_by_one(driver, 10)
    driver.now_ms += LEASE_MS
    driver.batch()
    assert driver.states().count(TaskState.CLAIMED) == 7
    next_ms = driver.machine.next_deadline_ms(driver.now_ms)
    assert next_ms is not None
    assert next_ms <= driver.now_ms
    assert driver.catch_up() == 3
    assert set(driver.states()) == {TaskState.READY}


@pytest.mark.parametrize(
    "use",
    [
        lambda task_id, token: CompleteTasks([CompleteItem(task_id, token, b"late")]),
        lambda task_id, token: HeartbeatTasks([HeartbeatItem(task_id, token)]),
        lambda task_id, token: FailTasks([FailItem(task_id, token, "late", True)]),
        lambda task_id, token: ReleaseTasks([ReleaseItem(task_id, token)]),
    ],
)
def test_a_token_of_an_overdue_lease_is_refused(driver: Driver, use: Any) -> None:
    _, claimed = held_by_one(driver, 10)
    driver.now_ms += LEASE_MS
    task_id, token = claimed[-1]
    outcome = driver.do(use(task_id, token)).items[0]
    assert outcome.rejected.reason is Reason.STALE_FENCING_TOKEN
    assert outcome.state == TaskState.READY
    assert driver.machine.state.ctx.behind


def test_a_task_is_claimed_anew_while_others_are_overdue(driver: Driver) -> None:
    session_id, claimed = held_by_one(driver, 10)
    driver.now_ms += LEASE_MS
    again = driver.claim(session_id, 10)
    assert len(again) == 3
    assert all(token > max(t for _, t in claimed) for _, token in again)


def test_an_overdue_session_is_over_although_it_still_holds_tasks(driver: Driver) -> None:
    session_id = driver.open(ttl_ms=LEASE_MS)
    driver.submit(10)
    claimed = driver.claim(session_id, 10, ttl_ms=60_000)
    driver.now_ms += LEASE_MS
    refused = driver.do(ClaimTasks(("q",), 1, LEASE_MS), session_id)
    assert refused.reason is Reason.SESSION_NOT_FOUND
    assert session_id in driver.machine.state.sessions
    assert driver.do(KeepAlive(session_id)).reason is Reason.SESSION_NOT_FOUND
    assert list_sessions(driver.machine.state) == ()
    outcome = driver.do(CompleteTasks([CompleteItem(*claimed[-1], b"late")])).items[0]
    assert outcome.rejected.reason is Reason.STALE_FENCING_TOKEN
    assert driver.machine.state.ctx.behind
    driver.catch_up()
    assert session_id not in driver.machine.state.sessions
    assert set(driver.states()) == {TaskState.READY}
    ended = [event for event in driver.events if event.kind is EventKind.SESSION_ENDED]
    assert [event.subject for event in ended] == [str(session_id)]


def test_closing_a_session_that_holds_much_ends_it_at_once(driver: Driver) -> None:
    session_id, claimed = held_by_one(driver, 10)
    closed, late, known = driver.batch(
        Request(CloseSession(session_id)),
        Request(CompleteTasks([CompleteItem(*claimed[-1], b"late")])),
        Request(KeepAlive(session_id)),
    )
    assert isinstance(closed, Done)
    assert late.items[0].rejected.reason is Reason.STALE_FENCING_TOKEN
    assert known.reason is Reason.SESSION_NOT_FOUND
    driver.catch_up()
    assert not driver.machine.state.sessions
    assert set(driver.states()) == {TaskState.READY}


def test_the_nonce_of_an_overdue_session_opens_another(driver: Driver) -> None:
    first = driver.open(b"same", ttl_ms=LEASE_MS)
    driver.submit(10)
    driver.claim(first, 10, ttl_ms=60_000)
    driver.now_ms += LEASE_MS
    second = driver.open(b"same")
    assert second > first
    assert driver.open(b"same") == second
    driver.catch_up()
    assert list(driver.machine.state.sessions) == [second]
    assert driver.open(b"same") == second


def test_an_overdue_lock_is_not_held(driver: Driver) -> None:
    owner, other = driver.open(b"a"), driver.open(b"b")
    for number in range(8):
        driver.do(AcquireLock(f"l{number}", "", LEASE_MS, 0), owner)
    token = driver.machine.state.locks["l7"].token
    driver.now_ms += LEASE_MS
    assert driver.do(RefreshLock("l7", token)).reason is Reason.LOCK_NOT_HELD
    granted = driver.do(AcquireLock("l6", "", 0, 0), other)
    assert granted.acquired
    assert granted.fencing_token > token


def test_the_lock_of_an_overdue_session_goes_to_the_first_waiter(driver: Driver) -> None:
    owner, other = driver.open(b"a", ttl_ms=LEASE_MS), driver.open(b"b")
    for number in range(8):
        driver.do(AcquireLock(f"l{number}", "", 0, 0), owner)
    assert driver.do(AcquireLock("l7", "", 0, 60_000), other).queued
    driver.now_ms += LEASE_MS
    assert driver.do(AcquireLock("l7", "", 0, 0), other).acquired
    assert driver.machine.state.ctx.behind


def test_a_wait_that_is_over_is_not_granted_anew(driver: Driver) -> None:
    owner, other = driver.open(b"a"), driver.open(b"b")
    driver.do(AcquireLock("l", "", 0, 0), owner)
    for number in range(5):
        driver.do(AcquireLock("l", f"h{number}", 0, LEASE_MS), other)
    driver.now_ms += LEASE_MS
    asked = driver.do(AcquireLock("l", "h4", 0, 0), other)
    assert (asked.acquired, asked.queued) == (False, False)


def test_a_task_whose_total_time_is_over_is_not_handed_out(driver: Driver) -> None:
    session_id = driver.open()
    driver.submit(10, total_timeout_ms=LEASE_MS)
    driver.now_ms += LEASE_MS
    assert driver.claim(session_id, 10) == []
    assert driver.machine.state.ctx.behind
    driver.catch_up()
    assert set(driver.states()) == {TaskState.DEAD}


def test_an_overdue_task_cannot_be_cancelled(driver: Driver) -> None:
    task_ids = driver.submit(10, total_timeout_ms=LEASE_MS)
    driver.now_ms += LEASE_MS
    assert driver.do(CancelTask(task_ids[-1])).reason is Reason.TASK_FINISHED


def test_a_forgotten_idempotency_key_makes_a_new_task(driver: Driver) -> None:
    for number in range(6):
        spec = TaskSpec("q", b"", idempotency_key=f"k{number}", retention_ms=LEASE_MS)
        (task,) = driver.do(SubmitTasks([spec])).tasks
        driver.do(CancelTask(task[0]))
    driver.now_ms += LEASE_MS
    again = TaskSpec("q", b"", idempotency_key="k5")
    ((_, _, existed),) = driver.do(SubmitTasks([again])).tasks
    assert not existed


def test_calendar_times_that_come_together_are_bounded_too(driver: Driver) -> None:
    driver.submit(10, not_before_unix_ms=START_MS + LEASE_MS)
    driver.now_ms += LEASE_MS
    driver.batch()
    assert driver.states().count(TaskState.READY) == 3
    assert driver.catch_up() == 3


def test_the_bound_of_a_batch_holds_for_sessions_with_many_holdings() -> None:
    driver = Driver(Limits(max_expiries_per_batch=100))
    session_id = driver.open(ttl_ms=LEASE_MS)
    driver.submit(1_000)
    driver.claim(session_id, 1_000, ttl_ms=60_000)
    driver.now_ms += LEASE_MS
    for _ in range(20):
        before = len(driver.events)
        driver.batch()
        lost = [e for e in driver.events[before:] if e.kind is EventKind.TASK_LEASE_LOST]
        assert len(lost) <= 100
    assert not driver.machine.state.ctx.behind
    assert set(driver.states()) == {TaskState.READY}
