"""Numbers of the commands in the log, and the request message that each travels as.

A number is for ever: it is never reused and never gets another meaning. A new command gets the next
free number of its group, and a node that does not know a number stops (UnknownCommandError).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.message import Message

from coord.core.batch import Command
from coord.core.cluster.commands import RaiseLevel, SetQuota
from coord.core.kv.commands import KvCompact, KvDelete, KvPut, KvTxn
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
)
from coord.pb import cluster_pb2, lock_pb2, session_pb2, task_pb2
from coord.pb import etcd_rpc_pb2 as etcd


class CommandKind(IntEnum):
    OPEN_SESSION = 1
    KEEP_ALIVE = 2
    CLOSE_SESSION = 3

    SUBMIT_TASKS = 10
    CLAIM_TASKS = 11
    HEARTBEAT_TASKS = 12
    COMPLETE_TASKS = 13
    FAIL_TASKS = 14
    RELEASE_TASKS = 15
    CANCEL_TASK = 16
    RETRY_TASK = 17
    REDRIVE_QUEUE = 18
    PAUSE_QUEUE = 19
    SET_QUEUE = 20
    DELETE_QUEUE = 21
    SET_QUOTA = 22

    ACQUIRE_LOCK = 30
    RELEASE_LOCK = 31
    REFRESH_LOCK = 32
    CANCEL_LOCK_WAIT = 33

    KV_PUT = 50
    KV_DELETE = 51
    KV_TXN = 52
    KV_COMPACT = 53

    RAISE_LEVEL = 70


K = CommandKind

REQUEST_CLASS: Final = MappingProxyType[CommandKind, type[Message]](
    {
        K.OPEN_SESSION: session_pb2.OpenSessionRequest,
        K.KEEP_ALIVE: session_pb2.KeepAliveRequest,
        K.CLOSE_SESSION: session_pb2.CloseSessionRequest,
        K.SUBMIT_TASKS: task_pb2.SubmitRequest,
        K.CLAIM_TASKS: task_pb2.ClaimRequest,
        K.HEARTBEAT_TASKS: task_pb2.HeartbeatRequest,
        K.COMPLETE_TASKS: task_pb2.CompleteRequest,
        K.FAIL_TASKS: task_pb2.FailRequest,
        K.RELEASE_TASKS: task_pb2.ReleaseRequest,
        K.CANCEL_TASK: task_pb2.CancelTaskRequest,
        K.RETRY_TASK: task_pb2.RetryTaskRequest,
        K.REDRIVE_QUEUE: task_pb2.RedriveRequest,
        K.PAUSE_QUEUE: task_pb2.PauseQueueRequest,
        K.SET_QUEUE: task_pb2.SetQueueRequest,
        K.DELETE_QUEUE: task_pb2.DeleteQueueRequest,
        K.SET_QUOTA: cluster_pb2.SetQuotaRequest,
        K.ACQUIRE_LOCK: lock_pb2.AcquireLockRequest,
        K.RELEASE_LOCK: lock_pb2.ReleaseLockRequest,
        K.REFRESH_LOCK: lock_pb2.RefreshLockRequest,
        K.CANCEL_LOCK_WAIT: lock_pb2.CancelWaitRequest,
        K.KV_PUT: etcd.PutRequest,
        K.KV_DELETE: etcd.DeleteRangeRequest,
        K.KV_TXN: etcd.TxnRequest,
        K.KV_COMPACT: etcd.CompactionRequest,
        K.RAISE_LEVEL: cluster_pb2.RaiseLevelRequest,
    }
)
"""The protobuf message whose bytes a log entry of this kind holds."""

COMMAND_CLASS: Final = MappingProxyType[CommandKind, type](
    {
        K.OPEN_SESSION: OpenSession,
        K.KEEP_ALIVE: KeepAlive,
        K.CLOSE_SESSION: CloseSession,
        K.SUBMIT_TASKS: SubmitTasks,
        K.CLAIM_TASKS: ClaimTasks,
        K.HEARTBEAT_TASKS: HeartbeatTasks,
        K.COMPLETE_TASKS: CompleteTasks,
        K.FAIL_TASKS: FailTasks,
        K.RELEASE_TASKS: ReleaseTasks,
        K.CANCEL_TASK: CancelTask,
        K.RETRY_TASK: RetryTask,
        K.REDRIVE_QUEUE: RedriveQueue,
        K.PAUSE_QUEUE: PauseQueue,
        K.SET_QUEUE: SetQueue,
        K.DELETE_QUEUE: DeleteQueue,
        K.SET_QUOTA: SetQuota,
        K.ACQUIRE_LOCK: AcquireLock,
        K.RELEASE_LOCK: ReleaseLock,
        K.REFRESH_LOCK: RefreshLock,
        K.CANCEL_LOCK_WAIT: CancelLockWait,
        K.KV_PUT: KvPut,
        K.KV_DELETE: KvDelete,
        K.KV_TXN: KvTxn,
        K.KV_COMPACT: KvCompact,
        K.RAISE_LEVEL: RaiseLevel,
    }
)
"""The core command that it is decoded to."""

KIND_LEVEL: Final = MappingProxyType[CommandKind, int](
    {
        K.SET_QUEUE: 1,
        K.DELETE_QUEUE: 1,
        K.SET_QUOTA: 1,
    }
)
"""The level that kinds came with; a kind that is not named here is known to every build. A leader
proposes none before its level is reached. (RAISE_LEVEL is the exception: it is how one is reached,
and the leader proposes it only when every member's build knows it.)"""

ETCD_KINDS: Final = frozenset({K.KV_PUT, K.KV_DELETE, K.KV_TXN, K.KV_COMPACT})
"""Kinds of the etcd API: their identity for deduplication comes from the gRPC metadata."""

Decoder = Callable[[Any], Command]
"""Makes the command of a parsed request message."""
