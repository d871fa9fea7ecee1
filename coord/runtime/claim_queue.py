"""Where claims wait for tasks, first come first served, in the leader's memory.

A claim is let through to the log only when its queues have more ready tasks than the claims already
let through can take; so a thousand idle workers cost nothing, and one new task wakes one of them
instead of all. A caller that is done tells the queue, which then looks whether others can go: no
claim that could be served is left waiting.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable

from coord.core.base.request import Event, EventKind
from coord.replication.port import NotLeaderError
from coord.runtime.leader_view import LeaderView
from coord.runtime.parts import Part
from coord.runtime.slices import SlicedCalls


class ParkedClaim:
    """One waiting claim. `turn`: True, it may be proposed; False, its time is over; or an error."""

    __slots__ = ("max_tasks", "queues", "turn")

    def __init__(self, queues: tuple[str, ...], max_tasks: int, turn: asyncio.Future[bool]) -> None:
        self.queues = queues
        self.max_tasks = max_tasks
        self.turn = turn


_Ended = tuple[ParkedClaim, Exception | None]
"""None: its time is over."""


class ClaimQueue(Part):
    """`ready_count`: how many tasks of a queue can be claimed in the applied state."""

    def __init__(self, ready_count: Callable[[str], int]) -> None:
        self._ready_count = ready_count
        # A claim stands in the line of each of its queues; a line is ordered by arrival.
        self._lines: dict[str, OrderedDict[ParkedClaim, None]] = {}
        self._let_through: dict[str, int] = {}
        self._ending: SlicedCalls[_Ended] = SlicedCalls(_end)

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

    async def park(
        self, queues: tuple[str, ...], max_tasks: int, timeout_s: float, *, first: bool = False
    ) -> bool:
        """Wait in line. True: it is let through (`leave` must follow); False: time is over.

        `first`: in front, for one that was let through and came back empty. Raises what
        `end_waits` was given."""
        loop = asyncio.get_running_loop()
        claim = ParkedClaim(queues, max_tasks, loop.create_future())
        for queue in queues:
            line = self._lines.setdefault(queue, OrderedDict())
            line[claim] = None
            if first:
                line.move_to_end(claim, last=False)
        self.look(queues)
        timer = loop.call_later(timeout_s, self._ending.add, (claim, None))
        try:
            return await claim.turn
        except asyncio.CancelledError:
            if _was_let_through(claim):
                # The caller vanished in the very moment: its place goes to another.
                self.leave(queues, max_tasks)
            raise
        finally:
            timer.cancel()
            self._step_out(claim)

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

    def on_applied(self, events: Iterable[Event]) -> None:
        """Look at the queues where something can be claimed that could not be before."""
        if self._lines:
            self.look([one.subject for one in events if one.kind is EventKind.TASK_READY])

    def on_restored(self) -> None:
        """Look everywhere: the whole state may have changed."""
        self.look(list(self._lines))

    def on_leader_change(self, leadership: LeaderView) -> None:
        """Claims follow the leadership: nothing of them was logged."""
        if not leadership.is_leader:
            self.end_waits(NotLeaderError(leadership.leader_id))

    def end_waits(self, error: Exception) -> None:
        """End every parked claim with `error`."""
        claims = {claim for line in self._lines.values() for claim in line}
        for claim in claims:
            self._step_out(claim)
            self._ending.add((claim, error))

    def _available(self, queue: str) -> int:
        return self._ready_count(queue) - self._let_through.get(queue, 0)

    def _enter(self, queues: tuple[str, ...], max_tasks: int) -> None:
        for queue in queues:
            self._let_through[queue] = self._let_through.get(queue, 0) + max_tasks

    def _step_out(self, claim: ParkedClaim) -> None:
        for queue in claim.queues:
            line = self._lines.get(queue)
            if line is not None:
                line.pop(claim, None)
                if not line:
                    del self._lines[queue]


def _end(ended: _Ended) -> None:
    claim, error = ended
    if claim.turn.done():
        return
    if error is None:
        claim.turn.set_result(False)
    else:
        claim.turn.set_exception(error)


def _was_let_through(claim: ParkedClaim) -> bool:
    turn = claim.turn
    return turn.done() and not turn.cancelled() and turn.exception() is None and turn.result()
