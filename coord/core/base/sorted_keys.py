"""Keys in order, made for how this state grows: nearly every new key is the largest so far, and
what goes first is mostly the smallest.

Theory of operation. Ascending chunks of bounded length; a second list holds the last key of each
chunk, so a key is found by two binary searches. A new largest key is one append, without a search;
every other change moves the keys of one chunk. How many keys lie before a chunk is noted when
somebody asks for a rank, and forgotten from the changed chunk on. (`sortedcontainers` is built
alike, but searches and keeps a tree of positions for every key: two to four times the time of what
is done here for every task, several times over. Its compiled form matters too: this module is
compiled with the core.)
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain
from typing import Any, Final, Generic, TypeVar

K = TypeVar("K")

_FULL: Final = 1_024


class SortedKeys(Generic[K]):
    """A set of keys that have a total order. Walks end at the next change."""

    __slots__ = ("_before", "_chunks", "_last_keys", "_size")

    def __init__(self) -> None:
        self._before: list[int] = [0]  # keys before each chunk, of the first chunks only
        self._chunks: list[list[Any]] = []  # none is empty
        self._last_keys: list[Any] = []  # of each chunk
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[K]:
        return chain.from_iterable(self._chunks)

    def __contains__(self, key: object) -> bool:
        number = bisect_left(self._last_keys, key)
        if number == len(self._chunks):
            return False
        chunk = self._chunks[number]
        found: bool = chunk[bisect_left(chunk, key)] == key
        return found

    def first(self) -> K:
        """The smallest. IndexError if there is none."""
        key: K = self._chunks[0][0]
        return key

    def last(self) -> K:
        """The largest. IndexError if there is none."""
        key: K = self._last_keys[-1]
        return key

    def add(self, key: K) -> None:
        """`key` is not among them."""
        chunks, last_keys = self._chunks, self._last_keys
        self._size += 1
        if not chunks:
            chunks.append([key])
            last_keys.append(key)
        elif key < last_keys[-1]:
            self._insert(key)
        elif len(chunks[-1]) < _FULL:
            chunks[-1].append(key)
            last_keys[-1] = key
        else:
            chunks.append([key])
            last_keys.append(key)

    def pop_first(self) -> K:
        """Takes the smallest out. IndexError if there is none."""
        chunk = self._chunks[0]
        key: K = chunk.pop(0)
        self._size -= 1
        if len(self._before) > 1:
            del self._before[1:]
        if not chunk:
            self._drop(0)
        return key

    def remove(self, key: K) -> None:
        """KeyError if it is not among them."""
        number = bisect_left(self._last_keys, key)
        if number == len(self._chunks):
            raise KeyError(key)
        chunk = self._chunks[number]
        place = bisect_left(chunk, key)
        if chunk[place] != key:
            raise KeyError(key)
        del chunk[place]
        self._size -= 1
        if len(self._before) > 1:
            del self._before[number + 1 :]
        if not chunk:
            self._drop(number)
        elif place == len(chunk):
            self._last_keys[number] = chunk[-1]

    def update(self, keys: Iterable[K]) -> None:
        """Adds many, in any order, at once; none of them is among these yet."""
        ordered = sorted(chain(self, keys))  # type: ignore[type-var]
        self._chunks = [ordered[at : at + _FULL] for at in range(0, len(ordered), _FULL)]
        self._last_keys = [chunk[-1] for chunk in self._chunks]
        self._size = len(ordered)
        self._before = [0]

    def rank(self, key: K) -> int:
        """How many are smaller than `key`, which need not be among them."""
        number = bisect_left(self._last_keys, key)
        if number == len(self._chunks):
            return self._size
        if number >= len(self._before):
            self._count_before(number)
        return self._before[number] + bisect_left(self._chunks[number], key)

    def between(
        self,
        low: K | None = None,
        high: K | None = None,
        inclusive: tuple[bool, bool] = (True, False),
        reverse: bool = False,
    ) -> Iterator[K]:
        """Those in an interval, in order; None leaves a side open. Default: low <= key < high."""
        begin = (0, 0) if low is None else self._place(low, after=not inclusive[0])
        end = (len(self._chunks), 0) if high is None else self._place(high, after=inclusive[1])
        return self._walk_back(begin, end) if reverse else self._walk(begin, end)

    def _place(self, key: K, *, after: bool) -> tuple[int, int]:
        """(chunk, place in it) of the first that is not smaller than `key`, or larger (`after`)."""
        bisect = bisect_right if after else bisect_left
        number = bisect(self._last_keys, key)
        return number, bisect(self._chunks[number], key) if number < len(self._chunks) else 0

    def _walk(self, begin: tuple[int, int], end: tuple[int, int]) -> Iterator[K]:
        chunks, (number, place) = self._chunks, begin
        while number < end[0]:
            yield from chunks[number][place:] if place else chunks[number]
            number, place = number + 1, 0
        if number == end[0] < len(chunks):
            yield from chunks[number][place : end[1]]

    def _walk_back(self, begin: tuple[int, int], end: tuple[int, int]) -> Iterator[K]:
        chunks, (number, place) = self._chunks, end
        if number < len(chunks) and number >= begin[0]:
            first = begin[1] if number == begin[0] else 0
            yield from reversed(chunks[number][first:place])
        for whole in range(min(number, len(chunks)) - 1, begin[0] - 1, -1):
            first = begin[1] if whole == begin[0] else 0
            yield from reversed(chunks[whole][first:])

    def _count_before(self, number: int) -> None:
        """Extend the counts up to the chunk of that number."""
        before = self._before
        last = len(before) - 1
        so_far = before.pop()
        before.extend(accumulate(map(len, self._chunks[last:number]), initial=so_far))

    def _insert(self, key: K) -> None:
        number = bisect_left(self._last_keys, key)
        del self._before[number + 1 :]
        chunk = self._chunks[number]
        chunk.insert(bisect_left(chunk, key), key)
        if len(chunk) > 2 * _FULL:
            half = chunk[_FULL:]
            del chunk[_FULL:]
            self._chunks.insert(number + 1, half)
            self._last_keys.insert(number, chunk[-1])

    def _drop(self, number: int) -> None:
        del self._chunks[number]
        del self._last_keys[number]
        # Also of the place that is empty now: what comes to lie there may follow more keys.
        del self._before[max(number, 1) :]
