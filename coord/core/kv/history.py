"""What keys were before they changed, so that reads of an earlier revision can be answered.

An undo log: the change of a key at revision r leaves the row (r, key) -> the key-value before it,
or None if there was none. A key as of revision R is then the pre-image of its first change after R,
or what it is now if there was none. Compaction to C forgets every row up to C: nothing needs
to be searched or moved, and no tombstones are kept.

The length is bounded in revisions, rows and bytes; the oldest revisions go first, by themselves.
From level 1 on, what is compacted cannot be read from that moment on, and its rows are taken away a
few at a time (`tidy`), so that no single request pays for all of them.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Any, Final

from coord.core.base.invariants import invariant
from coord.core.base.limits import LIMITS
from coord.core.base.sorted_keys import SortedKeys
from coord.core.base.table import GivenRow, Row, Table
from coord.core.kv.commands import KeyValue

_COMPACTED: Final = "compacted"
_ROW_BYTES: Final = 400
"""What a row takes in memory beside its key and value: tuples, numbers, two index entries."""
_MAX_STEPS: Final = 1_000
"""Revisions that one trim gives up at most."""


def _encode(key: tuple[int, bytes], before: KeyValue | None) -> Row:
    return (*key, None if before is None else tuple(before))


def _decode(row: GivenRow) -> tuple[tuple[int, bytes], KeyValue | None]:
    revision, key, before = row
    return (revision, key), None if before is None else KeyValue(*before)


class KvHistory:
    """Changes of keys, newest bounded number of revisions.

    Invariant: every row's revision is larger than `compacted`, or waits for `tidy`."""

    __slots__ = (
        "_by_key",
        "_bytes",
        "_compacted",
        "_max_bytes",
        "_max_revisions",
        "_max_rows",
        "_meta",
        "_revisions",
        "_rows",
    )

    def __init__(
        self,
        max_revisions: int = LIMITS.kv_history_revisions,
        max_bytes: int = LIMITS.kv_history_bytes,
        max_rows: int = LIMITS.kv_history_rows,
    ) -> None:
        self._max_revisions = max_revisions
        self._max_bytes = max_bytes
        self._max_rows = max_rows
        self._rows: Table[tuple[int, bytes], KeyValue | None] = Table(
            "kv_history", _encode, _decode, place=90
        )
        self._meta: Table[str, int] = Table(
            "kv_meta", lambda key, value: (key, value), lambda row: (row[0], row[1]), place=100
        )
        # ---- derived
        self._by_key: SortedKeys[tuple[Any, ...]] = SortedKeys()  # (key, revision) of every row
        # Distinct revisions of the rows, ascending: [revision, rows, bytes].
        self._revisions: deque[list[int]] = deque()
        self._bytes = 0
        self._compacted = 0

    def tables(self) -> list[Table[Any, Any]]:
        """The replicated part."""
        return [self._rows, self._meta]

    def __len__(self) -> int:
        """How many changes are kept."""
        return len(self._rows)

    @property
    def size_bytes(self) -> int:
        """Of their keys and values."""
        return self._bytes

    @property
    def compacted(self) -> int:
        """The smallest revision that can still be read; 0 before the first compaction."""
        return self._compacted

    @property
    def first(self) -> int:
        """As `compacted`, but -1 before the first compaction."""
        known = self._meta.get(_COMPACTED)
        return -1 if known is None else known

    @property
    def last_revision(self) -> int:
        """Of the newest change that is kept; 0 if none is."""
        return self._revisions[-1][0] if self._revisions else 0

    @property
    def untidy(self) -> bool:
        """Whether rows are left that nobody can read any more."""
        revisions = self._revisions
        return len(revisions) > 0 and revisions[0][0] <= self._compacted

    def record(self, revision: int, key: bytes, before: KeyValue | None) -> None:
        """Note what `key` was before its change at `revision` (not smaller than any noted one). A
        key changes at most once at a revision."""
        self._rows.insert((revision, key), before)
        self._index(revision, key, before)

    def trim(self) -> None:
        """Forget the oldest revisions beyond what may be kept, with their rows (level 0)."""
        oldest = 0
        while len(self._revisions) > self._max_revisions or self._bytes > self._max_bytes:
            oldest = self._revisions[0][0]
            self._drop(oldest, len(self._rows))
        if oldest:
            self._set_compacted(oldest)

    def compact(self, revision: int) -> None:
        """Forget what only reads before `revision` need, with its rows (level 0); it must be larger
        than `compacted`."""
        while self._revisions and self._revisions[0][0] <= revision:
            self._drop(self._revisions[0][0], len(self._rows))
        self._set_compacted(revision)

    def give_up_oldest(self) -> None:
        """Compact what is beyond the bounds; rows stay until they are tidied.

        Nothing, while there is something to tidy: that makes room already."""
        revisions, rows, size = len(self._revisions), len(self._rows), self._bytes
        if not self._beyond(revisions, rows, size) or self.untidy:
            return
        oldest = 0
        for revision, its_rows, its_bytes in islice(self._revisions, _MAX_STEPS):
            if not self._beyond(revisions, rows, size):
                break
            oldest = revision
            revisions, rows, size = revisions - 1, rows - its_rows, size - its_bytes
        self._set_compacted(oldest)

    def _beyond(self, revisions: int, rows: int, size: int) -> bool:
        """Whether so much history is more than may be kept."""
        return (
            revisions > self._max_revisions
            or rows > self._max_rows
            or size + rows * _ROW_BYTES > self._max_bytes
        )

    def give_up_to(self, revision: int) -> None:
        """As `compact`; the rows stay until they are tidied."""
        self._set_compacted(revision)

    def tidy(self, max_rows: int) -> int:
        """Take away up to `max_rows` rows that nobody can read any more; returns how many."""
        left, compacted = max_rows, self.compacted
        while left and self._revisions and self._revisions[0][0] <= compacted:
            left -= self._drop(self._revisions[0][0], left)
        return max_rows - left

    def before(self, key: bytes, revision: int) -> tuple[KeyValue | None] | None:
        """What `key` was at `revision`, wrapped in a tuple; None if it has not changed since."""
        for _, changed in self._by_key.between((key, revision + 1), (key + b"\0",)):
            return (self._rows[changed, key],)
        return None

    def changed_between(
        self, low: bytes, high: bytes | None, revision: int
    ) -> dict[bytes, KeyValue | None]:
        """Keys of low <= key < high that changed after `revision`, as they were then."""
        if high == low + b"\0":
            wrapped = self.before(low, revision)
            return {} if wrapped is None else {low: wrapped[0]}
        found: dict[bytes, KeyValue | None] = {}
        if self._since(revision) < self._about(low, high):
            for at in self._rows.keys_between((revision + 1, b""), None):
                key = at[1]
                if key >= low and (high is None or key < high) and key not in found:
                    found[key] = self._rows[at]
            return found
        for key, changed in self._by_key.between((low,), None if high is None else (high,)):
            if changed > revision and key not in found:
                found[key] = self._rows[changed, key]
        return found

    def rows_to_walk(self, low: bytes, high: bytes | None, revision: int) -> int:
        """What `changed_between` costs."""
        if high == low + b"\0":
            return 1
        return min(self._since(revision), self._about(low, high))

    def _since(self, revision: int) -> int:
        """Rows after a revision."""
        return len(self._rows) - self._rows.rank((revision + 1, b""))

    def _about(self, low: bytes, high: bytes | None) -> int:
        """Rows about keys of an interval."""
        end = len(self._rows) if high is None else self._by_key.rank((high,))
        return max(0, end - self._by_key.rank((low,)))

    def rebuild(self) -> None:
        """Make the indexes again from rows that were loaded."""
        self._by_key = SortedKeys()
        self._revisions.clear()
        self._bytes = 0
        self._compacted = self._meta.get(_COMPACTED) or 0
        for (revision, key), before in self._rows.items():
            self._index(revision, key, before)

    def check(self, level: int) -> None:
        """Invariants; raises InvariantViolation."""
        if level < 1:
            self._check_bounds()
        rows = list(self._rows.items())
        invariant(
            list(self._by_key) == sorted((key, revision) for (revision, key), _ in rows),
            "history index holds exactly the rows",
        )
        counted: dict[int, list[int]] = {}
        for (revision, key), before in rows:
            totals = counted.setdefault(revision, [revision, 0, 0])
            totals[1] += 1
            totals[2] += _size(key, before)
        invariant(
            list(self._revisions) == list(counted.values()),
            "history revisions are those of its rows",
        )
        invariant(
            self._bytes == sum(_size(key, before) for (_, key), before in rows),
            "history bytes are those of its rows",
        )
        for (revision, key), before in rows:
            if before is not None:
                invariant(
                    before.key == key and before.mod_revision < revision,
                    "history holds what a key was before",
                    (revision, key),
                )

    def _check_bounds(self) -> None:
        """What holds of a state that never knew another level than 0."""
        revisions = self._revisions
        invariant(
            not revisions or revisions[0][0] > self.compacted,
            "history begins behind the compacted revision",
            (revisions and revisions[0], self.compacted),
        )
        invariant(
            len(revisions) <= self._max_revisions and self._bytes <= self._max_bytes,
            "history is bounded",
            (len(revisions), self._bytes),
        )

    def _index(self, revision: int, key: bytes, before: KeyValue | None) -> None:
        self._by_key.add((key, revision))
        size = _size(key, before)
        self._bytes += size
        totals = self._revisions[-1] if self._revisions else None
        if totals is None or totals[0] != revision:
            self._revisions.append([revision, 1, size])
        else:
            totals[1] += 1
            totals[2] += size

    def _drop(self, revision: int, max_rows: int) -> int:
        """Up to `max_rows` rows of the oldest revision; returns how many."""
        rows, totals = self._rows, self._revisions[0]
        count = min(max_rows, totals[1])
        for _ in range(count):
            (_, key), before = rows.pop_first()
            size = _size(key, before)
            self._bytes -= size
            totals[2] -= size
            self._by_key.remove((key, revision))
        totals[1] -= count
        if not totals[1]:
            self._revisions.popleft()
        return count

    def _set_compacted(self, revision: int) -> None:
        self._compacted = revision
        if _COMPACTED in self._meta:
            self._meta.replace(_COMPACTED, revision)
        else:
            self._meta.insert(_COMPACTED, revision)


def _size(key: bytes, before: KeyValue | None) -> int:
    return len(key) if before is None else len(key) + len(before.value)
