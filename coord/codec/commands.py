"""Request messages -> core commands. Enforces the shape and nothing else: bounds are the business
of `coord.core.validate`.

An item is read attribute by attribute once and no list is copied twice: this is on the path of
every task. In a log entry these bytes were decoded before by the leader that accepted them, so
there a DecodeError means damage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from google.protobuf.message import DecodeError as ProtobufDecodeError

from coord.codec import etcd
from coord.codec.errors import DecodeError, UnknownCommandError
from coord.codec.kinds import REQUEST_CLASS, CommandKind
from coord.codec.shape import check_bytes, check_counts
from coord.core.base.limits import LIMITS
from coord.core.base.request import RequestId
from coord.core.batch import Command
from coord.core.cluster.commands import RaiseLevel, SetQuota
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
from coord.pb import cluster_pb2, lock_pb2, session_pb2, task_pb2

K = CommandKind

_DELETED_AT_ONCE: Final = 500  # tasks of a queue: some 5 ms of work


def decode(kind: int, raw: bytes) -> Command:
    """The command in `raw`, the bytes of the request message of this kind.

    Raises DecodeError (one sentence) or UnknownCommandError."""
    return _parse(kind, raw)[0]


def decode_request(kind: int, raw: bytes) -> tuple[Command, RequestId | None]:
    """The command and the identity in the message's own header (None if it has none or an empty
    one). For etcd kinds the identity is always None here: see `request_id`. For requests that come
    in: what has far too many parts is not decoded.

    Raises DecodeError (one sentence), TooManyPartsError or UnknownCommandError."""
    command, message = _parse(kind, raw, shape=True)
    if kind in _WITH_HEADER:
        header = message.header
        return command, request_id(header.session_id, header.sequence, header.acked_below)
    return command, None


def request_id(session_id: int, sequence: int, acked_below: int) -> RequestId | None:
    """None if all three are 0: a call without a session."""
    if session_id or sequence or acked_below:
        return RequestId(session_id, sequence, acked_below)
    return None


def _parse(kind: int, raw: bytes, *, shape: bool = False) -> tuple[Command, Any]:
    entry = _DECODERS.get(kind)
    if entry is None:
        raise UnknownCommandError(
            f"command kind {kind} is not known to this version; a newer one wrote it: start a "
            "newer build"
        )
    parse, build, name = entry
    if shape:
        check_bytes(kind, raw)
    try:
        message = parse(raw)
    except ProtobufDecodeError as error:
        raise DecodeError(f"not a {name}: {error}") from None
    if shape:
        check_counts(kind, message)
    return build(message), message


# ---- sessions


def _open_session(m: session_pb2.OpenSessionRequest) -> OpenSession:
    return OpenSession(
        m.ttl_ms, m.nonce, m.kind or "client", m.name, dict(m.labels), tuple(m.queues), m.slots
    )


def _keep_alive(m: session_pb2.KeepAliveRequest) -> KeepAlive:
    if not m.HasField("report"):
        return KeepAlive(m.session_id)
    return KeepAlive(m.session_id, tuple(m.report.stuck_task_ids))


def _close_session(m: session_pb2.CloseSessionRequest) -> CloseSession:
    return CloseSession(m.session_id)


# ---- tasks


def _spec(m: task_pb2.TaskSpec) -> TaskSpec:
    labels = m.labels
    return TaskSpec(
        m.queue,
        m.payload,
        m.priority,
        m.idempotency_key,
        m.type,
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
        {key: labels[key] for key in labels} if labels else {},  # far faster than dict(labels)
        m.max_lost_leases,
    )


def _submit(m: task_pb2.SubmitRequest) -> SubmitTasks:
    return SubmitTasks([_spec(task) for task in m.tasks])


def _claim(m: task_pb2.ClaimRequest) -> ClaimTasks:
    return ClaimTasks(tuple(m.queues), m.max_tasks, m.lease_ttl_ms, m.worker)


def _heartbeat_item(m: task_pb2.HeartbeatItem) -> HeartbeatItem:
    return HeartbeatItem(
        m.task_id,
        m.fencing_token,
        m.checkpoint if m.HasField("checkpoint") else None,
        m.progress_permille if m.HasField("progress_permille") else None,
    )


def _heartbeat(m: task_pb2.HeartbeatRequest) -> HeartbeatTasks:
    return HeartbeatTasks([_heartbeat_item(item) for item in m.items])


def _complete(m: task_pb2.CompleteRequest) -> CompleteTasks:
    item_of = CompleteItem
    return CompleteTasks(
        [item_of(item.task_id, item.fencing_token, item.result) for item in m.items]
    )


def _fail_item(m: task_pb2.FailItem) -> FailItem:
    return FailItem(
        m.task_id,
        m.fencing_token,
        m.error,
        m.retryable,
        m.retry_after_ms if m.HasField("retry_after_ms") else None,
    )


def _fail(m: task_pb2.FailRequest) -> FailTasks:
    return FailTasks([_fail_item(item) for item in m.items])


def _release(m: task_pb2.ReleaseRequest) -> ReleaseTasks:
    item_of = ReleaseItem
    return ReleaseTasks(
        [item_of(item.task_id, item.fencing_token, item.delay_ms, item.reason) for item in m.items]
    )


def _cancel(m: task_pb2.CancelTaskRequest) -> CancelTask:
    return CancelTask(m.task_id, m.reason)


def _retry(m: task_pb2.RetryTaskRequest) -> RetryTask:
    return RetryTask(m.task_id)


def _redrive(m: task_pb2.RedriveRequest) -> RedriveQueue:
    return RedriveQueue(m.queue, m.limit or LIMITS.max_list_items)


def _pause(m: task_pb2.PauseQueueRequest) -> PauseQueue:
    return PauseQueue(m.queue, m.paused)


def _set_queue(m: task_pb2.SetQueueRequest) -> SetQueue:
    return SetQueue(
        m.queue,
        m.quota_tasks if m.HasField("quota_tasks") else None,
        m.quota_bytes if m.HasField("quota_bytes") else None,
        m.policy,
    )


def _delete_queue(m: task_pb2.DeleteQueueRequest) -> DeleteQueue:
    return DeleteQueue(m.queue, m.force, m.limit or _DELETED_AT_ONCE)


# ---- locks


def _acquire(m: lock_pb2.AcquireLockRequest) -> AcquireLock:
    return AcquireLock(m.name, m.holder, m.ttl_ms, m.wait_ms)


def _release_lock(m: lock_pb2.ReleaseLockRequest) -> ReleaseLock:
    return ReleaseLock(m.name, m.fencing_token)


def _refresh_lock(m: lock_pb2.RefreshLockRequest) -> RefreshLock:
    return RefreshLock(m.name, m.fencing_token)


def _cancel_wait(m: lock_pb2.CancelWaitRequest) -> CancelLockWait:
    return CancelLockWait(m.name, m.holder)


# ---- the cluster itself


def _raise_level(m: cluster_pb2.RaiseLevelRequest) -> RaiseLevel:
    if m.level > HIGHEST_LEVEL:
        raise UnknownCommandError(
            f"feature level {m.level} is not supported by this build, which supports levels up to "
            f"{HIGHEST_LEVEL}: start a newer build"
        )
    return RaiseLevel(m.level)


def _set_quota(m: cluster_pb2.SetQuotaRequest) -> SetQuota:
    return SetQuota(m.limit_bytes)


_BUILDERS: Final[dict[CommandKind, Callable[[Any], Command]]] = {
    K.OPEN_SESSION: _open_session,
    K.KEEP_ALIVE: _keep_alive,
    K.CLOSE_SESSION: _close_session,
    K.SUBMIT_TASKS: _submit,
    K.CLAIM_TASKS: _claim,
    K.HEARTBEAT_TASKS: _heartbeat,
    K.COMPLETE_TASKS: _complete,
    K.FAIL_TASKS: _fail,
    K.RELEASE_TASKS: _release,
    K.CANCEL_TASK: _cancel,
    K.RETRY_TASK: _retry,
    K.REDRIVE_QUEUE: _redrive,
    K.PAUSE_QUEUE: _pause,
    K.SET_QUEUE: _set_queue,
    K.DELETE_QUEUE: _delete_queue,
    K.SET_QUOTA: _set_quota,
    K.ACQUIRE_LOCK: _acquire,
    K.RELEASE_LOCK: _release_lock,
    K.REFRESH_LOCK: _refresh_lock,
    K.CANCEL_LOCK_WAIT: _cancel_wait,
    K.KV_PUT: etcd.put_of,
    K.KV_DELETE: etcd.delete_of,
    K.KV_TXN: etcd.txn_of,
    K.KV_COMPACT: etcd.compact_of,
    K.RAISE_LEVEL: _raise_level,
}

_Decoder = tuple[Callable[[bytes], Any], Callable[[Any], Command], str]

_DECODERS: Final[dict[int, _Decoder]] = {
    int(kind): (REQUEST_CLASS[kind].FromString, build, REQUEST_CLASS[kind].DESCRIPTOR.name)
    for kind, build in _BUILDERS.items()
}

_WITH_HEADER: Final = frozenset(
    int(kind)
    for kind, message in REQUEST_CLASS.items()
    if "header" in message.DESCRIPTOR.fields_by_name
)
