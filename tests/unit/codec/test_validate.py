"""Bounds of sessions, tasks and locks: what is refused, and what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from coord.codec.commands import decode
from coord.codec.kinds import CommandKind
from coord.codec.validate import validate, validate_name, validate_request_id
from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Reason
from coord.core.base.request import RequestId
from coord.core.batch import Command
from coord.core.locks.commands import AcquireLock, CancelLockWait, RefreshLock, ReleaseLock
from coord.core.sessions.commands import CloseSession, KeepAlive, OpenSession
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
    RetryTask,
    SubmitTasks,
    TaskSpec,
)
from coord.pb import lock_pb2
from tests.support.codec_samples import SAMPLES

OPEN = OpenSession(5_000, b"n")
SPEC = TaskSpec("q", b"")
CLAIM = ClaimTasks(("q",), 1, 500)
BEAT = HeartbeatItem("t1", 1)
DONE = CompleteItem("t1", 1, b"")
FAIL = FailItem("t1", 1, "e", True)
LOCK = AcquireLock("l", "", 0, 0)
INVALID, LARGE = Reason.INVALID_ARGUMENT, Reason.TOO_LARGE
MINUS_1 = 2**64 - 1


def submit(**changes: Any) -> SubmitTasks:
    return SubmitTasks([SPEC, replace(SPEC, **changes)])


def labels(count: int) -> dict[str, str]:
    return {f"k{n}": "v" for n in range(count)}


@pytest.mark.parametrize(
    ("command", "reason", "field", "message"),
    [
        (replace(OPEN, ttl_ms=99), INVALID, "ttl_ms", "ttl_ms is 99; allowed is 100 to 86400000"),
        (
            replace(OPEN, ttl_ms=MINUS_1),
            INVALID,
            "ttl_ms",
            f"ttl_ms is {MINUS_1} (-1 sent as unsigned); allowed is 100 to 86400000",
        ),
        (replace(OPEN, ttl_ms=86_400_001), INVALID, "ttl_ms", None),
        (replace(OPEN, nonce=b""), INVALID, "nonce", "nonce must hold 1 to 64 random bytes"),
        (replace(OPEN, nonce=b"n" * 65), LARGE, "nonce", None),
        (replace(OPEN, kind="x"), INVALID, "kind", "kind must be one of client, worker"),
        (replace(OPEN, name="n" * 257), LARGE, "name", None),
        (replace(OPEN, labels=labels(33)), LARGE, "labels", None),
        (replace(OPEN, labels={"": "v"}), INVALID, "labels key", None),
        (replace(OPEN, labels={"k": "v\n"}), INVALID, "labels value", None),
        (replace(OPEN, labels={"k": "\ud800"}), INVALID, "labels value", None),
        (replace(OPEN, queues=("q",) * 65), LARGE, "queues", None),
        (replace(OPEN, queues=("q", "")), INVALID, "queues[1].queues", None),
        (replace(OPEN, slots=10_001), INVALID, "slots", None),
        (replace(OPEN, slots=-1), INVALID, "slots", "slots is -1; allowed is 0 to 10000"),
        (KeepAlive(0), INVALID, "session_id", None),
        (CloseSession(2**64), INVALID, "session_id", None),
        (SubmitTasks([]), INVALID, "tasks", "tasks is empty; 1 to 1000 are allowed"),
        (
            SubmitTasks([SPEC] * 1_001),
            LARGE,
            "tasks",
            "tasks holds 1001 items; at most 1000 are allowed",
        ),
        (submit(queue=""), INVALID, "tasks[1].queue", "tasks[1]: queue must not be empty"),
        (
            submit(queue="a\x00b"),
            INVALID,
            "tasks[1].queue",
            "tasks[1]: queue must not contain control characters",
        ),
        (
            submit(queue="\ud800"),
            INVALID,
            "tasks[1].queue",
            "tasks[1]: queue is not valid UTF-8 text",
        ),
        (submit(queue="ü" * 129), LARGE, "tasks[1].queue", None),
        (
            submit(payload=bytes(1_048_577)),
            LARGE,
            "tasks[1].payload",
            "tasks[1]: payload holds 1048577 bytes; at most 1048576 are allowed",
        ),
        (submit(idempotency_key="k" * 257), LARGE, "tasks[1].idempotency_key", None),
        (submit(type="k" * 257), LARGE, "tasks[1].type", None),
        (submit(labels=labels(33)), LARGE, "tasks[1].labels", None),
        (submit(priority=2**31), INVALID, "tasks[1].priority", None),
        (submit(delay_ms=-1), INVALID, "tasks[1].delay_ms", None),
        (submit(not_before_unix_ms=2**53), INVALID, "tasks[1].not_before_unix_ms", None),
        (submit(max_attempts=1_001), INVALID, "tasks[1].max_attempts", None),
        (submit(backoff_initial_ms=MINUS_1), INVALID, "tasks[1].backoff_initial_ms", None),
        (submit(backoff_max_ms=MINUS_1), INVALID, "tasks[1].backoff_max_ms", None),
        (
            submit(backoff_multiplier_permille=999),
            INVALID,
            "tasks[1].backoff_multiplier_permille",
            "tasks[1]: backoff_multiplier_permille is 999; "
            "allowed is 0 (the default) or 1000 to 100000",
        ),
        (submit(attempt_timeout_ms=MINUS_1), INVALID, "tasks[1].attempt_timeout_ms", None),
        (submit(progress_timeout_ms=MINUS_1), INVALID, "tasks[1].progress_timeout_ms", None),
        (submit(total_timeout_ms=MINUS_1), INVALID, "tasks[1].total_timeout_ms", None),
        (submit(retention_ms=MINUS_1), INVALID, "tasks[1].retention_ms", None),
        (replace(CLAIM, queues=()), INVALID, "queues", None),
        (replace(CLAIM, max_tasks=0), INVALID, "max_tasks", None),
        (replace(CLAIM, max_tasks=1_001), INVALID, "max_tasks", None),
        (replace(CLAIM, lease_ttl_ms=0), INVALID, "lease_ttl_ms", None),
        (replace(CLAIM, worker="\x7f"), INVALID, "worker", None),
        (HeartbeatTasks([]), INVALID, "items", None),
        (HeartbeatTasks([replace(BEAT, task_id="")]), INVALID, "items[0].task_id", None),
        (
            HeartbeatTasks([replace(BEAT, fencing_token=-1)]),
            INVALID,
            "items[0].fencing_token",
            None,
        ),
        (
            HeartbeatTasks([replace(BEAT, checkpoint=bytes(1_048_577))]),
            LARGE,
            "items[0].checkpoint",
            None,
        ),
        (
            HeartbeatTasks([replace(BEAT, progress_permille=1_001)]),
            INVALID,
            "items[0].progress_permille",
            None,
        ),
        (
            CompleteTasks([DONE, replace(DONE, task_id="é" * 200)]),
            LARGE,
            "items[1].task_id",
            None,
        ),
        (CompleteTasks([replace(DONE, result=bytes(1_048_577))]), LARGE, "items[0].result", None),
        (FailTasks([replace(FAIL, error="e" * 16_385)]), LARGE, "items[0].error", None),
        (FailTasks([replace(FAIL, retry_after_ms=-1)]), INVALID, "items[0].retry_after_ms", None),
        (
            ReleaseTasks([ReleaseItem("t1", 1, LIMITS.max_duration_ms + 1)]),
            INVALID,
            "items[0].delay_ms",
            None,
        ),
        (CancelTask(""), INVALID, "task_id", None),
        (CancelTask("t1", "r" * 16_385), LARGE, "reason", None),
        (RetryTask("\n"), INVALID, "task_id", None),
        (RedriveQueue("q", 10_001), INVALID, "limit", None),
        (RedriveQueue("", 1), INVALID, "queue", None),
        (PauseQueue("", True), INVALID, "queue", None),
        (replace(LOCK, name=""), INVALID, "name", None),
        (replace(LOCK, holder="h" * 257), LARGE, "holder", None),
        (
            replace(LOCK, ttl_ms=99),
            INVALID,
            "ttl_ms",
            "ttl_ms is 99; allowed is 0 (the session's) or 100 to 86400000",
        ),
        (replace(LOCK, wait_ms=MINUS_1), INVALID, "wait_ms", None),
        (ReleaseLock("l", -1), INVALID, "fencing_token", None),
        (RefreshLock("", 1), INVALID, "name", None),
        (CancelLockWait("", "h"), INVALID, "name", None),
    ],
)
def test_refused(command: Command, reason: Reason, field: str, message: str | None) -> None:
    rejected = validate(command)
    assert rejected is not None
    assert (rejected.reason, dict(rejected.metadata)["field"]) == (reason, field)
    assert message is None or rejected.message == message
    assert rejected.metadata == tuple(sorted(rejected.metadata))
    if reason is LARGE:
        assert dict(rejected.metadata)["limit"] in rejected.message


@pytest.mark.parametrize(
    "command",
    [
        replace(OPEN, ttl_ms=100, nonce=b"n" * 64, labels=labels(32), queues=("q",) * 64),
        SubmitTasks([replace(SPEC, queue="ü" * 128, payload=bytes(1_048_576))]),
        SubmitTasks([SPEC] * 1_000),
        submit(priority=-(2**31), max_attempts=1_000, backoff_multiplier_permille=1_000),
        HeartbeatTasks([replace(BEAT, checkpoint=b"", progress_permille=1_000)]),
        FailTasks([replace(FAIL, error="line\nline", retry_after_ms=0)]),
        CancelTask("t1", "because\nof this"),
        replace(LOCK, ttl_ms=100, wait_ms=LIMITS.max_duration_ms, holder="h" * 256),
    ],
)
def test_accepted(command: Command) -> None:
    assert validate(command) is None


def test_every_kind_has_bounds() -> None:
    for _, command in SAMPLES.values():
        validate(command)


def test_a_negative_ttl_on_the_wire_is_named_as_what_it_was() -> None:
    message = lock_pb2.AcquireLockRequest(name="l").SerializeToString() + b"\x20" + b"\xff" * 9
    rejected = validate(decode(CommandKind.ACQUIRE_LOCK, message + b"\x01"))
    assert rejected is not None
    assert "(-1 sent as unsigned)" in rejected.message


@pytest.mark.parametrize(
    ("identity", "field"),
    [
        (None, None),
        (RequestId(0, 0, 0), None),
        (RequestId(5, 0, 0), None),
        (RequestId(5, 3, 3), None),
        (RequestId(5, 3, 0), None),
        (RequestId(0, 3, 1), "session_id"),
        (RequestId(-1, 3, 1), "session_id"),
        (RequestId(5, -3, 1), "sequence"),
        (RequestId(5, 3, 4), "acked_below"),
        (RequestId(5, 3, -1), "acked_below"),
    ],
)
def test_identities(identity: RequestId | None, field: str | None) -> None:
    rejected = validate_request_id(identity)
    assert (dict(rejected.metadata)["field"] if rejected else None) == field


def test_names() -> None:
    assert validate_name("queue", "q") is None
    assert validate_name("queue", "", empty_allowed=True) is None
    assert validate_name("queue", "") is not None
    assert validate_name("queue", " ~ü\u00a0\u200b") is None
    for control in "\x00\x1f\x7f":
        assert validate_name("queue", f"q{control}") is not None
        assert validate_name("queue", f"ü{control}") is not None
