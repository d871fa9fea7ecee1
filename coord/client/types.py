"""What users of the client see. Times are integer milliseconds, payloads are bytes, revisions and
fencing tokens are positive integers that only grow.

What comes back for every task is a named tuple: a frozen data class takes ten times as long."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from enum import IntEnum
from types import MappingProxyType
from typing import Any, NamedTuple, TypedDict, TypeVar

from coord.client.transport.errors import CoordError

F = TypeVar("F", bound=Callable[..., Any])


class TaskState(IntEnum):
    """Where a task stands; the numbers are those of coord.v1.TaskState."""

    UNKNOWN = 0
    SCHEDULED = 1
    READY = 2
    CLAIMED = 3
    COMPLETED = 4
    DEAD = 5
    CANCELLED = 6

    @property
    def finished(self) -> bool:
        """At an end: it changes no more unless somebody retries it."""
        return self in (TaskState.COMPLETED, TaskState.DEAD, TaskState.CANCELLED)

    @classmethod
    def _missing_(cls, value: object) -> TaskState:
        return cls.UNKNOWN  # a newer node may know more states than this client


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task to submit. Zero in a number field means the cluster's default. All but `queue` and
    `payload` are its options (see `TaskOptions`)."""

    queue: str
    payload: bytes = b""
    priority: int = 0  # larger is sooner
    idempotency_key: str = ""  # a second submit with it returns the first task
    type: str = ""  # which handler is meant
    delay_ms: int = 0
    not_before_unix_ms: int = 0
    max_attempts: int = 0
    backoff_initial_ms: int = 0
    backoff_max_ms: int = 0
    backoff_multiplier_permille: int = 0  # 2000 doubles
    attempt_timeout_ms: int = 0
    progress_timeout_ms: int = 0
    total_timeout_ms: int = 0
    retention_ms: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    max_lost_leases: int = 0  # workers that may be lost with it before it is dead

    @classmethod
    def of(cls, queue: str, payload: bytes, options: TaskOptions) -> TaskSpec:
        """A task with these options."""
        if options.get("labels", True) is None:
            options = {**options, "labels": {}}
        return cls(queue, payload, **options)  # type: ignore[arg-type]  # no labels of None here


class TaskOptions(TypedDict, total=False):
    """The options of a task as keywords, for whatever submits tasks: `submit("q", **options)`.
    They are the fields of `TaskSpec` behind the payload, and mean the same."""

    priority: int
    idempotency_key: str
    type: str
    delay_ms: int
    not_before_unix_ms: int
    max_attempts: int
    backoff_initial_ms: int
    backoff_max_ms: int
    backoff_multiplier_permille: int
    attempt_timeout_ms: int
    progress_timeout_ms: int
    total_timeout_ms: int
    retention_ms: int
    labels: Mapping[str, str] | None
    max_lost_leases: int


def takes_task_options(function: F) -> F:
    """Show the options of a task one by one in the signature of a function that takes them as
    `**options: Unpack[TaskOptions]`, as help and editors do."""
    signature = inspect.signature(function)
    options = [one for one in fields(TaskSpec) if one.name in TaskOptions.__annotations__]
    shown: list[inspect.Parameter] = []
    for one in signature.parameters.values():
        if one.kind is inspect.Parameter.KEYWORD_ONLY and options:
            shown += [_option(option) for option in options]
            options = []
        if one.kind is not inspect.Parameter.VAR_KEYWORD:
            shown.append(one)
    vars(function)["__signature__"] = signature.replace(parameters=shown)
    return function


def _option(option: Field[Any]) -> inspect.Parameter:
    annotation, default = option.type, option.default
    if default is MISSING:
        annotation, default = f"{annotation} | None", None
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
    )


class SubmittedTask(NamedTuple):
    """`existed`: the idempotency key named a task that was already known."""

    task_id: str
    revision: int
    existed: bool


@dataclass(frozen=True, slots=True)
class TaskHandle:
    """Names one attempt of a task: enough to heartbeat, complete, fail or release it."""

    task_id: str
    fencing_token: int


class ClaimedTask(NamedTuple):
    """A task held under a lease. `session_id`: the session the lease also ends with.
    `claimed_at_s`: on `time.monotonic()`; the lease began then or later."""

    task_id: str
    queue: str
    type: str
    payload: bytes
    fencing_token: int
    attempt: int  # 1 for the first
    max_attempts: int
    lease_ttl_ms: int
    checkpoint: bytes = b""
    priority: int = 0
    labels: Mapping[str, str] = MappingProxyType({})
    attempt_timeout_ms: int = 0
    progress_timeout_ms: int = 0
    session_id: int = 0
    claimed_at_s: float = 0.0
    lost_leases: int = 0  # attempts before this one that ended because their worker was lost


@dataclass(frozen=True, slots=True)
class LostTask:
    """A task that is not held under this token any more: cancelled, or its lease has ended.
    `state`: what became of it; `reason`: why, as far as the task says."""

    task_id: str
    fencing_token: int
    state: TaskState
    reason: str


@dataclass(frozen=True, slots=True)
class HeartbeatItem:
    """Renews one lease. `checkpoint` is stored durably with the task if present;
    `progress_permille` (0 to 1000) says that the handler is getting on."""

    task_id: str
    fencing_token: int
    checkpoint: bytes | None = None
    progress_permille: int | None = None


class ItemResult(NamedTuple):
    """The outcome of one item of a batch. No error = done."""

    error: CoordError | None = None
    state: TaskState = TaskState.UNKNOWN
    revision: int = 0

    @property
    def ok(self) -> bool:
        return self.error is None


@dataclass(frozen=True, slots=True)
class Task:
    """A task as the cluster knows it."""

    task_id: str
    spec: TaskSpec
    state: TaskState
    attempt: int  # attempts started
    create_revision: int
    mod_revision: int
    fencing_token: int  # of the current lease; 0 = not claimed
    session_id: int
    worker: str
    lease_remaining_ms: int
    checkpoint: bytes
    progress_permille: int
    result: bytes
    last_error: str
    ready_in_ms: int
    submitted_unix_ms: int
    finished_unix_ms: int
    lost_leases: int
    payload_dropped: bool = False
    """The payload of a completed task is not kept."""

    @property
    def finished(self) -> bool:
        return self.state.finished

    @property
    def queue(self) -> str:
        return self.spec.queue

    @property
    def payload(self) -> bytes:
        return self.spec.payload

    @property
    def type(self) -> str:
        return self.spec.type

    @property
    def priority(self) -> int:
        return self.spec.priority

    @property
    def idempotency_key(self) -> str:
        return self.spec.idempotency_key

    @property
    def max_attempts(self) -> int:
        return self.spec.max_attempts

    @property
    def labels(self) -> Mapping[str, str]:
        return self.spec.labels


@dataclass(frozen=True, slots=True)
class TaskExplanation:
    """Why a task is not running: one sentence, and machine-readable words."""

    state: TaskState
    summary: str
    reasons: tuple[str, ...]
    ahead: int  # tasks its queue hands out first
    ready_in_ms: int
    workers: int


class RetentionPolicy(IntEnum):
    """What a queue does when one of its quotas is used up."""

    REFUSE = 1
    """New tasks are refused."""
    DROP_RESULTS_OLDEST = 2
    """Completed tasks are forgotten before their time, the one that completed first first."""


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue's tasks by state, and its totals since it was made (never decreasing)."""

    queue: str
    paused: bool
    ready: int
    scheduled: int
    claimed: int
    submitted_total: int
    completed_total: int
    dead_total: int
    cancelled_total: int
    lost_leases_total: int
    retried_total: int
    dead: int
    oldest_ready_ms: int
    kept: int = 0
    """Tasks in whatever state, those that are kept after their end included."""
    size_bytes: int = 0
    """Memory of these and of what is left of forgotten ones: an estimate."""
    tombstones: int = 0
    """Idempotency keys of forgotten tasks that are still known."""
    forgotten_early_total: int = 0
    quota_tasks: int = 0
    """0: none."""
    quota_bytes: int = 0
    policy: RetentionPolicy = RetentionPolicy.REFUSE
    full_by: str = ""
    """The quota that is used up: "tasks", "bytes" or neither."""
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class LockWaiter:
    """Who waits for a lock. `ticket`: the place in its queue; the smallest is next."""

    session_id: int
    holder: str
    ticket: int = 0


@dataclass(frozen=True, slots=True)
class LockInfo:
    """A lock as the cluster knows it. `waiter_count` wait; `waiters` are the first of them, in the
    order in which they will get it (see `Locks.waiters` for the others)."""

    name: str
    held: bool
    session_id: int
    holder: str
    fencing_token: int
    remaining_ms: int
    waiters: tuple[LockWaiter, ...]
    waiter_count: int = 0


@dataclass(frozen=True, slots=True)
class KeyValue:
    """etcd v3's mvccpb.KeyValue. `version` counts the puts since the key was created."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class RangeResult:
    """`more`: the limit cut it short. `count`: how many keys the interval holds."""

    kvs: tuple[KeyValue, ...]
    more: bool
    count: int
    revision: int


@dataclass(frozen=True, slots=True)
class PutResult:
    revision: int
    prev_kv: KeyValue | None = None


@dataclass(frozen=True, slots=True)
class DeleteResult:
    deleted: int
    revision: int
    prev_kvs: tuple[KeyValue, ...] = ()


@dataclass(frozen=True, slots=True)
class TxnResult:
    """`succeeded`: every comparison held, so the success branch ran; else the failure branch did.
    `responses`: one per operation of that branch, in order."""

    succeeded: bool
    revision: int
    responses: tuple[RangeResult | PutResult | DeleteResult | TxnResult, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """The liveness of one client; `queues` and `slots` are what a worker serves."""

    session_id: int
    kind: str
    name: str
    labels: Mapping[str, str]
    queues: tuple[str, ...]
    slots: int
    ttl_ms: int
    remaining_ms: int
    tasks_held: int
    locks_held: int
    create_revision: int
    opened_unix_ms: int
    stuck: tuple[str, ...] = ()  # tasks whose handlers do not end although they were told to


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """One node. `role` is leader, follower, candidate or learner; empty when unreachable.
    `checked_index`: the last applied index at which it saw a majority, itself included, with equal
    states. `alarms`: what somebody should look at, such as SNAPSHOT_FAILED. `note`: what is odd
    about it, for people."""

    id: str
    address: str
    role: str
    term: int
    commit_index: int
    applied_index: int
    reachable: bool
    version: str
    peer_address: str
    checked_index: int = 0
    alarms: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """`leader` is empty when there is none; `node_id` is the node that answered."""

    cluster_id: str
    leader: str
    term: int
    revision: int
    members: tuple[MemberStatus, ...]
    node_id: str
    state_bytes: int = 0
    """Memory that the state takes, as the leader counts it; 0 if there is none."""
    quota_bytes: int = 0
    quota_alarm: bool = False
    """New tasks and keys are refused (QUOTA_EXCEEDED)."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What one node knows of itself. `write_block_reason` is empty when it takes writes."""

    cluster_id: str
    member: MemberStatus
    leader: str
    revision: int
    write_block_reason: str
    cluster_time_ms: int
    snapshot_index: int
    log_first_index: int
    log_last_index: int


@dataclass(frozen=True, slots=True)
class NodeDigest:
    """Digest of one node's state. Nodes at equal `applied_index` must have equal `digest`.
    `error`: why this node gave none."""

    node_id: str
    address: str
    applied_index: int
    revision: int
    digest: str
    error: CoordError | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A node of the cluster. `address` is for clients, `peer_address` for the other nodes. A
    learner copies the log and does not vote."""

    id: str
    address: str
    peer_address: str
    learner: bool


@dataclass(frozen=True, slots=True)
class LeaderTransfer:
    """Who leads now, and since which term."""

    leader: str
    term: int


@dataclass(frozen=True, slots=True)
class Quota:
    """How large the state is and may become. `automatic`: the limit was not set, but taken from the
    memory of the leader's machine. `alarm`: new tasks and keys are refused."""

    bytes: int
    limit_bytes: int
    alarm: bool
    automatic: bool


@dataclass(frozen=True, slots=True)
class FeatureLevel:
    """The feature `level` in force, the `highest` that the leader's build supports, and the highest
    that each member's build supports (by node id; None: not connected to the leader)."""

    level: int
    highest: int
    members: dict[str, int | None]
