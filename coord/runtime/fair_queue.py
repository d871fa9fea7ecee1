"""A queue in which owners take turns: what one of them has put in it leaves in order, and however
much that is, the first thing of another waits for a short turn only."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

TURN: Final = 32  # things of one owner before those of the next


class FairQueue(Generic[T]):
    """`owner_of` tells whose a thing is."""

    def __init__(self, owner_of: Callable[[T], Hashable]) -> None:
        self._owner_of = owner_of
        self._lines: OrderedDict[Hashable, deque[T]] = OrderedDict()  # none is empty
        self._line: deque[T] = deque()  # the first of them
        self._count = 0
        self._left = TURN  # of the turn of the first

    def __len__(self) -> int:
        return self._count

    def append(self, thing: T) -> None:
        """Behind everything of its owner."""
        owner = self._owner_of(thing)
        line = self._lines.get(owner)
        if line is not None:
            line.append(thing)
        else:
            self._lines[owner] = line = deque((thing,))
            if not self._count:
                self._begin(line)
        self._count += 1

    def extend(self, things: Iterable[T]) -> None:
        """Each behind everything of its owner."""
        for thing in things:
            self.append(thing)

    def put_back(self, things: Iterable[T]) -> None:
        """Things that were taken last, in the order in which they were: they are the next again."""
        for thing in reversed(list(things)):
            owner = self._owner_of(thing)
            self._lines.setdefault(owner, deque()).appendleft(thing)
            self._lines.move_to_end(owner, last=False)
            self._count += 1
        if self._count:
            self._begin(next(iter(self._lines.values())))

    def first(self) -> T:
        """The next one. IndexError if there is none."""
        return self._line[0]

    def pop(self) -> T:
        """Take the next one. IndexError if there is none."""
        thing = self._line.popleft()
        self._count -= 1
        self._left -= 1
        if not self._line or not self._left:
            self._next_turn()
        return thing

    def _begin(self, line: deque[T]) -> None:
        self._line, self._left = line, TURN

    def _next_turn(self) -> None:
        owner, line = self._lines.popitem(last=False)
        if line:
            self._lines[owner] = line
        if self._lines:
            self._begin(next(iter(self._lines.values())))
