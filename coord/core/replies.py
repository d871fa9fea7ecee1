"""What commands answer with, and the events that applying them emits. Replies are kept for
deduplication and travel in snapshots, so they hold only integers, text, bytes and tuples of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from coord.core.reasons import Reason


class TaskState(IntEnum):
    """Numbers are those of coord.v1.TaskState."""

    SCHEDULED = 1
    READY = 2
    CLAIMED = 3
    COMPLETED = 4
    DEAD = 5
    CANCELLED = 6


class Rejected(NamedTuple):
    """A definite refusal: nothing was changed. `metadata` is sorted (key, value) text pairs."""

    reason: Reason
    message: str
    metadata: tuple[tuple[str, str], ...] = ()


class Done(NamedTuple):
    """The command was carried out and has nothing more to say."""

    revision: int


class SessionOpened(NamedTuple):
    session_id: int
    ttl_ms: int
    revision: int


class SessionKept(NamedTuple):
    ttl_ms: int


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


class LockReply(NamedTuple):
    """`acquired` with its token; or `queued` at `position` (0 = next); or neither."""

    acquired: bool
    fencing_token: int
    queued: bool
    position: int
    revision: int


class KeyValue(NamedTuple):
    """etcd v3's mvccpb.KeyValue."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


class KvRangeReply(NamedTuple):
    kvs: tuple[KeyValue, ...]
    more: bool
    total: int
    revision: int


class KvPutReply(NamedTuple):
    prev_kv: KeyValue | None
    revision: int


class KvDeleteReply(NamedTuple):
    deleted: int
    prev_kvs: tuple[KeyValue, ...]
    revision: int


class KvTxnReply(NamedTuple):
    succeeded: bool
    responses: tuple[KvRangeReply | KvPutReply | KvDeleteReply | KvTxnReply, ...]
    revision: int


class LevelRaised(NamedTuple):
    """`level` is the one in force now."""

    level: int


class QueueDeleted(NamedTuple):
    """One step of it. `remaining` 0: the queue is gone."""

    deleted: int
    remaining: int
    revision: int


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


class EventKind(IntEnum):
    TASK_READY = 1  # subject: queue - something can be claimed that could not be before
    TASK_FINISHED = 2  # subject: task_id
    TASK_LEASE_LOST = 3  # subject: task_id
    LOCK_GRANTED = 4  # subject: lock name (to a waiter)
    LOCK_WAIT_ENDED = 5  # subject: lock name (a waiter left without the lock)
    SESSION_ENDED = 6  # subject: decimal session id
    KV_CHANGED = 7  # subject: key, latin-1
    LEVEL_RAISED = 8  # subject: decimal level


class Event(NamedTuple):
    """Something that happened in apply, for those who wait. Events are not replicated.

    `token`: fencing token, session id or 0. `session_id`, `holder`: the contender, if it is about
    one contender of a lock."""

    kind: EventKind
    subject: str
    revision: int
    token: int = 0
    session_id: int = 0
    holder: str = ""


@dataclass(slots=True)
class Applied:
    """The outcome of one batch: one reply per request, in order, and the events in order."""

    replies: list[Reply]
    events: list[Event]
    revision: int
