"""Listing page by page: every task once, whatever its state."""

from __future__ import annotations

import pytest

from coord.core.base.request import RequestId
from coord.core.batch import Batch, Command, Request
from coord.core.machine import Machine
from coord.core.sessions.commands import OpenSession
from coord.core.tasks.commands import (
    CancelTask,
    ClaimTasks,
    CompleteItem,
    CompleteTasks,
    FailItem,
    FailTasks,
    SubmitTasks,
    TaskSpec,
    TaskState,
)
from coord.core.tasks.queries import TaskPage, list_tasks

QUEUES = ("a", "b")


def machine_with_tasks_of_all_states() -> Machine:
    """Some tasks of each state in each of two queues, some with a priority."""
    machine = Machine()

    def apply(*commands: Command) -> None:
        requests = [Request(command, RequestId(1, 0, 0)) for command in commands]
        machine.apply(Batch(1, 1_000_000, requests))

    machine.apply(Batch(1, 1_000_000, [Request(OpenSession(60_000, b"n"), None)]))
    specs = [
        TaskSpec(QUEUES[n % 2], b"", priority=n % 3, max_attempts=1, delay_ms=99 if n < 7 else 0)
        for n in range(42)
    ]
    apply(SubmitTasks(specs))
    for queue in QUEUES:
        apply(ClaimTasks((queue,), 12, 60_000, "w"))
    in_state = {of: [t for t in machine.state.tasks.values() if t.state is of] for of in TaskState}
    claimed, ready = in_state[TaskState.CLAIMED], in_state[TaskState.READY]
    done, failed = claimed[0:8], claimed[8:16]
    apply(CompleteTasks([CompleteItem(task.task_id, task.token, b"") for task in done]))
    apply(FailTasks([FailItem(task.task_id, task.token, "", False) for task in failed]))
    apply(*(CancelTask(task.task_id, "") for task in ready[:6]))
    return machine


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("queue", ["", *QUEUES])
@pytest.mark.parametrize("states", [(), *((state,) for state in TaskState)])
def test_every_page_goes_on_behind_the_last(
    states: tuple[TaskState, ...], queue: str, limit: int
) -> None:
    state = machine_with_tasks_of_all_states().state
    wanted = [
        task.task_id
        for task in state.tasks.values()
        if (not states or task.state in states) and queue in {"", task.queue}
    ]
    assert len(wanted) >= 2
    found: list[str] = []
    more = True
    while more:
        page = list_tasks(state, queue, states, limit, found[-1] if found else "")
        assert isinstance(page, TaskPage)
        assert 0 < len(page.tasks) <= limit
        found += [task.task_id for task in page.tasks]
        assert len(found) <= len(wanted), "a task came twice"
        more = page.more
    assert found == wanted
