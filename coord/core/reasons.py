"""Why the state machine refuses a command: one stable word each, shown to every client."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Machine-readable refusal. All of them are definite: nothing was changed."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    TOO_LARGE = "TOO_LARGE"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"  # never opened, closed or expired
    SEQUENCE_FORGOTTEN = "SEQUENCE_FORGOTTEN"  # repeats a request whose reply was given up
    SEQUENCE_REUSED = "SEQUENCE_REUSED"  # another request had this sequence
    TASK_NOT_FOUND = "TASK_NOT_FOUND"
    TASK_NOT_CLAIMED = "TASK_NOT_CLAIMED"
    TASK_FINISHED = "TASK_FINISHED"
    TASK_NOT_FINISHED = "TASK_NOT_FINISHED"
    STALE_FENCING_TOKEN = "STALE_FENCING_TOKEN"  # metadata: current (0 = not held)
    QUEUE_NOT_FOUND = "QUEUE_NOT_FOUND"
    QUEUE_NOT_EMPTY = "QUEUE_NOT_EMPTY"  # metadata: unfinished
    QUEUE_BEING_DELETED = "QUEUE_BEING_DELETED"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"  # metadata: scope (cluster or queue), limit, used
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"  # the key is that of a task with other content
    LOCK_NOT_FOUND = "LOCK_NOT_FOUND"
    LOCK_NOT_HELD = "LOCK_NOT_HELD"
    REVISION_COMPACTED = "REVISION_COMPACTED"  # metadata: compacted
    REVISION_IN_FUTURE = "REVISION_IN_FUTURE"
    LEASE_NOT_FOUND = "LEASE_NOT_FOUND"
    KEY_NOT_FOUND = "KEY_NOT_FOUND"
    DUPLICATE_KEY = "DUPLICATE_KEY"  # a transaction that puts one key twice
