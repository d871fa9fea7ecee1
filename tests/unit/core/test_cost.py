"""Applying a request at its documented maximum: the estimate, what it follows, and the time."""

from __future__ import annotations

import pytest

from bench.bounds.cases import CASES, Case
from bench.bounds.measure import measure_compaction, measure_reads
from bench.bounds.world import World
from coord.codec.commands import decode
from coord.codec.kinds import CommandKind
from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Rejected
from coord.core.base.request import RequestId
from coord.core.batch import Batch, Command, Request
from coord.core.cluster.commands import RaiseLevel
from coord.core.cost import cost_us
from coord.core.kv.commands import KvDelete, KvPut, KvRange, KvTxn
from coord.core.machine import Machine
from coord.core.sessions.commands import CloseSession, OpenSession
from coord.core.tasks.commands import (
    ClaimTasks,
    FailItem,
    FailTasks,
    PauseQueue,
    RedriveQueue,
    SubmitTasks,
    TaskSpec,
)
from coord.runtime.proposer import ProposerLimits

KEYS = 3 * LIMITS.max_txn_rows
REQUEST_MS, ENTRY_MS = 20, 50
SLOWER = 5  # than the machines that the limits were chosen on, or busier


@pytest.fixture(scope="module")
def world() -> World:
    return World(KEYS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_entry_has_room_for_every_request(world: World, case: Case) -> None:
    message = case.make(world, 1_000)
    raw = message.SerializeToString()
    estimate = cost_us(world.machine.state, decode(case.kind, raw), len(raw))
    assert estimate <= 1_000 * REQUEST_MS * 5 // 4
    assert estimate < ProposerLimits().max_entry_cost_us < ENTRY_MS * 1_000
    measured = world.run(case.kind, message)
    assert not isinstance(measured.reply, Rejected)
    assert measured.total_ms < SLOWER * max(1.0, estimate / 1_000)
    assert measured.total_ms < SLOWER * REQUEST_MS


def test_reads_and_compactions_are_done_in_time(world: World) -> None:
    measured = [*measure_reads(world, 3), *measure_compaction(world)]
    assert [one for one in measured if one.best_ms > SLOWER * REQUEST_MS] == []


def test_estimates_follow_the_state() -> None:
    machine = Machine()
    state = machine.state

    def do(command: Command, session_id: int = 0) -> None:
        identity = RequestId(session_id, 0, 0) if session_id else None
        machine.apply(Batch(1, 1, [Request(command, identity)]))

    do(RaiseLevel(1))
    do(OpenSession(60_000, b"n"))
    claim = ClaimTasks(("q", "other"), 1_000, 50_000)
    redrive = RedriveQueue("q", 1_000)
    close = CloseSession(1)
    idle = [cost_us(state, command, 0) for command in (claim, redrive, close)]
    do(SubmitTasks([TaskSpec("q", b"") for _ in range(100)]))
    ready = cost_us(state, claim, 0)
    assert ready > idle[0]
    do(claim, 1)
    assert cost_us(state, claim, 0) == idle[0]
    assert cost_us(state, close, 0) > idle[2]
    items = [
        FailItem(task.task_id, task.token, "", retryable=False) for task in state.tasks.values()
    ]
    do(FailTasks(items))
    assert cost_us(state, redrive, 0) > idle[1]


def test_estimates_follow_what_a_request_names() -> None:
    machine = Machine()
    for number in range(100):
        put = KvPut(b"%03d" % number, b"")
        machine.apply(Batch(1, 1, [Request(put)]))
    state = machine.state
    few, many = KvDelete(b"0", b"001"), KvDelete(b"0", b"1")
    assert cost_us(state, few, 0) < cost_us(state, many, 0)
    one = KvTxn([], [KvRange(b"0", b"001")], [])
    all_keys = KvTxn([], [KvTxn([], [], [KvRange(b"0", b"1")])], [])
    assert cost_us(state, one, 0) < cost_us(state, all_keys, 0)
    plain, labels = TaskSpec("q", b""), TaskSpec("q", b"", labels={"a": "b", "c": "d"})
    assert cost_us(state, SubmitTasks([plain]), 0) < cost_us(state, SubmitTasks([labels]), 0)
    assert cost_us(state, SubmitTasks([plain]), 0) < cost_us(state, SubmitTasks([plain]), 10**6)
    assert cost_us(state, PauseQueue("q", True), 0) > 0


def test_kinds_of_the_cases_are_those_that_can_be_large() -> None:
    assert {case.kind for case in CASES} >= {
        CommandKind.SUBMIT_TASKS,
        CommandKind.CLAIM_TASKS,
        CommandKind.COMPLETE_TASKS,
        CommandKind.REDRIVE_QUEUE,
        CommandKind.KV_DELETE,
        CommandKind.KV_TXN,
    }
