"""What applying a command takes, estimated before it is logged.

A committed entry cannot be refused, however much is in it, so the leader fills an entry by these
numbers. They were measured on one core of a virtual machine with the core in plain Python, decoding
included, and rounded up (`scripts/bench --scenario bounds` measures them again). They look at the
applied state; what it becomes until the entry is applied changes little, and every single command
is bounded by its limits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from coord.core.batch import Command
from coord.core.kv.commands import KvDelete, KvRange, KvTxn
from coord.core.sessions.commands import CloseSession
from coord.core.state import State
from coord.core.tasks.commands import (
    ClaimTasks,
    CompleteTasks,
    FailTasks,
    HeartbeatTasks,
    RedriveQueue,
    ReleaseTasks,
    SubmitTasks,
)

_REQUEST_US: Final = 30
_BYTES_A_US: Final = 700  # of payloads and values, which are copied
_TASK_US: Final = 12
_OPTIONS_US: Final = 6
_LABEL_US: Final = 3
_CLAIM_US: Final = 9
_ITEM_US: Final = 15
_REDRIVE_US: Final = 6
_ENDED_US: Final = 12
_OP_US: Final = 6
_RANGE_US: Final = 30  # to find an interval, also in the history, beside its rows
_ROW_US: Final = 4


def cost_us(state: State, command: Command, size: int) -> int:
    """Microseconds for one command of `size` bytes."""
    of_its_own = _COSTS.get(type(command))
    fixed = _REQUEST_US + size // _BYTES_A_US
    return fixed if of_its_own is None else fixed + of_its_own(state, command)


def _submit(state: State, command: SubmitTasks) -> int:
    labels = sum([len(spec.labels) for spec in command.tasks])
    special = sum([spec.max_attempts != 0 or spec.delay_ms != 0 for spec in command.tasks])
    return len(command.tasks) * _TASK_US + special * _OPTIONS_US + labels * _LABEL_US


def _claim(state: State, command: ClaimTasks) -> int:
    ready = 0
    for name in command.queues:
        queue = state.queues.get(name)
        if queue is not None:
            ready += len(queue.ready)
    return min(command.max_tasks, ready) * _CLAIM_US


def _items(state: State, command: HeartbeatTasks | CompleteTasks | FailTasks | ReleaseTasks) -> int:
    return len(command.items) * _ITEM_US


def _redrive(state: State, command: RedriveQueue) -> int:
    queue = state.queues.get(command.queue)
    dead = 0 if queue is None else len(queue.dead)
    at_once = state.limits.max_redriven_at_once if state.level >= 1 else command.limit
    return min(command.limit, at_once, dead) * _REDRIVE_US


def _close(state: State, command: CloseSession) -> int:
    session = state.sessions.get(command.session_id)
    if session is None:
        return 0
    held = sum([len(keys) for keys in session.held.values()])
    return min(held, state.limits.max_expiries_per_batch) * _ENDED_US


def _delete(state: State, command: KvDelete) -> int:
    return state.kv.rows_named(command) * _ROW_US if command.range_end else _OP_US


def _txn(state: State, command: KvTxn) -> int:
    return _steps_us(command) + state.kv.rows_named(command) * _ROW_US


def _steps_us(txn: KvTxn) -> int:
    """Without the rows."""
    steps = [*txn.success, *txn.failure]
    ranges = sum([isinstance(step, KvRange) and step.range_end != b"" for step in steps])
    nested = sum([_steps_us(step) for step in steps if isinstance(step, KvTxn)])
    return (len(txn.compare) + len(steps)) * _OP_US + ranges * _RANGE_US + nested


_COSTS: Final[dict[type, Callable[[State, Any], int]]] = {
    SubmitTasks: _submit,
    ClaimTasks: _claim,
    HeartbeatTasks: _items,
    CompleteTasks: _items,
    FailTasks: _items,
    ReleaseTasks: _items,
    RedriveQueue: _redrive,
    CloseSession: _close,
    KvDelete: _delete,
    KvTxn: _txn,
}
