"""The keys as the steps of one transaction leave them, before anything is changed.

A draft lies over the live keys: it holds what the steps so far have put and deleted, and answers
reads from both. A transaction is carried out on a draft first, so that it can be refused for what
it touches at any step; committing the draft cannot fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from typing import Final

from coord.core.base.sorted_keys import SortedKeys
from coord.core.base.table import Table
from coord.core.kv.commands import KeyValue

Live = Table[bytes, KeyValue]

_NONE: Final[SortedKeys[bytes]] = SortedKeys()  # shared, and never added to


class Draft:
    """`changed`: keys in the order of their first change; None stands for deleted."""

    __slots__ = ("_deleted", "_new", "changed", "live")

    def __init__(self, live: Live) -> None:
        self.live = live
        self.changed: dict[bytes, KeyValue | None] = {}
        # There now, and not among the live keys; live keys that are gone. Most drafts need neither.
        self._new: SortedKeys[bytes] = _NONE
        self._deleted: SortedKeys[bytes] = _NONE

    def get(self, key: bytes) -> KeyValue | None:
        """The pair, or None."""
        if key in self.changed:
            return self.changed[key]
        return self.live.get(key)

    def put(self, kv: KeyValue) -> None:
        key = kv.key
        if key not in self.live:
            if self.changed.get(key) is None:
                if self._new is _NONE:
                    self._new = SortedKeys()
                self._new.add(key)
        elif key in self.changed and self.changed[key] is None:
            self._deleted.remove(key)
        self.changed[key] = kv

    def delete(self, key: bytes) -> None:
        """Of a key that is there."""
        if key in self.live:
            if self._deleted is _NONE:
                self._deleted = SortedKeys()
            self._deleted.add(key)
        else:
            self._new.remove(key)
        self.changed[key] = None

    def count(self, low: bytes, high: bytes | None) -> int:
        """How many keys lie in low <= key < high, without walking them."""
        live = self.live
        end = len(live) if high is None else live.rank(high)
        found = max(0, end - live.rank(low))
        if self.changed:
            found += _count(self._new, low, high) - _count(self._deleted, low, high)
        return found

    def between(self, low: bytes, high: bytes | None) -> Iterator[KeyValue]:
        """The pairs of low <= key < high in key order. The draft must not change meanwhile."""
        live, changed = self.live, self.changed
        if high is not None and high <= low:
            return iter(())
        keys = live.keys_between(low, high)
        if not changed:
            return (live[key] for key in keys)
        if len(self._new):
            keys = merge(keys, self._new.between(low, high))
        return self._present(keys)

    def _present(self, keys: Iterator[bytes]) -> Iterator[KeyValue]:
        for key in keys:
            kv = self.get(key)
            if kv is not None:
                yield kv


def _count(keys: SortedKeys[bytes], low: bytes, high: bytes | None) -> int:
    if not len(keys):
        return 0
    end = len(keys) if high is None else keys.rank(high)
    return max(0, end - keys.rank(low))
