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


Metadata = tuple[tuple[str, str], ...]
"""Sorted pairs of a name and a value."""


class Rejected(NamedTuple):
    """A definite refusal: nothing was changed. What a handler refuses has no `message`: sentences
    are made of the reason and the metadata where they are shown (`coord.core.base.sentences`)."""

    reason: Reason
    message: str = ""
    metadata: Metadata = ()


def refuse(reason: Reason, *metadata: tuple[str, str]) -> Rejected:
    """The refusal of a handler; the metadata in the order of their names."""
    return Rejected(reason, "", metadata)


def session_not_found(session_id: int) -> Rejected:
    return refuse(Reason.SESSION_NOT_FOUND, ("session_id", str(session_id)))


def session_required(doing: str) -> Rejected:
    """`doing`: what is asked for without a session."""
    return refuse(Reason.INVALID_ARGUMENT, ("doing", doing), ("field", "header.session_id"))


def limit_exceeded(of: str, limit: int) -> Rejected:
    """`of`: what there may be no more of, in words joined by underscores."""
    return refuse(Reason.LIMIT_EXCEEDED, ("limit", str(limit)), ("of", of))


def share_exceeded(owner: str, own: int, of: str, limit: int, name: str = "") -> Rejected:
    """One owner has its share of something. `owner`: "queue", "session" or, with `name`, "name"."""
    metadata: Metadata = (("limit", str(limit)), ("of", of), ("owner", owner), ("used", str(own)))
    if owner == "name":
        metadata = (metadata[0], ("name", name), *metadata[1:])
    return Rejected(Reason.LIMIT_EXCEEDED, "", metadata)


def stale_token(what: tuple[str, str], presented: int, current: int) -> Rejected:
    """`what`: ("lock", its name) or ("task_id", the id of a task)."""
    pairs = (("current", str(current)), ("presented", str(presented)), what)
    return Rejected(Reason.STALE_FENCING_TOKEN, "", tuple(sorted(pairs)))
