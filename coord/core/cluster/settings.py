"""Settings of the whole cluster, which stand in the replicated state.

compact_after   the revision at which level 1 was reached: tasks that complete later are kept
                compactly
quota_bytes     how large the state may become; missing: the leader takes what its machine has"""

from __future__ import annotations

from typing import Final

from coord.core.base.invariants import invariant
from coord.core.base.request import Done
from coord.core.cluster.commands import SetQuota
from coord.core.state import NEVER, State

_COMPACT_AFTER: Final = "compact_after"
_QUOTA_BYTES: Final = "quota_bytes"


def start_compacting(state: State) -> None:
    """From here on completed tasks are kept compactly."""
    _put(state, _COMPACT_AFTER, state.revision)
    state.compact_after = state.revision


def rebuild(state: State) -> None:
    """What a restored state derives from its settings."""
    compact_after = state.settings.get(_COMPACT_AFTER)
    if compact_after is not None:
        state.compact_after = compact_after


def check(state: State) -> None:
    """Invariants; raises InvariantViolation."""
    known = state.settings.get(_COMPACT_AFTER)
    since = NEVER if known is None else known
    invariant(state.compact_after == since, "compact from where the settings say", known)


def quota_bytes(state: State) -> int:
    """How large the state may become; 0: nobody has said."""
    return state.settings.get(_QUOTA_BYTES) or 0


def set_quota(state: State, command: SetQuota) -> Done:
    """Sets how large the state may become; 0 leaves it to the leader."""
    if command.limit_bytes == quota_bytes(state):
        return Done(state.revision)
    if command.limit_bytes:
        _put(state, _QUOTA_BYTES, command.limit_bytes)
    else:
        state.settings.remove(_QUOTA_BYTES)
    return Done(state.next_revision())


def _put(state: State, name: str, value: int) -> None:
    if name in state.settings:
        state.settings.replace(name, value)
    else:
        state.settings.insert(name, value)
