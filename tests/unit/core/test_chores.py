"""What is too much for one entry goes on over the following ones, and is true at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from coord.core.base.limits import LIMITS, Limits
from coord.core.base.refusal import Reason
from coord.core.base.request import Done, RequestId
from coord.core.batch import Batch, Command, Request
from coord.core.checks import check_delta, check_state, mark
from coord.core.cluster.commands import RaiseLevel
from coord.core.kv.commands import KvCompact, KvPut, KvRange, KvTxn
from coord.core.machine import Machine
from coord.core.sessions.commands import OpenSession
from coord.core.tasks.commands import (
    ClaimTasks,
    FailItem,
    FailTasks,
    RedriveQueue,
    RetryTask,
    SubmitTasks,
    Submitted,
    TaskChanged,
    TaskSpec,
    TaskState,
)
from tests.support.core_rows import read_rows

FEW = replace(LIMITS, max_expiries_per_batch=10, max_redriven_at_once=4)
PART = FEW.max_expiries_per_batch // 2


class Driver:
    def __init__(self, limits: Limits = FEW) -> None:
        self.limits = limits
        self.machine = Machine(limits=limits)
        self.now_ms = 1_000
        self.do(RaiseLevel(1))
        self.session_id = self.do(OpenSession(60_000, b"n")).session_id

    @property
    def state(self) -> Any:
        return self.machine.state

    def do(self, *commands: Command, session_id: int = 0) -> Any:
        before = mark(self.state)
        identity = RequestId(session_id, 0, 0) if session_id else None
        requests = [Request(command, identity) for command in commands]
        applied = self.machine.apply(Batch(self.now_ms, 1, requests))
        check_state(self.state)
        check_delta(before, self.state)
        return applied.replies[0] if applied.replies else None

    def reload(self) -> None:
        """Go on from a snapshot."""
        digest = self.machine.digest()
        self.machine = Machine.from_rows(read_rows(self.machine), self.limits)
        assert self.machine.digest() == digest

    def idle(self, *, reload: bool = False) -> int:
        """Empty entries for as long as one is asked for; how many."""
        entries = 0
        while self.machine.next_deadline_ms(self.now_ms) == self.state.now_ms:
            self.do()
            entries += 1
            assert entries < 1_000
            if reload:
                self.reload()
        return entries

    def history_rows(self) -> int:
        return len(self.state.kv.tables()[1])

    def dead(self, count: int) -> list[str]:
        specs = [TaskSpec("q", b"") for _ in range(count)]
        self.do(SubmitTasks(specs))
        claimed = self.do(ClaimTasks(("q",), count, 50_000), session_id=self.session_id)
        items = [FailItem(task_id, token, "", False) for task_id, token, _, _ in claimed.tasks]
        self.do(FailTasks(items))
        return [item.task_id for item in items]

    def states(self) -> list[TaskState]:
        return [task.state for task in self.state.tasks.values()]


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.mark.parametrize("reload", [False, True])
def test_a_compaction_holds_at_once_and_is_tidied_later(driver: Driver, *, reload: bool) -> None:
    for number in range(33):
        driver.do(KvPut(b"k%d" % (number % 7), b"v"))
    last = driver.machine.revision
    assert driver.do(KvCompact(last - 1)) == Done(last)
    assert driver.state.kv.compacted == last - 1
    refused = driver.state.kv.range(KvRange(b"k0", revision=last - 2), last)
    assert refused.reason is Reason.REVISION_COMPACTED
    kept = driver.state.kv.range(KvRange(b"k", b"l", revision=last - 1), last)
    assert len(kept.kvs) == 7
    assert driver.history_rows() == 33
    assert driver.idle(reload=reload) == -(-32 // PART)
    assert driver.history_rows() == 1
    assert driver.state.kv.range(KvRange(b"k", b"l", revision=last - 1), last) == kept
    assert driver.machine.next_deadline_ms(driver.now_ms) != driver.state.now_ms


def test_an_entry_tidies_so_much_and_no_more(driver: Driver) -> None:
    for number in range(33):
        driver.do(KvPut(b"k%d" % number, b"v"))
    driver.do(KvCompact(driver.machine.revision))
    rows = driver.history_rows()
    driver.do()
    assert driver.history_rows() == rows - PART
    # A write takes away more than it adds, so that tidying comes to an end however much is written.
    before = driver.history_rows()
    driver.do(*[KvPut(b"n%d" % number, b"v") for number in range(3)])
    assert driver.history_rows() < before - PART


def test_a_revision_of_many_keys_is_tidied_in_parts(driver: Driver) -> None:
    driver.do(KvTxn([], [KvPut(b"k%02d" % number, b"") for number in range(23)], []))
    driver.do(KvCompact(driver.machine.revision))
    assert driver.history_rows() == 23
    assert driver.idle(reload=True) == -(-23 // PART)
    assert driver.history_rows() == 0


def test_level_0_compacts_in_one_go() -> None:
    machine = Machine(limits=FEW)
    puts = [Request(KvPut(b"k%d" % number, b"v")) for number in range(33)]
    machine.apply(Batch(1, 1, puts))
    machine.apply(Batch(1, 1, [Request(KvCompact(33))]))
    assert len(machine.state.kv.tables()[1]) == 0
    assert not machine.has_chores


BOUNDS = {
    "revisions": replace(FEW, kv_history_revisions=5),
    "rows": replace(FEW, kv_history_rows=15),
    "bytes": replace(FEW, kv_history_bytes=15 * 410),
}


@pytest.mark.parametrize("bound", BOUNDS)
def test_history_stays_bounded_however_many_keys_a_revision_has(bound: str) -> None:
    """Three keys a revision; a row takes memory beside its key and value, which counts."""
    driver = Driver(BOUNDS[bound])
    for number in range(60):
        puts: list[Any] = [KvPut(b"%02d" % key, b"%d" % number) for key in range(3)]
        driver.do(KvTxn([], puts, []))
        assert driver.history_rows() <= 18
    driver.idle()
    assert 12 <= driver.history_rows() <= 15
    oldest = driver.state.kv.compacted
    read = driver.state.kv.range(KvRange(b"0", b"1", revision=oldest), driver.machine.revision)
    assert len(read.kvs) == 3


@pytest.mark.parametrize("reload", [False, True])
def test_a_large_redrive_has_chosen_its_tasks_and_goes_on(driver: Driver, *, reload: bool) -> None:
    ids = driver.dead(40)
    reply = driver.do(RedriveQueue("q", 39))
    assert (reply.redriven, driver.states().count(TaskState.READY)) == (39, 4)
    again = driver.do(RedriveQueue("q", 39))
    assert again.reason is Reason.LIMIT_EXCEEDED
    # One that is retried meanwhile, and dies again, is not chosen any more.
    assert isinstance(driver.do(RetryTask(ids[-2])), TaskChanged)
    claimed = driver.do(ClaimTasks(("q",), 100, 50_000), session_id=driver.session_id)
    tokens = {task_id: token for task_id, token, _, _ in claimed.tasks}
    driver.do(FailTasks([FailItem(ids[-2], tokens[ids[-2]], "", False)]))
    assert 0 < driver.idle(reload=reload) <= 39 // PART
    dead = [task.task_id for task in driver.state.tasks.values() if task.state is TaskState.DEAD]
    assert dead == ids[-2:], "the one that died later, and the one beyond the limit"
    assert driver.do(RedriveQueue("q", 39)).redriven == 2


def test_a_small_redrive_is_done_at_once(driver: Driver) -> None:
    driver.dead(4)
    assert driver.do(RedriveQueue("q", 100)).redriven == 4
    assert not driver.machine.has_chores


def test_level_0_redrives_in_one_go() -> None:
    driver = Driver()
    driver.dead(9)
    driver.state.ctx.level = 0
    assert driver.do(RedriveQueue("q", 100)).redriven == 9
    assert driver.states() == [TaskState.READY] * 9


def test_a_claim_brings_what_fits_into_an_answer_and_always_something() -> None:
    driver = Driver(replace(FEW, max_claim_bytes=1_000))
    sizes = (400, 600, 1, 1_500, 10)
    driver.do(SubmitTasks([TaskSpec("q", bytes(size)) for size in sizes]))
    brought = []
    for _ in range(4):
        claimed = driver.do(ClaimTasks(("q",), 10, 50_000), session_id=driver.session_id)
        brought.append(len(claimed.tasks))
    assert brought == [2, 1, 1, 1]


def test_labels_of_a_submit_are_bounded_together(driver: Driver) -> None:
    def submit(labels: int) -> SubmitTasks:
        each = LIMITS.max_labels
        counts = [each] * (labels // each) + [labels % each]
        return SubmitTasks(
            [TaskSpec("q", b"", labels={f"l{n}": "v" for n in range(many)}) for many in counts]
        )

    assert isinstance(driver.do(submit(LIMITS.max_batch_labels)), Submitted)
    refused = driver.do(submit(LIMITS.max_batch_labels + 1))
    assert refused.reason is Reason.TOO_LARGE
    driver.state.ctx.level = 0
    assert isinstance(driver.do(submit(LIMITS.max_batch_labels + 1)), Submitted)
