"""Raising the feature level."""

from __future__ import annotations

from coord.core.base.context import Context
from coord.core.base.request import EventKind
from coord.core.base.table import Table
from coord.core.cluster import settings
from coord.core.cluster.commands import LevelRaised, RaiseLevel


def raise_level(ctx: Context, tables: Table[str, int], command: RaiseLevel) -> LevelRaised:
    """Raise the level; a level that is reached already changes nothing. Takes no revision.

    The codec refuses a level that this build does not support: the node must stop then."""
    if command.level > ctx.level:
        if not ctx.level:
            settings.start_compacting(ctx, tables)
        ctx.level = command.level
        ctx.emit(EventKind.LEVEL_RAISED, str(command.level))
    return LevelRaised(ctx.level)
