"""The state as rows, and the state again from rows. The bytes are coord/codec's business.

A view freezes every table at once, in constant time, and is read in slices while batches go on
being applied. Rows come table by table in canonical order, so equal states give equal rows."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from coord.core.base.levels import HIGHEST_LEVEL
from coord.core.base.limits import LIMITS, Limits
from coord.core.base.table import Budget, GivenRow, Row, SnapshotFormatError, View
from coord.core.domain import Registry
from coord.core.domains import REGISTRY
from coord.core.sharing import Sharing
from coord.core.state import State

FORMAT: Final = 1
LEVEL_FORMAT: Final = 2  # with the feature level, once it is raised
MAX_HELD_BYTES: Final = 256 * 1024 * 1024
_META: Final = "meta"
NamedRow = tuple[str, Row]
GivenNamedRow = tuple[str, GivenRow]


class StateView:
    """The whole state as of one moment. `close` it in the end; views do not disturb each other.

    `max_held_bytes` bounds what it keeps of rows that change while it is read: a busy node with a
    large state changes more than it has memory for."""

    def __init__(self, state: State, max_held_bytes: int = MAX_HELD_BYTES) -> None:
        self.revision = state.revision
        self._meta: Row = _meta_row(state)
        self._meta_pending = True
        budget = Budget(max_held_bytes)
        self._views: list[View[Any, Any]] = [table.freeze(budget) for table in state.tables()]

    def next_rows(self, max_rows: int) -> list[NamedRow] | None:
        """Up to `max_rows` (table name, row), fewer where they are large or hard to find; None once
        there are no more. Raises ViewGivenUpError when it would hold too much."""
        if self._meta_pending:
            self._meta_pending = False
            return [(_META, self._meta)]
        while self._views:
            view = self._views[0]
            rows = view.look_for_rows(max_rows)
            if rows or not view.done:
                return [(view.name, row) for row in rows]
            view.close()
            del self._views[0]
        return None

    def close(self) -> None:
        """Ends the view; may be called twice."""
        for view in self._views:
            view.close()
        self._views.clear()


def restore(
    rows: Iterable[GivenNamedRow], limits: Limits = LIMITS, registry: Registry = REGISTRY
) -> State:
    """The state whose view emitted `rows`. SnapshotFormatError if they are not such rows."""
    state = registry.new_state(limits)
    tables = {table.name: table for table in state.tables()}
    seen_meta = False
    sharing = Sharing()
    for name, named in groupby(rows, key=itemgetter(0)):
        of_table = (sharing.row(row) for _, row in named)
        if name == _META:
            _load_meta(state, *of_table)
            seen_meta = True
        elif name == state.replies.name:
            state.replies.load(of_table, sharing.decode_kept_reply)
        elif name in tables:
            tables[name].load(of_table)
        else:
            raise SnapshotFormatError(f"unknown table {name!r}")
    if not seen_meta:
        raise SnapshotFormatError("the row with revision and time is missing")
    for domain in registry.domains:
        domain.rebuild(state.ctx, state.parts[domain.name])
    return state


def _meta_row(state: State) -> Row:
    row = (state.revision, state.now_ms, state.wall_ms)
    # Builds that know no levels read the first format, and say so of any other.
    return (LEVEL_FORMAT, *row, state.level) if state.level else (FORMAT, *row)


def _load_meta(state: State, row: GivenRow) -> None:
    if row[0] not in {FORMAT, LEVEL_FORMAT}:
        raise SnapshotFormatError(f"state format {row[0]}; this version reads up to {LEVEL_FORMAT}")
    ctx = state.ctx
    _, ctx.revision, ctx.now_ms, ctx.wall_ms, *rest = row
    ctx.level = rest[0] if rest else 0
    if ctx.level > HIGHEST_LEVEL:
        raise SnapshotFormatError(
            f"the cluster is at feature level {ctx.level}; this build supports levels up to "
            f"{HIGHEST_LEVEL}: start a newer build"
        )
