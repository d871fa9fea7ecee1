"""A keyed table of records that can be read as of one moment while it goes on changing.

Theory of operation. Rows live in a dict; their keys also in a sorted list, so that everything that
walks a table (snapshots, digests, listings) sees the same canonical order on every node. `freeze`
opens a view and costs nothing but an object: from then on every mutation first hands the view the
row as it was (its pre-image), unless the view has already walked past that key. The view walks in
key order with a cursor and ends at the key that was last at the freeze, so "does the view still
need this row" is two comparisons. A view therefore holds only the rows that changed ahead of its
cursor, and no mutation waits for it.

The one rule for callers: a record is changed in place only after `edit(key)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import Any, Generic, TypeVar

from sortedcontainers import SortedDict

from coord.core.invariants import invariant
from coord.core.sorted_keys import SortedKeys

K = TypeVar("K")
V = TypeVar("V")
Row = tuple[Any, ...]
GivenRow = Sequence[Any]  # a row that was read: also a list


class Table(Generic[K, V]):
    """Records by key. Keys must have a total order that is the same on every node: integers, text,
    bytes, or tuples of these.

    `encode(key, record)` gives the flat tuple of integers, text, bytes, None, booleans, lists and
    tuples that stands for a record in snapshots and digests; `decode(row)` gives both back."""

    __slots__ = ("_decode", "_encode", "_keys", "_rows", "_views", "name")

    def __init__(
        self,
        name: str,
        encode: Callable[[K, V], Row],
        decode: Callable[[GivenRow], tuple[K, V]],
    ) -> None:
        self.name = name
        self._encode = encode
        self._decode = decode
        self._rows: dict[K, V] = {}
        self._keys: SortedKeys[K] = SortedKeys()
        self._views: tuple[View[K, V], ...] = ()

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

    def get(self, key: K) -> V | None:
        """The record, to be read only; None if there is none."""
        return self._rows.get(key)

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
        invariant(key not in self._rows, "inserted key is new", (self.name, key))
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
        record = self.edit(key)
        del self._rows[key]
        self._keys.remove(key)
        return record

    def row(self, key: K) -> Row:
        """The record of `key` as its row."""
        return self._encode(key, self._rows[key])

    def freeze(self) -> View[K, V]:
        """Opens the view of the table as it is now, in constant time.

        Views do not disturb each other."""
        view = View(self)
        self._views += (view,)
        return view

    def load(self, rows: Iterable[GivenRow]) -> None:
        """Inserts rows, as a view emitted them, into a table nobody is reading yet."""
        invariant(not self._views, "loaded table is not frozen", self.name)
        records = self._rows
        before = len(records)
        keys = []
        for row in rows:
            key, record = self._decode(row)
            records[key] = record
            keys.append(key)
        invariant(len(records) == before + len(keys), "loaded keys are new", self.name)
        self._keys.update(keys)


class View(Generic[K, V]):
    """The rows of a table as of one moment, read in slices in key order.

    `next_rows` gives up to `max_rows` rows, and an empty list once there are no more. `close` must
    be called in the end (also after the last row); it makes mutations cheap again."""

    __slots__ = ("_at_start", "_cursor", "_done", "_last", "_saved", "_table", "name")

    def __init__(self, table: Table[K, V]) -> None:
        self.name = table.name
        self._table = table
        self._cursor: K | None = None
        self._at_start = True
        self._done = not table._rows
        self._last: K | None = table._keys.last() if table._rows else None
        # Pre-images ahead of the cursor; None: the key had no record at the freeze.
        self._saved = SortedDict()

    def keep(self, key: K, record: V) -> None:
        """Called before a record changes or goes."""
        if self._is_ahead(key) and key not in self._saved:
            self._saved[key] = self._table._encode(key, record)

    def keep_absence(self, key: K) -> None:
        """Called before a key comes."""
        if self._is_ahead(key) and key not in self._saved:
            self._saved[key] = None

    def next_rows(self, max_rows: int) -> list[Row]:
        rows: list[Row] = []
        while len(rows) < max_rows and not self._done:
            self._walk(max_rows - len(rows), rows)
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

    def _walk(self, max_keys: int, rows: list[Row]) -> None:
        """Moves the cursor over up to `max_keys` keys of the table or of the saved rows."""
        table, saved = self._table, self._saved
        low = None if self._at_start else self._cursor
        keys = list(islice(table._keys.between(low, self._last, (False, True)), max_keys))
        if saved:
            kept = islice(saved.irange(low, self._last, (False, True)), max_keys)
            keys = list(islice(_without_repeats(merge(keys, kept)), max_keys))
        if not keys:
            self._done = True
            return
        encode, live = table._encode, table._rows
        for key in keys:
            if saved and key in saved:
                row = saved.pop(key)
                if row is not None:
                    rows.append(row)
            else:
                rows.append(encode(key, live[key]))
        self._cursor = keys[-1]
        self._at_start = False


def _without_repeats(keys: Iterable[K]) -> Iterator[K]:
    previous: object = None
    for key in keys:
        if key != previous:
            yield key
        previous = key
