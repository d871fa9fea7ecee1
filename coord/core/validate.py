"""Bounds of `coord.core.base.limits` on a decoded command: `validate` says why it is refused.

Called twice for every command: by a service before it is logged, and by the machine in apply. It
looks at nothing but the command and the feature level, so all nodes agree. Everything here must
give the same answer on every node: no locale, no Unicode tables (they change between Python
versions), no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Reason, Rejected
from coord.core.base.request import RequestId
from coord.core.batch import Command
from coord.core.cluster.commands import RaiseLevel, SetQuota
from coord.core.kv.bounds import KV_VALIDATORS
from coord.core.levels import HIGHEST_LEVEL
from coord.core.locks.commands import AcquireLock, CancelLockWait, RefreshLock, ReleaseLock
from coord.core.sessions.commands import CloseSession, KeepAlive, OpenSession
from coord.core.tasks.commands import (
    CancelTask,
    ClaimTasks,
    CompleteItem,
    CompleteTasks,
    DeleteQueue,
    FailItem,
    FailTasks,
    HeartbeatItem,
    HeartbeatTasks,
    PauseQueue,
    RedriveQueue,
    ReleaseItem,
    ReleaseTasks,
    RetryTask,
    SetQueue,
    SubmitTasks,
    TaskSpec,
)
from coord.core.tasks.records import RetentionPolicy

_CONTROL: Final = frozenset(chr(code) for code in (*range(0x20), 0x7F))
_UINT64_TOP: Final = 1 << 63
_MAX_TOKEN: Final = (1 << 64) - 1
_SESSION_KINDS: Final = ("client", "worker")
_MAX_NONCE_BYTES: Final = 64
_MAX_LEVEL: Final = 1_000
_MAX_UNIX_MS: Final = (1 << 53) - 1
_MAX_QUOTA: Final = 1 << 53
_POLICIES: Final = frozenset(int(policy) for policy in RetentionPolicy)
_POLICY_NAMES: Final = ", ".join(policy.name for policy in RetentionPolicy)
_MAX_PRIORITY: Final = (1 << 31) - 1
_MIN_PRIORITY: Final = -(1 << 31)


def validate(command: Command, level: int = HIGHEST_LEVEL) -> Rejected | None:
    """Why `command` is refused (INVALID_ARGUMENT, TOO_LARGE, ...), or None if it is within bounds.

    Reads nothing but the command; the message names the field and what is allowed. Apply gives the
    level in force; the edge, which may be stricter, leaves it out."""
    check = _VALIDATORS.get(type(command))
    if check is None:
        return KV_VALIDATORS[type(command)](command, level)
    refused = check(command)
    if refused is None and level >= 1 and isinstance(command, SubmitTasks):
        return _labels_and_keys(command)
    return refused


def validate_request_id(request_id: RequestId | None) -> Rejected | None:
    """A sequence counts within a session, so it needs one; `acked_below` cannot be ahead of it."""
    if request_id is None:
        return None
    if not 0 <= request_id.session_id <= _MAX_TOKEN:
        return _out_of_range("session_id", request_id.session_id, 0, _MAX_TOKEN)
    if not 0 <= request_id.sequence <= _MAX_TOKEN:
        return _out_of_range("sequence", request_id.sequence, 0, _MAX_TOKEN)
    if request_id.session_id == 0 and request_id.sequence != 0:
        return _invalid("session_id", "sequence is set, so session_id must name an open session")
    if request_id.sequence != 0 and not 0 <= request_id.acked_below <= request_id.sequence:
        return _out_of_range("acked_below", request_id.acked_below, 0, request_id.sequence)
    return None


def validate_name(field: str, value: str, *, empty_allowed: bool = False) -> Rejected | None:
    """A name: text of 1 to `max_name_bytes` UTF-8 bytes without ASCII control characters."""
    # Nearly all names; within ASCII, printable means the same in every version of Python.
    if value.isascii() and value.isprintable() and 0 < len(value) <= LIMITS.max_name_bytes:
        return None
    if not value:
        return None if empty_allowed else _invalid(field, f"{field} must not be empty")
    return _text(field, value, LIMITS.max_name_bytes)


def too_many(field: str, limit: int, unit: str, count: int = 0) -> Rejected:
    """The refusal of a list that is too long; its length may not be known."""
    return _too_large(field, count or f"more than {limit}", limit, unit)


# ---- refusals


def _invalid(field: str, message: str) -> Rejected:
    return Rejected(Reason.INVALID_ARGUMENT, message, (("field", field),))


def _too_large(field: str, size: int | str, limit: int, unit: str) -> Rejected:
    return Rejected(
        Reason.TOO_LARGE,
        f"{field} holds {size} {unit}; at most {limit} are allowed",
        (("field", field), ("limit", str(limit))),
    )


def _out_of_range(field: str, value: int, low: int, high: int, also: str = "") -> Rejected:
    # A negative number in an unsigned field arrives as its two's complement: say what was meant.
    shown = f"{value} ({value - (1 << 64)} sent as unsigned)" if value >= _UINT64_TOP else value
    return _invalid(field, f"{field} is {shown}; allowed is {also}{low} to {high}")


# ---- building blocks


def _text(field: str, value: str, limit: int) -> Rejected | None:
    """Bounded UTF-8 text on one line."""
    if not value.isprintable() if value.isascii() else not _CONTROL.isdisjoint(value):
        return _invalid(field, f"{field} must not contain control characters")
    return _utf8_size(field, value, limit)


def _utf8_size(field: str, value: str, limit: int) -> Rejected | None:
    if value.isascii():
        size = len(value)
    else:
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            return _invalid(field, f"{field} is not valid UTF-8 text")
    return _too_large(field, size, limit, "bytes") if size > limit else None


def _count(field: str, items: Sequence[Any], limit: int) -> Rejected | None:
    if not items:
        return _invalid(field, f"{field} is empty; 1 to {limit} are allowed")
    return _too_large(field, len(items), limit, "items") if len(items) > limit else None


def _bytes(field: str, value: bytes, limit: int) -> Rejected | None:
    return _too_large(field, len(value), limit, "bytes") if len(value) > limit else None


def _range(field: str, value: int, low: int, high: int) -> Rejected | None:
    return None if low <= value <= high else _out_of_range(field, value, low, high)


def _ttl(field: str, value: int) -> Rejected | None:
    return _range(field, value, LIMITS.min_ttl_ms, LIMITS.max_ttl_ms)


def _duration(field: str, value: int) -> Rejected | None:
    return _range(field, value, 0, LIMITS.max_duration_ms)


def _labels(labels: dict[str, str]) -> Rejected | None:
    if not labels:
        return None
    if len(labels) > LIMITS.max_labels:
        return _too_large("labels", len(labels), LIMITS.max_labels, "items")
    for key, value in labels.items():
        refused = validate_name("labels key", key) or validate_name(
            "labels value", value, empty_allowed=True
        )
        if refused:
            return refused
    return None


def _queues(queues: Sequence[str]) -> Rejected | None:
    if len(queues) > LIMITS.max_queues_per_call:
        return _too_large("queues", len(queues), LIMITS.max_queues_per_call, "items")
    for position, queue in enumerate(queues):
        refused = validate_name("queues", queue)
        if refused:
            return _at(refused, f"queues[{position}]")
    return None


def _at(refused: Rejected, path: str) -> Rejected:
    """Put the position of an item in front of what was said about its field."""
    metadata = tuple(
        (key, f"{path}.{value}" if key == "field" else value) for key, value in refused.metadata
    )
    return Rejected(refused.reason, f"{path}: {refused.message}", metadata)


def _items(
    field: str, items: Sequence[Any], check: Callable[[Any], Rejected | None]
) -> Rejected | None:
    refused = _count(field, items, LIMITS.max_batch_items)
    if refused:
        return refused
    for position, item in enumerate(items):
        refused = check(item)
        if refused is not None:
            return _at(refused, f"{field}[{position}]")
    return None


def _held_task(task_id: str, fencing_token: int) -> Rejected | None:
    if not task_id or len(task_id) > LIMITS.max_name_bytes or not task_id.isascii():
        return validate_name("task_id", task_id)
    return _range("fencing_token", fencing_token, 0, _MAX_TOKEN)


# ---- sessions


def _open_session(command: OpenSession) -> Rejected | None:
    if not command.nonce:
        return _invalid("nonce", f"nonce must hold 1 to {_MAX_NONCE_BYTES} random bytes")
    if command.kind not in _SESSION_KINDS:
        return _invalid("kind", f"kind must be one of {', '.join(_SESSION_KINDS)}")
    return (
        _ttl("ttl_ms", command.ttl_ms)
        or _bytes("nonce", command.nonce, _MAX_NONCE_BYTES)
        or validate_name("name", command.name, empty_allowed=True)
        or _labels(command.labels)
        or _queues(command.queues)
        or _range("slots", command.slots, 0, LIMITS.max_list_items)
    )


def _session_named(command: KeepAlive | CloseSession) -> Rejected | None:
    return _range("session_id", command.session_id, 1, _MAX_TOKEN)


# ---- tasks

_SPEC_BOUNDS: Final = (
    ("priority", _MIN_PRIORITY, _MAX_PRIORITY),
    ("delay_ms", 0, LIMITS.max_duration_ms),
    ("not_before_unix_ms", 0, _MAX_UNIX_MS),
    ("max_attempts", 0, LIMITS.max_attempts),
    ("backoff_initial_ms", 0, LIMITS.max_duration_ms),
    ("backoff_max_ms", 0, LIMITS.max_duration_ms),
    ("attempt_timeout_ms", 0, LIMITS.max_duration_ms),
    ("progress_timeout_ms", 0, LIMITS.max_duration_ms),
    ("total_timeout_ms", 0, LIMITS.max_duration_ms),
    ("retention_ms", 0, LIMITS.max_duration_ms),
)


def _spec(spec: TaskSpec) -> Rejected | None:
    refused = validate_name("queue", spec.queue)
    if refused:
        return refused
    if len(spec.payload) > LIMITS.max_payload_bytes:
        return _bytes("payload", spec.payload, LIMITS.max_payload_bytes)
    if spec.idempotency_key or spec.type or spec.labels:
        refused = (
            validate_name("idempotency_key", spec.idempotency_key, empty_allowed=True)
            or validate_name("type", spec.type, empty_allowed=True)
            or _labels(spec.labels)
        )
        if refused:
            return refused
    # Most tasks leave the numbers at their defaults: one pass over zeros instead of ten checks.
    if (
        spec.priority
        or spec.delay_ms
        or spec.not_before_unix_ms
        or spec.max_attempts
        or spec.backoff_initial_ms
        or spec.backoff_max_ms
        or spec.backoff_multiplier_permille
        or spec.attempt_timeout_ms
        or spec.progress_timeout_ms
        or spec.total_timeout_ms
        or spec.retention_ms
    ):
        return _spec_numbers(spec)
    return None


def _numbers_within(spec: TaskSpec) -> bool:
    """The same as the walk over `_SPEC_BOUNDS`, several times faster."""
    longest = LIMITS.max_duration_ms
    return (
        _MIN_PRIORITY <= spec.priority <= _MAX_PRIORITY
        and 0 <= spec.delay_ms <= longest
        and 0 <= spec.not_before_unix_ms <= _MAX_UNIX_MS
        and 0 <= spec.max_attempts <= LIMITS.max_attempts
        and 0 <= spec.backoff_initial_ms <= longest
        and 0 <= spec.backoff_max_ms <= longest
        and 0 <= spec.attempt_timeout_ms <= longest
        and 0 <= spec.progress_timeout_ms <= longest
        and 0 <= spec.total_timeout_ms <= longest
        and 0 <= spec.retention_ms <= longest
    )


def _spec_numbers(spec: TaskSpec) -> Rejected | None:
    bounds = () if _numbers_within(spec) else _SPEC_BOUNDS
    for field, low, high in bounds:
        value: int = getattr(spec, field)
        if not low <= value <= high:
            return _out_of_range(field, value, low, high)
    permille = spec.backoff_multiplier_permille
    if permille and not 1_000 <= permille <= 100_000:
        return _out_of_range(
            "backoff_multiplier_permille", permille, 1_000, 100_000, also="0 (the default) or "
        )
    return None


def _submit(command: SubmitTasks) -> Rejected | None:
    return _items("tasks", command.tasks, _spec)


def _labels_and_keys(command: SubmitTasks) -> Rejected | None:
    """Each of them costs a fifth of a task."""
    count = 0
    for spec in command.tasks:
        if spec.idempotency_key:
            count += 1
        if spec.labels:
            count += len(spec.labels)
    limit = LIMITS.max_batch_labels
    if count <= limit:
        return None
    return _too_large("labels and idempotency keys of all tasks", count, limit, "items")


def _claim(command: ClaimTasks) -> Rejected | None:
    if not command.queues:
        return _invalid("queues", f"queues is empty; name 1 to {LIMITS.max_queues_per_call}")
    return (
        _queues(command.queues)
        or _range("max_tasks", command.max_tasks, 1, LIMITS.max_batch_items)
        or _ttl("lease_ttl_ms", command.lease_ttl_ms)
        or validate_name("worker", command.worker, empty_allowed=True)
    )


def _heartbeat_item(item: HeartbeatItem) -> Rejected | None:
    refused = _held_task(item.task_id, item.fencing_token)
    if refused:
        return refused
    if item.checkpoint is not None and len(item.checkpoint) > LIMITS.max_payload_bytes:
        return _bytes("checkpoint", item.checkpoint, LIMITS.max_payload_bytes)
    if item.progress_permille is not None:
        return _range("progress_permille", item.progress_permille, 0, 1_000)
    return None


def _heartbeat(command: HeartbeatTasks) -> Rejected | None:
    return _items("items", command.items, _heartbeat_item)


def _complete_item(item: CompleteItem) -> Rejected | None:
    return _held_task(item.task_id, item.fencing_token) or _bytes(
        "result", item.result, LIMITS.max_payload_bytes
    )


def _complete(command: CompleteTasks) -> Rejected | None:
    return _items("items", command.items, _complete_item)


def _fail_item(item: FailItem) -> Rejected | None:
    refused = _held_task(item.task_id, item.fencing_token) or _utf8_size(
        "error", item.error, LIMITS.max_error_bytes
    )
    if refused is None and item.retry_after_ms is not None:
        return _duration("retry_after_ms", item.retry_after_ms)
    return refused


def _fail(command: FailTasks) -> Rejected | None:
    return _items("items", command.items, _fail_item)


def _release_item(item: ReleaseItem) -> Rejected | None:
    return _held_task(item.task_id, item.fencing_token) or _duration("delay_ms", item.delay_ms)


def _release(command: ReleaseTasks) -> Rejected | None:
    return _items("items", command.items, _release_item)


def _cancel(command: CancelTask) -> Rejected | None:
    return validate_name("task_id", command.task_id) or _utf8_size(
        "reason", command.reason, LIMITS.max_error_bytes
    )


def _retry(command: RetryTask) -> Rejected | None:
    return validate_name("task_id", command.task_id)


def _redrive(command: RedriveQueue) -> Rejected | None:
    return validate_name("queue", command.queue) or _range(
        "limit", command.limit, 1, LIMITS.max_list_items
    )


def _pause(command: PauseQueue) -> Rejected | None:
    return validate_name("queue", command.queue)


def _set_queue(command: SetQueue) -> Rejected | None:
    if command.policy and command.policy not in _POLICIES:
        return _invalid("retention_policy", f"retention_policy must be one of {_POLICY_NAMES}")
    return (
        validate_name("queue", command.queue)
        or _range("quota_tasks", command.quota_tasks or 0, 0, _MAX_QUOTA)
        or _range("quota_bytes", command.quota_bytes or 0, 0, _MAX_QUOTA)
    )


def _delete_queue(command: DeleteQueue) -> Rejected | None:
    return validate_name("queue", command.queue) or _range(
        "limit", command.limit, 1, LIMITS.max_batch_items
    )


# ---- locks


def _acquire_lock(command: AcquireLock) -> Rejected | None:
    refused = validate_name("name", command.name) or validate_name(
        "holder", command.holder, empty_allowed=True
    )
    if refused:
        return refused
    ttl_ms = command.ttl_ms
    if ttl_ms and not LIMITS.min_ttl_ms <= ttl_ms <= LIMITS.max_ttl_ms:
        return _out_of_range(
            "ttl_ms", ttl_ms, LIMITS.min_ttl_ms, LIMITS.max_ttl_ms, also="0 (the session's) or "
        )
    return _duration("wait_ms", command.wait_ms)


def _held_lock(command: ReleaseLock | RefreshLock) -> Rejected | None:
    return validate_name("name", command.name) or _range(
        "fencing_token", command.fencing_token, 0, _MAX_TOKEN
    )


def _cancel_wait(command: CancelLockWait) -> Rejected | None:
    return validate_name("name", command.name) or validate_name(
        "holder", command.holder, empty_allowed=True
    )


# ---- the cluster itself


def _raise_level(command: RaiseLevel) -> Rejected | None:
    return _range("level", command.level, 1, _MAX_LEVEL)


def _set_quota(command: SetQuota) -> Rejected | None:
    if 0 < command.limit_bytes < LIMITS.min_quota_bytes:
        return _out_of_range(
            "limit_bytes", command.limit_bytes, LIMITS.min_quota_bytes, _MAX_QUOTA, also="0 or "
        )
    return _range("limit_bytes", command.limit_bytes, 0, _MAX_QUOTA)


_VALIDATORS: Final[dict[type, Callable[[Any], Rejected | None]]] = {
    OpenSession: _open_session,
    KeepAlive: _session_named,
    CloseSession: _session_named,
    SubmitTasks: _submit,
    ClaimTasks: _claim,
    HeartbeatTasks: _heartbeat,
    CompleteTasks: _complete,
    FailTasks: _fail,
    ReleaseTasks: _release,
    CancelTask: _cancel,
    RetryTask: _retry,
    RedriveQueue: _redrive,
    PauseQueue: _pause,
    AcquireLock: _acquire_lock,
    ReleaseLock: _held_lock,
    RefreshLock: _held_lock,
    CancelLockWait: _cancel_wait,
    RaiseLevel: _raise_level,
    SetQueue: _set_queue,
    DeleteQueue: _delete_queue,
    SetQuota: _set_quota,
}
