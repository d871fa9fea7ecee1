"""How many bytes of answers a node holds at a time: made, and not yet taken by whoever asked.

Sixteen kilobytes of calls can ask for gigabytes. So an answer that may be large is made only when
there is room for it: the call reserves what the answer can have at most, makes it, and from then on
what it has counts until it is written. A client that does not read has its own share full, and its
calls wait, first come first served; others go on. When very many calls wait, more are refused BUSY.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Final

from coord.runtime.shares import Shares

MAX_BYTES: Final = 128 * 1024 * 1024
MAX_OWNER_BYTES: Final = 32 * 1024 * 1024
MAX_WAITING: Final = 4_096


class NoRoomError(Exception):
    """There was no room in time, or too many wait for it already."""


class AnswerRoom:
    """The room of one node. Owners are connections of clients."""

    def __init__(
        self,
        max_bytes: int = MAX_BYTES,
        max_owner_bytes: int = MAX_OWNER_BYTES,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._shares = Shares(max_bytes)
        # So many bytes are held for this owner now, room or not.
        self.take = self._shares.take
        self._max_owner_bytes = max_owner_bytes
        self._max_waiting = max_waiting
        self._lines: dict[Hashable, deque[_Waiting]] = {}
        self._waiting = 0

    @property
    def bytes_held(self) -> int:
        """Reserved, or made and not written."""
        return self._shares.used

    @property
    def waiting(self) -> int:
        """Calls that wait for room."""
        return self._waiting

    async def reserve(self, owner: Hashable, size: int, until: float) -> None:
        """Return once there is room; `give_back` must follow. Raises NoRoomError.

        `until`: event loop time."""
        if owner not in self._lines and self._fits(owner, size):
            self._shares.take(owner, size)
            return
        if self._waiting >= self._max_waiting:
            raise NoRoomError
        await self._wait(owner, size, until)

    def give_back(self, owner: Hashable, size: int) -> None:
        """So many bytes are written, or not wanted any more."""
        self._shares.give_back(owner, size)
        if self._waiting:
            self._let_in()

    async def _wait(self, owner: Hashable, size: int, until: float) -> None:
        loop = asyncio.get_running_loop()
        waiting = _Waiting(size, loop.create_future())
        self._lines.setdefault(owner, deque()).append(waiting)
        self._waiting += 1
        timer = loop.call_at(until, waiting.give_up)
        try:
            await waiting.let_in
        except asyncio.CancelledError:
            if waiting.is_in:
                self.give_back(owner, size)
            raise
        finally:
            timer.cancel()
            if not waiting.is_in:
                self._step_out(owner, waiting)

    def _fits(self, owner: Hashable, size: int) -> bool:
        own = self._shares.of(owner)
        if own and own + size > self._max_owner_bytes:
            return False
        # What is larger than all the room is made when there is nothing else.
        return self._shares.may_take(owner, size) or not self._shares.used

    def _let_in(self) -> None:
        for owner in list(self._lines):
            line = self._lines[owner]
            while line and (line[0].let_in.done() or self._fits(owner, line[0].size)):
                first = line.popleft()
                self._waiting -= 1
                if not first.let_in.done():
                    first.is_in = True
                    self._shares.take(owner, first.size)
                    first.let_in.set_result(None)
            if not line:
                del self._lines[owner]

    def _step_out(self, owner: Hashable, waiting: _Waiting) -> None:
        line = self._lines.get(owner)
        if line is None or waiting not in line:
            return
        line.remove(waiting)
        self._waiting -= 1
        if not line:
            del self._lines[owner]
        self._let_in()


class _Waiting:
    __slots__ = ("is_in", "let_in", "size")

    def __init__(self, size: int, let_in: asyncio.Future[None]) -> None:
        self.size = size
        self.let_in = let_in
        self.is_in = False

    def give_up(self) -> None:
        if not self.let_in.done():
            self.let_in.set_exception(NoRoomError())


class Account:
    """What one stream holds of its owner's room: bytes that are to be written."""

    def __init__(self, room: AnswerRoom, owner: Hashable) -> None:
        self._room = room
        self._owner = owner
        self._held = 0
        self._count = room.take

    def take(self, size: int) -> None:
        """These are to be written."""
        self._held += size
        self._count(self._owner, size)

    def give_back(self, size: int) -> None:
        """These are written."""
        self._held -= size
        self._room.give_back(self._owner, size)

    def close(self) -> None:
        """Nothing more is written. May be called twice."""
        held, self._held = self._held, 0
        if held:
            self._room.give_back(self._owner, held)
