"""What is kept and forgotten, where a scenario would be too long to read."""

from __future__ import annotations

from typing import Any

import pytest

from coord.core.base.limits import Limits
from coord.core.base.request import RequestId
from coord.core.batch import Batch, Command, Request
from coord.core.checks import check_state
from coord.core.cluster.commands import RaiseLevel
from coord.core.machine import Machine
from coord.core.sessions.commands import OpenSession
from coord.core.tasks.commands import (
    ClaimTasks,
    CompleteItem,
    CompleteTasks,
    DeleteQueue,
    QueueDeleted,
    SubmitTasks,
    TaskSpec,
    TaskState,
)
from coord.core.tasks.queries import list_queues
from coord.core.tasks.retention import RESULT_MS
from tests.support.core_rows import read_rows

FEW = Limits(max_expiries_per_batch=5)


class Driver:
    def __init__(self, limits: Limits = FEW, level: int = 1) -> None:
        self.machine = Machine(limits=limits)
        self.now_ms = 0
        if level:
            self.do(RaiseLevel(level))
        self.session_id = self.do(OpenSession(80_000_000, b"n")).session_id

    def do(self, command: Command, session_id: int = 0) -> Any:
        return self.batch(command, session_id=session_id)[0]

    def batch(self, *commands: Command, session_id: int = 0) -> list[Any]:
        request_id = RequestId(session_id, 0, 0) if session_id else None
        requests = [Request(command, request_id) for command in commands]
        return self.machine.apply(Batch(self.now_ms, self.now_ms, requests)).replies

    def submit(self, queue: str, count: int, **fields: Any) -> None:
        self.do(SubmitTasks([TaskSpec(queue, b"", **fields) for _ in range(count)]))

    def claim(self, queue: str, count: int, ttl_ms: int = 60_000) -> list[tuple[str, int]]:
        reply = self.do(ClaimTasks((queue,), count, ttl_ms), self.session_id)
        return [(task_id, token) for task_id, token, *_ in reply.tasks]

    def complete(self, queue: str, count: int) -> None:
        held = self.claim(queue, count)
        self.do(CompleteTasks([CompleteItem(*one, b"") for one in held]))


def test_what_is_forgotten_goes_over_several_batches_the_same_on_a_restored_node() -> None:
    driver = Driver()
    for retention_ms in (0, RESULT_MS, RESULT_MS - 1):
        driver.submit("q", 7, retention_ms=retention_ms)
        driver.complete("q", 7)
    driver.now_ms = RESULT_MS
    left = [21]
    while driver.machine.state.ctx.behind or left == [21]:
        restored = Machine.from_rows(read_rows(driver.machine), FEW)
        restored.apply(Batch(driver.now_ms, driver.now_ms, []))
        driver.batch()
        assert restored.digest() == driver.machine.digest()
        check_state(driver.machine.state)
        left.append(len(driver.machine.state.tasks))
    assert left == [21, 16, 11, 6, 1, 0]


def test_what_one_tenant_left_behind_does_not_hold_up_the_leases_of_another() -> None:
    driver = Driver()
    driver.submit("theirs", 100)
    driver.complete("theirs", 100)
    driver.now_ms = RESULT_MS - 10
    driver.submit("mine", 1)
    driver.claim("mine", 1, ttl_ms=100)
    driver.now_ms = RESULT_MS + 90
    driver.batch()
    states = {task.state for task in driver.machine.state.tasks.values() if task.queue == "mine"}
    assert TaskState.CLAIMED not in states, "the lease is over"
    assert len(driver.machine.state.tasks) > 50


def test_a_queue_can_be_deleted_while_its_retention_is_overdue() -> None:
    driver = Driver()
    driver.submit("q", 20)
    driver.complete("q", 20)
    driver.now_ms = RESULT_MS
    replies = driver.batch(*[DeleteQueue("q", False, 10)] * 2)
    assert replies[-1] == QueueDeleted(5, 0, driver.machine.revision)
    assert driver.machine.next_deadline_ms(1 << 50) == 80_000_000
    check_state(driver.machine.state)


@pytest.mark.parametrize("level", [0, 1])
def test_arrivals_are_trimmed_a_few_at_a_time(level: int) -> None:
    """A task that nobody takes stands before ever more that come and go."""
    driver = Driver(Limits(), level)
    driver.submit("q", 1, priority=-1)
    driver.submit("q", 200, priority=-1)
    queue = driver.machine.state.queues["q"]
    longest = 0
    for at in range(3_000):
        driver.now_ms = 1 + at
        before = len(queue.arrivals) + len(queue.old_arrivals)
        driver.submit("q", 1)
        after = len(queue.arrivals) + len(queue.old_arrivals)
        assert before - after <= 2 * 8  # pairs
        longest = max(longest, after)
        driver.complete("q", 1)
    assert longest < 4 * 201 + 64 + 1_000
    (info,) = [one for one in _queues(driver) if one.queue == "q"]
    assert info.oldest_ready_ms == driver.now_ms


def _queues(driver: Driver) -> Any:
    return list_queues(driver.machine.state, now_ms=driver.now_ms)
