"""Client of the coordination store: async first; `coord.client.sync` has the same names, blocking.

    async with Client("127.0.0.1:7400,127.0.0.1:7401") as client:
        await client.tasks.submit("emails", b"...")
        async with client.locks.lock("report") as grant:
            ...  # show grant.fencing_token to what the lock protects

Every failure is a CoordError: DefiniteError - it did not happen; IndefiniteError - it may have.
"""

from __future__ import annotations

# First: gRPC reads this setting when it is imported.
import coord.client.transport.fork_support  # noqa: F401
from coord.client.client import Client
from coord.client.kv import Compare, Delete, Get, Put, Txn, prefix_end
from coord.client.locks import LockGrant
from coord.client.tasks.work import Work
from coord.client.transport.endpoints import DEFAULT_ENDPOINTS
from coord.client.transport.errors import (
    BusyError,
    ClientClosedError,
    CoordError,
    DeadlineError,
    DefiniteError,
    FailedPreconditionError,
    IndefiniteError,
    InternalError,
    InvalidArgumentError,
    LockNotAcquiredError,
    NoLeaderError,
    NotFoundError,
    OutcomeUnknownError,
    ResourceExhaustedError,
    RevisionError,
    SessionExpiredError,
    StaleFencingTokenError,
    TaskFailedError,
    TooStaleError,
    UnavailableError,
    UnimplementedError,
)
from coord.client.transport.stale import Stale
from coord.client.types import (
    ClaimedTask,
    ClusterStatus,
    DeleteResult,
    FeatureLevel,
    HeartbeatItem,
    ItemResult,
    KeyValue,
    LeaderTransfer,
    LockInfo,
    LockWaiter,
    LostTask,
    Member,
    MemberStatus,
    NodeDigest,
    NodeStatus,
    PutResult,
    QueueInfo,
    Quota,
    RangeResult,
    RetentionPolicy,
    SessionInfo,
    SubmittedTask,
    Task,
    TaskExplanation,
    TaskHandle,
    TaskOptions,
    TaskSpec,
    TaskState,
    TxnResult,
)

__all__ = [
    "DEFAULT_ENDPOINTS",
    "BusyError",
    "ClaimedTask",
    "Client",
    "ClientClosedError",
    "ClusterStatus",
    "Compare",
    "CoordError",
    "DeadlineError",
    "DefiniteError",
    "Delete",
    "DeleteResult",
    "FailedPreconditionError",
    "FeatureLevel",
    "Get",
    "HeartbeatItem",
    "IndefiniteError",
    "InternalError",
    "InvalidArgumentError",
    "ItemResult",
    "KeyValue",
    "LeaderTransfer",
    "LockGrant",
    "LockInfo",
    "LockNotAcquiredError",
    "LockWaiter",
    "LostTask",
    "Member",
    "MemberStatus",
    "NoLeaderError",
    "NodeDigest",
    "NodeStatus",
    "NotFoundError",
    "OutcomeUnknownError",
    "Put",
    "PutResult",
    "QueueInfo",
    "Quota",
    "RangeResult",
    "ResourceExhaustedError",
    "RetentionPolicy",
    "RevisionError",
    "SessionExpiredError",
    "SessionInfo",
    "Stale",
    "StaleFencingTokenError",
    "SubmittedTask",
    "Task",
    "TaskExplanation",
    "TaskFailedError",
    "TaskHandle",
    "TaskOptions",
    "TaskSpec",
    "TaskState",
    "TooStaleError",
    "Txn",
    "TxnResult",
    "UnavailableError",
    "UnimplementedError",
    "Work",
    "prefix_end",
]
