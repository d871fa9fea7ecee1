"""How many bytes of memory a row takes: an estimate, the same on every node.

Never measured memory: quotas are compared with these numbers, and all nodes must agree. The
constants are what rows of each kind were measured to take beyond their contents, with indexes and
timers (`scripts/bytes_per_object`)."""

from __future__ import annotations

from typing import Any, Final

from coord.core.base.request import Labels
from coord.core.batch import Reply
from coord.core.kv.commands import KeyValue, KvPutReply
from coord.core.sessions.records import Session
from coord.core.tasks.commands import Claimed, ItemOutcomes, Submitted
from coord.core.tasks.records import Task, Tombstone

TASK_BYTES: Final = 900
COMPLETED_TASK_BYTES: Final = 550
TOMBSTONE_BYTES: Final = 400
SESSION_BYTES: Final = 1_350
LOCK_BYTES: Final = 550
WAITER_BYTES: Final = 900
QUEUE_BYTES: Final = 3_800
KEY_BYTES: Final = 300
HISTORY_BYTES: Final = 450
_NAMED_BYTES: Final = 100  # an idempotency key and its place in the index
_LABEL_BYTES: Final = 160
_REPLY_BYTES: Final = 350
_ITEM_BYTES: Final = 120  # refused ones have a few more words, at most a hundred or two
_KEY_VALUE_BYTES: Final = 160
_OF_TASKS: Final = (Submitted, Claimed)


def task_size(task: Task, *, compact: bool) -> int:
    """A task; `compact` if it is completed and kept as such (`coord.core.tasks.retention`)."""
    size = (
        (COMPLETED_TASK_BYTES if compact else TASK_BYTES)
        + len(task.payload)
        + len(task.result)
        + len(task.checkpoint)
        + len(task.last_error)
    )
    if task.idempotency_key:
        size += _NAMED_BYTES + len(task.idempotency_key)
    return size + labels_size(task.labels) if task.labels else size


def spec_size(payload: bytes, idempotency_key: str, labels: dict[str, str]) -> int:
    """A task that is about to be submitted."""
    size = TASK_BYTES + len(payload)
    if idempotency_key:
        size += _NAMED_BYTES + len(idempotency_key)
    return size + labels_size(tuple(labels.items())) if labels else size


def tombstone_size(stone: Tombstone) -> int:
    """What is left of a task."""
    return TOMBSTONE_BYTES + len(stone.idempotency_key)


def session_size(session: Session) -> int:
    """A session without what it holds."""
    size = SESSION_BYTES + len(session.name) + labels_size(session.labels)
    return size + sum(_ITEM_BYTES + len(queue) for queue in session.queues)


def labels_size(labels: Labels) -> int:
    """Labels, as if nothing shared them."""
    size = 0
    for key, value in labels:
        size += _LABEL_BYTES + len(key) + len(value)
    return size


def reply_size(reply: Reply) -> int:
    """A kept reply."""
    # One is kept for every request, so the frequent ones are not walked through.
    if isinstance(reply, ItemOutcomes):
        return _REPLY_BYTES + _ITEM_BYTES * len(reply.items)
    if isinstance(reply, _OF_TASKS):
        return _REPLY_BYTES + _ITEM_BYTES * len(reply.tasks)
    if isinstance(reply, KvPutReply) and reply.prev_kv is None:
        return _REPLY_BYTES
    return _REPLY_BYTES + _nested(reply)


def _nested(value: Any) -> int:
    if isinstance(value, KeyValue):
        return _KEY_VALUE_BYTES + len(value.key) + len(value.value)
    if isinstance(value, tuple):
        size = 0
        for item in value:
            if isinstance(item, tuple):
                size += _ITEM_BYTES + _nested(item)
            elif isinstance(item, str | bytes):
                size += len(item)
        return size
    return 0
