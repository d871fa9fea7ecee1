"""What a node can say of a lease from what it has applied itself."""

from __future__ import annotations

from coord.core.base.request import RequestId
from coord.core.batch import Applied, Batch, Command, Request
from coord.core.machine import Machine
from coord.core.sessions.commands import OpenSession
from coord.core.tasks.commands import CancelTask, ClaimTasks, SubmitTasks, TaskSpec, TaskState
from coord.runtime.lease_watch import LeaseWatch, Lost
from tests.support.core_rows import read_view


class Node:
    """A state machine, a watch over it, and what the watch has told."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.watch = LeaseWatch(lambda: self.machine.state)
        self.told: list[Lost] = []
        self.apply(OpenSession(60_000, b"n"))

    def apply(self, *commands: Command, now_ms: int = 1, session: int = 0) -> Applied:
        identity = RequestId(session, 0, 0) if session else None
        requests = [Request(command, identity) for command in commands]
        applied = self.machine.apply(Batch(now_ms, 1_000_000, requests))
        self.watch.dispatch(applied.events)
        return applied

    def tell(self, lost: Lost) -> None:
        self.told.append(lost)

    def claimed(self) -> tuple[str, int]:
        """A task that is held, and its token."""
        self.apply(SubmitTasks([TaskSpec("q", b"")]))
        self.apply(ClaimTasks(("q",), 1, 1_000, "w"), session=1)
        task = next(reversed(list(self.machine.state.tasks.values())))
        return task.task_id, task.token


def test_a_lost_lease_is_told_once_and_watched_no_more() -> None:
    node = Node()
    task_id, token = node.claimed()
    node.watch.watch(task_id, token, node.tell)
    assert (node.told, len(node.watch)) == ([], 1)
    node.apply(now_ms=2_000)
    lost = Lost(task_id, token, TaskState.READY, "no heartbeat for 1000 ms")
    assert (node.told, len(node.watch)) == ([lost], 0)
    node.apply(CancelTask(task_id, ""), now_ms=2_001)
    assert node.told == [lost]


def test_what_is_lost_already_is_told_at_once() -> None:
    node = Node()
    task_id, token = node.claimed()
    node.apply(CancelTask(task_id, "why"))
    node.watch.watch(task_id, token, node.tell)
    assert node.told == [Lost(task_id, token, TaskState.CANCELLED, "why")]


def test_a_claim_that_is_not_applied_here_yet_is_no_loss() -> None:
    """The leader handed the task out; this node is behind."""
    node = Node()
    node.apply(SubmitTasks([TaskSpec("q", b"")]))
    revision = node.machine.revision
    node.watch.watch(f"t{revision}", revision + 1, node.tell)
    node.watch.watch(f"t{revision + 2}", revision + 3, node.tell)
    assert node.told == []
    node.apply(ClaimTasks(("q",), 1, 1_000, "w"), session=1)
    node.apply(CancelTask(f"t{revision}", ""))
    assert [lost.task_id for lost in node.told] == [f"t{revision}"]


def test_a_replaced_state_is_looked_through() -> None:
    node = Node()
    task_id, token = node.claimed()
    kept, kept_token = node.claimed()
    node.watch.watch(task_id, token, node.tell)
    node.watch.watch(kept, kept_token, node.tell)
    ahead = Machine.from_rows(read_view(node.machine.freeze()))
    requests = [Request(CancelTask(task_id, ""), None)]
    ahead.apply(Batch(2, 1_000_000, requests))
    node.machine = ahead
    node.watch.look_everywhere()
    assert [(lost.task_id, lost.state) for lost in node.told] == [(task_id, TaskState.CANCELLED)]
    assert len(node.watch) == 1


def test_who_leaves_is_told_nothing() -> None:
    node = Node()
    task_id, token = node.claimed()
    node.watch.watch(task_id, token, node.tell)
    node.watch.unwatch(task_id, token, lambda _: None)  # somebody else's
    assert len(node.watch) == 1
    node.watch.unwatch(task_id, token, node.tell)
    node.apply(now_ms=2_000)
    assert (node.told, len(node.watch)) == ([], 0)
