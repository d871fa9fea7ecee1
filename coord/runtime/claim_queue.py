"""Where claims wait for tasks, first come first served, in the leader's memory.

A claim is let through to the log only when its queues have more ready tasks than the claims already
let through can take; so a thousand idle workers cost nothing, and one new task wakes one of them
instead of all. A caller that is done tells the queue, which then looks whether others can go: no
claim that could be served is left waiting.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Generic

from coord.core.state import State
from coord.runtime.scheduler import OutcomeT, Scheduler, Timer
from coord.runtime.sliced_calls import SlicedCalls


class ParkedClaim(Generic[OutcomeT]):
    """One waiting claim. `turn`: True, it may be proposed; False, its time is over; or an error."""

    __slots__ = ("max_tasks", "queues", "timer", "turn")

    def __init__(self, queues: tuple[str, ...], max_tasks: int, turn: OutcomeT) -> None:
        self.queues = queues
        self.max_tasks = max_tasks
        self.turn = turn
        self.timer: Timer | None = None  # while it stands in line


_Ended = tuple[ParkedClaim[Any], Exception | None]
"""None: its time is over."""


class ClaimQueue(Generic[OutcomeT]):
    """`ready_count`: how many tasks of a queue can be claimed in the applied state."""

    def __init__(self, ready_count: Callable[[str], int], scheduler: Scheduler[OutcomeT]) -> None:
        self._ready_count = ready_count
        self._scheduler = scheduler
        # A claim stands in the line of each of its queues; a line is ordered by arrival.
        self._lines: dict[str, OrderedDict[ParkedClaim[OutcomeT], None]] = {}
        self._let_through: dict[str, int] = {}
        self._ending: SlicedCalls[_Ended] = SlicedCalls(scheduler.call_soon, self._end)

    @property
    def parked(self) -> int:
        """How many places in lines are taken."""
        return sum(len(line) for line in self._lines.values())

    def try_enter(self, queues: tuple[str, ...], max_tasks: int) -> bool:
        """Whether a claim may be proposed now. If so, `leave` must follow."""
        for queue in queues:
            if self._available(queue) > 0 and not self._lines.get(queue):
                self._enter(queues, max_tasks)
                return True
        return False

    def enter(self, queues: tuple[str, ...], max_tasks: int) -> None:
        """A claim is proposed whatever there is (a repeated request). `leave` must follow."""
        self._enter(queues, max_tasks)

    def leave(self, queues: tuple[str, ...], max_tasks: int) -> None:
        """A claim that was let through has its answer, or gave up."""
        for queue in queues:
            left = self._let_through[queue] - max_tasks
            if left:
                self._let_through[queue] = left
            else:
                del self._let_through[queue]
        self.look(queues)

    def park(
        self, queues: tuple[str, ...], max_tasks: int, timeout_s: float, *, first: bool = False
    ) -> ParkedClaim[OutcomeT]:
        """Stand in line. The claim's `turn` ends with True when it is let through (`leave` must
        follow), with False when its time is over, or with what `end_all` was given. Whoever gives
        it up before says so by `give_up`.

        `first`: in front, for one that was let through and came back empty."""
        claim = ParkedClaim(queues, max_tasks, self._scheduler.create_future())
        for queue in queues:
            line = self._lines.setdefault(queue, OrderedDict())
            line[claim] = None
            if first:
                line.move_to_end(claim, last=False)
        due = self._scheduler.time() + timeout_s
        claim.timer = self._scheduler.call_at(due, lambda: self._ending.add((claim, None)))
        self.look(queues)
        return claim

    def give_up(self, claim: ParkedClaim[OutcomeT]) -> None:
        """The caller of a parked claim has vanished. Had it been let through in the very moment,
        then its place goes to another."""
        self._step_out(claim)
        if _was_let_through(claim):
            self.leave(claim.queues, claim.max_tasks)

    def look(self, queues: Iterable[str]) -> None:
        """Tasks of these queues may have become ready: let through who can be served."""
        for queue in queues:
            line = self._lines.get(queue)
            while line and self._available(queue) > 0:
                claim = next(iter(line))
                self._step_out(claim)
                if not claim.turn.done():
                    self._enter(claim.queues, claim.max_tasks)
                    claim.turn.set_result(True)
                line = self._lines.get(queue)

    def look_everywhere(self) -> None:
        """The whole state may have changed."""
        self.look(list(self._lines))

    def end_all(self, error: Exception) -> None:
        """End every parked claim with `error`."""
        claims = dict.fromkeys(claim for line in self._lines.values() for claim in line)
        for claim in claims:
            self._step_out(claim)
            self._ending.add((claim, error))

    def _available(self, queue: str) -> int:
        return self._ready_count(queue) - self._let_through.get(queue, 0)

    def _enter(self, queues: tuple[str, ...], max_tasks: int) -> None:
        for queue in queues:
            self._let_through[queue] = self._let_through.get(queue, 0) + max_tasks

    def _step_out(self, claim: ParkedClaim[OutcomeT]) -> None:
        if claim.timer is not None:
            claim.timer.cancel()
            claim.timer = None
        for queue in claim.queues:
            line = self._lines.get(queue)
            if line is not None:
                line.pop(claim, None)
                if not line:
                    del self._lines[queue]

    def _end(self, ended: _Ended) -> None:
        claim, error = ended
        self._step_out(claim)
        if claim.turn.done():
            return
        if error is None:
            claim.turn.set_result(False)
        else:
            claim.turn.set_exception(error)


def ready_count(state: State, queue: str) -> int:
    """How many tasks of a queue could be claimed."""
    known = state.queues.get(queue)
    return 0 if known is None or known.paused else len(known.ready)


def _was_let_through(claim: ParkedClaim[Any]) -> bool:
    turn = claim.turn
    return turn.done() and not turn.cancelled() and turn.exception() is None and turn.result()
