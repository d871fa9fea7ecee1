"""Refusals about tasks and queues."""

from __future__ import annotations

from coord.core.base.refusal import Reason, Rejected
from coord.core.tasks.records import Queue, Task, Tombstone, task_id_of


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


def being_deleted(queue: Queue) -> Rejected:
    return Rejected(
        Reason.QUEUE_BEING_DELETED,
        f"queue {queue.name!a} is being deleted: repeat the delete until it is done",
        (("queue", queue.name),),
    )
