"""One log entry: commands in, replies and events out."""

from __future__ import annotations

from dataclasses import dataclass

from coord.core.base.principal import ANONYMOUS, Principal
from coord.core.base.refusal import Rejected
from coord.core.base.request import Done, Event, RequestId
from coord.core.cluster.commands import LevelRaised, RaiseLevel, SetQuota
from coord.core.kv.commands import (
    KvCompact,
    KvDelete,
    KvDeleteReply,
    KvPut,
    KvPutReply,
    KvTxn,
    KvTxnReply,
)
from coord.core.locks.commands import (
    AcquireLock,
    CancelLockWait,
    LockReply,
    RefreshLock,
    ReleaseLock,
)
from coord.core.sessions.commands import (
    CloseSession,
    KeepAlive,
    OpenSession,
    SessionKept,
    SessionOpened,
)
from coord.core.tasks.commands import (
    CancelTask,
    Claimed,
    ClaimTasks,
    CompleteTasks,
    DeleteQueue,
    FailTasks,
    HeartbeatTasks,
    ItemOutcomes,
    PauseQueue,
    QueueDeleted,
    Redriven,
    RedriveQueue,
    ReleaseTasks,
    RetryTask,
    SetQueue,
    SubmitTasks,
    Submitted,
    TaskChanged,
)

Command = (
    OpenSession
    | KeepAlive
    | CloseSession
    | SubmitTasks
    | ClaimTasks
    | HeartbeatTasks
    | CompleteTasks
    | FailTasks
    | ReleaseTasks
    | CancelTask
    | RetryTask
    | RedriveQueue
    | PauseQueue
    | AcquireLock
    | ReleaseLock
    | RefreshLock
    | CancelLockWait
    | KvPut
    | KvDelete
    | KvTxn
    | KvCompact
    | RaiseLevel
    | SetQueue
    | DeleteQueue
    | SetQuota
)


@dataclass(slots=True)
class Request:
    """One command of one caller. `request_id` None = not deduplicated and without a session."""

    command: Command
    request_id: RequestId | None = None
    principal: Principal = ANONYMOUS


@dataclass(slots=True)
class Batch:
    """One log entry. `now_ms`: cluster time stamped by the leader (the machine never lets it go
    back); `wall_ms`: Unix time, for people and calendars only. An empty batch only moves time."""

    now_ms: int
    wall_ms: int
    requests: list[Request]


Reply = (
    Rejected
    | Done
    | SessionOpened
    | SessionKept
    | Submitted
    | Claimed
    | ItemOutcomes
    | TaskChanged
    | Redriven
    | LockReply
    | KvPutReply
    | KvDeleteReply
    | KvTxnReply
    | LevelRaised
    | QueueDeleted
)


@dataclass(slots=True)
class Applied:
    """The outcome of one batch: one reply per request, in order, and the events in order."""

    replies: list[Reply]
    events: list[Event]
    revision: int
