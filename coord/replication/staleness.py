"""Bounded staleness: how old the applied state of a node can be, for stale reads.

The age of a node's state is the shortest time A of which it is certain that everything that was
acknowledged to anybody more than A ago is in it. It takes neither a leader nor an answer from
anybody to tell it, and it grows while a node is cut off, also if that node believes to lead.

Theory of operation. A follower's answers carry a mark, the time on its own clock. The leader begins
a round with the latest mark of each follower and its commit index of that moment, which covers
everything acknowledged before, hence also before the marks were made. When a majority has answered
appends sent after the round began, it is certain that no later leader existed when it began (each
of that majority would have refused the append), so nothing was acknowledged behind its back. Only
then does the leader give each mark back, with the index. What the follower knows now is about the
past and never becomes wrong: once it has applied that index, its state has all that was
acknowledged before it made the mark. The leader takes part with a mark of its own.

A mark is only ever compared with the clock of the node that made it, so it does not matter what the
clocks of different nodes say, and how long a message, a node or a leader was held up only adds to
the age. That clock must count the time in which the node was stopped; it need not be right.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from coord.replication.messages import Message

MAX_PENDING = 16

ConfirmedMark = tuple[int, int, int]
"""The run of a node, a mark that it made in that run, and the index that covers the mark."""


class HasRun(Protocol):
    """Whatever knows the number of this node's present run."""

    boot_id: int


class StalenessBound:
    """What a node knows of the age of its state. `clock`: the node's own seconds, pauses
    included."""

    def __init__(self, run: HasRun, clock: Callable[[], float]) -> None:
        self._run = run
        self._clock = clock
        self._fresh_at_ms: int | None = None
        self._pending: deque[tuple[int, int]] = deque()  # (index, mark), both rising

    def mark(self) -> int:
        """Return the time now, in ms, rounded down."""
        return int(self._clock() * 1000)

    def confirmed(self, mark: Sequence[int]) -> None:
        """Take a `ConfirmedMark` from a leader (empty: it has none yet). A mark of the future is
        not this node's."""
        if len(mark) == 3 and mark[0] == self._run.boot_id and mark[1] <= self.mark():
            self.covered(mark[1], mark[2])

    def covered(self, mark: int, index: int) -> None:
        """Note that the state after `index` has everything acknowledged before `mark`."""
        pending = self._pending
        if pending and mark <= pending[-1][1]:
            return
        while pending and index < pending[-1][0]:
            pending.pop()  # of what is sooner applied, and says more
        if len(pending) == MAX_PENDING:
            pending.pop()  # applying is far behind: its progress is what counts, not each mark
        pending.append((index, mark))

    def age_ms(self, applied_index: int) -> int | None:
        """Return how old the state can be, rounded up; None: nothing is known yet."""
        while self._pending and self._pending[0][0] <= applied_index:
            mark = self._pending.popleft()[1]
            self._fresh_at_ms = max(mark, self._fresh_at_ms or mark)
        if self._fresh_at_ms is None:
            return None
        return max(0, self.mark() + 1 - self._fresh_at_ms)


@dataclass(slots=True)
class _Round:
    index: int
    own_mark: int
    marks: dict[str, tuple[int, int]]
    sent: Mapping[str, int]  # number of the last append to each peer before it began
    supporters: set[str] = field(default_factory=set)


class StalenessRounds:
    """The leader's side of bounded staleness, for one term. `confirmed`: what each follower is to
    be told; `is_majority`: whether these nodes and this one are enough to confirm a leader."""

    def __init__(self, is_majority: Callable[[Collection[str]], bool]) -> None:
        self._is_majority = is_majority
        self._marks: dict[str, tuple[int, int]] = {}  # by peer: its run, its latest mark
        self._round: _Round | None = None
        self.confirmed: dict[str, ConfirmedMark] = {}

    def begin(self, index: int, own: StalenessBound, sent: Mapping[str, int]) -> None:
        """Begin a round, unless one is on its way. `index`: what is committed now, entries of this
        term among it; `sent`: the number of the last append to each peer."""
        if self._round is None:
            self._round = _Round(index, own.mark(), self._marks, sent)
            self._marks = {}
            self._finish(own)

    def answered(self, peer_id: str, message: Message, own: StalenessBound) -> None:
        """Take a follower's answer to an append."""
        self._marks[peer_id] = (message["boot"], message.get("mark", 0))
        current = self._round
        if current is not None and message["append"] > current.sent.get(peer_id, 0):
            current.supporters.add(peer_id)
            self._finish(own)

    def _finish(self, own: StalenessBound) -> None:
        """End the round if it has its majority."""
        current = self._round
        if current is None or not self._is_majority(current.supporters):
            return
        self._round = None
        for peer_id, (run, mark) in current.marks.items():
            self.confirmed[peer_id] = (run, mark, current.index)
        own.covered(current.own_mark, current.index)
