"""Bounds of the commands about tasks and queues."""

from __future__ import annotations

from typing import Final

from coord.core.base.bounds import (
    MAX_TOKEN,
    Check,
    check_bytes,
    check_duration,
    check_items,
    check_labels,
    check_queues,
    check_range,
    check_ttl,
    check_utf8_size,
    invalid,
    out_of_range,
    too_large,
    validate_name,
)
from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Rejected
from coord.core.cluster.bounds import _MAX_QUOTA
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

_MAX_UNIX_MS: Final = (1 << 53) - 1
_POLICIES: Final = frozenset(int(policy) for policy in RetentionPolicy)
_POLICY_NAMES: Final = ", ".join(policy.name for policy in RetentionPolicy)
_MAX_PRIORITY: Final = (1 << 31) - 1
_MIN_PRIORITY: Final = -(1 << 31)


def _held_task(task_id: str, fencing_token: int) -> Rejected | None:
    if not task_id or len(task_id) > LIMITS.max_name_bytes or not task_id.isascii():
        return validate_name("task_id", task_id)
    return check_range("fencing_token", fencing_token, 0, MAX_TOKEN)


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
        return check_bytes("payload", spec.payload, LIMITS.max_payload_bytes)
    if spec.idempotency_key or spec.type or spec.labels:
        refused = (
            validate_name("idempotency_key", spec.idempotency_key, empty_allowed=True)
            or validate_name("type", spec.type, empty_allowed=True)
            or check_labels(spec.labels)
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
            return out_of_range(field, value, low, high)
    permille = spec.backoff_multiplier_permille
    if permille and not 1_000 <= permille <= 100_000:
        return out_of_range(
            "backoff_multiplier_permille", permille, 1_000, 100_000, also="0 (the default) or "
        )
    return None


def _submit(command: SubmitTasks, level: int) -> Rejected | None:
    refused = check_items("tasks", command.tasks, _spec)
    if refused is None and level >= 1:
        return _labels_and_keys(command)
    return refused


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
    return too_large("labels and idempotency keys of all tasks", count, limit, "items")


def _claim(command: ClaimTasks, level: int) -> Rejected | None:
    if not command.queues:
        return invalid("queues", f"queues is empty; name 1 to {LIMITS.max_queues_per_call}")
    return (
        check_queues(command.queues)
        or check_range("max_tasks", command.max_tasks, 1, LIMITS.max_batch_items)
        or check_ttl("lease_ttl_ms", command.lease_ttl_ms)
        or validate_name("worker", command.worker, empty_allowed=True)
    )


def _heartbeat_item(item: HeartbeatItem) -> Rejected | None:
    refused = _held_task(item.task_id, item.fencing_token)
    if refused:
        return refused
    if item.checkpoint is not None and len(item.checkpoint) > LIMITS.max_payload_bytes:
        return check_bytes("checkpoint", item.checkpoint, LIMITS.max_payload_bytes)
    if item.progress_permille is not None:
        return check_range("progress_permille", item.progress_permille, 0, 1_000)
    return None


def _heartbeat(command: HeartbeatTasks, level: int) -> Rejected | None:
    return check_items("items", command.items, _heartbeat_item)


def _complete_item(item: CompleteItem) -> Rejected | None:
    return _held_task(item.task_id, item.fencing_token) or check_bytes(
        "result", item.result, LIMITS.max_payload_bytes
    )


def _complete(command: CompleteTasks, level: int) -> Rejected | None:
    return check_items("items", command.items, _complete_item)


def _fail_item(item: FailItem) -> Rejected | None:
    refused = _held_task(item.task_id, item.fencing_token) or check_utf8_size(
        "error", item.error, LIMITS.max_error_bytes
    )
    if refused is None and item.retry_after_ms is not None:
        return check_duration("retry_after_ms", item.retry_after_ms)
    return refused


def _fail(command: FailTasks, level: int) -> Rejected | None:
    return check_items("items", command.items, _fail_item)


def _release_item(item: ReleaseItem) -> Rejected | None:
    return _held_task(item.task_id, item.fencing_token) or check_duration("delay_ms", item.delay_ms)


def _release(command: ReleaseTasks, level: int) -> Rejected | None:
    return check_items("items", command.items, _release_item)


def _cancel(command: CancelTask, level: int) -> Rejected | None:
    return validate_name("task_id", command.task_id) or check_utf8_size(
        "reason", command.reason, LIMITS.max_error_bytes
    )


def _retry(command: RetryTask, level: int) -> Rejected | None:
    return validate_name("task_id", command.task_id)


def _redrive(command: RedriveQueue, level: int) -> Rejected | None:
    return validate_name("queue", command.queue) or check_range(
        "limit", command.limit, 1, LIMITS.max_list_items
    )


def _pause(command: PauseQueue, level: int) -> Rejected | None:
    return validate_name("queue", command.queue)


def _set_queue(command: SetQueue, level: int) -> Rejected | None:
    if command.policy and command.policy not in _POLICIES:
        return invalid("retention_policy", f"retention_policy must be one of {_POLICY_NAMES}")
    return (
        validate_name("queue", command.queue)
        or check_range("quota_tasks", command.quota_tasks or 0, 0, _MAX_QUOTA)
        or check_range("quota_bytes", command.quota_bytes or 0, 0, _MAX_QUOTA)
    )


def _delete_queue(command: DeleteQueue, level: int) -> Rejected | None:
    return validate_name("queue", command.queue) or check_range(
        "limit", command.limit, 1, LIMITS.max_batch_items
    )


BOUNDS: Final[dict[type, Check]] = {
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
    SetQueue: _set_queue,
    DeleteQueue: _delete_queue,
}
