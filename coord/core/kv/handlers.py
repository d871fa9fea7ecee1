"""Commands about keys, carried out by the store."""

from __future__ import annotations

from typing import Any, Final

from coord.core.base.request import EventKind
from coord.core.batch import Reply
from coord.core.kv.holdings import check_new_keys
from coord.core.state import State

_KV_CHANGED: Final = EventKind.KV_CHANGED


def change_keys(state: State, command: Any) -> Reply:
    """The key-value store is given the next revision, and takes it only if it changes something."""
    refused = check_new_keys(state, command) if state.level else None
    if refused is not None:
        return refused
    reply, changed = state.kv.apply(command, state.revision + 1, state.level)
    if changed:
        state.next_revision()
        for key in state.kv.changed_keys:
            state.emit(_KV_CHANGED, key.decode("latin-1"))
    return reply


def rebuild(state: State) -> None:
    """What is derived from the rows of keys."""
    state.kv.rebuild()


def check(state: State) -> None:
    """Invariants; raises InvariantViolation."""
    state.kv.check(state.level)
