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


def state_size(state: State) -> int:
    """Bytes that the whole state takes; costs nothing."""
    kv = state.kv
    return (
        state.task_tables.tasks_size
        + state.session_tables.sessions_size
        + state.reply_bytes
        + len(state.queues) * QUEUE_BYTES
        + len(state.locks) * LOCK_BYTES
        + len(state.waiters) * WAITER_BYTES
        + kv.live_bytes
        + len(kv) * KEY_BYTES
        + kv.history_bytes
        + kv.history_rows * HISTORY_BYTES
    )
