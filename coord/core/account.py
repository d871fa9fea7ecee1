"""The account of the bytes that the state takes, kept as it changes (`coord.core.sizes`)."""

from __future__ import annotations

from coord.core.sizes import (
    HISTORY_BYTES,
    KEY_BYTES,
    LOCK_BYTES,
    QUEUE_BYTES,
    WAITER_BYTES,
)
from coord.core.state import State
from coord.core.tasks.records import Queue, Task


def state_size(state: State) -> int:
    """Bytes that the whole state takes; costs nothing."""
    kv = state.kv
    return (
        state.tasks_size
        + state.sessions_size
        + state.reply_bytes
        + len(state.queues) * QUEUE_BYTES
        + len(state.locks) * LOCK_BYTES
        + len(state.waiters) * WAITER_BYTES
        + kv.live_bytes
        + len(kv) * KEY_BYTES
        + kv.history_bytes
        + kv.history_rows * HISTORY_BYTES
    )


def add_size(state: State, queue: Queue, size: int) -> None:
    """Of a task or a tombstone that came or, negative, went."""
    queue.size += size
    state.tasks_size += size


def resize(state: State, queue: Queue, task: Task, size: int) -> None:
    """A task takes so many bytes now."""
    grown = size - task.size
    if grown:
        task.size = size
        queue.size += grown
        state.tasks_size += grown
