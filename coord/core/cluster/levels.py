"""Raising the feature level."""

from __future__ import annotations

from coord.core.base.request import EventKind
from coord.core.cluster import settings
from coord.core.cluster.commands import LevelRaised, RaiseLevel
from coord.core.state import State


def raise_level(state: State, command: RaiseLevel) -> LevelRaised:
    """Raise the level; a level that is reached already changes nothing. Takes no revision.

    The codec refuses a level that this build does not support: the node must stop then."""
    if command.level > state.level:
        if not state.level:
            settings.start_compacting(state)
        state.level = command.level
        state.emit(EventKind.LEVEL_RAISED, str(command.level))
    return LevelRaised(state.level)
