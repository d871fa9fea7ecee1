"""Commands about tasks and queues, and what they are answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from coord.core.base.refusal import Rejected


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
    # What `coord.core.tasks.digests` makes of it; kept, since a task with a key is hashed twice.
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


class TaskState(IntEnum):
    """Numbers are those of coord.v1.TaskState."""

    SCHEDULED = 1
    READY = 2
    CLAIMED = 3
    COMPLETED = 4
    DEAD = 5
    CANCELLED = 6


class Submitted(NamedTuple):
    """One (task_id, revision, existed) per task, in order."""

    tasks: tuple[tuple[str, int, bool], ...]


class Claimed(NamedTuple):
    """One (task_id, fencing_token, attempt, lease_ttl_ms) per task handed out. The rest of what a
    worker needs is read from the task while its fencing token is still this one."""

    tasks: tuple[tuple[str, int, int, int], ...]


class ItemOutcome(NamedTuple):
    """`rejected` None = done. `state` is the task's afterwards (0 = unknown task)."""

    state: int
    revision: int
    rejected: Rejected | None = None


class ItemOutcomes(NamedTuple):
    """One per item of the batch, in order."""

    items: tuple[ItemOutcome, ...]


class TaskChanged(NamedTuple):
    state: int
    revision: int


class Redriven(NamedTuple):
    redriven: int
    revision: int


class QueueDeleted(NamedTuple):
    """One step of it. `remaining` 0: the queue is gone."""

    deleted: int
    remaining: int
    revision: int
