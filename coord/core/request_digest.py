"""A short number that differs for requests that ask for different things.

It is kept beside the reply of a request, and beside an idempotency key, so that a sequence or a key
that is used again with other content is noticed. It covers the meaning of a command, field by
field, and not its bytes: encodings of equal messages differ between libraries. What a caller may
change when it repeats a request is left out: how long a lock request waits, and everything of a
claim but that it is one.

CRC-32 finds mistakes, which is its purpose here; whoever forges an equal digest fools only his own
session. A request is hashed once, when it is applied, at more than a gigabyte a second."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, Final
from zlib import crc32

from coord.core.base.request import labels_of
from coord.core.batch import Command
from coord.core.cluster.commands import RaiseLevel, SetQuota
from coord.core.kv.commands import KvCompact, KvCompare, KvDelete, KvOp, KvPut, KvRange, KvTxn
from coord.core.locks.commands import AcquireLock, CancelLockWait, RefreshLock, ReleaseLock
from coord.core.sessions.commands import CloseSession, KeepAlive, OpenSession
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


def digest_of(command: Command) -> int:
    """The digest of a valid command; never 0."""
    start, mix = _MIXERS[type(command)]
    return mix(start, command) or 1


def spec_digest(spec: TaskSpec) -> int:
    """The digest of one submitted task; never 0."""
    return _spec(_SPEC_START, spec) or 1


def _bytes(crc: int, value: bytes) -> int:
    # The length goes first: neighbouring fields must not run into each other.
    return crc32(value, crc ^ len(value))


def _plain(crc: int, value: tuple[Any, ...]) -> int:
    """Of integers, text, small bytes and tuples of these: ascii() gives the same text everywhere,
    unlike repr()."""
    return crc32(ascii(value).encode(), crc)


def _held(crc: int, task_id: str, token: int) -> int:
    return crc32(f"{task_id} {token}".encode(), crc)


# ---- sessions


def _open_session(crc: int, m: OpenSession) -> int:
    labels = labels_of(m.labels)
    return _plain(crc, (m.ttl_ms, m.nonce, m.kind, m.name, labels, tuple(m.queues), m.slots))


def _keep_alive(crc: int, m: KeepAlive) -> int:
    return _plain(crc, (m.session_id, m.stuck))


def _close_session(crc: int, m: CloseSession) -> int:
    return _plain(crc, (m.session_id,))


# ---- tasks


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
            crc = _bytes(crc, item.checkpoint)
        crc = _plain(crc, (item.checkpoint is not None, item.progress_permille))
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
        crc = _plain(crc, (item.error, item.retryable, item.retry_after_ms))
    return crc


def _release(crc: int, m: ReleaseTasks) -> int:
    for item in m.items:
        crc = _plain(_held(crc, item.task_id, item.fencing_token), (item.delay_ms, item.reason))
    return crc


def _cancel(crc: int, m: CancelTask) -> int:
    return _plain(crc, (m.task_id, m.reason))


def _retry(crc: int, m: RetryTask) -> int:
    return _plain(crc, (m.task_id,))


def _redrive(crc: int, m: RedriveQueue) -> int:
    return _plain(crc, (m.queue, m.limit))


def _pause(crc: int, m: PauseQueue) -> int:
    return _plain(crc, (m.queue, m.paused))


def _set_queue(crc: int, m: SetQueue) -> int:
    return _plain(crc, (m.queue, m.quota_tasks, m.quota_bytes, m.policy))


def _delete_queue(crc: int, m: DeleteQueue) -> int:
    return _plain(crc, (m.queue, m.force, m.limit))


# ---- locks


def _acquire(crc: int, m: AcquireLock) -> int:
    return _plain(crc, (m.name, m.holder, m.ttl_ms))


def _held_lock(crc: int, m: ReleaseLock | RefreshLock) -> int:
    return _plain(crc, (m.name, m.fencing_token))


def _cancel_wait(crc: int, m: CancelLockWait) -> int:
    return _plain(crc, (m.name, m.holder))


# ---- key-value


def _range(crc: int, m: KvRange) -> int:
    crc = _bytes(_bytes(crc, m.key), m.range_end)
    orders = (int(m.sort_order), int(m.sort_target), m.keys_only, m.count_only)
    bounds = (
        m.min_mod_revision,
        m.max_mod_revision,
        m.min_create_revision,
        m.max_create_revision,
    )
    return _plain(crc, (m.limit, m.revision, orders, bounds))


def _put(crc: int, m: KvPut) -> int:
    key, value = m.key, m.value
    crc = crc32(value, crc32(key, crc ^ len(key)) ^ len(value))
    if m.lease or m.prev_kv or m.ignore_value or m.ignore_lease:
        return _plain(crc, (m.lease, m.prev_kv, m.ignore_value, m.ignore_lease))
    return crc


def _delete(crc: int, m: KvDelete) -> int:
    key, end = m.key, m.range_end
    crc = crc32(end, crc32(key, crc ^ len(key)) ^ len(end))
    return crc32(b"(True,)" if m.prev_kv else b"(False,)", crc)  # as `_plain` has it


def _compare(crc: int, m: KvCompare) -> int:
    crc = _bytes(_bytes(crc, m.key), m.range_end)
    if isinstance(m.operand, bytes):
        crc = _bytes(crc, m.operand)
        return _plain(crc, (int(m.target), int(m.result)))
    return _plain(crc, (int(m.target), int(m.result), m.operand))


def _operation(crc: int, m: KvOp) -> int:
    start, mix = _MIXERS[type(m)]
    return mix(crc ^ start, m)


def _txn(crc: int, m: KvTxn) -> int:
    crc = _plain(crc, (len(m.compare), len(m.success), len(m.failure)))
    for compare in m.compare:
        crc = _compare(crc, compare)
    for operation in m.success:
        crc = _operation(crc, operation)
    for operation in m.failure:
        crc = _operation(crc, operation)
    return crc


def _compact(crc: int, m: KvCompact) -> int:
    return _plain(crc, (m.revision,))


# ---- the cluster itself


def _raise_level(crc: int, m: RaiseLevel) -> int:
    return _plain(crc, (m.level,))


def _set_quota(crc: int, m: SetQuota) -> int:
    return _plain(crc, (m.limit_bytes,))


_Mix = Callable[[int, Any], int]

_SPEC_START: Final = crc32(b"TaskSpec")
_BY_TYPE: Final[dict[type, _Mix]] = {
    OpenSession: _open_session,
    KeepAlive: _keep_alive,
    CloseSession: _close_session,
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
    AcquireLock: _acquire,
    ReleaseLock: _held_lock,
    RefreshLock: _held_lock,
    CancelLockWait: _cancel_wait,
    KvRange: _range,
    KvPut: _put,
    KvDelete: _delete,
    KvTxn: _txn,
    KvCompact: _compact,
    RaiseLevel: _raise_level,
    SetQuota: _set_quota,
}
_MIXERS: Final[dict[type, tuple[int, _Mix]]] = {
    kind: (crc32(kind.__name__.encode()), mix) for kind, mix in _BY_TYPE.items()
}
