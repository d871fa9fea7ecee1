"""The same batches give the same replies, events and digest, on a machine that never stops and on
one that is restored from its snapshot again and again; and a repeated request is answered, not
carried out again. Everything in one log: keys, tasks, locks, sessions, several requests a batch."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.core.base.limits import LIMITS, Limits
from coord.core.base.request import RequestId
from coord.core.batch import Batch, Command, Request
from coord.core.checks import check_delta, check_state, mark
from coord.core.kv.commands import (
    CompareResult,
    CompareTarget,
    KvCompact,
    KvCompare,
    KvDelete,
    KvPut,
    KvRange,
    KvTxn,
)
from coord.core.locks.commands import AcquireLock, CancelLockWait, RefreshLock, ReleaseLock
from coord.core.machine import Machine
from coord.core.sessions.commands import CloseSession, KeepAlive, OpenSession, SessionOpened
from coord.core.tasks.commands import (
    CancelTask,
    Claimed,
    ClaimTasks,
    CompleteItem,
    CompleteTasks,
    FailItem,
    FailTasks,
    HeartbeatItem,
    HeartbeatTasks,
    PauseQueue,
    RedriveQueue,
    ReleaseItem,
    ReleaseTasks,
    RetryTask,
    SubmitTasks,
    TaskSpec,
)
from tests.support.core_rows import read_rows
from tests.support.core_time import FOREVER_MS

NAMES = st.sampled_from(["a", "b"])
KEYS = st.sampled_from([b"k", b"k1", b"m"])
NUMBERS = st.integers(0, 30)  # serials, tokens, session ids: small, so that they often fit
TIMES_MS = st.sampled_from([0, 100, 250, 900])
TASK_IDS = NUMBERS.map(lambda serial: f"t{serial}")

PUTS = st.builds(KvPut, KEYS, st.binary(max_size=3), prev_kv=st.booleans())
DELETES = st.builds(KvDelete, KEYS, st.sampled_from([b"", b"\0"]), st.booleans())
COMPARES = st.builds(
    KvCompare,
    KEYS,
    st.just(CompareTarget.MOD),
    st.sampled_from(CompareResult),
    NUMBERS,
)
TRANSACTIONS = st.builds(
    KvTxn,
    st.lists(COMPARES, max_size=2),
    st.lists(PUTS | DELETES | st.builds(KvRange, KEYS), max_size=2),
    st.lists(PUTS | DELETES, max_size=2),
)
SPECS = st.builds(
    TaskSpec,
    NAMES,
    st.binary(max_size=3),
    priority=st.integers(-2, 2),
    idempotency_key=st.sampled_from(["", "", "k"]),
    delay_ms=TIMES_MS,
    not_before_unix_ms=st.sampled_from([0, 0, 10_500]),
    max_attempts=st.integers(0, 2),
    attempt_timeout_ms=TIMES_MS,
    total_timeout_ms=TIMES_MS,
    retention_ms=TIMES_MS,
    labels=st.dictionaries(NAMES, NAMES),
)
COMMANDS = st.one_of(
    st.builds(OpenSession, st.sampled_from([150, 2_000]), st.sampled_from([b"n", b"o"])),
    st.builds(KeepAlive, NUMBERS),
    st.builds(CloseSession, NUMBERS),
    st.builds(SubmitTasks, st.lists(SPECS, max_size=3)),
    st.builds(SubmitTasks, st.lists(SPECS, min_size=1, max_size=3)),
    st.builds(ClaimTasks, st.just(("a", "b")), st.integers(1, 3), st.just(300), NAMES),
    st.builds(ClaimTasks, st.just(("b",)), st.integers(0, 3), st.just(300), NAMES),
    st.lists(st.builds(HeartbeatItem, TASK_IDS, NUMBERS), max_size=3).map(HeartbeatTasks),
    st.lists(st.builds(CompleteItem, TASK_IDS, NUMBERS, KEYS), max_size=3).map(CompleteTasks),
    st.lists(st.builds(FailItem, TASK_IDS, NUMBERS, NAMES, st.booleans())).map(FailTasks),
    st.lists(st.builds(ReleaseItem, TASK_IDS, NUMBERS, TIMES_MS)).map(ReleaseTasks),
    st.builds(CancelTask, TASK_IDS, NAMES),
    st.builds(RetryTask, TASK_IDS),
    st.builds(RedriveQueue, NAMES, st.integers(0, 2)),
    st.builds(PauseQueue, NAMES, st.booleans()),
    st.builds(AcquireLock, NAMES, NAMES, TIMES_MS, TIMES_MS),
    st.builds(ReleaseLock, NAMES, NUMBERS),
    st.builds(RefreshLock, NAMES, NUMBERS),
    st.builds(CancelLockWait, NAMES, NAMES),
    PUTS,
    DELETES,
    TRANSACTIONS,
    st.builds(KvCompact, NUMBERS),
)
REQUEST_IDS = st.one_of(
    st.none(),
    st.builds(RequestId, st.integers(1, 3), st.integers(0, 9), st.integers(0, 3)),
)
REQUESTS = st.builds(Request, COMMANDS, REQUEST_IDS)
STEPS = st.lists(
    st.tuples(TIMES_MS, st.lists(REQUESTS, max_size=4), st.booleans(), st.integers(-50, 200)),
    max_size=25,
)
OPENING = Batch(0, 10_000, [Request(OpenSession(2_000, nonce)) for nonce in (b"n", b"o", b"p")])


def as_lists(value: Any) -> Any:
    """What comes back from a format that knows lists only."""
    return [as_lists(item) for item in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize("expiries", [LIMITS.max_expiries_per_batch, 1])
@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_restarts_change_nothing(
    expiries: int, steps: list[tuple[int, list[Request], bool, int]]
) -> None:
    """Also where more is overdue than one batch carries out."""
    limits = Limits(max_expiries_per_batch=expiries)
    steady, restarted = Machine(limits=limits), Machine(limits=limits)
    now_ms = 0
    assert steady.apply(OPENING) == restarted.apply(OPENING)
    for step_ms, requests, restart, wall_step_ms in steps:
        now_ms += step_ms
        batch = Batch(now_ms, 10_000 + now_ms + wall_step_ms, requests)
        before = mark(steady.state)
        applied = steady.apply(batch)
        assert restarted.apply(batch) == applied
        check_state(steady.state)
        check_delta(before, steady.state)
        if restart:
            rows = [(name, as_lists(row)) for name, row in read_rows(restarted)]
            restarted = Machine.from_rows(rows, limits)
            check_state(restarted.state)
        assert restarted.digest() == steady.digest()
        assert restarted.next_deadline_ms(FOREVER_MS) == steady.next_deadline_ms(FOREVER_MS)


@settings(max_examples=100, deadline=None)
@given(STEPS, st.lists(COMMANDS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_repeats_change_nothing(
    steps: list[tuple[int, list[Request], bool, int]], commands: list[Command], rng: Any
) -> None:
    machine = Machine()
    machine.apply(OPENING)
    for _, requests, _, _ in steps:
        machine.apply(Batch(0, 10_000, requests))
    opened = machine.apply(Batch(0, 10_000, [Request(OpenSession(60_000, b"own"))]))
    session = opened.replies[0]
    assert isinstance(session, SessionOpened)
    requests = [
        Request(command, RequestId(session.session_id, sequence, 0))
        for sequence, command in enumerate(commands, start=1)
        if not isinstance(command, CloseSession)
    ]
    first = machine.apply(Batch(0, 10_000, requests)).replies
    again = list(zip(requests, first, strict=True))
    # An empty claim is not remembered on purpose: it changed nothing.
    again = [(one, reply) for one, reply in again if reply != Claimed(())]
    rng.shuffle(again)
    digest = machine.digest()
    repeated = machine.apply(Batch(0, 10_000, [one for one, _ in again]))
    assert repeated.replies == [reply for _, reply in again]
    assert repeated.events == []
    assert machine.digest() == digest
