"""A keyed table of records that can be read as of one moment while it goes on changing.

Theory of operation. Rows live in a dict; their keys also in a sorted list, so that everything that
walks a table (snapshots, digests, listings) sees the same canonical order on every node. `freeze`
opens a view and costs nothing but an object: from then on every mutation first hands the view the
row as it was (its pre-image), unless the view has already walked past that key. The view walks in
key order with a cursor and ends at the key that was last at the freeze, so "does the view still
need this row" is two comparisons. A view therefore holds only the rows that changed ahead of its
cursor, and no mutation waits for it. What it may hold is bounded by a `Budget`: a view that would
need more is given up, and its reader is told.

The one rule for callers: a record is changed in place only after `edit(key)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from sortedcontainers import SortedDict

from coord.core.base.invariants import InvariantViolation, invariant
from coord.core.base.sorted_keys import SortedKeys
from coord.core.base.weight import weight_of

K = TypeVar("K")
V = TypeVar("V")
Row = tuple[Any, ...]
GivenRow = Sequence[Any]  # a row that was read: also a list

UNLIMITED: Final = 1 << 62
_SLICE_WEIGHT: Final = 256 * 1024  # of the rows that a view gives at a time
_SAVED_ROW_BYTES: Final = 150  # what keeping a row takes beside the row


class ViewGivenUpError(Exception):
    """The rows that changed while a view was read took more memory than it may have."""


class Budget:
    """How much the views of one moment may hold of what has changed since, in bytes."""

    __slots__ = ("held_bytes", "max_bytes", "overdrawn")

    def __init__(self, max_bytes: int = UNLIMITED) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0
        self.overdrawn = False

    def take(self, count: int) -> None:
        """Note that so much more is held."""
        self.held_bytes += count
        if self.held_bytes > self.max_bytes:
            self.overdrawn = True

    def give_back(self, count: int) -> None:
        """Note that so much less is held."""
        self.held_bytes -= count


class Table(Generic[K, V]):
    """Records by key. Keys must have a total order that is the same on every node: integers, text,
    bytes, or tuples of these.

    `encode(key, record)` gives the flat tuple of integers, text, bytes, None, booleans, lists and
    tuples that stands for a record in snapshots and digests; `decode(row)` gives both back. Tables
    stand in snapshots and digests in the order of their `place`."""

    __slots__ = ("_decode", "_encode", "_keys", "_rows", "_views", "get", "name", "place")

    get: Callable[[K], V | None]
    """The record of a key, to be read only; None if there is none."""

    def __init__(
        self,
        name: str,
        encode: Callable[[K, V], Row],
        decode: Callable[[GivenRow], tuple[K, V]],
        place: int = 0,
    ) -> None:
        self.name = name
        self.place = place
        self._encode = encode
        self._decode = decode
        self._rows: dict[K, V] = {}
        self.get = self._rows.get  # asked several times for each request: no call in between
        self._keys: SortedKeys[K] = SortedKeys()
        self._views: tuple[View[K, V], ...] = ()

    def tables(self) -> list[Table[Any, Any]]:
        """A table by itself is all that a domain may need."""
        return [self]

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: K) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[K]:
        """Keys in order. The table must not gain or lose rows meanwhile."""
        return iter(self._keys)

    def items(self) -> Iterator[tuple[K, V]]:
        """(key, record) in key order. The table must not gain or lose rows meanwhile."""
        rows = self._rows
        return ((key, rows[key]) for key in self._keys)

    def values(self) -> Iterator[V]:
        """Records in key order. The table must not gain or lose rows meanwhile."""
        rows = self._rows
        return (rows[key] for key in self._keys)

    def __getitem__(self, key: K) -> V:
        return self._rows[key]

    def keys_between(
        self,
        low: K | None = None,
        high: K | None = None,
        *,
        inclusive: tuple[bool, bool] = (True, False),
        reverse: bool = False,
    ) -> Iterator[K]:
        """Keys in an interval, in order; None leaves that side open. Default: low <= key < high.

        The table must not gain or lose rows meanwhile."""
        return self._keys.between(low, high, inclusive, reverse)

    def rank(self, key: K) -> int:
        """How many keys are smaller than `key`, which need not be in the table."""
        return self._keys.rank(key)

    def insert(self, key: K, record: V) -> None:
        """Adds a record under a key that is not taken."""
        if key in self._rows:
            raise InvariantViolation("inserted key is new", (self.name, key))
        for view in self._views:
            view.keep_absence(key)
        self._rows[key] = record
        self._keys.add(key)

    def edit(self, key: K) -> V:
        """The record, to be changed in place. KeyError if there is none."""
        record = self._rows[key]
        for view in self._views:
            view.keep(key, record)
        return record

    def replace(self, key: K, record: V) -> None:
        """Puts another record object under a key that is taken."""
        self.edit(key)
        self._rows[key] = record

    def remove(self, key: K) -> V:
        """Takes a record out and returns it. KeyError if there is none."""
        if self._views:
            self.edit(key)
        record = self._rows.pop(key)
        self._keys.remove(key)
        return record

    def pop_first(self) -> tuple[K, V]:
        """Takes out the record with the smallest key. IndexError if the table is empty."""
        key = self._keys.first()
        record = self.edit(key)
        del self._rows[key]
        self._keys.pop_first()
        return key, record

    def row(self, key: K) -> Row:
        """The record of `key` as its row."""
        return self._encode(key, self._rows[key])

    def freeze(self, budget: Budget | None = None) -> View[K, V]:
        """Opens the view of the table as it is now, in constant time.

        Views do not disturb each other."""
        view = View(self, budget or Budget())
        self._views += (view,)
        return view

    def load(
        self,
        rows: Iterable[GivenRow],
        decode: Callable[[GivenRow], tuple[K, V]] | None = None,
    ) -> None:
        """Inserts rows, as a view emitted them, into a table nobody is reading yet. `decode`: in
        place of the table's own."""
        invariant(not self._views, "loaded table is not frozen", self.name)
        decode = decode or self._decode
        records = self._rows
        before = len(records)
        keys = []
        for row in rows:
            key, record = decode(row)
            records[key] = record
            keys.append(key)
        invariant(len(records) == before + len(keys), "loaded keys are new", self.name)
        self._keys.update(keys)


class View(Generic[K, V]):
    """The rows of a table as of one moment, read in slices in key order.

    `next_rows` gives up to `max_rows` rows, fewer where they are large, and an empty list once
    there are no more. It raises ViewGivenUpError when the budget is overdrawn. `close` must be
    called in the end (also after the last row); it makes mutations cheap again."""

    __slots__ = ("_at_start", "_budget", "_cursor", "_done", "_last", "_saved", "_table", "name")

    def __init__(self, table: Table[K, V], budget: Budget) -> None:
        self.name = table.name
        self._table = table
        self._budget = budget
        self._cursor: K | None = None
        self._at_start = True
        self._done = not table._rows
        self._last: K | None = table._keys.last() if table._rows else None
        # Pre-images ahead of the cursor; None: the key had no record at the freeze.
        self._saved: Any = {} if self._done else SortedDict()

    def keep(self, key: K, record: V) -> None:
        """Called before a record changes or goes."""
        if self._is_ahead(key) and key not in self._saved:
            self._save(key, self._table._encode(key, record))

    def keep_absence(self, key: K) -> None:
        """Called before a key comes."""
        if self._is_ahead(key) and key not in self._saved:
            self._save(key, None)

    @property
    def done(self) -> bool:
        """Whether there are no more rows."""
        return self._done

    def next_rows(self, max_rows: int) -> list[Row]:
        rows = self.look_for_rows(max_rows)
        while not rows and not self._done:
            rows = self.look_for_rows(max_rows)
        return rows

    def look_for_rows(self, max_rows: int) -> list[Row]:
        """A slice of `next_rows`: may find none although there are more, where very many keys have
        come since."""
        if self._budget.overdrawn:
            self.close()
            raise ViewGivenUpError(
                f"the rows of table {self.name} that changed meanwhile take more than the "
                f"{self._budget.max_bytes} bytes that may be kept of them"
            )
        rows: list[Row] = []
        weight = 0
        while len(rows) < max_rows and weight < _SLICE_WEIGHT and not self._done:
            weight += self._walk(max_rows - len(rows), _SLICE_WEIGHT - weight, rows)
        return rows

    def close(self) -> None:
        """Ends the view; may be called twice."""
        self._done = True
        self._saved.clear()
        table = self._table
        table._views = tuple(view for view in table._views if view is not self)

    def _is_ahead(self, key: K) -> bool:
        if self._done:
            return False
        return key <= self._last and (self._at_start or key > self._cursor)  # type: ignore[operator]

    def _save(self, key: K, row: Row | None) -> None:
        budget = self._budget
        budget.take(_held_bytes(row))
        if budget.overdrawn:  # nobody will read what was saved
            self.close()
        else:
            self._saved[key] = row

    def _walk(self, max_keys: int, max_weight: int, rows: list[Row]) -> int:
        """Moves the cursor over up to `max_keys` keys of the table or of the saved rows; the weight
        of what was found, the last of which may exceed `max_weight`."""
        table, saved = self._table, self._saved
        low = None if self._at_start else self._cursor
        keys = list(islice(table._keys.between(low, self._last, (False, True)), max_keys))
        if saved:
            kept = islice(saved.irange(low, self._last, (False, True)), max_keys)
            keys = list(islice(_without_repeats(merge(keys, kept)), max_keys))
        if not keys:
            self._done = True
            return 0
        encode, live = table._encode, table._rows
        weight = 0
        for key in keys:
            row: Row | None
            if saved and key in saved:
                row = saved.pop(key)
                self._budget.give_back(_held_bytes(row))
            else:
                row = encode(key, live[key])
            self._cursor = key
            if row is None:
                weight += _SAVED_ROW_BYTES
                continue
            rows.append(row)
            weight += weight_of(row)
            if weight >= max_weight:
                break
        self._at_start = False
        return weight


def _held_bytes(row: Row | None) -> int:
    return _SAVED_ROW_BYTES if row is None else _SAVED_ROW_BYTES + weight_of(row)


def _without_repeats(keys: Iterable[K]) -> Iterator[K]:
    previous: object = None
    for key in keys:
        if key != previous:
            yield key
        previous = key


class SnapshotFormatError(Exception):
    """Rows that this version cannot have written and does not understand."""
