"""Refusals that several handlers give, worded once."""

from __future__ import annotations

from coord.core.reasons import Reason
from coord.core.records import Queue, Task, Tombstone, task_id_of
from coord.core.replies import Rejected


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


def task_not_found(task_id: str) -> Rejected:
    return Rejected(
        Reason.TASK_NOT_FOUND,
        # These words are in kept replies, and so in digests: nodes of all builds must say the same.
        f"task {task_id!a} is not known: it never existed, or its retention is over",
        (("task_id", task_id),),
    )


def task_forgotten(stone: Tombstone) -> Rejected:
    how = (
        f"the policy of queue {stone.queue!a} had it forgotten early"
        if stone.early
        else "its retention is over"
    )
    return Rejected(
        Reason.TASK_NOT_FOUND,
        f"task {task_id_of(stone.serial)} completed, and {how}; its idempotency key is still known",
        (
            ("forgotten", "early" if stone.early else "in_time"),
            ("queue", stone.queue),
            ("task_id", task_id_of(stone.serial)),
        ),
    )


def task_finished(task: Task) -> Rejected:
    return Rejected(
        Reason.TASK_FINISHED,
        f"task {task.task_id} is {task.state.name} already",
        (("state", task.state.name),),
    )


def queue_not_found(queue: str) -> Rejected:
    return Rejected(
        Reason.QUEUE_NOT_FOUND,
        f"queue {queue!a} is not known: its first submit makes it",
        (("queue", queue),),
    )


def being_redriven(queue: str) -> Rejected:
    return Rejected(
        Reason.LIMIT_EXCEEDED,
        f"queue {queue!a} is still being redriven: ask again when that is done",
        (("queue", queue),),
    )


def share_exceeded(who: str, own: int, what: str, limit: int) -> Rejected:
    return Rejected(
        Reason.LIMIT_EXCEEDED,
        f"{who} has {own} {what}; at most {limit} are allowed in the cluster, and nobody may have "
        "more than nine times as many as are still free",
        (("limit", str(limit)), ("used", str(own))),
    )


def being_deleted(queue: Queue) -> Rejected:
    return Rejected(
        Reason.QUEUE_BEING_DELETED,
        f"queue {queue.name!a} is being deleted: repeat the delete until it is done",
        (("queue", queue.name),),
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
