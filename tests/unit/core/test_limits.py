"""Every limit of `coord.core.base.limits`: what is at it is accepted, what is one beyond it is not.

The tables are the register of limits: a new field of `Limits` without a line here fails. What one
request asks for goes into REQUESTS, with the real limits; what the state holds goes into STATES,
where limits are scaled down to SMALL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from coord.core.base.limits import LIMITS, Limits
from coord.core.base.refusal import Reason, Rejected
from coord.core.base.request import RequestId
from coord.core.batch import Batch, Command, Request
from coord.core.cluster.commands import RaiseLevel, SetQuota
from coord.core.kv.commands import (
    CompareResult,
    CompareTarget,
    KvCompare,
    KvDelete,
    KvOp,
    KvPut,
    KvRange,
    KvRangeReply,
    KvTxn,
)
from coord.core.locks.commands import AcquireLock
from coord.core.machine import Machine
from coord.core.sessions.commands import OpenSession, SessionOpened
from coord.core.tasks.commands import (
    CancelTask,
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
    SubmitTasks,
    TaskSpec,
)
from coord.core.tasks.queries import TaskPage, list_tasks
from coord.core.validate import validate

SMALL = 3
SPEC = TaskSpec("q", b"")
LOCK = AcquireLock("l", "h", 0, 0)
OPEN = OpenSession(5_000, b"n")
CLAIM = ClaimTasks(("q",), 1, 500)
REFUSALS = {Reason.TOO_LARGE, Reason.INVALID_ARGUMENT}


# ---- what one request asks for

Ask = Callable[[int], Command]


def labels(count: int) -> dict[str, str]:
    return {f"k{n}": "v" for n in range(count)}


def split(count: int) -> list[int]:
    """Into parts of as many labels as a task may have, and the rest."""
    each = LIMITS.max_labels
    return [each] * (count // each) + [count % each]


def txn(
    *, compare: Any = (), success: list[KvOp] | None = None, failure: list[KvOp] | None = None
) -> KvTxn:
    return KvTxn(list(compare), success or [], failure or [])


def compare(key: bytes) -> KvCompare:
    return KvCompare(key, CompareTarget.VERSION, CompareResult.EQUAL, 0)


def puts(count: int) -> list[KvOp]:
    return [KvPut(b"k%d" % n, b"") for n in range(count)]


REQUESTS: dict[str, tuple[Ask, ...]] = {
    "max_name_bytes": (
        lambda n: PauseQueue("q" * n, True),
        lambda n: SubmitTasks([replace(SPEC, queue="q" * n)]),
        lambda n: SubmitTasks([replace(SPEC, type="t" * n)]),
        lambda n: SubmitTasks([replace(SPEC, idempotency_key="k" * n)]),
        lambda n: SubmitTasks([replace(SPEC, labels={"k" * n: "v" * n})]),
        lambda n: replace(OPEN, name="\u00e9" * (n // 2) + "e" * (n % 2)),
        lambda n: replace(CLAIM, worker="w" * n),
        lambda n: replace(LOCK, name="l" * n),
        lambda n: replace(LOCK, holder="h" * n),
    ),
    "max_key_bytes": (
        lambda n: KvPut(b"k" * n, b""),
        lambda n: KvDelete(b"k" * n),
        lambda n: KvDelete(b"k", b"l" * (n + 1)),  # the end behind the longest key
        lambda n: txn(compare=[compare(b"k" * n)]),
    ),
    "max_value_bytes": (
        lambda n: KvPut(b"k", b"v" * n),
        lambda n: txn(success=[KvPut(b"k", b"v" * n)]),
    ),
    "max_payload_bytes": (
        lambda n: SubmitTasks([SPEC, replace(SPEC, payload=b"p" * n)]),
        lambda n: CompleteTasks([CompleteItem("t1", 1, b"r" * n)]),
        lambda n: HeartbeatTasks([HeartbeatItem("t1", 1, b"c" * n)]),
    ),
    "max_error_bytes": (
        lambda n: FailTasks([FailItem("t1", 1, "e" * n, True)]),
        lambda n: CancelTask("t1", "r" * n),
    ),
    "max_batch_items": (
        lambda n: SubmitTasks([SPEC] * n),
        lambda n: replace(CLAIM, max_tasks=n),
        lambda n: HeartbeatTasks([HeartbeatItem("t1", 1)] * n),
        lambda n: CompleteTasks([CompleteItem("t1", 1, b"")] * n),
        lambda n: FailTasks([FailItem("t1", 1, "", True)] * n),
        lambda n: ReleaseTasks([ReleaseItem("t1", 1, 0)] * n),
    ),
    "max_txn_ops": (
        lambda n: txn(success=puts(n)),
        lambda n: txn(failure=puts(n)),
        lambda n: txn(success=[txn(success=puts(n - 1))]),
        lambda n: txn(compare=[compare(b"k")] * n),
    ),
    "max_labels": (
        lambda n: SubmitTasks([replace(SPEC, labels=labels(n))]),
        lambda n: replace(OPEN, labels=labels(n)),
    ),
    "max_batch_labels": (
        lambda n: SubmitTasks([replace(SPEC, labels=labels(k)) for k in split(n)]),
        lambda n: SubmitTasks(
            [
                replace(SPEC, idempotency_key="k"),
                *(replace(SPEC, labels=labels(k)) for k in split(n - 1)),
            ]
        ),
    ),
    "max_queues_per_call": (
        lambda n: replace(CLAIM, queues=tuple(f"q{i}" for i in range(n))),
        lambda n: replace(OPEN, queues=tuple(f"q{i}" for i in range(n))),
    ),
    "min_ttl_ms": (
        lambda n: replace(OPEN, ttl_ms=n),
        lambda n: replace(CLAIM, lease_ttl_ms=n),
        lambda n: replace(LOCK, ttl_ms=n),
    ),
    "max_ttl_ms": (
        lambda n: replace(OPEN, ttl_ms=n),
        lambda n: replace(CLAIM, lease_ttl_ms=n),
        lambda n: replace(LOCK, ttl_ms=n),
    ),
    "max_duration_ms": (
        lambda n: SubmitTasks([replace(SPEC, delay_ms=n)]),
        lambda n: SubmitTasks([replace(SPEC, backoff_initial_ms=n)]),
        lambda n: SubmitTasks([replace(SPEC, backoff_max_ms=n)]),
        lambda n: SubmitTasks([replace(SPEC, attempt_timeout_ms=n)]),
        lambda n: SubmitTasks([replace(SPEC, progress_timeout_ms=n)]),
        lambda n: SubmitTasks([replace(SPEC, total_timeout_ms=n)]),
        lambda n: SubmitTasks([replace(SPEC, retention_ms=n)]),
        lambda n: FailTasks([FailItem("t1", 1, "", True, n)]),
        lambda n: ReleaseTasks([ReleaseItem("t1", 1, n)]),
        lambda n: replace(LOCK, wait_ms=n),
    ),
    "max_attempts": (lambda n: SubmitTasks([replace(SPEC, max_attempts=n)]),),
    "max_list_items": (
        lambda n: RedriveQueue("q", n),
        lambda n: replace(OPEN, slots=n),
    ),
}


@pytest.mark.parametrize(
    ("name", "ask"), [(name, ask) for name, asks in REQUESTS.items() for ask in asks]
)
def test_a_request_at_a_limit_and_one_beyond(name: str, ask: Ask) -> None:
    limit: int = getattr(LIMITS, name)
    assert validate(ask(limit)) is None
    refused = validate(ask(limit - 1 if name.startswith("min_") else limit + 1))
    assert refused is not None
    assert refused.reason in REFUSALS


# ---- what the state holds


class World:
    """A machine with one limit scaled down, and a session that asks."""

    def __init__(self, name: str, limit: int = SMALL, level: int = 0) -> None:
        self.machine = Machine(limits=replace(LIMITS, **{name: limit}))
        self.now_ms = 1
        if level:
            self.do(RaiseLevel(level), session=0)
        (opened,) = self.do(OpenSession(60_000, b"n"), session=0)
        self.session: int = opened.session_id

    @property
    def state(self) -> Any:
        return self.machine.state

    def do(self, *commands: Command, session: int | None = None, sequence: int = 0) -> list[Any]:
        session_id = self.session if session is None else session
        identity = RequestId(session_id, sequence, 0) if session_id else None
        requests = [Request(command, identity) for command in commands]
        return self.machine.apply(Batch(self.now_ms, 1, requests)).replies

    def finished_task(self) -> str:
        ((task_id, _, _),) = self.do(SubmitTasks([SPEC]))[0].tasks
        self.do(CancelTask(task_id, ""))
        return str(task_id)


def sessions() -> None:
    world = World("max_sessions")
    for number in range(SMALL - 1):
        assert isinstance(world.do(OpenSession(60_000, b"%d" % number))[0], SessionOpened)
    (refused,) = world.do(OpenSession(60_000, b"one more"))
    assert refused.reason is Reason.LIMIT_EXCEEDED


def replies() -> None:
    """At level 0 the oldest is given up for the newest; it is refused then, not done again."""
    world = World("max_replies_per_session")
    put = [KvPut(b"%d" % number, b"") for number in range(SMALL + 2)]
    first = [world.do(put[n], sequence=n)[0] for n in range(1, SMALL + 1)]
    assert [world.do(put[n], sequence=n)[0] for n in range(1, SMALL + 1)] == first
    world.do(put[SMALL + 1], sequence=SMALL + 1)
    (forgotten,) = world.do(put[1], sequence=1)
    assert forgotten.reason is Reason.SEQUENCE_FORGOTTEN
    assert world.do(put[2], sequence=2) == first[1:2]


def waiters() -> None:
    world = World("max_waiters_per_lock")
    world.do(LOCK)
    for number in range(SMALL):
        (queued,) = world.do(replace(LOCK, holder=f"h{number}", wait_ms=1_000))
        assert queued.queued
    (refused,) = world.do(replace(LOCK, holder="one more", wait_ms=1_000))
    assert refused.reason is Reason.LIMIT_EXCEEDED


def oldest_readable_is_compacted_with_one_more(world: World, put: KvPut) -> None:
    """`SMALL` puts behind the first are kept as they were; one more is too many."""
    (first,) = world.do(put)
    for _ in range(SMALL):
        world.do(put)

    def read() -> KvRangeReply | Rejected:
        reply: KvRangeReply | Rejected = world.state.kv.range(
            KvRange(put.key, revision=first.revision), world.state.revision
        )
        return reply

    assert isinstance(read(), KvRangeReply)
    world.do(put)
    refused = read()
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.REVISION_COMPACTED


def history_revisions() -> None:
    world = World("kv_history_revisions")
    oldest_readable_is_compacted_with_one_more(world, KvPut(b"k", b""))


def history_bytes() -> None:
    # Each put leaves what was there before: a key of one byte with its value.
    world = World("kv_history_bytes", SMALL * 5)
    oldest_readable_is_compacted_with_one_more(world, KvPut(b"k", b"four"))


def finished_tasks() -> None:
    """At level 0 the task that ended first is forgotten."""
    world = World("max_finished_tasks")
    tasks = [world.finished_task() for _ in range(SMALL)]
    assert len(world.state.finished) == SMALL
    world.finished_task()
    assert len(world.state.finished) == SMALL
    (refused,) = world.do(CancelTask(tasks[0], ""))
    assert refused.reason is Reason.TASK_NOT_FOUND


def expiries() -> None:
    """What is left over is carried out by the next batch."""
    for count, left in ((SMALL, False), (SMALL + 1, True)):
        world = World("max_expiries_per_batch")
        world.do(SubmitTasks([SPEC] * count), ClaimTasks(("q",), count, 500))
        world.now_ms += 500
        world.do()
        assert world.state.ctx.behind is left
        world.do()
        assert not world.state.ctx.behind


def listed() -> None:
    world = World("max_list_items")
    world.do(SubmitTasks([SPEC] * (SMALL + 1)))
    for asked in (SMALL, SMALL + 1, 0):
        page = list_tasks(world.state, limit=asked)
        assert isinstance(page, TaskPage)
        assert (len(page.tasks), page.more) == (SMALL, True)


def read_all(world: World, **limits: int) -> KvRangeReply | Rejected:
    """All keys, as a read from outside the log."""
    reply: KvRangeReply | Rejected = world.state.kv.range(
        KvRange(b"\0", b"\0"), world.state.revision, replace(LIMITS, **limits)
    )
    return reply


def keys_of_one_read() -> None:
    world = World("max_range_keys")
    world.do(*(KvPut(b"%d" % number, b"") for number in range(SMALL)))
    assert isinstance(read_all(world, max_range_keys=SMALL), KvRangeReply)
    world.do(KvPut(b"one more", b""))
    refused = read_all(world, max_range_keys=SMALL)
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.TOO_LARGE


def bytes_of_one_answer() -> None:
    world = World("max_answer_bytes")
    world.do(KvPut(b"k", b"value"))
    size = len(b"kvalue") + 48  # what an answer takes for each key beside it
    assert isinstance(read_all(world, max_answer_bytes=size), KvRangeReply)
    refused = read_all(world, max_answer_bytes=size - 1)
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.TOO_LARGE


def level_1(name: str, limit: int = SMALL) -> World:
    world = World(name, limit)
    world.do(RaiseLevel(1))
    return world


def is_too_large(reply: Any) -> bool:
    return isinstance(reply, Rejected) and reply.reason is Reason.TOO_LARGE


ALL = KvRange(b"\0", b"\0")


def rows_of_a_transaction() -> None:
    world = level_1("max_txn_rows")
    read = txn(success=[ALL])
    for count in range(SMALL + 1):
        assert not is_too_large(world.do(read)[0])
        world.do(KvPut(b"k%d" % count, b""))
    assert is_too_large(world.do(read)[0])


def weight_of_what_is_written() -> None:
    world = level_1("row_weight_written", LIMITS.max_txn_rows // SMALL)
    world.do(*[KvPut(b"k%d" % n, b"") for n in range(SMALL + 1)])
    assert not is_too_large(world.do(KvDelete(b"k0", b"k%d" % SMALL))[0])
    world.do(*[KvPut(b"k%d" % n, b"") for n in range(SMALL + 1)])
    assert is_too_large(world.do(KvDelete(b"k", b"l"))[0])


def bytes_of_a_reply() -> None:
    # 48 bytes beside key and value.
    world = level_1("max_reply_bytes", 100)
    for size, large in ((51, False), (52, True)):
        world.do(KvPut(b"k", b"v" * size))
        assert is_too_large(world.do(KvDelete(b"k", b"l", prev_kv=True))[0]) is large


def bytes_of_a_claim() -> None:
    for size, brought in ((5, 2), (6, 1)):
        world = level_1("max_claim_bytes", 10)
        world.do(SubmitTasks([replace(SPEC, payload=b"p" * n) for n in (5, size)]))
        (claimed,) = world.do(replace(CLAIM, max_tasks=2))
        assert len(claimed.tasks) == brought


def history_rows() -> None:
    world = level_1("kv_history_rows")
    oldest_readable_is_compacted_with_one_more(world, KvPut(b"k", b""))


def redriven_at_once() -> None:
    for count, left in ((SMALL, False), (SMALL + 1, True)):
        world = level_1("max_redriven_at_once")
        world.do(SubmitTasks([SPEC] * count))
        (claimed,) = world.do(replace(CLAIM, max_tasks=count))
        items = [FailItem(task_id, token, "", False) for task_id, token, _, _ in claimed.tasks]
        world.do(FailTasks(items))
        (reply,) = world.do(RedriveQueue("q", count))
        assert (reply.redriven, world.machine.has_chores) == (count, left)


def is_full(reply: Any) -> bool:
    return isinstance(reply, Rejected) and reply.reason is Reason.LIMIT_EXCEEDED


def kept_tasks() -> None:
    """From level 1 on; the last one is left to another queue."""
    world = World("max_tasks", 10, level=1)
    assert not is_full(world.do(SubmitTasks([SPEC] * 9))[0])
    assert is_full(world.do(SubmitTasks([SPEC]))[0])
    other = SubmitTasks([replace(SPEC, queue="other")])
    assert [is_full(reply) for reply in world.do(other, other)] == [True, True]
    world = World("max_tasks", 20, level=1)
    assert not is_full(world.do(SubmitTasks([SPEC] * 18))[0])
    assert [is_full(reply) for reply in world.do(other, other)] == [False, True]


def queues() -> None:
    world = World("max_queues", level=1)
    asked = [PauseQueue(f"q{number}", True) for number in range(SMALL + 1)]
    assert [is_full(reply) for reply in world.do(*asked)] == [False] * SMALL + [True]


def locks() -> None:
    """The last tenth is left to other sessions."""
    world = World("max_locks", 20, level=1)
    asked = [replace(LOCK, name=f"l{number}") for number in range(19)]
    assert [is_full(reply) for reply in world.do(*asked)] == [False] * 18 + [True]


def waits() -> None:
    world = World("max_waiters", 20, level=1)
    world.do(LOCK)
    asked = [replace(LOCK, holder=f"h{number}", wait_ms=1_000) for number in range(19)]
    assert [is_full(reply) for reply in world.do(*asked)] == [False] * 18 + [True]


def keys() -> None:
    world = World("max_keys", level=1)
    asked = [KvPut(b"k%d" % number, b"") for number in range(SMALL + 1)]
    assert [is_full(reply) for reply in world.do(*asked)] == [False] * SMALL + [True]
    assert not is_full(world.do(asked[0])[0])


def reply_bytes() -> None:
    """As soon as so much is kept, there is no room for another reply."""
    world = World("max_reply_bytes_per_session", level=1)
    put = KvPut(b"k", b"")
    assert not is_full(world.do(put, sequence=1)[0])
    assert is_full(world.do(put, sequence=2)[0])
    assert not is_full(world.do(put, sequence=1)[0])


def smallest_quota() -> None:
    bound = LIMITS.min_quota_bytes
    assert validate(SetQuota(bound)) is None
    assert validate(SetQuota(0)) is None
    refused = validate(SetQuota(bound - 1))
    assert refused is not None
    assert refused.reason is Reason.INVALID_ARGUMENT


STATES: dict[str, Callable[[], None]] = {
    "max_range_keys": keys_of_one_read,
    "max_answer_bytes": bytes_of_one_answer,
    "max_tasks": kept_tasks,
    "max_queues": queues,
    "max_locks": locks,
    "max_waiters": waits,
    "max_keys": keys,
    "max_reply_bytes_per_session": reply_bytes,
    "min_quota_bytes": smallest_quota,
    "max_sessions": sessions,
    "max_replies_per_session": replies,
    "max_waiters_per_lock": waiters,
    "kv_history_revisions": history_revisions,
    "kv_history_bytes": history_bytes,
    "kv_history_rows": history_rows,
    "max_txn_rows": rows_of_a_transaction,
    "row_weight_written": weight_of_what_is_written,
    "max_reply_bytes": bytes_of_a_reply,
    "max_claim_bytes": bytes_of_a_claim,
    "max_redriven_at_once": redriven_at_once,
    "max_finished_tasks": finished_tasks,
    "max_expiries_per_batch": expiries,
    "max_list_items": listed,
}


@pytest.mark.parametrize("name", STATES)
def test_a_state_at_a_limit_and_one_beyond(name: str) -> None:
    STATES[name]()


def test_every_limit_is_tested() -> None:
    assert {*REQUESTS, *STATES} == {field.name for field in fields(Limits)}
