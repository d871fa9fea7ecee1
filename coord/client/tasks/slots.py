"""The slots of one worker: who may fill them, and when they are free again.

    free -> stated to the node -> in use by a task -> free, as its result is sent
     ^             |
     +- taken back +

Every slot is in one of these places, so no node can send more tasks than there are slots, whatever
was lost on the way. While as many results as there are slots wait for their answers, further ones
free their slots only with their answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Key = tuple[str, int]  # a task, and the fencing token it is held under


@dataclass(frozen=True, slots=True)
class Leaving:
    """Slots whose tasks are being settled. `early`: so many are free already; `late`: the tasks
    whose slots are free with the answer."""

    early: int
    late: tuple[Key, ...]


class Slots:
    """The slots of one worker."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._stated = 0
        self._in_use: set[Key] = set()
        self._kept: set[Key] = set()
        self._settling = 0  # free already, though the results of their tasks are not answered

    @property
    def in_use(self) -> int:
        """How many have a task in them."""
        return len(self._in_use)

    def state(self) -> int:
        """The free ones: the node is told, and may fill them."""
        stated, self._free = self._free, 0
        self._stated += stated
        return stated

    def fill(self, key: Key) -> None:
        """A task has come for one that was stated."""
        self._stated -= 1
        self._in_use.add(key)

    def fill_taken(self, key: Key) -> None:
        """A task has come for one that was taken back; it is not to be given."""
        self._in_use.add(key)

    def take_back(self) -> int:
        """The node will fill no more. Those it has not filled are nobody's, until `give`."""
        taken, self._stated = self._stated, 0
        return taken

    def give(self, count: int) -> None:
        """Those taken back are free."""
        self._free += count

    def keep(self, key: Key) -> None:
        """The slot of this task stays in use when the task is settled."""
        if key in self._in_use:
            self._kept.add(key)

    def leave(self, key: Key) -> bool:
        """The slot of this task is free now. False: it was already."""
        self._kept.discard(key)
        if key not in self._in_use:
            return False
        self._in_use.remove(key)
        self._free += 1
        return True

    def settle(self, keys: Iterable[Key]) -> Leaving:
        """The results of these tasks are being sent. `settled` must follow."""
        leaving = [key for key in keys if key in self._in_use and key not in self._kept]
        early = leaving[: self._total - self._settling]
        self._in_use.difference_update(early)
        self._settling += len(early)
        self._free += len(early)
        return Leaving(len(early), tuple(leaving[len(early) :]))

    def settled(self, leaving: Leaving) -> None:
        """They are answered, or given up."""
        self._settling -= leaving.early
        for key in leaving.late:
            self.leave(key)
