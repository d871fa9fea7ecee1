"""The ways between the states of a task: what the table says; a broken state is noticed."""

from __future__ import annotations

import pytest

from coord.core.base.invariants import InvariantViolation
from coord.core.batch import Batch, Request
from coord.core.checks import check_delta, mark
from coord.core.machine import Machine
from coord.core.tasks.commands import SubmitTasks, TaskSpec, TaskState
from coord.core.tasks.states import COMPLETED, FINISHED, REACHABLE, SCHEDULED, TRANSITIONS


def test_every_state_has_its_ways() -> None:
    assert set(TRANSITIONS) == set(TaskState)
    assert set().union(*TRANSITIONS.values()) == set(TaskState)


def test_nothing_follows_completion_and_everything_can_lead_to_it() -> None:
    assert REACHABLE[COMPLETED] == frozenset()
    assert all(COMPLETED in REACHABLE[state] for state in TaskState if state is not COMPLETED)


@pytest.mark.parametrize("state", list(TaskState))
def test_a_task_is_finished_in_the_states_that_are_final(state: TaskState) -> None:
    machine = Machine()
    machine.apply(Batch(1, 1, [Request(SubmitTasks([TaskSpec("q", b"")]))]))
    (task,) = machine.state.tasks.values()
    task.state = state
    assert task.finished == (state in FINISHED)


def test_a_way_that_there_is_not_is_noticed() -> None:
    machine = Machine()
    machine.apply(Batch(1, 1, [Request(SubmitTasks([TaskSpec("q", b"")]))]))
    (task,) = machine.state.tasks.values()
    task.state = COMPLETED
    before = mark(machine.state)
    task.state = SCHEDULED
    task.mod_revision += 1
    with pytest.raises(InvariantViolation, match="a task takes the ways there are"):
        check_delta(before, machine.state)
