"""Machine: digests, views, bad snapshots, bounds, and cost per task."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest

from coord.core.base.invariants import InvariantViolation
from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Rejected
from coord.core.base.request import RequestId
from coord.core.base.table import SnapshotFormatError
from coord.core.batch import Applied, Batch, Command, Request
from coord.core.digest import Digester
from coord.core.kv.commands import KvDelete, KvPut
from coord.core.locks.commands import AcquireLock
from coord.core.machine import Machine
from coord.core.sessions.commands import CloseSession, OpenSession
from coord.core.snapshot import FORMAT, LEVEL_FORMAT
from coord.core.tasks.commands import CancelTask, ClaimTasks, RedriveQueue, SubmitTasks, TaskSpec
from coord.core.tasks.queries import list_queues, list_tasks
from tests.support.core_rows import read_rows, read_view


def apply(machine: Machine, *commands: Command, now_ms: int = 1, session: int = 0) -> Applied:
    identity = RequestId(session, 0, 0) if session else None
    requests = [Request(command, identity) for command in commands]
    return machine.apply(Batch(now_ms, 1_000_000, requests))


def busy_machine() -> Machine:
    """A bit of everything."""
    machine = Machine()
    apply(machine, OpenSession(60_000, b"n", labels={"b": "2", "a": "1"}))
    apply(machine, SubmitTasks([TaskSpec("q", b"p", labels={"z": "1", "y": "2"})] * 7))
    apply(machine, ClaimTasks(("q",), 2, 1_000, "w"), AcquireLock("L", "h", 0, 0), session=1)
    apply(machine, AcquireLock("L", "i", 500, 500), session=1)
    apply(machine, KvPut(b"\xff\0", b"v\n"), CancelTask("t4", "\u00e9\u2603"))
    return machine


def test_digest_is_stable() -> None:
    """Written down once: a change of it is a change of what nodes compare."""
    assert busy_machine().digest() == busy_machine().digest() == "266e48d351c23c094e3b7f4c2a025b97"


def test_digest_sees_one_bit() -> None:
    machine, other = busy_machine(), busy_machine()
    other.state.tasks.edit(3).payload = b"q"
    assert machine.digest() != other.digest()


def test_digest_does_not_depend_on_the_order_of_labels() -> None:
    machines = [Machine(), Machine()]
    for machine, labels in zip(machines, ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}), strict=True):
        apply(machine, SubmitTasks([TaskSpec("q", b"", labels=labels)]))
    assert machines[0].digest() == machines[1].digest()


def test_digest_in_slices_is_of_the_moment_it_began() -> None:
    machine = busy_machine()
    expected = machine.digest()
    slices = Digester(machine.state, slice_chars=1)
    assert next(slices) is None
    apply(machine, SubmitTasks([TaskSpec("q", b"later")]), CancelTask("t2"))
    apply(machine, KvDelete(b"\xff\0"), now_ms=5_000)
    *rest, digest = slices
    assert set(rest) == {None}
    assert digest == expected != machine.digest()


def test_views_are_let_go() -> None:
    machine = busy_machine()
    with machine.digest_slices() as slices:
        next(slices)
    view = machine.freeze()
    view.next_rows(1)
    view.close()
    read_view(machine.freeze())
    assert all(not table._views for table in machine.state.tables())


def test_view_of_the_whole_state_while_it_changes() -> None:
    machine = busy_machine()
    expected = read_rows(machine)
    view = machine.freeze()
    apply(machine, CloseSession(1), SubmitTasks([TaskSpec("new", b"")]))
    rows = []
    for step in range(100):
        rows += view.next_rows(1) or []
        apply(machine, RedriveQueue("q", 1), CancelTask(f"t{step}"), KvPut(b"a", b""))
    assert rows == expected


def test_a_repeated_request_is_answered_from_a_restored_state() -> None:
    machine = Machine()
    apply(machine, OpenSession(60_000, b"n"))
    request = Request(KvPut(b"k", b"v"), RequestId(1, 1, 0))
    first = machine.apply(Batch(1, 1_000_000, [request]))
    restored = Machine.from_rows(read_rows(machine))
    again = restored.apply(Batch(1, 1_000_000, [request]))
    assert (again.replies, again.revision) == (first.replies, first.revision)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "revision and time"),
        ([("meta", (LEVEL_FORMAT + 1, 1, 1, 1))], "format 3"),
        ([("nonsense", (1,))], "unknown table 'nonsense'"),
        ([("meta", (FORMAT, 9, 9, 9)), ("replies", (4, 1, (2, 5)))], "session 4"),
    ],
)
def test_bad_snapshots_are_refused(rows: list[tuple[str, tuple[int, ...]]], message: str) -> None:
    with pytest.raises(SnapshotFormatError, match=message):
        Machine.from_rows(rows)


def test_a_row_twice_is_a_violation() -> None:
    rows = read_rows(busy_machine())
    with pytest.raises(InvariantViolation, match="loaded keys are new"):
        Machine.from_rows(rows + [row for row in rows if row[0] == "tasks"])


def test_longest_waiting_task_is_found_behind_priorities() -> None:
    machine = Machine()
    apply(machine, OpenSession(10**6, b"n"))
    apply(machine, SubmitTasks([TaskSpec("q", b"", priority=-1)]), now_ms=10)
    for now_ms in range(20, 520):
        apply(machine, SubmitTasks([TaskSpec("q", b"", priority=5)]), now_ms=now_ms)
        apply(machine, ClaimTasks(("q",), 1, 10**6), now_ms=now_ms, session=1)
    queues = list_queues(machine.state, "q", now_ms=1_000)
    assert not isinstance(queues, Rejected)
    assert queues[0].oldest_ready_ms == 990
    # A task that is never handed out does not make the queue remember all that passed it.
    assert len(machine.state.queues["q"].arrivals) < 200


def test_listing_is_bounded() -> None:
    machine = Machine(limits=replace(LIMITS, max_list_items=3))
    apply(machine, SubmitTasks([TaskSpec("q", b"")] * 5))
    page = list_tasks(machine.state, limit=100)
    assert not isinstance(page, Rejected)
    assert [task.task_id for task in page.tasks] == ["t1", "t2", "t3"]
    assert page.more


def test_a_pending_task_costs_little_memory() -> None:
    machine, count = Machine(), 10_000
    specs = [[TaskSpec("q", bytes(1), type="t") for _ in range(500)] for _ in range(count // 500)]
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for batch in specs:
        apply(machine, SubmitTasks(batch))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (after - before) // count < 1_000


def test_freezing_does_not_depend_on_size() -> None:
    machine = Machine()
    for _ in range(20):
        apply(machine, SubmitTasks([TaskSpec("q", b"")] * 500))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    view = machine.freeze()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    view.close()
    # A view of each table; there are 10,000 tasks.
    assert after - before < 2_500 * len(machine.state.tables())
