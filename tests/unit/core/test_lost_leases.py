"""Lost leases: a bound of their own, a return with jitter, from feature level 1 on; and the reason
with which a task is given back."""

from __future__ import annotations

import pytest

from coord.core.base.request import RequestId
from coord.core.batch import Batch, Command, Reply, Request
from coord.core.checks import check_state
from coord.core.cluster.commands import RaiseLevel
from coord.core.machine import Machine
from coord.core.sessions.commands import CloseSession, KeepAlive, OpenSession, SessionOpened
from coord.core.tasks.attempts import DEFAULT_MAX_LOST_LEASES, return_delay_ms
from coord.core.tasks.commands import (
    Claimed,
    ClaimTasks,
    FailItem,
    FailTasks,
    ReleaseItem,
    ReleaseTasks,
    RetryTask,
    SubmitTasks,
    Submitted,
    TaskSpec,
    TaskState,
)
from coord.core.tasks.explain import Explanation, explain_task
from coord.core.tasks.queries import TaskInfo, get_task
from tests.support.core_rows import read_rows

TTL_MS = 1_000


class World:
    """A state machine with one queue, and time that passes."""

    def __init__(self, level: int) -> None:
        self.machine = Machine()
        self.now_ms = 1
        if level:
            self.apply(RaiseLevel(level))

    def apply(self, command: Command, session_id: int = 0) -> Reply:
        request = Request(command, RequestId(session_id, 0, 0) if session_id else None)
        (reply,) = self.machine.apply(Batch(self.now_ms, self.now_ms, [request])).replies
        check_state(self.machine.state)
        return reply

    def pass_ms(self, ms: int) -> None:
        self.now_ms += ms
        self.machine.apply(Batch(self.now_ms, self.now_ms, []))
        check_state(self.machine.state)

    def submit(self, **fields: int) -> str:
        reply = self.apply(SubmitTasks([TaskSpec("q", b"", **fields)]))
        assert isinstance(reply, Submitted)
        return reply.tasks[0][0]

    def worker(self) -> int:
        nonce = str(self.now_ms).encode()
        reply = self.apply(
            OpenSession(60_000_000, nonce, "worker", f"w{self.now_ms}", {}, ("q",), 1)
        )
        assert isinstance(reply, SessionOpened)
        return reply.session_id

    def claim(self, session_id: int) -> tuple[str, int, int, int] | None:
        reply = self.apply(ClaimTasks(("q",), 1, TTL_MS, "w"), session_id)
        assert isinstance(reply, Claimed)
        return reply.tasks[0] if reply.tasks else None

    def claim_and_vanish(self, session_id: int) -> None:
        """Claim once the task is back, and let the lease run out."""
        while self.claim(session_id) is None:
            self.pass_ms(500)
        self.pass_ms(TTL_MS)

    def task(self, task_id: str) -> TaskInfo:
        info = get_task(self.machine.state, task_id)
        assert isinstance(info, TaskInfo)
        return info

    def explain(self, task_id: str) -> Explanation:
        told = explain_task(self.machine.state, task_id)
        assert isinstance(told, Explanation)
        return told


def test_at_level_0_a_lost_lease_is_an_attempt_and_the_task_is_back_at_once() -> None:
    world = World(0)
    task_id, session_id = world.submit(max_attempts=2), world.worker()
    world.claim_and_vanish(session_id)
    assert world.task(task_id).state is TaskState.READY
    world.claim_and_vanish(session_id)
    assert (world.task(task_id).state, world.task(task_id).attempt) == (TaskState.DEAD, 2)


def test_lost_leases_do_not_use_attempts_up() -> None:
    world = World(1)
    task_id, session_id = world.submit(max_attempts=2, backoff_initial_ms=1), world.worker()
    for _ in range(5):
        world.claim_and_vanish(session_id)
    assert world.task(task_id).lost_leases == 5
    for attempt in (6, 7):
        world.pass_ms(60_000)
        claimed = world.claim(session_id)
        assert claimed is not None
        assert claimed[2] == attempt
        world.apply(FailTasks([FailItem(task_id, claimed[1], "own fault", True)]), session_id)
    assert (world.task(task_id).state, world.task(task_id).attempt) == (TaskState.DEAD, 7)
    assert world.explain(task_id).reasons == ("FINISHED", "ATTEMPTS_USED")


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({}, DEFAULT_MAX_LOST_LEASES),
        ({"max_lost_leases": 1}, 1),
        ({"max_lost_leases": 3}, 3),
        ({"max_attempts": 12}, 12),
    ],
)
def test_a_task_is_dead_with_so_many_lost_leases(options: dict[str, int], most: int) -> None:
    world = World(1)
    task_id, session_id = world.submit(**options), world.worker()
    for lost in range(1, most + 1):
        assert world.task(task_id).state is not TaskState.DEAD, lost
        world.claim_and_vanish(session_id)
    assert world.task(task_id).state is TaskState.DEAD
    told = world.explain(task_id)
    assert told.reasons == ("FINISHED", "LOST_LEASES")
    assert f"{most} workers were lost while they held it" in told.summary
    # Fresh attempts come with a fresh budget.
    world.apply(RetryTask(task_id))
    assert (world.task(task_id).lost_leases, world.task(task_id).attempt) == (0, 0)
    world.claim_and_vanish(session_id)
    assert world.task(task_id).state is (TaskState.DEAD if most == 1 else TaskState.SCHEDULED)


def test_the_tasks_of_a_lost_worker_come_back_one_after_the_other() -> None:
    world = World(1)
    session_id = world.worker()
    tasks = [world.submit() for _ in range(20)]
    for _ in tasks:
        world.claim(session_id)
    world.apply(CloseSession(session_id))
    waits = [world.task(task_id).ready_in_ms for task_id in tasks]
    assert len(set(waits)) > 15
    assert max(waits) < 500


def test_the_return_is_the_same_everywhere_and_slower_each_time() -> None:
    assert [return_delay_ms(7, lost) for lost in (1, 2, 3)] == [
        return_delay_ms(7, lost) for lost in (1, 2, 3)
    ]
    for lost in range(1, 1_001):
        window_ms = min(500 * 2 ** (lost - 1), 60_000)
        assert all(0 <= return_delay_ms(serial, lost) < window_ms for serial in range(1, 50))
    assert max(return_delay_ms(serial, 9) for serial in range(200)) > 50_000


def test_a_reason_for_giving_a_task_back_is_kept_until_it_is_claimed() -> None:
    world = World(1)
    task_id, session_id = world.submit(), world.worker()
    claimed = world.claim(session_id)
    assert claimed is not None
    item = ReleaseItem(task_id, claimed[1], 5_000, "no handler" + "x" * 2_000)
    world.apply(ReleaseTasks([item]), session_id)
    world.pass_ms(3_000)
    told = world.explain(task_id)
    assert told.reasons[:2] == ("DELAYED", "GIVEN_BACK")
    assert "worker w gave it back 3 s ago: no handlerxx" in told.summary
    rows = read_rows(world.machine)
    assert read_rows(Machine.from_rows(rows)) == rows
    kept = world.machine.state.tasks[int(task_id[1:])].given_back
    assert kept is not None
    assert len(kept[1]) == 1_024
    world.pass_ms(3_000)
    assert world.claim(session_id) is not None
    assert world.machine.state.tasks[int(task_id[1:])].given_back is None


def test_what_came_with_level_1_is_not_stored_below_it() -> None:
    world = World(0)
    task_id, session_id = world.submit(max_lost_leases=5, max_attempts=2), world.worker()
    claimed = world.claim(session_id)
    assert claimed is not None
    world.apply(ReleaseTasks([ReleaseItem(task_id, claimed[1], 0, "why")]), session_id)
    (row,) = [row for table, row in read_rows(world.machine) if table == "tasks"]
    assert len(row) == 24
    assert len(row[7]) == 10


def test_options_of_level_1_survive_a_snapshot() -> None:
    world = World(1)
    task_id = world.submit(max_lost_leases=5)
    restored = Machine.from_rows(read_rows(world.machine))
    assert restored.digest() == world.machine.digest()
    info = get_task(restored.state, task_id)
    assert isinstance(info, TaskInfo)
    assert info.spec.max_lost_leases == 5


def test_stuck_slots_are_kept_with_the_session_from_level_1_on() -> None:
    for level in (0, 1):
        world = World(level)
        session_id = world.worker()
        world.apply(KeepAlive(session_id, ("t" * 100, *(f"t{n}" for n in range(1, 2_000)))))
        stuck = world.machine.state.sessions[session_id].stuck
        if not level:
            assert stuck == ()
            continue
        assert len(stuck) == 1_000
        assert stuck[0] == "t" * 21
        world.apply(KeepAlive(session_id))
        assert world.machine.state.sessions[session_id].stuck == stuck
        rows = read_rows(world.machine)
        assert read_rows(Machine.from_rows(rows)) == rows
        told = world.explain(world.submit())
        assert told.reasons == ("NEXT", "STUCK_SLOTS")
        assert "t2, t3, t4, ... do not end" in told.summary
        world.apply(KeepAlive(session_id, ()))
        assert world.machine.state.sessions[session_id].stuck == ()
