"""Refusals about tasks and queues; `coord.core.tasks.sentences` puts them in words."""

from __future__ import annotations

from typing import Final

from coord.core.base.refusal import Reason, Rejected, refuse
from coord.core.tasks.records import Queue, Task, Tombstone, task_id_of

REDRIVES: Final = "redrives_of_one_queue"


def task_not_found(task_id: str) -> Rejected:
    return refuse(Reason.TASK_NOT_FOUND, ("task_id", task_id))


def task_forgotten(stone: Tombstone) -> Rejected:
    return refuse(
        Reason.TASK_NOT_FOUND,
        ("forgotten", "early" if stone.early else "in_time"),
        ("queue", stone.queue),
        ("task_id", task_id_of(stone.serial)),
    )


def task_not_claimed(task: Task, token: int) -> Rejected:
    return refuse(
        Reason.TASK_NOT_CLAIMED,
        ("state", task.state.name),
        ("task_id", task.task_id),
        ("token", str(token)),
    )


def task_finished(task: Task) -> Rejected:
    return refuse(Reason.TASK_FINISHED, ("state", task.state.name), ("task_id", task.task_id))


def task_not_finished(task: Task) -> Rejected:
    return refuse(Reason.TASK_NOT_FINISHED, ("state", task.state.name), ("task_id", task.task_id))


def queue_not_found(queue: str) -> Rejected:
    return refuse(Reason.QUEUE_NOT_FOUND, ("queue", queue))


def queue_not_empty(queue: Queue, unfinished: int) -> Rejected:
    return refuse(Reason.QUEUE_NOT_EMPTY, ("queue", queue.name), ("unfinished", str(unfinished)))


def being_redriven(queue: str) -> Rejected:
    return refuse(Reason.LIMIT_EXCEEDED, ("limit", "1"), ("of", REDRIVES), ("queue", queue))


def being_deleted(queue: Queue) -> Rejected:
    return refuse(Reason.QUEUE_BEING_DELETED, ("queue", queue.name))


def over_quota(queue: Queue, quota: str, limit: int, used: int) -> Rejected:
    """`quota`: "tasks" or "bytes"."""
    return refuse(
        Reason.QUOTA_EXCEEDED,
        ("limit", str(limit)),
        ("queue", queue.name),
        ("quota", quota),
        ("scope", "queue"),
        ("used", str(used)),
    )


def idempotency_conflict(position: int, queue: str, key: str, serial: int) -> Rejected:
    """The key is that of the task `serial` or, if that is 0, of a task before it in the submit."""
    return refuse(
        Reason.IDEMPOTENCY_CONFLICT,
        ("field", f"tasks[{position}].idempotency_key"),
        ("key", key),
        ("queue", queue),
        ("task_id", task_id_of(serial) if serial else ""),
    )
