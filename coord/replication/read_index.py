"""Linearizable reads without log entries (Raft section 6.4, ReadIndex), many to a round.

A read is good at the commit index of the moment it was asked, once a majority has confirmed, by
answering an append sent after that moment, that the leader still leads. All reads that come while
a round is on its way share the next one. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

ReadDone = Callable[[int | None], None]
"""Called with the index to be applied before reading, or None: not the leader any more, or no round
can begin (`Replica.reads_wait_for_room`)."""


@dataclass(slots=True)
class _Round:
    number: int
    index: int
    readers: list[ReadDone]
    supporters: set[str] = field(default_factory=set)


class ReadIndex:
    """The reads of one leadership. Numbers rise over all leaderships of a run of the node.
    `is_majority`: whether these nodes and this one are enough to confirm a leader."""

    def __init__(self, is_majority: Callable[[Collection[str]], bool]) -> None:
        self._is_majority = is_majority
        self._waiting: list[ReadDone] = []
        self._rounds: deque[_Round] = deque()
        self.number = 0  # of the newest round; sent with every append

    def ask(self, done: ReadDone) -> None:
        """A read; `begin_round` must follow soon."""
        self._waiting.append(done)

    @property
    def wants_round(self) -> bool:
        """Reads are waiting and no round is on its way."""
        return bool(self._waiting) and not self._rounds

    @property
    def under_way(self) -> bool:
        """A round has not been confirmed yet."""
        return bool(self._rounds)

    def begin_round(self, commit_index: int) -> None:
        """Number the waiting reads; appends sent from now on can confirm them."""
        self.number += 1
        self._rounds.append(_Round(self.number, commit_index, self._waiting))
        self._waiting = []

    def confirmed_by(self, peer_id: str, number: int) -> None:
        """The peer answered an append with this read number."""
        for entry in self._rounds:
            if entry.number <= number:
                entry.supporters.add(peer_id)
        self.finish()

    def finish(self) -> None:
        """End the rounds that have their majority."""
        while self._rounds and self._is_majority(self._rounds[0].supporters):
            done = self._rounds.popleft()
            _call(done.readers, done.index)

    def fail_waiting(self) -> None:
        """No round can begin for a good while."""
        waiting, self._waiting = self._waiting, []
        _call(waiting, None)

    def fail_all(self) -> None:
        """Leadership is lost."""
        readers = [reader for entry in self._rounds for reader in entry.readers] + self._waiting
        self._rounds.clear()
        self._waiting = []
        _call(readers, None)


def _call(readers: Iterable[ReadDone], index: int | None) -> None:
    for reader in readers:
        reader(index)
