"""Settings of the whole cluster, which stand in the replicated state.

compact_after   the revision at which level 1 was reached: tasks that complete later are kept
                compactly
quota_bytes     how large the state may become; missing: the leader takes what its machine has"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from coord.core.base.context import NEVER, Context
from coord.core.base.invariants import invariant
from coord.core.base.limits import Limits
from coord.core.base.request import Done
from coord.core.base.table import Table
from coord.core.cluster.commands import SetQuota
from coord.core.cluster.records import decode_setting, encode_setting
from coord.core.state import State

_COMPACT_AFTER: Final = "compact_after"
_QUOTA_BYTES: Final = "quota_bytes"


def make_tables(limits: Limits, parts: Mapping[str, Any]) -> Table[str, int]:
    """Settings by name."""
    return Table("settings", encode_setting, decode_setting, place=120)


def start_compacting(ctx: Context, tables: Table[str, int]) -> None:
    """From here on completed tasks are kept compactly."""
    _put(tables, _COMPACT_AFTER, ctx.revision)
    ctx.compact_after = ctx.revision


def rebuild(ctx: Context, tables: Table[str, int]) -> None:
    """What a restored state derives from its settings."""
    compact_after = tables.get(_COMPACT_AFTER)
    if compact_after is not None:
        ctx.compact_after = compact_after


def check(state: State) -> None:
    """Invariants; raises InvariantViolation."""
    known = state.settings.get(_COMPACT_AFTER)
    since = NEVER if known is None else known
    invariant(state.ctx.compact_after == since, "compact from where the settings say", known)


def quota_bytes(tables: Table[str, int]) -> int:
    """How large the state may become; 0: nobody has said."""
    return tables.get(_QUOTA_BYTES) or 0


def set_quota(ctx: Context, tables: Table[str, int], command: SetQuota) -> Done:
    """Sets how large the state may become; 0 leaves it to the leader."""
    if command.limit_bytes == quota_bytes(tables):
        return Done(ctx.revision)
    if command.limit_bytes:
        _put(tables, _QUOTA_BYTES, command.limit_bytes)
    else:
        tables.remove(_QUOTA_BYTES)
    return Done(ctx.next_revision())


def _put(tables: Table[str, int], name: str, value: int) -> None:
    if name in tables:
        tables.replace(name, value)
    else:
        tables.insert(name, value)
