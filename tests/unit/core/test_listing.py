"""Listings in bounded steps find what walking over everything finds, in the same order."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from coord.core.base.refusal import Rejected
from coord.core.base.request import RequestId
from coord.core.batch import Batch, Request
from coord.core.listing import (
    STEP_ROWS,
    Step,
    lock_step,
    queue_step,
    session_step,
    task_step,
)
from coord.core.locks.commands import AcquireLock
from coord.core.machine import Machine
from coord.core.sessions.commands import OpenSession
from coord.core.state import State
from coord.core.tasks.commands import ClaimTasks, PauseQueue, SubmitTasks, TaskSpec, TaskState
from coord.core.tasks.queries import list_tasks


def apply(machine: Machine, command: object, session_id: int = 0) -> object:
    identity = RequestId(session_id, 0, 0) if session_id else None
    (reply,) = machine.apply(Batch(0, 0, [Request(command, identity)])).replies  # type: ignore[arg-type]
    return reply


def all_tasks(state: State, queue: str, states: list[TaskState], count: int) -> list[int]:
    found: list[int] = []
    step = Step((), 0, False)
    while not step.done:
        step = task_step(state, queue, states, count, step.after)
        assert len(step.found) <= count
        found += step.found
    return found


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(-2, 2)), max_size=30),
    st.integers(0, 8),
    st.sampled_from(["", "a", "b"]),
    st.lists(st.sampled_from(list(TaskState)), max_size=3),
    st.integers(1, 7),
)
def test_steps_find_all_tasks_in_order(
    tasks: list[tuple[str, int]], claims: int, queue: str, states: list[TaskState], count: int
) -> None:
    machine = Machine()
    apply(machine, OpenSession(10**6, b"n"))
    for name, priority in tasks:
        apply(machine, SubmitTasks([TaskSpec(name, b"", priority=priority)]))
    apply(machine, ClaimTasks(("a", "b", "c"), claims or 1, 10**6), 1)
    state = machine.state
    expected = [
        serial
        for serial, task in state.tasks.items()
        if (not queue or task.queue == queue) and (not states or task.state in states)
    ]
    assert all_tasks(state, queue, states, count) == expected


def deep(count: int) -> Machine:
    """A queue with so many ready tasks, one of them with a priority."""
    machine = Machine()
    for start in range(0, count, 1_000):
        specs = [TaskSpec("q", b"") for _ in range(min(1_000, count - start))]
        apply(machine, SubmitTasks(specs))
    apply(machine, SubmitTasks([TaskSpec("q", b"", priority=5)]))
    return machine


def test_one_task_with_a_priority_does_not_make_every_page_scan_the_queue() -> None:
    machine = deep(50_000)
    after, found = 0, 0
    spent_s = 0.0
    for _ in range(20):
        began = time.thread_time()
        step = task_step(machine.state, "q", [TaskState.READY], 100, after)
        spent_s = max(spent_s, time.thread_time() - began)
        after, found = step.after, found + len(step.found)
    assert found == 2_000
    assert spent_s < 0.02  # scanning all of them took 20 ms and more each


def test_a_step_that_finds_nothing_looks_at_so_many_rows_only() -> None:
    machine = deep(3 * STEP_ROWS)
    for number in range(70):  # too many queues for their indexes to be merged
        apply(machine, PauseQueue(f"other{number}", True))
    step = task_step(machine.state, "", [TaskState.DEAD], 10, 0)
    assert (step.found, step.done) == ((), False)
    page = list_tasks(machine.state, "", [TaskState.DEAD])
    assert not isinstance(page, Rejected)
    assert (page.tasks, page.more) == ((), False)


def test_steps_of_queues_locks_and_sessions() -> None:
    machine = Machine()
    sessions = []
    for number in range(5):
        apply(
            machine,
            OpenSession(10**6, b"n%d" % number, kind="worker" if number % 2 else "client"),
        )
        sessions.append(machine.state.revision)
    for number in range(5):
        apply(machine, PauseQueue(f"q{number}", True))
        apply(machine, AcquireLock(f"l{number}", "h", 0, 0), sessions[0])
    state = machine.state
    assert queue_step(state, 3, "") == Step(("q0", "q1", "q2"), "q2", False)
    assert queue_step(state, 3, "q2") == Step(("q3", "q4"), "q4", True)
    assert lock_step(state, "l", 3, "") == Step(("l0", "l1", "l2"), "l2", False)
    assert lock_step(state, "l", 3, "l2") == Step(("l3", "l4"), "l4", True)
    assert lock_step(state, "m", 3, "") == Step((), "", True)
    workers = tuple(sessions[1::2])
    assert session_step(state, "worker", 5, 0).found == workers
    first = session_step(state, "worker", 1, 0)
    assert (first.found, first.done) == (workers[:1], False)
    assert session_step(state, "worker", 5, first.after).found == workers[1:]
