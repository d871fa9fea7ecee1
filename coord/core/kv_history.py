"""What keys were before they changed, so that reads of an earlier revision can be answered.

An undo log: the change of a key at revision r leaves the row (r, key) -> the key-value before it,
or None if there was none. A key as of revision R is then the pre-image of its first change after R,
or what it is now if there was none. Compaction to C forgets every row up to C: nothing needs
to be searched or moved, and no tombstones are kept.

The length is bounded in revisions and in bytes; the oldest rows go first, by themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from coord.core.invariants import invariant
from coord.core.limits import LIMITS
from coord.core.replies import KeyValue
from coord.core.sorted_keys import SortedKeys
from coord.core.table import GivenRow, Row, Table

_COMPACTED: Final = "compacted"
_FEW: Final = 8  # changes of one key that are passed over before the next key is looked up
_FAR: Final = 1 << 64  # behind every revision


def _encode(key: tuple[int, bytes], before: KeyValue | None) -> Row:
    return (*key, None if before is None else tuple(before))


def _decode(row: GivenRow) -> tuple[tuple[int, bytes], KeyValue | None]:
    revision, key, before = row
    return (revision, key), None if before is None else KeyValue(*before)


class KvHistory:
    """Changes of keys, newest bounded number of revisions.

    Invariant: every row's revision is larger than `compacted`."""

    __slots__ = (
        "_by_key",
        "_bytes",
        "_max_bytes",
        "_max_revisions",
        "_meta",
        "_revisions",
        "_rows",
    )

    def __init__(
        self,
        max_revisions: int = LIMITS.kv_history_revisions,
        max_bytes: int = LIMITS.kv_history_bytes,
    ) -> None:
        self._max_revisions = max_revisions
        self._max_bytes = max_bytes
        self._rows: Table[tuple[int, bytes], KeyValue | None] = Table(
            "kv_history", _encode, _decode
        )
        self._meta: Table[str, int] = Table(
            "kv_meta", lambda key, value: (key, value), lambda row: (row[0], row[1])
        )
        # ---- derived
        self._by_key: SortedKeys[tuple[Any, ...]] = SortedKeys()  # (key, revision) of every row
        self._revisions: deque[int] = deque()  # distinct revisions of the rows, ascending
        self._bytes = 0

    def tables(self) -> list[Table[Any, Any]]:
        """The replicated part."""
        return [self._rows, self._meta]

    @property
    def compacted(self) -> int:
        """The smallest revision that can still be read; 0 before the first compaction."""
        return self._meta.get(_COMPACTED) or 0

    @property
    def last_revision(self) -> int:
        """Of the newest change that is kept; 0 if none is."""
        return self._revisions[-1] if self._revisions else 0

    def record(self, revision: int, key: bytes, before: KeyValue | None) -> bool:
        """Note what `key` was before its change at `revision` (not smaller than any noted one).

        The first change of a key within a revision counts; returns whether this was it."""
        if (revision, key) in self._rows:
            return False
        self._rows.insert((revision, key), before)
        self._index(revision, key, before)
        return True

    def trim(self) -> None:
        """Forget the oldest revisions beyond what may be kept."""
        revisions = self._revisions
        oldest = 0
        while len(revisions) > self._max_revisions or self._bytes > self._max_bytes:
            oldest = revisions.popleft()
            self._drop(oldest)
        if oldest:
            self._set_compacted(oldest)

    def compact(self, revision: int) -> None:
        """Forget what only reads before `revision` need; it must be larger than `compacted`."""
        revisions = self._revisions
        while revisions and revisions[0] <= revision:
            self._drop(revisions.popleft())
        self._set_compacted(revision)

    def before(self, key: bytes, revision: int) -> tuple[KeyValue | None] | None:
        """What `key` was at `revision`, wrapped in a tuple; None if it has not changed since."""
        for _, changed in self._by_key.between((key, revision + 1), (key + b"\0",)):
            return (self._rows[changed, key],)
        return None

    def changed_between(
        self, low: bytes, high: bytes | None, revision: int
    ) -> Iterator[tuple[bytes, KeyValue | None]]:
        """Keys of low <= key < high that changed after `revision`, in order, as they were then."""
        for key, changed in self.keys_between(low, high, revision):
            if changed is not None:
                yield key, changed[0]

    def keys_between(
        self, low: bytes, high: bytes | None, revision: int
    ) -> Iterator[tuple[bytes, tuple[KeyValue | None] | None]]:
        """Keys of low <= key < high of which changes are kept, in order. With each, what it was at
        `revision`, wrapped in a tuple; None if it has not changed since. Of a key that changed very
        often, a few changes are looked at."""
        top = None if high is None else (high,)
        place: tuple[Any, ...] | None = (low,)
        key: bytes | None = None
        passed, told = 0, True
        while place is not None:
            start, place = place, None
            for one, changed in self._by_key.between(start, top):
                if one != key:
                    if key is not None and not told:
                        yield key, None
                    key, passed, told = one, 0, False
                if changed > revision and not told:
                    told = True
                    yield one, (self._rows[changed, one],)
                    continue
                passed += 1
                if passed > _FEW:
                    passed = 0
                    place = (one, _FAR if told else revision + 1)
                    break
        if key is not None and not told:
            yield key, None

    def changes_between(self, low: bytes, high: bytes | None) -> int:
        """How many changes of keys in an interval are kept."""
        end = len(self._by_key) if high is None else self._by_key.rank((high,))
        return max(0, end - self._by_key.rank((low,)))

    def changes_since(self, revision: int) -> int:
        """How many changes behind a revision are kept."""
        return len(self._rows) - self._rows.rank((revision + 1, b""))

    def changed_since(self, revision: int) -> Iterator[tuple[bytes, KeyValue | None]]:
        """Keys that changed after `revision`, as they were then, in the order of their first
        change. Costs as much as there are changes since."""
        seen: set[bytes] = set()
        for ident in self._rows.keys_between((revision + 1, b"")):
            if ident[1] not in seen:
                seen.add(ident[1])
                yield ident[1], self._rows[ident]

    def rebuild(self) -> None:
        """Make the indexes again from rows that were loaded."""
        self._by_key = SortedKeys()
        self._revisions.clear()
        self._bytes = 0
        for (revision, key), before in self._rows.items():
            self._index(revision, key, before)

    def check(self) -> None:
        """Invariants; raises InvariantViolation."""
        rows = list(self._rows.items())
        invariant(
            list(self._by_key) == sorted((key, revision) for (revision, key), _ in rows),
            "history index holds exactly the rows",
        )
        distinct = sorted({revision for (revision, _), _ in rows})
        invariant(list(self._revisions) == distinct, "history revisions are those of its rows")
        invariant(
            self._bytes == sum(_size(key, before) for (_, key), before in rows),
            "history bytes are those of its rows",
        )
        invariant(
            not distinct or distinct[0] > self.compacted,
            "history begins behind the compacted revision",
            (distinct[:1], self.compacted),
        )
        invariant(
            len(distinct) <= self._max_revisions and self._bytes <= self._max_bytes,
            "history is bounded",
            (len(distinct), self._bytes),
        )
        for (revision, key), before in rows:
            if before is not None:
                invariant(
                    before.key == key and before.mod_revision < revision,
                    "history holds what a key was before",
                    (revision, key),
                )

    def _index(self, revision: int, key: bytes, before: KeyValue | None) -> None:
        self._by_key.add((key, revision))
        if not self._revisions or self._revisions[-1] != revision:
            self._revisions.append(revision)
        self._bytes += _size(key, before)

    def _drop(self, revision: int) -> None:
        dropped = list(self._rows.keys_between((revision, b""), (revision + 1, b"")))
        for ident in dropped:
            key = ident[1]
            self._bytes -= _size(key, self._rows.remove(ident))
            self._by_key.remove((key, revision))

    def _set_compacted(self, revision: int) -> None:
        if _COMPACTED in self._meta:
            self._meta.replace(_COMPACTED, revision)
        else:
            self._meta.insert(_COMPACTED, revision)


def _size(key: bytes, before: KeyValue | None) -> int:
    return len(key) if before is None else len(key) + len(before.value)
