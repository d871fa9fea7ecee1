"""Work on many things at once, done in slices between which the event loop serves others.

Ten thousand tasks woken in one turn of the loop run before anything else does: no heartbeat leaves,
and a leader is deposed. So they are woken some at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

SLICE: Final = 32  # woken tasks take some 50 us each


class SlicedCalls(Generic[T]):
    """Calls `act` with each thing that is added, in order, at most `a_turn` in one turn of the
    loop; the first ones at once. `call_soon`: see `coord.runtime.scheduler.Timers`."""

    def __init__(
        self,
        call_soon: Callable[[Callable[[], object]], object],
        act: Callable[[T], None],
        a_turn: int = SLICE,
    ) -> None:
        self._call_soon = call_soon
        self._act = act
        self._a_turn = a_turn
        self._waiting: deque[T] = deque()
        self._left = a_turn  # what may still be done in this turn
        self._scheduled = False

    def __len__(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    def add(self, thing: T) -> None:
        """Have it acted on, in this turn of the loop or a later one."""
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._next_turn)
        if self._left and not self._waiting:
            self._left -= 1
            self._act(thing)
        else:
            self._waiting.append(thing)

    def _next_turn(self) -> None:
        self._left = self._a_turn
        while self._waiting and self._left:
            self._left -= 1
            self._act(self._waiting.popleft())
        # One turn more than there is work: what is added meanwhile counts with this turn's.
        self._scheduled = self._left < self._a_turn
        if self._scheduled:
            self._call_soon(self._next_turn)
