"""Refusals: why a command changed nothing."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


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


class Rejected(NamedTuple):
    """A definite refusal: nothing was changed. `metadata` is sorted (key, value) text pairs."""

    reason: Reason
    message: str
    metadata: tuple[tuple[str, str], ...] = ()


def session_not_found(session_id: int) -> Rejected:
    return Rejected(
        Reason.SESSION_NOT_FOUND,
        f"session {session_id} is not open: it was closed, it expired, or it never existed",
        (("session_id", str(session_id)),),
    )


def session_required(what: str) -> Rejected:
    return Rejected(
        Reason.INVALID_ARGUMENT,
        f"{what} needs a session: header.session_id is 0",
        (("field", "header.session_id"),),
    )


def share_exceeded(who: str, own: int, what: str, limit: int) -> Rejected:
    return Rejected(
        Reason.LIMIT_EXCEEDED,
        f"{who} has {own} {what}; at most {limit} are allowed in the cluster, and nobody may have "
        "more than nine times as many as are still free",
        (("limit", str(limit)), ("used", str(own))),
    )


def stale_token(what: str, presented: int, current: int) -> Rejected:
    return Rejected(
        Reason.STALE_FENCING_TOKEN,
        f"{what}: token {presented} is stale, the current one is {current or 'none'}",
        (("current", str(current)),),
    )


def limit_exceeded(what: str, limit: int) -> Rejected:
    return Rejected(
        Reason.LIMIT_EXCEEDED, f"at most {limit} {what} are allowed", (("limit", str(limit)),)
    )
