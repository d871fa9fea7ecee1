"""One request of every command kind with every field set, and what it decodes to."""

from __future__ import annotations

from google.protobuf.message import Message

from coord.codec.kinds import CommandKind as K
from coord.core.base.request import RequestId
from coord.core.batch import Command
from coord.core.cluster.commands import RaiseLevel, SetQuota
from coord.core.kv.commands import (
    CompareResult,
    CompareTarget,
    KvCompact,
    KvCompare,
    KvDelete,
    KvPut,
    KvRange,
    KvTxn,
    SortOrder,
    SortTarget,
)
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
from coord.pb import cluster_pb2, common_pb2, lock_pb2, session_pb2, task_pb2
from coord.pb import etcd_rpc_pb2 as etcd

HEADER = common_pb2.RequestHeader(session_id=5, sequence=9, acked_below=8)
K_DROP = task_pb2.RetentionPolicy.RETENTION_POLICY_DROP_RESULTS_OLDEST
IDENTITY = RequestId(5, 9, 8)

_SPEC = task_pb2.TaskSpec(
    queue="q",
    payload=b"\x00\xffp",
    priority=-7,
    idempotency_key="once",
    type="count",
    delay_ms=1,
    not_before_unix_ms=2,
    max_attempts=4,
    backoff_initial_ms=5,
    backoff_max_ms=6,
    backoff_multiplier_permille=1_500,
    attempt_timeout_ms=8,
    progress_timeout_ms=9,
    total_timeout_ms=10,
    retention_ms=11,
    labels={"a": "1", "b": "ü"},
)
_SPEC_VALUE = TaskSpec(
    queue="q",
    payload=b"\x00\xffp",
    priority=-7,
    idempotency_key="once",
    type="count",
    delay_ms=1,
    not_before_unix_ms=2,
    max_attempts=4,
    backoff_initial_ms=5,
    backoff_max_ms=6,
    backoff_multiplier_permille=1_500,
    attempt_timeout_ms=8,
    progress_timeout_ms=9,
    total_timeout_ms=10,
    retention_ms=11,
    labels={"a": "1", "b": "ü"},
)

RANGE = etcd.RangeRequest(
    key=b"a",
    range_end=b"b",
    limit=3,
    revision=4,
    sort_order=etcd.RangeRequest.DESCEND,
    sort_target=etcd.RangeRequest.MOD,
    serializable=True,
    keys_only=True,
    count_only=True,
    min_mod_revision=5,
    max_mod_revision=6,
    min_create_revision=7,
    max_create_revision=8,
)
RANGE_VALUE = KvRange(b"a", b"b", 3, 4, SortOrder.DESCEND, SortTarget.MOD, True, True, 5, 6, 7, 8)
_PUT = etcd.PutRequest(
    key=b"k", value=b"v", lease=2, prev_kv=True, ignore_value=True, ignore_lease=True
)
_PUT_VALUE = KvPut(b"k", b"v", 2, True, True, True)
_DELETE = etcd.DeleteRangeRequest(key=b"k", range_end=b"\0", prev_kv=True)
_DELETE_VALUE = KvDelete(b"k", b"\0", True)
_TXN = etcd.TxnRequest(
    compare=[
        etcd.Compare(key=b"a", target=0, result=0, version=3),
        etcd.Compare(key=b"b", target=1, result=1, create_revision=4),
        etcd.Compare(key=b"c", target=2, result=2, mod_revision=5, range_end=b"d"),
        etcd.Compare(key=b"d", target=3, result=3, value=b"w"),
        etcd.Compare(key=b"e", target=4, result=0, lease=6),
        etcd.Compare(key=b"f", target=0, result=0, value=b"another member of the union"),
    ],
    success=[etcd.RequestOp(request_range=RANGE), etcd.RequestOp(request_put=_PUT)],
    failure=[
        etcd.RequestOp(request_delete_range=_DELETE),
        etcd.RequestOp(
            request_txn=etcd.TxnRequest(success=[etcd.RequestOp(request_put=_PUT)]),
        ),
    ],
)
_TXN_VALUE = KvTxn(
    [
        KvCompare(b"a", CompareTarget.VERSION, CompareResult.EQUAL, 3),
        KvCompare(b"b", CompareTarget.CREATE, CompareResult.GREATER, 4),
        KvCompare(b"c", CompareTarget.MOD, CompareResult.LESS, 5, b"d"),
        KvCompare(b"d", CompareTarget.VALUE, CompareResult.NOT_EQUAL, b"w"),
        KvCompare(b"e", CompareTarget.LEASE, CompareResult.EQUAL, 6),
        KvCompare(b"f", CompareTarget.VERSION, CompareResult.EQUAL, 0),
    ],
    [RANGE_VALUE, _PUT_VALUE],
    [_DELETE_VALUE, KvTxn([], [_PUT_VALUE], [])],
)

SAMPLES: dict[K, tuple[Message, Command]] = {
    K.OPEN_SESSION: (
        session_pb2.OpenSessionRequest(
            ttl_ms=5_000,
            nonce=b"n" * 8,
            kind="worker",
            name="host:1",
            labels={"gpu": "a"},
            queues=["q", "r"],
            slots=4,
        ),
        OpenSession(5_000, b"n" * 8, "worker", "host:1", {"gpu": "a"}, ("q", "r"), 4),
    ),
    K.KEEP_ALIVE: (session_pb2.KeepAliveRequest(session_id=5), KeepAlive(5)),
    K.CLOSE_SESSION: (session_pb2.CloseSessionRequest(session_id=5), CloseSession(5)),
    K.SUBMIT_TASKS: (
        task_pb2.SubmitRequest(header=HEADER, tasks=[_SPEC, task_pb2.TaskSpec(queue="r")]),
        SubmitTasks([_SPEC_VALUE, TaskSpec("r", b"")]),
    ),
    K.CLAIM_TASKS: (
        task_pb2.ClaimRequest(
            header=HEADER, queues=["q", "r"], max_tasks=3, lease_ttl_ms=500, wait_ms=9, worker="w"
        ),
        ClaimTasks(("q", "r"), 3, 500, "w"),
    ),
    K.HEARTBEAT_TASKS: (
        task_pb2.HeartbeatRequest(
            header=HEADER,
            items=[
                task_pb2.HeartbeatItem(
                    task_id="t1", fencing_token=2, checkpoint=b"c", progress_permille=30
                ),
                task_pb2.HeartbeatItem(
                    task_id="t2", fencing_token=3, checkpoint=b"", progress_permille=0
                ),
                task_pb2.HeartbeatItem(task_id="t3", fencing_token=4),
            ],
        ),
        HeartbeatTasks(
            [
                HeartbeatItem("t1", 2, b"c", 30),
                HeartbeatItem("t2", 3, b"", 0),
                HeartbeatItem("t3", 4, None, None),
            ]
        ),
    ),
    K.COMPLETE_TASKS: (
        task_pb2.CompleteRequest(
            header=HEADER,
            items=[task_pb2.CompleteItem(task_id="t1", fencing_token=2, result=b"r")],
        ),
        CompleteTasks([CompleteItem("t1", 2, b"r")]),
    ),
    K.FAIL_TASKS: (
        task_pb2.FailRequest(
            header=HEADER,
            items=[
                task_pb2.FailItem(
                    task_id="t1", fencing_token=2, error="e", retryable=True, retry_after_ms=0
                ),
                task_pb2.FailItem(task_id="t2", fencing_token=2, error="f"),
            ],
        ),
        FailTasks([FailItem("t1", 2, "e", True, 0), FailItem("t2", 2, "f", False, None)]),
    ),
    K.RELEASE_TASKS: (
        task_pb2.ReleaseRequest(
            header=HEADER,
            items=[task_pb2.ReleaseItem(task_id="t1", fencing_token=2, delay_ms=3)],
        ),
        ReleaseTasks([ReleaseItem("t1", 2, 3)]),
    ),
    K.CANCEL_TASK: (
        task_pb2.CancelTaskRequest(header=HEADER, task_id="t1", reason="why"),
        CancelTask("t1", "why"),
    ),
    K.RETRY_TASK: (
        task_pb2.RetryTaskRequest(header=HEADER, task_id="t1"),
        RetryTask("t1"),
    ),
    K.REDRIVE_QUEUE: (
        task_pb2.RedriveRequest(header=HEADER, queue="q", limit=7),
        RedriveQueue("q", 7),
    ),
    K.PAUSE_QUEUE: (
        task_pb2.PauseQueueRequest(header=HEADER, queue="q", paused=True),
        PauseQueue("q", True),
    ),
    K.SET_QUEUE: (
        task_pb2.SetQueueRequest(
            header=HEADER, queue="q", quota_tasks=5, quota_bytes=0, policy=K_DROP
        ),
        SetQueue("q", 5, 0, 2),
    ),
    K.DELETE_QUEUE: (
        task_pb2.DeleteQueueRequest(header=HEADER, queue="q", force=True, limit=7),
        DeleteQueue("q", True, 7),
    ),
    K.SET_QUOTA: (cluster_pb2.SetQuotaRequest(limit_bytes=1 << 30), SetQuota(1 << 30)),
    K.ACQUIRE_LOCK: (
        lock_pb2.AcquireLockRequest(header=HEADER, name="l", holder="h", ttl_ms=500, wait_ms=7),
        AcquireLock("l", "h", 500, 7),
    ),
    K.RELEASE_LOCK: (
        lock_pb2.ReleaseLockRequest(header=HEADER, name="l", fencing_token=3),
        ReleaseLock("l", 3),
    ),
    K.REFRESH_LOCK: (
        lock_pb2.RefreshLockRequest(header=HEADER, name="l", fencing_token=3),
        RefreshLock("l", 3),
    ),
    K.CANCEL_LOCK_WAIT: (
        lock_pb2.CancelWaitRequest(header=HEADER, name="l", holder="h"),
        CancelLockWait("l", "h"),
    ),
    K.KV_PUT: (_PUT, _PUT_VALUE),
    K.KV_DELETE: (_DELETE, _DELETE_VALUE),
    K.KV_TXN: (_TXN, _TXN_VALUE),
    K.KV_COMPACT: (etcd.CompactionRequest(revision=4, physical=True), KvCompact(4)),
    K.RAISE_LEVEL: (cluster_pb2.RaiseLevelRequest(level=1), RaiseLevel(1)),
}
"""Message and command of every kind. Not all of them would pass validation."""


def raw(kind: K) -> bytes:
    """The bytes of the sample, the same in every run."""
    return SAMPLES[kind][0].SerializeToString(deterministic=True)
