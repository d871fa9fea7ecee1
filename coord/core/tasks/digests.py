"""What the commands about tasks and queues ask for, as a number."""

from __future__ import annotations

from struct import Struct
from typing import Final
from zlib import crc32

from coord.core.base.mixing import Mix, mix_bytes, mix_plain
from coord.core.base.request import labels_of
from coord.core.tasks.commands import (
    CancelTask,
    ClaimTasks,
    CompleteTasks,
    DeleteQueue,
    FailTasks,
    HeartbeatTasks,
    PauseQueue,
    RedriveQueue,
    ReleaseTasks,
    RetryTask,
    SetQueue,
    SubmitTasks,
    TaskSpec,
)

_pack_numbers: Final = Struct("<x12q").pack


def spec_digest(spec: TaskSpec) -> int:
    """The digest of one submitted task; never 0."""
    return _spec(_SPEC_START, spec) or 1


def _held(crc: int, task_id: str, token: int) -> int:
    return crc32(f"{task_id} {token}".encode(), crc)


def _spec(crc: int, m: TaskSpec) -> int:
    queue, payload = m.queue.encode(), m.payload
    rest = m.digested
    if rest is None:
        rest = m.digested = _rest_of(m)
    crc = crc32(payload, crc32(queue, crc ^ len(queue)) ^ len(payload))
    return crc32(rest, crc) if rest else crc


def _rest_of(m: TaskSpec) -> bytes:
    """All but queue and payload; empty if that is as usual. No text in it has a zero byte."""
    rest = b""
    if m.idempotency_key or m.type or m.labels:
        texts = [m.idempotency_key, m.type]
        for label in labels_of(m.labels):
            texts += label
        rest = "\0".join(texts).encode()
    if (
        m.priority
        or m.delay_ms
        or m.not_before_unix_ms
        or m.max_attempts
        or m.backoff_initial_ms
        or m.backoff_max_ms
        or m.backoff_multiplier_permille
        or m.attempt_timeout_ms
        or m.progress_timeout_ms
        or m.total_timeout_ms
        or m.retention_ms
        or m.max_lost_leases
    ):
        rest += _pack_numbers(
            m.priority,
            m.delay_ms,
            m.not_before_unix_ms,
            m.max_attempts,
            m.backoff_initial_ms,
            m.backoff_max_ms,
            m.backoff_multiplier_permille,
            m.attempt_timeout_ms,
            m.progress_timeout_ms,
            m.total_timeout_ms,
            m.retention_ms,
            m.max_lost_leases,
        )
    return rest


def _submit(crc: int, m: SubmitTasks) -> int:
    for spec in m.tasks:
        crc = _spec(crc, spec)
    return crc


def _claim(crc: int, _: ClaimTasks) -> int:
    return crc


def _heartbeat(crc: int, m: HeartbeatTasks) -> int:
    for item in m.items:
        crc = _held(crc, item.task_id, item.fencing_token)
        if item.checkpoint is not None:
            crc = mix_bytes(crc, item.checkpoint)
        crc = mix_plain(crc, (item.checkpoint is not None, item.progress_permille))
    return crc


def _complete(crc: int, m: CompleteTasks) -> int:
    for item in m.items:
        result = item.result
        crc = crc32(f"{item.task_id} {item.fencing_token}".encode(), crc)
        crc = crc32(result, crc ^ len(result))
    return crc


def _fail(crc: int, m: FailTasks) -> int:
    for item in m.items:
        crc = _held(crc, item.task_id, item.fencing_token)
        crc = mix_plain(crc, (item.error, item.retryable, item.retry_after_ms))
    return crc


def _release(crc: int, m: ReleaseTasks) -> int:
    for item in m.items:
        crc = mix_plain(_held(crc, item.task_id, item.fencing_token), (item.delay_ms, item.reason))
    return crc


def _cancel(crc: int, m: CancelTask) -> int:
    return mix_plain(crc, (m.task_id, m.reason))


def _retry(crc: int, m: RetryTask) -> int:
    return mix_plain(crc, (m.task_id,))


def _redrive(crc: int, m: RedriveQueue) -> int:
    return mix_plain(crc, (m.queue, m.limit))


def _pause(crc: int, m: PauseQueue) -> int:
    return mix_plain(crc, (m.queue, m.paused))


def _set_queue(crc: int, m: SetQueue) -> int:
    return mix_plain(crc, (m.queue, m.quota_tasks, m.quota_bytes, m.policy))


def _delete_queue(crc: int, m: DeleteQueue) -> int:
    return mix_plain(crc, (m.queue, m.force, m.limit))


_SPEC_START: Final = crc32(b"TaskSpec")


DIGESTS: Final[dict[type, Mix]] = {
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
