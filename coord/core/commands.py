"""Every command the state machine knows. Plain values: whoever builds them has already decoded
and the machine checks them again. Times are integer milliseconds; ids and tokens are integers or
text; payloads are opaque bytes.

A class here is the meaning; its number and bytes in the log are coord/codec's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


@dataclass(slots=True)
class RequestId:
    """Names one request of one session, for deduplication (Raft dissertation, section 6.3).

    `sequence` 0 = not deduplicated. Replies below `acked_below` may be forgotten."""

    session_id: int
    sequence: int
    acked_below: int


# ---- sessions


@dataclass(slots=True)
class OpenSession:
    ttl_ms: int
    nonce: bytes
    kind: str = "client"
    name: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    queues: tuple[str, ...] = ()
    slots: int = 0


@dataclass(slots=True)
class KeepAlive:
    """`stuck`: tasks whose handlers do not end; None = as they were."""

    session_id: int
    stuck: tuple[str, ...] | None = None


@dataclass(slots=True)
class CloseSession:
    session_id: int


# ---- tasks


@dataclass(slots=True)
class TaskSpec:
    """What a submitter asks for. Zero in a number field means "the default" where there is one."""

    queue: str
    payload: bytes
    priority: int = 0
    idempotency_key: str = ""
    type: str = ""
    delay_ms: int = 0
    not_before_unix_ms: int = 0
    max_attempts: int = 0
    backoff_initial_ms: int = 0
    backoff_max_ms: int = 0
    backoff_multiplier_permille: int = 0
    attempt_timeout_ms: int = 0
    progress_timeout_ms: int = 0
    total_timeout_ms: int = 0
    retention_ms: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    max_lost_leases: int = 0
    # What `coord.core.request_digest` makes of it; kept, since a task with a key is hashed twice.
    digested: bytes | None = field(default=None, init=False, repr=False, compare=False)


@dataclass(slots=True)
class SubmitTasks:
    tasks: list[TaskSpec]


@dataclass(slots=True)
class ClaimTasks:
    queues: tuple[str, ...]
    max_tasks: int
    lease_ttl_ms: int
    worker: str = ""


@dataclass(slots=True)
class HeartbeatItem:
    task_id: str
    fencing_token: int
    checkpoint: bytes | None = None
    progress_permille: int | None = None


@dataclass(slots=True)
class HeartbeatTasks:
    items: list[HeartbeatItem]


@dataclass(slots=True)
class CompleteItem:
    task_id: str
    fencing_token: int
    result: bytes


@dataclass(slots=True)
class CompleteTasks:
    items: list[CompleteItem]


@dataclass(slots=True)
class FailItem:
    task_id: str
    fencing_token: int
    error: str
    retryable: bool
    retry_after_ms: int | None = None


@dataclass(slots=True)
class FailTasks:
    items: list[FailItem]


@dataclass(slots=True)
class ReleaseItem:
    task_id: str
    fencing_token: int
    delay_ms: int = 0
    reason: str = ""


@dataclass(slots=True)
class ReleaseTasks:
    items: list[ReleaseItem]


@dataclass(slots=True)
class CancelTask:
    task_id: str
    reason: str = ""


@dataclass(slots=True)
class RetryTask:
    task_id: str


@dataclass(slots=True)
class RedriveQueue:
    queue: str
    limit: int


@dataclass(slots=True)
class PauseQueue:
    queue: str
    paused: bool


@dataclass(slots=True)
class SetQueue:
    """None, and 0 for `policy` (a `RetentionPolicy`), leave as it is. A quota of 0 is none."""

    queue: str
    quota_tasks: int | None = None
    quota_bytes: int | None = None
    policy: int = 0


@dataclass(slots=True)
class DeleteQueue:
    """`force` cancels unfinished tasks. `limit`: so much in one step."""

    queue: str
    force: bool
    limit: int


# ---- locks


@dataclass(slots=True)
class AcquireLock:
    """`wait_ms` 0: do not enter the queue. A waiter leaves after `wait_ms` of cluster time."""

    name: str
    holder: str
    ttl_ms: int
    wait_ms: int


@dataclass(slots=True)
class ReleaseLock:
    name: str
    fencing_token: int


@dataclass(slots=True)
class RefreshLock:
    name: str
    fencing_token: int


@dataclass(slots=True)
class CancelLockWait:
    name: str
    holder: str


# ---- key-value (etcd v3 meaning)


class SortOrder(IntEnum):
    NONE = 0
    ASCEND = 1
    DESCEND = 2


class SortTarget(IntEnum):
    KEY = 0
    VERSION = 1
    CREATE = 2
    MOD = 3
    VALUE = 4


@dataclass(slots=True)
class KvRange:
    """`range_end` empty: one key; b"\\0": all keys from `key` on; else the half-open interval."""

    key: bytes
    range_end: bytes = b""
    limit: int = 0
    revision: int = 0
    sort_order: SortOrder = SortOrder.NONE
    sort_target: SortTarget = SortTarget.KEY
    keys_only: bool = False
    count_only: bool = False
    min_mod_revision: int = 0
    max_mod_revision: int = 0
    min_create_revision: int = 0
    max_create_revision: int = 0


@dataclass(slots=True)
class KvPut:
    key: bytes
    value: bytes
    lease: int = 0
    prev_kv: bool = False
    ignore_value: bool = False
    ignore_lease: bool = False


@dataclass(slots=True)
class KvDelete:
    key: bytes
    range_end: bytes = b""
    prev_kv: bool = False


class CompareResult(IntEnum):
    EQUAL = 0
    GREATER = 1
    LESS = 2
    NOT_EQUAL = 3


class CompareTarget(IntEnum):
    VERSION = 0
    CREATE = 1
    MOD = 2
    VALUE = 3
    LEASE = 4


@dataclass(slots=True)
class KvCompare:
    """`operand` is bytes for VALUE and an integer otherwise.

    With `range_end`, it must hold for every key in the interval."""

    key: bytes
    target: CompareTarget
    result: CompareResult
    operand: int | bytes
    range_end: bytes = b""


@dataclass(slots=True)
class KvTxn:
    compare: list[KvCompare]
    success: list[KvOp]
    failure: list[KvOp]


@dataclass(slots=True)
class KvNothing:
    """An operation of a transaction that is empty, or that this build does not know: refused."""


@dataclass(slots=True)
class KvCompact:
    revision: int


KvOp = KvRange | KvPut | KvDelete | KvTxn | KvNothing


# ---- the cluster itself


@dataclass(slots=True)
class RaiseLevel:
    """From here on the rules of `level` hold (`coord.core.levels`)."""

    level: int


@dataclass(slots=True)
class SetQuota:
    """How large the state may become; 0: what the leader's machine has room for."""

    limit_bytes: int


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
    principal: str = ""


@dataclass(slots=True)
class Batch:
    """One log entry. `now_ms`: cluster time stamped by the leader (the machine never lets it go
    back); `wall_ms`: Unix time, for people and calendars only. An empty batch only moves time."""

    now_ms: int
    wall_ms: int
    requests: list[Request]
