"""Commands about keys, carried out by the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from coord.core.base.context import Context
from coord.core.base.limits import Limits
from coord.core.base.request import EventKind
from coord.core.batch import Reply
from coord.core.kv.holdings import check_new_keys
from coord.core.kv.store import KvStore
from coord.core.state import State

_KV_CHANGED: Final = EventKind.KV_CHANGED


def change_keys(ctx: Context, tables: KvStore, command: Any) -> Reply:
    """The key-value store is given the next revision, and takes it only if it changes something."""
    refused = check_new_keys(ctx, tables, command) if ctx.level else None
    if refused is not None:
        return refused
    reply, changed = tables.apply(command, ctx.revision + 1, ctx.level)
    if changed:
        ctx.next_revision()
        for key in tables.changed_keys:
            ctx.emit(_KV_CHANGED, key.decode("latin-1"))
    return reply


def make_tables(limits: Limits, parts: Mapping[str, Any]) -> KvStore:
    """The keys, with no dependence on other domains."""
    return KvStore(limits)


def is_untidy(tables: KvStore) -> bool:
    """Whether compacted history is left to be taken away. Nobody can read it any more."""
    return tables.untidy


def tidy(ctx: Context, tables: KvStore, max_rows: int) -> int:
    """Takes away so many rows of it at most."""
    return tables.tidy(max_rows)


def rebuild(ctx: Context, tables: KvStore) -> None:
    """What is derived from the rows of keys."""
    tables.rebuild()


def check(state: State) -> None:
    """Invariants; raises InvariantViolation."""
    state.kv.check(state.level)
